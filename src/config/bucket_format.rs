//! Formats of the values of `[[bucket]]`.

use super::span::Span;
use super::written::Format;

/// Whole days, or `off`: S3 servers count lifetimes in days.
pub(super) enum DaysOrOff {}

impl Format for DaysOrOff {
    type Value = Option<u32>;
    const NAME: &'static str = "days-or-off";
    const EXPECTED: &'static str = "whole days such as \"60d\" or \"24h\", or \"off\"";

    fn read(text: &str) -> Result<Option<u32>, String> {
        const DAY: u64 = 86_400;
        if text == "off" {
            return Ok(None);
        }
        let Span(span) = text.parse()?;
        if span.is_zero() {
            return Err("it is zero".to_owned());
        }
        if span.subsec_nanos() > 0 || span.as_secs() % DAY > 0 {
            return Err("S3 servers count in whole days".to_owned());
        }
        u32::try_from(span.as_secs() / DAY).map(Some).map_err(|_| "it is too long".to_owned())
    }
}

/// A bucket's name.
pub(super) enum BucketName {}

impl Format for BucketName {
    type Value = String;
    const NAME: &'static str = "bucket-name";
    const EXPECTED: &'static str = "a bucket's name: 3 to 63 lower-case letters, digits, '-' and '.'";

    /// AWS, "Bucket naming rules"; other servers take names like these too.
    fn read(text: &str) -> Result<String, String> {
        let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
        match text.find(|c| !known(c)) {
            Some(at) => Err(format!("{:?} is not allowed", text[at..].chars().next().unwrap_or_default())),
            None if !(3..=63).contains(&text.len()) => Err(format!("this has {} characters", text.len())),
            None if text.starts_with(['-', '.']) || text.ends_with(['-', '.']) => {
                Err("it must begin and end with a letter or a digit".to_owned())
            }
            None => Ok(text.to_owned()),
        }
    }
}

/// The key of a folder.
pub(super) enum Folder {}

impl Format for Folder {
    type Value = String;
    const NAME: &'static str = "folder";
    const EXPECTED: &'static str = "the key of a folder such as \"okd/\"";

    fn read(text: &str) -> Result<String, String> {
        match text.strip_suffix('/') {
            None => Err("it does not end with '/'".to_owned()),
            Some(path) if path.split('/').any(|name| matches!(name, "" | "." | "..")) => {
                Err("it has an empty segment, or one that is '.' or '..'".to_owned())
            }
            Some(_) => Ok(text.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_are_whole_days() {
        assert_eq!(DaysOrOff::read("off"), Ok(None));
        assert_eq!(DaysOrOff::read("24h"), Ok(Some(1)));
        assert_eq!(DaysOrOff::read("60d"), Ok(Some(60)));
        for bad in ["0s", "36h", "1d1ms", "60", "99999999999d"] {
            assert!(DaysOrOff::read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn bucket_names_are_those_of_s3() {
        for good in ["isos", "r630-switchbot-isos", "a.b.c", &"a".repeat(63)] {
            assert!(BucketName::read(good).is_ok(), "{good}");
        }
        for bad in ["", "ab", "Isos", "a_b", "-abc", "abc.", "s3://isos", "isos/", &"a".repeat(64)] {
            assert!(BucketName::read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn folders_end_with_slash() {
        for good in ["okd/", "okd/4.20/"] {
            assert!(Folder::read(good).is_ok(), "{good}");
        }
        for bad in ["", "/", "okd", "/okd/", "okd//", "okd/../"] {
            assert!(Folder::read(bad).is_err(), "{bad}");
        }
    }
}
