//! The log beside a partial: which of its parts are here. Appended to as they arrive, so that a restart finds them.
//!
//! One line a record, each with a check: the first that is torn or not ours ends the log, so a part may be forgotten and is
//! never made up. Nobody waits for the disk here; hence the log says in which boot of the machine a part was written. What
//! a process wrote outlives the process in the page cache; over a reboot only those parts count that had been brought to
//! the disk ([`Record::Durable`]). Whatever it says, nothing is admitted unhashed.

use std::fs::{self, File};
use std::io::IoSlice;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::CacheError;
use super::dir::Dir;
use crate::asset::Digest;

/// What a line of the log says.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Record {
    /// The partial's size and its parts' size, in bytes: the first line, and again where parts of another size follow.
    Partial { size: u64, part_size: u64 },
    /// What follows was written in this boot of the machine.
    Boot(String),
    /// The part is in the page cache.
    Written(usize),
    /// The part is on the disk.
    Durable(usize),
    /// The filler's note; the last one counts.
    Note(String),
}

/// From nothing to the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Absent,
    Written,
    Durable,
}

/// What of a partial is here, and the log that keeps it.
#[derive(Debug)]
pub(super) struct PartLog {
    file: File,
    path: PathBuf,
    digest: Digest,
    /// Where the next record goes. Torn bytes beyond it are written over.
    end: u64,
    size: u64,
    part_size: u64,
    parts: Vec<Part>,
    note: Option<String>,
}

/// What tells one boot of the machine from another; empty where the system does not say, which equals no boot.
pub(super) fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
}

impl PartLog {
    /// A new log: no part is here. Written over what is there.
    pub(super) fn create(
        dir: &Dir,
        digest: &Digest,
        size: u64,
        part_size: u64,
        boot: &str,
    ) -> Result<Self, CacheError> {
        let path = dir.log(digest);
        let file = dir.create(&path)?;
        let parts = vec![Part::Absent; count(size, part_size)];
        let mut log = Self { file, path, digest: *digest, end: 0, size, part_size, parts, note: None };
        log.append(dir, &[Record::Partial { size, part_size }, Record::Boot(boot.to_owned())])?;
        Ok(log)
    }

    /// The log of an earlier fill, if it is there, whole enough, and of the same size. Parts of another size are told as the
    /// parts of this one that they make up.
    pub(super) fn open(dir: &Dir, digest: &Digest, size: u64, part_size: u64, boot: &str) -> Option<Self> {
        let path = dir.log(digest);
        let file = Dir::reopen(&path).ok()?;
        let bytes = fs::read(&path).ok()?;
        let mut lines = bytes.split_inclusive(|byte| *byte == b'\n');
        let first = lines.next()?;
        let Record::Partial { size: had, part_size: began } = parse(digest, first)? else { return None };
        if had != size {
            return None;
        }
        let (end, parts) = (first.len() as u64, vec![Part::Absent; count(size, began)]);
        let mut log = Self { file, path, digest: *digest, end, size, part_size: began, parts, note: None };
        let mut then = String::new();
        for line in lines {
            let Some(record) = parse(digest, line) else { break };
            log.end += line.len() as u64;
            match record {
                Record::Partial { size: had, part_size } if had == size => log.cut(part_size),
                Record::Partial { .. } => return None,
                Record::Boot(now) => {
                    log.rebooted(&then, &now);
                    then = now;
                }
                Record::Written(index) => log.mark(index, Part::Written),
                Record::Durable(index) => log.mark(index, Part::Durable),
                Record::Note(note) => log.note = Some(note),
            }
        }
        if then != boot || boot.is_empty() {
            log.rebooted(&then, boot);
            log.append(dir, &[Record::Boot(boot.to_owned())]).ok()?;
        }
        if log.part_size != part_size {
            log.append(dir, &[Record::Partial { size, part_size }]).ok()?;
            log.cut(part_size);
        }
        Some(log)
    }

    /// Which parts are here.
    pub(super) fn parts(&self) -> Vec<bool> {
        self.parts.iter().map(|part| *part != Part::Absent).collect()
    }

