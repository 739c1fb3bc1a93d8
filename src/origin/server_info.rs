//! Facts that replies show besides the object: the server's clock and certificate, and how the object is kept.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use http::header::{AGE, DATE, HeaderMap};
use jiff::SignedDuration;
use reqwest::Response;
use reqwest::tls::TlsInfo;

use super::storage::Storage;
use crate::trust;

/// Clock and certificate of a server, and how it keeps an object, from the first reply that has them. Later replies may come from other servers, after redirects.
#[derive(Debug, Default)]
pub(super) struct ServerInfo {
    clock_offset: OnceLock<SignedDuration>,
    certificate_expiry: OnceLock<SystemTime>,
    storage: OnceLock<Storage>,
}

impl ServerInfo {
    /// Records a reply that has just arrived.
    pub(super) fn record(&self, response: &Response) {
        if let Some(offset) = clock_offset(response.headers(), SystemTime::now()) {
            self.clock_offset.get_or_init(|| offset);
        }
        let certificate = response.extensions().get::<TlsInfo>().and_then(TlsInfo::peer_certificate);
        if let Some(expiry) = certificate.and_then(trust::expiry) {
            self.certificate_expiry.get_or_init(|| expiry);
        }
        if let Some(storage) = Storage::from_head(response.headers()) {
            self.storage.get_or_init(|| storage);
        }
    }

    /// Returns how an S3 store keeps the object. `None` if no reply said so.
    pub(super) fn storage(&self) -> Option<&Storage> {
        self.storage.get()
    }

    /// Returns the clock offset and the expiry of the certificate.
    pub(super) fn into_parts(self) -> (Option<SignedDuration>, Option<SystemTime>) {
        (self.clock_offset.into_inner(), self.certificate_expiry.into_inner())
    }
}

/// Returns how far the clock that wrote `Date` is ahead of `now`. A cache forwards the original date, and its age in
/// `Age` (RFC 9111 5.1).
fn clock_offset(headers: &HeaderMap, now: SystemTime) -> Option<SignedDuration> {
    let text = |name| headers.get(name)?.to_str().ok();
    let age = text(AGE).and_then(|age| age.trim().parse().ok()).map_or(Duration::ZERO, Duration::from_secs);
    let date = httpdate::parse_http_date(text(DATE)?).ok()?.checked_add(age)?;
    let offset = match date.duration_since(now) {
        Ok(ahead) => SignedDuration::try_from(ahead).ok()?,
        // `Date` has whole seconds only, so up to 999 ms behind is no difference.
        Err(behind) => -SignedDuration::try_from(behind.duration().saturating_sub(Duration::from_millis(999))).ok()?,
    };
    Some(SignedDuration::from_secs(offset.as_secs()))
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    #[test]
    fn clock_offset_has_whole_seconds() {
        let now = httpdate::parse_http_date("Tue, 15 Nov 1994 12:45:26 GMT").unwrap() + Duration::from_millis(700);
        let offset = |fields: &[(&'static str, &str)]| {
            let fields =
                fields.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect();
            clock_offset(&fields, now).map(|offset| offset.as_secs())
        };
        assert_eq!(offset(&[("date", "Tue, 15 Nov 1994 12:45:26 GMT")]), Some(0));
        assert_eq!(offset(&[("date", "Tue, 15 Nov 1994 12:46:27 GMT")]), Some(60));
        assert_eq!(offset(&[("date", "Tue, 15 Nov 1994 12:30:26 GMT")]), Some(-899));
        assert_eq!(offset(&[("date", "Tue, 15 Nov 1994 12:30:26 GMT"), ("age", "900")]), Some(0));
        assert_eq!(offset(&[("date", "yesterday")]), None);
        assert_eq!(offset(&[]), None);
    }
}
