//! Facts about an origin that its replies have shown. They spare requests that would fail for the same reason.

use std::collections::HashSet;
use std::sync::OnceLock;
use std::time::SystemTime;

use jiff::SignedDuration;
use parking_lot::Mutex;

use super::advice::{Scope, Step, Trouble};
use super::certificate::certificate;
use crate::jobs::Finding;
use crate::origin::StatReport;
use crate::units::spread;

/// S3 refuses requests that are signed by a clock that differs by more (`RequestTimeTooSkewed`).
const SKEW_REFUSED: SignedDuration = SignedDuration::from_mins(15);
/// A clock that differs by as much is not kept, and will differ by more.
const SKEW_NOTED: SignedDuration = SignedDuration::from_mins(1);

/// Facts about the origin of a family that its objects have shown so far.
#[derive(Default)]
pub(super) struct Shown {
    broken: OnceLock<(Step, Trouble)>,
    /// Buckets in which nothing more is looked for.
    buckets: Mutex<HashSet<String>>,
    certificate: OnceLock<SystemTime>,
    clock: OnceLock<SignedDuration>,
}

impl Shown {
    /// Why an object in this bucket need not be asked for.
    pub(super) fn reason(&self, bucket: &str) -> Option<String> {
        if let Some((step, trouble)) = self.broken.get() {
            return Some(because(*step, trouble));
        }
        self.buckets.lock().contains(bucket).then(|| format!("there is no bucket {bucket}, or it is elsewhere"))
    }

    /// Keeps a trouble of the origin itself, the first of them. Returns why nothing more is asked.
    pub(super) fn stop(&self, trouble: Trouble) -> String {
        let Scope::Origin(step) = trouble.scope else { return trouble.kind.to_owned() };
        let (step, trouble) = self.broken.get_or_init(|| (step, trouble));
        because(*step, trouble)
    }

    /// Keeps in mind that nothing is in this bucket. Returns whether that is new.
    pub(super) fn stop_bucket(&self, bucket: &str) -> bool {
        self.buckets.lock().insert(bucket.to_owned())
    }

    /// Takes note of what a report shows of the server, whatever it says of the object.
    pub(super) fn note(&self, report: &StatReport) {
        if let Some(until) = report.certificate_expiry {
            self.certificate.get_or_init(|| until);
        }
        if let Some(ahead) = report.clock_offset {
            self.clock.get_or_init(|| ahead);
        }
    }

    /// Adds what was shown of the server. `signed`: whether its clock matters for requests.
    pub(super) fn tell(&self, signed: bool, steps: &mut Vec<Finding>, facts: &mut Vec<String>) {
        if let Some(until) = self.certificate.get() {
            let (finding, fact) = certificate("tls", *until, "renew the store's certificate");
            steps.push(finding);
            facts.push(fact);
        }
        let Some(ahead) = self.clock.get() else { return };
        let found = format!("the store's clock is {} this machine's", spread(*ahead));
        let remedy = "set this machine's clock, or the store's: `timedatectl` says whether this one is kept by NTP";
        steps.push(match ahead.abs() {
            apart if apart >= SKEW_REFUSED && signed => {
                Finding::failed("clock", "clock", found + "; S3 refuses from 15 minutes on", remedy)
            }
            apart if apart >= SKEW_NOTED => Finding::warning("clock", "clock", found, remedy),
            _ => Finding::ok("clock", found),
        });
    }

    /// The trouble of the origin itself, and the step that found it.
    pub(super) fn into_broken(self) -> Option<(Step, Trouble)> {
        self.broken.into_inner()
    }
}

fn because(step: Step, trouble: &Trouble) -> String {
    format!("{} failed: {}", step.name(), trouble.kind)
}
