//! The server as a process: it reports its addresses, serves over both protocols, stops on SIGTERM, and reports errors in its
//! configuration.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use crate::support::{Client, CommandExt, FakeOrigin, TestServer, TestSite, random_bytes};

#[test]
fn cold_asset_is_fetched_once() {
    let origin = FakeOrigin::start();
    let image = origin.put("okd/4.19/rootfs.img", random_bytes(1, 5 << 20));
    let site = TestSite::new(&origin).asset(&image);
    let server = site.start();

    for cache in ["miss", "hit"] {
        let response = server.client().get("/assets/okd/4.19/rootfs.img");
        assert_eq!((response.status, response.complete), (200, true), "{}", response.text());
        assert!(response.body == image.bytes, "the body is the object");
        let line = server.wait_for(|l| l.is("bootdepot::transfer") && l.text("cache") == cache);
        assert_eq!((line.text("outcome").as_str(), line.number("bytes")), ("complete", image.size()));
    }
    assert_eq!(origin.sent(&image.key), image.size(), "the origin sent each byte once");
    let fill = server.wait_for_fill(&image.key, "complete");
    assert_eq!((fill.number("bytes"), fill.number("reused")), (image.size(), 0));
    let blobs = site.blobs();
    assert_eq!(blobs.len(), 1);
    assert_eq!(blobs[0].0, image.sha256());
}

#[test]
fn restarted_server_serves_without_origin() {
    let origin = FakeOrigin::start();
    let image = origin.put("vmlinuz", random_bytes(2, 300_000));
    let site = TestSite::new(&origin).asset(&image);
    let server = site.start();
    assert!(server.client().compare("/assets/vmlinuz", &image.bytes));
    assert!(server.stop().success());

    let server = site.start();
    assert!(server.client().compare("/assets/vmlinuz", &image.bytes));
    server.wait_for(|l| l.is("bootdepot::transfer") && l.text("cache") == "hit");
    assert_eq!(origin.sent(&image.key), image.size());
}

#[test]
fn truncated_blob_is_quarantined_and_refetched() {
    let origin = FakeOrigin::start();
    let image = origin.put("rootfs.img", random_bytes(4, 5 << 20));
    let site = TestSite::new(&origin).asset(&image);
    let server = site.start();
    assert!(server.client().compare("/assets/rootfs.img", &image.bytes));

    server.wait_for_fill("rootfs.img", "complete");
    let digest = image.sha256();
    let blob = site.cache_dir().join("blobs/sha256").join(&digest[..2]).join(&digest);
    fs::set_permissions(&blob, fs::Permissions::from_mode(0o644)).expect("the path exists");
    let file = fs::File::options().write(true).open(&blob).expect("the blob can be written");
    file.set_len(100_000).expect("the blob can be truncated");
    // The client waits for a new fill.
    assert!(server.client().compare("/assets/rootfs.img", &image.bytes));
    server.wait_for(|l| l.text("message") == "blob has wrong length" && l.text("digest") == digest);
    assert_eq!(origin.sent(&image.key), 2 * image.size());
}

#[test]
fn pin_survives_removed_cache_directory() {
    let origin = FakeOrigin::start();
    let image = origin.put("vmlinuz", random_bytes(2, 300_000));
    let site = TestSite::new(&origin).asset(&image);
    let server = site.start();
    assert_eq!(Client::new(server.admin).request("POST", "/api/v1/assets/vmlinuz/pin", &[]).status, 200);
    // By one rename, because the server may be writing there.
    fs::rename(site.cache_dir(), site.cache_dir().with_extension("gone")).expect("the path exists");
    assert!(server.client().compare("/assets/vmlinuz", &image.bytes));
    server.wait_for_fill("vmlinuz", "complete");
    assert!(server.stop().success());

    let server = site.start();
    let seen: serde_json::Value =
        serde_json::from_str(&Client::new(server.admin).get("/api/v1/assets/vmlinuz").text()).expect("JSON");
    assert_eq!(seen["pinned_by"], serde_json::json!(["operator"]));
}

#[test]
fn head_answers_before_first_byte() {
    let origin = FakeOrigin::start();
    let image = origin.put("rootfs.img", random_bytes(3, 2 << 20));
    origin.allow(&image.key, 0);
    let server = TestSite::new(&origin).asset(&image).start();

    let response = server.client().request("HEAD", "/assets/rootfs.img", &[]);
    assert_eq!(response.status, 200);
    assert_eq!(response.header("content-length"), image.size().to_string());
    assert_eq!(response.header("accept-ranges"), "bytes");
    assert!(response.header("repr-digest").starts_with("sha-256=:"), "{:?}", response.headers);
    assert!(response.header("etag").starts_with('"'), "a strong ETag: {:?}", response.headers);
    assert_eq!(origin.sent(&image.key), 0, "HEAD starts no fill");
}

