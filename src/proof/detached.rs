//! Detached signatures: files such as `SHA256SUMS.gpg`, `kernel.sig` or `kernel.minisig`.

use minisign_verify::{PublicKey, StreamVerifier};
use pgp::composed::SignedPublicKey;
use pgp::packet::Signature;

use super::error::SignatureError;
use super::openpgp::{self, RunningSignature, openpgp_time};
use super::signer::{Signer, best};
use super::trusted_keys::TrustedKeys;

/// A detached signature. An OpenPGP file may hold signatures by several keys.
#[derive(Clone)]
pub struct DetachedSignature(Kind);

#[derive(Clone)]
enum Kind {
    OpenPgp(Vec<Signature>),
    Minisign(Box<minisign_verify::Signature>),
}

impl DetachedSignature {
    /// Reads a signature file.
    pub fn parse(bytes: &[u8]) -> Result<Self, SignatureError> {
        match std::str::from_utf8(bytes) {
            Ok(text) if text.starts_with("untrusted comment:") => {
                let signature = minisign_verify::Signature::decode(text);
                let malformed = |error: minisign_verify::Error| SignatureError::Malformed { reason: error.to_string() };
                Ok(Self(Kind::Minisign(Box::new(signature.map_err(malformed)?))))
            }
            _ => Ok(Self(Kind::OpenPgp(openpgp::signatures(bytes)?))),
        }
    }

    /// Begins to check it against bytes that come in pieces.
    pub(super) fn start<'s>(&'s self, keys: &'s TrustedKeys) -> Result<Running<'s>, SignatureError> {
        match &self.0 {
            Kind::OpenPgp(signatures) => {
                let signatures: Vec<_> = signatures.iter().map(RunningSignature::new).collect();
                if signatures.iter().all(|it| !it.is_of_document()) {
                    return Err(SignatureError::Malformed { reason: "it is a signature of a key".to_owned() });
                }
                let is_text = signatures.iter().any(RunningSignature::is_of_text);
                Ok(Running::OpenPgp { signatures, certificates: &keys.certificates, text: is_text.then(CrLf::default) })
            }
            Kind::Minisign(signature) => Ok(Running::Minisign(Box::new(minisign(signature, &keys.minisign)?))),
        }
    }
}

fn minisign<'s>(
    signature: &'s minisign_verify::Signature,
    keys: &'s [PublicKey],
) -> Result<StreamVerifier<'s>, SignatureError> {
    for key in keys {
        match key.verify_stream(signature) {
            Ok(verifier) => return Ok(verifier),
            Err(minisign_verify::Error::UnexpectedKeyId) => {}
            Err(error) => return Err(SignatureError::Unsupported { reason: error.to_string() }),
        }
    }
    let issuers = format!("the minisign key of {:?}", signature.untrusted_comment());
    Err(SignatureError::UnknownKey { issuers })
}

impl TrustedKeys {
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

/// A detached signature that is being checked.
pub(super) enum Running<'s> {
    OpenPgp {
        signatures: Vec<RunningSignature<'s>>,
        certificates: &'s [SignedPublicKey],
        /// For signatures of text, whose line endings are normalized.
        text: Option<CrLf>,
    },
    Minisign(Box<StreamVerifier<'s>>),
}

impl Running<'_> {
    /// Hashes the next bytes.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::OpenPgp { signatures, text, .. } => {
                let normalized = text.as_mut().map(|text| text.normalize(bytes));
                for signature in signatures {
                    let is_of_text = signature.is_of_text();
                    signature.update(normalized.as_deref().filter(|_| is_of_text).unwrap_or(bytes));
                }
            }
            Self::Minisign(verifier) => verifier.update(bytes),
        }
    }

    /// Whether the signature proves the bytes. If there are several, one good one suffices, and if none is good the most
    /// telling reason is returned.
    pub(super) fn finish(self, now: jiff::Timestamp) -> Result<Signer, SignatureError> {
        match self {
            Self::OpenPgp { signatures, certificates, .. } => {
                best(signatures.into_iter().map(|it| it.verify(certificates, openpgp_time(now))))
            }
            Self::Minisign(mut verifier) => match verifier.finalize() {
                Ok(()) => Ok(Signer { key: "the trusted minisign key".to_owned(), name: None }),
                Err(_) => Err(SignatureError::WrongBytes { key: "the trusted minisign key".to_owned() }),
            },
        }
    }
}

/// Line endings as CR LF, over pieces of a text.
#[derive(Default)]
pub(super) struct CrLf {
    after_cr: bool,
}

impl CrLf {
    fn normalize(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut text = Vec::with_capacity(bytes.len() + bytes.len() / 16);
        for byte in bytes {
            if *byte == b'\n' && !self.after_cr {
                text.push(b'\r');
            }
            text.push(*byte);
            self.after_cr = *byte == b'\r';
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_endings_are_normalized_across_pieces() {
        let mut crlf = CrLf::default();
        let pieces: Vec<u8> = [&b"a\nb\r"[..], b"\nc\n"].iter().flat_map(|piece| crlf.normalize(piece)).collect();
        assert_eq!(pieces, b"a\r\nb\r\nc\r\n");
    }
}
