//! Tests of proofs: Debian's real chain, and keys and signatures that must be refused.

use bootdepot_test_support::openpgp::{CREATED, DAY, Signing, TestKey};

use super::*;
use crate::asset::Digest;

/// Debian's index of bookworm-security of 2026-11-28, and the keys that signed it.
const IN_RELEASE: &str = include_str!("tests/debian-security-InRelease");
const DEBIAN_KEYS: &[u8] = include_bytes!("tests/debian-archive-bookworm-security-automatic.gpg");
/// Made by GnuPG 2.2: a key of 1024 bits, and a key that signed the text `kernel` with broken hash functions.
const SHORT_KEY: &[u8] = include_bytes!("tests/short-key.asc");
const SHORT_KEY_SIGNATURE: &[u8] = include_bytes!("tests/short-key-signature.asc");
const WEAK_HASH_KEY: &[u8] = include_bytes!("tests/weak-hash-key.asc");
const SHA1_SIGNATURE: &[u8] = include_bytes!("tests/sha1-signature.asc");
const MD5_SIGNATURE: &[u8] = include_bytes!("tests/md5-signature.asc");
const CLEAR_SIGNED: &str = include_str!("tests/clear-signed.asc");
/// The key and the signature of the file `test`, as minisign's documentation gives them.
const MINISIGN_KEY: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
const MINISIGN_SIGNATURE: &str = "untrusted comment: signature from minisign secret key\n\
    RUQf6LRCGA9i559r3g7V1qNyJDApGip8MfqcadIgT9CuhV3EMhHoN1mGTkUidF/z7SrlQgXdy8ofjb7bNJJylDOocrCo8KLzZwo=\n\
    trusted comment: timestamp:1633700835\tfile:test\tprehashed\n\
    wLMDjy9FLAuxZ3q4NlEvkgtyhrr0gtTu6KC4KBJdITbbOeAi1zBIYo0v4iTgt8jJpIidRJnp94ABQkJAgAooBQ==\n";

fn at(seconds: u32) -> jiff::Timestamp {
    jiff::Timestamp::from_second(i64::from(seconds)).unwrap()
}

fn date(text: &str) -> jiff::Timestamp {
    text.parse().unwrap()
}

fn keys(key: &TestKey) -> TrustedKeys {
    let mut keys = TrustedKeys::default();
    keys.add_file(&key.certificate()).unwrap();
    keys
}

fn debian() -> TrustedKeys {
    let mut keys = TrustedKeys::default();
    keys.add_file(DEBIAN_KEYS).unwrap();
    keys
}

fn verify(keys: &TrustedKeys, bytes: &[u8], signature: &[u8], now: u32) -> Result<Signer, String> {
    let signature = DetachedSignature::parse(signature).unwrap();
    keys.verify(bytes, &signature, at(now)).map_err(|error| error.to_string())
}

#[test]
fn debian_release_is_proven_by_keyring() {
    let (text, signer) = debian().open_clear_signed(IN_RELEASE, date("2026-11-29T00:00:00Z")).unwrap();
    assert!(text.starts_with("Origin: Debian\nLabel: Debian-Security\n"), "{}", &text[..80]);
    assert!(!text.contains("BEGIN PGP"));
    assert!(signer.to_string().starts_with("Debian Security Archive Automatic Signing Key (12/bookworm)"), "{signer}");
    assert_eq!(unsigned_text(IN_RELEASE).unwrap(), text);
}

#[test]
fn altered_debian_release_is_refused() {
    let now = date("2026-11-29T00:00:00Z");
    let altered = IN_RELEASE.replacen("Suite: oldstable", "Suite: oldstabla", 1);
    let error = debian().open_clear_signed(&altered, now).unwrap_err();
    assert!(matches!(error, SignatureError::WrongBytes { .. }), "{error}");
    // Text before or after the signed one is not signed.
    for forged in [format!("Origin: Evil\n{IN_RELEASE}"), format!("{IN_RELEASE}Origin: Evil\n")] {
        let error = debian().open_clear_signed(&forged, now).unwrap_err();
        assert!(matches!(error, SignatureError::Malformed { .. }), "{error}");
    }
}

