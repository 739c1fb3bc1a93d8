//! Origins that fail, each way with its outcome, its status, and the cache clean afterwards.

use crate::support::{Fault, Object, Origin, Server, Site, noise};

const PATH: &str = "/assets/rootfs.img";

/// A site with one cold asset of four parts, and a server that is not started yet.
fn rootfs() -> (Origin, Object, Site) {
    let origin = Origin::start();
    let image = origin.put("rootfs.img", noise(50, 4 << 20));
    let site = Site::new(&origin).asset(&image);
    (origin, image, site)
}

/// The asset is served whole in spite of what happened.
fn assert_served(server: &Server, image: &Object) {
    assert!(server.client().compare(PATH, &image.bytes), "the body is whole");
    server.wait_for_fill(&image.key, "complete");
}

/// The asset is not served: a status that a client understands (or, if bytes went out already, a body cut short), the
/// outcome, nothing in the cache, and no secret in the answer.
fn assert_refused(site: &Site, server: &Server, image: &Object, status: u16, outcome: &str) {
    let answer = server.client().get(PATH);
    assert_eq!(answer.status, status, "{:?}", answer.headers);
    assert_eq!(!answer.header("retry-after").is_empty(), status == 503, "Retry-After: {:?}", answer.headers);
    let text = answer.text();
    assert!(answer.header("content-type").starts_with("text/plain"), "{:?}", answer.headers);
    assert!(!text.contains("s3://") && !text.contains("127.0.0.1"), "an answer shows nothing internal: {text}");
    server.wait_for_transfer(&image.key, outcome);
    assert!(site.blobs().is_empty(), "no matching asset is cached");
}

#[test]
fn a_connection_that_is_cut_is_taken_up_again() {
    let (origin, image, site) = rootfs();
    origin.times(2, &image.key, Fault::Cut(300_000));
    assert_served(&site.start(), &image);
}

#[test]
fn an_origin_that_cuts_every_connection_is_503() {
    let (origin, image, site) = rootfs();
    origin.always(&image.key, Fault::Cut(0));
    let server = site.start();
    assert_refused(&site, &server, &image, 503, "origin-failed");
    server.wait_for_fill(&image.key, "origin-failed");

    // And nothing of it is remembered once the origin is well.
    origin.heal();
    assert_served(&server, &image);
}

#[test]
fn an_origin_that_dies_half_way_ends_the_body_short() {
    let (origin, image, site) = rootfs();
    origin.allow(&image.key, 2 << 20);
    let site = site.set("fill.part_size", "256 KiB");
    let server = site.start();
    let mut opened = server.client().open("GET", PATH, &[]);
    assert_eq!(opened.status(), 200);
    let mut got = opened.read(1000);
    origin.always(&image.key, Fault::Cut(0));
    // Those that wait for the allowance hang, until they count as stalled.
    let answer = opened.finish();
    assert!(!answer.complete, "the body ends short");
    got.extend(answer.body);
    assert!(got == image.bytes[..got.len()], "what went out was right");
    server.wait_for_transfer(&image.key, "origin-failed");
    server.wait_for_fill(&image.key, "origin-failed");
    assert!(site.blobs().is_empty());

    // What is here already is not fetched again.
    origin.heal();
    origin.allow(&image.key, u64::MAX);
    assert!(server.client().compare(PATH, &image.bytes));
    assert!(server.wait_for_fill(&image.key, "complete").number("reused") > 0);
}

#[test]
fn a_part_that_stalls_is_asked_for_again() {
    let (origin, image, site) = rootfs();
    origin.times(1, &image.key, Fault::Stall(100_000));
    assert_served(&site.start(), &image);
}

#[test]
fn an_origin_that_stalls_for_ever_is_503() {
    let (origin, image, site) = rootfs();
    origin.always(&image.key, Fault::Stall(0));
    let server = site.start();
    assert_refused(&site, &server, &image, 503, "origin-failed");
}

#[test]
fn an_origin_that_throttles_is_asked_again() {
    let (origin, image, site) = rootfs();
    origin.times(2, &image.key, Fault::Status(503, "SlowDown"));
    assert_served(&site.start(), &image);
    assert_eq!(origin.seen(&image.key).iter().filter(|request| request.ends_with("503")).count(), 2);
}

#[test]
fn an_origin_that_goes_on_throttling_is_503() {
    let (origin, image, site) = rootfs();
    origin.always(&image.key, Fault::Status(503, "SlowDown"));
    let server = site.start();
    assert_refused(&site, &server, &image, 503, "origin-failed");
}

