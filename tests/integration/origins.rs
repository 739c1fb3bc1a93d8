//! Failing origins: the outcome and status of each failure, and a clean cache afterwards.

use crate::support::{FakeOrigin, Fault, Object, TestServer, TestSite, random_bytes};

const PATH: &str = "/assets/rootfs.img";

/// Returns a site with one uncached asset of four parts.
fn rootfs() -> (FakeOrigin, Object, TestSite) {
    let origin = FakeOrigin::start();
    let image = origin.put("rootfs.img", random_bytes(50, 4 << 20));
    let site = TestSite::new(&origin).asset(&image).brief_stalls();
    (origin, image, site)
}

/// Asserts that the asset is served completely in spite of the fault.
fn assert_served(server: &TestServer, image: &Object) {
    assert!(server.client().compare(PATH, &image.bytes), "the body is complete");
    server.wait_for_fill(&image.key, "complete");
}

/// Asserts that the asset is refused: with this status and outcome, nothing in the cache, and nothing internal in the response.
fn assert_refused(site: &TestSite, server: &TestServer, image: &Object, status: u16, outcome: &str) {
    let answer = server.client().get(PATH);
    assert_eq!(answer.status, status, "{:?}", answer.headers);
    assert_eq!(!answer.header("retry-after").is_empty(), status == 503, "Retry-After: {:?}", answer.headers);
    let text = answer.text();
    assert!(answer.header("content-type").starts_with("text/plain"), "{:?}", answer.headers);
    assert!(!text.contains("s3://") && !text.contains("127.0.0.1"), "the response has nothing internal: {text}");
    server.wait_for_transfer(&image.key, outcome);
    assert!(site.blobs().is_empty(), "nothing is in the cache");
}

#[test]
fn cut_connection_is_retried() {
    let (origin, image, site) = rootfs();
    origin.times(2, &image.key, Fault::Cut(300_000));
    assert_served(&site.start(), &image);
}

#[test]
fn endless_cuts_are_503() {
    let (origin, image, site) = rootfs();
    origin.always(&image.key, Fault::Cut(0));
    let server = site.start();
    assert_refused(&site, &server, &image, 503, "origin-failed");
    server.wait_for_fill(&image.key, "origin-failed");

    // The failures have no effect once the origin works again.
    origin.heal();
    assert_served(&server, &image);
}

#[test]
fn origin_failure_midway_truncates_body() {
    let (origin, image, site) = rootfs();
    origin.allow(&image.key, 2 << 20);
    let site = site.set("fill.part_size", "256 KiB");
    let server = site.start();
    let mut opened = server.client().open("GET", PATH, &[]);
    assert_eq!(opened.status(), 200);
    let mut received = opened.read(1000);
    origin.always(&image.key, Fault::Cut(0));
    // Replies that wait for the allowance stall until the timeout.
    let answer = opened.finish();
    assert!(!answer.complete, "the body is truncated");
    received.extend(answer.body);
    assert!(received == image.bytes[..received.len()], "the bytes sent were correct");
    server.wait_for_transfer(&image.key, "origin-failed");
    server.wait_for_fill(&image.key, "origin-failed");
    assert!(site.blobs().is_empty());

    // Verified parts are not fetched again.
    origin.heal();
    origin.allow(&image.key, u64::MAX);
    assert!(server.client().compare(PATH, &image.bytes));
    assert!(server.wait_for_fill(&image.key, "complete").number("reused") > 0);
}

#[test]
fn stalled_part_is_retried() {
    let (origin, image, site) = rootfs();
    origin.times(1, &image.key, Fault::Stall(100_000));
    assert_served(&site.start(), &image);
}

#[test]
fn endless_stall_is_503() {
    let (origin, image, site) = rootfs();
    origin.always(&image.key, Fault::Stall(0));
    let server = site.start();
    assert_refused(&site, &server, &image, 503, "origin-failed");
}

#[test]
fn throttled_request_is_retried() {
    let (origin, image, site) = rootfs();
    origin.times(2, &image.key, Fault::Status(503, "SlowDown"));
    assert_served(&site.start(), &image);
    assert_eq!(origin.seen(&image.key).iter().filter(|request| request.ends_with("503")).count(), 2);
}

#[test]
fn endless_throttling_is_503() {
    let (origin, image, site) = rootfs();
    origin.always(&image.key, Fault::Status(503, "SlowDown"));
    let server = site.start();
    assert_refused(&site, &server, &image, 503, "origin-failed");
}

#[test]
fn refused_credentials_are_503_without_secret() {
    let (origin, image, site) = rootfs();
    let site = site.wrong_secret();
    let server = site.start();
    assert_refused(&site, &server, &image, 503, "origin-failed");
    let fill = server.wait_for_fill(&image.key, "origin-failed");
    assert!(fill.text("detail").contains("bootdepot"), "the access key is named: {}", fill.text("detail"));
    assert!(!fill.text("detail").contains("mistyped"), "the secret is not: {}", fill.text("detail"));
    assert!(
        origin.seen(&image.key).len() <= 4,
        "a refused request is not repeated often: {:?}",
        origin.seen(&image.key)
    );
}

