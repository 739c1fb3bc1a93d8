//! S3 requests: an object's URL at an endpoint, and the signature (AWS Signature Version 4).

use http::Method;
use http::header::{HeaderMap, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqsign_aws_v4::{Credential, EMPTY_STRING_SHA256, RequestSigner};
use reqsign_core::{Context, SignRequest};
use url::{Host, Url};

use super::settings::Addressing;
use crate::asset::Digest;
use crate::environment;

/// Characters to percent-encode in a key: all but those that the signature's definition leaves as they are (`UriEncode`
/// in "Authenticating Requests: Using the Authorization Header") and slashes.
const KEY: AsciiSet = QUERY.remove(b'/');
const QUERY: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The region if neither the settings nor the environment name one, as in AWS's own tools.
const DEFAULT_REGION: &str = "us-east-1";

/// An object in a bucket.
#[derive(Debug, Clone, Copy)]
pub(super) struct Object<'a> {
    pub(super) bucket: &'a str,
    pub(super) key: &'a str,
    pub(super) version: Option<&'a str>,
}

/// The S3 endpoint of an origin.
#[derive(Debug)]
pub(super) struct Endpoint {
    url: Url,
    addressing: Addressing,
    region: String,
    signer: RequestSigner,
}

impl Endpoint {
    /// Builds the endpoint at `url`, or AWS's endpoint in `region` if `url` is `None`. An empty region means `AWS_REGION`,
    /// then `AWS_DEFAULT_REGION`. The error completes "the origin … cannot be used:".
    pub(super) fn new(url: Option<Url>, addressing: Addressing, region: &str) -> Result<Self, String> {
        let region = match region.trim() {
            "" => environment::variable("AWS_REGION")
                .or_else(|| environment::variable("AWS_DEFAULT_REGION"))
                .unwrap_or_else(|| DEFAULT_REGION.to_owned()),
            region => region.to_owned(),
        };
        let url = match url {
            Some(url) => url,
            None => aws(&region)?,
        };
        if !matches!(url.scheme(), "http" | "https") {
            return Err(format!("its endpoint has the scheme {:?}; use https or http", url.scheme()));
        }
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
            return Err("its endpoint must be a plain URL, without user, query or fragment".to_owned());
        }
        if addressing == Addressing::Virtual && !matches!(url.host(), Some(Host::Domain(_))) {
            return Err("its endpoint is an IP address, which cannot follow a bucket name; use addressing = \"path\""
                .to_owned());
        }
        Ok(Self { url, addressing, signer: RequestSigner::new("s3", &region), region })
    }

    /// Returns the endpoint without a trailing slash, as shown.
    pub(super) fn shown(&self) -> &str {
        self.url.as_str().trim_end_matches('/')
    }

    /// Returns the region for which requests are signed.
    pub(super) fn region(&self) -> &str {
        &self.region
    }

    /// Returns the URL of an object. The error completes "the origin … cannot be used:".
    pub(super) fn object(&self, object: Object<'_>) -> Result<Url, String> {
        let Object { bucket, key, version } = object;
        let query = version.map(|version| ("versionId".to_owned(), version.to_owned()));
        self.subresource(bucket, key, query.as_slice())
    }

    /// Returns the URL of a bucket (an empty key) or of an object, with this query. The error completes "the origin … cannot be
    /// used:".
    pub(super) fn subresource(&self, bucket: &str, key: &str, query: &[(String, String)]) -> Result<Url, String> {
        let mut url = self.url.clone();
        let base = self.url.path().trim_end_matches('/');
        let key = utf8_percent_encode(key, &KEY);
        let path = match self.addressing {
            Addressing::Path => format!("{base}/{}/{key}", utf8_percent_encode(bucket, &QUERY)),
            Addressing::Virtual => {
                self.prepend_bucket(&mut url, bucket)?;
                format!("{base}/{key}")
            }
        };
        url.set_path(&path);
        if url.path() != path {
            return Err(
                "an object key with a '.' or '..' segment cannot be requested: URLs have no such segments".to_owned()
            );
        }
        let encode = |text| utf8_percent_encode(text, &QUERY);
        let pairs: Vec<_> = query.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
        url.set_query(Some(pairs.join("&")).as_deref().filter(|query| !query.is_empty()));
        Ok(url)
    }

    fn prepend_bucket(&self, url: &mut Url, bucket: &str) -> Result<(), String> {
        if bucket.contains('.') && url.scheme() == "https" {
            // A wildcard certificate covers one label (RFC 6125 6.4.3).
            return Err(format!(
                "the bucket {bucket:?} has dots, so no certificate covers it as part of the host name; use addressing = \"path\""
            ));
        }
        let host = format!("{bucket}.{}", self.url.host_str().unwrap_or_default());
        let is_label = |label: &str| {
            !label.is_empty() && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        let is_name = bucket.split('.').all(is_label);
        if !is_name || url.set_host(Some(&host)).is_err() || url.host_str() != Some(&host) {
            return Err(format!("the bucket {bucket:?} cannot be part of a host name; use addressing = \"path\""));
        }
        Ok(())
    }

    /// Returns `fields` with the header fields that sign a request of `url`. Signs only the host and fields whose name begins
    /// with `x-amz-`, which must be signed: a proxy may change others, and P2P daemons request other ranges. Of a request with a
    /// body it also signs the fields that describe the body, and its digest `body` (`None`: no body). The error completes "the origin … cannot be used:".
    pub(super) async fn sign(
        &self,
        method: &Method,
        url: &Url,
        fields: HeaderMap,
        body: Option<&Digest>,
        credential: &Credential,
    ) -> Result<HeaderMap, String> {
        let request = http::Request::builder().method(method).uri(url.as_str()).body(()).map_err(|e| e.to_string())?;
        let (mut parts, ()) = request.into_parts();
        let (signed, unsigned) = fields_by_signing(fields, body.is_some());
        parts.headers = signed;
        let digest = match body {
            Some(digest) => HeaderValue::try_from(digest.to_string()).map_err(|e| e.to_string())?,
            None => HeaderValue::from_static(EMPTY_STRING_SHA256),
        };
        parts.headers.insert("x-amz-content-sha256", digest);
        self.signer
            .sign_request(&Context::new(), &mut parts, Some(credential), None)
            .await
            .map_err(|e| format!("the request cannot be signed: {e}"))?;
        parts.headers.extend(unsigned);
        Ok(parts.headers)
    }
}

/// Splits header fields into those to sign and others.
fn fields_by_signing(fields: HeaderMap, has_body: bool) -> (HeaderMap, HeaderMap) {
    let (mut signed, mut unsigned) = (HeaderMap::new(), HeaderMap::new());
    let mut last = None;
    // A repeated name is `None`.
    for (name, value) in fields {
        last = name.or(last);
        if let Some(name) = &last {
            let describes_body = has_body && matches!(name.as_str(), "content-type" | "content-md5");
            let fields =
                if name.as_str().starts_with("x-amz-") || describes_body { &mut signed } else { &mut unsigned };
            fields.append(name, value);
        }
    }
    (signed, unsigned)
}

fn aws(region: &str) -> Result<Url, String> {
    let suffix = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    let is_region = region.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    is_region
        .then(|| Url::parse(&format!("https://s3.{region}.{suffix}")).ok())
        .flatten()
        .ok_or_else(|| format!("its region {region:?} is not an AWS region; for another store set its endpoint"))
}

#[cfg(test)]
mod tests;
