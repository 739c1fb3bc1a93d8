//! The durable record of bindings: a file of JSON lines, of which the last one of a name counts.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use parking_lot::{Mutex, MutexGuard, RwLock};
use tracing::{info, warn};

use super::binding::{Binding, Line};
use crate::asset::AssetName;
use crate::durable_file::DurableFile;

/// Bindings at most. One has about 400 bytes, so that they have at most 40 MB.
const MAX_BINDINGS: usize = 100_000;
/// The file is rewritten at start if it has so many more lines than bindings.
const SPARE_LINES: usize = 1_000;

/// The bindings of all collections.
pub struct Bindings {
    path: PathBuf,
    by_name: RwLock<HashMap<AssetName, Binding>>,
    /// Held while a line is written.
    writing: Mutex<()>,
}

/// Why a binding was not recorded.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BindingsError {
    /// There are too many.
    #[error(
        "{MAX_BINDINGS} assets of collections are in use, and no more are recorded; name the rest in [[asset]] tables, or delete \
         {0} while the server is stopped to start over"
    )]
    Full(PathBuf),
    /// The file cannot be written.
    #[error("{path} cannot be written: {reason}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        reason: String,
    },
}

impl Bindings {
    /// Reads the bindings from the file `path`, which need not exist. Lines that cannot be read are left out, and said in the log.
    /// Blocks.
    pub fn open(path: PathBuf) -> Self {
        let (by_name, lines) = match fs::read_to_string(&path) {
            Ok(text) => read(&text, &path),
            Err(error) if error.kind() == ErrorKind::NotFound => (HashMap::new(), 0),
            Err(error) => {
                warn!(path = %path.display(), %error, "collection record not read");
                (HashMap::new(), 0)
            }
        };
        let bindings = Self { path, by_name: RwLock::new(by_name), writing: Mutex::default() };
        if lines > bindings.by_name.read().len() + SPARE_LINES {
            bindings.compact();
        }
        bindings
    }

    /// The binding of a name.
    pub fn get(&self, name: &AssetName) -> Option<Binding> {
        self.by_name.read().get(name).cloned()
    }

    /// All bindings, in no order.
    pub fn all(&self) -> Vec<Binding> {
        self.by_name.read().values().cloned().collect()
    }

    /// Records a binding, in place of an earlier one of the same name. It is on the disk when this returns. Blocks.
    pub fn put(&self, binding: Binding) -> Result<(), BindingsError> {
        let _writing = self.lock();
        {
            let by_name = self.by_name.read();
            if by_name.len() >= MAX_BINDINGS && !by_name.contains_key(&binding.name) {
                return Err(BindingsError::Full(self.path.clone()));
            }
        }
        self.append(&binding.line())?;
        self.by_name.write().insert(binding.name.clone(), binding);
        Ok(())
    }

    /// Removes the binding of a name. Blocks.
    pub fn remove(&self, name: &AssetName) -> Result<(), BindingsError> {
        let _writing = self.lock();
        self.append(&Line::removal(name))?;
        self.by_name.write().remove(name);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.writing.lock()
    }

    fn append(&self, line: &Line) -> Result<(), BindingsError> {
        self.try_append(line).map_err(|error| BindingsError::Io { path: self.path.clone(), reason: error.to_string() })
    }

    fn try_append(&self, line: &Line) -> io::Result<()> {
        // Opened each time: the cache directory may have been deleted and made again.
        let is_new = !self.path.exists();
        let mut file = OpenOptions::new().create(true).append(true).open(&self.path)?;
        let length = file.metadata()?.len();
        // One write, and a line break before it too: a line that was torn by a power failure spoils no other.
        let text = format!("\n{}\n", serde_json::to_string(line)?);
        if let Err(error) = file.write_all(text.as_bytes()).and_then(|()| file.sync_data()) {
            // A part of the line must not count later.
            let _ = file.set_len(length);
            return Err(error);
        }
        if is_new && let Some(directory) = self.path.parent() {
            File::open(directory)?.sync_all()?;
        }
        Ok(())
    }

