//! Whether the cache's directory can be used, and whether what is to be in it has room there.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::checked_by::CheckedBy;
use super::seals;
use crate::asset::Digest;
use crate::cache::{CacheSettings, Inspection, WriteUser, check_writes};
use crate::config::Config;
use crate::error_chain::error_chain;
use crate::jobs::{CheckResult, CheckRow, Finding};
use crate::units::{bytes, count};

/// Looks at the cache of these settings. `sizes` is what origins said of the lengths of objects. Blocks.
pub(super) fn check(
    config: &Config,
    survey: &Inspection,
    sizes: &HashMap<Digest, u64>,
    checked_by: CheckedBy,
) -> CheckRow {
    let CacheSettings { dir, .. } = &config.cache;
    let (room, summary) = room(config, survey, sizes);
    let directory = directory(config, dir, survey, checked_by);
    let summary =
        if directory.result == CheckResult::Failed { "nothing can be stored there".to_owned() } else { summary };
    let findings = vec![directory, seals::check(config, survey), room];
    CheckRow { check: "cache", place: dir.display().to_string(), summary, findings }
}

/// Whether blobs can be stored in the directory, by storing a file as a fill does.
fn directory(config: &Config, dir: &Path, survey: &Inspection, checked_by: CheckedBy) -> Finding {
    let place = config.place(&["cache", "dir"]);
    let existing = dir.ancestors().find(|dir| dir.exists()).unwrap_or(dir);
    if !existing.is_dir() {
        return Finding::failed(
            "directory",
            "no directory",
            format!("{} is a file", existing.display()),
            format!("move it away, or correct `cache.dir` ({place})"),
        );
    }
    let user = service_user(existing, checked_by);
    let identity = match user {
        Some(WriteUser { user, .. }) => format!("the owner of {} (id {user})", existing.display()),
        None => format!("this user (id {})", rustix::process::geteuid().as_raw()),
    };
    if let Err(error) = check_writes(dir, user) {
        return Finding::failed(
            "directory",
            "cannot write",
            format!("{identity} cannot store a file there: {}", error_chain(&error)),
            format!(
                "give the directory to the user that runs bootdepot and see `dmesg`, or correct `cache.dir` ({place})"
            ),
        );
    }
    let stored = format!("{identity} can write, sync and rename files");
    let found = match &survey.holder {
        Some(pid) => format!("{stored}; in use by a running bootdepot, pid {pid}"),
        None if existing == dir => stored,
        None => format!("{stored} in {}; the server will make the directory", existing.display()),
    };
    Finding::ok("directory", found)
}

/// The user that probably runs the server, if root runs the check instead: the owner of the directory. `None` for this
/// process's own user.
fn service_user(dir: &Path, checked_by: CheckedBy) -> Option<WriteUser> {
    let by_root = checked_by == CheckedBy::Command && rustix::process::geteuid().is_root();
    let found = by_root.then(|| std::fs::metadata(dir).ok()).flatten()?;
    (found.uid() != 0).then(|| WriteUser { user: found.uid(), group: found.gid() })
}

/// Total size of the active releases and the pinned assets.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wanted {
    /// Bytes of them that are cached.
    here: u64,
    /// Bytes that are still to come.
    missing: u64,
    /// Bytes of those for which room is set aside already.
    begun: u64,
    /// Bytes of the cache that may go for them.
    evictable: u64,
    /// How many are of no known size.
    unknown: usize,
}

impl Wanted {
    fn of(config: &Config, survey: &Inspection, sizes: &HashMap<Digest, u64>) -> Self {
        let active = config.releases.iter().filter(|release| release.active).flat_map(|release| &release.assets);
        let active = active.filter_map(|name| config.catalog.by_name(name.as_str()));
        let pinned = config.catalog.assets().filter(|asset| asset.pin);
        let stays: HashMap<_, _> = active.chain(pinned).map(|asset| (asset.digest, asset)).collect();
        let loose = |all: &HashMap<Digest, u64>| -> u64 {
            let sizes = all.iter().filter(|(digest, _)| !stays.contains_key(digest)).map(|(_, size)| *size);
            sizes.fold(0, u64::saturating_add)
        };
        let blobs = loose(&survey.blobs).saturating_add(loose(&survey.unverified));
        let evictable = survey.quarantined.saturating_add(blobs).saturating_add(loose(&survey.partials));
        let mut wanted = Self { evictable, ..Self::default() };
        for (digest, asset) in &stays {
            let begun = survey.partials.get(digest);
            let blob = survey.blobs.get(digest).or_else(|| survey.unverified.get(digest));
            match (blob, asset.size.or_else(|| sizes.get(digest).or(begun).copied())) {
                (Some(here), _) => wanted.here = wanted.here.saturating_add(*here),
                (None, Some(size)) => {
                    let begun = begun.map_or(0, |begun| size.min(*begun));
                    wanted.missing = wanted.missing.saturating_add(size);
                    wanted.begun = wanted.begun.saturating_add(begun);
                }
                (None, None) => wanted.unknown += 1,
            }
        }
        wanted
    }
}

