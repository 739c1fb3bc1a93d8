//! Checks and fills against an S3 server that shares no code with ours: what it stores, refuses and advertises.

use serde_json::Value;

use crate::support::moto::{BUCKET, Moto};
use crate::support::{CommandExt, FakeOrigin, TestSite, random_bytes};

/// A part of a multipart upload must have 5 MiB, unless it is the last.
const PART: usize = 5 << 20;

fn sha256(bytes: &[u8]) -> String {
    bootdepot::asset::Digest::of(bytes).to_string()
}

/// Returns a site with moto as its origin, without assets.
fn site(moto: &Moto) -> TestSite {
    TestSite::new(&FakeOrigin::start()).origin(&moto.endpoint())
}

/// Runs a check and returns its exit status and report.
fn check(site: &TestSite, args: &[&str]) -> (Option<i32>, Value) {
    let output = site.command_line(&[&["check", "--json"], args].concat()).run_to_end();
    let report = serde_json::from_slice(&output.stdout);
    let report = report.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code(), report)
}

/// Returns the row of this name.
fn row<'r>(report: &'r Value, check: &str) -> &'r Value {
    let rows = report["checks"].as_array().expect("a list of checks");
    rows.iter().find(|row| row["check"] == check).unwrap_or_else(|| panic!("no {check} in {report:#}"))
}

/// Returns the finding about this object.
fn object<'r>(report: &'r Value, name: &str) -> &'r Value {
    let findings = row(report, "objects")["findings"].as_array().expect("a list of findings");
    findings.iter().find(|finding| finding["what"] == name).unwrap_or_else(|| panic!("no {name} in {report:#}"))
}

fn source(key: &str) -> String {
    format!("s3://{BUCKET}/{key}")
}

#[test]
fn single_object_checksum_is_compared() {
    let Some(moto) = Moto::start() else { return };
    let bytes = random_bytes(1, 100_000);
    moto.put("one", &bytes, &[]);
    let good = site(&moto).asset_from("one", &sha256(&bytes), &[&source("one")]);
    let (status, report) = check(&good, &[]);
    assert_eq!((status, &object(&report, "one")["result"]), (Some(0), &"ok".into()), "{report:#}");
    let bad = site(&moto).asset_from("one", &sha256(b"other"), &[&source("one")]);
    let (status, report) = check(&bad, &[]);
    assert_eq!((status, &object(&report, "one")["trouble"]), (Some(1), &"wrong checksum".into()), "{report:#}");
}

#[test]
fn composite_checksum_is_no_digest() {
    let Some(moto) = Moto::start() else { return };
    let bytes = random_bytes(2, PART + 100_000);
    moto.put_parts("multi", &[&bytes[..PART], &bytes[PART..]]);
    let site = site(&moto).asset_from("multi", &sha256(&bytes), &[&source("multi")]);
    let (status, report) = check(&site, &[]);
    assert_eq!((status, &object(&report, "multi")["result"]), (Some(0), &"unverified".into()), "{report:#}");
    let (status, report) = check(&site, &["--deep"]);
    assert_eq!((status, &object(&report, "multi")["result"]), (Some(0), &"ok".into()), "{report:#}");

    let server = site.start();
    assert!(server.client().compare("/assets/multi", &bytes), "a fill does not mind the checksum");
    server.wait_for_fill("multi", "complete");
}

#[test]
fn deep_check_finds_wrong_parts() {
    let Some(moto) = Moto::start() else { return };
    let bytes = random_bytes(3, PART + 1000);
    moto.put_parts("multi", &[&bytes[..PART], &bytes[PART..]]);
    let site = site(&moto).asset_from("multi", &sha256(b"other"), &[&source("multi")]);
    let (status, report) = check(&site, &[]);
    assert_eq!((status, &object(&report, "multi")["result"]), (Some(0), &"unverified".into()), "{report:#}");
    let (status, report) = check(&site, &["--deep"]);
    let found = object(&report, "multi");
    assert_eq!((status, &found["trouble"]), (Some(1), &"wrong bytes".into()), "{report:#}");
    assert!(found["found"].as_str().is_some_and(|text| text.contains(&sha256(&bytes))), "{found:#}");
    assert!(!site.cache_dir().join("blobs").exists() || site.blobs().is_empty(), "a check caches nothing");
}

