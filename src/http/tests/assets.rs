//! What is answered: fields, ranges, conditionals, errors.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

const HEX: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
const DATE: &str = "Tue, 14 Nov 2023 22:13:20 GMT";

/// The facts of the asset `abc`, which every answer about it carries.
fn assert_facts(reply: &Reply, length: &str) {
    assert_eq!(reply.field("Content-Length"), Some(length), "{}", reply.head);
    assert_eq!(reply.field("Accept-Ranges"), Some("bytes"));
    assert_eq!(reply.field("Etag"), Some(format!("\"sha256-{HEX}\"").as_str()));
    assert_eq!(reply.field("Last-Modified"), Some(DATE));
    assert_eq!(reply.field("Content-Type"), Some("application/octet-stream"));
    assert_eq!(reply.field("Repr-Digest"), Some("sha-256=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:"));
    assert!(reply.field("Date").is_some());
    assert_eq!(reply.field("Transfer-Encoding"), None);
}

#[tokio::test]
async fn an_asset_is_served_with_all_that_is_known_of_it() {
    let site = Plan::new().file("dir/abc", b"abc").start().await;
    for path in ["/assets/dir/abc", "//assets//dir///abc", "/assets/dir%2Fabc", "/assets/dir/abc?query"] {
        let reply = site.get(path, &[]).await;
        assert!(reply.head.starts_with("HTTP/1.1 200 OK\r\n"), "{path}: {}", reply.head);
        assert_facts(&reply, "3");
        assert_eq!(reply.text(), "abc");
    }
    let reply = site.get(&format!("/blobs/sha256/{HEX}"), &[]).await;
    assert_facts(&reply, "3");
    assert_eq!(reply.text(), "abc");
    site.logged(&["asset=dir/abc", "outcome=\"complete\"", "bytes=3", "cache=\"hit\""]).await;
}

#[tokio::test]
async fn head_tells_the_same_and_begins_no_fill() {
    let site = Plan::new().file("abc", b"abc").start().await;
    let reply = site.ask("HEAD", "/assets/abc", &["Range: bytes=0-0"]).await;
    assert_eq!(reply.status(), 200);
    assert_facts(&reply, "3");
    site.logged(&["asset=abc", "outcome=\"probe\"", "cache=\"none\""]).await;
    let reply = site.get("/assets/abc", &[]).await;
    assert_eq!(reply.text(), "abc");
    site.logged(&["asset=abc", "outcome=\"complete\"", "cache=\"miss\""]).await;
}

#[tokio::test]
async fn a_large_asset_arrives_cold_and_warm() {
    let bytes = noise(20 << 20);
    let site = Plan::new().file("image", &bytes).start().await;
    for _ in 0..2 {
        let reply = site.get("/assets/image", &[]).await;
        assert!(reply.body == bytes, "the bytes are others");
    }
    site.logged(&["bytes=20971520", "cache=\"miss\""]).await;
    site.logged(&["bytes=20971520", "cache=\"hit\""]).await;
}

