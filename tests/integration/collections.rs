//! Collections: directories of a bucket whose objects are assets without entries in the catalog.

mod changes;
mod listing;
mod machine;
mod signed;

use std::process::Command;
use std::sync::Arc;
use std::thread;

use bootdepot::asset::{CompositeDigest, Digest};

use crate::support::{Client, FakeOrigin, Object, TestServer, TestSite, Tool, random_bytes, wait_until};

/// A site that serves `isos/` from the directory `openshift/` of the bucket, with these settings of the collection.
fn site(origin: &FakeOrigin, settings: &str) -> TestSite {
    let text = format!(
        "[[collection]]\nprefix = \"isos/\"\nsource = \"s3://{}/openshift/\"\n{settings}",
        crate::support::s3::BUCKET
    );
    // The smallest time, so that each request asks the bucket again.
    TestSite::new(origin).set("fill.negative_ttl", "1ms").tables(text.parse().expect("a table"))
}

/// Stores an object with its digest beside it.
fn put(origin: &FakeOrigin, name: &str, bytes: Vec<u8>) -> Object {
    let object = origin.put(&format!("openshift/{name}"), bytes);
    let file = name.rsplit('/').next().expect("a name");
    origin.put(&format!("openshift/{name}.sha256"), format!("{}  {file}\n", object.sha256()));
    object
}

fn ready(server: &TestServer) -> String {
    server.client().get("/readyz").text()
}

#[test]
fn objects_with_digests_are_assets() {
    let [Some(curl), Some(atftp)] = ["curl", "atftp"].map(Tool::find) else { return };
    let origin = FakeOrigin::start();
    let worker = put(&origin, "worker.iso", random_bytes(1, 3_000_000));
    let deep = put(&origin, "sno/a b.iso", random_bytes(2, 5_000));
    let summed = origin.put("openshift/summed.img", random_bytes(3, 7_000));
    origin.put("openshift/SHA256SUMS", format!("{}  summed.img\n", summed.sha256()));
    let site = site(&origin, "");
    let server = site.start();
    for (path, object) in [("worker.iso", &worker), ("sno/a%20b.iso", &deep), ("summed.img", &summed)] {
        let response = server.client().get(&format!("/assets/isos/{path}"));
        assert_eq!(response.status, 200, "{path}");
        assert!(response.body == object.bytes, "{path}");
        assert_eq!(response.header("etag"), format!("\"sha256-{}\"", object.sha256()));
    }
    assert_eq!(origin.sent(&worker.key), worker.size(), "the bucket sent each byte once");

    let file = site.file("over-tftp");
    let (host, port) = (server.tftp.ip().to_string(), server.tftp.port().to_string());
    atftp.succeed(["-g", "-r", "isos/worker.iso", "-l", file.to_str().expect("UTF-8"), &host, &port]);
    assert!(std::fs::read(&file).expect("the file was written") == worker.bytes);

    // As an installer checks what it fetched.
    let dir = tempfile::tempdir().expect("a directory");
    for name in ["worker.iso", "summed.img", "SHA256SUMS"] {
        let into = dir.path().join(name);
        curl.succeed(["-q", "-sSf", "-o", into.to_str().expect("UTF-8"), &server.url(&format!("/assets/isos/{name}"))]);
    }
    let checked = Command::new("sha256sum").args(["-c", "SHA256SUMS"]).current_dir(dir.path()).output();
    let checked = checked.expect("sha256sum runs");
    assert_eq!(String::from_utf8_lossy(&checked.stdout), "summed.img: OK\nworker.iso: OK\n");

    let listed = site.run_command(server.admin, &["list", "--json"]);
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(listed.contains("isos/sno/a b.iso"), "{listed}");
    assert_eq!(server.client().get("/assets/isos/none.iso").status, 404);
}

