//! Versions of upstreams: in the order of their numbers, then by name.

use std::cmp::Ordering;
use std::fmt;

/// Words that mark a version that precedes the release of the same numbers.
const PRELEASE_WORDS: [&str; 8] = ["alpha", "beta", "dev", "ec", "nightly", "pre", "preview", "rc"];

/// A version as the upstream writes it.
///
/// The numbers at its beginning are compared first, each as a number: 4.9 is before 4.10. If they are equal, a suffix that
/// begins with `-` or `~` is before none, as in Semantic Versioning (`4.20.0-rc.1` is before `4.20.0`), any other is after
/// it, and suffixes are compared by name, with numbers as numbers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Version(String);

impl Version {
    /// A version with this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether its suffix marks a preliminary version, such as `-rc.1` or `-beta2`.
    pub fn is_preliminary(&self) -> bool {
        let (_, suffix) = self.parts();
        let mut words = suffix.split(|c: char| !c.is_ascii_alphabetic());
        words.any(|word| PRELEASE_WORDS.contains(&word.to_ascii_lowercase().as_str()))
    }

    /// Whether it begins with a number.
    pub fn is_numbered(&self) -> bool {
        !self.parts().0.is_empty()
    }

    /// The numbers at the beginning, and the rest.
    fn parts(&self) -> (Vec<&str>, &str) {
        let text = self.0.strip_prefix('v').filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        let mut rest = text.unwrap_or(&self.0);
        let mut numbers = Vec::new();
        loop {
            let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            let (number, after) = rest.split_at(end);
            if number.is_empty() {
                return (numbers, rest);
            }
            numbers.push(number);
            match after.strip_prefix('.').filter(|next| next.starts_with(|c: char| c.is_ascii_digit())) {
                Some(next) => rest = next,
                None => return (numbers, after),
            }
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        let ((numbers, suffix), (others, other_suffix)) = (self.parts(), other.parts());
        let number = |numbers: &[&str], index: usize| numbers.get(index).copied().unwrap_or("0").to_owned();
        let by_number = (0..numbers.len().max(others.len()))
            .map(|index| compare_numbers(&number(&numbers, index), &number(&others, index)))
            .find(|order| order.is_ne());
        // A version without numbers is a name, and comes before all numbers.
        let by_kind = (!numbers.is_empty()).cmp(&!others.is_empty());
        by_kind
            .then(by_number.unwrap_or(Ordering::Equal))
            .then_with(|| rank(suffix).cmp(&rank(other_suffix)))
            .then_with(|| other.is_preliminary().cmp(&self.is_preliminary()))
            .then_with(|| natural(suffix, other_suffix))
            .then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

fn rank(suffix: &str) -> u8 {
    match suffix.chars().next() {
        Some('-' | '~') => 0,
        None => 1,
        Some(_) => 2,
    }
}

/// Compares decimal numbers of any length.
fn compare_numbers(one: &str, other: &str) -> Ordering {
    let (one, other) = (one.trim_start_matches('0'), other.trim_start_matches('0'));
    one.len().cmp(&other.len()).then_with(|| one.cmp(other))
}

/// Compares texts by character, but runs of digits as numbers.
fn natural(mut one: &str, mut other: &str) -> Ordering {
    loop {
        let digits = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (count, other_count) = (digits(one), digits(other));
        let order = if count > 0 && other_count > 0 {
            let order = compare_numbers(&one[..count], &other[..other_count]);
            (one, other) = (&one[count..], &other[other_count..]);
            order
        } else {
            let (first, second) = (one.chars().next(), other.chars().next());
            let width = |c: Option<char>| c.map_or(0, char::len_utf8);
            (one, other) = (&one[width(first)..], &other[width(second)..]);
            match (first, second) {
                (None, None) => return Ordering::Equal,
                (first, second) => first.cmp(&second),
            }
        };
        if order.is_ne() {
            return order;
        }
    }
}

/// Finds the version in a file name, such as `8.2-1` in `proxmox-ve_8.2-1.iso`: the first number of several parts, else the
/// first number of at least six digits (a date).
pub fn version_in(name: &str) -> Option<Version> {
    let base = name.rsplit('/').next().unwrap_or(name);
    let starts = |index: usize| {
        let before = base[..index].chars().next_back();
        base[index..].starts_with(|c: char| c.is_ascii_digit())
            && before.is_none_or(|c| matches!(c, '-' | '_' | '.' | ' ') || c == 'v')
            && !base[..index].ends_with(|c: char| c.is_ascii_digit())
    };
    let candidates: Vec<&str> =
        base.char_indices().filter(|(index, _)| starts(*index)).map(|(index, _)| &base[index..]).collect();
    let dotted = candidates.iter().find_map(|text| {
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let number = text[..end].trim_end_matches('.');
        if !number.contains('.') {
            return None;
        }
        // A revision, as in 8.2-1; not an architecture, as in 12.5.0-amd64.
        let rest = &text[number.len()..];
        let revision = rest.strip_prefix('-').map(|rest| {
            let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            let is_whole = rest[end..].is_empty() || rest[end..].starts_with(['.', '-', '_']);
            if is_whole { &rest[..end] } else { "" }
        });
        let length = revision.filter(|revision| !revision.is_empty()).map_or(0, |revision| revision.len() + 1);
        Some(&text[..number.len() + length])
    });
    let dated = || {
        candidates.iter().find_map(|text| {
            let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
            (end >= 6).then_some(&text[..end])
        })
    };
    dotted.or_else(dated).map(Version::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(mut texts: Vec<&str>) -> Vec<&str> {
        texts.sort_by_key(|text| Version::new(*text));
        texts
    }

    #[test]
    fn numbers_are_compared_before_names() {
        let in_order = vec!["current", "4.9.0", "4.10.0-rc.1", "4.10.0-rc.10", "4.10.0", "4.10.1", "41.20250117.3.0"];
        let mut shuffled = in_order.clone();
        shuffled.reverse();
        assert_eq!(sorted(shuffled), in_order);
    }

    #[test]
    fn suffixes_of_upstreams_are_ordered() {
        for in_order in [
            vec!["4.20.0-okd-scos.ec.3", "4.20.0-okd-scos.6", "4.20.0-okd-scos.10"],
            vec!["20230607", "20230607+deb12u9", "20230607+deb12u15", "20250803"],
            vec!["v1.9.5", "v1.10.0-beta.0", "v1.10.0"],
            vec!["8.2-1", "8.2-2", "8.3-1"],
        ] {
            let mut shuffled = in_order.clone();
            shuffled.reverse();
            assert_eq!(sorted(shuffled), in_order);
        }
    }

    #[test]
    fn version_is_found_in_names() {
        for (name, version) in [
            ("proxmox-ve_8.2-1.iso", "8.2-1"),
            ("Rocky-9.4-x86_64-boot.iso", "9.4"),
            ("ubuntu-24.04.3-live-server-amd64.iso", "24.04.3"),
            ("debian-12.5.0-amd64-netinst.iso", "12.5.0"),
            ("rhcos-4.19.0-x86_64-live-kernel.x86_64", "4.19.0"),
            ("AlmaLinux-9-20240506.iso", "20240506"),
            ("dir/Fedora-Server-netinst-x86_64-41-1.4.iso", "1.4"),
        ] {
            assert_eq!(version_in(name), Some(Version::new(version)), "{name}");
        }
        assert_eq!(version_in("rhcos-live-kernel.x86_64"), None);
        assert_eq!(version_in("linux"), None);
    }
}
