//! The durable record of bindings: a file of JSON lines, of which the last one of a name counts.

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use parking_lot::{Mutex, RwLock};
use tracing::{info, warn};

use super::binding::Binding;
use super::line::{self, Entry};
use crate::asset::{AssetName, Digest};
use crate::durable_file::DurableFile;

/// Bindings at most. One has about 400 bytes, so that they have at most 40 MB.
const MAX_BINDINGS: usize = 100_000;
/// The file is rewritten at start if it has so many more lines than bindings.
const SPARE_LINES: usize = 1_000;

/// The bindings of all collections.
pub struct Bindings {
    path: PathBuf,
    state: RwLock<State>,
    /// Held while a line is written.
    writing: Mutex<()>,
}

#[derive(Default)]
struct State {
    by_name: HashMap<AssetName, Binding>,
    /// Names whose lines another version wrote, or that are damaged: bound to an unknown digest.
    unreadable: BTreeSet<AssetName>,
    /// Why names may have been bound that are not known. Then nothing is bound without an operator.
    problem: Option<String>,
}

/// Why a binding was not recorded, or must not be.
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
    /// The record of the name cannot be read, so that its digest must not change.
    #[error(
        "the record of its digest cannot be read ({reason}); after a look at {path}, bind it again by `bootdepot accept {name}`"
    )]
    Unreadable {
        /// The name.
        name: AssetName,
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

impl Bindings {
    /// Reads the bindings from the file `path`, which need not exist. A line that cannot be read binds nothing;
    /// [`Bindings::warnings`] says so. Blocks.
    pub fn open(path: PathBuf) -> Self {
        let (state, lines) = match fs::read(&path) {
            Ok(bytes) => read(&bytes),
            Err(error) if error.kind() == ErrorKind::NotFound => (State::default(), 0),
            Err(error) => (State { problem: Some(error.to_string()), ..State::default() }, 0),
        };
        if let Some(reason) = &state.problem {
            warn!(path = %path.display(), reason, "collection record not readable");
        }
        if !state.unreadable.is_empty() {
            warn!(path = %path.display(), names = state.unreadable.len(), "collection record has unreadable lines");
        }
        let is_long = lines > state.by_name.len() + SPARE_LINES;
        let is_whole = state.problem.is_none() && state.unreadable.is_empty();
        let bindings = Self { path, state: RwLock::new(state), writing: Mutex::default() };
        // A line that cannot be read is left to a version or a person who can.
        if is_long && is_whole {
            bindings.compact();
        }
        bindings
    }

    /// The binding of a name.
    pub fn get(&self, name: &AssetName) -> Option<Binding> {
        self.state.read().by_name.get(name).cloned()
    }

    /// All bindings, in no order.
    pub fn all(&self) -> Vec<Binding> {
        self.state.read().by_name.values().cloned().collect()
    }

    /// Whether this name may be bound without an operator: not if it may have been bound to another digest before.
    pub fn check_free(&self, name: &AssetName) -> Result<(), BindingsError> {
        let state = self.state.read();
        let unreadable = |reason: &str| BindingsError::Unreadable {
            name: name.clone(),
            path: self.path.clone(),
            reason: reason.to_owned(),
        };
        if state.unreadable.contains(name) {
            return Err(unreadable("another version wrote it, or it is damaged"));
        }
        match &state.problem {
            Some(reason) if !state.by_name.contains_key(name) => Err(unreadable(reason)),
            _ => Ok(()),
        }
    }

    /// Warnings for operators, one sentence each.
    pub fn warnings(&self) -> Vec<String> {
        let (state, path) = (self.state.read(), self.path.display());
        let problem = state.problem.iter().map(|reason| {
            format!(
                "{path} cannot be read as a whole ({reason}): assets of collections that it does not name are refused until \
                 `bootdepot accept NAME`, or until it is restored, or deleted, while the server is stopped"
            )
        });
        let names = state.unreadable.iter().map(|name| {
            format!("the record of {name} in {path} cannot be read: it is refused until `bootdepot accept {name}`")
        });
        problem.chain(names).collect()
    }

    /// Records a binding, in place of an earlier one of the same name. It is on the disk when this returns. Blocks.
    pub fn put(&self, binding: Binding) -> Result<(), BindingsError> {
        self.put_if(binding, |_| true).map(drop)
    }

    /// The same if `expected` accepts the binding that is recorded until now. Returns whether it is recorded.
    pub fn put_if(
        &self,
        binding: Binding,
        expected: impl FnOnce(Option<&Binding>) -> bool,
    ) -> Result<bool, BindingsError> {
        let _writing = self.writing.lock();
        {
            let by_name = &self.state.read().by_name;
            if !expected(by_name.get(&binding.name)) {
                return Ok(false);
            }
            if by_name.len() >= MAX_BINDINGS && !by_name.contains_key(&binding.name) {
                return Err(BindingsError::Full(self.path.clone()));
            }
        }
        self.append(&line::of_binding(&binding))?;
        let mut state = self.state.write();
        state.unreadable.remove(&binding.name);
        state.by_name.insert(binding.name.clone(), binding);
        Ok(true)
    }

    /// Records that bytes with this digest were seen for a name. Blocks.
    pub fn confirm(&self, name: &AssetName, digest: &Digest) -> Result<(), BindingsError> {
        match self.get(name).filter(|binding| binding.sha256 == *digest && !binding.verified) {
            Some(known) => {
                let confirmed = Binding { verified: true, ..known.clone() };
                self.put_if(confirmed, |recorded| recorded == Some(&known)).map(drop)
            }
            None => Ok(()),
        }
    }

    /// Removes the binding of a name. Returns whether there was one. Blocks.
    pub fn remove(&self, name: &AssetName) -> Result<bool, BindingsError> {
        let _writing = self.writing.lock();
        {
            let state = self.state.read();
            if !state.by_name.contains_key(name) && !state.unreadable.contains(name) {
                return Ok(false);
            }
        }
        self.append(&line::of_removal(name))?;
        let mut state = self.state.write();
        state.unreadable.remove(name);
        state.by_name.remove(name);
        Ok(true)
    }

    /// Writes the file again if it was deleted, as with the whole cache directory, or emptied. Blocks.
    pub fn restore(&self) {
        let is_missing = || match fs::metadata(&self.path) {
            Ok(found) => found.is_file() && found.len() == 0,
            Err(error) => error.kind() == ErrorKind::NotFound && self.path.parent().is_some_and(Path::exists),
        };
        if !self.state.read().by_name.is_empty() && is_missing() {
            let _writing = self.writing.lock();
            self.compact();
        }
    }

    fn append(&self, line: &str) -> Result<(), BindingsError> {
        self.try_append(line).map_err(|error| BindingsError::Io { path: self.path.clone(), reason: error.to_string() })
    }

    fn try_append(&self, line: &str) -> io::Result<()> {
        // Opened each time: the cache directory may have been deleted and made again.
        let mut file = OpenOptions::new().create(true).append(true).open(&self.path)?;
        let length = file.metadata()?.len();
        let is_new = length == 0;
        let mut text = String::new();
        if is_new {
            self.state.read().by_name.values().for_each(|binding| text += &(line::of_binding(binding) + "\n"));
        }
        // One write, and a line break before it too: a line that was torn by a power failure spoils no other.
        text = text + "\n" + line + "\n";
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
        let bindings = self.all();
        for binding in &bindings {
            text += &(line::of_binding(binding) + "\n");
        }
        match DurableFile::new(&self.path).replace(text.as_bytes()) {
            Ok(()) => info!(path = %self.path.display(), bindings = bindings.len(), "collection record rewritten"),
            Err(error) => warn!(path = %self.path.display(), %error, "collection record not rewritten"),
        }
    }
}

/// The bindings of a file, and how many lines it has.
fn read(bytes: &[u8]) -> (State, usize) {
    let (mut state, mut lines, mut damaged) = (State::default(), 0, 0);
    for line in bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty()) {
        lines += 1;
        match line::read(line) {
            Entry::Bound(binding) => {
                state.unreadable.remove(&binding.name);
                state.by_name.insert(binding.name.clone(), *binding);
            }
            Entry::Removed(name) => {
                state.unreadable.remove(&name);
                state.by_name.remove(&name);
            }
            Entry::Unreadable(name) => {
                state.by_name.remove(&name);
                state.unreadable.insert(name);
            }
            Entry::Torn => {}
            Entry::Damaged => damaged += 1,
        }
    }
    if damaged > 0 {
        state.problem = Some(format!("{} damaged", crate::units::count(damaged, "line")));
    }
    (state, lines)
}