fn room(config: &Config, survey: &Inspection, sizes: &HashMap<Digest, u64>) -> (Finding, String) {
    let CacheSettings { max_size, min_free, .. } = config.cache;
    let wanted = Wanted::of(config, survey, sizes);
    // An origin may claim any length.
    let all = wanted.here.saturating_add(wanted.missing);
    let to_come = wanted.missing - wanted.begun;
    let unfilled = survey.free.saturating_sub(min_free);
    let allowed = max_size.saturating_sub(wanted.here.saturating_add(wanted.begun));
    let space = unfilled.saturating_add(wanted.evictable).min(allowed);
    let place = |key| config.place(&["cache", key]);
    let failed = |found, remedy| Finding::failed("room", "no room", found, remedy);
    let releases = "the active releases and the pinned assets";
    let free = format!("{} free, of which min_free keeps {}", bytes(survey.free), bytes(min_free));
    let summary = match (all, to_come) {
        (0, _) if wanted.unknown == 0 => format!("no active release or pinned asset; {} of room", bytes(space)),
        (_, 0) if wanted.unknown == 0 => format!("{} are here, nothing is missing", bytes(wanted.here)),
        _ => {
            let to_come = match wanted.unknown {
                0 => bytes(to_come),
                unknown if to_come == 0 => format!("{} of unknown size", count(unknown, "asset")),
                unknown => format!("{} and {} of unknown size", bytes(to_come), count(unknown, "asset")),
            };
            format!("{} are here, {to_come} still to be fetched, {} of room", bytes(wanted.here), bytes(space))
        }
    };
    let finding = if all > max_size {
        failed(
            format!("{releases} are {} together, and max_size is {}", bytes(all), bytes(max_size)),
            format!("raise `cache.max_size` ({}), or make fewer releases active", place("max_size")),
        )
    } else if to_come > space {
        failed(
            format!(
                "{} of {releases} are still to be fetched, and there is room for {} ({free})",
                bytes(to_come),
                bytes(space)
            ),
            format!(
                "free {} on the file system of `cache.dir` ({}), move it to a larger one, lower `cache.min_free` ({}), or \
                 make fewer releases active",
                bytes(to_come - space),
                place("dir"),
                place("min_free")
            ),
        )
    } else if wanted.unknown > 0 {
        let finding = Finding::warning(
            "room",
            "unknown size",
            format!(
                "how large {} of {releases} will be is not known, and so not whether there is room",
                count(wanted.unknown, "asset")
            ),
            "mend the origins, or give each [[asset]] its `size`",
        );
        Finding { result: CheckResult::Unverified, ..finding }
    } else if to_come > unfilled {
        let evicted = bytes(to_come - unfilled);
        Finding::ok("room", format!("{summary}; {evicted} of what was not used for the longest time will be evicted"))
    } else {
        Finding::ok("room", format!("{summary} ({free})"))
    };
    (finding, summary)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Flags;

    #[test]
    fn claimed_lengths_do_not_overflow() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("b.toml");
        let digests = [Digest::of(b"a"), Digest::of(b"b")];
        let asset = |digest| {
            format!("[[asset]]\nname = \"{digest}\"\nsha256 = \"{digest}\"\nsources = [\"s3://b/k\"]\npin = true\n")
        };
        std::fs::write(&path, format!("[cache]\ndir = \"/c\"\n{}", digests.map(asset).concat())).unwrap();
        let config = Config::load(&Flags { config: Some(path), ..Flags::default() }, []).unwrap();
        let survey = Inspection {
            blobs: HashMap::new(),
            unverified: HashMap::new(),
            sealed: 0,
            partials: HashMap::new(),
            quarantined: 0,
            free: 1 << 30,
            holder: None,
        };
        let (finding, _) = room(&config, &survey, &digests.map(|digest| (digest, u64::MAX)).into());
        assert_eq!((finding.result, finding.trouble), (CheckResult::Failed, Some("no room")));
    }
}
