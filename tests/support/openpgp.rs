//! OpenPGP keys that sign what tests serve: valid, expired, revoked and weak ones.

#![expect(clippy::missing_panics_doc, reason = "a key that cannot be made fails the test")]

use pgp::composed::{
    ArmorOptions, CleartextSignedMessage, DetachedSignature, KeyType, SecretKeyParamsBuilder, SignedKeyDetails,
    SignedPublicKey, SignedSecretKey, SubkeyParamsBuilder,
};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{
    KeyFlags, RevocationCode, Signature, SignatureConfig, SignatureType, Subpacket, SubpacketData, UserId,
};
use pgp::types::{Duration, KeyDetails as _, PacketHeaderVersion, Password, SignedUser, SigningKey, Tag, Timestamp};

/// When the keys of tests are made: 2026-01-01T00:00:00Z.
pub const CREATED: u32 = 1_767_225_600;
/// One day in seconds.
pub const DAY: u32 = 24 * 60 * 60;

/// A key that signs.
pub struct TestKey {
    secret: SignedSecretKey,
    details: SignedKeyDetails,
    has_subkey: bool,
}

/// How a signature is made.
#[derive(Debug, Clone, Copy)]
pub struct Signing {
    /// When, in seconds since 1970.
    pub at: u32,
    /// After how many seconds it expires. 0: never.
    pub lifetime: u32,
}

impl Default for Signing {
    fn default() -> Self {
        Self { at: CREATED + DAY, lifetime: 0 }
    }
}

impl TestKey {
    /// A key that does not expire.
    pub fn new() -> Self {
        Self::generate(0, false)
    }

    /// A key that expires after `lifetime` seconds.
    pub fn expiring(lifetime: u32) -> Self {
        Self::generate(lifetime, false)
    }

    /// A key that signs with a subkey.
    pub fn with_subkey() -> Self {
        Self::generate(0, true)
    }

    fn generate(lifetime: u32, has_subkey: bool) -> Self {
        let mut rng = rand::thread_rng();
        let mut params = SecretKeyParamsBuilder::default();
        params
            .key_type(KeyType::Ed25519Legacy)
            .can_certify(true)
            .can_sign(true)
            .created_at(Timestamp::from_secs(CREATED));
        params.primary_user_id("Test Key <test@bootdepot.invalid>".to_owned());
        if has_subkey {
            let mut subkey = SubkeyParamsBuilder::default();
            subkey.key_type(KeyType::Ed25519Legacy).can_sign(true).created_at(Timestamp::from_secs(CREATED));
            params.subkey(subkey.build().expect("a subkey"));
        }
        let secret = params.build().expect("parameters of a key").generate(&mut rng).expect("a key");
        let primary = &secret.primary_key;
        let id =
            UserId::from_str(PacketHeaderVersion::default(), "Test Key <test@bootdepot.invalid>").expect("a user ID");
        let mut flags = KeyFlags::default();
        flags.set_certify(true);
        flags.set_sign(true);
        let mut config = SignatureConfig::v4(SignatureType::CertPositive, primary.algorithm(), HashAlgorithm::Sha256);
        let mut packets = stamp(primary, CREATED);
        packets.push(packet(SubpacketData::KeyFlags(flags)));
        if lifetime > 0 {
            packets.push(packet(SubpacketData::KeyExpirationTime(Duration::from_secs(lifetime))));
        }
        config.hashed_subpackets = packets;
        let certification =
            config.sign_certification(primary, primary.public_key(), &Password::empty(), Tag::UserId, &id);
        let user = SignedUser::new(id, vec![certification.expect("a self-signature")]);
        let details = SignedKeyDetails::new(Vec::new(), Vec::new(), vec![user], Vec::new());
        Self { secret, details, has_subkey }
    }

    /// The same key, revoked by its owner for this reason.
    #[must_use]
    pub fn revoked(mut self, reason: &'static str) -> Self {
        let primary = &self.secret.primary_key;
        let mut config = SignatureConfig::v4(SignatureType::KeyRevocation, primary.algorithm(), HashAlgorithm::Sha256);
        let reason = SubpacketData::RevocationReason(RevocationCode::KeyCompromised, reason.as_bytes().into());
        config.hashed_subpackets = stamp(primary, CREATED + DAY);
        config.hashed_subpackets.push(packet(reason));
        let revocation = config.sign_key(primary, &Password::empty(), primary.public_key());
        self.details.revocation_signatures.push(revocation.expect("a revocation"));
        self
    }

    /// The public key, armored.
    pub fn certificate(&self) -> Vec<u8> {
        let subkeys = self.secret.to_public_key().public_subkeys;
        let primary = self.secret.primary_key.public_key().clone();
        let certificate = SignedPublicKey::new(primary, self.details.clone(), subkeys);
        certificate.to_armored_bytes(ArmorOptions::default()).expect("an armored key")
    }

    /// The fingerprint of the key that signs, in upper case.
    pub fn fingerprint(&self) -> String {
        let fingerprint = match self.secret.secret_subkeys.first().filter(|_| self.has_subkey) {
            Some(subkey) => subkey.key.fingerprint(),
            None => self.secret.primary_key.fingerprint(),
        };
        fingerprint.to_string().to_uppercase()
    }

    /// An armored detached signature of `bytes`.
    pub fn sign(&self, bytes: &[u8], how: Signing) -> Vec<u8> {
        let signature = self.signature(SignatureType::Binary, bytes, how);
        let armored = DetachedSignature::new(signature).to_armored_bytes(ArmorOptions::default());
        armored.expect("an armored signature")
    }

    /// The clear-signed form of `text`.
    pub fn clear_sign(&self, text: &str, how: Signing) -> String {
        let signed = CleartextSignedMessage::new_many(text, |text| {
            Ok(vec![self.signature(SignatureType::Text, text.as_bytes(), how)])
        });
        signed.and_then(|it| it.to_armored_string(ArmorOptions::default())).expect("a clear-signed text")
    }

    fn signature(&self, kind: SignatureType, bytes: &[u8], how: Signing) -> Signature {
        match self.secret.secret_subkeys.first().filter(|_| self.has_subkey) {
            Some(subkey) => sign(&subkey.key, kind, bytes, how),
            None => sign(&self.secret.primary_key, kind, bytes, how),
        }
    }
}

impl Default for TestKey {
    fn default() -> Self {
        Self::new()
    }
}

fn sign(key: &impl SigningKey, kind: SignatureType, bytes: &[u8], how: Signing) -> Signature {
    let mut config = SignatureConfig::v4(kind, key.algorithm(), HashAlgorithm::Sha256);
    config.hashed_subpackets = stamp(key, how.at);
    if how.lifetime > 0 {
        let lifetime = Duration::from_secs(how.lifetime);
        config.hashed_subpackets.push(packet(SubpacketData::SignatureExpirationTime(lifetime)));
    }
    config.sign(key, &Password::empty(), bytes).expect("a signature")
}

fn stamp(key: &impl SigningKey, at: u32) -> Vec<Subpacket> {
    let created = SubpacketData::SignatureCreationTime(Timestamp::from_secs(at));
    vec![packet(created), packet(SubpacketData::IssuerFingerprint(key.fingerprint()))]
}

fn packet(data: SubpacketData) -> Subpacket {
    Subpacket::regular(data).expect("a subpacket")
}