#[test]
fn changed_object_waits_to_be_accepted() {
    let origin = FakeOrigin::start();
    let old = put(&origin, "worker.iso", random_bytes(1, 400_000));
    let site = site(&origin, "");
    let server = site.start();
    let path = "/assets/isos/worker.iso";
    assert!(server.client().compare(path, &old.bytes));
    server.wait_for_fill("isos/worker.iso", "complete");

    let new = put(&origin, "worker.iso", random_bytes(2, 500_000));
    for _ in 0..3 {
        assert!(server.client().compare(path, &old.bytes), "the known bytes are served");
    }
    server.wait_for(|line| line.text("message") == "changed object not served until it is accepted");
    let warned = server.lines(|line| line.text("message") == "changed object not served until it is accepted");
    assert_eq!(warned.len(), 1, "once for each change");
    let ready_text = ready(&server);
    assert!(ready_text.contains("isos/worker.iso has other bytes at its source"), "{ready_text}");
    assert!(ready_text.contains(&new.sha256()) && ready_text.contains("`bootdepot accept isos/worker.iso`"));

    let accepted = site.run_command(server.admin, &["accept", "isos/worker.iso"]);
    assert!(accepted.status.success(), "{accepted:?}");
    assert_eq!(
        String::from_utf8_lossy(&accepted.stdout),
        format!("accepted isos/worker.iso with SHA-256 {}\n", new.sha256())
    );
    assert!(server.client().compare(path, &new.bytes));
    assert!(!ready(&server).contains("other bytes"));
    server.stop();

    // The record is on the disk.
    let server = site.start();
    assert!(server.client().compare(path, &new.bytes));
    let refused = site.run_command(server.admin, &["accept", "elsewhere/x"]);
    assert_eq!(refused.status.code(), Some(1));
    let text = String::from_utf8_lossy(&refused.stderr).into_owned() + &String::from_utf8_lossy(&refused.stdout);
    assert!(text.contains("elsewhere/x belongs to no collection"), "{text}");
}

/// As `publish` and others write: the object first, then its digest.
#[test]
fn late_digest_of_changed_object_is_noticed() {
    let origin = FakeOrigin::start();
    let old = put(&origin, "worker.iso", random_bytes(1, 400_000));
    let site = site(&origin, "");
    let server = site.start();
    let path = "/assets/isos/worker.iso";
    assert!(server.client().compare(path, &old.bytes));
    server.wait_for_fill("isos/worker.iso", "complete");

    let bytes = random_bytes(2, 500_000);
    origin.put("openshift/worker.iso", bytes.clone());
    assert!(server.client().compare(path, &old.bytes), "the digest beside it is still the old one");
    let new = put(&origin, "worker.iso", bytes);
    assert!(server.client().compare(path, &old.bytes));
    server.wait_for(|line| line.text("message") == "changed object not served until it is accepted");
    assert!(site.run_command(server.admin, &["accept", "isos/worker.iso"]).status.success());
    assert!(server.client().compare(path, &new.bytes));
}

#[test]
fn followed_change_is_served_at_once() {
    let origin = FakeOrigin::start();
    let old = put(&origin, "worker.iso", random_bytes(1, 400_000));
    let server = site(&origin, "on_change = \"follow\"").start();
    assert!(server.client().compare("/assets/isos/worker.iso", &old.bytes));
    let new = put(&origin, "worker.iso", random_bytes(2, 500_000));
    let serves_new = || server.client().compare("/assets/isos/worker.iso", &new.bytes).then_some(());
    wait_until(serves_new, || "the new bytes".to_owned());
}

#[test]
fn object_without_digest_is_refused() {
    let origin = FakeOrigin::start();
    let object = origin.put("openshift/worker.iso", random_bytes(1, 400_000));
    let server = site(&origin, "").start();
    assert_eq!(server.client().get("/assets/isos/worker.iso").status, 404);
    let line = server.wait_for_transfer("isos/worker.iso", "not-found");
    let detail = line.text("detail");
    assert!(detail.contains("nothing says its digest") && detail.contains("bootdepot publish"), "{detail}");
    assert_eq!(origin.sent(&object.key), 0);
}

