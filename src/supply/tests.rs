//! Requests and uploads to an S3 server in this process, which checks signatures.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bootdepot_test_support::s3::{ACCESS_KEY, BUCKET, S3Server, SECRET_KEY};
use bytes::Bytes;
use http::header::IF_MATCH;
use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use s3s::service::S3Service;
use s3s::{HttpError, HttpResponse};

use super::*;
use crate::asset::SourceUrl;
use crate::origin::{Addressing, CredentialSource, OriginSettings, Origins, Timeouts};
use crate::secret::Secret;

const MIB: usize = 1 << 20;

/// The size of a part.
const PART: usize = 5 * MIB;

async fn pass(service: S3Service, request: Request<Incoming>) -> Result<HttpResponse, HttpError> {
    service.call(request.map(s3s::Body::from)).await
}

/// As Ceph does: an `ETag` in `If-Match` is compared byte for byte with the one that is kept, which has no quotes.
async fn compare_bare(service: S3Service, mut request: Request<Incoming>) -> Result<HttpResponse, HttpError> {
    if request.method() == Method::PUT
        && let Some(etag) = request.headers().get(IF_MATCH).cloned()
    {
        if etag.as_bytes().starts_with(b"\"") {
            return Ok(refusal(StatusCode::PRECONDITION_FAILED, "PreconditionFailed"));
        }
        let quoted = format!("\"{}\"", etag.to_str().unwrap()).parse().unwrap();
        request.headers_mut().insert(IF_MATCH, quoted);
    }
    pass(service, request).await
}

fn refusal(status: StatusCode, code: &str) -> HttpResponse {
    let body = format!("<Error><Code>{code}</Code><Message>no</Message></Error>");
    http::Response::builder().status(status).body(s3s::Body::from(body)).unwrap()
}

pub(in crate::supply) fn store(server: &S3Server) -> Store {
    let settings = OriginSettings {
        prefix: "s3://".parse().unwrap(),
        endpoint: Some(server.endpoint().parse().unwrap()),
        region: "us-east-1".to_owned(),
        addressing: Addressing::Path,
        credentials: CredentialSource::Static {
            access_key_id: ACCESS_KEY.to_owned(),
            secret_access_key: Secret::new(SECRET_KEY),
            session_token: None,
        },
        ca_file: None,
        insecure_skip_verify: false,
        proxy: None,
        headers: Vec::new(),
    };
    let timeouts = Timeouts { connect: Duration::from_secs(5), stall: Duration::from_secs(20) };
    let origins = Origins::new(vec![settings], timeouts).unwrap();
    let source: SourceUrl = format!("s3://{BUCKET}/x").parse().unwrap();
    Store::of(&origins, &source).unwrap()
}

/// Bytes of which no two parts or blocks are equal.
fn bytes(length: usize) -> Vec<u8> {
    (0_u32..).flat_map(u32::to_le_bytes).take(length).collect()
}

fn upload(store: &Store, key: &str) -> Upload {
    Upload::new(store.clone(), key, ObjectHeaders::default(), PartPlan::new(None).unwrap())
}

#[tokio::test]
async fn objects_are_written_and_deleted() {
    let server = S3Server::start(pass).await.unwrap();
    let store = store(&server);
    let headers = ObjectHeaders {
        content_type: Some("text/plain".to_owned()),
        metadata: vec![("server-id".to_owned(), "r630-01".to_owned())],
    };
    for key in ["a/b c+d?.txt", "ü%3F"] {
        store.put(key, Bytes::from_static(b"abc"), &headers, &Condition::Always).await.unwrap();
        let (bytes, head) = store.get(key).await.unwrap().unwrap();
        assert_eq!((&bytes[..], head.size), (&b"abc"[..], 3));
        let head = store.head(key).await.unwrap().unwrap();
        assert_eq!(head.metadata, headers.metadata);
    }
    let keys: Vec<String> = store.list("a/").await.unwrap().into_iter().map(|object| object.key).collect();
    assert_eq!(keys, ["a/b c+d?.txt"]);
    store.delete("ü%3F").await.unwrap();
    store.delete("ü%3F").await.unwrap();
    assert_eq!(store.head("ü%3F").await.unwrap(), None);
    assert!(store.get("ü%3F").await.unwrap().is_none());
}

