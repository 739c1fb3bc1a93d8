//! The journal: the ledger's file, `ledger.jsonl` in the cache's directory. One line for each attempt that changed, the
//! last one counts; written anew now and then, so that it stays small. A process that is killed loses its last second; a
//! power cut takes besides what the system had not yet written, some half a minute.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::attempt::Attempt;
use super::key::Key;

/// The file's name in the cache's directory.
const NAME: &str = "ledger.jsonl";
/// Bytes of a line: an attempt with as many steps as may be has some 45 KiB. What is longer is none of ours.
const MAX_LINE: u64 = 64 << 10;
/// The file is written anew when it has grown to so many times what it was when it was last, and by [`SLACK`] besides.
const GROWTH: u64 = 4;
/// Bytes; less is not worth the trouble.
const SLACK: u64 = 256 << 10;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Line {
    /// An attempt as it is now.
    Boot {
        /// Whose it is.
        machine: Key,
        /// The name of the host.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        host: Option<String>,
        /// Where the machine was last.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        address: Option<IpAddr>,
        /// The attempt.
        boot: Attempt,
    },
    /// The attempt of this id is part of another.
    Gone(u64),
}

/// The file. Every call blocks.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    size: u64,
    /// Its size when it was last written anew.
    live: u64,
    /// It does not hold what it should: nothing can be added, it must be written anew.
    stale: bool,
}

impl Journal {
    /// The journal in `dir`, and what it holds. It has to be written anew before anything is added.
    pub(super) fn open(dir: &Path) -> io::Result<(Self, Vec<Line>)> {
        let lines = Self::read(dir)?;
        Ok((Self { path: dir.join(NAME), size: 0, live: 0, stale: true }, lines))
    }

    /// What the journal in `dir` holds; nothing where there is none. What is no line of a journal, as the torn end of one
    /// that was being written when the power went, is passed over.
    pub(super) fn read(dir: &Path) -> io::Result<Vec<Line>> {
        match File::open(dir.join(NAME)) {
            Ok(file) => lines(BufReader::new(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Whether it is time to [`Journal::rewrite`].
    pub(super) fn is_overgrown(&self) -> bool {
        // It may have gone with the cache's directory.
        self.stale || !self.path.exists() || self.size > self.live.saturating_mul(GROWTH).saturating_add(SLACK)
    }

    /// Adds lines at its end.
    pub(super) fn append(&mut self, lines: &[Line]) -> io::Result<()> {
        let text = text(lines)?;
        // Should this fail, a part of it may be in the file.
        self.stale = true;
        OpenOptions::new().append(true).open(&self.path)?.write_all(&text)?;
        self.stale = false;
        self.size += text.len() as u64;
        Ok(())
    }

    /// Writes it anew: whatever happens meanwhile, the old one or the new one is there whole.
    pub(super) fn rewrite(&mut self, lines: &[Line]) -> io::Result<()> {
        let text = text(lines)?;
        let new = self.path.with_extension("jsonl.new");
        let mut file = File::create(&new)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&new, &self.path)?;
        if let Some(dir) = self.path.parent() {
            File::open(dir)?.sync_all()?;
        }
        (self.size, self.live, self.stale) = (text.len() as u64, text.len() as u64, false);
        Ok(())
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
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
    let (mut lines, mut text) = (Vec::new(), Vec::new());
    loop {
        text.clear();
        if file.by_ref().take(MAX_LINE).read_until(b'\n', &mut text)? == 0 {
            return Ok(lines);
        }
        // Pieces of a line that is too long are none either.
        lines.extend(serde_json::from_slice::<Line>(&text));
    }
}
