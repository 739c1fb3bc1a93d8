//! Whether a key of an OpenPGP certificate may sign now: bound to the certificate, not expired, not revoked, strong enough.
//!
//! RFC 9580, sections 5.2.1, 5.2.3 and 10.1.

use pgp::composed::{SignedPublicKey, SignedPublicSubKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{Signature, SignatureType, SubpacketData};
use pgp::ser::Serialize as _;
use pgp::types::{KeyDetails, PublicParams, SignatureBytes, Tag, Timestamp, VerifyingKey};

use super::error::SignatureError;

/// The wire length of a 2048-bit RSA key is 263 bytes (modulus and exponent); NIST SP 800-57 allows no shorter ones.
const SHORTEST_RSA: usize = 255;

/// A key that a signature names, with the certificate that it belongs to.
#[derive(Debug, Clone, Copy)]
pub(super) struct SigningKey<'k> {
    certificate: &'k SignedPublicKey,
    /// `None`: the certificate's primary key.
    subkey: Option<&'k SignedPublicSubKey>,
}

impl<'k> SigningKey<'k> {
    /// All keys of the certificate.
    pub(super) fn all(certificate: &'k SignedPublicKey) -> impl Iterator<Item = Self> {
        let subkeys = certificate.public_subkeys.iter().map(Some);
        std::iter::once(None).chain(subkeys).map(move |subkey| Self { certificate, subkey })
    }

    /// The key's fingerprint, upper case as GnuPG prints it.
    pub(super) fn fingerprint(&self) -> String {
        let fingerprint = match self.subkey {
            None => self.certificate.primary_key.fingerprint(),
            Some(subkey) => subkey.key.fingerprint(),
        };
        fingerprint.to_string().to_uppercase()
    }

    /// The name that the certificate's owner gives, such as `Debian Archive Automatic Signing Key (12/bookworm)`.
    pub(super) fn owner(&self) -> Option<String> {
        let user = self.certificate.details.users.first()?;
        Some(String::from_utf8_lossy(user.id.id()).into_owned())
    }

    /// Whether `signature` names this key as its issuer.
    pub(super) fn issued(&self, signature: &Signature) -> bool {
        let (id, fingerprint) = match self.subkey {
            None => (self.certificate.primary_key.legacy_key_id(), self.certificate.primary_key.fingerprint()),
            Some(subkey) => (subkey.key.legacy_key_id(), subkey.key.fingerprint()),
        };
        let fingerprints = signature.issuer_fingerprint();
        if fingerprints.is_empty() {
            signature.issuer_key_id().contains(&&id)
        } else {
            fingerprints.contains(&&fingerprint)
        }
    }

    /// Checks the signature `bytes` of data whose digest is `hash`.
    pub(super) fn verify_hash(&self, algorithm: HashAlgorithm, hash: &[u8], bytes: &SignatureBytes) -> bool {
        match self.subkey {
            None => self.certificate.primary_key.verify(algorithm, hash, bytes).is_ok(),
            Some(subkey) => subkey.key.verify(algorithm, hash, bytes).is_ok(),
        }
    }

    /// Checks that the key may sign at `now`.
    pub(super) fn check(&self, now: Timestamp) -> Result<(), SignatureError> {
        let primary = &self.certificate.primary_key;
        let main = Self { certificate: self.certificate, subkey: None };
        let revocations = &self.certificate.details.revocation_signatures;
        if let Some(revocation) = revocations.iter().find(|revocation| revocation.verify_key(primary).is_ok()) {
            return Err(main.revoked(revocation));
        }
        let statement =
            self.newest_self_signature().ok_or_else(|| main.not_for_signing("it is not signed by itself"))?;
        main.check_expiry(primary.created_at(), statement, now)?;
        main.check_strength(primary.public_params())?;
        match self.subkey {
            None if states_usage(statement) && !statement.key_flags().sign() => {
                Err(self.not_for_signing("its owner uses it for other purposes"))
            }
            None => Ok(()),
            Some(subkey) => self.check_subkey(subkey, now),
        }
    }

