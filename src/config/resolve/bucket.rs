//! Converts `[[bucket]]` into the plans of buckets.

use super::value::{value, values};
use crate::config::format::DaysOrOff;
use crate::config::raw;
use crate::config::written::Written;
use crate::supply::bucket::{Archive, BucketPlan, BucketPurpose, Encryption};

/// The plan of one bucket: the defaults of its purpose, and what was set.
pub(super) fn plan(raw: raw::Bucket) -> BucketPlan {
    let purpose = match raw.purpose {
        raw::Purpose::Isos => BucketPurpose::Isos,
        raw::Purpose::Binaries => BucketPurpose::Binaries,
        raw::Purpose::Temp => BucketPurpose::Temp,
        raw::Purpose::Public => BucketPurpose::Public,
        raw::Purpose::Other => BucketPurpose::Other,
    };
    let default = BucketPlan::of(purpose, raw.name.value);
    let days = |set: Option<Written<DaysOrOff>>, default| set.map_or(default, value);
    let archive_days = days(raw.archive_after, default.archive.as_ref().map(|archive| archive.days));
    let archive =
        archive_days.map(|days| Archive { class: raw.archive_class.unwrap_or(Archive::after(days).class), days });
    BucketPlan {
        versioning: raw.versioning.or(default.versioning),
        mfa_delete: raw.mfa_delete,
        encryption: match raw.encryption {
            None => default.encryption,
            Some(raw::BucketEncryption::Off) => None,
            Some(raw::BucketEncryption::Aes256) => Some(Encryption::Aes256),
            Some(raw::BucketEncryption::Kms) => Some(Encryption::Kms(raw.kms_key)),
        },
        public_read: raw.public_read.unwrap_or(default.public_read),
        archive,
        expire_days: days(raw.expire_after, default.expire_days),
        old_versions_days: days(raw.old_versions_after, default.old_versions_days),
        abort_uploads_days: days(raw.abort_uploads_after, default.abort_uploads_days),
        unused_days: days(raw.unused_after, default.unused_days),
        folders: values(raw.folders),
        name: default.name,
        purpose,
    }
}
