//! Why an input was not published.

use super::error::StoreError;
use super::input::InputError;
use super::text_object::TextObjectError;
use crate::asset::Digest;
use crate::origin::OriginError;

/// Why an input was not published. The messages say what to do next.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The input cannot be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// `metadata.json` was not changed.
    #[error(transparent)]
    Document(#[from] TextObjectError),
    /// The object cannot be read back.
    #[error("{url} cannot be read back: {source}")]
    ReadBack {
        /// The object.
        url: String,
        /// The failure.
        source: Box<OriginError>,
    },
    /// The key holds other bytes.
    #[error(
        "{url} exists with other bytes ({found}); publish under another version or name, or replace it with --force"
    )]
    Exists {
        /// The object.
        url: String,
        /// Its digest or its length.
        found: String,
    },
    /// The object was there and is not.
    #[error("{url} does not exist any more: it was deleted at the same time; run the command again")]
    Vanished {
        /// The object.
        url: String,
    },
    /// The store has another number of bytes than were sent.
    #[error("{url} has {found} bytes at the store, and {expected} were sent; publish it again with --force")]
    WrongSize {
        /// The object.
        url: String,
        /// Bytes sent.
        expected: u64,
        /// Bytes at the store.
        found: u64,
    },
    /// The store keeps another checksum than the bytes have.
    #[error(
        "{url} has the checksum {found} at the store, and the bytes sent have {expected}; publish it again with --force"
    )]
    WrongChecksum {
        /// The object.
        url: String,
        /// The checksum of the bytes.
        expected: String,
        /// The checksum at the store.
        found: String,
    },
    /// The bytes that were read back are others.
    #[error(
        "{url} was read back with the digest {found}, and the bytes sent have {expected}; publish it again with --force"
    )]
    WrongBytes {
        /// The object.
        url: String,
        /// The digest of the bytes.
        expected: Digest,
        /// The digest of what was read.
        found: Digest,
    },
    /// Another process uploads to the key.
    #[error("another publish of {url} is running on this machine; wait for its end")]
    Busy {
        /// The object.
        url: String,
    },
    /// The file is larger than S3 takes.
    #[error("{0} is larger than an upload to S3 can be (10,000 parts of 5 GiB)")]
    TooLarge(String),
    /// The public bucket is at another server.
    #[error(
        "{to} is at another endpoint than {from}, so the store cannot copy it; publish there with a command of its own"
    )]
    OtherEndpoint {
        /// The object.
        from: String,
        /// The copy.
        to: String,
    },
}

impl PublishError {
    /// Whether the upload in parts may have been completed or aborted elsewhere: some stores deny access to one that has.
    pub(super) fn may_mean_ended_upload(&self) -> bool {
        let Self::Store(error) = self else { return false };
        match error {
            StoreError::NoSuchUpload { .. } => true,
            StoreError::Origin { error, .. } => matches!(**error, OriginError::AccessDenied { .. }),
            _ => false,
        }
    }
}