#[test]
fn forbidden_object_is_503() {
    let (origin, image, site) = rootfs();
    origin.always(&image.key, Fault::Status(403, "AccessDenied"));
    let server = site.start();
    assert_refused(&site, &server, &image, 503, "origin-failed");
}

#[test]
fn missing_object_is_404_and_remembered() {
    let (origin, image, site) = rootfs();
    origin.always(&image.key, Fault::Status(404, "NoSuchKey"));
    let server = site.start();
    assert_refused(&site, &server, &image, 404, "not-found");
    let requests = origin.seen(&image.key).len();
    for _ in 0..5 {
        assert_eq!(server.client().get(PATH).status, 404);
        assert_eq!(server.client().request("HEAD", PATH, &[]).status, 404);
    }
    assert_eq!(origin.seen(&image.key).len(), requests, "the miss is remembered for the negative_ttl");
}

#[test]
fn missing_object_is_retried_after_ttl() {
    let (origin, image, site) = rootfs();
    origin.always(&image.key, Fault::Status(404, "NoSuchKey"));
    let server = site.set("fill.negative_ttl", "0s").start();
    assert_eq!(server.client().get(PATH).status, 404);
    origin.heal();
    assert_served(&server, &image);
}

#[test]
fn errors_that_pass_are_retried() {
    for (status, code) in
        [(500, "InternalError"), (400, "RequestTimeout"), (409, "OperationAborted"), (503, "SlowDownRead")]
    {
        let (origin, image, site) = rootfs();
        origin.times(2, &image.key, Fault::Status(status, code));
        assert_served(&site.start(), &image);
    }
}

#[test]
fn errors_that_stay_are_not_retried() {
    for (status, code, words) in [
        (501, "NotImplemented", "NotImplemented"),
        (403, "InvalidObjectState", "is archived"),
        (400, "AuthorizationHeaderMalformed", "AuthorizationHeaderMalformed"),
    ] {
        let (origin, image, site) = rootfs();
        origin.always(&image.key, Fault::Status(status, code));
        let server = site.start();
        assert_refused(&site, &server, &image, 503, "origin-failed");
        let fill = server.wait_for_fill(&image.key, "origin-failed");
        assert!(fill.text("detail").contains(words), "{}", fill.text("detail"));
        assert!(origin.seen(&image.key).len() <= 4, "{code}: {:?}", origin.seen(&image.key));
    }
}

#[test]
fn fresh_refusal_is_waited_for() {
    let origin = FakeOrigin::start();
    let first = origin.put("first.img", random_bytes(54, 60_000));
    let image = origin.put("rootfs.img", random_bytes(55, 60_000));
    let server = TestSite::new(&origin).asset(&first).asset(&image).start();
    assert!(server.client().compare("/assets/first.img", &first.bytes), "the origin works");
    // The policy for the second object has not reached all servers of the store.
    origin.times(2, &image.key, Fault::Status(403, "AccessDenied"));
    assert_served(&server, &image);
}

#[test]
fn endless_origin_errors_are_503() {
    let (origin, image, site) = rootfs();
    origin.always(&image.key, Fault::Status(500, "InternalError"));
    let server = site.start();
    assert_refused(&site, &server, &image, 503, "origin-failed");
}

#[test]
fn unreachable_origin_is_503() {
    let (_origin, image, site) = rootfs();
    // A port that was free just now.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let site = site.origin(&format!("http://{port}"));
    let server = site.start();
    assert_refused(&site, &server, &image, 503, "origin-failed");
}

#[test]
fn short_reply_is_continued() {
    let (origin, image, site) = rootfs();
    // The first reply breaks off before its end. The received bytes are kept, and the rest is requested again.
    origin.times(1, &image.key, Fault::Truncate(1000));
    let server = site.start();
    assert_served(&server, &image);
    assert!(origin.sent(&image.key) < image.size() + (1 << 20), "only the rest is requested again");
}

#[test]
fn reply_without_end_is_never_complete() {
    let (origin, image, site) = rootfs();
    // No reply has the last 1000 bytes.
    origin.always(&image.key, Fault::Truncate(1000));
    let server = site.set("fill.negative_ttl", "0s").start();
    let answer = server.client().get(PATH);
    assert!(matches!(answer.status, 502 | 503) || !answer.complete, "status {}", answer.status);
    server.wait_for_fill(&image.key, "digest-mismatch");
    origin.heal();
    assert_served(&server, &image);
}

#[test]
fn truncated_object_is_never_complete() {
    for length in [0, 1, 60_000, 500_000, (4 << 20) - 1] {
        let (origin, image, site) = rootfs();
        // The catalog still has the digest of the whole object.
        origin.put(&image.key, image.bytes.slice(..length));
        let server = site.start();
        let answer = server.client().get(PATH);
        assert!(answer.status == 502 || !answer.complete, "{length} bytes: status {}", answer.status);
        server.wait_for_transfer(&image.key, "digest-mismatch");
        server.wait_for_fill(&image.key, "digest-mismatch");
        assert!(site.blobs().is_empty(), "nothing is in the cache");
    }
}

