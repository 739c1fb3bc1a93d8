//! Objects and documents that change, also in the wrong order.

use super::{put, ready, site};
use crate::support::{FakeOrigin, Fault, Object, TestServer, TestSite, random_bytes, wait_until};

const NAME: &str = "isos/worker.iso";
const PATH: &str = "/assets/isos/worker.iso";

fn accept(site: &TestSite, server: &TestServer) -> (Option<i32>, String) {
    let output = site.run_command(server.admin, &["accept", NAME]);
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).expect("text"))
}

/// A server that has served the asset once.
fn serve_first() -> (FakeOrigin, TestSite, TestServer, Object) {
    let origin = FakeOrigin::start();
    let object = put(&origin, "worker.iso", random_bytes(1, 4_000));
    let site = site(&origin, "");
    let server = site.start();
    assert!(server.client().compare(PATH, &object.bytes));
    server.wait_for_fill(NAME, "complete");
    (origin, site, server, object)
}

#[test]
fn accept_refuses_late_document() {
    let origin = FakeOrigin::start();
    let old = put(&origin, "worker.iso", random_bytes(1, 4_000));
    // The sums would be kept for ten minutes for a machine.
    let site = site(&origin, "").set("fill.negative_ttl", "10m");
    let server = site.start();
    assert!(server.client().compare(PATH, &old.bytes));
    server.wait_for_fill(NAME, "complete");

    let new = origin.put("openshift/worker.iso", random_bytes(2, 5_000));
    let (status, text) = accept(&site, &server);
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("its object has changed, but its sidecar still says the digest that is served"), "{text}");
    assert!(server.client().compare(PATH, &old.bytes));
    origin.put("openshift/worker.iso.sha256", new.sha256());
    assert_eq!(accept(&site, &server), (Some(0), format!("accepted {NAME} with SHA-256 {}\n", new.sha256())));
    assert!(server.client().compare(PATH, &new.bytes));
}

#[test]
fn accept_takes_same_bytes_written_again() {
    let (origin, site, server, object) = serve_first();
    origin.always(&object.key, Fault::Etag("\"other\""));
    assert!(server.client().compare(PATH, &object.bytes));
    assert_eq!(accept(&site, &server), (Some(0), format!("accepted {NAME} with SHA-256 {}\n", object.sha256())));
    let record = std::fs::read_to_string(site.cache_dir().join("collections.jsonl")).expect("there is a record");
    assert!(record.lines().last().is_some_and(|line| line.contains("other")), "{record}");
}

#[test]
fn first_request_before_document_is_mended() {
    let origin = FakeOrigin::start();
    put(&origin, "worker.iso", random_bytes(1, 4_000));
    let new = origin.put("openshift/worker.iso", random_bytes(2, 5_000));
    let site = site(&origin, "");
    let server = site.start();
    assert!(!server.client().compare(PATH, &new.bytes), "the document is of the old object");
    server.wait_for_fill(NAME, "digest-mismatch");
    origin.put("openshift/worker.iso.sha256", new.sha256());
    let serves_new = || server.client().compare(PATH, &new.bytes).then_some(());
    wait_until(serves_new, || server.client().get(PATH).text());
    assert!(!ready(&server).contains("other bytes"), "no bytes were known before");
}

#[test]
fn document_may_come_before_its_object() {
    let origin = FakeOrigin::start();
    let old = origin.put("openshift/worker.iso", random_bytes(1, 4_000));
    let bytes = random_bytes(2, 5_000);
    origin.put("openshift/worker.iso.sha256", bootdepot::asset::Digest::of(&bytes).to_string());
    let server = site(&origin, "").start();
    assert!(!server.client().compare(PATH, &old.bytes), "the object is not there yet");
    server.wait_for_fill(NAME, "digest-mismatch");
    let new = origin.put("openshift/worker.iso", bytes);
    let serves_new = || (server.client().get(PATH).body == *new.bytes).then_some(());
    wait_until(serves_new, || server.client().get(PATH).text());
}

#[test]
fn removed_asset_comes_back_with_its_document() {
    let (origin, site, server, old) = serve_first();
    origin.always(&old.key, Fault::Status(404, "NoSuchKey"));
    assert_eq!(accept(&site, &server).0, Some(0));
    // The new object is there, the old document too, and the old bytes are in the cache.
    origin.heal();
    let new = origin.put("openshift/worker.iso", random_bytes(2, 4_000));
    assert_eq!(server.client().get(PATH).status, 200);
    origin.put("openshift/worker.iso.sha256", new.sha256());
    let serves_new = || (server.client().get(PATH).body == *new.bytes).then_some(());
    wait_until(serves_new, || ready(&server));
}

#[test]
fn accepting_missing_object_removes_it() {
    let (origin, site, server, object) = serve_first();
    origin.always(&object.key, Fault::Status(404, "NoSuchKey"));
    assert!(server.client().compare(PATH, &object.bytes), "known bytes are served");
    let removed = format!("removed {NAME}: its source does not have it any more\n");
    assert_eq!(accept(&site, &server), (Some(0), removed));
    assert_eq!(server.client().get(PATH).status, 404);
    let (status, text) = accept(&site, &server);
    assert!(status == Some(1) && text.contains("does not exist"), "{text}");
}

#[test]
fn pin_follows_accepted_change() {
    let (origin, site, server, _) = serve_first();
    assert!(site.run_command(server.admin, &["pin", NAME]).status.success());
    let new = put(&origin, "worker.iso", random_bytes(2, 5_000));
    assert_eq!(accept(&site, &server).0, Some(0));
    assert!(server.client().compare(PATH, &new.bytes));
    let listed = site.run_command(server.admin, &["list", "isos/", "--json"]);
    let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).expect("JSON");
    assert_eq!(
        (listed[0]["digest"].as_str(), listed[0]["pinned"].as_bool()),
        (Some(&*new.sha256()), Some(true)),
        "{listed}"
    );
}

#[test]
fn unused_documents_are_not_recorded_again() {
    let origin = FakeOrigin::start();
    put(&origin, "worker.iso", random_bytes(1, 4_000));
    let site = site(&origin, "");
    let server = site.start();
    for _ in 0..5 {
        assert_eq!(server.client().request("HEAD", PATH, &[]).status, 200);
    }
    let record = std::fs::read_to_string(site.cache_dir().join("collections.jsonl")).expect("there is a record");
    assert_eq!(record.lines().filter(|line| !line.is_empty()).count(), 1, "{record}");
}

#[test]
fn operator_sees_new_document_at_once() {
    let origin = FakeOrigin::start();
    let object = origin.put("openshift/worker.iso", random_bytes(1, 4_000));
    let site = site(&origin, "").set("fill.negative_ttl", "10m");
    let server = site.start();
    assert_eq!(server.client().get(PATH).status, 404);
    origin.put("openshift/SHA256SUMS", format!("{}  worker.iso\n", object.sha256()));
    let preloaded = site.run_command(server.admin, &["preload", NAME]);
    assert!(preloaded.status.success(), "{preloaded:?}");
    assert!(server.client().compare(PATH, &object.bytes));
}
