//! The failure of a file: how, why in the words of the failing part, and what to do.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::end_record::EndRecord;
use super::names::stored_name;
use crate::boot::role::Role;
use crate::depot::Outcome;

/// The longest stored reason, in bytes: an error with its sources fits, and a client cannot fill the memory.
const MAX_REASON: usize = 600;

/// A failed request that no later request made good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Trouble {
    /// The name of the file.
    pub(super) name: String,
    pub(super) outcome: Outcome,
    /// Why, in the words of the part that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
    /// When the last failed request began.
    pub(super) began: Timestamp,
    /// When the last failed request ended.
    pub(super) ended: Timestamp,
}

impl Trouble {
    /// The memory that it takes, in bytes.
    pub(super) fn weight(&self) -> usize {
        size_of::<Self>() + self.name.len() + self.reason.as_ref().map_or(0, String::len)
    }

    /// The trouble of a request for `name` that began at `began` and ended at `ended`.
    pub(super) fn new(name: &str, end: &EndRecord, began: Timestamp, ended: Timestamp) -> Self {
        let reason = end.reason.as_deref().map(stored_reason);
        Self { name: stored_name(name), outcome: end.outcome, reason, began, ended }
    }

    /// Whether the client ended the transfer. Otherwise this server, or what it depends on, failed.
    pub(super) fn is_by_client(outcome: Outcome) -> bool {
        matches!(outcome, Outcome::Aborted | Outcome::Timeout)
    }

    /// Whether a request for the same file that began at `began` and succeeded makes it good. `whole`: it was for the whole
    /// file. One for a part, which another connection may have sent for another part, must have begun after the failure.
    pub(super) fn is_repeated(&self, whole: bool, began: Timestamp) -> bool {
        if whole || Self::is_by_client(self.outcome) { began > self.began } else { began >= self.ended }
    }

    /// Combines two: the worse one, as of the later time.
    pub(super) fn with(self, other: Self) -> Self {
        let (began, ended) = (self.began.max(other.began), self.ended.max(other.ended));
        let worse =
            if (severity(other.outcome), other.ended) >= (severity(self.outcome), self.ended) { other } else { self };
        Self { began, ended, ..worse }
    }

    /// How bad it is, to compare with others.
    pub(super) fn severity(&self) -> u8 {
        severity(self.outcome)
    }

    /// The outcome as the end of a sentence.
    pub(super) fn words(&self) -> &'static str {
        match self.outcome {
            Outcome::NotFound => "its source does not have it",
            Outcome::Aborted => "the machine aborted the transfer",
            Outcome::Timeout => "the machine stopped responding",
            Outcome::DigestMismatch => "the bytes from its origin do not match the digest in the catalog",
            Outcome::OriginFailed => "its origin could not be read",
            Outcome::RenderFailed => "it could not be made",
            Outcome::Refused => "the server refused it",
            Outcome::Complete | Outcome::Probe => "it was sent",
        }
    }

    /// The advice to the operator.
    pub(super) fn advice(&self, role: Role) -> String {
        let name = &self.name;
        let is_asset = !matches!(role, Role::File | Role::Script);
        match self.outcome {
            Outcome::DigestMismatch => format!(
                "run `bootdepot check {name}`; then upload the right object, or correct the digest in the catalog"
            ),
            Outcome::OriginFailed => {
                format!("run `bootdepot check {name}`: it reads each source and says what to correct")
            }
            Outcome::NotFound if is_asset => format!("upload the object, or correct `sources` of {name}"),
            Outcome::NotFound => {
                "correct the name where the script has it, or add the file to the host's `files`".to_owned()
            }
            Outcome::RenderFailed => {
                "correct the template or the secret that the reason names; the machine asks again".to_owned()
            }
            Outcome::Refused if role == Role::Address => {
                "if the machine is at this address now, boot it again; else find out which machine uses it".to_owned()
            }
            Outcome::Refused if role == Role::File => {
                "boot the host again: its script has the URL with a new token".to_owned()
            }
            Outcome::Refused => "see the reason; boot the machine again once it is gone".to_owned(),
            Outcome::Timeout => "look at the machine's screen, its power and its link".to_owned(),
            Outcome::Aborted => {
                "look at the machine's screen: its boot loader or system says why it stopped".to_owned()
            }
            Outcome::Complete | Outcome::Probe => String::new(),
        }
    }
}

/// Cuts a reason to the stored length.
pub(super) fn stored_reason(reason: &str) -> String {
    reason[..reason.floor_char_boundary(MAX_REASON)].to_owned()
}

/// Wrong bytes are worse than none; a failure of this server's side is worse than one that the client may have caused.
fn severity(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::DigestMismatch => 7,
        Outcome::RenderFailed => 6,
        Outcome::OriginFailed => 5,
        Outcome::NotFound => 4,
        Outcome::Refused => 3,
        Outcome::Timeout => 2,
        Outcome::Aborted => 1,
        Outcome::Complete | Outcome::Probe => 0,
    }
}