#[test]
fn origin_ignoring_ranges_streams_once() {
    let (origin, image, site) = rootfs();
    origin.always(&image.key, Fault::IgnoreRange);
    let server = site.start();
    assert_served(&server, &image);
    assert_eq!(origin.sent(&image.key), image.size(), "the origin sent each byte once");
}

#[test]
fn wrong_bytes_are_502_and_logged() {
    let origin = FakeOrigin::start();
    // One piece: no byte is sent before all are verified.
    let image = origin.put("rootfs.img", random_bytes(51, 60_000));
    origin.always(&image.key, Fault::Flip(59_999));
    let site = TestSite::new(&origin).asset(&image);
    let server = site.start();
    assert_refused(&site, &server, &image, 502, "digest-mismatch");
    let fill = server.wait_for_fill(&image.key, "digest-mismatch");
    assert!(fill.text("detail").contains(&image.sha256()), "both digests are named: {}", fill.text("detail"));
}

#[test]
fn late_wrong_byte_truncates_body() {
    let (origin, image, site) = rootfs();
    origin.always(&image.key, Fault::Flip(3 << 20));
    let server = site.start();
    let answer = server.client().get(PATH);
    let result = (answer.status, answer.complete);
    assert!(matches!(result, (200, false) | (502, _)), "a truncated body or an error: {result:?}");
    server.wait_for_transfer(&image.key, "digest-mismatch");
    server.wait_for_fill(&image.key, "digest-mismatch");
    assert!(site.blobs().is_empty(), "nothing is in the cache");
}

#[test]
fn unverified_range_is_never_complete() {
    let (origin, image, site) = rootfs();
    origin.always(&image.key, Fault::Flip(3 << 20));
    let server = site.start();
    let answer = server.client().range(PATH, "0-99999");
    let result = (answer.status, answer.complete);
    assert!(matches!(result, (206, false) | (502, _)), "a truncated range or an error: {result:?}");
}

#[test]
fn release_whole_wrong_bytes_are_502() {
    let (origin, image, site) = rootfs();
    origin.always(&image.key, Fault::Flip(3 << 20));
    let site = site.set("fill.release", "whole");
    let server = site.start();
    assert_refused(&site, &server, &image, 502, "digest-mismatch");
}

#[test]
fn failed_source_falls_back_to_next() {
    for fault in [Fault::Flip(7), Fault::Status(404, "NoSuchKey"), Fault::Status(403, "AccessDenied"), Fault::Cut(0)] {
        let origin = FakeOrigin::start();
        let image = origin.put("rootfs.img", random_bytes(52, 60_000));
        let mirror = origin.put("mirror/rootfs.img", image.bytes.clone());
        origin.always(&image.key, fault.clone());
        let sources = [&format!("s3://assets/{}", image.key)[..], "s3://assets/mirror/rootfs.img"];
        let server = TestSite::new(&origin).asset_from(&image.key, &image.sha256(), &sources).start();
        assert!(server.client().compare(PATH, &image.bytes), "{fault:?}");
        assert_eq!(origin.sent(&mirror.key), image.size(), "{fault:?}");
    }
}

#[test]
fn replaced_object_is_never_complete() {
    let (origin, image, mut site) = rootfs();
    // The first object is wrong. The right one replaces it when a part of the wrong one was fetched.
    origin.put(&image.key, random_bytes(53, 4 << 20));
    origin.allow(&image.key, 2 << 20);
    // One part after the other, so that the last parts are requested after the replacement.
    site = site.set("fill.connections", 1).set("fill.negative_ttl", "0s");
    let server = site.start();
    let opened = server.client().open("GET", PATH, &[]);
    origin.wait_until_sent(&image.key, (2 << 20) - (64 << 10));
    origin.put(&image.key, image.bytes.clone());
    origin.allow(&image.key, u64::MAX);
    let answer = opened.finish();
    // How far the response got before the digest showed the mixture depends on timing. It must not be complete.
    match (answer.status, answer.complete) {
        (200, true) => assert!(answer.body == image.bytes, "a complete body is the asset"),
        (200, false) => assert!(answer.body.len() < image.bytes.len(), "the response is cut off"),
        (status, _) => assert!(matches!(status, 502 | 503), "status {status}"),
    }
    assert!(server.client().compare(PATH, &image.bytes), "the right object is served afterwards");
    assert!(origin.seen(&image.key).iter().any(|request| request.ends_with("412")), "{:?}", origin.seen(&image.key));
    for (digest, bytes) in site.blobs() {
        assert!(digest == image.sha256() && bytes == image.bytes, "only the right object is in the cache");
    }
}

#[test]
fn parts_of_two_versions_never_mix() {
    let (origin, image, site) = rootfs();
    // The source ignores If-Match, and one reply is of another version.
    origin.times(1, &image.key, Fault::Etag("\"of-the-first-reply\""));
    let server = site.start();
    // Whether this response is truncated depends on timing. A wrong byte fails the test in any case.
    let _ = server.client().compare(PATH, &image.bytes);
    assert!(server.client().compare(PATH, &image.bytes), "a stable version is served");
}
