//! The log beside a partial: which of its parts are written. Records are appended as parts arrive, so that a restart resumes
//! the fill.
//!
//! Each record is a line with a checksum. The first line that is torn or does not match ends the log: a part may be
//! forgotten, but none is invented. Appending does not wait for the disk; therefore the log records in which boot of the
//! machine a part was written. The page cache keeps what a process wrote after the process ends; after a reboot only those
//! parts count that were synced to the disk ([`Record::Durable`]). In any case all bytes are hashed before admission.
//!
//! A fill does not need the log. If the disk cannot store a record, the log is kept in memory from then on, and a restart
//! begins the fill again.

use std::fs::{self, File};
use std::io::IoSlice;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::dir::Dir;
use super::{CacheError, checked_line};
use crate::asset::Digest;

/// A line of the log.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Record {
    /// The sizes of the partial and of its parts in bytes: the first line, and again before parts of another size.
    Partial { size: u64, part_size: u64 },
    /// The records that follow were written in this boot of the machine.
    Boot(String),
    /// The part is in the page cache.
    Written(usize),
    /// The part is on the disk.
    Durable(usize),
    /// The filler's note; the last one counts.
    Note(String),
}

/// The state of a part, in order of progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Missing,
    Written,
    Durable,
}

/// The written parts of a partial, and the file that records them.
#[derive(Debug)]
pub(super) struct PartLog {
    /// `None` if the disk failed to store a record.
    file: Option<File>,
    path: PathBuf,
    digest: Digest,
    /// Where the next record is written. Torn bytes after it are overwritten.
    end: u64,
    size: u64,
    part_size: u64,
    parts: Vec<Part>,
    note: Option<String>,
}

/// The id of this boot of the machine. Empty if the system does not report it; an empty id equals no other.
pub(super) fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
}

impl PartLog {
    /// Creates a log without a part. Overwrites an existing one.
    pub(super) fn create(
        dir: &Dir,
        digest: &Digest,
        size: u64,
        part_size: u64,
        boot: &str,
    ) -> Result<Self, CacheError> {
        let mut log = Self::in_memory(dir, digest, size, part_size);
        log.begin_file(dir, boot)?;
        Ok(log)
    }

    /// A log without a part that the disk does not store.
    pub(super) fn in_memory(dir: &Dir, digest: &Digest, size: u64, part_size: u64) -> Self {
        let (path, parts) = (dir.log(digest), vec![Part::Missing; count(size, part_size)]);
        Self { file: None, path, digest: *digest, end: 0, size, part_size, parts, note: None }
    }

    /// Creates its file, or overwrites it.
    fn begin_file(&mut self, dir: &Dir, boot: &str) -> Result<(), CacheError> {
        self.file = Some(dir.create(&self.path)?);
        self.end = 0;
        let (size, part_size) = (self.size, self.part_size);
        self.append(dir, &[Record::Partial { size, part_size }, Record::Boot(boot.to_owned())])
    }

    /// Opens the log of an earlier fill. `None` if there is none, if it is too damaged, or if the partial has another size.
    /// Parts of another size are converted.
    pub(super) fn open(dir: &Dir, digest: &Digest, size: u64, part_size: u64, boot: &str) -> Option<Self> {
        let path = dir.log(digest);
        let file = Dir::reopen(&path).ok()?;
        let length = Dir::length(&file, &path).ok()?;
        let mut bytes = vec![0; usize::try_from(length).ok()?];
        Dir::read(&file, &path, 0, &mut bytes).ok()?;
        let mut lines = bytes.split_inclusive(|byte| *byte == b'\n');
        let first = lines.next()?;
        let Record::Partial { size: found, part_size: first_part_size } = parse(digest, first)? else { return None };
        if found != size {
            return None;
        }
        let (end, parts) = (first.len() as u64, vec![Part::Missing; count(size, first_part_size)]);
        let (file, note) = (Some(file), None);
        let mut log = Self { file, path, digest: *digest, end, size, part_size: first_part_size, parts, note };
        let mut logged_boot = String::new();
        for line in lines {
            let Some(record) = parse(digest, line) else { break };
            log.end += line.len() as u64;
            match record {
                Record::Partial { size: found, part_size } if found == size => log.set_part_size(part_size),
                Record::Partial { .. } => return None,
                Record::Boot(next) => {
                    log.apply_reboot(&logged_boot, &next);
                    logged_boot = next;
                }
                Record::Written(index) => log.mark(index, Part::Written),
                Record::Durable(index) => log.mark(index, Part::Durable),
                Record::Note(note) => log.note = Some(note),
            }
        }
        if logged_boot != boot || boot.is_empty() {
            log.apply_reboot(&logged_boot, boot);
            log.append(dir, &[Record::Boot(boot.to_owned())]).ok()?;
        }
        if log.part_size != part_size {
            log.append(dir, &[Record::Partial { size, part_size }]).ok()?;
            log.set_part_size(part_size);
        }
        Some(log)
    }

