//! Where the entries of published objects go: a catalog in a file or in a bucket.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::catalog_entry::{CatalogEntry, merge_catalog};
use super::document::DocumentError;
use super::store::Store;
use crate::durable_file::DurableFile;
use crate::task::blocking;

/// A catalog that entries are merged into. It need not exist.
#[derive(Clone)]
pub enum CatalogTarget {
    /// A file on this machine.
    File(PathBuf),
    /// An object.
    Object {
        /// Its bucket.
        store: Store,
        /// Its key.
        key: String,
    },
}

/// Why a catalog was not changed.
#[derive(Debug, thiserror::Error)]
pub enum CatalogTargetError {
    /// The object.
    #[error(transparent)]
    Object(#[from] DocumentError),
    /// The file cannot be read or written.
    #[error("the catalog {path} cannot be changed: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The entries cannot be merged into it.
    #[error("the catalog {path} cannot be changed: {reason}")]
    Change {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
}

impl CatalogTarget {
    /// The catalog, as shown.
    pub fn shown(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Object { store, key } => store.url(key),
        }
    }

    /// Merges entries into it. Other writers' changes are kept. Returns whether it has changed.
    pub async fn merge(&self, entries: Vec<CatalogEntry>, release: Option<String>) -> Result<bool, CatalogTargetError> {
        let change = move |old: Option<&str>| {
            merge_catalog(old.unwrap_or_default(), &entries, release.as_deref()).map_err(|error| error.to_string())
        };
        match self {
            Self::Object { store, key } => Ok(store.change_text(key, "application/toml", change).await?),
            Self::File(path) => {
                let path = path.clone();
                blocking(move || change_file(&path, change)).await
            }
        }
    }
}

fn change_file(
    path: &Path,
    change: impl Fn(Option<&str>) -> Result<String, String>,
) -> Result<bool, CatalogTargetError> {
    let failed = |source| CatalogTargetError::Io { path: path.to_owned(), source };
    // A link is not replaced, but the file that it leads to.
    let path = match fs::canonicalize(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => path.to_owned(),
        other => other.map_err(failed)?,
    };
    let directory = path.parent().filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Locked against another `publish`. The lock of the directory leaves no file behind.
    let lock = File::open(directory).map_err(failed)?;
    flock(&lock, FlockOperation::LockExclusive).map_err(|error| failed(error.into()))?;
    let (old, mode) = match fs::read_to_string(&path) {
        Ok(text) => (Some(text), fs::metadata(&path).map_err(failed)?.permissions().mode() & 0o777),
        Err(error) if error.kind() == ErrorKind::NotFound => (None, 0o644),
        Err(error) => return Err(failed(error)),
    };
    let new = change(old.as_deref()).map_err(|reason| CatalogTargetError::Change { path: path.clone(), reason })?;
    if old.as_deref() == Some(&new) {
        return Ok(false);
    }
    DurableFile::new(&path).with_mode(mode).replace(new.as_bytes()).map_err(failed)?;
    Ok(true)
}
