//! Asset responses: headers, ranges, preconditions, errors.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

const HEX: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
const DATE: &str = "Tue, 14 Nov 2023 22:13:20 GMT";

/// Checks the headers that all responses for the asset `abc` have.
fn assert_headers(response: &TestResponse, length: &str) {
    assert_eq!(response.field("Content-Length"), Some(length), "{}", response.head);
    assert_eq!(response.field("Accept-Ranges"), Some("bytes"));
    assert_eq!(response.field("Etag"), Some(format!("\"sha256-{HEX}\"").as_str()));
    assert_eq!(response.field("Last-Modified"), Some(DATE));
    assert_eq!(response.field("Content-Type"), Some("application/octet-stream"));
    assert_eq!(response.field("Repr-Digest"), Some("sha-256=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:"));
    assert!(response.field("Date").is_some());
    assert_eq!(response.field("Transfer-Encoding"), None);
}

#[tokio::test]
async fn get_asset_sends_all_headers() {
    let server = TestServer::builder().file("dir/abc", b"abc").start().await;
    for path in ["/assets/dir/abc", "//assets//dir///abc", "/assets/dir%2Fabc", "/assets/dir/abc?query"] {
        let response = server.get(path, &[]).await;
        assert!(response.head.starts_with("HTTP/1.1 200 OK\r\n"), "{path}: {}", response.head);
        assert_headers(&response, "3");
        assert_eq!(response.text(), "abc");
    }
    let response = server.get(&format!("/blobs/sha256/{HEX}"), &[]).await;
    assert_headers(&response, "3");
    assert_eq!(response.text(), "abc");
    server.wait_for_log(&["asset=dir/abc", "outcome=\"complete\"", "bytes=3", "cache=\"hit\""]).await;
}

#[tokio::test]
async fn head_matches_get_without_fill() {
    let server = TestServer::builder().file("abc", b"abc").start().await;
    let response = server.request("HEAD", "/assets/abc", &["Range: bytes=0-0"]).await;
    assert_eq!(response.status(), 200);
    assert_headers(&response, "3");
    server.wait_for_log(&["asset=abc", "outcome=\"probe\"", "cache=\"none\""]).await;
    let response = server.get("/assets/abc", &[]).await;
    assert_eq!(response.text(), "abc");
    server.wait_for_log(&["asset=abc", "outcome=\"complete\"", "cache=\"miss\""]).await;
}

#[tokio::test]
async fn large_asset_matches_cold_and_warm() {
    let bytes = random_bytes(20 << 20);
    let server = TestServer::builder().file("image", &bytes).start().await;
    for _ in 0..2 {
        let response = server.get("/assets/image", &[]).await;
        assert!(response.body == bytes, "the bytes differ");
    }
    server.wait_for_log(&["bytes=20971520", "cache=\"miss\""]).await;
    server.wait_for_log(&["bytes=20971520", "cache=\"hit\""]).await;
}

