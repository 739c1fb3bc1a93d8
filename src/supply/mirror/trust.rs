//! Which proof a file has, and whether it suffices. Pure.

use super::error::MirrorError;
use super::settings::Require;
use crate::proof::Signer;
use crate::supply::recipes::UpstreamFile;

/// The evidence for a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Evidence<'e> {
    /// The key that signed the document with its digest.
    pub(super) index_signer: Option<&'e Signer>,
    /// Whether the file has a signature of its own that will be checked.
    pub(super) has_signature: bool,
    /// Whether its connection is verified.
    pub(super) is_verified_connection: bool,
}

impl Evidence<'_> {
    /// The strongest proof that the file has if all its checks hold. `None` if it has none.
    pub(super) fn strongest(&self, file: &UpstreamFile) -> Option<Require> {
        let has_digest = file.expected.has_digest();
        if self.has_signature || (has_digest && self.index_signer.is_some()) {
            Some(Require::Signature)
        } else if has_digest {
            Some(Require::Digest)
        } else {
            self.is_verified_connection.then_some(Require::Tls)
        }
    }

    /// Fails unless the proof is at least `require`. `url` is the file's, as shown.
    pub(super) fn check(&self, require: Require, file: &UpstreamFile, url: &str) -> Result<(), MirrorError> {
        let proof = self.strongest(file);
        if proof.is_some_and(|proof| proof >= require) {
            return Ok(());
        }
        let found = match proof {
            Some(Require::Digest) => "only a digest is announced, in a document without a verified signature",
            Some(_) => "nothing but the connection speaks for it",
            None => "it comes over a connection that anyone on the way can change",
        };
        Err(MirrorError::TooWeak { url: url.to_owned(), require, found: found.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asset::Digest;
    use crate::proof::Expected;

    const NONE: Evidence<'_> = Evidence { index_signer: None, has_signature: false, is_verified_connection: false };

    #[test]
    fn strongest_proof_decides() {
        let signer = Signer { key: "AB".to_owned(), name: None };
        let digest = Expected { sha256: Some(Digest::of(b"x")), ..Expected::default() };
        let bare = UpstreamFile::new("k", "http://h/k", Expected::default());
        let announced = UpstreamFile::new("k", "http://h/k", digest);
        assert_eq!(NONE.strongest(&bare), None);
        assert_eq!(Evidence { is_verified_connection: true, ..NONE }.strongest(&bare), Some(Require::Tls));
        assert_eq!(NONE.strongest(&announced), Some(Require::Digest));
        let signed = Evidence { index_signer: Some(&signer), ..NONE };
        assert_eq!(signed.strongest(&announced), Some(Require::Signature));
        assert_eq!(signed.strongest(&bare), None, "the index says nothing of it");
        assert_eq!(Evidence { has_signature: true, ..NONE }.strongest(&bare), Some(Require::Signature));
    }

    #[test]
    fn weaker_proof_than_required_is_error() {
        let over_tls = Evidence { is_verified_connection: true, ..NONE };
        let file = UpstreamFile::new("k", "https://h/k", Expected::default());
        let error = over_tls.check(Require::Digest, &file, "https://h/k").unwrap_err();
        assert_eq!(
            error.to_string(),
            "https://h/k has no digest (require = \"digest\"): nothing but the connection speaks for it"
        );
        assert!(over_tls.check(Require::Tls, &file, "https://h/k").is_ok());
    }
}