#[test]
fn debian_key_is_refused_after_expiry() {
    let error = debian().open_clear_signed(IN_RELEASE, date("2032-01-01T00:00:00Z")).unwrap_err();
    assert!(error.to_string().contains("expired on 2031-01-19T"), "{error}");
    let error = debian().open_clear_signed(IN_RELEASE, date("2026-11-01T00:00:00Z")).unwrap_err();
    assert!(error.to_string().contains("which is in the future"), "{error}");
}

#[test]
fn detached_signature_proves_bytes() {
    for key in [TestKey::new(), TestKey::with_subkey()] {
        let signature = key.sign(b"kernel", Signing::default());
        let signer = verify(&keys(&key), b"kernel", &signature, CREATED + 2 * DAY).unwrap();
        assert_eq!(signer.key, key.fingerprint());
        let error = verify(&keys(&key), b"kernal", &signature, CREATED + 2 * DAY).unwrap_err();
        assert!(error.contains("is not of these bytes"), "{error}");
    }
}

#[test]
fn clear_signed_text_of_gnupg_is_read() {
    let mut trusted = TrustedKeys::default();
    trusted.add_file(WEAK_HASH_KEY).unwrap();
    let (text, _) = trusted.open_clear_signed(CLEAR_SIGNED, at(CREATED + 2 * DAY)).unwrap();
    // White space at the end of lines is not signed (RFC 9580, section 7.2).
    assert_eq!(text.trim_end(), "- dashes\n-----BEGIN\nline\nlast");
    let own = TestKey::new();
    let signed = own.clear_sign("first\nlast\n", Signing::default());
    assert_eq!(keys(&own).open_clear_signed(&signed, at(CREATED + 2 * DAY)).unwrap().0.trim_end(), "first\nlast");
}

#[test]
fn unknown_key_is_named() {
    let (key, other) = (TestKey::new(), TestKey::new());
    let signature = key.sign(b"kernel", Signing::default());
    let error = verify(&keys(&other), b"kernel", &signature, CREATED + 2 * DAY).unwrap_err();
    let expected = format!("it is signed by {}, which is not among the trusted keys", key.fingerprint());
    assert!(error.starts_with(&expected), "{error}");
    let error = verify(&TrustedKeys::default(), b"kernel", &signature, CREATED + 2 * DAY).unwrap_err();
    assert!(error.starts_with(&expected), "{error}");
}

#[test]
fn expired_key_is_refused() {
    let key = TestKey::expiring(10 * DAY);
    let signature = key.sign(b"kernel", Signing::default());
    verify(&keys(&key), b"kernel", &signature, CREATED + 9 * DAY).unwrap();
    let error = verify(&keys(&key), b"kernel", &signature, CREATED + 10 * DAY).unwrap_err();
    assert!(error.contains("expired on 2026-01-11T00:00:00Z; get its newer version"), "{error}");
}

#[test]
fn expired_signature_is_refused() {
    let key = TestKey::new();
    let signature = key.sign(b"kernel", Signing { lifetime: DAY, ..Signing::default() });
    verify(&keys(&key), b"kernel", &signature, CREATED + DAY + 1).unwrap();
    let error = verify(&keys(&key), b"kernel", &signature, CREATED + 2 * DAY).unwrap_err();
    assert!(error.starts_with("the signature by") && error.contains("expired on 2026-01-03"), "{error}");
}

#[test]
fn revoked_key_is_refused_with_reason() {
    let key = TestKey::new().revoked("stolen laptop");
    let signature = key.sign(b"kernel", Signing::default());
    let error = verify(&keys(&key), b"kernel", &signature, CREATED + 2 * DAY).unwrap_err();
    assert!(error.ends_with("was revoked by its owner (stolen laptop)"), "{error}");
}

#[test]
fn weak_hash_is_refused() {
    let mut trusted = TrustedKeys::default();
    trusted.add_file(WEAK_HASH_KEY).unwrap();
    for (hash, signature) in [("SHA1", SHA1_SIGNATURE), ("MD5", MD5_SIGNATURE)] {
        let error = verify(&trusted, b"kernel", signature, CREATED + 2 * DAY).unwrap_err();
        assert!(error.contains(&format!("uses {hash}, which can be forged")), "{error}");
    }
}

