//! Response fields that all listeners send alike.

use hyper::header::HeaderValue;

/// The value of `Server`.
pub(crate) const SERVER_VALUE: HeaderValue = HeaderValue::from_static(concat!("bootdepot/", env!("CARGO_PKG_VERSION")));

/// The value of `Retry-After`, in seconds, where no better estimate is known.
pub(crate) const RETRY_SECONDS: u64 = 5;
