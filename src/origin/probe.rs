//! Reads of an object as a fill requests them, for diagnostics: the first bytes by range, the last ones by range and under a
//! condition, and the metadata.

use std::time::SystemTime;

use http::Method;
use jiff::SignedDuration;

use super::checksum::Checksum;
use super::error::OriginError;
use super::origins::{Origins, require_reply};
use super::reply::Reply;
use super::request::Request;
use super::server_info::ServerInfo;
use super::storage::Storage;
use super::validator::Validator;
use crate::asset::{ByteRange, SourceTarget, SourceUrl};

/// Bytes at the beginning and at the end of an object that are read: enough for a body, little for a link.
const LENGTH: u64 = 1024;

/// An object that can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// Its length in bytes.
    pub size: u64,
    /// The digest that the source declares.
    pub checksum: Option<Checksum>,
    /// How it can be read.
    pub reads: Reads,
}

/// How an object can be read, the best first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reads {
    /// By ranges, on condition that the object is unchanged.
    Conditional,
    /// By ranges without a condition, because of this.
    Ranges(String),
    /// Only as one stream, because of this.
    Stream(String),
}

/// The result of [`Origins::probe`]. The server's properties are known even if the object cannot be read.
#[derive(Debug)]
pub struct ProbeReport {
    /// The object, or why a fill could not read it.
    pub probe: Result<Probe, OriginError>,
    /// How an S3 store keeps the object. `None` if it does not say.
    pub storage: Option<Storage>,
    /// How far the server's clock is ahead of ours, to the second. `None` if it sends no date.
    pub clock_offset: Option<SignedDuration>,
    /// When the server's certificate expires. `None` without TLS.
    pub certificate_expiry: Option<SystemTime>,
}

impl Origins {
    /// Reads the first and the last bytes of the object as a fill would, and its metadata.
    pub async fn probe(&self, source: &SourceUrl) -> ProbeReport {
        let server = ServerInfo::default();
        let mut probe = Reader { origins: self, source, server: &server }.probe().await;
        // S3 reports a checksum of the whole, and the class of an archived object, in the reply to a HEAD only.
        let is_s3 = matches!(source.target(), SourceTarget::S3 { .. });
        let is_of_use = match &probe {
            Ok(probe) => probe.checksum.is_none(),
            Err(OriginError::NotFound { .. } | OriginError::NoSuchBucket { .. }) => false,
            Err(error) => error.is_answer(),
        };
        if is_s3 && is_of_use {
            let head = Request { method: Method::HEAD, server: Some(&server), ..Request::get(source) };
            // A store may refuse HEAD; fills do not need it.
            if let (Ok(Some(head)), Ok(probe)) = (self.send(head).await, &mut probe) {
                probe.checksum = probe.checksum.or(head.checksum).filter(|_| head.total == probe.size);
            }
        }
        let storage = server.storage().cloned();
        let (clock_offset, certificate_expiry) = server.into_parts();
        ProbeReport { probe, storage, clock_offset, certificate_expiry }
    }
}

/// The requests of one probe.
struct Reader<'a> {
    origins: &'a Origins,
    source: &'a SourceUrl,
    server: &'a ServerInfo,
}

impl Reader<'_> {
    async fn probe(&self) -> Result<Probe, OriginError> {
        let first = match self.read(Some(ByteRange::new(0, LENGTH)), None).await {
            Ok(reply) if reply.ignored_range => return self.stream(reply, "it ignores ranges".to_owned()).await,
            Ok(reply) => reply,
            Err(error) if refuses_range(&error) => {
                let reply = self.read(None, None).await?;
                return self.stream(reply, error.to_string()).await;
            }
            Err(error) => return Err(error),
        };
        let (size, checksum, validator) = (first.total, first.checksum, first.validator.clone());
        drain(first).await?;
        let reads = self.last_bytes(size, validator.as_ref()).await?;
        Ok(Probe { size, checksum, reads })
    }

    /// Reads the last bytes of an object of this size, without the condition if that is refused.
    async fn last_bytes(&self, size: u64, validator: Option<&Validator>) -> Result<Reads, OriginError> {
        let last = Some(ByteRange::new(size.saturating_sub(LENGTH), size));
        let (last, mut reads) = match (self.read(last, validator).await, validator) {
            (Ok(last), Some(_)) => (last, Reads::Conditional),
            (Ok(last), None) => {
                (last, Reads::Ranges("it sends neither a strong ETag nor a date of the last change".to_owned()))
            }
            (Err(error), Some(_)) if refuses_condition(&error) => {
                let reason = match error {
                    OriginError::Changed { .. } => {
                        "it answers a condition on the ETag or date that it has just sent as if the object had changed"
                            .to_owned()
                    }
                    other => other.to_string(),
                };
                (self.read(last, None).await?, Reads::Ranges(reason))
            }
            (Err(error), _) => return Err(error),
        };
        if last.total != size {
            return Err(OriginError::Changed { source_url: self.source.to_string() });
        }
        if last.ignored_range {
            reads = Reads::Stream("it ignores some ranges".to_owned());
            first_piece(last).await?;
        } else {
            drain(last).await?;
        }
        Ok(reads)
    }

    async fn read(&self, range: Option<ByteRange>, if_match: Option<&Validator>) -> Result<Reply, OriginError> {
        let request = Request { range, if_match, server: Some(self.server), ..Request::get(self.source) };
        require_reply(self.source, self.origins.send(request).await?)
    }

    /// An object that is sent whole, whatever was requested.
    async fn stream(&self, reply: Reply, reason: String) -> Result<Probe, OriginError> {
        let probe = Probe { size: reply.total, checksum: reply.checksum, reads: Reads::Stream(reason) };
        first_piece(reply).await?;
        Ok(probe)
    }
}

/// Reads a whole body.
async fn drain(mut reply: Reply) -> Result<(), OriginError> {
    while reply.body.chunk().await?.is_some() {}
    Ok(())
}

/// Reads the first bytes of a body that may be long.
async fn first_piece(mut reply: Reply) -> Result<(), OriginError> {
    reply.body.chunk().await.map(drop)
}

/// Whether the object might be had with a request that has no range.
fn refuses_range(error: &OriginError) -> bool {
    matches!(error, OriginError::BadReply { .. } | OriginError::Status { status: 400 | 405 | 416 | 501, .. })
}

/// Whether the range might be had with a request that has no condition.
fn refuses_condition(error: &OriginError) -> bool {
    matches!(error, OriginError::Changed { .. }) || refuses_range(error)
}