#[cfg(test)]
mod tests {
    use super::super::object_version::ObjectVersion;
    use super::*;
    use crate::catalog::DigestSource;

    fn binding(name: &str, content: &[u8]) -> Binding {
        Binding {
            name: AssetName::parse(name).unwrap(),
            source: format!("s3://b/{name}").parse().unwrap(),
            sha256: Digest::of(content),
            object: ObjectVersion {
                size: content.len() as u64,
                validator: Some("\"etag\"".to_owned()),
                modified: Some(std::time::SystemTime::UNIX_EPOCH),
            },
            from: DigestSource::Sidecar,
            verified: true,
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
        let line = line::of_binding(&kernel);
        fs::write(&path, format!("{line}\n").repeat(SPARE_LINES + 2)).unwrap();
        assert_eq!(Bindings::open(path.clone()).get(&kernel.name), Some(kernel));
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{line}\n"));
    }

    #[test]
    fn damaged_record_binds_nothing_by_itself() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("collections.jsonl");
        let (kernel, initrd) = (binding("os/kernel", b"k"), binding("os/initrd", b"i"));
        let text = format!("{}\n", line::of_binding(&kernel));
        fs::write(&path, [text.as_bytes(), b"\xff\n"].concat()).unwrap();
        let bindings = Bindings::open(path.clone());
        assert_eq!(bindings.get(&kernel.name), Some(kernel.clone()));
        assert!(bindings.check_free(&kernel.name).is_ok());
        let error = bindings.check_free(&initrd.name).unwrap_err().to_string();
        assert!(error.contains("1 line damaged") && error.contains("`bootdepot accept os/initrd`"), "{error}");
        assert!(
            bindings.warnings()[0].contains("cannot be read as a whole (1 line damaged)"),
            "{:?}",
            bindings.warnings()
        );
        assert!(fs::read(&path).unwrap().ends_with(b"\xff\n"), "it is left to a person");

        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        let bindings = Bindings::open(path);
        assert!(bindings.check_free(&kernel.name).is_err() && bindings.warnings().len() == 1);
    }