    /// Rewrites the file without lines that no longer count.
    fn compact(&self) {
        let mut text = String::new();
        for binding in self.by_name.read().values() {
            text += &serde_json::to_string(&binding.line()).unwrap_or_default();
            text.push('\n');
        }
        let bindings = self.by_name.read().len();
        match DurableFile::new(&self.path).replace(text.as_bytes()) {
            Ok(()) => info!(path = %self.path.display(), bindings, "collection record compacted"),
            Err(error) => warn!(path = %self.path.display(), %error, "collection record not compacted"),
        }
    }
}

/// The bindings of a text, and how many lines it has.
fn read(text: &str, path: &Path) -> (HashMap<AssetName, Binding>, usize) {
    let mut by_name = HashMap::new();
    let (mut lines, mut unreadable) = (0, 0);
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        lines += 1;
        match serde_json::from_str::<Line>(line).ok().and_then(Line::read) {
            Some((name, Some(binding))) => drop(by_name.insert(name, binding)),
            Some((name, None)) => drop(by_name.remove(&name)),
            None => unreadable += 1,
        }
    }
    if unreadable > 0 {
        warn!(path = %path.display(), lines = unreadable, "collection record has unreadable lines");
    }
    (by_name, lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asset::Digest;
    use crate::catalog::DigestSource;

    fn binding(name: &str, content: &[u8]) -> Binding {
        Binding {
            name: AssetName::parse(name).unwrap(),
            source: format!("s3://b/{name}").parse().unwrap(),
            sha256: Digest::of(content),
            size: content.len() as u64,
            validator: Some("\"etag\"".to_owned()),
            modified: Some(std::time::SystemTime::UNIX_EPOCH),
            from: DigestSource::Sidecar,
        }
    }

    #[test]
    fn bindings_survive_restart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("collections.jsonl");
        let bindings = Bindings::open(path.clone());
        let (kernel, initrd) = (binding("os/kernel", b"k"), binding("os/initrd", b"i"));
        for it in [binding("os/kernel", b"old"), kernel.clone(), initrd.clone()] {
            bindings.put(it).unwrap();
        }
        bindings.remove(&initrd.name).unwrap();
        let again = Bindings::open(path);
        assert_eq!((again.get(&kernel.name), again.get(&initrd.name)), (Some(kernel), None));
    }

    #[test]
    fn torn_line_spoils_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("collections.jsonl");
        let (kernel, initrd) = (binding("os/kernel", b"k"), binding("os/initrd", b"i"));
        Bindings::open(path.clone()).put(kernel.clone()).unwrap();
        let whole = fs::read(&path).unwrap();
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            let bindings = Bindings::open(path.clone());
            bindings.put(initrd.clone()).unwrap();
            let again = Bindings::open(path.clone());
            assert_eq!(again.get(&initrd.name), Some(initrd.clone()), "after {length} bytes");
            assert!(again.get(&kernel.name).is_none_or(|known| known == kernel), "after {length} bytes");
        }
    }

    #[test]
    fn unwritable_record_binds_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let bindings = Bindings::open(dir.path().join("missing/collections.jsonl"));
        let kernel = binding("os/kernel", b"k");
        let error = bindings.put(kernel.clone()).unwrap_err();
        assert!(error.to_string().contains("collections.jsonl cannot be written"), "{error}");
        assert_eq!(bindings.get(&kernel.name), None);
    }

    #[test]
    fn many_changes_are_compacted_at_start() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("collections.jsonl");
        let kernel = binding("os/kernel", b"k");
        let line = serde_json::to_string(&kernel.line()).unwrap();
        fs::write(&path, format!("{line}\n").repeat(SPARE_LINES + 2)).unwrap();
        assert_eq!(Bindings::open(path.clone()).get(&kernel.name), Some(kernel));
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{line}\n"));
    }
}
