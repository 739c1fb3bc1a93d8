//! A scan of the cache's directory by names and sizes; file contents are not read.

use std::collections::HashSet;
use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;

use tracing::warn;

use super::dir::{Dir, PROBE_NAME};
use super::identity::Identity;
use super::obstruction;
use crate::asset::Digest;

/// More threads than this do not make a scan faster: the kernel's locks and the disk are the limit.
const MOST_THREADS: usize = 4;

/// The contents of a cache directory.
#[derive(Debug, Default)]
pub(super) struct Scan {
    pub(super) blobs: Vec<Found>,
    pub(super) partials: Vec<Found>,
    pub(super) quarantined: Vec<Found>,
    /// Useless files that a crash left.
    pub(super) leftovers: Vec<(Digest, PathBuf)>,
    /// Files that do not belong to the cache.
    pub(super) foreign: Vec<PathBuf>,
}

/// A file of the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) digest: Digest,
    pub(super) file: Identity,
}

impl Scan {
    /// Scans the directory. A subdirectory that cannot be read is logged and left out.
    pub(super) fn of(dir: &Dir) -> Self {
        let mut scan = Self::default();
        let (shards, others): (Vec<_>, Vec<_>) = files(&dir.blobs()).into_iter().partition(|(_, meta)| meta.is_dir());
        for (path, _) in others {
            scan.add_foreign(path);
        }
        scan.add_shards(&shards);
        let blobs: HashSet<_> = scan.blobs.iter().map(|found| found.digest).collect();
        scan.partials(dir, &blobs);
        for (path, meta) in files(&dir.quarantine()) {
            match found(&path, &meta) {
                Some(it) => scan.quarantined.push(it),
                // It was logged when it was moved there.
                None if obstruction::was_moved(&path) => {}
                None => scan.foreign.push(path),
            }
        }
        scan
    }

    /// Adds the blobs in these directories, with a few threads: each file costs a system call.
    fn add_shards(&mut self, shards: &[(PathBuf, Metadata)]) {
        let threads = thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS);
        let shares = shards.chunks(shards.len().div_ceil(threads).max(1));
        let scan_share = |share: &[(PathBuf, Metadata)]| {
            let mut scan = Self::default();
            for (path, _) in share {
                scan.add_shard(path);
            }
            scan
        };
        thread::scope(|scope| {
            let scans: Vec<_> = shares.map(|share| scope.spawn(move || scan_share(share))).collect();
            for scan in scans {
                let share = scan.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                self.blobs.extend(share.blobs);
                self.leftovers.extend(share.leftovers);
                self.foreign.extend(share.foreign);
            }
        });
    }

    /// Adds the blobs in one directory, whose name is the first two digits of theirs.
    fn add_shard(&mut self, shard: &Path) {
        let empty = Digest::of(b"");
        for (path, meta) in files(shard) {
            match found(&path, &meta) {
                Some(_) if !is_in_its_shard(&path) => self.foreign.push(path),
                // A blob is admitted after all of it was written to the disk: an empty file was lost by the file system.
                Some(it) if it.file.size == 0 && it.digest != empty => self.leftovers.push((it.digest, path)),
                Some(it) => self.blobs.push(it),
                None => self.foreign.push(path),
            }
        }
    }

    /// Adds a file that does not belong to the cache, unless a probe that is writing it now, or was killed, made it.
    fn add_foreign(&mut self, path: PathBuf) {
        if path.file_name().is_none_or(|name| name != PROBE_NAME) {
            self.foreign.push(path);
        }
    }

    /// A partial is useful if it has a log and there is no blob of its digest.
    fn partials(&mut self, dir: &Dir, blobs: &HashSet<Digest>) {
        let (mut bytes, mut logs) = (Vec::new(), HashSet::new());
        for (path, meta) in files(&dir.partials()) {
            let log = path.extension().is_some_and(|extension| extension == "map");
            match found(&if log { path.with_extension("") } else { path.clone() }, &meta) {
                Some(it) if log => drop(logs.insert(it.digest)),
                Some(it) => bytes.push(it),
                None => self.add_foreign(path),
            }
        }
        for it in bytes {
            if logs.remove(&it.digest) && !blobs.contains(&it.digest) {
                self.partials.push(it);
            } else {
                self.leftovers.push((it.digest, dir.log(&it.digest)));
                self.leftovers.push((it.digest, dir.partial(&it.digest)));
            }
        }
        self.leftovers.extend(logs.into_iter().map(|digest| (digest, dir.log(&digest))));
    }
}