#[tokio::test]
async fn upload_is_invisible_until_finished() {
    let server = S3Server::start(pass).await.unwrap();
    let store = store(&server);
    for length in [0, 7, PART, PART + 1, 21 * MIB + 3] {
        let content = bytes(length);
        let mut upload = upload(&store, "big");
        for piece in content.chunks(700_001) {
            upload.write(piece).await.unwrap();
        }
        let hashed = upload.seal().await.unwrap().clone();
        assert_eq!(store.head("big").await.unwrap(), None, "{length}: it is not finished");
        assert_eq!((hashed.size, hashed.digest), (length as u64, crate::asset::Digest::of(&content)));
        assert_eq!(hashed.blocks, hashed::blocks(&content), "{length}");
        assert_eq!(hashed.parts.len(), if length > PART { length.div_ceil(PART) } else { 0 });
        let progress = upload.progress();
        upload.finish(&Condition::Always).await.unwrap();
        assert_eq!((progress.stored(), progress.sent()), (length as u64, length as u64));
        assert!(store.get("big").await.unwrap().unwrap().0 == content, "{length}");
        store.delete("big").await.unwrap();
    }
}

#[tokio::test]
async fn aborted_upload_leaves_nothing() {
    let server = S3Server::start(pass).await.unwrap();
    let store = store(&server);
    let id = store.create_upload("big", &ObjectHeaders::default()).await.unwrap();
    let multipart = Multipart { upload_id: id.clone(), existing: Vec::new(), recorded: Vec::new() };
    let mut upload = upload(&store, "big").with_multipart(multipart);
    upload.write(&bytes(9 * MIB)).await.unwrap();
    upload.seal().await.unwrap();
    assert_eq!(store.list_parts("big", &id).await.unwrap().len(), 2);
    upload.abort().await.unwrap();
    // This server lists an unknown upload as one without parts.
    assert!(store.list_parts("big", &id).await.unwrap().is_empty());
    assert_eq!(store.head("big").await.unwrap(), None);
}

#[tokio::test]
async fn resumed_upload_sends_missing_parts() {
    let server = S3Server::start(pass).await.unwrap();
    let store = store(&server);
    let content = bytes(30 * MIB);
    let id = store.create_upload("big", &ObjectHeaders::default()).await.unwrap();
    let mut recorded = Vec::new();
    for (number, range) in [(1, 0..PART), (3, 2 * PART..3 * PART)] {
        let part = Bytes::copy_from_slice(&content[range]);
        let digest = crate::asset::Digest::of(&part);
        recorded.push(store.upload_part("big", &id, number, part, digest).await.unwrap());
    }
    // It has other bytes, so it is sent again.
    let other = Bytes::from(vec![7; PART]);
    let digest = crate::asset::Digest::of(&other);
    recorded.push(store.upload_part("big", &id, 2, other, digest).await.unwrap());
    let existing = store.list_parts("big", &id).await.unwrap();
    assert_eq!(existing.iter().map(|part| part.number).collect::<Vec<_>>(), [1, 2, 3]);
    let mut upload = upload(&store, "big").with_multipart(Multipart { upload_id: id, existing, recorded });
    let progress = upload.progress();
    upload.write(&content).await.unwrap();
    upload.finish(&Condition::Always).await.unwrap();
    assert_eq!((progress.stored(), progress.sent()), (30 * MIB as u64, 20 * MIB as u64));
    assert!(store.get("big").await.unwrap().unwrap().0 == content);
}

#[tokio::test]
async fn throttled_request_is_retried() {
    let requests = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&requests);
    let front = move |service: S3Service, request: Request<Incoming>| {
        let number = seen.fetch_add(1, Ordering::Relaxed);
        async move {
            match number {
                0 => Ok(refusal(StatusCode::SERVICE_UNAVAILABLE, "SlowDown")),
                1 => Ok(refusal(StatusCode::BAD_REQUEST, "RequestTimeout")),
                _ => pass(service, request).await,
            }
        }
    };
    let server = S3Server::start(front).await.unwrap();
    store(&server).put("k", Bytes::from_static(b"abc"), &ObjectHeaders::default(), &Condition::Always).await.unwrap();
    assert_eq!(requests.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn failed_completion_is_found_in_body() {
    let completions = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&completions);
    let front = move |service: S3Service, request: Request<Incoming>| {
        let completes =
            request.method() == Method::POST && request.uri().query().is_some_and(|q| q.contains("uploadId"));
        let first = completes && seen.fetch_add(1, Ordering::Relaxed) == 0;
        async move { if first { Ok(refusal(StatusCode::OK, "InternalError")) } else { pass(service, request).await } }
    };
    let server = S3Server::start(front).await.unwrap();
    let store = store(&server);
    let mut upload = upload(&store, "big");
    upload.write(&bytes(9 * MIB)).await.unwrap();
    upload.finish(&Condition::Always).await.unwrap();
    assert_eq!(completions.load(Ordering::Relaxed), 2);
    assert_eq!(store.head("big").await.unwrap().unwrap().size, 9 * MIB as u64);
}

