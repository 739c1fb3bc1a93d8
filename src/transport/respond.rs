//! Answers one request of any protocol version: checks `Host`, calls the handler, and adds `Date`.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hyper::header::{DATE, HOST, HeaderMap, HeaderValue};
use hyper::{Request, Response, StatusCode, Version};

use super::client::Client;
use super::listener_config::{Handler, ListenerConfig, RequestBody};
use super::refusal::Refusal;

/// The first time that has no HTTP date (RFC 9110 5.6.7), since 1970: its years have four digits.
const YEAR_10000: Duration = Duration::from_hours(70_389_528);

/// Answers one request.
pub(super) async fn respond<H: Handler>(
    config: &ListenerConfig<H>,
    request: Request<RequestBody>,
    client: &Arc<Client>,
) -> Response<H::Body> {
    let turn = client.begin_server_turn();
    let mut response = if request.version() == Version::HTTP_11 && !has_one_host(request.headers()) {
        let line = "a request of HTTP/1.1 needs exactly one Host field";
        let id = config.refusals.record(Refusal::BadHost, client, &line);
        config.handler.refuse(StatusCode::BAD_REQUEST, line, id)
    } else {
        config.handler.handle(request, client).await
    };
    if let Some(now) = http_date(SystemTime::now()) {
        response.headers_mut().insert(DATE, now);
    }
    drop(turn);
    response
}

/// Whether there is exactly one `Host` field (RFC 9112 3.2).
fn has_one_host(headers: &HeaderMap) -> bool {
    headers.get_all(HOST).iter().count() == 1
}

/// The value of `Date`. `None` if the clock is at a time that has no HTTP date; a server with such a clock must not send the
/// field (RFC 9110 6.6.1).
fn http_date(now: SystemTime) -> Option<HeaderValue> {
    now.duration_since(SystemTime::UNIX_EPOCH).ok().filter(|since| *since < YEAR_10000)?;
    HeaderValue::try_from(httpdate::fmt_http_date(now)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_clock_omits_date() {
        let epoch = SystemTime::UNIX_EPOCH;
        assert_eq!(http_date(epoch).unwrap(), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(http_date(epoch - Duration::from_secs(1)), None);
        let last = epoch + YEAR_10000 - Duration::from_secs(1);
        assert_eq!(http_date(last).unwrap(), "Fri, 31 Dec 9999 23:59:59 GMT");
        assert_eq!(http_date(epoch + YEAR_10000), None);
    }

    #[test]
    fn host_is_counted_not_read() {
        let headers = |count| {
            let mut headers = HeaderMap::new();
            for _ in 0..count {
                headers.append(HOST, HeaderValue::from_static("boot"));
            }
            headers
        };
        assert_eq!([0, 1, 2].map(|count| has_one_host(&headers(count))), [false, true, false]);
    }
}
