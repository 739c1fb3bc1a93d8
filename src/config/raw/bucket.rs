//! `[[bucket]]`, as operators write it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::format::{BucketName, DaysOrOff, Folder};
use crate::config::written::Written;

/// One bucket and its wanted settings.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Bucket {
    /// Its name. The `[[origin]]` that matches `s3://NAME/` says where it is, and with which credentials it is reached.
    pub(in crate::config) name: Written<BucketName>,
    /// Its purpose, which sets the defaults of all keys below.
    #[serde(default)]
    pub(in crate::config) purpose: Purpose,
    /// Keep old versions of objects. Default: true for `isos` and `public`, else whatever the server has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) versioning: Option<bool>,
    /// Require a second factor to delete a version. `bucket init` then needs `--mfa` and the root account, once. It is never
    /// switched off.
    #[serde(default)]
    pub(in crate::config) mfa_delete: bool,
    /// Encryption of new objects. Default: `aes256`. A stronger one that the bucket has already is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) encryption: Option<Encryption>,
    /// The key for `encryption = "kms"`: its ID or ARN. Default: the server's default key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub(in crate::config) kms_key: Option<String>,
    /// Let anyone read its objects. Default: true for `public`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) public_read: Option<bool>,
    /// Age at which objects move to `archive_class`, or `off`. Default: `60d` for `isos`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) archive_after: Option<Written<DaysOrOff>>,
    /// Storage class for old objects. Default: `GLACIER_IR`, whose objects can be read at once. Machines cannot boot from
    /// objects of `GLACIER` and `DEEP_ARCHIVE` until they are restored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub(in crate::config) archive_class: Option<String>,
    /// Age at which objects are deleted by the server, or `off`. Default: `1d` for `temp`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) expire_after: Option<Written<DaysOrOff>>,
    /// Time after which a version that was replaced or deleted is removed, or `off`. Default: `off`. A catalog may name old
    /// versions (`?versionId=`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) old_versions_after: Option<Written<DaysOrOff>>,
    /// Age at which an upload that was not completed is aborted, or `off`. Default: `1d`. An upload that is older cannot be
    /// resumed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) abort_uploads_after: Option<Written<DaysOrOff>>,
    /// Time without use after which `bucket prune` deletes an object, or `off`. Default: `30d` for `binaries`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) unused_after: Option<Written<DaysOrOff>>,
    /// Empty objects that tools show as folders, such as `okd/`.
    #[serde(default)]
    pub(in crate::config) folders: Vec<Written<Folder>>,
}

/// The purpose of a bucket.
#[derive(Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(in crate::config) enum Purpose {
    /// Images that are kept: versioned, archived after 60 days.
    Isos,
    /// Kernels, initramfs and root file systems: deleted by `bucket prune` after 30 days without use.
    Binaries,
    /// Files that are deleted after a day.
    Temp,
    /// Versioned files that anyone may read.
    Public,
    /// Anything else: encrypted, incomplete uploads are aborted after a day.
    #[default]
    Other,
}

/// Encryption of new objects.
#[derive(Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(in crate::config) enum Encryption {
    /// Whatever the server has.
    Off,
    /// With keys of the server (SSE-S3).
    Aes256,
    /// With a key of its key management service (SSE-KMS).
    Kms,
}
