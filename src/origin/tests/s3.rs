//! Reads from S3 stores.

use super::fake::{Act, RealS3, ScriptedServer};
use super::*;
use crate::origin::Denial;

fn lab(s3: &RealS3, credentials: CredentialSource) -> Origins {
    origins(vec![OriginSettings { endpoint: Some(s3.endpoint.clone()), credentials, ..settings("s3://") }])
}

fn trusted(s3: &RealS3) -> Origins {
    lab(s3, keys(RealS3::KEY_ID, RealS3::SECRET))
}

fn scripted(server: &ScriptedServer, credentials: CredentialSource) -> Origins {
    let endpoint = Some(server.url("").parse().unwrap());
    origins(vec![OriginSettings { endpoint, credentials, ..settings("s3://") }])
}

fn answer(status: &str, document: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{document}", document.len())
}

#[tokio::test]
async fn objects_and_ranges_are_read() {
    let s3 = RealS3::start().await;
    let content: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    s3.put("okd/4.19/rootfs.img", &content);
    let origins = trusted(&s3);
    let url = "s3://bucket/okd/4.19/rootfs.img";
    assert!(read(&origins, url, None).await.unwrap() == content);
    assert!(read(&origins, url, Some((0, 4))).await.unwrap() == content[..4]);
    assert!(read(&origins, url, Some((77, 1_000_000))).await.unwrap() == content[77..1_000_000]);
    assert!(read(&origins, url, Some((1_199_990, 9_000_000))).await.unwrap() == content[1_199_990..]);
    assert!(read(&origins, url, Some((8, 8))).await.unwrap().is_empty());

    let first = origins.read(&source(url), Some(ByteRange::new(0, 8)), None).await.unwrap();
    assert_eq!((first.total, first.ignored_range), (Some(1_200_000), false));
    assert!(first.last_modified.is_some());
    let validator = first.validator.unwrap();
    assert!(validator.as_str().starts_with("etag 1200000 \""), "{}", validator.as_str());
    assert!(origins.read(&source(url), Some(ByteRange::new(8, 16)), Some(&validator)).await.is_ok());
    s3.put("okd/4.19/rootfs.img", &content[1..]);
    // This server ignores If-Match. The validator in its reply differs.
    let changed = origins.read(&source(url), Some(ByteRange::new(8, 16)), Some(&validator)).await.err().unwrap();
    assert!(matches!(changed, OriginError::Changed { .. }));
    assert!(changed.to_string().starts_with(&format!("two replies of {url} disagree about the object: ")), "{changed}");
}

#[tokio::test]
async fn empty_object_gives_empty_body() {
    let s3 = RealS3::start().await;
    s3.put("empty", b"");
    let reply = trusted(&s3).read(&source("s3://bucket/empty"), Some(ByteRange::new(0, 8)), None).await.unwrap();
    assert_eq!((reply.range, reply.total, reply.ignored_range), (ByteRange::whole(0), Some(0), false));
    assert!(read(&trusted(&s3), "s3://bucket/empty", None).await.unwrap().is_empty());
}

#[tokio::test]
async fn special_characters_in_keys_are_signed() {
    let s3 = RealS3::start().await;
    let origins = trusted(&s3);
    for key in ["a b+c=d&e", "ünï cödé/~(x)*'!.iso", "100%25.img", "a:b@c,d;e#f", "..."] {
        s3.put(key, key.as_bytes());
        assert_eq!(read(&origins, &format!("s3://bucket/{key}"), Some((0, 99))).await.unwrap(), key.as_bytes());
    }
}

#[tokio::test]
async fn keys_with_question_marks_are_read() {
    let s3 = RealS3::start().await;
    let origins = trusted(&s3);
    for (written, key) in
        [("a%3Fb", "a?b"), ("%3f/x%3F", "?/x?"), ("a%253Fb", "a%3Fb"), ("v%3FversionId=1", "v?versionId=1")]
    {
        s3.put(key, key.as_bytes());
        assert_eq!(read(&origins, &format!("s3://bucket/{written}"), Some((0, 99))).await.unwrap(), key.as_bytes());
    }
    let server = ScriptedServer::replying(answer("200 OK", "x")).await;
    read(&scripted(&server, keys("AKIA1", "s")), "s3://bucket/a%3Fb?versionId=v1", None).await.unwrap();
    let request = server.requests().remove(0);
    assert!(request.starts_with("GET /bucket/a%3Fb?versionId=v1 HTTP/1.1\r\n"), "{request}");
}