/// The kernel fails to read the mapped pages while it sends them (EFAULT), which is no fault of the client.
#[tokio::test]
async fn truncated_blob_is_verified_and_filled_again() {
    let bytes = random_bytes(20 << 20);
    let server = TestServer::builder().file("image", &bytes).start().await;
    server.get("/assets/image", &[]).await;
    let mut connection = server.connect().await;
    connection.send_request("GET", "/assets/image", &[]).await;
    connection.read_head().await;
    let hex = Digest::of(&bytes).to_string();
    let blob = server.dir.path().join("cache/blobs/sha256").join(&hex[..2]).join(&hex);
    std::fs::set_permissions(&blob, std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::File::options().write(true).open(&blob).unwrap().set_len(0).unwrap();
    assert!(connection.read_to_close().await.len() < bytes.len());
    server
        .wait_for_log(&[
            "asset=image",
            "outcome=\"origin-failed\"",
            "the cache cannot be read: a page of a blob was lost",
        ])
        .await;
    server.wait_for_log(&["blob not readable: verifying it again", "asset=image", &hex]).await;
    let quarantined = server.dir.path().join("cache/quarantine").join(&hex);
    within_deadline("the quarantine of the blob", async {
        while !quarantined.exists() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    assert!(server.get("/assets/image", &[]).await.body == bytes, "it is filled again");
}

#[tokio::test]
async fn single_range_returns_206() {
    let bytes = random_bytes(300_000);
    let server = TestServer::builder().file("image", &bytes).start().await;
    for (asked, start, end) in [
        ("bytes=0-511", 0, 512),
        ("bytes=2048-4095", 2048, 4096),
        ("bytes=299999-", 299_999, 300_000),
        ("bytes=-100000", 200_000, 300_000),
        ("bytes=100000-999999999999999999999", 100_000, 300_000),
    ] {
        let response = server.get("/assets/image", &[&format!("Range: {asked}")]).await;
        assert_eq!(response.status(), 206, "{asked}");
        assert_eq!(response.field("Content-Range"), Some(format!("bytes {start}-{}/300000", end - 1).as_str()));
        assert_eq!(response.field("Content-Length"), Some((end - start).to_string().as_str()));
        let whole = format!("sha-256=:{}:", Digest::of(&bytes).to_base64());
        assert_eq!(response.field("Repr-Digest"), Some(whole.as_str()));
        assert!(response.body == bytes[start..end], "{asked}");
    }
}

#[tokio::test]
async fn several_ranges_return_multipart() {
    let bytes = random_bytes(300_000);
    let server = TestServer::builder().file("image", &bytes).start().await;
    let response = server.get("/assets/image", &["Range: bytes=200000-299999,0-9,-1,5-19"]).await;
    assert_eq!(response.status(), 206);
    assert_eq!(response.field("Content-Range"), None);
    let content_type = response.field("Content-Type").unwrap();
    let boundary = content_type.strip_prefix("multipart/byteranges; boundary=").unwrap();
    // The range -1 lies within the first range, and 0-9 and 5-19 overlap.
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
    assert!(response.body == expected, "the parts differ");
    server.wait_for_log(&["outcome=\"complete\"", &format!("bytes={}", expected.len())]).await;
}

#[tokio::test]
async fn unsatisfiable_range_returns_416_malformed_200() {
    let server = TestServer::builder().file("abc", b"abc").file("empty", b"").start().await;
    let response = server.get("/assets/abc", &["Range: bytes=3-"]).await;
    assert_eq!(response.status(), 416);
    assert_eq!(response.field("Content-Range"), Some("bytes */3"));
    assert_eq!(response.text(), "the range is outside the asset, which has 3 bytes\n");
    server
        .wait_for_log(&[
            "asset=abc",
            "outcome=\"refused\"",
            "the range is outside",
            response.field("X-Request-Id").unwrap(),
        ])
        .await;
    for range in ["Range: bytes=u-u", "Range: bytes=2-1", "Range: lines=1-2", "Range: bytes=0-0\r\nRange: bytes=1-1"] {
        let response = server.get("/assets/abc", &[range]).await;
        assert_eq!((response.status(), response.text()), (200, "abc"), "{range}");
    }
    assert_eq!(server.get("/assets/empty", &["Range: bytes=0-"]).await.status(), 416);
    let response = server.get("/assets/empty", &["Range: bytes=-1"]).await;
    assert_eq!((response.status(), response.field("Content-Length")), (200, Some("0")));
}

#[tokio::test]
async fn preconditions_need_no_origin() {
    // The origin has no such file: the responses come from the catalog alone.
    let server = TestServer::builder().source("abc", "file:///nowhere", HEX.parse().unwrap()).start().await;
    let etag = format!("\"sha256-{HEX}\"");
    for method in ["GET", "HEAD"] {
        for field in [format!("If-None-Match: {etag}"), format!("If-Modified-Since: {DATE}")] {
            let response = server.request(method, "/assets/abc", &[&field]).await;
            assert_eq!(response.status(), 304, "{field}");
            assert_eq!(response.field("Etag"), Some(etag.as_str()));
            for absent in ["Content-Length", "Content-Type", "Repr-Digest"] {
                assert_eq!(response.field(absent), None);
            }
        }
        let response = server.request(method, "/assets/abc", &["If-Match: \"other\""]).await;
        assert_eq!(response.status(), 412);
    }
    server.wait_for_log(&["outcome=\"complete\"", "not modified", "bytes=0"]).await;
    assert_eq!(server.get("/assets/abc", &["If-None-Match: \"other\""]).await.status(), 404);
}

#[tokio::test]
async fn if_range_mismatch_returns_whole_asset() {
    let server = TestServer::builder().file("abc", b"abc").start().await;
    let request = async |condition: &str| server.get("/assets/abc", &["Range: bytes=1-", condition]).await;
    for same in [format!("If-Range: \"sha256-{HEX}\""), format!("If-Range: {DATE}")] {
        let response = request(&same).await;
        assert_eq!((response.status(), response.text()), (206, "bc"), "{same}");
    }
    for other in ["If-Range: \"other\"", "If-Range: Tue, 14 Nov 2023 22:13:21 GMT"] {
        let response = request(other).await;
        assert_eq!((response.status(), response.text()), (200, "abc"), "{other}");
    }
}

#[tokio::test]
async fn empty_asset_returns_200() {
    let server = TestServer::builder().file("empty", b"").start().await;
    let response = server.get("/assets/empty", &[]).await;
    assert_eq!((response.status(), response.field("Content-Length")), (200, Some("0")));
    server.wait_for_log(&["asset=empty", "outcome=\"complete\"", "bytes=0"]).await;
}

#[tokio::test]
async fn unknown_path_returns_404() {
    let server = TestServer::builder().source("gone", "file:///nowhere", HEX.parse().unwrap()).start().await;
    let unnamed = format!("/blobs/sha256/{}", HEX.replace('b', "c"));
    for (path, text) in [
        ("/assets/nothing", "the catalog has no asset with this name\n"),
        ("/assets/..%2f..%2fetc%2fpasswd", "the catalog has no asset with this name\n"),
        ("/assets/gone", "the origin does not have this asset\n"),
        (unnamed.as_str(), "the catalog has no asset with this name\n"),
        ("/metrics", "no resource at this path; assets are at /assets/NAME, the entry script is at /boot.ipxe\n"),
        ("/", "no resource at this path; assets are at /assets/NAME, the entry script is at /boot.ipxe\n"),
    ] {
        let response = server.get(path, &[]).await;
        assert_eq!((response.status(), response.text()), (404, text), "{path}");
        assert_eq!(response.field("Content-Type"), Some("text/plain; charset=utf-8"));
        assert!(response.field("X-Request-Id").is_some());
    }
    let response = server.get("/assets/%0Aforged%20line", &[]).await;
    server
        .wait_for_log(&["asset=\\nforged line", "outcome=\"not-found\"", response.field("X-Request-Id").unwrap()])
        .await;
}

#[tokio::test]
async fn other_methods_return_405() {
    let server = TestServer::builder().file("abc", b"abc").start().await;
    for method in ["PUT", "DELETE", "OPTIONS", "TRACE"] {
        let response = server.request(method, "/assets/abc", &[]).await;
        assert_eq!((response.status(), response.field("Allow")), (405, Some("GET, HEAD")), "{method}");
    }
    let response = server.request("POST", "/assets/abc", &["Content-Length: 5\r\n\r\n12345"]).await;
    assert_eq!(response.status(), 405);
}

#[tokio::test]
async fn small_asset_digest_mismatch_returns_502() {
    let digest = Digest::of(b"what it should be");
    let server = TestServer::builder().file_with_digest("small", b"altered", digest).start().await;
    let response = server.get("/assets/small", &[]).await;
    assert_eq!(response.status(), 502);
    assert_eq!(response.text(), "the origin's bytes do not have the digest that the catalog names\n");
    server.wait_for_log(&["asset=small", "outcome=\"digest-mismatch\""]).await;
}

#[tokio::test]
async fn streamed_digest_mismatch_truncates_body() {
    // Larger than what is held back until it is verified, and with a late end: the client already has the head and bytes
    // when the digest is known.
    let length = 12 << 20;
    let (finish, finished) = tokio::sync::watch::channel(false);
    let address =
        fake_origin(move |stream| serve_ranged(stream, random_bytes(length), length - 100, finished.clone())).await;
    let server =
        TestServer::builder().source("image", &format!("http://{address}/image"), Digest::of(b"other")).start().await;
    let mut connection = server.connect().await;
    connection.send_request("GET", "/assets/image", &[]).await;
    let head = connection.read_head().await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    finish.send(true).unwrap();
    let got = connection.read_to_close().await;
    assert!(got.len() < length, "{} bytes of {length} arrived", got.len());
    server.wait_for_log(&["asset=image", "outcome=\"digest-mismatch\""]).await;
}

#[tokio::test]
async fn unreachable_origin_returns_503_with_retry_after() {
    let unused = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let server =
        TestServer::builder().source("image", &format!("http://{unused}/image"), Digest::of(b"x")).start().await;
    for method in ["GET", "HEAD"] {
        let response = server.request(method, "/assets/image", &[]).await;
        assert_eq!(response.status(), 503);
        assert!(response.field("Retry-After").unwrap().parse::<u64>().unwrap() >= 1);
        assert!(!response.text().contains("127.0.0.1"), "internal addresses appear only in the log");
        server.wait_for_log(&["outcome=\"origin-failed\"", response.field("X-Request-Id").unwrap()]).await;
    }
}

/// An origin that was stopped with SIGSTOP accepts connections and never responds.
#[tokio::test]
async fn stalled_origin_returns_503() {
    let address = fake_origin(|stream| async move {
        let _open = stream;
        std::future::pending().await
    })
    .await;
    let builder = TestServer::builder().source("image", &format!("http://{address}/image"), Digest::of(b"x"));
    let server = builder.stall_timeout(Duration::from_millis(1)).start().await;
    for method in ["HEAD", "GET", "GET"] {
        let response = server.request(method, "/assets/image", &[]).await;
        assert_eq!((response.status(), response.field("Retry-After")), (503, Some("5")), "{method}");
        let id = response.field("X-Request-Id").unwrap();
        server.wait_for_log(&["outcome=\"origin-failed\"", "no byte arrived for 0.001 s", id]).await;
    }
    assert_eq!(server.depot.fills().len(), 1, "the fill goes on for later requests");
}
