//! Checks the ISO images of profiles: `sanboot` gives a boot loader a disk and Linux none, so that an image does not boot if its
//! kernel reads the rest of the system from its medium. The directories of an image are read by ranges.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::timeout;

use super::iso9660::{self, Entry};
use crate::asset::{AssetName, ByteRange, SourceUrl};
use crate::config::Config;
use crate::jobs::{CheckResult, CheckRow, Finding};
use crate::origin::{OriginError, Origins};
use crate::units::count;

/// The longest directory that is read, in bytes: thousands of entries.
const LONGEST: u64 = 1 << 20;
/// How long all requests for one image may take.
const IMAGE: Duration = Duration::from_mins(1);

/// Files and directories by which systems are known that read their medium, in the order in which they are looked for.
const MARKS: [(&str, &str); 15] = [
    ("coreos", "a live system of CoreOS"),
    ("images/pxeboot/rootfs.img", "a live system of CoreOS"),
    ("liveos", "a live system (LiveOS)"),
    ("casper", "a live system of Ubuntu (casper)"),
    ("live", "a live system of Debian (live)"),
    ("arch", "a live system of Arch Linux"),
    ("sysresccd", "a live system (SystemRescue)"),
    ("nix-store.squashfs", "a live system of NixOS"),
    ("antix", "a live system of antiX"),
    ("proxmox", "an installer of Proxmox, which reads its medium"),
    ("images/install.img", "Anaconda, which reads its medium"),
    ("boot/x86_64/root", "an installer of SUSE, which reads its medium"),
    ("apks", "Alpine Linux, which reads its medium"),
    ("dists", "an installer of Debian, which reads its medium"),
    (".treeinfo", "an installer, which reads its medium"),
];

/// Looks at the ISO image of each profile. Returns `None` if there are none.
pub(super) async fn check(config: &Config, origins: &Origins) -> Option<CheckRow> {
    let isos = config.roster.isos();
    if isos.is_empty() {
        return None;
    }
    let looking = isos.iter().map(|(profile, name)| one(config, origins, profile, name));
    let findings: Vec<_> = join_all(looking).await;
    let of = |result: CheckResult| findings.iter().filter(|finding| finding.result == result).count();
    let live = findings.iter().filter(|finding| finding.trouble.is_some()).count();
    let summary = match (live, of(CheckResult::Unverified)) {
        (0, 0) => count(findings.len(), "ISO image"),
        (0, unread) => format!("{}, {unread} not read", count(findings.len(), "ISO image")),
        (live, _) => format!("{live} of {} will not boot", count(findings.len(), "ISO image")),
    };
    Some(CheckRow { check: "isos", place: "[[profile]]".to_owned(), summary, findings })
}

async fn one(config: &Config, origins: &Origins, profile: &str, name: &AssetName) -> Finding {
    let listed = config.catalog.by_name(name.as_str()).map(|asset| asset.sources.clone());
    let of_collection = || config.catalog.collections().iter().find_map(|collection| collection.source_of(name));
    let sources = listed.unwrap_or_else(|| of_collection().into_iter().collect());
    let mut reason = "it has no source".to_owned();
    for source in &sources {
        match timeout(IMAGE, system(origins, source)).await {
            Ok(Ok(Some(system))) => {
                let place = config.place_in("profile", profile, "iso");
                return Finding::warning(
                    name.as_str(),
                    "live system",
                    format!("it carries {system}; its kernel finds no disk if iPXE boots the image"),
                    format!(
                        "boot its kernel and initramfs with `kernel` and `initrd`, and name the rest by a URL; correct `iso` of \
                         [[profile]] {profile:?} ({place})"
                    ),
                );
            }
            Ok(Ok(None)) => return Finding::ok(name.as_str(), "no live system is known by its directory"),
            Ok(Err(error)) => reason = error.to_string(),
            Err(_) => reason = format!("it did not come within {} s", IMAGE.as_secs()),
        }
    }
    Finding::unverified(name.as_str(), format!("its directory cannot be read: {reason}"))
}

/// Returns the system that an image carries, if it is one that reads its medium.
async fn system(origins: &Origins, source: &SourceUrl) -> Result<Option<&'static str>, OriginError> {
    let (start, length) = iso9660::DESCRIPTOR;
    let Some(root) = iso9660::root(&read(origins, source, start, length).await?) else { return Ok(None) };
    let top = list(origins, source, &root).await?;
    for (path, system) in MARKS {
        let mut place = top.clone();
        let mut segments = path.split('/').peekable();
        while let Some(segment) = segments.next() {
            let Some(found) = place.iter().find(|entry| entry.name == segment).cloned() else { break };
            if segments.peek().is_none() {
                return Ok(Some(system));
            }
            if !found.is_directory {
                break;
            }
            place = list(origins, source, &found).await?;
        }
    }
    Ok(None)
}

async fn list(origins: &Origins, source: &SourceUrl, directory: &Entry) -> Result<Vec<Entry>, OriginError> {
    let bytes = read(origins, source, directory.start, directory.length.min(LONGEST)).await?;
    Ok(iso9660::entries(&bytes))
}

/// Reads a part of an object; less if the object ends before. A source that ignores ranges is read from its start.
async fn read(origins: &Origins, source: &SourceUrl, start: u64, length: u64) -> Result<Vec<u8>, OriginError> {
    let mut reply = origins.read(source, Some(ByteRange::new(start, start + length)), None).await?;
    let (mut at, mut bytes) = (reply.range.start, Vec::new());
    while at < start + length
        && let Some(piece) = reply.body.chunk().await?
    {
        let wanted = ByteRange::new(start, start + length).intersect(&ByteRange::new(at, at + piece.len() as u64));
        let within = |offset: u64| usize::try_from(offset - at).unwrap_or(usize::MAX);
        if !wanted.is_empty() {
            bytes.extend_from_slice(&piece[within(wanted.start)..within(wanted.end)]);
        }
        at += piece.len() as u64;
    }
    Ok(bytes)
}
