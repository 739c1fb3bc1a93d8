//! Clear-signed documents: a text and its signature in one file (RFC 9580, section 7), such as Debian's `InRelease`.

use pgp::composed::CleartextSignedMessage;

use super::error::SignatureError;
use super::openpgp::{RunningSignature, openpgp_time};
use super::signer::{Signer, best};
use super::trusted_keys::TrustedKeys;

const BEGIN: &str = "-----BEGIN PGP SIGNED MESSAGE-----";

/// Whether the document has the form of a clear-signed one.
pub fn is_clear_signed(document: &str) -> bool {
    document.starts_with(BEGIN)
}

/// Returns the text of a clear-signed document without checking the signature.
pub fn unsigned_text(document: &str) -> Result<String, SignatureError> {
    parse(document).map(|message| text_of(&message))
}

impl TrustedKeys {
    /// Returns the text of a clear-signed document if one of the keys signed it (RFC 9580, section 7). Nothing outside of the
    /// signature is returned.
    pub fn open_clear_signed(&self, document: &str, now: jiff::Timestamp) -> Result<(String, Signer), SignatureError> {
        let message = parse(document)?;
        let signed = message.signed_text();
        let results = message.signatures().iter().map(|signature| {
            let mut running = RunningSignature::new(signature);
            if !running.is_of_document() {
                return Err(SignatureError::Malformed { reason: "it is a signature of a key".to_owned() });
            }
            running.update(signed.as_bytes());
            running.verify(&self.certificates, openpgp_time(now))
        });
        let signer = best(results)?;
        Ok((text_of(&message), signer))
    }
}

fn parse(document: &str) -> Result<CleartextSignedMessage, SignatureError> {
    let message = CleartextSignedMessage::from_string(document);
    let (message, _) = message.map_err(|error| SignatureError::Malformed { reason: error.to_string() })?;
    Ok(message)
}

fn text_of(message: &CleartextSignedMessage) -> String {
    message.signed_text().replace("\r\n", "\n")
}
