//! Collections of directories of this machine, and the record over restarts.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use bootdepot::asset::Digest;

use super::ready;
use crate::support::upstream::Upstream;
use crate::support::{FakeOrigin, TestServer, TestSite, random_bytes};

/// A site that serves `isos/` from this directory, or from another source, and trusts the first use.
fn first_use_site(origin: &FakeOrigin, source: &str) -> TestSite {
    let table =
        format!("[[collection]]\nprefix = \"isos/\"\nsource = \"{source}\"\non_missing_digest = \"trust-first-use\"");
    TestSite::new(origin).set("fill.negative_ttl", "1ms").tables(table.parse().expect("a table"))
}

fn directory() -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().expect("a directory");
    let source = format!("file://{}/", dir.path().display());
    (dir, source)
}

fn record(site: &TestSite) -> std::path::PathBuf {
    site.cache_dir().join("collections.jsonl")
}

fn write(path: &Path, seed: u64) -> Vec<u8> {
    let bytes = random_bytes(seed, 4_000);
    fs::write(path, &bytes).expect("the file can be written");
    bytes
}

/// Starts the server, and lets it serve `a.iso` of this directory for the first time. Returns the bytes too.
fn serve_first(site: &TestSite, dir: &tempfile::TempDir) -> (TestServer, Vec<u8>) {
    let bytes = write(&dir.path().join("a.iso"), 1);
    let server = site.start();
    assert!(server.client().compare("/assets/isos/a.iso", &bytes));
    server.wait_for_fill("isos/a.iso", "complete");
    (server, bytes)
}

#[test]
fn local_digests_survive_restart() {
    let (origin, (dir, source)) = (FakeOrigin::start(), directory());
    let site = first_use_site(&origin, &source);
    let (server, old) = serve_first(&site, &dir);
    server.stop();
    let new = write(&dir.path().join("a.iso"), 2);
    let server = site.start();
    assert!(server.client().compare("/assets/isos/a.iso", &old), "the known bytes are served");
    assert!(ready(&server).contains(&format!("now {}", Digest::of(&new))), "{}", ready(&server));
    // The same bytes with another date are the known ones.
    fs::write(dir.path().join("a.iso"), &old).expect("the file can be written");
    assert!(server.client().compare("/assets/isos/a.iso", &old));
    assert!(!ready(&server).contains("other bytes"), "{}", ready(&server));
}

#[test]
fn damaged_record_lets_nothing_change() {
    let (origin, (dir, source)) = (FakeOrigin::start(), directory());
    let site = first_use_site(&origin, &source);
    let (server, _) = serve_first(&site, &dir);
    server.stop();
    let new = write(&dir.path().join("a.iso"), 2);
    for (damage, reason) in [
        (&b"\xff\n"[..], "1 line damaged"),
        (b"{\"name\":\"isos/a.iso\",\"source\":\"s3://b/k\",\"from\":\"later\"}\n", "the record of isos/a.iso"),
    ] {
        let whole = fs::read(record(&site)).expect("there is a record");
        fs::write(record(&site), [&whole[..], damage].concat()).expect("the record can be written");
        let server = site.start();
        assert_ne!(server.client().get("/assets/isos/a.iso").body, new, "new bytes are not served");
        assert!(ready(&server).contains(reason), "{}", ready(&server));
        server.stop();
        fs::write(record(&site), whole).expect("the record can be written");
    }
    // As a whole.
    fs::remove_file(record(&site)).expect("there is a record");
    fs::create_dir(record(&site)).expect("a directory in its place");
    let server = site.start();
    assert_eq!(server.client().get("/assets/isos/a.iso").status, 503);
    assert!(ready(&server).contains("cannot be read as a whole"), "{}", ready(&server));
}

#[test]
fn record_deleted_while_running_is_kept() {
    let (origin, (dir, source)) = (FakeOrigin::start(), directory());
    let site = first_use_site(&origin, &source);
    let (server, old) = serve_first(&site, &dir);
    fs::remove_file(record(&site)).expect("there is a record");
    server.stop();
    write(&dir.path().join("a.iso"), 2);
    assert!(site.start().client().compare("/assets/isos/a.iso", &old));
}

#[test]
fn what_is_no_file_is_missing() {
    let (origin, (dir, source)) = (FakeOrigin::start(), directory());
    let outside = tempfile::tempdir().expect("a directory");
    write(&outside.path().join("secret"), 1);
    symlink(outside.path().join("secret"), dir.path().join("link")).expect("a link");
    fs::create_dir(dir.path().join("sub")).expect("a directory");
    let server = first_use_site(&origin, &source).start();
    for name in ["link", "sub", "none"] {
        assert_eq!(server.client().get(&format!("/assets/isos/{name}")).status, 404, "{name}");
    }
}

#[test]
fn page_of_web_server_is_no_asset() {
    let (origin, upstream) = (FakeOrigin::start(), Upstream::start());
    upstream.put("files/login", "<!DOCTYPE html><html><head><title>Login</title></head></html>");
    upstream.put("files/a.bin", random_bytes(1, 1_000));
    let server = first_use_site(&origin, &upstream.url("files/")).start();
    assert_eq!(server.client().get("/assets/isos/login").status, 404);
    let line = server.wait_for_transfer("isos/login", "not-found");
    assert!(line.text("detail").contains("an HTML page with the title \"Login\""), "{}", line.text("detail"));
    assert_eq!(server.client().get("/assets/isos/a.bin").status, 200);
}

#[test]
fn two_collections_may_share_source() {
    let (origin, (dir, source)) = (FakeOrigin::start(), directory());
    let bytes = write(&dir.path().join("x.iso"), 1);
    let table = |prefix: &str, trust: &str| {
        format!("[[collection]]\nprefix = \"{prefix}\"\nsource = \"{source}\"\non_missing_digest = \"{trust}\"\n")
    };
    let tables = table("strict/", "refuse") + &table("a/", "trust-first-use") + &table("b/", "trust-first-use");
    let server = TestSite::new(&origin).tables(tables.parse().expect("tables")).start();
    assert_eq!(server.client().get("/assets/strict/x.iso").status, 404);
    for path in ["/assets/a/x.iso", "/assets/b/x.iso"] {
        assert!(server.client().compare(path, &bytes), "{path}");
    }
}

#[test]
fn excluded_name_belongs_to_no_other_collection() {
    let (origin, (dir, source)) = (FakeOrigin::start(), directory());
    fs::create_dir(dir.path().join("sub")).expect("a directory");
    write(&dir.path().join("sub/n.txt"), 1);
    write(&dir.path().join("n.txt"), 2);
    let inner = format!("[[collection]]\nprefix = \"isos/sub/\"\nsource = \"{source}sub/\"\ninclude = [\"*.iso\"]");
    let outer =
        format!("[[collection]]\nprefix = \"isos/\"\nsource = \"{source}\"\non_missing_digest = \"trust-first-use\"");
    let tables = format!("{outer}\n{inner}").parse().expect("tables");
    let server = TestSite::new(&origin).tables(tables).start();
    assert_eq!(server.client().get("/assets/isos/n.txt").status, 200);
    assert_eq!(server.client().get("/assets/isos/sub/n.txt").status, 404);
}
