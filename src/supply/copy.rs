//! Copies of objects within one server, without their bytes coming here.

use http::Method;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::condition::Condition;
use super::error::StoreError;
use super::object::ObjectHeaders;
use super::part::CompletedPart;
use super::publish_error::PublishError;
use super::store::Store;
use super::xml::{self, CopyResult};
use crate::asset::Digest;
use crate::catalog::content_type;

/// The largest object that one request copies: 5 GiB ("Copying objects" in the Amazon S3 user guide).
const LARGEST: u64 = 5 << 30;

/// The size of the parts of a larger one.
const PART: u64 = 1 << 30;

const SOURCE: HeaderName = HeaderName::from_static("x-amz-copy-source");
const RANGE: HeaderName = HeaderName::from_static("x-amz-copy-source-range");

const PATH: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// Copies the object `key` of `size` bytes to `target` in another bucket of the same server.
pub(super) async fn copy(from: &Store, key: &str, to: &Store, target: &str, size: u64) -> Result<(), PublishError> {
    if from.endpoint() != to.endpoint() {
        return Err(PublishError::OtherEndpoint { from: from.url(key), to: to.url(target) });
    }
    let source = format!("/{}/{}", from.bucket(), utf8_percent_encode(key, &PATH));
    let bad = |error: http::header::InvalidHeaderValue| StoreError::BadRequest {
        url: from.url(key),
        reason: error.to_string(),
    };
    let mut fields = HeaderMap::from_iter([(SOURCE, HeaderValue::try_from(source).map_err(bad)?)]);
    if size <= LARGEST {
        to.call(Method::PUT, target, &[], fields, "").await?;
        return Ok(());
    }
    let headers = ObjectHeaders { content_type: Some(content_type(target).to_owned()), metadata: Vec::new() };
    let upload_id = to.create_upload(target, &headers).await?;
    let mut parts = Vec::new();
    for (number, start) in (1_u32..).zip((0..size).step_by(usize::try_from(PART).unwrap_or(usize::MAX))) {
        let end = (start + PART).min(size);
        fields.insert(RANGE, HeaderValue::try_from(format!("bytes={start}-{}", end - 1)).map_err(bad)?);
        let text = number.to_string();
        let query = [("partNumber", text.as_str()), ("uploadId", upload_id.as_str())];
        let copied = match to.call(Method::PUT, target, &query, fields.clone(), "").await {
            Ok(reply) => xml::parse::<CopyResult>(&to.url(target), &reply.body),
            Err(error) => Err(error),
        };
        match copied {
            Ok(CopyResult { etag, checksum }) => {
                let digest = checksum.as_deref().and_then(Digest::from_base64);
                // Only a server that keeps checksums wants the digest, and it has just said it.
                let digest = digest.unwrap_or(Digest::from_bytes([0; 32]));
                parts.push(CompletedPart { number, etag, digest, size: end - start });
            }
            Err(error) => {
                to.abort_upload(target, &upload_id).await?;
                return Err(error.into());
            }
        }
    }
    to.complete_upload(target, &upload_id, &parts, &Condition::Always).await?;
    Ok(())
}
