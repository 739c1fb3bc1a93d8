//! Origins: one ranged read of one source URL, with the validator of what was read. Errors are told apart by meaning.
//!
//! It knows nothing of digests or of the cache. A reply is distrusted: its status, `Content-Range`, length and
//! validator are checked against what was asked before a byte is handed on.

mod error;
mod settings;

use bytes::Bytes;

pub use error::OriginError;
pub use settings::{Addressing, Credentials, OriginSettings, Secret, Timeouts};

use crate::asset::{ByteRange, SourceUrl};

/// What names one state of an object: a strong `ETag`, else `Last-Modified` (RFC 9110 8.8); for a file its identity,
/// length and time. Opaque; written as text so that a partial fill can remember it over a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validator(String);

impl Validator {
    /// The validator whose text (as from [`Validator::as_str`]) this is.
    pub fn from_text(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// All configured origins; for each source URL the one whose `match` is its longest prefix is used, else a plain one.
#[derive(Clone)]
pub struct Origins {}

/// The answer to a ranged read, its head checked.
pub struct Reply {
    /// What the body holds: the asked range cut to the object's end, or the whole object from 0 when the source
    /// ignored the range ([`Reply::ignored_range`]).
    pub range: ByteRange,
    /// The object's whole length.
    pub total: u64,
    /// What to send along so that the next part is of the same object; none if the source gives none.
    pub validator: Option<Validator>,
    /// When the object was last changed, where the source says so.
    pub last_modified: Option<std::time::SystemTime>,
    /// The source sent everything although a range was asked: it can only be read as one stream.
    pub ignored_range: bool,
    /// The bytes.
    pub body: Body,
}

/// The bytes of a reply. Yields exactly `Reply::range.len()` bytes, or an error: never more, never silently fewer.
pub struct Body {}

impl Body {
    /// The next piece; `None` after exactly the promised number of bytes.
    ///
    /// Ends with [`OriginError::Truncated`] where the source ended early or sent too much, [`OriginError::Stalled`]
    /// where it sent nothing for the stall timeout.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, OriginError> {
        unimplemented!()
    }
}

impl Origins {
    /// The origins of these settings, or what is wrong with them (a CA file that cannot be read, say).
    pub fn new(_settings: Vec<OriginSettings>, _timeouts: Timeouts) -> Result<Self, OriginError> {
        unimplemented!()
    }

    /// Reads `range` of `source` (all of it where none is given). With `expect`, only of the object that has this
    /// validator: else [`OriginError::Changed`].
    pub async fn read(
        &self,
        _source: &SourceUrl,
        _range: Option<ByteRange>,
        _expect: Option<&Validator>,
    ) -> Result<Reply, OriginError> {
        unimplemented!()
    }
}
