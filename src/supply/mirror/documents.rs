//! Fetches the documents of an upstream, and checks their signatures.

use super::download::Download;
use super::error::MirrorError;
use super::settings::Require;
use crate::asset::{SourceUrl, SourceUrlError};
use crate::origin::Origins;
use crate::proof::{DetachedSignature, Signer, TrustedKeys, is_clear_signed, unsigned_text};
use crate::proof::{Document, DocumentError};

/// The longest document in bytes. The largest that is known, a list of products of MAAS, has some 10 MiB.
const LIMIT: u64 = 64 << 20;

/// Reads documents of one upstream.
pub(super) struct Documents<'e> {
    pub(super) origins: &'e Origins,
    pub(super) keys: &'e TrustedKeys,
    pub(super) require: Require,
    pub(super) now: jiff::Timestamp,
    /// The document on standard input.
    pub(super) stdin: Option<&'e str>,
}

/// A document, and who signed it.
#[derive(Debug, Clone)]
pub(super) struct Signed {
    pub(super) document: Document,
    /// `None` if no signature was checked.
    pub(super) signer: Option<Signer>,
}

impl Documents<'_> {
    /// Reads a document that has no signature.
    pub(super) async fn plain(&self, url: &str) -> Result<Document, MirrorError> {
        document(url, self.bytes(url).await?)
    }

    /// The same; `None` if it does not exist.
    pub(super) async fn plain_if_there(&self, url: &str) -> Result<Option<Document>, MirrorError> {
        match self.plain(url).await {
            Ok(document) => Ok(Some(document)),
            Err(MirrorError::Origin(error)) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads a document with its signature: the one that it contains, else the first of those beside it, whose URL is the
    /// document's with one of these `suffixes`. Without keys, nothing is checked.
    pub(super) async fn signed(&self, url: &str, suffixes: &[&str]) -> Result<Signed, MirrorError> {
        let bytes = self.bytes(url).await?;
        let refused = |error| MirrorError::Signature { url: shown(url), error };
        if std::str::from_utf8(&bytes).is_ok_and(is_clear_signed) {
            let document = document(url, bytes)?;
            let (text, signer) = if self.keys.is_empty() {
                (unsigned_text(&document.text).map_err(refused)?, None)
            } else {
                let (text, signer) = self.keys.open_clear_signed(&document.text, self.now).map_err(refused)?;
                (text, Some(signer))
            };
            return Ok(Signed { document: Document { text, ..document }, signer });
        }
        let signature = if self.keys.is_empty() { None } else { self.signature(url, suffixes).await? };
        let signer = match &signature {
            Some(signature) => Some(self.keys.verify(&bytes, signature, self.now).map_err(refused)?),
            None if self.require == Require::Signature => {
                let tried: Vec<_> = suffixes.iter().map(|suffix| format!("{}{suffix}", shown(url))).collect();
                let found = match tried.as_slice() {
                    [] => "it is not clear-signed".to_owned(),
                    tried => format!("it is not clear-signed, and no signature was found at {}", tried.join(", ")),
                };
                return Err(MirrorError::TooWeak { url: shown(url), require: self.require, found });
            }
            None => None,
        };
        Ok(Signed { document: document(url, bytes)?, signer })
    }

    /// Reads the signature beside `url`, if there is one.
    pub(super) async fn signature(
        &self,
        url: &str,
        suffixes: &[&str],
    ) -> Result<Option<DetachedSignature>, MirrorError> {
        for suffix in suffixes {
            let at = format!("{url}{suffix}");
            match self.bytes(&at).await {
                Ok(bytes) => {
                    let signature = DetachedSignature::parse(&bytes);
                    return signature.map(Some).map_err(|error| MirrorError::Signature { url: shown(&at), error });
                }
                Err(MirrorError::Origin(error)) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Reads a document as bytes.
    pub(super) async fn bytes(&self, url: &str) -> Result<Vec<u8>, MirrorError> {
        let mut download = Download::open(self.origins, &source(url)?).await?;
        let too_long = || MirrorError::TooLong { url: shown(url), limit: LIMIT };
        if download.total().is_some_and(|total| total > LIMIT) {
            return Err(too_long());
        }
        let mut bytes = Vec::new();
        while let Some(piece) = download.chunk().await? {
            bytes.extend_from_slice(&piece);
            if bytes.len() as u64 > LIMIT {
                return Err(too_long());
            }
        }
        Ok(bytes)
    }
}

/// The URL of a document or a file, which an upstream may have written.
pub(super) fn source(url: &str) -> Result<SourceUrl, MirrorError> {
    url.parse().map_err(|error: SourceUrlError| {
        let document = "a URL of the upstream".to_owned();
        let expected = "https://…, http://…, s3://BUCKET/KEY or file:///PATH".to_owned();
        DocumentError { document, line: None, expected, found: format!("{url:?} ({error})") }.into()
    })
}

/// A URL as shown in messages, without its query.
pub(super) fn shown(url: &str) -> String {
    url.parse::<SourceUrl>().map_or_else(|_| url.to_owned(), |source| source.to_string())
}

/// A fetched document.
pub(super) fn document(url: &str, bytes: Vec<u8>) -> Result<Document, MirrorError> {
    let text = String::from_utf8(bytes).map_err(|_| MirrorError::NotText { url: shown(url) })?;
    Ok(Document::new(shown(url), text))
}
