//! The journal: the ledger's file, `ledger.jsonl` in the cache's directory. Each change of an attempt appends a line; the
//! last line of an attempt counts. The file is rewritten when it has grown too much. A killed process loses its last
//! second; a power cut also loses what the kernel had not written back, about half a minute.

use std::fs::OpenOptions;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;

use tracing::{debug, warn};

use super::line::Line;
use crate::durable_file::{DurableFile, open_regular};

/// The file's name in the cache's directory.
const NAME: &str = "ledger.jsonl";
/// The longest line, in bytes. An attempt with the most steps, all of which failed, has about 110 KiB; longer lines are not
/// ours.
const MAX_LINE: u64 = 128 << 10;
/// The file is rewritten when it has grown by this factor since the last rewrite, plus [`SLACK`].
const GROWTH: u64 = 4;
/// In bytes. A smaller file is not worth a rewrite.
const SLACK: u64 = 256 << 10;

/// The file. Every call blocks.
#[derive(Debug)]
pub(super) struct Journal {
    file: DurableFile,
    size: u64,
    /// Its size after the last rewrite.
    rewritten: u64,
    /// Whether the file is incomplete and must be rewritten before anything is appended.
    stale: bool,
}

impl Journal {
    /// Opens the journal in `dir` and returns its lines. It must be rewritten before anything is appended.
    pub(super) fn open(dir: &Path) -> io::Result<(Self, Vec<Line>)> {
        let lines = Self::read(dir)?;
        Ok((Self { file: DurableFile::new(dir.join(NAME)), size: 0, rewritten: 0, stale: true }, lines))
    }

    /// Reads the journal in `dir`; empty if there is none. Invalid lines are skipped, such as one that was cut short by a
    /// power failure.
    pub(super) fn read(dir: &Path) -> io::Result<Vec<Line>> {
        match open_regular(&dir.join(NAME), OpenOptions::new().read(true), 0) {
            Ok(file) => lines(BufReader::new(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Whether the next write must be a [`Journal::rewrite`].
    pub(super) fn needs_rewrite(&self) -> bool {
        // The file may have been removed with the cache's directory.
        self.stale || !self.path().exists() || self.size > self.rewritten.saturating_mul(GROWTH).saturating_add(SLACK)
    }

    /// Appends lines.
    pub(super) fn append(&mut self, lines: &[Line]) -> io::Result<()> {
        let text = text(lines)?;
        // If this fails, the file may end with a part of it.
        self.stale = true;
        open_regular(self.path(), OpenOptions::new().append(true), 0)?.write_all(&text)?;
        self.stale = false;
        self.size += text.len() as u64;
        Ok(())
    }

    /// Replaces the file atomically: after a crash, either the old or the new file is there.
    pub(super) fn rewrite(&mut self, lines: &[Line]) -> io::Result<()> {
        let text = text(lines)?;
        self.file.replace(&text)?;
        (self.size, self.rewritten, self.stale) = (text.len() as u64, text.len() as u64, false);
        Ok(())
    }

    /// The path of the file.
    pub(super) fn path(&self) -> &Path {
        self.file.path()
    }
}

fn text(lines: &[Line]) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    for line in lines {
        serde_json::to_writer(&mut text, line)?;
        text.push(b'\n');
    }
    Ok(text)
}

fn lines(mut file: impl BufRead) -> io::Result<Vec<Line>> {
    let (mut lines, mut text, mut skipped) = (Vec::new(), Vec::new(), 0);
    loop {
        text.clear();
        if file.by_ref().take(MAX_LINE).read_until(b'\n', &mut text)? == 0 {
            break;
        }
        // The pieces of a line that is too long are invalid too.
        match serde_json::from_slice::<Line>(&text) {
            Ok(line) => lines.push(line),
            Err(error) => {
                debug!(%error, "line of the boot ledger not read");
                skipped += 1;
            }
        }
    }
    if skipped > 0 {
        warn!(skipped, "lines of the boot ledger not read; the boots in them are forgotten");
    }
    Ok(lines)
}
