//! Checks OpenPGP signatures (RFC 9580) against trusted certificates.

use std::io::Cursor;

use digest::DynDigest;
use pgp::composed::{Deserializable as _, DetachedSignature as Detached, SignedPublicKey};
use pgp::packet::{Signature, SignatureType, SignatureVersionSpecific};
use pgp::types::Timestamp;

use super::certificate::{SigningKey, rfc3339, weak_hash};
use super::error::{KeyError, SignatureError};
use super::signer::Signer;

/// How far the clocks of a publisher and of this machine may differ, in seconds.
const CLOCK_SKEW: u32 = 24 * 60 * 60;
const KEY_ARMOR: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";

/// Reads certificates, binary or armored. Several armored blocks may follow each other. Keys of unknown kinds are skipped.
pub(super) fn certificates(bytes: &[u8]) -> Result<Vec<SignedPublicKey>, KeyError> {
    let blocks: Vec<Vec<u8>> = match std::str::from_utf8(bytes) {
        Ok(text) if text.contains(KEY_ARMOR) => {
            text.split(KEY_ARMOR).skip(1).map(|block| format!("{KEY_ARMOR}{block}").into_bytes()).collect()
        }
        _ => vec![bytes.to_vec()],
    };
    let mut certificates = Vec::new();
    for block in blocks {
        let parsed = SignedPublicKey::from_reader_many(Cursor::new(block));
        let (parsed, _) = parsed.map_err(|error| KeyError { reason: error.to_string() })?;
        certificates.extend(parsed.filter_map(Result::ok));
    }
    if certificates.is_empty() {
        return Err(KeyError { reason: "no public key was found".to_owned() });
    }
    Ok(certificates)
}

/// Reads a detached signature, binary or armored. It may consist of several signatures.
pub(super) fn signatures(bytes: &[u8]) -> Result<Vec<Signature>, SignatureError> {
    let malformed = |error: pgp::errors::Error| SignatureError::Malformed { reason: error.to_string() };
    let (parsed, _) = Detached::from_reader_many(Cursor::new(bytes)).map_err(malformed)?;
    let signatures = parsed.map(|it| it.map(|it| it.signature)).collect::<Result<Vec<_>, _>>().map_err(malformed)?;
    if signatures.is_empty() {
        return Err(SignatureError::Malformed { reason: "it is empty".to_owned() });
    }
    Ok(signatures)
}

/// OpenPGP counts seconds in 32 bits.
pub(super) fn openpgp_time(now: jiff::Timestamp) -> Timestamp {
    Timestamp::from_secs(u32::try_from(now.as_second()).unwrap_or(u32::MAX))
}

/// One signature, and the hash of the bytes that it may be of.
pub(super) struct RunningSignature<'s> {
    signature: &'s Signature,
    /// `None` if the hash function is unknown.
    hasher: Option<Box<dyn DynDigest + Send>>,
}

impl<'s> RunningSignature<'s> {
    pub(super) fn new(signature: &'s Signature) -> Self {
        let mut hasher = signature.hash_alg().and_then(|hash| hash.new_hasher().ok());
        let salt = signature.config().map(|config| &config.version_specific);
        if let (Some(SignatureVersionSpecific::V6 { salt }), Some(hasher)) = (salt, &mut hasher) {
            hasher.update(salt);
        }
        Self { signature, hasher }
    }

    /// Hashes the next bytes.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        if let Some(hasher) = &mut self.hasher {
            hasher.update(bytes);
        }
    }

    /// Checks that the signature is of the bytes, that a trusted key made it, and that both are valid at `now`.
    pub(super) fn verify(self, certificates: &[SignedPublicKey], now: Timestamp) -> Result<Signer, SignatureError> {
        let named = |key: &SigningKey<'_>| key.issued(self.signature);
        let Some(key) = certificates.iter().flat_map(SigningKey::all).find(named) else {
            return Err(SignatureError::UnknownKey { issuers: issuers(self.signature) });
        };
        check_dates(self.signature, &key, now)?;
        if let Some(hash) = weak_hash(self.signature) {
            return Err(SignatureError::WeakHash { key: key.fingerprint(), algorithm: hash.to_string() });
        }
        key.check(now)?;
        let wrong = || SignatureError::WrongBytes { key: key.fingerprint() };
        let unsupported = |reason: &dyn std::fmt::Display| SignatureError::Unsupported { reason: reason.to_string() };
        let (Some(config), Some(bytes)) = (self.signature.config(), self.signature.signature()) else {
            return Err(unsupported(&"its version is unknown"));
        };
        let mut hasher = self.hasher.ok_or_else(|| unsupported(&"its hash function is unknown"))?;
        let length = config.hash_signature_data(&mut hasher).map_err(|error| unsupported(&error))?;
        hasher.update(&config.trailer(length).map_err(|error| unsupported(&error))?);
        let hash = hasher.finalize();
        if !key.verify_hash(config.hash_alg, &hash, bytes) {
            return Err(wrong());
        }
        Ok(Signer { key: key.fingerprint(), name: key.owner() })
    }

    /// Whether the signature is of text with normalized line endings rather than of bytes.
    pub(super) fn is_of_text(&self) -> bool {
        self.signature.typ() == Some(SignatureType::Text)
    }

    /// Whether the signature is of a document at all, and not of a key.
    pub(super) fn is_of_document(&self) -> bool {
        matches!(self.signature.typ(), Some(SignatureType::Binary | SignatureType::Text))
    }
}

fn check_dates(signature: &Signature, key: &SigningKey<'_>, now: Timestamp) -> Result<(), SignatureError> {
    let Some(created) = signature.created() else {
        return Err(SignatureError::Unsupported { reason: "it has no date".to_owned() });
    };
    if created.as_secs() > now.as_secs().saturating_add(CLOCK_SKEW) {
        return Err(SignatureError::NotYetValid { key: key.fingerprint(), at: rfc3339(created.as_secs()) });
    }
    let lifetime = signature.signature_expiration_time().map_or(0, pgp::types::Duration::as_secs);
    let end = created.as_secs().saturating_add(lifetime);
    if lifetime > 0 && end <= now.as_secs() {
        return Err(SignatureError::Expired { key: key.fingerprint(), at: rfc3339(end) });
    }
    Ok(())
}

fn issuers(signature: &Signature) -> String {
    let fingerprints = signature.issuer_fingerprint().into_iter().map(ToString::to_string);
    let ids = signature.issuer_key_id().into_iter().map(ToString::to_string);
    let issuer = fingerprints.chain(ids).next().map(|issuer| issuer.to_uppercase());
    issuer.unwrap_or_else(|| "a key that it does not name".to_owned())
}
