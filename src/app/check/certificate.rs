//! How long certificates are valid.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;

use crate::jobs::Finding;

/// A certificate that expires sooner should be renewed now: two weeks have office hours in them.
const CERTIFICATE_NOTED: Duration = Duration::from_hours(14 * 24);

/// The finding on a certificate that is valid until then, and the same in a few words.
pub(super) fn certificate(what: &str, until: SystemTime, remedy: &str) -> (Finding, String) {
    let now = SystemTime::now();
    let day = Timestamp::try_from(until).map_or_else(|_| "?".to_owned(), |at| at.strftime("%Y-%m-%d").to_string());
    let fact = format!("certificate until {day}");
    let finding = if until <= now {
        Finding::failed(what, "certificate", format!("it expired on {day}"), remedy)
    } else if until < now + CERTIFICATE_NOTED {
        Finding::warning(what, "certificate", format!("it expires on {day}"), remedy)
    } else {
        Finding::ok(what, fact.clone())
    };
    (finding, fact)
}