#[tokio::test]
async fn access_denied_names_identity() {
    let s3 = RealS3::start().await;
    s3.put("key", b"x");
    let url = "s3://bucket/key";
    for (credentials, identity, code, expected) in [
        (keys(RealS3::KEY_ID, "wrong"), "access key AKIAIOSFODNN7EXAMPLE", "SignatureDoesNotMatch", Denial::Signature),
        (keys("AKIAUNKNOWN", RealS3::SECRET), "access key AKIAUNKNOWN", "NotSignedUp", Denial::UnknownKey),
        (CredentialSource::Anonymous, "anonymous", "AccessDenied", Denial::Policy),
    ] {
        let error = error(&lab(&s3, credentials), url, None).await;
        let OriginError::AccessDenied { denial, answer, .. } = &error else { panic!("{error}") };
        assert_eq!((*denial, answer.code()), (expected, code));
        assert!(error.to_string().starts_with(&format!("s3:// refused {url} to {identity} ({answer}); ")), "{error}");
    }
}

#[tokio::test]
async fn missing_key_and_bucket_differ() {
    let s3 = RealS3::start().await;
    let missing = error(&trusted(&s3), "s3://bucket/none", Some((0, 8))).await;
    assert!(missing.is_not_found());
    assert!(missing.to_string().starts_with("s3://bucket/none does not exist (NoSuchKey"), "{missing}");

    let server = ScriptedServer::replying(answer("404 Not Found", "<Error><Code>NoSuchBucket</Code></Error>")).await;
    let missing = error(&scripted(&server, keys("AKIA1", "s")), "s3://buket/key", None).await;
    assert!(matches!(missing, OriginError::NoSuchBucket { .. }));
    assert_eq!(
        missing.to_string(),
        format!(
            "the bucket \"buket\" does not exist at {} (NoSuchBucket); check the source URL and the origin's endpoint",
            server.url("")
        )
    );
}

