//! The records of the blobs, in one append-only file of the cache's directory. They are added in memory, and written and
//! synced to the disk in the background: a record that a crash loses leaves an unverified blob, which is hashed again.
//!
//! Each record is a line with a checksum. A damaged line is a missing record. When most lines are outdated, the file is
//! replaced by one of the current records.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, IoSlice};
use std::os::unix::fs::{FileExt, MetadataExt};

use parking_lot::Mutex;
use tracing::{debug, warn};

use super::dir::Dir;
use super::record::Record;
use super::{CacheError, checked_line};
use crate::asset::Digest;
use crate::error_chain::error_chain;

/// The first line of the file: what it is, and the version of its format.
const HEADER: &str = "bootdepot verified blobs, version 1\n";
/// The checksum of a line depends on this besides its text.
const CONTEXT: &str = "verified";
/// Bytes of a usual line.
const USUAL_LINE: usize = 256;
/// The largest file that is read, in bytes: 4 million lines. A larger file is not one of ours.
const MAX_LENGTH: u64 = 1 << 30;
/// Outdated lines that the file may have besides as many as there are records.
const MAX_OUTDATED: usize = 1000;

/// The records of one cache.
#[derive(Debug, Default)]
pub(super) struct Records {
    /// Records that are not written yet.
    pending: Mutex<Vec<Record>>,
    log: Mutex<Log>,
}

/// The file.
#[derive(Debug, Default)]
struct Log {
    /// `None` if there is no file to append to: the next save replaces it as a whole.
    file: Option<File>,
    /// Where the next line is written. A torn line after it is overwritten.
    end: u64,
    lines: usize,
    /// The last save failed, so that the file lacks records.
    is_stale: bool,
}

/// The records in a file.
#[derive(Debug, Default)]
struct Found {
    records: HashMap<Digest, Record>,
    /// The end of the last whole line.
    end: u64,
    lines: usize,
    damaged: usize,
}

/// The records in the file of `dir`. Damaged ones are left out. Does not change the file.
pub(super) fn read(dir: &Dir) -> HashMap<Digest, Record> {
    let found = Dir::open(&dir.records()).ok().and_then(|file| Found::read(&file).ok());
    found.unwrap_or_default().records
}

impl Records {
    /// Reads the file of `dir` and forgets the file of an earlier directory. Damaged records are left out.
    pub(super) fn load(&self, dir: &Dir) -> HashMap<Digest, Record> {
        let path = dir.records();
        let mut log = self.log.lock();
        *log = Log::default();
        let opened = Dir::reopen(&path).map(|file| (file, true));
        // A file on a read-only disk is read, and nothing is appended to it.
        let opened = opened.or_else(|_| Dir::open(&path).map(|file| (file, false)));
        let Ok((file, is_writable)) = opened else { return HashMap::new() };
        let found = match Found::read(&file) {
            Ok(found) => found,
            Err(error) => {
                warn!(path = %path.display(), %error, "verification records unreadable");
                return HashMap::new();
            }
        };
        if found.damaged > 0 {
            warn!(path = %path.display(), damaged = found.damaged, "verification records damaged");
        }
        let file = Some(file).filter(|_| is_writable);
        *log = Log { file, end: found.end, lines: found.lines, is_stale: false };
        found.records
    }

    /// Adds a record, in memory only: [`Records::save`] writes it.
    pub(super) fn add(&self, record: Record) {
        self.pending.lock().push(record);
    }

    /// Writes and syncs the records that were added. `all` returns the records of all blobs, for a file that must be
    /// replaced, and `count` is about how many these are. If it fails, the next call replaces the file. Blocks.
    pub(super) fn save(&self, dir: &Dir, count: usize, all: impl FnOnce() -> Vec<Record>) {
        let mut log = self.log.lock();
        let added = std::mem::take(&mut *self.pending.lock());
        if added.is_empty() && !log.is_stale {
            return;
        }
        let is_outdated = log.lines + added.len() > 2 * count + MAX_OUTDATED;
        let saved = if log.is_linked() && !is_outdated { log.append(dir, &added) } else { log.replace(dir, &all()) };
        if let Err(error) = saved {
            *log = Log { is_stale: true, ..Log::default() };
            debug!(error = %error_chain(&error), "verification records not saved");
        }
    }
}

