//! Where the entries of new objects go: a catalog in a file or in a bucket, which others change too.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::catalog_edit::{CatalogChange, EditError};
use super::error::StoreError;
use super::state_dir::StateDir;
use super::store::Store;
use super::text_object::TextObjectError;
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
    Object(#[from] TextObjectError),
    /// The file cannot be read or written.
    #[error("the catalog {path} cannot be read or written: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The entries cannot be merged into it.
    #[error("the catalog {path} cannot be changed: {source}")]
    Edit {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: EditError,
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

    /// The same, after a probe of which header fields its server takes. Writes beside it.
    pub async fn probed(self, state: Option<&StateDir>) -> Result<Self, StoreError> {
        let Self::Object { store, key } = self else { return Ok(self) };
        let directory = &key[..key.rfind('/').map_or(0, |slash| slash + 1)];
        let store = store.probed(directory, state).await?;
        Ok(Self::Object { store, key })
    }

    /// Its text. Empty if it does not exist.
    pub async fn read(&self) -> Result<String, CatalogTargetError> {
        match self {
            Self::Object { store, key } => Ok(store.text(key).await?.unwrap_or_default()),
            Self::File(path) => {
                let file = path.clone();
                match blocking(move || fs::read_to_string(file)).await {
                    Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
                    read => read.map_err(|source| CatalogTargetError::Io { path: path.clone(), source }),
                }
            }
        }
    }

    /// Changes it. Other writers' changes are kept. Returns whether it has changed.
    pub async fn merge(&self, change: CatalogChange) -> Result<bool, CatalogTargetError> {
        match self {
            Self::Object { store, key } => {
                let change = |old: Option<&str>| change.apply(old.unwrap_or_default());
                Ok(store.change_text(key, "application/toml", change).await?)
            }
            Self::File(path) => {
                let path = path.clone();
                blocking(move || change_file(&path, &change)).await
            }
        }
    }
}

fn change_file(path: &Path, change: &CatalogChange) -> Result<bool, CatalogTargetError> {
    let failed = |source| CatalogTargetError::Io { path: path.to_owned(), source };
    // A link is not replaced, but the file that it leads to.
    let path = match fs::canonicalize(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => path.to_owned(),
        other => other.map_err(failed)?,
    };
    let directory = path.parent().filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Locked against another command that changes it. The lock of the directory leaves no file behind.
    let lock = File::open(directory).map_err(failed)?;
    flock(&lock, FlockOperation::LockExclusive).map_err(|error| failed(error.into()))?;
    let (old, mode) = match fs::read_to_string(&path) {
        Ok(text) => (Some(text), fs::metadata(&path).map_err(failed)?.permissions().mode() & 0o777),
        Err(error) if error.kind() == ErrorKind::NotFound => (None, 0o644),
        Err(error) => return Err(failed(error)),
    };
    let new = change.apply(old.as_deref().unwrap_or_default());
    let new = new.map_err(|source| CatalogTargetError::Edit { path: path.clone(), source })?;
    if old.as_deref() == Some(&new) {
        return Ok(false);
    }
    DurableFile::new(&path).with_mode(mode).replace(new.as_bytes()).map_err(failed)?;
    Ok(true)
}
