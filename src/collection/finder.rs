//! Looks for the digest of an object of a collection, in the places and the order that the collection says.

use std::sync::Arc;
use std::time::Duration;

use tracing::debug;

use super::statement::{self, Statement};
use crate::asset::{AssetName, Digest, SourceUrl};
use crate::catalog::{Collection, DigestSource};
use crate::origin::{OriginError, Origins, Stat};
use crate::proof::{Document, DocumentError};

/// The longest document in bytes. A `SHA256SUMS` of this length has some 40,000 lines.
const MAX_DOCUMENT: u64 = 4 << 20;
/// Documents that are kept for the other objects of their directories.
const MAX_DOCUMENTS: u64 = 64;

/// Looks for digests. Keeps documents that speak of several objects.
#[derive(Clone)]
pub struct Finder {
    /// By URL. `None` for one that does not exist.
    documents: moka::future::Cache<String, Option<Arc<Document>>>,
}

/// Why it is not known which digest an object has.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// A document cannot be read.
    #[error(transparent)]
    Origin(#[from] OriginError),
    /// A document says something else than a digest.
    #[error(transparent)]
    Document(#[from] DocumentError),
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
        Self { documents: moka::future::Cache::builder().max_capacity(MAX_DOCUMENTS).time_to_live(ttl).build() }
    }

    /// The digest of the object of this asset, with the place that says it. `None` if no place says it. `stat` describes the
    /// object.
    pub async fn find(
        &self,
        origins: &Origins,
        collection: &Collection,
        name: &AssetName,
        stat: &Stat,
    ) -> Result<Option<(Digest, DigestSource)>, FindError> {
        let path = name.as_str().strip_prefix(&collection.prefix).unwrap_or_default();
        let (directory, file) =
            path.rsplit_once('/').map_or(("", path), |(_, file)| (&path[..path.len() - file.len()], file));
        let beside = |name: String| collection.source.file(&format!("{directory}{name}"));
        for place in &collection.digest_from {
            let stated = match place {
                DigestSource::S3Checksum => header(stat, "x-amz-checksum-sha256"),
                DigestSource::Sha256Metadata => header(stat, "x-amz-meta-sha256"),
                DigestSource::Sidecar => {
                    // It speaks of one object only, so that it is not kept.
                    let document = read(origins, beside(format!("{file}.sha256"))).await?;
                    document
                        .map(|document| check(statement::of_sidecar(&document, file)?, &document, file, stat))
                        .transpose()?
                }
                DigestSource::Sums => {
                    let document = self.kept(origins, beside("SHA256SUMS".to_owned())).await?;
                    let found =
                        document.map(|document| Ok::<_, FindError>((statement::of_sums(&document, file)?, document)));
                    checked(found.transpose()?, file, stat)?
                }
                DigestSource::MetadataJson => {
                    let document = self.kept(origins, beside("metadata.json".to_owned())).await?;
                    let found = document
                        .map(|document| Ok::<_, FindError>((statement::of_metadata(&document, file)?, document)));
                    checked(found.transpose()?, file, stat)?
                }
                DigestSource::FirstUse => None,
            };
            if let Some(digest) = stated {
                return Ok(Some((digest, *place)));
            }
        }
        Ok(None)
    }

    async fn kept(&self, origins: &Origins, url: Option<SourceUrl>) -> Result<Option<Arc<Document>>, FindError> {
        let Some(url) = url else { return Ok(None) };
        let key = url.as_str().to_owned();
        if let Some(known) = self.documents.get(&key).await {
            return Ok(known);
        }
        let document = read(origins, Some(url)).await?.map(Arc::new);
        self.documents.insert(key, document.clone()).await;
        Ok(document)
    }
}

fn header(stat: &Stat, name: &str) -> Option<Digest> {
    stat.checksums.iter().find(|checksum| checksum.header == name).map(|checksum| checksum.digest)
}

fn checked(
    found: Option<(Option<Statement>, Arc<Document>)>,
    file: &str,
    stat: &Stat,
) -> Result<Option<Digest>, FindError> {
    match found {
        Some((Some(statement), document)) => check(statement, &document, file, stat).map(Some),
        _ => Ok(None),
    }
}

fn check(statement: Statement, document: &Document, file: &str, stat: &Stat) -> Result<Digest, FindError> {
    match statement.size {
        Some(stated) if stated != stat.size => {
            Err(FindError::Size { document: document.name.clone(), file: file.to_owned(), stated, size: stat.size })
        }
        _ => Ok(statement.sha256),
    }
}

/// The document at this URL. `None` if it does not exist. A store that may not list its keys refuses a missing one with 403, so
/// that this counts as missing too.
async fn read(origins: &Origins, url: Option<SourceUrl>) -> Result<Option<Document>, FindError> {
    let Some(url) = url else { return Ok(None) };
    let mut reply = match origins.read(&url, None, None).await {
        Ok(reply) => reply,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error @ OriginError::AccessDenied { .. }) => {
            debug!(source_url = %url, %error, "document of digests not readable");
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    let wrong = |expected: &str, found: String| Document::new(url.to_string(), "").error(expected, found);
    let mut bytes = Vec::new();
    while let Some(chunk) = reply.body.chunk().await? {
        if bytes.len() as u64 + chunk.len() as u64 > MAX_DOCUMENT {
            return Err(wrong("at most 4 MiB", "more".to_owned()).into());
        }
        bytes.extend_from_slice(&chunk);
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Some(Document::new(url.to_string(), text))),
        Err(error) => Err(wrong("UTF-8", error.utf8_error().to_string()).into()),
    }
}
