//! The wanted state of a bucket.

use strum::{EnumString, IntoStaticStr};

/// The prefix of the IDs of lifecycle rules and policy statements that bootdepot manages.
pub const OURS: &str = "bootdepot-";

/// The storage class of archived objects if the settings name no other: an archive whose objects can be read at once. Objects of
/// `GLACIER` and `DEEP_ARCHIVE` must be restored before a machine can boot from them.
const ARCHIVE_CLASS: &str = "GLACIER_IR";

/// The wanted state of a bucket. Numbers of days count from the creation of an object, unless said otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketPlan {
    /// Its name.
    pub name: String,
    /// Its purpose.
    pub purpose: BucketPurpose,
    /// Whether it keeps old versions of objects. `None`: whatever the server has.
    pub versioning: Option<bool>,
    /// Whether deleting a version requires a second factor.
    pub mfa_delete: bool,
    /// The encryption of new objects. `None`: whatever the server has.
    pub encryption: Option<Encryption>,
    /// Whether anyone may read its objects.
    pub public_read: bool,
    /// When objects move to another storage class.
    pub archive: Option<Archive>,
    /// Days after which objects are deleted.
    pub expire_days: Option<u32>,
    /// Days after which a version that is not the current one is deleted, counted from when it was replaced.
    pub old_versions_days: Option<u32>,
    /// Days after which an upload that was not completed is aborted, counted from its start.
    pub abort_uploads_days: Option<u32>,
    /// Days without use after which `bucket prune` deletes an object. `None`: never.
    pub unused_days: Option<u32>,
    /// Keys of empty objects that tools show as folders; each ends with a slash.
    pub folders: Vec<String>,
}

/// The purpose of a bucket, which determines the defaults of its settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, EnumString)]
#[strum(serialize_all = "kebab-case")]
pub enum BucketPurpose {
    /// Images that are kept.
    Isos,
    /// Kernels, initramfs and root file systems, which are deleted when they are not used any more.
    Binaries,
    /// Files that are deleted after a day.
    Temp,
    /// Files that anyone may read.
    Public,
    /// Anything else.
    Other,
}

/// The encryption of new objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Encryption {
    /// With a key of the server (SSE-S3).
    Aes256,
    /// With a key of its key management service (SSE-KMS): this one, else the default one.
    Kms(Option<String>),
}

/// The storage class to which objects move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    /// Days after which they move.
    pub days: u32,
    /// The class.
    pub class: String,
}

impl BucketPurpose {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

impl Archive {
    /// After `days`, in the class that objects can be read from at once.
    pub fn after(days: u32) -> Self {
        Self { days, class: ARCHIVE_CLASS.to_owned() }
    }
}

impl BucketPlan {
    /// The defaults for a purpose.
    pub fn of(purpose: BucketPurpose, name: impl Into<String>) -> Self {
        let other = Self {
            name: name.into(),
            purpose,
            versioning: None,
            mfa_delete: false,
            encryption: Some(Encryption::Aes256),
            public_read: false,
            archive: None,
            expire_days: None,
            old_versions_days: None,
            abort_uploads_days: Some(1),
            unused_days: None,
            folders: Vec::new(),
        };
        match purpose {
            BucketPurpose::Isos => Self { versioning: Some(true), archive: Some(Archive::after(60)), ..other },
            // Without versions: a deleted object frees its space.
            BucketPurpose::Binaries => Self { unused_days: Some(30), ..other },
            BucketPurpose::Temp => Self { expire_days: Some(1), ..other },
            BucketPurpose::Public => Self { versioning: Some(true), public_read: true, ..other },
            BucketPurpose::Other => other,
        }
    }

    /// The buckets if the settings name none.
    pub fn defaults() -> Vec<Self> {
        let purposes = [BucketPurpose::Isos, BucketPurpose::Binaries, BucketPurpose::Temp, BucketPurpose::Public];
        purposes.map(|purpose| Self::of(purpose, purpose.as_str())).into()
    }
}
