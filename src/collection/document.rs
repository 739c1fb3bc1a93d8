//! Reads the documents beside an object, and checks their signatures.

use std::sync::Arc;

use tracing::debug;

use crate::asset::SourceUrl;
use crate::clock;
use crate::origin::{OriginError, Origins};
use crate::proof::{
    DetachedSignature, Document, DocumentError, KeySource, KeySourceError, SignatureError, TrustedKeys, is_clear_signed,
};
use crate::task::blocking;

/// The longest document in bytes. A `SHA256SUMS` of this length has some 40,000 lines.
const MAX_DOCUMENT: usize = 4 << 20;
/// How the name of a detached signature differs from the name of its document.
pub(super) const SIGNATURES: [&str; 5] = [".asc", ".sig", ".gpg", ".sign", ".minisig"];

/// Why a document is not used.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReadDocumentError {
    /// It cannot be read.
    #[error(transparent)]
    Origin(#[from] OriginError),
    /// It is not text, or too long.
    #[error(transparent)]
    Form(#[from] DocumentError),
    /// The keys cannot be used.
    #[error(transparent)]
    Keys(Arc<KeySourceError>),
    /// Its signature is not accepted.
    #[error("{document} is not accepted: {source}")]
    Signature {
        /// The URL of the document.
        document: String,
        /// The reason.
        source: SignatureError,
    },
    /// It has no signature.
    #[error("{0} has no signature: it is not clear-signed, and there is no {0}.asc, .sig, .gpg, .sign or .minisig")]
    Unsigned(String),
}

/// The document at this URL. `None` if it does not exist.
pub(super) async fn read(origins: &Origins, url: &SourceUrl) -> Result<Option<Document>, ReadDocumentError> {
    let bytes = read_bytes(origins, url).await?;
    bytes.map(|bytes| text(url, bytes)).transpose()
}

/// The document at this URL, or the signed part of it, if one of the keys has signed it. `None` if it does not exist. `beside` is
/// the URL of the file whose name is the document's with a suffix.
pub(super) async fn read_signed(
    origins: &Origins,
    url: &SourceUrl,
    keys: &[KeySource],
    beside: impl Fn(&str) -> Option<SourceUrl>,
) -> Result<Option<Document>, ReadDocumentError> {
    let Some(bytes) = read_bytes(origins, url).await? else { return Ok(None) };
    let keys = {
        // Each time: a key that is added or withdrawn counts at once.
        let sources = keys.to_vec();
        blocking(move || TrustedKeys::read(&sources)).await.map_err(|error| ReadDocumentError::Keys(error.into()))?
    };
    let now = clock::now();
    let refused = |source| ReadDocumentError::Signature { document: url.to_string(), source };
    if std::str::from_utf8(&bytes).is_ok_and(is_clear_signed) {
        let document = text(url, bytes)?;
        let (text, _) = keys.open_clear_signed(&document.text, now).map_err(refused)?;
        return Ok(Some(Document { text, ..document }));
    }
    for suffix in SIGNATURES {
        let Some(at) = beside(suffix) else { continue };
        if let Some(signature) = read_bytes(origins, &at).await? {
            let signature = DetachedSignature::parse(&signature).map_err(refused)?;
            keys.verify(&bytes, &signature, now).map_err(refused)?;
            return text(url, bytes).map(Some);
        }
    }
    Err(ReadDocumentError::Unsigned(url.to_string()))
}

fn text(url: &SourceUrl, bytes: Vec<u8>) -> Result<Document, ReadDocumentError> {
    let text = String::from_utf8(bytes)
        .map_err(|error| Document::new(url.to_string(), "").error("UTF-8", error.utf8_error().to_string()))?;
    Ok(Document::new(url.to_string(), text))
}

/// The bytes at this URL. `None` if there are none. A store that may not list its keys refuses a missing one with 403, so that
/// this counts as missing too.
async fn read_bytes(origins: &Origins, url: &SourceUrl) -> Result<Option<Vec<u8>>, ReadDocumentError> {
    let mut reply = match origins.read(url, None, None).await {
        Ok(reply) => reply,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error @ OriginError::AccessDenied { .. }) => {
            debug!(source_url = %url, %error, "document of digests not readable");
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    let mut bytes = Vec::new();
    while let Some(chunk) = reply.body.chunk().await? {
        if bytes.len() + chunk.len() > MAX_DOCUMENT {
            return Err(Document::new(url.to_string(), "").error("at most 4 MiB", "more").into());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Some(bytes))
}
