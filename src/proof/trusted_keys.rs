//! The keys that an operator trusts.

use pgp::composed::SignedPublicKey;

use super::error::KeyError;
use super::openpgp;

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
}
