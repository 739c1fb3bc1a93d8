//! Probes: the requests of a check, and what they show.

use std::time::SystemTime;

use super::fake::{Act, RealS3, ScriptedServer};
use super::*;
use crate::asset::Digest;
use crate::origin::{ProbeReport, Reads, Restore};

async fn probe(origins: &Origins, url: &str) -> ProbeReport {
    origins.probe(&source(url)).await
}

/// The reply to a range of an object of nine bytes.
fn ranged(more: &str) -> Act {
    let length = 9;
    Act::Reply(format!(
        "HTTP/1.1 206 P\r\nContent-Range: bytes 0-8/9\r\nContent-Length: {length}\r\nConnection: close\r\n{more}\r\n123456789"
    ))
}

/// A reply without a body that is wanted.
fn refusal(status: &str, body: &str) -> Act {
    let length = body.len();
    Act::Reply(format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"))
}

#[tokio::test]
async fn probe_reads_both_ends_conditionally() {
    let digest = Digest::of(b"abc");
    let date = httpdate::fmt_http_date(SystemTime::now() - Duration::from_mins(5));
    let reply = ranged(&format!("ETag: \"a\"\r\nDate: {date}\r\nx-amz-meta-sha256: {digest}\r\n"));
    let server = ScriptedServer::start([reply.clone(), reply]).await;
    let report = probe(&origins(Vec::new()), &server.url("/a.img")).await;
    let found = report.probe.unwrap();
    assert_eq!((found.size, found.checksum.map(|checksum| checksum.digest)), (9, Some(digest)));
    assert_eq!(found.reads, Reads::Conditional);
    assert!((-302..=-299).contains(&report.clock_offset.unwrap().as_secs()), "{:?}", report.clock_offset);
    assert_eq!((report.certificate_expiry, report.storage), (None, None));
    let requests = server.requests();
    assert_eq!(requests.len(), 2, "{requests:?}");
    assert!(requests[0].contains("\r\nrange: bytes=0-1023\r\n") && !requests[0].contains("if-match"), "{requests:?}");
    assert!(requests[1].contains("\r\nrange: bytes=0-8\r\n"), "{requests:?}");
    assert!(requests[1].contains("\r\nif-match: \"a\"\r\n"), "{requests:?}");
}

#[tokio::test]
async fn refused_condition_leaves_ranges() {
    for refused in ["412 Precondition Failed", "501 Not Implemented", "400 Bad Request"] {
        let tagged = ranged("ETag: \"a\"\r\n");
        let server = ScriptedServer::start([tagged.clone(), refusal(refused, ""), tagged]).await;
        let found = probe(&origins(Vec::new()), &server.url("/a")).await.probe.unwrap();
        assert!(matches!(found.reads, Reads::Ranges(_)), "{refused}: {found:?}");
        assert!(!server.requests()[2].contains("if-match"), "{refused}");
    }
    let server = ScriptedServer::start([ranged("ETag: \"a\"\r\n"), ranged("ETag: \"b\"\r\n"), ranged("")]).await;
    let found = probe(&origins(Vec::new()), &server.url("/a")).await.probe.unwrap();
    assert!(matches!(found.reads, Reads::Ranges(_)), "nodes with other ETags: {found:?}");
    let server = ScriptedServer::start([ranged(""), ranged("")]).await;
    let found = probe(&origins(Vec::new()), &server.url("/a")).await.probe.unwrap();
    assert!(matches!(found.reads, Reads::Ranges(_)), "no validator: {found:?}");
}

#[tokio::test]
async fn refused_range_leaves_one_stream() {
    let whole = refusal("200 OK", "123456789");
    for acts in [vec![whole.clone()], vec![refusal("400 No", ""), whole.clone()], vec![refusal("501 No", ""), whole]] {
        let count = acts.len();
        let server = ScriptedServer::start(acts).await;
        let found = probe(&origins(Vec::new()), &server.url("/a")).await.probe.unwrap();
        assert_eq!(found.size, 9);
        assert!(matches!(found.reads, Reads::Stream(_)), "{found:?}");
        assert_eq!(server.requests().len(), count);
    }
}

#[tokio::test]
async fn short_body_fails_the_probe() {
    let short = Act::Reply("HTTP/1.1 206 P\r\nContent-Range: bytes 0-8/9\r\nContent-Length: 9\r\n\r\n1234".to_owned());
    let server = ScriptedServer::start([short]).await;
    let error = probe(&origins(Vec::new()), &server.url("/a")).await.probe.unwrap_err();
    assert!(matches!(error, OriginError::Truncated { .. }), "{error}");
}

/// An S3 origin at this server.
fn s3_origin(endpoint: url::Url, secret: &str) -> Origins {
    let credentials = keys(RealS3::KEY_ID, secret);
    origins(vec![OriginSettings { endpoint: Some(endpoint), credentials, ..settings("s3://") }])
}

#[tokio::test]
async fn archived_object_shows_its_class() {
    let fields = "x-amz-storage-class: DEEP_ARCHIVE\r\nx-amz-restore: ongoing-request=\"true\"\r\n";
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n{fields}\r\n");
    let server =
        ScriptedServer::start([refusal("403 No", "<Error><Code>InvalidObjectState</Code></Error>"), Act::Reply(head)])
            .await;
    let report = probe(&s3_origin(server.url("").parse().unwrap(), "s"), "s3://b/a").await;
    report.probe.unwrap_err();
    let storage = report.storage.unwrap();
    assert!(storage.is_archive());
    assert_eq!(storage.restore, Restore::Ongoing);
    let requests = server.requests();
    assert!(
        requests[1].starts_with("HEAD ") && requests[1].contains("\r\nx-amz-checksum-mode: ENABLED\r\n"),
        "{requests:?}"
    );
    assert!(requests[1].contains("SignedHeaders=host;x-amz-checksum-mode;"), "{requests:?}");
}

#[tokio::test]
async fn refused_head_does_not_matter() {
    let tagged = ranged("ETag: \"a\"\r\n");
    let server = ScriptedServer::start([tagged.clone(), tagged, refusal("405 No", "")]).await;
    let found = probe(&s3_origin(server.url("").parse().unwrap(), "s"), "s3://b/a").await.probe.unwrap();
    assert_eq!((found.size, found.checksum), (9, None));
}

#[tokio::test]
async fn signed_requests_are_accepted_by_s3() {
    let s3 = RealS3::start().await;
    s3.put("a.img", b"abcdefghi");
    s3.put("empty", b"");
    let good = s3_origin(s3.endpoint.clone(), RealS3::SECRET);
    assert_eq!(probe(&good, "s3://bucket/a.img").await.probe.unwrap().size, 9);
    assert_eq!(probe(&good, "s3://bucket/empty").await.probe.unwrap().size, 0);
    assert!(probe(&good, "s3://bucket/b.img").await.probe.unwrap_err().is_not_found());
    let bad = s3_origin(s3.endpoint.clone(), "mistyped");
    let error = probe(&bad, "s3://bucket/a.img").await.probe.unwrap_err();
    let OriginError::AccessDenied { code, .. } = &error else { panic!("{error}") };
    assert_eq!(code, "SignatureDoesNotMatch");
}

#[tokio::test]
async fn file_is_probed_like_an_object() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "abc").unwrap();
    let origins = origins(Vec::new());
    let found = probe(&origins, &format!("file://{}", file.path().display())).await.probe.unwrap();
    assert_eq!((found.size, found.reads), (3, Reads::Conditional));
    assert!(probe(&origins, "file:///nonexistent/a").await.probe.unwrap_err().is_not_found());
}