    pub(super) fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    pub(super) fn set_note(&mut self, dir: &Dir, note: &str) -> Result<(), CacheError> {
        self.append(dir, &[Record::Note(note.to_owned())])?;
        self.note = Some(note.to_owned());
        Ok(())
    }

    /// These parts were written.
    pub(super) fn written(&mut self, dir: &Dir, parts: &[usize]) -> Result<(), CacheError> {
        self.append(dir, &parts.iter().map(|index| Record::Written(*index)).collect::<Vec<_>>())?;
        for index in parts {
            self.mark(*index, Part::Written);
        }
        Ok(())
    }

    /// The parts that are not known to be on the disk.
    pub(super) fn not_durable(&self) -> Vec<usize> {
        self.parts.iter().enumerate().filter(|(_, part)| **part == Part::Written).map(|(index, _)| index).collect()
    }

    /// These parts are on the disk.
    pub(super) fn durable(&mut self, dir: &Dir, parts: &[usize]) -> Result<(), CacheError> {
        self.append(dir, &parts.iter().map(|index| Record::Durable(*index)).collect::<Vec<_>>())?;
        for index in parts {
            self.mark(*index, Part::Durable);
        }
        Ok(())
    }

    /// Forgets all parts and the note: in memory at once, and on the disk so that no crash brings them back.
    pub(super) fn reset(&mut self, dir: &Dir, boot: &str) -> Result<(), CacheError> {
        self.parts.fill(Part::Absent);
        self.note = None;
        // Not emptied in place: only a name that is gone is known to be gone.
        dir.remove(&self.path)?;
        dir.sync_dir(&dir.partials())?;
        *self = Self::create(dir, &self.digest, self.size, self.part_size, boot)?;
        Ok(())
    }

    /// From now on parts are of this size. One is here where all that it is made of is.
    fn cut(&mut self, part_size: u64) {
        let (size, had, part_size) = (self.size, self.part_size.max(1), part_size.max(1));
        let state = |index: u64| {
            let start = index * part_size;
            let last = start.saturating_add(part_size).min(size) - 1;
            let made_of = (start / had..=last / had).map(|index| self.parts.get(usize::try_from(index).ok()?).copied());
            made_of.map(|part| part.unwrap_or(Part::Absent)).min().unwrap_or(Part::Absent)
        };
        self.parts = (0..count(size, part_size) as u64).map(state).collect();
        self.part_size = part_size;
    }

    fn mark(&mut self, index: usize, part: Part) {
        if let Some(slot) = self.parts.get_mut(index) {
            *slot = part;
        }
    }

    fn rebooted(&mut self, then: &str, now: &str) {
        if then != now || now.is_empty() {
            self.parts.iter_mut().filter(|part| **part == Part::Written).for_each(|part| *part = Part::Absent);
        }
    }

    fn append(&mut self, dir: &Dir, records: &[Record]) -> Result<(), CacheError> {
        let mut lines = String::new();
        for record in records {
            let text =
                serde_json::to_string(record).map_err(|error| CacheError::io("write", &self.path)(error.into()))?;
            lines.extend([&check(&self.digest, &text), " ", &text, "\n"]);
        }
        dir.write(&self.file, &self.path, self.end, &mut [IoSlice::new(lines.as_bytes())])?;
        self.end += lines.len() as u64;
        Ok(())
    }
}

/// How many parts of `part_size` bytes a partial of `size` bytes has; the last one may be shorter.
pub(super) fn count(size: u64, part_size: u64) -> usize {
    usize::try_from(size.div_ceil(part_size.max(1))).unwrap_or(usize::MAX)
}

/// Eight hexadecimal digits that a record has in the log of this digest and in no other.
fn check(digest: &Digest, text: &str) -> String {
    let mut check = Digest::of(format!("{digest} {text}").as_bytes()).to_string();
    check.truncate(8);
    check
}

fn parse(digest: &Digest, line: &[u8]) -> Option<Record> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix('\n')?;
    let (sum, text) = line.split_once(' ')?;
    if sum == check(digest, text) { serde_json::from_str(text).ok() } else { None }
}

#[cfg(test)]
mod tests;
