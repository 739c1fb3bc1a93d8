//! Times as the API shows them.

use std::time::SystemTime;

use jiff::Timestamp;

/// Converts a time to the API's precision: whole microseconds, enough to order transfers.
pub(crate) fn timestamp(time: SystemTime) -> Timestamp {
    let micros = |time: Timestamp| Timestamp::from_microsecond(time.as_microsecond());
    Timestamp::try_from(time).and_then(micros).unwrap_or(Timestamp::UNIX_EPOCH)
}
