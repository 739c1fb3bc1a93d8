//! What a source says of an object, and of itself, when nothing is read.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use http::Method;
use http::header::{AGE, DATE, HeaderMap};
use jiff::SignedDuration;
use reqwest::Response;
use reqwest::tls::TlsInfo;

use super::remote::Question;
use super::{OriginError, Origins, Validator, wanted};
use crate::asset::{ByteRange, Digest, SourceUrl};
use crate::trust;

/// What a source says of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stat {
    /// Its length in bytes.
    pub size: u64,
    /// What names its state.
    pub validator: Option<Validator>,
    /// When it was last changed.
    pub last_modified: Option<SystemTime>,
    /// The digest that the source says it has.
    pub advertised: Option<Advertised>,
}

/// A digest of the whole object that a source tells without being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advertised {
    /// The digest.
    pub digest: Digest,
    /// The header field that tells it.
    pub field: &'static str,
}

/// An answer to [`Origins::ask`], and what it shows of the server whatever it says.
#[derive(Debug)]
pub struct Answer {
    /// What the source says of the object.
    pub stat: Result<Stat, OriginError>,
    /// By how much the server's clock is ahead of ours, to the second.
    pub clock: Option<SignedDuration>,
    /// Until when the server's certificate is good.
    pub certificate: Option<SystemTime>,
}

impl Advertised {
    /// What the head of a reply tells: S3's own checksum where it is of the whole object, else the one that whoever stored
    /// the object wrote beside it.
    pub(super) fn of_head(headers: &HeaderMap) -> Option<Self> {
        let text = |name: &str| headers.get(name)?.to_str().ok();
        let told = |field: &'static str, read: &dyn Fn(&str) -> Option<Digest>| {
            Some(Self { digest: read(text(field)?.trim())?, field })
        };
        // The checksum of the checksums of an upload's parts, which is no digest of the object, ends in `-N`.
        told("x-amz-checksum-sha256", &Digest::from_base64)
            .filter(|_| text("x-amz-checksum-type").is_none_or(|kind| kind.eq_ignore_ascii_case("FULL_OBJECT")))
            .or_else(|| told("x-amz-meta-sha256", &|text| text.parse().ok()))
    }
}

/// What the answers of a server show of it.
#[derive(Debug, Default)]
pub(super) struct Seen {
    clock: OnceLock<SignedDuration>,
    certificate: OnceLock<SystemTime>,
}

impl Seen {
    /// Takes note of an answer that has just come. The first one counts: redirects lead elsewhere.
    pub(super) fn note(&self, response: &Response) {
        if let Some(ahead) = ahead(response.headers(), SystemTime::now()) {
            self.clock.get_or_init(|| ahead);
        }
        let tls = response.extensions().get::<TlsInfo>().and_then(TlsInfo::peer_certificate);
        if let Some(until) = tls.and_then(trust::good_until) {
            self.certificate.get_or_init(|| until);
        }
    }
}

/// By how much the clock that wrote `Date` is ahead of `now`. A cache hands on the date that it was given, and says how
/// long ago that was (RFC 9111 5.1).
fn ahead(headers: &HeaderMap, now: SystemTime) -> Option<SignedDuration> {
    let text = |name| headers.get(name)?.to_str().ok();
    let age = text(AGE).and_then(|age| age.trim().parse().ok()).map_or(Duration::ZERO, Duration::from_secs);
    let date = httpdate::parse_http_date(text(DATE)?).ok()?.checked_add(age)?;
    let ahead = match date.duration_since(now) {
        Ok(ahead) => SignedDuration::try_from(ahead).ok()?,
        // `Date` leaves the fraction of its second out.
        Err(behind) => -SignedDuration::try_from(behind.duration().saturating_sub(Duration::from_millis(999))).ok()?,
    };
    Some(SignedDuration::from_secs(ahead.as_secs()))
}

impl Origins {
    /// Asks what `source` says of its object: a HEAD, and where that is refused a GET of one byte, whose answer may say
    /// why, and which is all that some URLs are signed for.
    pub async fn ask(&self, source: &SourceUrl) -> Answer {
        let seen = Seen::default();
        let question =
            |method, range| Question { source, method, range, expect: None, unless: None, seen: Some(&seen) };
        let mut reply = self.put(question(Method::HEAD, None)).await;
        let was_answered = |error: &OriginError| {
            !matches!(
                error,
                OriginError::Dns { .. }
                    | OriginError::Connect { .. }
                    | OriginError::Tls { .. }
                    | OriginError::Stalled { .. }
                    | OriginError::Credentials { .. }
                    | OriginError::Settings { .. }
            )
        };
        if source.as_file().is_none() && reply.as_ref().is_err_and(was_answered) {
            reply = self.put(question(Method::GET, Some(ByteRange::new(0, 1)))).await;
        }
        let stat = reply.and_then(|reply| wanted(source, reply)).map(|reply| Stat {
            size: reply.total,
            validator: reply.validator,
            last_modified: reply.last_modified,
            advertised: reply.advertised,
        });
        Answer { stat, clock: seen.clock.into_inner(), certificate: seen.certificate.into_inner() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(fields: &[(&'static str, &str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_digest_is_taken_from_what_is_of_the_whole_object() {
        let digest = Digest::of(b"abc");
        let (base64, hex) = (digest.to_base64(), digest.to_string());
        let told = |fields: &[(&'static str, &str)]| Advertised::of_head(&head(fields)).map(|it| (it.digest, it.field));
        let (checksum, meta) = ("x-amz-checksum-sha256", "x-amz-meta-sha256");
        assert_eq!(told(&[(checksum, &base64)]), Some((digest, checksum)));
        assert_eq!(told(&[(checksum, &base64), ("x-amz-checksum-type", "FULL_OBJECT")]), Some((digest, checksum)));
        assert_eq!(told(&[(meta, &hex)]), Some((digest, meta)));
        assert_eq!(told(&[(checksum, &base64), ("x-amz-checksum-type", "COMPOSITE")]), None);
        assert_eq!(told(&[(checksum, &format!("{base64}-3")), (meta, &hex)]), Some((digest, meta)));
        for other in ["", "abc", &base64[1..]] {
            assert_eq!(told(&[(checksum, other), (meta, other)]), None, "{other:?}");
        }
    }

    #[test]
    fn a_clock_is_compared_to_the_second() {
        let now = httpdate::parse_http_date("Tue, 15 Nov 1994 12:45:26 GMT").unwrap() + Duration::from_millis(700);
        let ahead = |fields: &[(&'static str, &str)]| ahead(&head(fields), now).map(|ahead| ahead.as_secs());
        assert_eq!(ahead(&[("date", "Tue, 15 Nov 1994 12:45:26 GMT")]), Some(0));
        assert_eq!(ahead(&[("date", "Tue, 15 Nov 1994 12:46:27 GMT")]), Some(60));
        assert_eq!(ahead(&[("date", "Tue, 15 Nov 1994 12:30:26 GMT")]), Some(-899));
        assert_eq!(ahead(&[("date", "Tue, 15 Nov 1994 12:30:26 GMT"), ("age", "900")]), Some(0));
        assert_eq!(ahead(&[("date", "yesterday")]), None);
        assert_eq!(ahead(&[]), None);
    }
}
