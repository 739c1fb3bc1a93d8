//! Digests that count only with a signature.

use bootdepot_test_support::openpgp::{Signing, TestKey};

use super::{put, site};
use crate::support::{FakeOrigin, TestServer, TestSite, random_bytes};

const SUMS: &str = "openshift/SHA256SUMS";

/// A site whose collection counts signatures by this key only.
fn signed_site(origin: &FakeOrigin, key: &TestKey, settings: &str) -> TestSite {
    // The path is in the settings, which the site needs first.
    let directory = tempfile::tempdir().expect("a directory").keep();
    let path = directory.join("key.asc");
    std::fs::write(&path, key.certificate()).expect("the key can be written");
    site(origin, &format!("keys = [\"{}\"]\n{settings}", path.display()))
}

/// Asserts that the asset is refused with this status, and that the log has this reason.
fn assert_refused(server: &TestServer, name: &str, status: u16, reason: &str) {
    assert_eq!(server.client().get(&format!("/assets/{name}")).status, status);
    let line = server.wait_for(|line| line.is("bootdepot::transfer") && line.text("asset") == name);
    assert!(line.text("detail").contains(reason), "{}", line.text("detail"));
}

#[test]
fn signed_documents_give_digests() {
    let (origin, key) = (FakeOrigin::start(), TestKey::new());
    let objects = ["detached.iso", "clear.iso", "beside.iso"]
        .map(|name| origin.put(&format!("openshift/{name}"), random_bytes(1, 100_000)));
    let line = |index: usize, name: &str| format!("{}  {name}\n", objects[index].sha256());
    let sums = line(0, "detached.iso");
    origin.put(SUMS, sums.clone());
    origin.put("openshift/SHA256SUMS.gpg", key.sign(sums.as_bytes(), Signing::default()));
    origin.put("openshift/clear.iso.sha256", key.clear_sign(&line(1, "clear.iso"), Signing::default()));
    let beside = line(2, "beside.iso");
    origin.put("openshift/beside.iso.sha256", beside.clone());
    origin.put("openshift/beside.iso.sha256.asc", key.sign(beside.as_bytes(), Signing::default()));
    let server = signed_site(&origin, &key, "").start();
    for (object, name) in objects.iter().zip(["detached.iso", "clear.iso", "beside.iso"]) {
        assert!(server.client().compare(&format!("/assets/isos/{name}"), &object.bytes), "{name}");
    }
    // The log is written a moment later than the response.
    server.wait_for_lines(3, |line| line.text("message") == "digest of asset recorded");
    let recorded = |from: &str| {
        server.lines(|line| line.text("message") == "digest of asset recorded" && line.text("from") == from).len()
    };
    assert_eq!((recorded("signed-sidecar"), recorded("signed-sums")), (2, 1));
}

#[test]
fn digest_without_good_signature_is_refused() {
    let (origin, key, other) = (FakeOrigin::start(), TestKey::new(), TestKey::new());
    // The sidecar of `put` is not signed.
    put(&origin, "plain.iso", random_bytes(1, 1_000));
    let forged = origin.put("openshift/forged.iso", random_bytes(2, 1_000));
    let line = format!("{}  forged.iso\n", forged.sha256());
    origin.put("openshift/forged.iso.sha256", other.clear_sign(&line, Signing::default()));
    let moved = origin.put("openshift/moved.iso", random_bytes(3, 1_000));
    // A good signature of another name, which a person who can write to the bucket could put there.
    let line = format!("{}  old.iso\n", moved.sha256());
    origin.put("openshift/moved.iso.sha256", key.clear_sign(&line, Signing::default()));
    let bare = origin.put("openshift/bare.iso", random_bytes(4, 1_000));
    origin.put("openshift/bare.iso.sha256", key.clear_sign(&bare.sha256(), Signing::default()));
    let server = signed_site(&origin, &key, "").start();
    assert_refused(&server, "isos/plain.iso", 404, "plain.iso.sha256 has no signature");
    assert_refused(&server, "isos/forged.iso", 503, "which is not among the trusted keys");
    assert_refused(&server, "isos/moved.iso", 503, "expected the SHA-256 of moved.iso, found no line for it");
    assert_refused(&server, "isos/bare.iso", 503, "expected \"DIGEST  NAME\"");
}

#[test]
fn unsigned_record_does_not_count_with_keys() {
    let (origin, key) = (FakeOrigin::start(), TestKey::new());
    let object = put(&origin, "plain.iso", random_bytes(1, 1_000));
    let plain = site(&origin, "");
    let server = plain.start();
    assert!(server.client().compare("/assets/isos/plain.iso", &object.bytes));
    server.wait_for_fill("isos/plain.iso", "complete");
    server.stop();
    let signed = signed_site(&origin, &key, "").set("cache.dir", plain.cache_dir().display().to_string());
    let server = signed.start();
    assert_eq!(server.client().get("/assets/isos/plain.iso").status, 404);
}

#[test]
fn unsigned_place_counts_if_named() {
    let (origin, key) = (FakeOrigin::start(), TestKey::new());
    let object = put(&origin, "plain.iso", random_bytes(1, 1_000));
    let server = signed_site(&origin, &key, "digest_from = [\"signed-sidecar\", \"sidecar\"]").start();
    assert!(server.client().compare("/assets/isos/plain.iso", &object.bytes));
}

#[test]
fn keys_and_signed_places_need_each_other() {
    let (origin, key) = (FakeOrigin::start(), TestKey::new());
    for (site, expected) in [
        (signed_site(&origin, &key, "on_missing_digest = \"trust-first-use\""), "expected \"refuse\", or no keys"),
        (site(&origin, "digest_from = [\"signed-sums\"]"), "this requires keys"),
        (
            signed_site(&origin, &key, "digest_from = [\"sums\"]"),
            "\"signed-sidecar\" or \"signed-sums\" in digest_from",
        ),
    ] {
        let output = site.command_line(&["config", "show"]).output().expect("the program runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && errors.contains(expected), "{errors}");
    }
}