/// The files in a directory; none if it does not exist.
fn files(path: &Path) -> Vec<(PathBuf, Metadata)> {
    let listed = fs::read_dir(path).and_then(|entries| {
        let with_metadata = |entry: io::Result<fs::DirEntry>| {
            let entry = entry?;
            match entry.metadata() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                meta => Ok(Some((entry.path(), meta?))),
            }
        };
        entries.filter_map(|entry| with_metadata(entry).transpose()).collect()
    });
    match listed {
        Ok(files) => files,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            warn!(path = %path.display(), %error, "cache directory unreadable");
            Vec::new()
        }
    }
}

/// The file at `path`, if it is a regular file whose name is a digest in lower case.
fn found(path: &Path, meta: &Metadata) -> Option<Found> {
    let name = path.file_name()?.to_str()?;
    let is_lower_case = !name.bytes().any(|byte| byte.is_ascii_uppercase());
    let digest = name.parse().ok().filter(|_| is_lower_case)?;
    meta.is_file().then(|| Found { digest, file: meta.into() })
}

/// Whether a file whose name is a digest is in the directory of its first two digits.
fn is_in_its_shard(path: &Path) -> bool {
    let name = |path: &Path| Some(path.file_name()?.as_encoded_bytes().to_owned());
    let (name, shard) = (name(path), path.parent().and_then(name));
    shard.is_some_and(|shard| name.is_some_and(|name| name.get(..2) == Some(&shard)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault_points::FaultPoints;

    #[test]
    fn scan_classifies_every_kind_of_file() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::new(temp.path().to_owned(), FaultPoints::default());
        dir.ensure().unwrap();
        let digests: Vec<_> = (0u8..6).map(|n| Digest::of(&[n])).collect();
        let put = |path: PathBuf, bytes: &[u8]| {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, bytes).unwrap();
            path
        };
        put(dir.blob(&digests[0]), b"blob");
        put(dir.blob(&Digest::of(b"")), b"");
        let lost = put(dir.blob(&digests[1]), b"");
        put(dir.partial(&digests[2]), b"partial");
        put(dir.log(&digests[2]), b"log");
        let without_log = put(dir.partial(&digests[3]), b"");
        let log_alone = put(dir.log(&digests[4]), b"");
        let of_a_blob = put(dir.partial(&digests[0]), b"");
        put(dir.quarantined(&digests[5]), b"broken");
        let foreign = [
            put(dir.blobs().join("README"), b""),
            put(dir.blob(&digests[0]).with_file_name(digests[1].to_string()), b"under another name"),
            put(dir.partials().join("notes.txt"), b""),
            put(dir.partials().join(digests[5].to_string().to_uppercase()), b""),
        ];
        fs::create_dir(dir.quarantined(&digests[4])).unwrap();

        let mut scan = Scan::of(&dir);
        let digest_and_size =
            |found: &[Found]| found.iter().map(|it| (it.digest, it.file.size)).collect::<HashSet<_>>();
        assert_eq!(digest_and_size(&scan.blobs), [(digests[0], 4), (Digest::of(b""), 0)].into());
        assert_eq!(digest_and_size(&scan.partials), [(digests[2], 7)].into());
        assert_eq!(digest_and_size(&scan.quarantined), [(digests[5], 6)].into());
        let leftovers: HashSet<_> = scan.leftovers.iter().map(|(_, path)| path.clone()).collect();
        let expected =
            [lost, dir.log(&digests[3]), without_log, log_alone, dir.log(&digests[0]), of_a_blob].into_iter().collect();
        assert_eq!(leftovers, expected);
        scan.foreign.sort();
        let mut expected = foreign.to_vec();
        expected.push(dir.quarantined(&digests[4]));
        expected.sort();
        assert_eq!(scan.foreign, expected);
    }

    #[test]
    fn missing_directory_scans_empty() {
        let scan = Scan::of(&Dir::new("/nowhere/at/all".into(), FaultPoints::default()));
        assert!(scan.blobs.is_empty() && scan.partials.is_empty() && scan.quarantined.is_empty());
        assert!(scan.leftovers.is_empty() && scan.foreign.is_empty());
    }
}