    /// The newest valid statement of the owner about the primary key.
    ///
    /// SHA-1 is accepted here, because the operator names the primary key and the statement can only say how long it is
    /// used. Long-lived keys of distributions have such statements.
    fn newest_self_signature(&self) -> Option<&'k Signature> {
        let primary = &self.certificate.primary_key;
        let details = &self.certificate.details;
        let direct = details.direct_signatures.iter().filter(|direct| direct.verify_key(primary).is_ok());
        let users = details.users.iter().flat_map(|user| {
            let valid = |it: &&Signature| it.verify_certification(primary, Tag::UserId, &user.id).is_ok();
            let signatures: Vec<_> = user.signatures.iter().filter(valid).collect();
            let revoked = signatures.iter().filter(|it| it.typ() == Some(SignatureType::CertRevocation));
            let revoked = revoked.filter_map(|it| it.created()).max();
            let certifications = signatures.into_iter().filter(|it| it.is_certification());
            certifications.filter(move |it| it.created() > revoked)
        });
        direct.chain(users).filter(|it| hash_of(it) != Some(HashAlgorithm::Md5)).max_by_key(|it| it.created())
    }

    fn check_subkey(&self, subkey: &SignedPublicSubKey, now: Timestamp) -> Result<(), SignatureError> {
        let primary = &self.certificate.primary_key;
        let valid: Vec<_> =
            subkey.signatures.iter().filter(|it| it.verify_subkey_binding(primary, &subkey.key).is_ok()).collect();
        if let Some(revocation) = valid.iter().find(|it| it.typ() == Some(SignatureType::SubkeyRevocation)) {
            return Err(self.revoked(revocation));
        }
        // A forged binding would add a key, so that its hash has to be strong.
        let bindings = valid.into_iter().filter(|it| weak_hash(it).is_none());
        let binding = bindings
            .max_by_key(|it| it.created())
            .ok_or_else(|| self.not_for_signing("its main key does not confirm it"))?;
        if !binding.key_flags().sign() {
            return Err(self.not_for_signing("its owner uses it for other purposes"));
        }
        let back = binding.embedded_signature().filter(|back| weak_hash(back).is_none());
        if back.is_none_or(|back| back.verify_primary_key_binding(&subkey.key, primary).is_err()) {
            return Err(self.not_for_signing("it does not confirm its main key"));
        }
        self.check_expiry(subkey.key.created_at(), binding, now)?;
        self.check_strength(subkey.key.public_params())
    }

    fn check_expiry(&self, created: Timestamp, statement: &Signature, now: Timestamp) -> Result<(), SignatureError> {
        let lifetime = statement.key_expiration_time().map_or(0, pgp::types::Duration::as_secs);
        let end = created.as_secs().saturating_add(lifetime);
        if lifetime > 0 && end <= now.as_secs() {
            return Err(SignatureError::KeyExpired { key: self.fingerprint(), at: rfc3339(end) });
        }
        Ok(())
    }

    fn check_strength(&self, params: &PublicParams) -> Result<(), SignatureError> {
        let reason = match params {
            PublicParams::RSA(_) if params.write_len() < SHORTEST_RSA => "an RSA key needs 2048 bits or more",
            PublicParams::DSA(_) => "DSA keys are not accepted any more",
            _ => return Ok(()),
        };
        Err(SignatureError::KeyWeak { key: self.fingerprint(), reason })
    }

    fn revoked(&self, revocation: &Signature) -> SignatureError {
        let reason = revocation.revocation_reason_string().map(|reason| String::from_utf8_lossy(reason).into_owned());
        let reason =
            reason.filter(|reason| !reason.is_empty()).map(|reason| format!(" ({reason})")).unwrap_or_default();
        SignatureError::KeyRevoked { key: self.fingerprint(), reason }
    }

    fn not_for_signing(&self, reason: &'static str) -> SignatureError {
        SignatureError::KeyNotForSigning { key: self.fingerprint(), reason }
    }
}

/// The hash function of a signature if it can be broken.
pub(super) fn weak_hash(signature: &Signature) -> Option<HashAlgorithm> {
    use HashAlgorithm::{Sha3_256, Sha3_512, Sha224, Sha256, Sha384, Sha512};
    hash_of(signature).filter(|hash| !matches!(hash, Sha224 | Sha256 | Sha384 | Sha512 | Sha3_256 | Sha3_512))
}

/// A moment in RFC 3339, from seconds since 1970.
pub(super) fn rfc3339(seconds: u32) -> String {
    jiff::Timestamp::from_second(i64::from(seconds)).map_or_else(|_| seconds.to_string(), |at| at.to_string())
}

fn hash_of(signature: &Signature) -> Option<HashAlgorithm> {
    signature.hash_alg()
}

fn states_usage(statement: &Signature) -> bool {
    let states = |config: &pgp::packet::SignatureConfig| {
        config.hashed_subpackets().any(|it| matches!(it.data, SubpacketData::KeyFlags(_)))
    };
    statement.config().is_some_and(states)
}