    #[test]
    fn name_of_unreadable_line_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("collections.jsonl");
        let (kernel, initrd) = (binding("os/kernel", b"k"), binding("os/initrd", b"i"));
        fs::write(&path, line::of_binding(&kernel).replace("sidecar", "later-place")).unwrap();
        let bindings = Bindings::open(path.clone());
        assert!(bindings.check_free(&kernel.name).is_err() && bindings.check_free(&initrd.name).is_ok());
        assert_eq!((bindings.get(&kernel.name), bindings.warnings().len()), (None, 1));
        bindings.put(kernel.clone()).unwrap();
        assert!(bindings.check_free(&kernel.name).is_ok() && bindings.warnings().is_empty());
        assert_eq!(Bindings::open(path).get(&kernel.name), Some(kernel));
    }

    #[test]
    fn deleted_record_is_written_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("collections.jsonl");
        let (kernel, initrd) = (binding("os/kernel", b"k"), binding("os/initrd", b"i"));
        let bindings = Bindings::open(path.clone());
        bindings.put(kernel.clone()).unwrap();
        for restore in [true, false] {
            fs::remove_file(&path).unwrap();
            if restore {
                bindings.restore();
            } else {
                bindings.put(initrd.clone()).unwrap();
            }
            assert_eq!(Bindings::open(path.clone()).get(&kernel.name), Some(kernel.clone()));
        }
        assert_eq!(Bindings::open(path).get(&initrd.name), Some(initrd));
    }

    #[test]
    fn seen_bytes_confirm_their_digest() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("collections.jsonl");
        let bindings = Bindings::open(path.clone());
        let kernel = Binding { verified: false, ..binding("os/kernel", b"k") };
        bindings.put(kernel.clone()).unwrap();
        assert_eq!(Bindings::open(path.clone()).get(&kernel.name), Some(kernel.clone()));
        bindings.confirm(&kernel.name, &Digest::of(b"other")).unwrap();
        assert!(!bindings.get(&kernel.name).unwrap().verified);
        bindings.confirm(&kernel.name, &kernel.sha256).unwrap();
        assert!(Bindings::open(path).get(&kernel.name).unwrap().verified);
    }
}