#[test]
fn fill_resumes_after_sigterm() {
    let origin = FakeOrigin::start();
    let image = origin.put("rootfs.img", random_bytes(4, 8 << 20));
    origin.allow(&image.key, 4 << 20);
    let site = TestSite::new(&origin).asset(&image).set("fill.part_size", "256 KiB");
    let server = site.start();
    let opened = server.client().open("GET", "/assets/rootfs.img", &[]);
    assert_eq!(opened.status(), 200);
    // Without a client the server stops at once.
    drop(opened);
    server.wait_for_transfer(&image.key, "aborted");
    origin.wait_until_sent(&image.key, (4 << 20) - (64 << 10));
    assert!(server.stop().success());

    origin.allow(&image.key, u64::MAX);
    let server = site.start();
    assert!(server.client().compare("/assets/rootfs.img", &image.bytes));
    let fill = server.wait_for_fill(&image.key, "complete");
    assert!(fill.number("reused") > 0, "the new server reuses the bytes");
    assert_eq!(fill.number("bytes") + fill.number("reused"), image.size());
}

#[test]
fn path_outside_catalog_reaches_no_origin() {
    let origin = FakeOrigin::start();
    let image = origin.put("secret", random_bytes(5, 1000));
    let server = TestSite::new(&origin).start();
    for path in [
        "/assets/secret",
        "/assets/../secret",
        "/assets/..%2f..%2fetc%2fpasswd",
        "/assets//etc/passwd",
        "/assets/http://169.254.169.254/latest/meta-data",
        "/blobs/sha256/0000000000000000000000000000000000000000000000000000000000000000",
        &format!("/blobs/sha256/{}", image.sha256()),
        "/",
    ] {
        let response = server.client().get(path);
        assert!(matches!(response.status, 400 | 404), "{path}: status {}", response.status);
        assert!(response.header("content-type").starts_with("text/plain"), "{path}: {:?}", response.headers);
        assert!(!response.text().contains("s3://") && !response.text().contains("/tmp"), "{path}: {}", response.text());
    }
    assert!(origin.seen("secret").is_empty());
}

#[test]
fn blob_is_served_by_digest() {
    let origin = FakeOrigin::start();
    let image = origin.put("vmlinuz", random_bytes(6, 200_000));
    let server = TestSite::new(&origin).asset(&image).start();
    assert!(server.client().compare(&format!("/blobs/sha256/{}", image.sha256()), &image.bytes));
}

/// Times that have no HTTP date: a board without a battery, or one with a wrong one.
#[test]
fn impossible_clock_breaks_no_connection() {
    let bytes = random_bytes(3, 300_000);
    let digest = bootdepot::asset::Digest::of(&bytes).to_string();
    for clock in ["1960-03-01 12:00:00", "+8500y"] {
        let site = TestSite::new(&FakeOrigin::start());
        let path = site.file("vmlinuz");
        fs::write(&path, &bytes).expect("the file can be written");
        let site = site.asset_from("vmlinuz", &digest, &[&format!("file://{}", path.display())]);
        let mut command = site.command();
        command
            .env("LD_PRELOAD", "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")
            .env("FAKETIME", clock)
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        let server = TestSite::run(command);
        for client in [server.client(), Client::new(server.admin)] {
            let response = client.get("/healthz");
            assert_eq!((response.status, response.header("Date")), (200, ""), "{clock}");
        }
        assert!(server.client().compare("/assets/vmlinuz", &bytes), "{clock}");
    }
}

#[test]
fn listening_server_is_ready() {
    let server = TestSite::new(&FakeOrigin::start()).start();
    assert_eq!(server.client().get("/healthz").status, 200);
    let ready = server.client().get("/readyz");
    assert_eq!(ready.status, 200, "{}", ready.text());
}

#[test]
fn invalid_settings_report_all_errors() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("bootdepot.toml");
    std::fs::write(&file, "[cache]\ndri = \"/var/cache\"\n[tftp]\nretries = \"many\"\n").unwrap();
    let output = Command::new(crate::support::program::bootdepot()).args(["serve", "--config"]).arg(&file).run_to_end();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("dri") && text.contains("dir"), "the closest known name is suggested: {text}");
    assert!(text.contains("tftp.retries"), "the second error is reported too: {text}");
}

#[test]
fn taken_address_fails_the_start() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let site = TestSite::new(&FakeOrigin::start()).set("http.listen", vec![address.as_str()]);
    let output = site.command().run_to_end();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains(&address), "{text}");
}

#[test]
fn second_server_cannot_open_cache() {
    let site = TestSite::new(&FakeOrigin::start());
    let _first: TestServer = site.start();
    let output = site.command().run_to_end();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert_eq!(text.matches("in use by process").count(), 1, "{text}");
    assert!(!text.contains("unstored"), "the second server stops: {text}");
}
