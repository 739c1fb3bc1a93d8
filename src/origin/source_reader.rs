//! Reads of one source that belong together, such as those of one fill.

use std::sync::Arc;

use super::error::OriginError;
use super::kept_target::KeptTarget;
use super::origins::Origins;
use super::reply::Reply;
use super::validator::Validator;
use crate::asset::{ByteRange, SourceUrl};

/// Reads one source. Redirects are resolved once and their target is kept, because a redirector may choose another mirror
/// for each request. A target that has expired is resolved again. Cheap to clone; clones share the target.
#[derive(Clone)]
pub struct SourceReader {
    origins: Origins,
    source: SourceUrl,
    target: Arc<KeptTarget>,
}

impl SourceReader {
    /// A reader of `source` whose redirects are not resolved yet.
    pub fn new(origins: Origins, source: SourceUrl) -> Self {
        Self { origins, source, target: Arc::default() }
    }

    /// The source.
    pub fn source(&self) -> &SourceUrl {
        &self.source
    }

    /// Reads like [`Origins::read`]; without a range, the request has no `Range` field.
    pub async fn read(&self, range: Option<ByteRange>, expect: Option<&Validator>) -> Result<Reply, OriginError> {
        self.origins.read_at(&self.source, range, expect, Some(&self.target)).await
    }
}
