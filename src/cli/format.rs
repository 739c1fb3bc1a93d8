//! Formats times, amounts and untrusted texts for people.

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

pub(super) use crate::units::{bytes, count, span};

/// The time of day, with the date if it is another than that of `now`: `14:02:11`, `2026-11-20 14:02:11`.
pub(super) fn clock(time: Timestamp, now: Timestamp, zone: &TimeZone) -> String {
    let (time, now) = (time.to_zoned(zone.clone()), now.to_zoned(zone.clone()));
    let format = if time.date() == now.date() { "%H:%M:%S" } else { "%Y-%m-%d %H:%M:%S" };
    time.strftime(format).to_string()
}

/// The age of a time: `3 min ago`; `now` below three seconds.
pub(super) fn ago(time: Timestamp, now: Timestamp) -> String {
    let age = now.duration_since(time);
    if age < SignedDuration::from_secs(3) { "now".to_owned() } else { format!("{} ago", span(age)) }
}

/// A rate in MiB/s, whatever its size, so that a column of them compares.
pub(super) fn rate(bytes_a_second: u64) -> String {
    let hundredths = (u128::from(bytes_a_second) * 100) >> 20;
    match hundredths {
        0 => "<0.01 MiB/s".to_owned(),
        1..1000 => format!("{}.{:02} MiB/s", hundredths / 100, hundredths % 100),
        _ => format!("{}.{} MiB/s", hundredths / 100, hundredths % 100 / 10),
    }
}

/// A text with its control characters replaced: a terminal does not act on it.
pub(super) fn plain(text: &str) -> String {
    text.replace(|c: char| c.is_control(), "?")
}

/// A duration: `12 ms`, `3.4 s`.
pub(super) fn took(took: Duration) -> String {
    match took.as_millis() {
        0 => "<1 ms".to_owned(),
        millis @ 1..1000 => format!("{millis} ms"),
        millis @ ..60_000 => format!("{}.{} s", millis / 1000, millis % 1000 / 100),
        millis => format!("{} min {} s", millis / 60_000, millis % 60_000 / 1000),
    }
}

/// `paragraph` in lines of at most `width` characters, longer words aside.
pub(super) fn wrapped(paragraph: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in paragraph.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn times_use_largest_unit() {
        let now = at("2026-11-21T14:06:11Z");
        assert_eq!(clock(at("2026-11-21T14:02:11.5Z"), now, &TimeZone::UTC), "14:02:11");
        assert_eq!(clock(at("2026-11-20T14:02:11Z"), now, &TimeZone::UTC), "2026-11-20 14:02:11");
        for (time, words) in [
            ("2026-11-21T14:06:09Z", "now"),
            ("2026-11-21T14:07:00Z", "now"),
            ("2026-11-21T14:05:11Z", "1 min ago"),
            ("2026-11-21T13:06:12Z", "59 min ago"),
            ("2026-11-19T14:06:12Z", "47 h ago"),
            ("2026-11-19T14:06:11Z", "2 d ago"),
        ] {
            assert_eq!(ago(at(time), now), words, "{time}");
        }
    }

    #[test]
    fn amounts_have_units() {
        assert_eq!([0, 1023, 1024, 50_541_364].map(bytes), ["0 B", "1023 B", "1.0 KiB", "48.2 MiB"]);
        assert_eq!(bytes(u64::MAX), "17179869183.9 GiB");
        assert_eq!([1, 2 << 20, 117 << 20].map(rate), ["<0.01 MiB/s", "2.00 MiB/s", "117.0 MiB/s"]);
        assert_eq!(
            [0, 12, 3450, 61_000].map(Duration::from_millis).map(took),
            ["<1 ms", "12 ms", "3.4 s", "1 min 1 s"]
        );
        assert_eq!([0_u64, 1, 2].map(|number| count(number, "asset")), ["0 assets", "1 asset", "2 assets"]);
    }
}