#[test]
fn archived_object_fails_until_restored() {
    let Some(moto) = Moto::start() else { return };
    let bytes = random_bytes(4, 10_000);
    moto.put("cold", &bytes, &[("x-amz-storage-class", "DEEP_ARCHIVE")]);
    let site = site(&moto).asset_from("cold", &sha256(&bytes), &[&source("cold")]);
    let (status, report) = check(&site, &[]);
    let found = object(&report, "cold");
    assert_eq!((status, &found["trouble"]), (Some(1), &"archived".into()), "{report:#}");
    assert!(found["found"].as_str().is_some_and(|text| text.contains("DEEP_ARCHIVE")), "{found:#}");

    moto.send("POST", &format!("/{BUCKET}/cold?restore"), &[], b"<RestoreRequest><Days>1</Days></RestoreRequest>");
    let (status, report) = check(&site, &[]);
    let found = object(&report, "cold");
    assert_eq!((status, &found["result"]), (Some(0), &"ok".into()), "{report:#}");
    assert_eq!(found["trouble"], "archived", "the copy expires: {found:#}");
    let server = site.start();
    assert!(server.client().compare("/assets/cold", &bytes));
}

#[test]
fn version_is_read_and_delete_marker_is_not() {
    let Some(moto) = Moto::start() else { return };
    let bytes = random_bytes(5, 10_000);
    let enabled = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    moto.send("PUT", &format!("/{BUCKET}?versioning"), &[], enabled.as_bytes());
    let version =
        |reply: &crate::support::moto::MotoReply| reply.field("x-amz-version-id").expect("a version").to_owned();
    let first = version(&moto.put("kernel", &bytes, &[]));
    let marker = version(&moto.send("DELETE", &format!("/{BUCKET}/kernel"), &[], b""));
    let of = |version: &str| format!("{}?versionId={version}", source("kernel"));
    let digest = sha256(&bytes);
    let site = site(&moto)
        .asset_from("first", &digest, &[&of(&first)])
        .asset_from("latest", &digest, &[&source("kernel")])
        .asset_from("marker", &digest, &[&of(&marker)]);
    let (status, report) = check(&site, &[]);
    assert_eq!(status, Some(1), "{report:#}");
    let results = ["first", "latest", "marker"].map(|name| object(&report, name)["result"].clone());
    assert_eq!(results, ["ok", "failed", "failed"], "{report:#}");
    let server = site.start();
    assert!(server.client().compare("/assets/first", &bytes));
}

#[test]
fn missing_bucket_is_named() {
    let Some(moto) = Moto::start() else { return };
    let origins = toml::toml! {
        [[origin]]
        match = "s3://asets/"
        endpoint = (moto.endpoint())
        credentials = { from = "env" }
    };
    let site = site(&moto).tables(origins).asset_from("one", &sha256(b"x"), &["s3://asets/one"]);
    let (status, report) = check(&site, &[]);
    assert_eq!((status, &object(&report, "one")["trouble"]), (Some(1), &"no such bucket".into()), "{report:#}");
}

#[test]
fn signatures_are_those_of_an_independent_store() {
    let Some(moto) = Moto::start() else { return };
    let bytes = random_bytes(6, 300_000);
    // A name whose path must be encoded as the signature's definition says.
    let key = "okd/4.19/root fs+(1)=ü.img";
    let encoded = percent_encoding::utf8_percent_encode(key, percent_encoding::NON_ALPHANUMERIC).to_string();
    moto.put(&encoded.replace("%2F", "/"), &bytes, &[]);
    let (id, secret) = moto.require_signatures();
    let signed = |id: &str, secret: &str, region: &str| {
        let mut keys = toml::toml! { from = "static" };
        keys.insert("access_key_id".to_owned(), id.into());
        keys.insert("secret_access_key".to_owned(), secret.into());
        let site = TestSite::new(&FakeOrigin::start()).origin_with(&moto.endpoint(), keys).set_origin("region", region);
        site.asset_from("rootfs", &sha256(&bytes), &[&source(key)])
    };
    // Moto takes the region from the signature, whichever it is.
    for region in ["us-east-1", "eu-west-1"] {
        let good = signed(&id, &secret, region);
        let (status, report) = check(&good, &[]);
        assert_eq!((status, &object(&report, "rootfs")["result"]), (Some(0), &"ok".into()), "{region}: {report:#}");
        let server = good.start();
        assert!(server.client().compare("/assets/rootfs", &bytes), "{region}");
    }
    for (id, secret, code) in [
        (id.as_str(), "wrong", "SignatureDoesNotMatch"),
        ("AKIAUNKNOWN000000000", secret.as_str(), "InvalidAccessKeyId"),
    ] {
        let (status, report) = check(&signed(id, secret, "us-east-1"), &[]);
        let origin = row(&report, "origin");
        assert_eq!((status, &origin["result"]), (Some(1), &"failed".into()), "{report:#}");
        assert!(origin.to_string().contains(code), "{origin:#}");
        assert_eq!(object(&report, "rootfs")["result"], "unverified", "it was not asked: {report:#}");
    }
}
