//! curl and wget against the HTTP listener, and details of the protocol that firmware depends on.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::support::{FakeOrigin, Object, TestServer, TestSite, Tool, random_bytes, timeout};

/// Starts a server with one uncached asset, `isos/live.iso`.
fn live_iso() -> (FakeOrigin, Object, TestSite, TestServer) {
    let origin = FakeOrigin::start();
    let iso = origin.put("isos/live.iso", random_bytes(10, 3_000_001));
    let site = TestSite::new(&origin).asset(&iso);
    let server = site.start();
    (origin, iso, site, server)
}

/// Arguments of curl: without the user's configuration and progress, and an HTTP error is a failure.
const CURL: [&str; 4] = ["-q", "--silent", "--show-error", "--fail"];

#[test]
fn curl_resumes_interrupted_download() {
    let Some(curl) = Tool::find("curl") else { return };
    let (_origin, iso, site, server) = live_iso();
    let file = site.file("live.iso");
    std::fs::write(&file, &iso.bytes[..1_234_567]).unwrap();
    let url = server.url("/assets/isos/live.iso");
    curl.succeed(CURL.iter().copied().chain(["-C", "-", "-o", file.to_str().unwrap(), &url]));
    assert!(std::fs::read(&file).unwrap() == iso.bytes, "the file is the object");
    assert_eq!(server.wait_for_transfer(&iso.key, "complete").number("bytes"), iso.size() - 1_234_567);
}

#[test]
fn wget_continues_interrupted_download() {
    let Some(wget) = Tool::find("wget") else { return };
    let (_origin, iso, site, server) = live_iso();
    let file = site.file("live.iso");
    std::fs::write(&file, &iso.bytes[..999_999]).unwrap();
    let url = server.url("/assets/isos/live.iso");
    wget.succeed(["--no-config", "--quiet", "--tries=1", "-c", "-O", file.to_str().unwrap(), &url]);
    assert!(std::fs::read(&file).unwrap() == iso.bytes, "the file is the object");

    // Again: nothing is left to fetch. wget gets 416, which is not a failure to it.
    wget.succeed(["--no-config", "--quiet", "--tries=1", "-c", "-O", file.to_str().unwrap(), &url]);
    assert!(std::fs::read(&file).unwrap() == iso.bytes, "the file is unchanged");
}

#[test]
fn curl_ranges_match_cold_and_warm() {
    let Some(curl) = Tool::find("curl") else { return };
    let (_origin, iso, site, server) = live_iso();
    let url = server.url("/assets/isos/live.iso");
    for round in ["cold", "warm"] {
        for (range, first, last) in
            [("0-511", 0, 511), ("2999489-", 2_999_489, 3_000_000), ("-2048", 2_997_953, 3_000_000), ("7-7", 7, 7)]
        {
            let file = site.file("part");
            let args = ["--range", range, "--write-out", "%{http_code}", "-o", file.to_str().unwrap(), &url];
            assert_eq!(curl.succeed(CURL.iter().chain(&args)), "206", "{round} {range}");
            assert!(std::fs::read(&file).unwrap() == iso.bytes[first..=last], "{round} {range}");
        }
    }
}

#[test]
fn curl_ranges_arrive_as_multipart() {
    let Some(curl) = Tool::find("curl") else { return };
    let (_origin, iso, site, server) = live_iso();
    let (file, url) = (site.file("parts"), server.url("/assets/isos/live.iso"));
    let write_out = "%{http_code} %{content_type}";
    let args = ["--range", "0-9,1000000-1000099,-5", "--write-out", write_out, "-o", file.to_str().unwrap(), &url];
    let shown = curl.succeed(CURL.iter().chain(&args));
    let boundary = shown.strip_prefix("206 multipart/byteranges; boundary=").unwrap_or_else(|| panic!("{shown}"));
    let body = std::fs::read(&file).unwrap();
    let mut expected = Vec::new();
    for (first, last) in [(0, 9), (1_000_000, 1_000_099), (2_999_996, 3_000_000)] {
        expected.push((format!("bytes {first}-{last}/3000001"), iso.bytes[first..=last].to_vec()));
    }
    assert_eq!(parts_of(&body, boundary.trim_matches('"')), expected);
}