#[test]
fn digest_of_other_file_is_error() {
    let origin = FakeOrigin::start();
    origin.put("openshift/worker.iso", random_bytes(1, 4_000));
    origin.put("openshift/worker.iso.sha256", format!("{}  other.iso\n", Digest::of(b"x")));
    let server = site(&origin, "on_missing_digest = \"trust-first-use\"").start();
    assert_eq!(server.client().get("/assets/isos/worker.iso").status, 503);
    let line = server.wait_for_transfer("isos/worker.iso", "origin-failed");
    assert!(line.text("detail").contains("expected the SHA-256 of worker.iso"), "{}", line.text("detail"));
}

#[test]
fn wrong_bytes_never_complete() {
    let origin = FakeOrigin::start();
    let object = origin.put("openshift/worker.iso", random_bytes(1, 400_000));
    origin.put("openshift/worker.iso.sha256", Digest::of(b"other").to_string());
    let server = site(&origin, "").start();
    assert!(!server.client().compare("/assets/isos/worker.iso", &object.bytes));
    server.wait_for_fill("isos/worker.iso", "digest-mismatch");
}

#[test]
fn first_use_is_recorded_and_kept() {
    let origin = FakeOrigin::start();
    let old = origin.put("openshift/worker.iso", random_bytes(1, 400_000));
    let site = site(&origin, "on_missing_digest = \"trust-first-use\"");
    let server = site.start();
    assert!(server.client().compare("/assets/isos/worker.iso", &old.bytes));
    let record = std::fs::read_to_string(site.cache_dir().join("collections.jsonl")).expect("there is a record");
    assert!(record.contains(&old.sha256()) && record.contains("first-use"), "{record}");
    server.wait_for_fill("isos/worker.iso", "complete");
    assert_eq!(origin.sent(&old.key), old.size(), "the bytes were stored while their digest was learned");

    origin.put("openshift/worker.iso", random_bytes(2, 400_000));
    assert!(server.client().compare("/assets/isos/worker.iso", &old.bytes));
    server.wait_for(|line| line.text("message") == "changed object not served until it is accepted");
    server.stop();

    // Without the bucket, what is known is served.
    let server = site.set_origin("endpoint", "http://127.0.0.1:9").start();
    assert!(server.client().compare("/assets/isos/worker.iso", &old.bytes));
    assert_eq!(server.client().get("/assets/isos/other.iso").status, 503);
}

#[test]
fn checksum_of_parts_is_compared() {
    const PART: usize = 150_000;
    let origin = FakeOrigin::start();
    let (right, wrong) = (
        origin.put("openshift/right.iso", random_bytes(1, 400_000)),
        origin.put("openshift/wrong.iso", random_bytes(2, 400_000)),
    );
    let parts: Vec<_> = right.bytes.chunks(PART).map(Digest::of).collect();
    let checksum = CompositeDigest::of(&parts).to_string();
    assert!(checksum.ends_with("-3"), "{checksum}");
    origin.set_parts(&right.key, None, &checksum);
    origin.set_parts(&wrong.key, Some(PART), &checksum);
    let site = site(&origin, "").set("fill.negative_ttl", "10m");
    let server = site.start();
    // The size of the parts is not known for now: no verdict, and nothing is remembered.
    assert_eq!(server.client().get("/assets/isos/right.iso").status, 503);
    assert_eq!(origin.sent(&right.key), 0);
    origin.set_parts(&right.key, Some(PART), &checksum);
    assert!(server.client().compare("/assets/isos/right.iso", &right.bytes));
    assert_eq!(origin.sent(&right.key), right.size());
    let record = std::fs::read_to_string(site.cache_dir().join("collections.jsonl")).expect("there is a record");
    assert!(record.contains(&right.sha256()) && record.contains("s3-checksum"), "{record}");

    assert_eq!(server.client().get("/assets/isos/wrong.iso").status, 404);
    let line = server.wait_for_transfer("isos/wrong.iso", "not-found");
    let detail = line.text("detail");
    assert!(detail.contains("its parts have the SHA-256") && detail.contains(&checksum), "{detail}");
    // It is remembered: the object is not read again for each request.
    assert_eq!(server.client().get("/assets/isos/wrong.iso").status, 404);
    assert_eq!(origin.sent(&wrong.key), wrong.size());
}

