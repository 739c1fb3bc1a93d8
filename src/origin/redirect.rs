//! Redirects of web servers: where they lead, and when a target that was kept is to be resolved again.

use http::StatusCode;
use http::header::LOCATION;
use reqwest::Response;
use url::Url;

use super::remote_text::{MAX_TEXT, one_line};

/// Whether a redirect target with this status is to be resolved again: a signed URL that has expired (401, 403), a mirror
/// that does not have the object any more, or one that fails.
pub(super) fn has_expired(status: StatusCode) -> bool {
    matches!(status.as_u16(), 401 | 403 | 404 | 410 | 500..)
}

/// Returns the target of a redirect, or why it cannot be followed. `None` if the response is not a redirect.
pub(super) fn target(response: &Response) -> Option<Result<Url, String>> {
    let follows = matches!(
        response.status(),
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    );
    let location = response.headers().get(LOCATION).filter(|_| follows)?;
    let next = location.to_str().ok().and_then(|location| response.url().join(location).ok());
    Some(match next {
        Some(next) if !next.username().is_empty() || next.password().is_some() => {
            Err("it redirects to an address with a user name or a password".to_owned())
        }
        Some(next) if matches!(next.scheme(), "http" | "https") => Ok(next),
        // Not shown in full: the URL may be signed.
        Some(next) => Err(format!("it redirects to the scheme {:?}", one_line(next.scheme(), MAX_TEXT))),
        None => Err("it redirects to an invalid URL".to_owned()),
    })
}