/// Parses a `multipart/byteranges` body (RFC 9110 14.6). Returns the Content-Range and the bytes of each part.
fn parts_of(body: &[u8], boundary: &str) -> Vec<(String, Vec<u8>)> {
    let find = |hay: &[u8], needle: &str| hay.windows(needle.len()).position(|w| w == needle.as_bytes());
    let mut parts = Vec::new();
    let mut rest = body;
    while let Some(at) = find(rest, &format!("--{boundary}\r\n")) {
        rest = &rest[at + boundary.len() + 4..];
        let head = find(rest, "\r\n\r\n").expect("a part has a head");
        let fields = String::from_utf8(rest[..head].to_vec()).unwrap();
        let range = fields.lines().find_map(|l| l.to_lowercase().strip_prefix("content-range: ").map(str::to_owned));
        rest = &rest[head + 4..];
        let end = find(rest, &format!("\r\n--{boundary}")).expect("a part ends with the boundary");
        parts.push((range.expect("a part has a Content-Range"), rest[..end].to_vec()));
        rest = &rest[end + 2..];
    }
    assert_eq!(rest, format!("--{boundary}--\r\n").as_bytes(), "the body ends with the last boundary");
    parts
}

#[test]
fn curl_revalidates_by_etag_and_date() {
    let Some(curl) = Tool::find("curl") else { return };
    let (_origin, iso, site, server) = live_iso();
    let (etag, file, url) = (site.file("etag"), site.file("iso"), server.url("/assets/isos/live.iso"));
    let (etag, file) = (etag.to_str().unwrap(), file.to_str().unwrap());
    let fetch = |extra: &[&str]| {
        let args = ["--write-out", "%{http_code} %{size_download}", "-o", file, &url];
        curl.succeed(CURL.iter().chain(extra).chain(&args))
    };
    assert_eq!(fetch(&["--etag-save", etag, "--remote-time"]), format!("200 {}", iso.size()));
    assert_eq!(fetch(&["--etag-compare", etag]), "304 0");
    assert_eq!(fetch(&["--time-cond", file]), "304 0");
    assert_eq!(fetch(&["--header", "If-None-Match: \"another\""]), format!("200 {}", iso.size()));
    assert_eq!(curl.run(CURL.iter().chain(&["--header", "If-Match: \"another\"", &url])).status.code(), Some(22));
}

#[test]
fn stale_if_range_returns_whole_body() {
    let (_origin, iso, _site, server) = live_iso();
    let etag = server.client().request("HEAD", "/assets/isos/live.iso", &[]).header("etag").to_owned();
    let fetch = |condition: &str| {
        let fields = [("Range", "bytes=0-99"), ("If-Range", condition)];
        let answer = server.client().request("GET", "/assets/isos/live.iso", &fields);
        (answer.status, answer.body.len() as u64)
    };
    assert_eq!(fetch(&etag), (206, 100));
    assert_eq!(fetch("\"another\""), (200, iso.size()));
}

#[test]
fn unsatisfiable_range_is_416_malformed_ignored() {
    let (_origin, iso, _site, server) = live_iso();
    let answer = server.client().range("/assets/isos/live.iso", "3000001-");
    assert_eq!((answer.status, answer.header("content-range")), (416, "bytes */3000001"));
    for malformed in ["u-u", "5-2", "", "1-2-3", "-"] {
        let answer = server.client().range("/assets/isos/live.iso", malformed);
        assert_eq!((answer.status, answer.body.len() as u64), (200, iso.size()), "{malformed:?}");
    }
}

#[test]
fn keepalive_headers_are_title_case() {
    let (_origin, iso, _site, server) = live_iso();
    let mut socket = TcpStream::connect(server.http).unwrap();
    socket.set_read_timeout(Some(timeout())).unwrap();
    for _ in 0..2 {
        // GRUB's request: its Host has no port.
        socket.write_all(b"HEAD /assets/isos/live.iso HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            socket.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", iso.size())), "{head}");
        for line in head.lines().skip(1).filter(|l| !l.is_empty()) {
            let name = line.split(':').next().unwrap();
            assert!(name.split('-').all(|word| word.starts_with(char::is_uppercase)), "{name} is not in title case");
        }
    }
}

#[test]
fn client_disconnect_keeps_fill_running() {
    let (origin, iso, _site, server) = {
        let origin = FakeOrigin::start();
        let iso = origin.put("isos/live.iso", random_bytes(11, 6 << 20));
        origin.allow(&iso.key, 2 << 20);
        let site = TestSite::new(&origin).asset(&iso);
        let server = site.start();
        (origin, iso, site, server)
    };
    let mut opened = server.client().open("GET", "/assets/isos/live.iso", &[]);
    assert_eq!(opened.status(), 200);
    assert!(opened.read(1000) == iso.bytes[..1000]);
    drop(opened);
    origin.allow(&iso.key, u64::MAX);
    server.wait_for_fill(&iso.key, "complete");
    server.wait_for_transfer(&iso.key, "aborted");
    assert!(server.client().compare("/assets/isos/live.iso", &iso.bytes));
    assert_eq!(origin.sent(&iso.key), iso.size());
}