#[test]
fn acceptance_ends_with_the_server() {
    let origin = FakeOrigin::start();
    let object = origin.put("openshift/worker.iso", random_bytes(1, 400_000));
    let site = site(&origin, "on_missing_digest = \"trust-first-use\"\n");
    let server = site.start();
    assert!(server.client().compare("/assets/isos/worker.iso", &object.bytes));
    let changed = origin.put(&object.key, random_bytes(2, 400_000));
    origin.allow(&changed.key, origin.sent(&changed.key));
    let seen = origin.seen(&changed.key).len();
    // Two operators share one reading of the object, which does not end.
    let admin = server.admin;
    thread::scope(|scope| {
        let asking = [(); 2].map(|()| scope.spawn(|| site.run_command(admin, &["accept", "isos/worker.iso"])));
        // HEAD and GET.
        origin.wait_until_seen(&changed.key, seen + 2);
        assert!(server.stop().success());
        for asking in asking {
            let output = asking.join().expect("the command ends");
            assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
        }
    });
    let reads = origin.seen(&changed.key).iter().filter(|request| request.starts_with("GET")).count();
    assert_eq!(reads, 2, "of the old object, and of the new one: {:?}", origin.seen(&changed.key));
}

#[test]
fn many_requests_share_one_lookup() {
    let origin = FakeOrigin::start();
    let object = put(&origin, "worker.iso", random_bytes(1, 100_000));
    let site = site(&origin, "").set("fill.negative_ttl", "10m");
    let server = Arc::new(site.start());
    let clients: Vec<_> = (0..40)
        .map(|number| {
            let server = Arc::clone(&server);
            thread::spawn(move || {
                let path = if number % 2 == 0 { "worker.iso" } else { "missing.iso" };
                Client::new(server.http).request("HEAD", &format!("/assets/isos/{path}"), &[]).status
            })
        })
        .collect();
    let statuses: Vec<_> = clients.into_iter().map(|client| client.join().expect("a client")).collect();
    assert_eq!(statuses.iter().filter(|&&status| status == 200).count(), 20);
    assert_eq!(statuses.iter().filter(|&&status| status == 404).count(), 20);
    let heads = origin.seen(&object.key).iter().filter(|seen| seen.starts_with("HEAD")).count();
    assert_eq!(heads, 1, "{:?}", origin.seen(&object.key));
}

#[test]
fn globs_limit_collection() {
    let origin = FakeOrigin::start();
    for name in ["a.iso", "a-old.iso", "notes.txt"] {
        put(&origin, name, random_bytes(1, 1_000));
    }
    let server = site(&origin, "include = [\"*.iso\"]\nexclude = [\"*-old.iso\"]").start();
    let status = |name: &str| server.client().get(&format!("/assets/isos/{name}")).status;
    assert_eq!([status("a.iso"), status("a-old.iso"), status("notes.txt")], [200, 404, 404]);
}

#[test]
fn collection_assets_are_preloaded_and_booted_by_name() {
    let origin = FakeOrigin::start();
    let object = put(&origin, "worker.iso", random_bytes(1, 300_000));
    let profile = "[[profile]]\nname = \"iso\"\niso = \"isos/worker.iso\"\n\n[defaults]\nprofile = \"iso\"\n";
    let site = site(&origin, "").tables(profile.parse().expect("tables"));
    let server = site.start();
    let script = server.client().get("/ipxe?mac=52:54:00:12:34:56").text();
    assert!(script.contains("/assets/isos/worker.iso"), "{script}");
    let preloaded = site.run_command(server.admin, &["preload", "--profile", "iso"]);
    assert!(preloaded.status.success(), "{preloaded:?}");
    server.wait_for_fill("isos/worker.iso", "complete");
    assert_eq!(origin.sent(&object.key), object.size());
    let missing = site.run_command(server.admin, &["preload", "isos/none.iso"]);
    assert_eq!(missing.status.code(), Some(1), "{missing:?}");
}
