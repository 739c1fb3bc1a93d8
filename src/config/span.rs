//! Durations as operators write them: `"30s"`, `"5m"`, `"1h30m"`, `"7d"`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A duration in whole milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Span(pub(super) Duration);

/// Units in milliseconds, largest first: the order in which they may follow each other.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Parses a duration such as `30s`, `1h30m` or `7d`. Fails with a sentence.
pub fn parse_span(text: &str) -> Result<Duration, String> {
    text.parse().map(|Span(span)| span)
}

impl FromStr for Span {
    type Err = String;

    /// Parses one or more numbers, each with its unit, larger units first.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut rest = text.trim();
        if rest.is_empty() {
            return Err("there is nothing".to_owned());
        }
        let mut total = 0_u64;
        let mut allowed = &UNITS[..];
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            let (number, after) = (&rest[..digits], rest[digits..].trim_start());
            if number.is_empty() {
                return Err(format!("{rest:?} does not begin with a number"));
            }
            let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
            let (unit, after) = (&after[..letters], after[letters..].trim_start());
            if unit.is_empty() {
                return Err(format!("{number} has no unit; the units are d, h, m, s and ms"));
            }
            let Some(at) = allowed.iter().position(|(name, _)| *name == unit) else {
                return Err(if UNITS.iter().any(|(name, _)| *name == unit) {
                    "each unit may occur once, larger units first".to_owned()
                } else {
                    format!("{unit:?} is not a unit; the units are d, h, m, s and ms")
                });
            };
            total = number
                .parse::<u64>()
                .ok()
                .and_then(|number| number.checked_mul(allowed[at].1)?.checked_add(total))
                .ok_or_else(|| "it is too long".to_owned())?;
            allowed = &allowed[at + 1..];
            rest = after;
        }
        Ok(Self(Duration::from_millis(total)))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if rest == 0 {
            return f.write_str("0s");
        }
        for (unit, milliseconds) in UNITS {
            if rest >= milliseconds {
                write!(f, "{}{unit}", rest / milliseconds)?;
                rest %= milliseconds;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_people_write() {
        for (text, seconds) in
            [("30s", 30), ("5m", 300), ("1h", 3600), ("1h30m", 5400), ("7d", 604_800), (" 1 h 5 s ", 3605), ("0s", 0)]
        {
            assert_eq!(text.parse(), Ok(Span(Duration::from_secs(seconds))), "{text}");
        }
        assert_eq!("1s500ms".parse(), Ok(Span(Duration::from_millis(1500))));
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, message) in [
            ("", "there is nothing"),
            ("30", "30 has no unit; the units are d, h, m, s and ms"),
            ("s", "\"s\" does not begin with a number"),
            ("-5s", "\"-5s\" does not begin with a number"),
            ("5 min", "\"min\" is not a unit; the units are d, h, m, s and ms"),
            ("5m1h", "each unit may occur once, larger units first"),
            ("5m5m", "each unit may occur once, larger units first"),
            ("1.5h", "1 has no unit; the units are d, h, m, s and ms"),
            ("99999999999999999999s", "it is too long"),
            ("999999999999999999d", "it is too long"),
        ] {
            assert_eq!(text.parse::<Span>(), Err(message.to_owned()), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(milliseconds in any::<u64>(), shift in 0u32..64) {
            let span = Span(Duration::from_millis(milliseconds >> shift));
            prop_assert_eq!(span.to_string().parse(), Ok(span));
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,20}|([0-9]{0,22}[dhms ]{0,2}){0,4}") {
            let _ = text.parse::<Span>();
        }
    }
}
