//! Looks for the digest of an object of a collection, in the places and the order that the collection says.

use std::sync::Arc;
use std::time::Duration;

use super::document::{ReadDocumentError, read, read_signed};
use super::statement::{self, Statement, Statements};
use crate::asset::{AssetName, Digest, SourceUrl};
use crate::catalog::{Collection, DigestSource};
use crate::origin::{Origins, Stat};
use crate::proof::{Document, DocumentError};
use crate::task::blocking;

/// The memory, in bytes, of documents that are kept for the other objects of their directories: about 300,000 files.
const MAX_DOCUMENTS: u64 = 32 << 20;
/// The memory, in bytes, of a document without statements, or of one that does not exist.
const MIN_DOCUMENT: usize = 512;

/// Looks for digests. Keeps documents that speak of several objects.
#[derive(Clone)]
pub struct Finder {
    /// `None` for one that does not exist.
    documents: moka::future::Cache<DocumentKey, Option<Arc<Statements>>>,
}

/// The prefix of the collection, whose keys count; the URL of the document; and whether its signature was checked.
type DocumentKey = (String, String, bool);

/// Why it is not known which digest an object has.
#[derive(Debug, Clone, thiserror::Error)]
pub enum FindError {
    /// A document cannot be read.
    #[error(transparent)]
    Document(#[from] ReadDocumentError),
    /// A document says something else than a digest.
    #[error(transparent)]
    Statement(#[from] DocumentError),
    /// A document speaks of an object of another length.
    #[error(
        "{document} says that {file} has {stated} bytes, but it has {size}; the document is of another version of it"
    )]
    Size {
        /// The URL of the document.
        document: String,
        /// The object's name.
        file: String,
        /// The length in the document.
        stated: u64,
        /// The length of the object.
        size: u64,
    },
}

impl Finder {
    /// A finder that keeps documents for `ttl`.
    pub fn new(ttl: Duration) -> Self {
        let weigh = |_: &DocumentKey, kept: &Option<Arc<Statements>>| {
            let weight = MIN_DOCUMENT + kept.as_ref().map_or(0, |statements| statements.weight());
            u32::try_from(weight).unwrap_or(u32::MAX)
        };
        let documents = moka::future::Cache::builder().max_capacity(MAX_DOCUMENTS).weigher(weigh);
        Self { documents: documents.time_to_live(ttl).build() }
    }

    /// The digest of the object of this asset, with the place that says it. `None` if no place says it. `stat` describes the
    /// object. Fails with [`ReadDocumentError::Unsigned`] if only a document without the signature that it should have says it.
    pub async fn find(
        &self,
        origins: &Origins,
        collection: &Collection,
        name: &AssetName,
        stat: &Stat,
    ) -> Result<Option<(Digest, DigestSource)>, FindError> {
        let path = name.as_str().strip_prefix(&collection.prefix).unwrap_or_default();
        let (directory, file) = path.rsplit_once('/').unwrap_or(("", path));
        let documents = Documents { finder: self, origins, collection, directory };
        let mut unsigned = None;
        for place in &collection.digest_from {
            let header = |name: &str| {
                let checksum = stat.checksums.iter().find(|checksum| checksum.header == name);
                checksum.map(|checksum| Statement { sha256: checksum.digest, size: None })
            };
            let stated = match place {
                DigestSource::S3Checksum => header("x-amz-checksum-sha256"),
                DigestSource::Sha256Metadata => header("x-amz-meta-sha256"),
                DigestSource::FirstUse => None,
                place => match documents.statement(*place, file, stat).await {
                    Err(FindError::Document(error @ ReadDocumentError::Unsigned(_))) => {
                        unsigned.get_or_insert(error);
                        None
                    }
                    stated => stated?,
                },
            };
            if let Some(Statement { sha256, .. }) = stated {
                return Ok(Some((sha256, *place)));
            }
        }
        unsigned.map_or(Ok(None), |error| Err(error.into()))
    }
}

/// The documents of one directory of a collection.
struct Documents<'f> {
    finder: &'f Finder,
    origins: &'f Origins,
    collection: &'f Collection,
    directory: &'f str,
}

impl Documents<'_> {
    /// The statement of the document of this place about `file`.
    async fn statement(&self, place: DigestSource, file: &str, stat: &Stat) -> Result<Option<Statement>, FindError> {
        let (document, statement) = match place {
            // It speaks of one object only, so that it is not kept.
            DigestSource::Sidecar | DigestSource::SignedSidecar => {
                let document = self.read(&format!("{file}.sha256"), place.is_signed()).await?;
                let Some(document) = document else { return Ok(None) };
                let of_file = if place.is_signed() { statement::of_signed_sidecar } else { statement::of_sidecar };
                let statement = of_file(&document, file)?;
                (document.name, Some(statement))
            }
            place => {
                let Some(statements) = self.kept(place).await? else { return Ok(None) };
                (statements.document.clone(), statements.about(file)?)
            }
        };
        if let Some(stated) = statement.and_then(|it| it.size).filter(|stated| *stated != stat.size) {
            let file = file.to_owned();
            return Err(FindError::Size { document, file, stated, size: stat.size });
        }
        Ok(statement)
    }

    /// The statements of `SHA256SUMS` or of `metadata.json`. They are read once for all objects of their directory.
    async fn kept(&self, place: DigestSource) -> Result<Option<Arc<Statements>>, FindError> {
        let is_metadata = place == DigestSource::MetadataJson;
        let name = if is_metadata { "metadata.json" } else { "SHA256SUMS" };
        let Some(url) = self.url(name) else { return Ok(None) };
        let key = (self.collection.prefix.clone(), url.as_str().to_owned(), place.is_signed());
        let parse = if is_metadata { Statements::of_metadata } else { Statements::of_sums };
        let read = async {
            let Some(document) = self.read(name, place.is_signed()).await? else { return Ok(None) };
            let statements = blocking(move || parse(&document)).await?;
            Ok(Some(Arc::new(statements)))
        };
        let kept: Result<_, Arc<FindError>> = Box::pin(self.finder.documents.try_get_with(key, read)).await;
        kept.map_err(|error| FindError::clone(&error))
    }

    async fn read(&self, name: &str, signed: bool) -> Result<Option<Document>, ReadDocumentError> {
        let Some(url) = self.url(name) else { return Ok(None) };
        if !signed {
            return read(self.origins, &url).await;
        }
        let beside = |suffix: &str| self.url(&format!("{name}{suffix}"));
        read_signed(self.origins, &url, &self.collection.keys, beside).await
    }

    fn url(&self, name: &str) -> Option<SourceUrl> {
        let slash = if self.directory.is_empty() { "" } else { "/" };
        self.collection.source.file(&format!("{}{slash}{name}", self.directory))
    }
}
