//! Metadata requests.

use std::time::SystemTime;

use super::fake::{Act, RealS3, ScriptedServer};
use super::*;
use crate::asset::Digest;
use crate::origin::StatReport;

async fn stat(origins: &Origins, url: &str) -> StatReport {
    origins.stat(&source(url)).await
}

#[tokio::test]
async fn stat_needs_only_head() {
    let digest = Digest::of(b"abc");
    let date = httpdate::fmt_http_date(SystemTime::now() - Duration::from_mins(5));
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nETag: \"a\"\r\nDate: {date}\r\nx-amz-meta-sha256: {digest}\r\n\r\n"
    );
    let server = ScriptedServer::replying(answer).await;
    let report = stat(&origins(Vec::new()), &server.url("/a.img")).await;
    let stat = report.stat.unwrap();
    assert_eq!((stat.size, stat.checksums.first().map(|checksum| checksum.digest)), (9, Some(digest)));
    assert!((-302..=-299).contains(&report.clock_offset.unwrap().as_secs()), "{:?}", report.clock_offset);
    assert_eq!(report.certificate_expiry, None);
    let requests = server.requests();
    assert_eq!(requests.len(), 1);
    assert!(requests[0].starts_with("HEAD /a.img ") && !requests[0].contains("range:"), "{requests:?}");
}

#[tokio::test]
async fn refused_head_retries_with_get() {
    // URLs that are signed for GET refuse HEAD.
    let server = ScriptedServer::start([
        Act::Reply("HTTP/1.1 403 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned()),
        Act::Reply("HTTP/1.1 206 P\r\nContent-Range: bytes 0-0/9\r\nContent-Length: 1\r\n\r\na".to_owned()),
    ])
    .await;
    assert_eq!(stat(&origins(Vec::new()), &server.url("/a")).await.stat.unwrap().size, 9);
    let requests = server.requests();
    assert!(requests[0].starts_with("HEAD ") && requests[1].starts_with("GET "), "{requests:?}");
    assert!(requests[1].contains("\r\nrange: bytes=0-0\r\n"), "{requests:?}");
}

#[tokio::test]
async fn refused_head_reports_s3_error_code() {
    let refusal = "<Error><Code>NoSuchBucket</Code></Error>";
    let server = ScriptedServer::start([
        Act::Reply("HTTP/1.1 404 No\r\nContent-Length: 40\r\nConnection: close\r\n\r\n".to_owned()),
        Act::Reply(format!("HTTP/1.1 404 No\r\nContent-Length: {}\r\n\r\n{refusal}", refusal.len())),
    ])
    .await;
    let endpoint = Some(server.url("").parse().unwrap());
    let origins = origins(vec![OriginSettings { endpoint, credentials: keys("AKIA1", "s"), ..settings("s3://") }]);
    let error = stat(&origins, "s3://b/a").await.stat.unwrap_err();
    assert!(matches!(error, OriginError::NoSuchBucket { .. }), "{error}");
    let head = &server.requests()[0];
    assert!(head.contains("\r\nx-amz-checksum-mode: ENABLED\r\n"), "{head}");
    assert!(head.contains("SignedHeaders=host;x-amz-checksum-mode;x-amz-content-sha256;x-amz-date"), "{head}");
}

#[tokio::test]
async fn archived_head_is_checked_with_get() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nx-amz-storage-class: GLACIER\r\nConnection: close\r\n\r\n";
    let refusal = "<Error><Code>InvalidObjectState</Code><Message>not valid for the storage class</Message></Error>";
    let refused = format!("HTTP/1.1 403 No\r\nContent-Length: {}\r\n\r\n{refusal}", refusal.len());
    let readable = "HTTP/1.1 206 P\r\nContent-Range: bytes 0-0/9\r\nContent-Length: 1\r\n\r\na".to_owned();
    for (get, size) in [(refused, None), (readable, Some(9))] {
        let server = ScriptedServer::start([Act::Reply(head.to_owned()), Act::Reply(get)]).await;
        let endpoint = Some(server.url("").parse().unwrap());
        let origins = origins(vec![OriginSettings { endpoint, ..settings("s3://") }]);
        let stat = stat(&origins, "s3://b/a").await.stat;
        match size {
            Some(size) => assert_eq!(stat.unwrap().size, size),
            None => assert!(matches!(stat, Err(OriginError::Archived { .. })), "{stat:?}"),
        }
        assert_eq!(server.requests().len(), 2);
    }
}

#[tokio::test]
async fn signed_head_is_accepted_by_s3() {
    let s3 = RealS3::start().await;
    s3.put("a.img", b"abcdefghi");
    let origin = |secret: &str| OriginSettings {
        endpoint: Some(s3.endpoint.clone()),
        credentials: keys(RealS3::KEY_ID, secret),
        ..settings("s3://")
    };
    let good = origins(vec![origin(RealS3::SECRET)]);
    assert_eq!(stat(&good, "s3://bucket/a.img").await.stat.unwrap().size, 9);
    assert!(stat(&good, "s3://bucket/b.img").await.stat.unwrap_err().is_not_found());
    let bad = origins(vec![origin("mistyped")]);
    let error = stat(&bad, "s3://bucket/a.img").await.stat.unwrap_err();
    let OriginError::AccessDenied { answer, .. } = &error else { panic!("{error}") };
    assert_eq!(answer.code(), "SignatureDoesNotMatch", "a HEAD reply has no body with the code");
}

#[tokio::test]
async fn stat_reads_file_metadata() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "abc").unwrap();
    let origins = origins(Vec::new());
    assert_eq!(stat(&origins, &format!("file://{}", file.path().display())).await.stat.unwrap().size, 3);
    assert!(stat(&origins, "file:///nonexistent/a").await.stat.unwrap_err().is_not_found());
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
