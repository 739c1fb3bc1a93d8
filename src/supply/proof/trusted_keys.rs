//! The keys that an operator trusts for one mirror.

use std::fmt;

use pgp::composed::SignedPublicKey;
use pgp::types::Timestamp;

use super::clear_signed;
use super::detached::DetachedSignature;
use super::error::{KeyError, SignatureError};
use super::openpgp;

/// Who signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    /// The key's fingerprint or ID.
    pub key: String,
    /// The owner's name in the key, which the key itself states.
    pub name: Option<String>,
}

impl fmt::Display for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name} ({})", self.key),
            None => f.write_str(&self.key),
        }
    }
}

/// OpenPGP certificates and minisign public keys. A signature by any of them is a proof.
#[derive(Debug, Clone, Default)]
pub struct TrustedKeys {
    pub(super) certificates: Vec<SignedPublicKey>,
    pub(super) minisign: Vec<minisign_verify::PublicKey>,
}

impl TrustedKeys {
    /// Adds the keys of a file: OpenPGP (binary or ASCII armor, several keys allowed) or minisign.
    pub fn add_file(&mut self, bytes: &[u8]) -> Result<(), KeyError> {
        match std::str::from_utf8(bytes) {
            Ok(text) if text.starts_with("untrusted comment:") => {
                let key = minisign_verify::PublicKey::decode(text);
                self.minisign.push(key.map_err(|error| KeyError { reason: error.to_string() })?);
            }
            _ => self.certificates.extend(openpgp::certificates(bytes)?),
        }
        Ok(())
    }

    /// Adds a minisign public key as minisign prints it, such as `RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3`.
    pub fn add_minisign(&mut self, text: &str) -> Result<(), KeyError> {
        let key = minisign_verify::PublicKey::from_base64(text);
        self.minisign.push(key.map_err(|error| KeyError { reason: error.to_string() })?);
        Ok(())
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.certificates.is_empty() && self.minisign.is_empty()
    }

    /// Returns the text of a clear-signed document if one of the keys signed it (RFC 9580, section 7).
    pub fn open_clear_signed(&self, document: &str, now: jiff::Timestamp) -> Result<(String, Signer), SignatureError> {
        clear_signed::open(document, &self.certificates, openpgp_time(now))
    }

    /// Checks the detached signature of a document.
    pub fn verify(
        &self,
        document: &[u8],
        signature: &DetachedSignature,
        now: jiff::Timestamp,
    ) -> Result<Signer, SignatureError> {
        let mut running = signature.start(self)?;
        running.update(document);
        running.finish(now)
    }
}

/// OpenPGP counts seconds in 32 bits.
pub(super) fn openpgp_time(now: jiff::Timestamp) -> Timestamp {
    Timestamp::from_secs(u32::try_from(now.as_second()).unwrap_or(u32::MAX))
}
