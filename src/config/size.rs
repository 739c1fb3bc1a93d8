//! Sizes as operators write them: `"8 MiB"`, `"200 GB"`, or a number of bytes.

use std::fmt;
use std::str::FromStr;

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Size(pub(super) u64);

/// Parses a size such as `8 MiB` or `200 GB`, in bytes. Fails with a sentence.
pub fn parse_size(text: &str) -> Result<u64, String> {
    text.parse().map(|Size(bytes)| bytes)
}

/// Largest first; only powers of 1024 are written.
const BINARY: [(&str, u64); 6] =
    [("EiB", 1 << 60), ("PiB", 1 << 50), ("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
const DECIMAL: [(&str, u64); 6] = [
    ("EB", 1_000_000_000_000_000_000),
    ("PB", 1_000_000_000_000_000),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
];

impl FromStr for Size {
    type Err = String;

    /// Parses a whole number with an optional unit, ignoring the unit's case; the default unit is bytes.
    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = (&text[..digits], text[digits..].trim_start());
        if number.is_empty() {
            return Err("it does not begin with a number".to_owned());
        }
        let factor = match unit {
            "" => 1,
            unit if unit.eq_ignore_ascii_case("B") => 1,
            unit => BINARY
                .iter()
                .chain(&DECIMAL)
                .find(|(name, _)| name.eq_ignore_ascii_case(unit))
                .map(|(_, factor)| *factor)
                .ok_or_else(|| {
                    format!("{unit:?} is not a unit; the units are B, KiB, MiB, GiB, TiB and KB, MB, GB, TB")
                })?,
        };
        number
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(factor))
            .map(Self)
            .ok_or_else(|| "it is 16 EiB or more".to_owned())
    }
}

impl fmt::Display for Size {
    /// Formats with the largest unit that yields a whole number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match BINARY.iter().find(|(_, factor)| self.0 >= *factor && self.0.is_multiple_of(*factor)) {
            Some((unit, factor)) => write!(f, "{} {unit}", self.0 / factor),
            None => write!(f, "{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_people_write() {
        for (text, bytes) in [
            ("8 MiB", 8 << 20),
            ("8MiB", 8 << 20),
            ("200 GB", 200_000_000_000),
            ("200 gib", 200 << 30),
            ("1048576", 1 << 20),
            (" 512 B ", 512),
            ("0", 0),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, message) in [
            ("", "it does not begin with a number"),
            ("-1", "it does not begin with a number"),
            ("MiB", "it does not begin with a number"),
            ("8 MiBs", "\"MiBs\" is not a unit; the units are B, KiB, MiB, GiB, TiB and KB, MB, GB, TB"),
            ("1.5 GiB", "\".5 GiB\" is not a unit; the units are B, KiB, MiB, GiB, TiB and KB, MB, GB, TB"),
            ("16 EiB", "it is 16 EiB or more"),
            ("99999999999999999999", "it is 16 EiB or more"),
        ] {
            assert_eq!(text.parse::<Size>(), Err(message.to_owned()), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(bytes in any::<u64>(), shift in 0u32..64) {
            for size in [Size(bytes), Size(bytes >> shift << shift)] {
                prop_assert_eq!(size.to_string().parse(), Ok(size));
            }
        }

        #[test]
        fn a_unit_multiplies(number in 0u64..10_000, unit in 0usize..6, space in "[ ]{0,2}") {
            for (name, factor) in [BINARY[unit], DECIMAL[unit]] {
                let read = format!("{number}{space}{name}").parse::<Size>().ok();
                prop_assert_eq!(read, number.checked_mul(factor).map(Size));
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,20}|[0-9]{0,30}[ kmgtpeib.]{0,4}") {
            let _ = text.parse::<Size>();
        }
    }
}