#[test]
fn credentials_that_the_origin_refuses_are_503_and_named_in_the_log_without_the_secret() {
    let (origin, image, site) = rootfs();
    let site = site.wrong_secret();
    let server = site.start();
    assert_refused(&site, &server, &image, 503, "origin-failed");
    let fill = server.wait_for_fill(&image.key, "origin-failed");
    assert!(fill.text("detail").contains("bootdepot"), "the access key is named: {}", fill.text("detail"));
    assert!(!fill.text("detail").contains("mistyped"), "the secret is not: {}", fill.text("detail"));
    assert!(
        origin.seen(&image.key).len() <= 4,
        "a refusal is not asked again and again: {:?}",
        origin.seen(&image.key)
    );
}

#[test]
fn a_policy_that_forbids_the_object_is_503() {
    let (origin, image, site) = rootfs();
    origin.always(&image.key, Fault::Status(403, "AccessDenied"));
    let server = site.start();
    assert_refused(&site, &server, &image, 503, "origin-failed");
}

#[test]
fn an_object_that_does_not_exist_is_404_and_asked_for_once() {
    let (origin, image, site) = rootfs();
    origin.always(&image.key, Fault::Status(404, "NoSuchKey"));
    let server = site.start();
    assert_refused(&site, &server, &image, 404, "not-found");
    let asked = origin.seen(&image.key).len();
    for _ in 0..5 {
        assert_eq!(server.client().get(PATH).status, 404);
        assert_eq!(server.client().request("HEAD", PATH, &[]).status, 404);
    }
    assert_eq!(origin.seen(&image.key).len(), asked, "remembered for the negative_ttl");
}

#[test]
fn an_object_that_does_not_exist_is_asked_for_again_after_the_negative_ttl() {
    let (origin, image, site) = rootfs();
    origin.always(&image.key, Fault::Status(404, "NoSuchKey"));
    let server = site.set("fill.negative_ttl", "0s").start();
    assert_eq!(server.client().get(PATH).status, 404);
    origin.heal();
    assert_served(&server, &image);
}

#[test]
fn an_origin_with_a_failing_moment_is_asked_again() {
    let (origin, image, site) = rootfs();
    origin.times(2, &image.key, Fault::Status(500, "InternalError"));
    assert_served(&site.start(), &image);
}

#[test]
fn an_origin_that_goes_on_failing_is_503() {
    let (origin, image, site) = rootfs();
    origin.always(&image.key, Fault::Status(500, "InternalError"));
    let server = site.start();
    assert_refused(&site, &server, &image, 503, "origin-failed");
}

#[test]
fn an_origin_that_nobody_listens_at_is_503() {
    let (_origin, image, site) = rootfs();
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let site = site.origin(&format!("http://{port}"));
    let server = site.start();
    assert_refused(&site, &server, &image, 503, "origin-failed");
}

#[test]
fn a_reply_that_is_shorter_than_it_says_is_not_used() {
    let (origin, image, site) = rootfs();
    origin.always(&image.key, Fault::Truncate(1000));
    let server = site.start();
    assert_refused(&site, &server, &image, 503, "origin-failed");
    origin.heal();
    assert_served(&server, &image);
}

#[test]
fn an_object_that_was_truncated_is_never_complete() {
    for length in [0, 1, 60_000, 500_000, (4 << 20) - 1] {
        let (origin, image, site) = rootfs();
        // The catalog still names the digest of the whole.
        origin.put(&image.key, image.bytes.slice(..length));
        let server = site.start();
        let answer = server.client().get(PATH);
        assert!(answer.status == 502 || !answer.complete, "{length} bytes were answered {}", answer.status);
        server.wait_for_transfer(&image.key, "digest-mismatch");
        server.wait_for_fill(&image.key, "digest-mismatch");
        assert!(site.blobs().is_empty(), "no matching asset is cached");
    }
}

#[test]
fn an_origin_that_ignores_ranges_is_read_as_one_stream() {
    let (origin, image, site) = rootfs();
    origin.always(&image.key, Fault::IgnoreRange);
    let server = site.start();
    assert_served(&server, &image);
    assert_eq!(origin.sent(&image.key), image.size(), "and only once");
}

