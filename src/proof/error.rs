//! Why bytes or a signature are not accepted.

/// Why the bytes of a file are not proven.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The file has another length than the upstream announced.
    #[error("it has {found} bytes, and {expected} were announced")]
    Size {
        /// The announced length in bytes.
        expected: u64,
        /// The length received, in bytes.
        found: u64,
    },
    /// The bytes have another digest than the upstream announced.
    #[error("{algorithm} is {found}, and {expected} was announced")]
    Digest {
        /// `SHA-256` or `SHA-512`.
        algorithm: &'static str,
        /// The announced digest in hexadecimal.
        expected: String,
        /// The digest of the bytes received.
        found: String,
    },
    /// The signature does not prove the bytes.
    #[error(transparent)]
    Signature(#[from] SignatureError),
}

/// Why a signature proves nothing. Keys are named by their fingerprint or ID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// No trusted key has made the signature.
    #[error("it is signed by {issuers}, which is not among the trusted keys; add that key to keys if you trust it")]
    UnknownKey {
        /// The key IDs that the signature names.
        issuers: String,
    },
    /// The bytes are not those that were signed.
    #[error("the signature by {key} is not of these bytes: they were changed, or the signature is of another file")]
    WrongBytes {
        /// The key.
        key: String,
    },
    /// The hash function can be broken.
    #[error("the signature by {key} uses {algorithm}, which can be forged")]
    WeakHash {
        /// The key.
        key: String,
        /// The hash function.
        algorithm: String,
    },
    /// The signature has expired.
    #[error("the signature by {key} expired on {at}")]
    Expired {
        /// The key.
        key: String,
        /// When, RFC 3339.
        at: String,
    },
    /// The signature was made later than now.
    #[error("the signature by {key} is dated {at}, which is in the future; check the clock of this machine")]
    NotYetValid {
        /// The key.
        key: String,
        /// Its date, RFC 3339.
        at: String,
    },
    /// The key has expired.
    #[error("the key {key} expired on {at}; get its newer version from the publisher")]
    KeyExpired {
        /// The key.
        key: String,
        /// When, RFC 3339.
        at: String,
    },
    /// The key was revoked by its owner.
    #[error("the key {key} was revoked by its owner{reason}")]
    KeyRevoked {
        /// The key.
        key: String,
        /// The owner's reason, in brackets; empty if none is given.
        reason: String,
    },
    /// The key is too short, or of a kind that can be forged.
    #[error("the key {key} is too weak: {reason}")]
    KeyWeak {
        /// The key.
        key: String,
        /// Why.
        reason: &'static str,
    },
    /// The key is not meant to sign, or its binding to the main key is missing.
    #[error("the key {key} may not sign: {reason}")]
    KeyNotForSigning {
        /// The key.
        key: String,
        /// Why.
        reason: &'static str,
    },
    /// It is not a signature, or it is damaged.
    #[error("it is not a signature: {reason}")]
    Malformed {
        /// The parser's words.
        reason: String,
    },
    /// A form of signature that cannot be checked.
    #[error("the signature cannot be checked: {reason}")]
    Unsupported {
        /// Why.
        reason: String,
    },
}

/// Why a file of keys cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}; expected OpenPGP public keys (binary or ASCII armor) or a minisign public key")]
pub struct KeyError {
    /// The content that was found.
    pub reason: String,
}