    /// Which parts are written: one flag for each part.
    pub(super) fn parts(&self) -> Vec<bool> {
        self.parts.iter().map(|part| *part != Part::Missing).collect()
    }

    /// The filler's note, as last set.
    pub(super) fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// Records a note. If the disk cannot store it, fails once, and the log is kept in memory from then on.
    pub(super) fn set_note(&mut self, dir: &Dir, note: &str) -> Result<(), CacheError> {
        self.note = Some(note.to_owned());
        self.append(dir, &[Record::Note(note.to_owned())])
    }

    /// Records that these parts were written. Fails as [`PartLog::set_note`] does.
    pub(super) fn add_written(&mut self, dir: &Dir, parts: &[usize]) -> Result<(), CacheError> {
        for index in parts {
            self.mark(*index, Part::Written);
        }
        self.append(dir, &parts.iter().map(|index| Record::Written(*index)).collect::<Vec<_>>())
    }

    /// The parts that are written and not synced to the disk.
    pub(super) fn not_durable(&self) -> Vec<usize> {
        self.parts.iter().enumerate().filter(|(_, part)| **part == Part::Written).map(|(index, _)| index).collect()
    }

    /// Records that these parts were synced to the disk. Fails as [`PartLog::set_note`] does.
    pub(super) fn add_durable(&mut self, dir: &Dir, parts: &[usize]) -> Result<(), CacheError> {
        for index in parts {
            self.mark(*index, Part::Durable);
        }
        self.append(dir, &parts.iter().map(|index| Record::Durable(*index)).collect::<Vec<_>>())
    }

    /// Discards all parts and the note: in memory at once, and on the disk so that no crash restores them. If the disk fails,
    /// the log is kept in memory from then on.
    pub(super) fn reset(&mut self, dir: &Dir, boot: &str) -> Result<(), CacheError> {
        self.parts.fill(Part::Missing);
        self.note = None;
        self.file = None;
        // Not truncated in place: only a synced removal of the name survives a crash for certain.
        dir.remove(&self.path)?;
        dir.sync_dir(&dir.partials())?;
        self.begin_file(dir, boot)
    }

    /// Changes the size of the parts. A new part has the lowest state of the old parts that it overlaps.
    fn set_part_size(&mut self, part_size: u64) {
        let (size, old_part_size, part_size) = (self.size, self.part_size.max(1), part_size.max(1));
        let state = |index: u64| {
            let start = index * part_size;
            let last = start.saturating_add(part_size).min(size) - 1;
            let old = (start / old_part_size..=last / old_part_size)
                .map(|index| self.parts.get(usize::try_from(index).ok()?).copied());
            old.map(|part| part.unwrap_or(Part::Missing)).min().unwrap_or(Part::Missing)
        };
        self.parts = (0..count(size, part_size) as u64).map(state).collect();
        self.part_size = part_size;
    }

    fn mark(&mut self, index: usize, part: Part) {
        if let Some(slot) = self.parts.get_mut(index) {
            *slot = part;
        }
    }

    /// Discards the parts that were not synced, if the machine was rebooted between `earlier` and `later`.
    fn apply_reboot(&mut self, earlier: &str, later: &str) {
        if earlier != later || later.is_empty() {
            self.parts.iter_mut().filter(|part| **part == Part::Written).for_each(|part| *part = Part::Missing);
        }
    }

    fn append(&mut self, dir: &Dir, records: &[Record]) -> Result<(), CacheError> {
        let Some(file) = &self.file else { return Ok(()) };
        // The digest, so that a record is valid in its log only.
        let (context, mut lines) = (self.digest.to_string(), String::new());
        for record in records {
            let text =
                serde_json::to_string(record).map_err(|error| CacheError::io("write", &self.path)(error.into()))?;
            lines += &checked_line::write(&context, &text);
        }
        if let Err(error) = dir.write(file, &self.path, self.end, &mut [IoSlice::new(lines.as_bytes())]) {
            self.file = None;
            // The records that it has are true, and so it may stay.
            let _ = dir.remove(&self.path);
            return Err(error);
        }
        self.end += lines.len() as u64;
        Ok(())
    }
}

/// How many parts of `part_size` bytes a partial of `size` bytes has; the last one may be shorter.
pub(super) fn count(size: u64, part_size: u64) -> usize {
    usize::try_from(size.div_ceil(part_size.max(1))).unwrap_or(usize::MAX)
}

fn parse(digest: &Digest, line: &[u8]) -> Option<Record> {
    serde_json::from_str(checked_line::read(&digest.to_string(), line)?).ok()
}

#[cfg(test)]
mod tests;