#[test]
fn short_rsa_key_is_refused() {
    let mut trusted = TrustedKeys::default();
    trusted.add_file(SHORT_KEY).unwrap();
    let error = verify(&trusted, b"kernel", SHORT_KEY_SIGNATURE, CREATED + 2 * DAY).unwrap_err();
    assert!(error.ends_with("is too weak: an RSA key needs 2048 bits or more"), "{error}");
}

#[test]
fn several_armored_keys_are_read() {
    let (first, second) = (TestKey::new(), TestKey::new());
    let mut trusted = TrustedKeys::default();
    trusted.add_file(&[first.certificate(), second.certificate()].concat()).unwrap();
    let signature = second.sign(b"kernel", Signing::default());
    assert!(verify(&trusted, b"kernel", &signature, CREATED + 2 * DAY).is_ok());
}

#[test]
fn minisign_signature_proves_bytes() {
    let mut trusted = TrustedKeys::default();
    trusted.add_minisign(MINISIGN_KEY).unwrap();
    assert!(verify(&trusted, b"test", MINISIGN_SIGNATURE.as_bytes(), CREATED).is_ok());
    let error = verify(&trusted, b"tesT", MINISIGN_SIGNATURE.as_bytes(), CREATED).unwrap_err();
    assert!(error.contains("is not of these bytes"), "{error}");
    let error = verify(&debian(), b"test", MINISIGN_SIGNATURE.as_bytes(), CREATED).unwrap_err();
    assert!(error.contains("is not among the trusted keys"), "{error}");
}

#[test]
fn file_that_is_no_key_is_error() {
    for bytes in [&b"<html>"[..], b"", b"untrusted comment: x\nnot base64"] {
        let error = TrustedKeys::default().add_file(bytes).unwrap_err();
        assert!(error.to_string().contains("expected OpenPGP public keys"), "{error}");
    }
    assert!(matches!(DetachedSignature::parse(b"<html>"), Err(SignatureError::Malformed { .. })));
}

#[test]
fn body_is_proven_in_one_pass() {
    let key = TestKey::new();
    let (trusted, signature) = (keys(&key), key.sign(b"abc", Signing::default()));
    let signature = DetachedSignature::parse(&signature).unwrap();
    // FIPS 180-4, the one-block example of the NIST test vectors.
    let sha512 = "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f";
    let expected = Expected { size: Some(3), sha256: Some(Digest::of(b"abc")), sha512: Some(sha512.parse().unwrap()) };
    let check = |expected: Expected, pieces: &[&[u8]]| {
        let mut hasher = BodyHasher::new(expected, Some((&signature, &trusted))).unwrap();
        for piece in pieces {
            hasher.update(piece);
        }
        let whole = pieces.concat();
        hasher.finish(Digest::of(&whole), whole.len() as u64, at(CREATED + 2 * DAY)).map_err(|error| error.to_string())
    };
    let proven = check(expected, &[b"a", b"", b"bc"]).unwrap();
    assert_eq!((proven.sha256, proven.size), (Digest::of(b"abc"), 3));
    assert_eq!(proven.signer.unwrap().key, key.fingerprint());
    assert_eq!(check(expected, &[b"ab"]).unwrap_err(), "it has 2 bytes, and 3 were announced");
    let error = check(expected, &[b"abd"]).unwrap_err();
    let (announced, found) = (Digest::of(b"abc"), Digest::of(b"abd"));
    assert_eq!(error, format!("SHA-256 is {found}, and {announced} was announced"));
    let only512 = Expected { size: None, sha256: None, ..expected };
    assert!(check(only512, &[b"abd"]).unwrap_err().ends_with(&format!("and {sha512} was announced")));
    // A signature alone is a proof too.
    assert!(check(Expected::default(), &[b"abd"]).unwrap_err().contains("is not of these bytes"));
    assert!(check(Expected::default(), &[b"abc"]).is_ok());
}
