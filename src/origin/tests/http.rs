//! Reads from web servers, most of which misbehave.

use bootdepot_test_support::deadline::stretch;

use super::fake::{Act, ScriptedServer};
use super::*;
use crate::origin::Validator;

fn plain() -> Origins {
    origins(Vec::new())
}

/// Reads from a server that sends `answer` and checks the error. `URL` in `message` stands for the source URL, `HOST` for its
/// host and port.
async fn assert_error(answer: &str, range: Option<(u64, u64)>, kind: &str, message: &str) -> OriginError {
    let server = ScriptedServer::replying(answer).await;
    let url = server.url("/a.img");
    let error = error(&plain(), &url, range).await;
    assert_eq!(error.kind(), kind, "{error}");
    assert_eq!(error.to_string(), message.replace("URL", &url).replace("HOST", &server.address.to_string()));
    error
}

#[tokio::test]
async fn range_is_read() {
    let server =
        ScriptedServer::replying("HTTP/1.1 206 Partial\r\nContent-Range: bytes 2-4/9\r\nETag: \"a\"\r\n\r\ncde").await;
    let url = server.url("/a.img");
    let mut reply = plain().read(&source(&url), Some(ByteRange::new(2, 5)), None).await.unwrap();
    assert_eq!((reply.range, reply.total, reply.ignored_range), (ByteRange::new(2, 5), Some(9), false));
    assert_eq!(reply.validator.as_ref().map(Validator::as_str), Some("etag 9 \"a\""));
    assert_eq!(collect(&mut reply).await.unwrap(), b"cde");
    assert!(reply.body.chunk().await.unwrap().is_none(), "after the end, chunk keeps returning None");
    let request = server.requests().remove(0);
    assert!(request.starts_with("GET /a.img HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("\r\nrange: bytes=2-4\r\n"), "{request}");
    assert!(!request.contains("authorization"), "{request}");
}

#[tokio::test]
async fn ignored_range_reads_whole_object() {
    let server = ScriptedServer::replying("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabcdefghi").await;
    let mut reply = plain().read(&source(&server.url("/")), Some(ByteRange::new(2, 5)), None).await.unwrap();
    assert_eq!((reply.range, reply.total, reply.ignored_range), (ByteRange::whole(9), Some(9), true));
    assert_eq!(collect(&mut reply).await.unwrap(), b"abcdefghi");
}

#[tokio::test]
async fn mismatched_reply_is_refused() {
    assert_error(
        "HTTP/1.1 206 Partial\r\nContent-Range: bytes 0-2/9\r\nContent-Length: 3\r\n\r\nabc",
        Some((4, 5)),
        "bad-reply",
        "URL sent an invalid reply: its Content-Range \"bytes 0-2/9\" does not match the requested bytes 4-4",
    )
    .await;
    assert_error(
        "SSH-2.0-OpenSSH_9.2\r\n",
        None,
        "bad-reply",
        "URL sent an invalid reply: it does not speak HTTP: invalid HTTP version parsed",
    )
    .await;
}

#[tokio::test]
async fn wrong_body_length_is_truncated_error() {
    for (answer, received) in [
        ("HTTP/1.1 206 Partial\r\nContent-Range: bytes 2-5/9\r\nContent-Length: 4\r\n\r\nabc", 3),
        ("HTTP/1.1 206 Partial\r\nContent-Range: bytes 2-5/9\r\n\r\nabc", 3),
        (
            "HTTP/1.1 206 Partial\r\nContent-Range: bytes 2-5/9\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            3,
        ),
        ("HTTP/1.1 206 Partial\r\nContent-Range: bytes 2-5/9\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", 3),
    ] {
        let error =
            assert_error(answer, Some((2, 6)), "truncated", &format!("URL ended after {received} of 4 bytes")).await;
        assert!(error.is_transient());
    }
}

#[tokio::test]
async fn longer_body_is_cut_to_range() {
    for answer in [
        "HTTP/1.1 206 Partial\r\nContent-Range: bytes 2-5/9\r\nTransfer-Encoding: chunked\r\n\r\n5\r\ncdefg\r\n0\r\n\r\n",
        "HTTP/1.1 206 Partial\r\nContent-Range: bytes 2-5/9\r\nContent-Length: 5\r\n\r\ncdef",
    ] {
        let server = ScriptedServer::replying(answer).await;
        assert_eq!(read(&plain(), &server.url("/a"), Some((2, 6))).await.unwrap(), b"cdef", "{answer}");
    }
}

#[tokio::test]
async fn body_of_unknown_length_is_read() {
    for answer in [
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n",
        "HTTP/1.0 200 OK\r\nContent-Encoding: gzip\r\n\r\nabcde",
    ] {
        let server = ScriptedServer::replying(answer).await;
        let mut reply = plain().read(&source(&server.url("/")), None, None).await.unwrap();
        assert_eq!(reply.total, None);
        let mut bytes = Vec::new();
        while let Some(piece) = reply.body.chunk().await.unwrap() {
            bytes.extend_from_slice(&piece);
        }
        assert_eq!(bytes, b"abcde", "{answer}");
    }
}

#[tokio::test]
async fn silent_server_hits_stall_timeout() {
    let part = "HTTP/1.1 206 Partial\r\nContent-Range: bytes 2-5/9\r\nContent-Length: 4\r\n\r\nab";
    // Short enough to wait for, long enough for a busy machine to deliver a reply head.
    let stall = stretch(Duration::from_millis(400));
    let assert_stalls = async |sent: &str, after: Duration| {
        let server = ScriptedServer::start([Act::Stall(sent.to_owned())]).await;
        let origins = Origins::new(Vec::new(), Timeouts { connect: stall, stall }).unwrap();
        let error = error(&origins, &server.url("/a"), Some((2, 6))).await;
        assert!(matches!(error, OriginError::Stalled { .. }), "{error}");
        assert!(error.is_transient());
        assert_eq!(error.to_string(), format!("{} sent nothing for {} s", server.url("/a"), after.as_secs_f32()));
    };
    // In the body one stall timeout; before the head, the connect timeout in addition.
    tokio::join!(
        assert_stalls(part, stall),
        assert_stalls("HTTP/1.1 206 Par", stall * 2),
        assert_stalls("", stall * 2)
    );
}

#[tokio::test]
async fn error_statuses_are_classified() {
    let error = assert_error(
        "HTTP/1.1 429 Slow\r\nRetry-After: 9\r\nContent-Length: 0\r\n\r\n",
        None,
        "throttled",
        "HOST asks to slow down (429)",
    )
    .await;
    assert_eq!(error.retry_after(), Some(Duration::from_secs(9)));
    let error =
        assert_error("HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\noops", None, "status", "URL answered 500").await;
    assert!(error.is_transient());
    assert_error("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", None, "not-found", "URL does not exist").await;
    assert_error(
        "HTTP/1.1 206 P\r\nContent-Length: 0\r\n\r\n",
        None,
        "bad-reply",
        "URL sent an invalid reply: it answered 206 without Content-Range",
    )
    .await;
}

#[tokio::test]
async fn changed_object_is_detected() {
    let changed = ScriptedServer::start([
        Act::Reply("HTTP/1.1 412 Precondition Failed\r\nContent-Length: 0\r\n\r\n".to_owned()),
        Act::Reply("HTTP/1.1 206 Partial\r\nContent-Range: bytes 2-4/9\r\nETag: \"b\"\r\n\r\ncde".to_owned()),
    ])
    .await;
    let url = changed.url("/a");
    for validator in ["etag 9 \"a\"", "modified 9 Tue, 15 Nov 1994 12:45:26 GMT"] {
        let expect = Validator::from_text(validator);
        let error = plain().read(&source(&url), Some(ByteRange::new(2, 5)), Some(&expect)).await.err().unwrap();
        assert!(matches!(error, OriginError::Changed { .. }), "{error}");
        assert!(error.to_string().starts_with(&format!("two replies of {url} disagree")), "{error}");
    }
    let requests = changed.requests();
    assert!(requests[0].contains("\r\nif-match: \"a\"\r\n"), "{requests:?}");
    assert!(requests[1].contains("\r\nif-unmodified-since: Tue, 15 Nov 1994 12:45:26 GMT\r\n"), "{requests:?}");
}

#[tokio::test]
async fn redirect_drops_secret_header_fields() {
    let there = ScriptedServer::replying("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx").await;
    let here = ScriptedServer::start([
        Act::Reply("HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned()),
        Act::Reply(format!("HTTP/1.1 307 Found\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n", there.url("/c"))),
    ])
    .await;
    let headers = vec![("X-Api-Key".to_owned(), Secret::new("hush"))];
    let origins = origins(vec![OriginSettings { headers, ..settings(&here.url("/")) }]);
    assert_eq!(read(&origins, &here.url("/a"), None).await.unwrap(), b"x");
    let requests = here.requests();
    assert!(requests[0].starts_with("GET /a ") && requests[0].contains("\r\nx-api-key: hush\r\n"), "{requests:?}");
    assert!(requests[1].starts_with("GET /b ") && requests[1].contains("\r\nx-api-key: hush\r\n"), "{requests:?}");
    assert!(!there.requests()[0].contains("hush"), "{:?}", there.requests());
}

#[tokio::test]
async fn redirect_loop_ends() {
    let around = "HTTP/1.1 301 Moved\r\nLocation: /a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let server = ScriptedServer::start(vec![Act::Reply(around.to_owned()); 9]).await;
    let around = error(&plain(), &server.url("/a"), None).await;
    assert_eq!(
        around.to_string(),
        format!("{} sent an invalid reply: it redirects more than 5 times", server.url("/a"))
    );
    assert_eq!(server.requests().len(), 6);
    assert_error(
        "HTTP/1.1 301 Moved\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n",
        None,
        "bad-reply",
        "URL sent an invalid reply: it redirects to the scheme \"file\"",
    )
    .await;
}

#[tokio::test]
async fn url_secrets_are_never_shown() {
    let refusal = "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n";
    let server = ScriptedServer::start([Act::Reply(refusal.to_owned()), Act::Reply(String::new())]).await;
    let url = server.url("/a?X-Amz-Credential=AKIA1%2F20250101%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Signature=hush");
    let refused = error(&plain(), &url, None).await;
    let shown = server.url("/a?…");
    assert_eq!(
        refused.to_string(),
        format!(
            "http://{} refused {shown} to access key AKIA1, which signed the URL (403); check the origin's credentials and \
             the bucket's policy",
            server.address
        )
    );
    let broken = error(&plain(), &url, None).await;
    assert!(matches!(broken, OriginError::Io { .. }), "{broken}");
    assert_eq!(broken.to_string(), format!("reading {shown} failed: connection closed before message completed"));
}

#[tokio::test]
async fn dns_and_connect_errors_differ() {
    let error_of = async |url: &str| error(&plain(), url, None).await;
    let dns = error_of("http://nonexistent.invalid/a").await;
    let OriginError::Dns { host, reason, .. } = &dns else { panic!("{dns}") };
    assert_eq!(host, "nonexistent.invalid");
    assert!(reason.starts_with("failed to lookup address information"), "{reason}");
    assert!(dns.to_string().starts_with("the name nonexistent.invalid cannot be resolved: "), "{dns}");

    // A port that was free just before.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let refused = error_of(&format!("http://127.0.0.1:{port}/a")).await;
    assert!(matches!(refused, OriginError::Connect { .. }));
    assert_eq!(refused.to_string(), format!("cannot connect to 127.0.0.1:{port}: Connection refused (os error 111)"));
}

#[tokio::test]
async fn configured_proxy_is_used() {
    let proxy = ScriptedServer::start([
        Act::Reply("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx".to_owned()),
        Act::Reply("HTTP/1.1 403 Forbidden\r\n\r\n".to_owned()),
    ])
    .await;
    let through = |endpoint: &str| {
        let endpoint = Some(endpoint.parse().unwrap());
        let proxy = Some(proxy.url("").parse().unwrap());
        origins(vec![OriginSettings { endpoint, proxy, credentials: keys("AKIA1", "s"), ..settings("s3://") }])
    };
    // These names do not resolve: only the proxy is contacted.
    assert_eq!(read(&through("http://s3.invalid:9000"), "s3://bucket/key", None).await.unwrap(), b"x");
    let error = error(&through("https://s3.invalid"), "s3://bucket/key", None).await;
    assert!(matches!(error, OriginError::Connect { .. }), "{error}");
    assert_eq!(
        error.to_string(),
        format!("cannot connect to s3.invalid:443 through the proxy {}: tunnel error: unsuccessful", proxy.address)
    );
    let requests = proxy.requests();
    assert!(requests[0].starts_with("GET http://s3.invalid:9000/bucket/key HTTP/1.1\r\n"), "{requests:?}");
    assert!(requests[0].contains("\r\nhost: s3.invalid:9000\r\n"), "{requests:?}");
    assert!(requests[1].starts_with("CONNECT s3.invalid:443 HTTP/1.1\r\n"), "{requests:?}");
}

#[tokio::test]
async fn environment_proxy_skips_loopback() {
    use crate::origin::resolver::StaggeredResolver;
    use crate::origin::{client, proxy};

    let proxy = ScriptedServer::replying("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nby proxy!").await;
    let server = ScriptedServer::replying("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\ndirectly").await;
    let variables = [("HTTP_PROXY", proxy.url("")), ("NO_PROXY", "internal.invalid".to_owned())];
    let var = |asked: &str| variables.iter().find(|(name, _)| *name == asked).map(|(_, value)| value.clone());
    let proxies = proxy::environment_proxies(var).unwrap();
    let tls = crate::trust::client_config(tokio_rustls::rustls::RootCertStore::empty(), false).unwrap();
    let client = client::for_objects(tls, &proxies, Duration::from_secs(5), &StaggeredResolver::system()).unwrap();
    let text = async |url: &str| client.get(url).send().await.unwrap().text().await.unwrap();
    assert_eq!(text(&server.url("/a")).await, "directly");
    assert_eq!(text("http://elsewhere.invalid/a").await, "by proxy!");
    assert!(client.get("http://internal.invalid/a").send().await.is_err());
}

#[tokio::test]
async fn requests_and_bytes_are_counted() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let server = ScriptedServer::start([
        Act::Reply("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc".to_owned()),
        Act::Reply("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n".to_owned()),
        Act::Reply(String::new()),
    ])
    .await;
    let known = origins(vec![settings(&server.url("/known/"))]);
    read(&known, &server.url("/known/a"), None).await.unwrap();
    error(&known, &server.url("/known/a"), None).await;
    error(&known, &server.url("/other"), None).await;
    let text = metrics.render();
    let (known, other) = (server.url("/known/"), server.url(""));
    for line in [
        format!("bootdepot_origin_requests_total{{origin=\"{known}\",status=\"200\"}} 1"),
        format!("bootdepot_origin_requests_total{{origin=\"{known}\",status=\"404\"}} 1"),
        format!("bootdepot_origin_requests_total{{origin=\"{other}\",status=\"io\"}} 1"),
        format!("bootdepot_origin_received_bytes_total{{origin=\"{known}\"}} 3"),
    ] {
        assert!(text.contains(&line), "{line}\nis not in\n{text}");
    }
}