#[tokio::test]
async fn key_is_requested_unchanged() {
    let server = ScriptedServer::replying(answer("200 OK", "x")).await;
    let origins = scripted(&server, keys("AKIA1", "s"));
    read(&origins, "s3://bucket//a//b c?versionId=v/1", Some((3, 9))).await.unwrap();
    let request = server.requests().remove(0);
    assert!(request.starts_with("GET /bucket//a//b%20c?versionId=v%2F1 HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("\r\nrange: bytes=3-8\r\n"), "{request}");
    assert!(request.contains("\r\naccept-encoding: identity\r\n"), "{request}");
    assert!(request.contains("SignedHeaders=host;x-amz-content-sha256;x-amz-date,"), "{request}");

    let refused = error(&origins, "s3://bucket/a/../b", None).await;
    assert!(matches!(refused, OriginError::Settings { .. }));
    assert_eq!(server.requests().len(), 1, "a rewritten key must not be requested");
}

#[tokio::test]
async fn s3_redirect_is_not_followed() {
    let document = "<Error><Code>PermanentRedirect</Code><Endpoint>b.s3.eu.example</Endpoint></Error>";
    let server = ScriptedServer::replying(
        answer("301 Moved", document).replace("\r\n\r\n", "\r\nLocation: http://127.0.0.1:1/\r\n\r\n"),
    )
    .await;
    let error = error(&scripted(&server, keys("AKIA1", "s")), "s3://bucket/key", None).await;
    assert!(matches!(error, OriginError::Status { status: 301, .. }));
    assert_eq!(
        error.to_string(),
        "s3://bucket/key answered 301: the bucket is at the endpoint \"b.s3.eu.example\"; set the origin's endpoint"
    );
}

#[tokio::test]
async fn rotated_credentials_are_reread_once() {
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "old\n").unwrap();
    let s3 = RealS3::start().await;
    s3.put("key", b"x");
    let from_file = keys(RealS3::KEY_ID, &format!("file:{}", secret.path().display()));
    let origins = lab(&s3, from_file);
    assert!(matches!(error(&origins, "s3://bucket/key", None).await, OriginError::AccessDenied { .. }));
    std::fs::write(secret.path(), RealS3::SECRET).unwrap();
    origins.remote(&source("s3://bucket/key")).age_credentials().await;
    assert_eq!(read(&origins, "s3://bucket/key", None).await.unwrap(), b"x");
}

#[tokio::test]
async fn instance_and_container_credentials_are_fetched() {
    use crate::origin::credentials::CredentialCache;
    use reqsign_core::{Context, StaticEnv};

    let given = r#"{"Code":"Success","AccessKeyId":"ASIA1","SecretAccessKey":"s","Token":"t","Expiration":"2099-01-01T00:00:00Z"}"#;
    let reply = |body: &str| Act::Reply(answer("200 OK", body).replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"));
    let metadata = ScriptedServer::start([reply("session"), reply("role"), reply(given), reply(given)]).await;
    let tls = crate::trust::client_config(tokio_rustls::rustls::RootCertStore::empty(), false).unwrap();
    let client = crate::origin::client::for_credentials(tls, &[]).unwrap();
    let envs = [
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT".to_owned(), metadata.url("")),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI".to_owned(), metadata.url("/task")),
    ];
    let context = Context::new()
        .with_http_send(reqsign_http_send_reqwest::ReqwestHttpSend::new(client))
        .with_env(StaticEnv { home_dir: None, envs: envs.into_iter().collect() });
    for credentials in [CredentialSource::Instance, CredentialSource::Container] {
        let cache = CredentialCache::new(credentials, context.clone()).unwrap();
        assert_eq!(cache.current("s3://b/").await.unwrap().access_key_id, "ASIA1");
    }
    let requests = metadata.requests();
    assert!(requests[0].starts_with("PUT /latest/api/token "), "{requests:?}");
    assert!(requests[2].starts_with("GET /latest/meta-data/iam/security-credentials/role "), "{requests:?}");
    assert!(requests[3].starts_with("GET /task "), "{requests:?}");
}

#[tokio::test]
async fn configured_header_fields_are_sent_signed() {
    let server = ScriptedServer::replying(answer("200 OK", "x")).await;
    let headers = [("x-amz-request-payer", "requester"), ("X-Gateway-Key", "one")];
    let headers = headers.map(|(name, value)| (name.to_owned(), Secret::new(value))).to_vec();
    let endpoint = Some(server.url("").parse().unwrap());
    let origin = OriginSettings { endpoint, credentials: keys("AKIA1", "s"), headers, ..settings("s3://") };
    assert_eq!(read(&origins(vec![origin]), "s3://bucket/key", None).await.unwrap(), b"x");
    let request = server.requests().remove(0);
    for field in ["x-amz-request-payer: requester", "x-gateway-key: one"] {
        assert!(request.contains(&format!("\r\n{field}\r\n")), "{request}");
    }
    assert!(request.contains("SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-request-payer,"), "{request}");
}

#[tokio::test]
async fn signed_header_field_is_accepted() {
    let s3 = RealS3::start().await;
    s3.put("key", b"x");
    let headers = vec![("x-amz-request-payer".to_owned(), Secret::new("requester"))];
    let credentials = keys(RealS3::KEY_ID, RealS3::SECRET);
    let endpoint = Some(s3.endpoint.clone());
    let origin = OriginSettings { endpoint, credentials, headers, ..settings("s3://") };
    assert_eq!(read(&origins(vec![origin]), "s3://bucket/key", Some((0, 8))).await.unwrap(), b"x");
}

#[tokio::test]
async fn refusal_after_success_is_marked() {
    let denied = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>";
    let reply = |status: &str, body: &str| {
        Act::Reply(answer(status, body).replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"))
    };
    let server = ScriptedServer::start([reply("403 No", denied), reply("200 OK", "x"), reply("403 No", denied)]).await;
    let origins = scripted(&server, keys("AKIA1", "s"));
    assert!(!error(&origins, "s3://bucket/key", None).await.is_transient(), "the origin has never answered well");
    read(&origins, "s3://bucket/key", None).await.unwrap();
    let refused = error(&origins, "s3://bucket/key", None).await;
    assert!(refused.is_transient() && matches!(refused, OriginError::AccessDenied { .. }), "{refused}");
}

#[tokio::test]
async fn expired_session_is_reloaded_once() {
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "old").unwrap();
    let expired = "<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>";
    let reply = |status: &str, body: &str| {
        Act::Reply(answer(status, body).replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"))
    };
    let bad = || reply("400 Bad Request", expired);
    let server = ScriptedServer::start([bad(), bad(), reply("200 OK", "x"), bad(), bad()]).await;
    let credentials = CredentialSource::Static {
        access_key_id: "ASIA1".into(),
        secret_access_key: Secret::new("s"),
        session_token: Some(Secret::new(format!("file:{}", token.path().display()))),
    };
    let origins = scripted(&server, credentials);
    let url = "s3://bucket/key";
    // Just read: there are no others.
    assert!(error(&origins, url, None).await.to_string().contains("(ExpiredToken: The provided token has expired.)"));
    for (token_text, requests) in [("new", 3), ("newest", 5)] {
        std::fs::write(token.path(), format!("{token_text}\n")).unwrap();
        origins.remote(&source(url)).age_credentials().await;
        let read = read(&origins, url, None).await;
        assert_eq!(read.is_ok(), token_text == "new", "a second refusal ends the read");
        assert_eq!(server.requests().len(), requests);
    }
    assert!(server.requests()[2].contains("\r\nx-amz-security-token: new\r\n"));
}
