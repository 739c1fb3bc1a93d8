//! The header fields of an origin's settings, whose values may be secrets.

use http::header::{HeaderMap, HeaderName, HeaderValue};

use super::error::OriginError;
use crate::secret::Secret;

/// The fields of an S3 signature (AWS Signature Version 4).
const SIGNATURE: [&str; 5] = ["authorization", "host", "x-amz-content-sha256", "x-amz-date", "x-amz-security-token"];

/// Configured header fields. Their values are read each time they are sent.
pub(super) struct HeaderFields(Vec<(HeaderName, Secret)>);

impl HeaderFields {
    /// Checks the names. `is_signed`: the requests have an S3 signature, which sets some fields. The error completes
    /// "the origin … cannot be used:".
    pub(super) fn new(fields: Vec<(String, Secret)>, is_signed: bool) -> Result<Self, String> {
        let fields = fields.into_iter().map(|(name, value)| match HeaderName::try_from(&name) {
            Ok(name) if is_signed && SIGNATURE.contains(&name.as_str()) => Err(format!(
                "the header field {name} belongs to the signature of S3 requests; remove it from headers and set credentials"
            )),
            Ok(name) => Ok((name, value)),
            Err(_) => Err(format!("{name:?} is not a valid header field name")),
        });
        Ok(Self(fields.collect::<Result<_, _>>()?))
    }

    /// Returns the fields with their current values. Fails with [`OriginError::Credentials`] if a secret cannot be read.
    pub(super) async fn reveal(&self, label: &str) -> Result<HeaderMap, OriginError> {
        let mut revealed = HeaderMap::new();
        for (name, secret) in &self.0 {
            let failed = |reason, source| OriginError::Credentials { origin: label.to_owned(), reason, source };
            let value = secret.reveal().await.map_err(|error| {
                failed(format!("the header field {name}: {error}"), Some(std::sync::Arc::new(error)))
            })?;
            let mut value = HeaderValue::try_from(value).map_err(|_| {
                failed(format!("the value of the header field {name} has a character that is not allowed there"), None)
            })?;
            value.set_sensitive(true);
            revealed.append(name, value);
        }
        Ok(revealed)
    }
}