/// The kernel finds out, as it sends from the pages: no client's doing, though its socket is where that is told.
#[tokio::test]
async fn a_blob_that_loses_bytes_while_they_are_sent_is_no_client_that_left() {
    let bytes = noise(20 << 20);
    let site = Plan::new().file("image", &bytes).start().await;
    site.get("/assets/image", &[]).await;
    let mut wire = site.connect().await;
    wire.request("GET", "/assets/image", &[]).await;
    wire.head().await;
    let hex = Digest::of(&bytes).to_string();
    let blob = site.dir.path().join("cache/blobs/sha256").join(&hex[..2]).join(&hex);
    std::fs::set_permissions(&blob, std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::File::options().write(true).open(&blob).unwrap().set_len(0).unwrap();
    assert!(wire.rest().await.len() < bytes.len());
    site.logged(&["asset=image", "outcome=\"origin-failed\"", "the cache cannot be read: a page of a blob was lost"])
        .await;
}

#[tokio::test]
async fn a_range_is_a_part() {
    let bytes = noise(300_000);
    let site = Plan::new().file("image", &bytes).start().await;
    for (asked, start, end) in [
        ("bytes=0-511", 0, 512),
        ("bytes=2048-4095", 2048, 4096),
        ("bytes=299999-", 299_999, 300_000),
        ("bytes=-100000", 200_000, 300_000),
        ("bytes=100000-999999999999999999999", 100_000, 300_000),
    ] {
        let reply = site.get("/assets/image", &[&format!("Range: {asked}")]).await;
        assert_eq!(reply.status(), 206, "{asked}");
        assert_eq!(reply.field("Content-Range"), Some(format!("bytes {start}-{}/300000", end - 1).as_str()));
        assert_eq!(reply.field("Content-Length"), Some((end - start).to_string().as_str()));
        let whole = format!("sha-256=:{}:", Digest::of(&bytes).to_base64());
        assert_eq!(reply.field("Repr-Digest"), Some(whole.as_str()));
        assert!(reply.body == bytes[start..end], "{asked}");
    }
}

#[tokio::test]
async fn several_ranges_are_a_multipart_body() {
    let bytes = noise(300_000);
    let site = Plan::new().file("image", &bytes).start().await;
    let reply = site.get("/assets/image", &["Range: bytes=200000-299999,0-9,-1,5-19"]).await;
    assert_eq!(reply.status(), 206);
    assert_eq!(reply.field("Content-Range"), None);
    let content_type = reply.field("Content-Type").unwrap();
    let boundary = content_type.strip_prefix("multipart/byteranges; boundary=").unwrap();
    // The last byte is part of the first range, and the second and the last share bytes.
    let mut expected = Vec::new();
    for (start, end) in [(200_000, 300_000), (0, 20)] {
        let last = end - 1;
        expected.extend_from_slice(
            format!("\r\n--{boundary}\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes {start}-{last}/300000\r\n\r\n")
                .as_bytes(),
        );
        expected.extend_from_slice(&bytes[start..end]);
    }
    expected.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    assert!(reply.body == expected, "the parts are not what they should be");
    site.logged(&["outcome=\"complete\"", &format!("bytes={}", expected.len())]).await;
}

#[tokio::test]
async fn a_range_that_cannot_be_is_told_from_one_that_makes_no_sense() {
    let site = Plan::new().file("abc", b"abc").file("empty", b"").start().await;
    let reply = site.get("/assets/abc", &["Range: bytes=3-"]).await;
    assert_eq!(reply.status(), 416);
    assert_eq!(reply.field("Content-Range"), Some("bytes */3"));
    assert_eq!(reply.text(), "the range is outside the asset, which has 3 bytes\n");
    site.logged(&["asset=abc", "outcome=\"refused\"", "the range is outside", reply.field("X-Request-Id").unwrap()])
        .await;
    for range in ["Range: bytes=u-u", "Range: bytes=2-1", "Range: lines=1-2", "Range: bytes=0-0\r\nRange: bytes=1-1"] {
        let reply = site.get("/assets/abc", &[range]).await;
        assert_eq!((reply.status(), reply.text()), (200, "abc"), "{range}");
    }
    assert_eq!(site.get("/assets/empty", &["Range: bytes=0-"]).await.status(), 416);
    let reply = site.get("/assets/empty", &["Range: bytes=-1"]).await;
    assert_eq!((reply.status(), reply.field("Content-Length")), (200, Some("0")));
}

#[tokio::test]
async fn conditions_are_heeded_without_a_question_to_the_origin() {
    // The origin has nothing: what is answered is known from the catalog.
    let site = Plan::new().source("abc", "file:///nowhere", HEX.parse().unwrap()).start().await;
    let etag = format!("\"sha256-{HEX}\"");
    for method in ["GET", "HEAD"] {
        for field in [format!("If-None-Match: {etag}"), format!("If-Modified-Since: {DATE}")] {
            let reply = site.ask(method, "/assets/abc", &[&field]).await;
            assert_eq!(reply.status(), 304, "{field}");
            assert_eq!(reply.field("Etag"), Some(etag.as_str()));
            for absent in ["Content-Length", "Content-Type", "Repr-Digest"] {
                assert_eq!(reply.field(absent), None);
            }
        }
        let reply = site.ask(method, "/assets/abc", &["If-Match: \"other\""]).await;
        assert_eq!(reply.status(), 412);
    }
    site.logged(&["outcome=\"complete\"", "not modified", "bytes=0"]).await;
    assert_eq!(site.get("/assets/abc", &["If-None-Match: \"other\""]).await.status(), 404);
}

#[tokio::test]
async fn a_resumed_download_gets_its_rest_only_of_the_same_bytes() {
    let site = Plan::new().file("abc", b"abc").start().await;
    let ask = async |condition: &str| site.get("/assets/abc", &["Range: bytes=1-", condition]).await;
    for same in [format!("If-Range: \"sha256-{HEX}\""), format!("If-Range: {DATE}")] {
        let reply = ask(&same).await;
        assert_eq!((reply.status(), reply.text()), (206, "bc"), "{same}");
    }
    for other in ["If-Range: \"other\"", "If-Range: Tue, 14 Nov 2023 22:13:21 GMT"] {
        let reply = ask(other).await;
        assert_eq!((reply.status(), reply.text()), (200, "abc"), "{other}");
    }
}

#[tokio::test]
async fn an_empty_asset_is_an_asset() {
    let site = Plan::new().file("empty", b"").start().await;
    let reply = site.get("/assets/empty", &[]).await;
    assert_eq!((reply.status(), reply.field("Content-Length")), (200, Some("0")));
    site.logged(&["asset=empty", "outcome=\"complete\"", "bytes=0"]).await;
}

#[tokio::test]
async fn what_is_not_there_is_said_so() {
    let site = Plan::new().source("gone", "file:///nowhere", HEX.parse().unwrap()).start().await;
    let unnamed = format!("/blobs/sha256/{}", HEX.replace('b', "c"));
    for (path, text) in [
        ("/assets/nothing", "the catalog has no asset with this name; names are case-sensitive\n"),
        ("/assets/..%2f..%2fetc%2fpasswd", "the catalog has no asset with this name; names are case-sensitive\n"),
        ("/assets/gone", "the origin does not have this asset\n"),
        (unnamed.as_str(), "the catalog has no asset with this name; names are case-sensitive\n"),
        ("/metrics", "no resource at this path; assets are at /assets/NAME, the entry script is at /boot.ipxe\n"),
        ("/", "no resource at this path; assets are at /assets/NAME, the entry script is at /boot.ipxe\n"),
    ] {
        let reply = site.get(path, &[]).await;
        assert_eq!((reply.status(), reply.text()), (404, text), "{path}");
        assert_eq!(reply.field("Content-Type"), Some("text/plain; charset=utf-8"));
        assert!(reply.field("X-Request-Id").is_some());
    }
    let reply = site.get("/assets/%0Aforged%20line", &[]).await;
    site.logged(&["asset=\\nforged line", "outcome=\"not-found\"", reply.field("X-Request-Id").unwrap()]).await;
}

#[tokio::test]
async fn only_get_and_head_are_served() {
    let site = Plan::new().file("abc", b"abc").start().await;
    for method in ["PUT", "DELETE", "OPTIONS", "TRACE"] {
        let reply = site.ask(method, "/assets/abc", &[]).await;
        assert_eq!((reply.status(), reply.field("Allow")), (405, Some("GET, HEAD")), "{method}");
    }
    let reply = site.ask("POST", "/assets/abc", &["Content-Length: 5\r\n\r\n12345"]).await;
    assert_eq!(reply.status(), 405);
}

#[tokio::test]
async fn wrong_bytes_are_never_served_as_right() {
    let digest = Digest::of(b"what it should be");
    let site = Plan::new().claimed("small", b"altered", digest).start().await;
    let reply = site.get("/assets/small", &[]).await;
    assert_eq!(reply.status(), 502);
    assert_eq!(reply.text(), "the origin's bytes do not have the digest that the catalog names\n");
    site.logged(&["asset=small", "outcome=\"digest-mismatch\""]).await;
}

#[tokio::test]
async fn a_stream_that_turns_out_wrong_is_cut_short() {
    // More than is held back, and an end that is late: the client has its head and bytes when the digest is known.
    let length = 12 << 20;
    let (finish, finished) = tokio::sync::watch::channel(false);
    let address = origin(move |stream| ranged(stream, noise(length), length - 100, finished.clone())).await;
    let site = Plan::new().source("image", &format!("http://{address}/image"), Digest::of(b"other")).start().await;
    let mut wire = site.connect().await;
    wire.request("GET", "/assets/image", &[]).await;
    let head = wire.head().await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    finish.send(true).unwrap();
    let got = wire.rest().await;
    assert!(got.len() < length, "{} bytes of {length} arrived", got.len());
    site.logged(&["asset=image", "outcome=\"digest-mismatch\""]).await;
}

#[tokio::test]
async fn an_origin_that_is_down_is_worth_another_try() {
    let unused = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let site = Plan::new().source("image", &format!("http://{unused}/image"), Digest::of(b"x")).start().await;
    for method in ["GET", "HEAD"] {
        let reply = site.ask(method, "/assets/image", &[]).await;
        assert_eq!(reply.status(), 503);
        assert!(reply.field("Retry-After").unwrap().parse::<u64>().unwrap() >= 1);
        assert!(!reply.text().contains("127.0.0.1"), "what is internal stays in the log");
        site.logged(&["outcome=\"origin-failed\"", reply.field("X-Request-Id").unwrap()]).await;
    }
}

/// What was stopped with SIGSTOP takes connections and says nothing.
#[tokio::test]
async fn an_origin_that_says_nothing_keeps_no_client_waiting() {
    let address = origin(|stream| async move {
        let _open = stream;
        std::future::pending().await
    })
    .await;
    let plan = Plan::new().source("image", &format!("http://{address}/image"), Digest::of(b"x"));
    let site = plan.stall_timeout(Duration::from_millis(1)).start().await;
    for method in ["HEAD", "GET", "GET"] {
        let reply = site.ask(method, "/assets/image", &[]).await;
        assert_eq!((reply.status(), reply.field("Retry-After")), (503, Some("5")), "{method}");
        let id = reply.field("X-Request-Id").unwrap();
        site.logged(&["outcome=\"origin-failed\"", "no byte arrived for 0.001 s", id]).await;
    }
    assert_eq!(site.depot.fills().len(), 1, "the fill goes on for whoever asks next");
}