#[tokio::test]
async fn route_names_server_and_identity() {
    let proxied = OriginSettings {
        endpoint: Some("https://s3.lab".parse().unwrap()),
        proxy: Some("http://[::1]:4001".parse().unwrap()),
        ..settings("s3://b/")
    };
    let origins = origins(vec![proxied, settings("https://h/")]);
    let route = origins.route(&source("s3://b/k")).unwrap();
    let server = route.server.unwrap();
    assert_eq!((route.origin.as_deref(), route.bucket.as_deref(), route.anonymous), (Some("s3://b/"), Some("b"), true));
    assert_eq!(
        (server.url.as_str(), server.peer, server.tls),
        ("https://s3.lab", Some(("::1".to_owned(), 4001)), true)
    );
    assert_eq!(origins.identity(&source("s3://b/k")).await.unwrap(), "anonymous");

    let route = origins.route(&source("https://h:8443/k?X-Amz-Credential=AKIA1%2Fx")).unwrap();
    let server = route.server.unwrap();
    assert_eq!((route.origin, route.label.as_str()), (None, "https://h:8443"));
    assert_eq!((server.url.as_str(), server.proxy), ("https://h:8443", None));
    let signed = source("https://h:8443/k?X-Amz-Credential=AKIA1%2Fx");
    assert_eq!(origins.identity(&signed).await.unwrap(), "access key AKIA1, which signed the URL");
    assert_eq!(origins.route(&source("file:///k")).unwrap().server, None);
    assert!(matches!(origins.route(&source("s3://b/../k")), Err(OriginError::Settings { .. })));
}
