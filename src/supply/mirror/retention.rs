//! Which old versions of a mirror leave the bucket.

use std::collections::BTreeMap;

use crate::supply::recipes::Version;

/// The objects of one old version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OldVersion {
    pub(super) keys: Vec<String>,
}

/// The versions below `directory` beyond the newest `keep` and older than `current`, the newest first. Only names that begin
/// with a number are versions. `is_named` says whether a catalog names an object: its whole version stays.
pub(super) fn outdated(
    keys: impl IntoIterator<Item = String>,
    directory: &str,
    keep: u32,
    current: &Version,
    is_named: impl Fn(&str) -> bool,
) -> Vec<OldVersion> {
    let mut versions: BTreeMap<Version, Vec<String>> = BTreeMap::new();
    for key in keys {
        let version = key.strip_prefix(directory).and_then(|rest| rest.split_once('/')).map(|(version, _)| version);
        if let Some(version) = version.map(Version::new).filter(Version::is_numbered) {
            versions.entry(version).or_default().push(key);
        }
    }
    let kept = usize::try_from(keep).unwrap_or(usize::MAX);
    let beyond = versions.into_iter().rev().skip(kept);
    let old = beyond.filter(|(version, keys)| version < current && !keys.iter().any(|key| is_named(key)));
    old.map(|(_, keys)| OldVersion { keys }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn old(keep: u32, current: &str, named: &str) -> Vec<String> {
        let keys =
            ["os/4.9/kernel", "os/4.9/kernel.sha256", "os/4.10/kernel", "os/4.11/kernel", "os/notes/x", "other/1/k"];
        let keys = keys.map(str::to_owned);
        let outdated = outdated(keys, "os/", keep, &Version::new(current), |key| key == named);
        outdated.into_iter().flat_map(|old| old.keys).collect()
    }

    #[test]
    fn newest_versions_are_kept() {
        assert_eq!(old(2, "4.11", ""), ["os/4.9/kernel", "os/4.9/kernel.sha256"]);
        assert_eq!(old(1, "4.11", ""), ["os/4.10/kernel", "os/4.9/kernel", "os/4.9/kernel.sha256"]);
        assert_eq!(old(3, "4.11", ""), Vec::<String>::new());
    }

    #[test]
    fn named_and_current_versions_are_kept() {
        assert_eq!(old(1, "4.11", "os/4.9/kernel"), ["os/4.10/kernel"]);
        // An old version was mirrored on purpose.
        assert_eq!(old(1, "4.9", ""), Vec::<String>::new());
    }
}
