//! The record of an upload in parts on this machine, with which a later run resumes it. The store decides which parts it has;
//! the record says which upload it is, and what was in the parts.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::input::FileIdentity;
use super::part::CompletedPart;
use crate::asset::Digest;

/// An upload that has begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Begun {
    pub(super) url: String,
    pub(super) upload_id: String,
    /// The size of its parts in bytes.
    pub(super) part_size: u64,
    /// The file that is uploaded.
    pub(super) file: FileIdentity,
}

/// An upload that an earlier run has begun and not ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unfinished {
    pub(super) begun: Begun,
    /// The parts that it has sent.
    pub(super) parts: Vec<CompletedPart>,
}

/// A part, a line of the record.
#[derive(Serialize, Deserialize)]
struct Line {
    number: u32,
    etag: String,
    sha256: String,
    size: u64,
}

/// The open record of one object, which this process holds the lock of.
pub(super) struct Journal {
    path: PathBuf,
    file: Mutex<File>,
}

impl Journal {
    /// Opens the record, and reads what an earlier run has left. Returns `None` if another process has it open. A record that
    /// cannot be read counts as empty: its upload is left to the store's lifecycle rules. Blocks.
    pub(super) fn open(path: &Path) -> io::Result<Option<(Self, Option<Unfinished>)>> {
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir)?;
        }
        let file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        let unfinished = read(&file);
        Ok(Some((Self { path: path.to_owned(), file: Mutex::new(file) }, unfinished)))
    }

    /// Replaces what is in the record by an upload without parts. Blocks.
    pub(super) fn begin(&self, begun: &Begun) -> io::Result<()> {
        let mut file = self.file.lock();
        file.set_len(0)?;
        file.write_all(&line(begun)?)?;
        file.sync_all()
    }

    /// Adds a part. Without it, a later run sends the part again if the store does not say what is in it. Blocks.
    pub(super) fn note(&self, part: &CompletedPart) {
        let entry =
            Line { number: part.number, etag: part.etag.clone(), sha256: part.digest.to_string(), size: part.size };
        let mut file = self.file.lock();
        let written = line(&entry).and_then(|line| file.write_all(&line)).and_then(|()| file.sync_data());
        if let Err(error) = written {
            warn!(path = %self.path.display(), %error, "upload record not written");
        }
    }

    /// Removes the record: the upload has ended. Blocks.
    pub(super) fn remove(&self) {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                warn!(path = %self.path.display(), %error, "upload record not removed");
            }
            _ => {}
        }
    }
}

fn line(entry: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(entry)?;
    line.push(b'\n');
    Ok(line)
}

fn read(mut file: &File) -> Option<Unfinished> {
    file.rewind().ok()?;
    let mut lines = BufReader::new(file).lines().map_while(Result::ok);
    let begun = serde_json::from_str(&lines.next()?).ok()?;
    // The last line may have been cut short.
    let parts = lines.map_while(|line| {
        let Line { number, etag, sha256, size } = serde_json::from_str(&line).ok()?;
        Some(CompletedPart { number, etag, digest: sha256.parse::<Digest>().ok()?, size })
    });
    Some(Unfinished { begun, parts: parts.collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun() -> Begun {
        let file = FileIdentity { size: 7, modified: 1, inode: 2, device: 3 };
        Begun { url: "s3://b/k".to_owned(), upload_id: "u".to_owned(), part_size: 8 << 20, file }
    }

    fn part(number: u32) -> CompletedPart {
        CompletedPart { number, etag: format!("\"{number}\""), digest: Digest::of(b"x"), size: 7 }
    }

    #[test]
    fn record_survives_cut_last_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("uploads/k.jsonl");
        let (journal, unfinished) = Journal::open(&path).unwrap().unwrap();
        assert_eq!(unfinished, None);
        journal.begin(&begun()).unwrap();
        journal.note(&part(2));
        journal.note(&part(1));
        assert!(Journal::open(&path).unwrap().is_none(), "it is locked");
        drop(journal);
        let text = fs::read(&path).unwrap();
        fs::write(&path, &text[..text.len() - 9]).unwrap();
        let (journal, unfinished) = Journal::open(&path).unwrap().unwrap();
        assert_eq!(unfinished, Some(Unfinished { begun: begun(), parts: vec![part(2)] }));
        journal.remove();
        assert!(!path.exists());
    }

    #[test]
    fn unreadable_record_counts_as_empty() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k.jsonl");
        for text in ["", "{", "{\"url\":1}\n"] {
            fs::write(&path, text).unwrap();
            let (journal, unfinished) = Journal::open(&path).unwrap().unwrap();
            assert_eq!(unfinished, None);
            journal.begin(&begun()).unwrap();
            drop(journal);
            assert_eq!(Journal::open(&path).unwrap().unwrap().1.unwrap().begun, begun());
        }
    }
}