#[tokio::test]
async fn refusals_have_code_of_store() {
    let front = |service: S3Service, request: Request<Incoming>| async move {
        let query = request.uri().query().unwrap_or_default().to_owned();
        match query.split('=').next() {
            Some("lifecycle") => Ok(refusal(StatusCode::NOT_FOUND, "NoSuchLifecycleConfiguration")),
            Some("policy") => Ok(refusal(StatusCode::NOT_IMPLEMENTED, "NotImplemented")),
            Some("uploadId") => Ok(refusal(StatusCode::NOT_FOUND, "NoSuchUpload")),
            Some("quota") => Ok(refusal(StatusCode::FORBIDDEN, "QuotaExceeded")),
            _ => pass(service, request).await,
        }
    };
    let server = S3Server::start(front).await.unwrap();
    let store = store(&server);
    let call = async |method: Method, name: &str, body: &'static str| {
        store.call(method, "", &[(name, "")], http::HeaderMap::new(), body).await
    };
    let error = call(Method::GET, "lifecycle", "").await.unwrap_err();
    assert!(error.is_not_found() && error.code() == "NoSuchLifecycleConfiguration", "{error}");
    assert!(call(Method::PUT, "policy", "{}").await.unwrap_err().is_not_supported());
    let error = call(Method::PUT, "quota", "x").await.unwrap_err();
    assert!(matches!(error, StoreError::Quota { .. }), "{error}");
    assert!(!error.to_string().contains(SECRET_KEY));
    let error = store.list_parts("k", "gone").await.unwrap_err();
    assert!(matches!(error, StoreError::NoSuchUpload { .. }), "{error}");
    store.abort_upload("k", "gone").await.unwrap();
}

#[tokio::test]
async fn bare_etags_are_found_by_probe() {
    let server = S3Server::start(compare_bare).await.unwrap();
    let store = store(&server).probed("x/", None).await.unwrap();
    assert_eq!(store.capabilities().if_matches, Some(EtagForm::Bare));
    assert!(store.capabilities().if_absent);
    let append =
        |text: &'static str| move |old: Option<&str>| Ok::<_, StoreError>(old.unwrap_or_default().to_owned() + text);
    assert!(store.change_text("x/list", "text/plain", append("a")).await.unwrap());
    assert!(store.change_text("x/list", "text/plain", append("b")).await.unwrap());
    assert_eq!(store.text("x/list").await.unwrap().as_deref(), Some("ab"));
    let stale = Condition::Matches("\"0123\"".to_owned());
    let error = store.put("x/list", Bytes::from_static(b"c"), &ObjectHeaders::default(), &stale).await.unwrap_err();
    assert!(matches!(error, StoreError::Precondition { .. }), "{error}");
}

/// As Ceph does in a bucket with versions: no condition ever holds for a version that does not exist yet.
#[tokio::test]
async fn refusal_of_true_condition_is_survived() {
    let front = |service: S3Service, request: Request<Incoming>| async move {
        if request.method() == Method::PUT && request.headers().contains_key(IF_MATCH) {
            return Ok(refusal(StatusCode::PRECONDITION_FAILED, "PreconditionFailed"));
        }
        pass(service, request).await
    };
    let server = S3Server::start(front).await.unwrap();
    let store = store(&server);
    let probed = store.clone().probed("x/", None).await.unwrap();
    assert_eq!(probed.capabilities().if_matches, None);
    // The bucket got versions after it was probed.
    let store = store.with_capabilities(Capabilities::ALL);
    store.put("list", Bytes::from_static(b"a"), &ObjectHeaders::default(), &Condition::Always).await.unwrap();
    let append = |old: Option<&str>| {
        let old = old.unwrap_or_default();
        Ok::<_, StoreError>(if old.ends_with('b') { old.to_owned() } else { format!("{old}b") })
    };
    assert!(store.change_text("list", "text/plain", append).await.unwrap());
    assert_eq!(store.text("list").await.unwrap().as_deref(), Some("ab"));
}
