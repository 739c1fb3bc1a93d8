//! Reads from web servers, most of which misbehave.

use bootdepot_test_support::deadline::stretch;

use super::fake::{Act, ScriptedServer};
use super::*;
use crate::origin::{SourceReader, Validator};

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
    let assert_stalls = async |sent: &str, kind: &str, message: &str| {
        let server = ScriptedServer::start([Act::Stall(sent.to_owned())]).await;
        let origins = Origins::new(Vec::new(), Timeouts { connect: stall, stall }).unwrap();
        let error = error(&origins, &server.url("/a"), Some((2, 6))).await;
        assert!(error.is_transient());
        let message = message.replace("URL", &server.url("/a")).replace("HOST", &server.address.to_string());
        assert_eq!((error.kind(), error.to_string()), (kind, message));
    };
    // In the body one stall timeout; before the head, the connect timeout in addition.
    let silent = format!(
        "HOST accepted the connection but did not answer the HTTP request within {} s",
        (stall * 2).as_secs_f32()
    );
    let stalled = format!("URL sent nothing for {} s", stall.as_secs_f32());
    tokio::join!(
        assert_stalls(part, "stalled", &stalled),
        assert_stalls("HTTP/1.1 206 Par", "no-answer", &silent),
        assert_stalls("", "no-answer", &silent)
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
        assert_error("HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\noops", None, "status", "URL answered 500: oops")
            .await;
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
async fn trickling_error_body_is_cut_off() {
    let head = "HTTP/1.1 429 Slow\r\nContent-Length: 60000\r\n\r\nbusy";
    let server = ScriptedServer::start([Act::Trickle(head.to_owned())]).await;
    let stall = stretch(Duration::from_millis(300));
    let origins = Origins::new(Vec::new(), Timeouts { connect: stall, stall }).unwrap();
    let (url, deadline) = (server.url("/a"), stretch(Duration::from_mins(1)));
    let error = tokio::time::timeout(deadline, error(&origins, &url, None)).await.unwrap();
    assert_eq!(error.to_string(), format!("{} asks to slow down (429: busy)", server.address));
}

#[tokio::test]
async fn error_page_is_named_by_title() {
    for (status, kind, message) in [
        ("403 No", "access-denied", "(403: an HTML page with the title \"Sign in\")"),
        ("404 No", "not-found", "URL does not exist (404: an HTML page with the title \"Sign in\")"),
        ("502 Bad Gateway", "status", "URL answered 502: an HTML page with the title \"Sign in\""),
        ("503 No", "throttled", "HOST asks to slow down (503: an HTML page with the title \"Sign in\")"),
    ] {
        let page = "<!DOCTYPE html><html><title>Sign in</title></html>";
        let answer =
            format!("HTTP/1.1 {status}\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n{page}", page.len());
        let server = ScriptedServer::replying(answer).await;
        let url = server.url("/a.img");
        let error = error(&plain(), &url, None).await;
        let message = message.replace("URL", &url).replace("HOST", &server.address.to_string());
        assert_eq!(error.kind(), kind);
        assert!(error.to_string().contains(&message), "{error}");
    }
}

#[tokio::test]
async fn sent_secret_is_not_quoted() {
    let page = "<html><title>unknown key hush-hush</title></html>";
    let server =
        ScriptedServer::replying(format!("HTTP/1.1 401 No\r\nContent-Length: {}\r\n\r\n{page}", page.len())).await;
    let headers = vec![("X-Api-Key".to_owned(), Secret::new("hush-hush"))];
    let origins = origins(vec![OriginSettings { headers, ..settings(&server.url("/")) }]);
    let error = error(&origins, &server.url("/a"), None).await.to_string();
    assert!(error.contains("unknown key …") && !error.contains("hush"), "{error}");
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

fn redirect_to(location: &str) -> Act {
    Act::Reply(format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"))
}

fn body() -> Act {
    Act::Reply("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx".to_owned())
}

/// An origin that sends a secret to what `matched` covers.
fn with_secret(matched: &str) -> Origins {
    let headers = vec![("X-Api-Key".to_owned(), Secret::new("hush"))];
    origins(vec![OriginSettings { headers, ..settings(matched) }])
}

/// The target of each request, and whether it had the secret.
fn secrets_in(server: &ScriptedServer) -> Vec<(String, bool)> {
    let target = |request: &String| request.split(' ').nth(1).unwrap().to_owned();
    server.requests().iter().map(|request| (target(request), request.contains("hush"))).collect()
}

#[tokio::test]
async fn redirect_keeps_secrets_inside_match() {
    let there = ScriptedServer::start([body()]).await;
    let here = ScriptedServer::start([redirect_to("/priv/b"), redirect_to(&there.url("/priv/c"))]).await;
    let origins = with_secret(&here.url("/priv/"));
    assert_eq!(read(&origins, &here.url("/priv/a"), None).await.unwrap(), b"x");
    assert_eq!(secrets_in(&here), [("/priv/a".to_owned(), true), ("/priv/b".to_owned(), true)]);
    assert_eq!(secrets_in(&there), [("/priv/c".to_owned(), false)]);
}

#[tokio::test]
async fn redirect_to_sibling_path_drops_secrets() {
    for location in ["/other/k", "../private/k", "/priv/%2e%2e/k", "/priv/..%2fk", "/priv", "/priv/b/..;/..;/k"] {
        let here = ScriptedServer::start([redirect_to(location), body()]).await;
        assert_eq!(read(&with_secret(&here.url("/priv/")), &here.url("/priv/a"), None).await.unwrap(), b"x");
        let sent: Vec<_> = secrets_in(&here).into_iter().map(|(_, secret)| secret).collect();
        assert_eq!(sent, [true, false], "{location}");
    }
}

#[tokio::test]
async fn redirect_back_does_not_restore_secrets() {
    let refused = "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n";
    let here =
        ScriptedServer::start([redirect_to("/other"), redirect_to("/priv/b"), Act::Reply(refused.to_owned())]).await;
    let error = error(&with_secret(&here.url("/priv/")), &here.url("/priv/a"), None).await;
    let sent = secrets_in(&here);
    assert_eq!(sent.iter().map(|(_, secret)| *secret).collect::<Vec<_>>(), [true, false, false], "{sent:?}");
    assert!(error.to_string().contains("to anonymous (it redirects out of the origin's match"), "{error}");
}

#[tokio::test]
async fn redirect_with_user_information_is_refused() {
    assert_error(
        "HTTP/1.1 302 Found\r\nLocation: http://user:hunter2@127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
        None,
        "bad-reply",
        "URL sent an invalid reply: it redirects to an address with a user name or a password",
    )
    .await;
}

#[tokio::test]
async fn other_spellings_get_no_secrets() {
    for (matched, path) in [
        ("/priv", "/private-else/k"),
        ("/priv/", "/priv/../other/k"),
        ("/priv/", "/priv/..%2Fother/k"),
        ("/priv/", "//priv/k"),
        ("/priv/", "/priv"),
    ] {
        let server = ScriptedServer::start([body()]).await;
        read(&with_secret(&server.url(matched)), &server.url(path), None).await.unwrap();
        assert!(secrets_in(&server).iter().all(|(_, secret)| !secret), "{matched} {path}");
    }
    let server = ScriptedServer::start([body()]).await;
    read(&with_secret("http://127.0.0.1"), &server.url("/k"), None).await.unwrap();
    assert!(!secrets_in(&server)[0].1, "another port is another server");
    let server = ScriptedServer::start([body()]).await;
    let spelled = format!("HTTP://0x7f.1:0{}/%70riv/k", server.address.port());
    read(&with_secret(&server.url("/priv/")), &spelled, None).await.unwrap();
    assert!(secrets_in(&server)[0].1, "the same place in another spelling");
}

#[tokio::test]
async fn unmatched_bucket_gets_no_credentials() {
    let source = source("s3://named-by-a-catalog/key");
    assert_eq!(plain().identity(&source).await.unwrap(), "anonymous");
    assert!(plain().route(&source).unwrap().anonymous);
}

#[tokio::test]
async fn redirect_target_is_kept_until_expired() {
    let part = |range: &str, bytes: &str| {
        Act::Reply(format!("HTTP/1.1 206 Partial\r\nContent-Range: bytes {range}/6\r\nETag: \"a\"\r\n\r\n{bytes}"))
    };
    let expired = Act::Reply("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n".to_owned());
    let mirror = ScriptedServer::start([part("0-1", "ab"), part("2-3", "cd"), expired, part("4-5", "ef")]).await;
    let to = |path: &str| {
        let url = mirror.url(path);
        Act::Reply(format!("HTTP/1.1 302 Found\r\nLocation: {url}\r\nContent-Length: 0\r\n\r\n"))
    };
    let redirector = ScriptedServer::start([to("/1"), to("/2")]).await;
    let reader = SourceReader::new(plain(), source(&redirector.url("/a")));
    for (start, bytes) in [(0, b"ab"), (2, b"cd"), (4, b"ef")] {
        let mut reply = reader.read(Some(ByteRange::new(start, start + 2)), None).await.unwrap();
        assert_eq!(collect(&mut reply).await.unwrap(), bytes);
    }
    assert_eq!(redirector.requests().len(), 2);
    let paths: Vec<_> = mirror.requests().iter().map(|head| head[..6].to_owned()).collect();
    assert_eq!(paths, ["GET /1", "GET /1", "GET /1", "GET /2"]);
}

#[tokio::test]
async fn disagreeing_mirrors_are_named() {
    let mirror = ScriptedServer::replying("HTTP/1.1 200 OK\r\nETag: \"b\"\r\nContent-Length: 9\r\n\r\nabcdefghi").await;
    let location = mirror.url("/b");
    let redirector =
        ScriptedServer::replying(format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"))
            .await;
    let url = redirector.url("/a");
    let reader = SourceReader::new(plain(), source(&url));
    let expect = Validator::from_text("etag 9 \"a\"");
    let error = reader.read(None, Some(&expect)).await.err().unwrap();
    let address = mirror.address;
    assert_eq!(
        error.to_string(),
        format!("two mirrors behind {url} disagree about the object: {address} has ETag \"b\", and before ETag \"a\"")
    );
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
    let client =
        client::for_objects(tls, &proxies.proxies, Duration::from_secs(5), &StaggeredResolver::system()).unwrap();
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
