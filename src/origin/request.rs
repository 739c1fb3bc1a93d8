//! A read request to an origin: source, range and conditions.

use http::Method;

use super::kept_target::KeptTarget;
use super::server_info::ServerInfo;
use super::validator::Validator;
use crate::asset::{ByteRange, SourceTarget, SourceUrl};

/// A read request, before it has a URL and credentials.
#[derive(Debug, Clone)]
pub(super) struct Request<'a> {
    pub(super) source: &'a SourceUrl,
    /// GET, or HEAD to read metadata only.
    pub(super) method: Method,
    /// `None`: the whole object.
    pub(super) range: Option<ByteRange>,
    /// The object must have this validator.
    pub(super) if_match: Option<&'a Validator>,
    /// The object is read only if it has another validator.
    pub(super) if_none_match: Option<&'a Validator>,
    /// Collects what replies show of the server itself.
    pub(super) server: Option<&'a ServerInfo>,
    /// Keeps where redirects led.
    pub(super) target: Option<&'a KeptTarget>,
    /// Whether the caller verifies the bytes by their digest. If not, a reply with a `Content-Encoding` is refused.
    pub(super) digest_decides: bool,
}

impl<'a> Request<'a> {
    /// An unconditional GET of the whole object.
    pub(super) fn get(source: &'a SourceUrl) -> Self {
        Self {
            source,
            method: Method::GET,
            range: None,
            if_match: None,
            if_none_match: None,
            server: None,
            target: None,
            digest_decides: true,
        }
    }

    /// Returns the range for the `Range` field. It holds at least one byte: RFC 9110 14.1.2 cannot express an empty one.
    pub(super) fn wire_range(&self) -> Option<ByteRange> {
        self.range.map(|range| ByteRange::new(range.start, range.end.max(range.start.saturating_add(1))))
    }

    /// Whether the source names a version of the object.
    pub(super) fn names_version(&self) -> bool {
        matches!(self.source.target(), SourceTarget::S3 { version: Some(_), .. })
    }

    /// Whether the bytes are taken as they come, whatever `Content-Encoding` says. An S3 store returns the bytes as stored,
    /// and some web servers label a file by its name. Nothing is ever decoded: the digest decides.
    pub(super) fn ignores_encoding(&self) -> bool {
        self.digest_decides || matches!(self.source.target(), SourceTarget::S3 { .. })
    }
}