impl Log {
    /// Whether there is a file that was not removed from the directory.
    fn is_linked(&self) -> bool {
        self.file.as_ref().is_some_and(|file| file.metadata().is_ok_and(|meta| meta.nlink() > 0))
    }

    fn append(&mut self, dir: &Dir, records: &[Record]) -> Result<(), CacheError> {
        let (path, text) = (dir.records(), lines(records));
        let Some(file) = &self.file else { return Ok(()) };
        dir.write(file, &path, self.end, &mut [IoSlice::new(text.as_bytes())])?;
        dir.sync_data(file, &path)?;
        self.end += text.len() as u64;
        self.lines += records.len();
        Ok(())
    }

    fn replace(&mut self, dir: &Dir, records: &[Record]) -> Result<(), CacheError> {
        let (path, text) = (dir.records(), HEADER.to_owned() + &lines(records));
        dir.replace(&path, text.as_bytes())?;
        let file = Dir::reopen(&path)?;
        *self = Self { file: Some(file), end: text.len() as u64, lines: records.len(), is_stale: false };
        Ok(())
    }
}

impl Found {
    /// Reads the records of a file. Fails if it is not a file of records of this version.
    fn read(file: &File) -> io::Result<Self> {
        let foreign = || io::Error::new(io::ErrorKind::InvalidData, "it is not a file of verification records");
        let length = file.metadata()?.len();
        if length > MAX_LENGTH {
            return Err(foreign());
        }
        let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
        file.read_exact_at(&mut bytes, 0)?;
        let rest = bytes.strip_prefix(HEADER.as_bytes()).ok_or_else(foreign)?;
        let records = HashMap::with_capacity(rest.len() / USUAL_LINE);
        let mut found = Self { end: HEADER.len() as u64, records, ..Self::default() };
        for line in rest.split_inclusive(|byte| *byte == b'\n') {
            match checked_line::read(CONTEXT, line).and_then(Record::parse) {
                Some(record) => drop(found.records.insert(record.digest, record)),
                None => found.damaged += 1,
            }
            found.lines += 1;
            if line.ends_with(b"\n") {
                found.end += line.len() as u64;
            }
        }
        Ok(found)
    }
}

