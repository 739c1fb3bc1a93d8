//! Why a mirror could not be brought up to date.

use super::settings::Require;
use crate::asset::AssetNameError;
use crate::origin::OriginError;
use crate::proof::{DocumentError, KeySourceError, ProofError, SignatureError};
use crate::supply::StoreError;

/// Why a release was not mirrored. Files that were proven before stay; the release is in no catalog.
#[derive(Debug, thiserror::Error)]
pub enum MirrorError {
    /// A document or a file could not be fetched.
    #[error(transparent)]
    Origin(#[from] OriginError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The command was interrupted.
    #[error("cancelled; run it again to go on with the files that are missing")]
    Cancelled,
    /// A document does not have the expected form.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// A document is too large to be one.
    #[error("{url} has more than {limit} bytes, which no such document has; check url")]
    TooLong {
        /// Its URL.
        url: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// A document is not text.
    #[error("{url} is not UTF-8 text; check url")]
    NotText {
        /// Its URL.
        url: String,
    },
    /// The recipe has no document on standard input.
    #[error("the recipe {recipe} cannot read standard input; give a URL or a file:///PATH")]
    Stdin {
        /// The recipe.
        recipe: &'static str,
    },
    /// A key cannot be used.
    #[error(transparent)]
    Key(#[from] KeySourceError),
    /// The signature of a document is not accepted.
    #[error("{url} is not accepted: {error}")]
    Signature {
        /// The document.
        url: String,
        /// The reason.
        #[source]
        error: SignatureError,
    },
    /// A file is not what the upstream announced.
    #[error("{url} is not what the upstream announced: {error}")]
    NotProven {
        /// The file.
        url: String,
        /// The proof that failed.
        #[source]
        error: ProofError,
    },
    /// The upstream offers a weaker proof than is required.
    #[error("{url} has no {} (require = \"{require}\"): {found}", proof_noun(*.require))]
    TooWeak {
        /// The file or document.
        url: String,
        /// The required proof.
        require: Require,
        /// The proof that there is.
        found: String,
    },
    /// Two documents of the upstream contradict each other, also after they were read again.
    #[error(
        "{index} and {url} contradict each other, also after reading both again ({error}); the upstream may be changing: try \
         again later"
    )]
    Contradiction {
        /// The document that announces the other.
        index: String,
        /// The other document.
        url: String,
        /// The proof that failed.
        #[source]
        error: ProofError,
    },
    /// An archive cannot be unpacked, although it is the one that was announced.
    #[error("{url} cannot be unpacked: {error}")]
    Archive {
        /// The archive.
        url: String,
        /// The reason.
        #[source]
        error: std::io::Error,
    },
    /// An archive has no selected member.
    #[error("select matches no file in the archive {url}")]
    NoMember {
        /// The archive.
        url: String,
    },
    /// A file is larger than an object of S3 can be.
    #[error("{name} is larger than an object in S3 can be")]
    TooLarge {
        /// The file.
        name: String,
    },
    /// A file's name cannot be one of an asset.
    #[error("{name:?} cannot be the name of an asset: {error}; change `asset` of the mirror")]
    Name {
        /// The name.
        name: String,
        /// The reason.
        #[source]
        error: AssetNameError,
    },
    /// The key of a file holds other bytes.
    #[error(
        "{url} is there already with SHA-256 {found}, and the upstream now has {expected} under this version; delete it, or use \
         another `to`"
    )]
    Occupied {
        /// The object.
        url: String,
        /// Its digest.
        found: String,
        /// The digest of the upstream's file.
        expected: String,
    },
    /// No file was selected.
    #[error("select of mirror {mirror} matches no file of {version}; it offers: {offered}")]
    NothingSelected {
        /// The mirror.
        mirror: String,
        /// The version.
        version: String,
        /// Some of the labels.
        offered: String,
    },
    /// Two selected files would have the same name.
    #[error(
        "two selected files of {version} have the name {name} ({first} and {second}); narrow select to one of them"
    )]
    SameName {
        /// The version.
        version: String,
        /// The name.
        name: String,
        /// The first label.
        first: String,
        /// The second label.
        second: String,
    },
    /// A glob is not valid.
    #[error("select of mirror {mirror}: {glob:?} is not a glob: {reason}")]
    Glob {
        /// The mirror.
        mirror: String,
        /// The glob.
        glob: String,
        /// Why.
        reason: String,
    },
    /// The upstream does not offer the version.
    #[error("{mirror} has no version {version}; the upstream offers: {offered}")]
    NoVersion {
        /// The mirror.
        mirror: String,
        /// The version asked for.
        version: String,
        /// The versions, the newest first.
        offered: String,
    },
}

fn proof_noun(require: Require) -> &'static str {
    match require {
        Require::Tls => "verified connection",
        Require::Digest => "digest",
        Require::Signature => "signature by a key of this mirror",
    }
}
