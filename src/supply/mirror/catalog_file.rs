//! The catalog that receives the releases of a mirror: a file, or an object in S3 that others may write too.

use std::io;
use std::path::PathBuf;

use bytes::Bytes;

use super::catalog_edit::{self, EditError, ReleaseEntry};
use super::known::Known;
use crate::durable_file::DurableFile;
use crate::supply::{Capabilities, Condition, ObjectHeaders, Store, StoreError};
use crate::task::blocking;

/// How often the catalog is read again because another writer was faster.
const ATTEMPTS: u32 = 8;

/// A catalog that can be written.
#[derive(Clone)]
pub enum CatalogFile {
    /// A file of this machine.
    File(PathBuf),
    /// An object.
    Object {
        /// Its bucket.
        store: Store,
        /// Its key.
        key: String,
    },
}

/// Why a catalog was not written.
#[derive(Debug, thiserror::Error)]
pub enum CatalogFileError {
    /// The file cannot be read or written.
    #[error("the catalog {path} cannot be written: {error}")]
    File {
        /// The file.
        path: String,
        /// The system's error.
        #[source]
        error: io::Error,
    },
    /// The store failed.
    #[error("the catalog cannot be written: {0}")]
    Store(#[from] StoreError),
    /// The release cannot be entered.
    #[error("the catalog {catalog} cannot be used: {error}")]
    Edit {
        /// The catalog.
        catalog: String,
        /// The reason.
        #[source]
        error: EditError,
    },
    /// The catalog is not text.
    #[error("{catalog} is not UTF-8")]
    NotText {
        /// The catalog.
        catalog: String,
    },
    /// Other writers were faster each time.
    #[error("{catalog} was changed by another writer at each of {ATTEMPTS} attempts; run it again")]
    Busy {
        /// The catalog.
        catalog: String,
    },
}

impl CatalogFile {
    /// Its URL or path.
    pub fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Object { store, key } => store.url(key),
        }
    }

    /// Adds what it names to `known`.
    pub async fn read_into(&self, known: &mut Known) -> Result<(), CatalogFileError> {
        let (text, _) = self.read().await?;
        catalog_edit::read(&text, known).map_err(|error| self.edit_error(error))
    }

    /// Enters a release. Concurrent changes of other writers are kept.
    pub async fn enter(&self, entry: &ReleaseEntry<'_>) -> Result<(), CatalogFileError> {
        for _ in 0..ATTEMPTS {
            let (before, condition) = self.read().await?;
            let after = catalog_edit::merge(&before, entry).map_err(|error| self.edit_error(error))?;
            if after == before {
                return Ok(());
            }
            match self.write(after, &condition).await {
                Err(CatalogFileError::Store(StoreError::Precondition { .. })) => {}
                other => return other,
            }
        }
        Err(CatalogFileError::Busy { catalog: self.name() })
    }

    /// The text, which is empty if there is no catalog yet, and the condition under which it may be replaced.
    async fn read(&self) -> Result<(String, Condition), CatalogFileError> {
        let (bytes, condition) = match self {
            Self::File(path) => {
                let read = path.clone();
                match blocking(move || std::fs::read(read)).await {
                    Ok(bytes) => (bytes, Condition::Always),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => (Vec::new(), Condition::Always),
                    Err(error) => return Err(self.file_error(error)),
                }
            }
            Self::Object { store, key } => match store.get(key).await? {
                Some((bytes, head)) => (bytes.to_vec(), head.etag.map_or(Condition::Always, Condition::Matches)),
                None => (Vec::new(), Condition::Absent),
            },
        };
        let text = String::from_utf8(bytes).map_err(|_| CatalogFileError::NotText { catalog: self.name() })?;
        Ok((text, condition))
    }

    async fn write(&self, text: String, condition: &Condition) -> Result<(), CatalogFileError> {
        match self {
            Self::File(path) => {
                let file = DurableFile::new(path);
                let written = blocking(move || file.replace(text.as_bytes())).await;
                written.map_err(|error| self.file_error(error))
            }
            Self::Object { store, key } => {
                let kind = Some("application/toml".to_owned());
                let headers = ObjectHeaders { content_type: kind, metadata: Vec::new() };
                let body = Bytes::from(text);
                let capabilities = Capabilities { if_absent: true, if_matches: true, ..store.capabilities() };
                let conditional = store.clone().with_capabilities(capabilities);
                match conditional.put(key, body.clone(), &headers, condition).await {
                    // A server without conditional writes: the last writer wins there.
                    Err(error) if error.is_not_supported() => {
                        store.put(key, body, &headers, &Condition::Always).await?;
                    }
                    other => drop(other?),
                }
                Ok(())
            }
        }
    }

    fn edit_error(&self, error: EditError) -> CatalogFileError {
        CatalogFileError::Edit { catalog: self.name(), error }
    }

    fn file_error(&self, error: io::Error) -> CatalogFileError {
        CatalogFileError::File { path: self.name(), error }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn missing_file_becomes_catalog() {
        let dir = tempfile::tempdir().unwrap();
        let catalog = CatalogFile::File(dir.path().join("catalog.toml"));
        let entry = ReleaseEntry { name: "os-1", channel: None, assets: &[], activate: false };
        catalog.enter(&entry).await.unwrap();
        assert!(std::fs::read_to_string(catalog.name()).unwrap().contains("name = \"os-1\""));
        std::fs::write(catalog.name(), b"asset = [").unwrap();
        let error = catalog.enter(&entry).await.unwrap_err();
        assert!(error.to_string().starts_with("the catalog /"), "{error}");
        assert_eq!(std::fs::read(catalog.name()).unwrap(), b"asset = [", "it is left as it is");
    }
}