fn lines(records: &[Record]) -> String {
    records.iter().map(|record| checked_line::write(CONTEXT, &record.to_text())).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::time::SystemTime;

    use super::super::record::Proof;
    use super::*;
    use crate::cache::identity::Identity;
    use crate::fault_points::FaultPoints;

    fn record(name: u8) -> Record {
        let proof =
            Proof { file: Identity::of(&tempfile::tempfile().unwrap()).unwrap(), at: SystemTime::now(), verity: None };
        Record { digest: Digest::of(&[name]), used: SystemTime::now(), proof: Some(proof) }
    }

    fn dir(temp: &tempfile::TempDir) -> Dir {
        Dir::new(temp.path().to_owned(), FaultPoints::default())
    }

    /// The records in the file after a restart.
    fn stored(dir: &Dir) -> HashMap<Digest, Record> {
        let loaded = Records::default().load(dir);
        assert_eq!(read(dir), loaded);
        loaded
    }

    fn map(records: &[Record]) -> HashMap<Digest, Record> {
        records.iter().map(|record| (record.digest, *record)).collect()
    }

    /// A file with these records, each saved on its own.
    fn saved(dir: &Dir, all: &[Record]) -> Records {
        let records = Records::default();
        for (index, record) in all.iter().enumerate() {
            records.add(*record);
            records.save(dir, 100, || all[..=index].to_vec());
        }
        records
    }

    #[test]
    fn saved_records_survive_restart() {
        let temp = tempfile::tempdir().unwrap();
        let dir = dir(&temp);
        assert!(stored(&dir).is_empty());
        let first = [record(1), record(2)];
        let records = saved(&dir, &first);
        assert_eq!(stored(&dir), map(&first));
        let newer = Record { proof: None, ..record(1) };
        records.add(newer);
        assert_eq!(stored(&dir), map(&first), "it is not saved yet");
        records.save(&dir, 100, || panic!("appended"));
        assert_eq!(stored(&dir), map(&[newer, first[1]]), "the last record counts");
    }

    #[test]
    fn torn_or_damaged_record_is_missing() {
        let temp = tempfile::tempdir().unwrap();
        let dir = dir(&temp);
        let all: Vec<_> = (0..5).map(record).collect();
        saved(&dir, &all);
        let bytes = fs::read(dir.records()).unwrap();
        for cut in [bytes.len() - 1, bytes.len() - 200] {
            fs::write(dir.records(), &bytes[..cut]).unwrap();
            assert_eq!(stored(&dir), map(&all[..4]), "cut at {cut}");
            // The next record takes the place of the torn one.
            let records = Records::default();
            records.load(&dir);
            records.add(all[4]);
            records.save(&dir, 100, || panic!("appended"));
            assert_eq!(stored(&dir), map(&all));
        }
        let mut damaged = bytes.clone();
        damaged[bytes.len() / 2] ^= 4;
        fs::write(dir.records(), damaged).unwrap();
        let mut without = all.clone();
        without.remove(2);
        assert_eq!(stored(&dir), map(&without));
    }

    #[test]
    fn foreign_file_is_replaced() {
        for foreign in [&b""[..], b"garbage", b"bootdepot verified blobs, version 2\n", &[0; 5_000]] {
            let temp = tempfile::tempdir().unwrap();
            let dir = dir(&temp);
            fs::write(dir.records(), foreign).unwrap();
            let records = Records::default();
            assert!(records.load(&dir).is_empty());
            assert_eq!(fs::read(dir.records()).unwrap(), foreign, "reading changes nothing");
            records.add(record(1));
            let all = [record(1), record(2)];
            records.save(&dir, 2, || all.to_vec());
            assert_eq!(stored(&dir), map(&all));
        }
    }

    #[test]
    fn symlink_in_place_is_not_followed() {
        let temp = tempfile::tempdir().unwrap();
        let dir = dir(&temp);
        saved(&dir, &[record(1)]);
        let elsewhere = temp.path().join("elsewhere");
        fs::rename(dir.records(), &elsewhere).unwrap();
        symlink(&elsewhere, dir.records()).unwrap();
        let before = fs::read(&elsewhere).unwrap();
        let records = Records::default();
        assert!(records.load(&dir).is_empty() && read(&dir).is_empty());
        let added = record(2);
        records.add(added);
        records.save(&dir, 1, || vec![added]);
        assert_eq!(fs::read(&elsewhere).unwrap(), before);
        assert_eq!(stored(&dir), map(&[added]));
    }

    #[test]
    fn outdated_or_deleted_file_is_replaced() {
        let temp = tempfile::tempdir().unwrap();
        let dir = dir(&temp);
        let current = record(1);
        let records = saved(&dir, &[current]);
        let line = fs::metadata(dir.records()).unwrap().len();
        for _ in 0..2 * MAX_OUTDATED {
            records.add(current);
        }
        records.save(&dir, 1, || vec![current]);
        assert_eq!(fs::metadata(dir.records()).unwrap().len(), line);
        fs::remove_file(dir.records()).unwrap();
        records.add(record(2));
        records.save(&dir, 1, || vec![current]);
        assert_eq!(stored(&dir), map(&[current]));
    }

    #[test]
    fn failed_save_is_made_up_for() {
        for step in 0..2 {
            let temp = tempfile::tempdir().unwrap();
            let faults = FaultPoints::default();
            let dir = Dir::new(temp.path().to_owned(), faults.clone());
            let all = [record(1), record(2)];
            let records = saved(&dir, &all[..1]);
            faults.fail(step..step + 1, libc::ENOSPC);
            records.add(all[1]);
            records.save(&dir, 2, || panic!("appended"));
            faults.heal();
            records.save(&dir, 2, || all.to_vec());
            assert_eq!(stored(&dir), map(&all), "step {step}");
        }
    }
}