#[test]
fn wrong_bytes_are_502_and_their_digest_is_in_the_log() {
    let origin = Origin::start();
    // One piece: nothing goes out before all is proven.
    let image = origin.put("rootfs.img", noise(51, 60_000));
    origin.always(&image.key, Fault::Flip(59_999));
    let site = Site::new(&origin).asset(&image);
    let server = site.start();
    assert_refused(&site, &server, &image, 502, "digest-mismatch");
    let fill = server.wait_for_fill(&image.key, "digest-mismatch");
    assert!(fill.text("detail").contains(&image.sha256()), "both digests are named: {}", fill.text("detail"));
}

#[test]
fn one_wrong_byte_of_a_long_asset_ends_its_body_short() {
    let (origin, image, site) = rootfs();
    origin.always(&image.key, Fault::Flip(3 << 20));
    let server = site.start();
    let answer = server.client().get(PATH);
    assert!(!(answer.status == 200 && answer.complete), "the body is never complete");
    server.wait_for_transfer(&image.key, "digest-mismatch");
    server.wait_for_fill(&image.key, "digest-mismatch");
    assert!(site.blobs().is_empty(), "no matching asset is cached");
}

#[test]
fn a_range_that_holds_no_wrong_byte_is_not_completed_either_while_nothing_is_proven() {
    let (origin, image, site) = rootfs();
    origin.always(&image.key, Fault::Flip(3 << 20));
    let server = site.start();
    let answer = server.client().range(PATH, "0-99999");
    assert!(!(answer.status == 206 && answer.complete), "what is not proven is not complete");
}

#[test]
fn with_release_whole_wrong_bytes_are_502_however_long_the_asset() {
    let (origin, image, site) = rootfs();
    origin.always(&image.key, Fault::Flip(3 << 20));
    let site = site.set("fill.release", "whole");
    let server = site.start();
    assert_refused(&site, &server, &image, 502, "digest-mismatch");
}

#[test]
fn the_next_source_serves_what_the_first_cannot() {
    for fault in [Fault::Flip(7), Fault::Status(404, "NoSuchKey"), Fault::Status(403, "AccessDenied"), Fault::Cut(0)] {
        let origin = Origin::start();
        let image = origin.put("rootfs.img", noise(52, 60_000));
        let mirror = origin.put("mirror/rootfs.img", image.bytes.clone());
        origin.always(&image.key, fault.clone());
        let sources = [&format!("s3://assets/{}", image.key)[..], "s3://assets/mirror/rootfs.img"];
        let server = Site::new(&origin).asset_from(&image.key, &image.sha256(), &sources).start();
        assert!(server.client().compare(PATH, &image.bytes), "{fault:?}");
        assert_eq!(origin.sent(&mirror.key), image.size(), "{fault:?}");
    }
}

#[test]
fn an_object_that_is_replaced_under_way_is_never_mixed() {
    let (origin, image, mut site) = rootfs();
    // What is there first is wrong; the right one takes its place when a part of the wrong one is here.
    let wrong = origin.put(&image.key, noise(53, 4 << 20));
    origin.allow(&image.key, 2 << 20);
    // One part after the other: the last are asked for when the object is another one.
    site = site.set("fill.connections", 1).set("fill.negative_ttl", "0s");
    let server = site.start();
    let opened = server.client().open("GET", PATH, &[]);
    origin.wait_until_sent(&image.key, (2 << 20) - (64 << 10));
    origin.put(&image.key, image.bytes.clone());
    origin.allow(&image.key, u64::MAX);
    let answer = opened.finish();
    if answer.complete && answer.status == 200 {
        assert!(answer.body == image.bytes, "a body that is complete is the asset");
    } else {
        let begin = answer.body.len();
        assert!(answer.status != 200 || answer.body == wrong.bytes[..begin] || answer.body == image.bytes[..begin]);
    }
    assert!(server.client().compare(PATH, &image.bytes), "the right object is served in the end");
    assert!(origin.seen(&image.key).iter().any(|request| request.ends_with("412")), "{:?}", origin.seen(&image.key));
    for (digest, bytes) in site.blobs() {
        assert!(digest == image.sha256() && bytes == image.bytes, "only the right one is in the cache");
    }
}

#[test]
fn parts_of_two_versions_are_not_put_together() {
    let (origin, image, site) = rootfs();
    // A source that ignores If-Match and whose object is another one for one reply.
    origin.times(1, &image.key, Fault::Etag("\"of-the-first-reply\""));
    let server = site.start();
    // Whether any of it has gone out when the versions are seen to differ, and it is cut short, is a matter of moments.
    let _ = server.client().compare(PATH, &image.bytes);
    assert!(server.client().compare(PATH, &image.bytes), "a version that holds is served");
}
