//! The parts of a bucket's settings, each with its document on the server.

use strum::IntoStaticStr;

use super::decision::Decision;
use super::plan::{BucketPlan, Encryption};
use super::{encryption, lifecycle, policy, public_access, versioning};

/// A part of a bucket's settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Setting {
    /// The bucket itself.
    Bucket,
    /// Whether it keeps old versions.
    Versioning,
    /// Whether deleting a version requires a second factor.
    MfaDelete,
    /// The encryption of new objects.
    Encryption,
    /// Whether policies may open it to anyone.
    PublicAccess,
    /// Its policy.
    Policy,
    /// Rules that delete objects, old versions and uploads.
    Lifecycle,
    /// The rule that archives objects.
    Archive,
    /// Empty objects that tools show as folders.
    Folders,
}

impl Setting {
    /// Those with a document, in the order in which they are written.
    pub(super) const DOCUMENTS: [Self; 7] = [
        Self::Versioning,
        Self::MfaDelete,
        Self::Encryption,
        Self::PublicAccess,
        Self::Policy,
        Self::Lifecycle,
        Self::Archive,
    ];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// The query parameter that names its document.
    pub(super) fn subresource(self) -> &'static str {
        match self {
            Self::Versioning | Self::MfaDelete => "versioning",
            Self::Encryption => "encryption",
            Self::PublicAccess => "publicAccessBlock",
            Self::Policy => "policy",
            Self::Lifecycle | Self::Archive => "lifecycle",
            Self::Bucket | Self::Folders => "",
        }
    }

    /// Its wanted state, in a few words. `None` if nothing: then a server without it is no news.
    pub(super) fn wanted(self, plan: &BucketPlan) -> Option<String> {
        let rule = |days: Option<u32>, what: &str| days.map(|days| format!("{what} after {days} d"));
        match self {
            Self::Bucket => Some(plan.name.clone()),
            Self::Versioning => plan.versioning.map(|on| if on { "on" } else { "off" }.to_owned()),
            Self::MfaDelete => plan.mfa_delete.then(|| "on".to_owned()),
            Self::Encryption => plan.encryption.as_ref().map(|encryption| match encryption {
                Encryption::Aes256 => "AES256".to_owned(),
                Encryption::Kms(None) => "aws:kms".to_owned(),
                Encryption::Kms(Some(key)) => format!("aws:kms with the key {key}"),
            }),
            // Most servers have no such block, and need none.
            Self::PublicAccess => None,
            Self::Policy => plan.public_read.then(|| "anyone may read objects".to_owned()),
            Self::Lifecycle => {
                let rules = [
                    rule(plan.expire_days, "objects deleted"),
                    rule(plan.old_versions_days, "old versions deleted"),
                    rule(plan.abort_uploads_days, "incomplete uploads aborted"),
                ];
                Some(rules.into_iter().flatten().collect::<Vec<_>>().join(", ")).filter(|text| !text.is_empty())
            }
            Self::Archive => plan.archive.as_ref().map(|archive| format!("{} after {} d", archive.class, archive.days)),
            Self::Folders => (!plan.folders.is_empty()).then(|| plan.folders.join(", ")),
        }
    }

    /// Its state after a change that the plan does not name, in a few words.
    pub(super) fn unwanted(self) -> &'static str {
        match self {
            Self::PublicAccess => "public policies allowed",
            _ => "removed",
        }
    }

    /// Compares the document that the server has (`None`: no document) with the plan. Fails with a sentence if the document
    /// cannot be read.
    pub(super) fn decide(self, plan: &BucketPlan, partition: &str, found: Option<&str>) -> Result<Decision, String> {
        match self {
            Self::Versioning => versioning::decide(plan.versioning, found),
            Self::MfaDelete => versioning::decide_mfa_delete(plan.mfa_delete, found),
            Self::Encryption => encryption::decide(plan.encryption.as_ref(), found),
            Self::PublicAccess => public_access::decide(plan.public_read, found),
            Self::Policy => policy::decide(plan, partition, found),
            Self::Lifecycle => lifecycle::decide(plan, found),
            Self::Archive => lifecycle::decide_archive(plan, found),
            Self::Bucket | Self::Folders => Ok(Decision::Same),
        }
    }
}
