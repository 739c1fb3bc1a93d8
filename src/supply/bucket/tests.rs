//! Buckets are set up at a server in this process that keeps documents, counts writes, and refuses what it is set to refuse.

use std::collections::HashMap;
use std::sync::Arc;

use bootdepot_test_support::s3::S3Server;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use parking_lot::Mutex;
use s3s::service::S3Service;
use s3s::{HttpError, HttpResponse};

use super::*;
use crate::supply::Store;
use crate::supply::tests::store;

/// A refusal: of which request, with which status and code.
type Refusal = (&'static str, u16, &'static str);

/// The documents of the bucket, by subresource.
#[derive(Default)]
struct Documents {
    texts: HashMap<String, String>,
    writes: Vec<String>,
    /// Requests `METHOD subresource` that are refused; with `body:TEXT`, those whose body has the text.
    refusals: Vec<Refusal>,
    /// Subresources whose writes are accepted and forgotten.
    forgets: Vec<&'static str>,
}

type Shared = Arc<Mutex<Documents>>;

/// The subresources that the server keeps itself.
const KEPT: [&str; 5] = ["versioning", "encryption", "publicAccessBlock", "policy", "lifecycle"];

fn reply(status: u16, body: impl Into<String>) -> HttpResponse {
    let status = StatusCode::from_u16(status).unwrap();
    http::Response::builder().status(status).body(s3s::Body::from(body.into())).unwrap()
}

fn refusal(status: u16, code: &str) -> HttpResponse {
    reply(status, format!("<Error><Code>{code}</Code><Message>no</Message></Error>"))
}

async fn answer(documents: Shared, service: S3Service, request: Request<Incoming>) -> Result<HttpResponse, HttpError> {
    let name = request.uri().query().and_then(|query| query.split('=').next()).unwrap_or_default().to_owned();
    let method = request.method().clone();
    if method == Method::PUT {
        documents.lock().writes.push(format!("{} {name}", request.uri().path()));
    }
    if !KEPT.contains(&name.as_str()) {
        return service.call(request.map(s3s::Body::from)).await;
    }
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let body = String::from_utf8(body.to_vec()).unwrap();
    let mut documents = documents.lock();
    let request = format!("{method} {name}");
    let is_refused = |(what, ..): &&Refusal| match what.strip_prefix("body:") {
        Some(text) => body.contains(text),
        None => *what == request,
    };
    if let Some((_, status, code)) = documents.refusals.iter().find(is_refused) {
        return Ok(refusal(*status, code));
    }
    Ok(match method {
        Method::PUT if documents.forgets.contains(&name.as_str()) => reply(200, ""),
        Method::PUT => {
            documents.texts.insert(name, body);
            reply(200, "")
        }
        Method::DELETE => {
            documents.texts.remove(&name);
            reply(204, "")
        }
        _ => match documents.texts.get(&name) {
            Some(text) => reply(200, text.clone()),
            None if name == "versioning" => reply(200, "<VersioningConfiguration/>"),
            None => refusal(404, "NoSuchConfiguration"),
        },
    })
}

/// The server, the store of its bucket, and its documents.
async fn bucket(refusals: &[Refusal]) -> (S3Server, Store, Shared) {
    let documents = Shared::default();
    documents.lock().refusals = refusals.to_vec();
    let shared = Arc::clone(&documents);
    let server = S3Server::start(move |service, request| answer(Arc::clone(&shared), service, request)).await.unwrap();
    let store = store(&server);
    (server, store, documents)
}

fn plan(store: &Store, purpose: BucketPurpose) -> BucketPlan {
    BucketPlan { folders: vec!["okd/".to_owned()], ..BucketPlan::of(purpose, store.bucket()) }
}

fn outcomes(steps: &[Step]) -> Vec<(&'static str, &'static str)> {
    steps.iter().map(|step| (step.setting.as_str(), step.outcome.as_str())).collect()
}

#[tokio::test]
async fn second_init_writes_nothing() {
    for purpose in [BucketPurpose::Isos, BucketPurpose::Binaries, BucketPurpose::Temp, BucketPurpose::Public] {
        let (_server, store, documents) = bucket(&[]).await;
        let plan = BucketPlan { folders: Vec::new(), ..plan(&store, purpose) };
        let dry = InitOptions { dry_run: true, ..InitOptions::default() };
        let planned = init_bucket(&store, &plan, &dry).await;
        assert!(documents.lock().writes.is_empty(), "{purpose:?}");
        let first = init_bucket(&store, &plan, &InitOptions::default()).await;
        assert!(first[1..].iter().all(|step| step.outcome == StepOutcome::Changed), "{first:?}");
        assert_eq!(planned.len(), first.len());
        let writes = documents.lock().writes.len();
        assert_eq!(writes, first.len() - 1);
        let second = init_bucket(&store, &plan, &InitOptions::default()).await;
        assert!(second.iter().all(|step| step.outcome == StepOutcome::Same), "{second:?}");
        assert_eq!(documents.lock().writes.len(), writes, "{purpose:?}");
    }
}

#[tokio::test]
async fn unsupported_settings_are_no_failure() {
    let unsupported = [
        ("GET versioning", 501, "NotImplemented"),
        ("PUT encryption", 405, "MethodNotAllowed"),
        ("GET policy", 501, "NotImplemented"),
        ("body:GLACIER_IR", 400, "InvalidStorageClass"),
    ];
    let (_server, store, documents) = bucket(&unsupported).await;
    let plan = BucketPlan { public_read: true, folders: Vec::new(), ..plan(&store, BucketPurpose::Isos) };
    let expected = [
        ("bucket", "same"),
        ("versioning", "not-supported"),
        ("encryption", "not-supported"),
        ("policy", "not-supported"),
        ("lifecycle", "changed"),
        ("archive", "not-supported"),
    ];
    assert_eq!(outcomes(&init_bucket(&store, &plan, &InitOptions::default()).await), expected);
    assert!(documents.lock().texts["lifecycle"].contains("bootdepot-abort-uploads"));
    let plain = BucketPlan { public_read: false, ..BucketPlan::of(BucketPurpose::Other, store.bucket()) };
    let steps = init_bucket(&store, &plain, &InitOptions::default()).await;
    assert!(steps.iter().all(|step| step.setting != Setting::Policy), "nothing is wanted of it: {steps:?}");
}

/// As Ceph 16 answers.
#[tokio::test]
async fn listing_is_no_encryption_setting() {
    let (_server, store, documents) = bucket(&[("PUT encryption", 400, "InvalidArgument")]).await;
    let listing = "<?xml version=\"1.0\"?><ListBucketResult xmlns=\"x\"><Name>assets</Name></ListBucketResult>";
    documents.lock().texts.insert("encryption".to_owned(), listing.to_owned());
    let steps = init_bucket(&store, &plan(&store, BucketPurpose::Binaries), &InitOptions::default()).await;
    let found = steps.iter().find(|step| step.setting == Setting::Encryption).unwrap();
    assert_eq!(found.outcome, StepOutcome::NotSupported);
    assert_eq!(found.detail, "not supported by this server (it answers with a listing of the bucket)");
    assert!(documents.lock().writes.iter().all(|write| !write.ends_with("encryption")));
}

#[tokio::test]
async fn failed_setting_leaves_others_written() {
    let (_server, store, documents) = bucket(&[("PUT encryption", 403, "AccessDenied")]).await;
    documents.lock().forgets.push("versioning");
    let steps = init_bucket(&store, &plan(&store, BucketPurpose::Isos), &InitOptions::default()).await;
    let of = |setting: Setting| steps.iter().find(|step| step.setting == setting).unwrap();
    assert_eq!(of(Setting::Encryption).outcome, StepOutcome::Failed);
    assert!(of(Setting::Versioning).detail.contains("answers with something else"), "{steps:?}");
    assert_eq!(of(Setting::Lifecycle).outcome, StepOutcome::Changed);
}

#[tokio::test]
async fn mfa_delete_needs_second_factor() {
    let (_server, store, documents) = bucket(&[]).await;
    let plan = BucketPlan { mfa_delete: true, ..BucketPlan::of(BucketPurpose::Isos, store.bucket()) };
    let steps = init_bucket(&store, &plan, &InitOptions::default()).await;
    let mfa = steps.iter().find(|step| step.setting == Setting::MfaDelete).unwrap();
    assert_eq!(mfa.outcome, StepOutcome::Failed);
    assert!(mfa.detail.contains("--mfa"), "{mfa:?}");
    let options = InitOptions { mfa: Some("serial 123456".to_owned()), ..InitOptions::default() };
    let steps = init_bucket(&store, &plan, &options).await;
    assert!(steps.iter().any(|step| step.setting == Setting::MfaDelete && step.outcome == StepOutcome::Changed));
    assert!(documents.lock().texts["versioning"].contains("<MfaDelete>Enabled"));
}

#[tokio::test]
async fn public_bucket_opens_access_block() {
    let (_server, store, documents) = bucket(&[]).await;
    let closed =
        "<PublicAccessBlockConfiguration><BlockPublicPolicy>true</BlockPublicPolicy></PublicAccessBlockConfiguration>";
    documents.lock().texts.insert("publicAccessBlock".to_owned(), closed.to_owned());
    let public = BucketPlan::of(BucketPurpose::Public, store.bucket());
    init_bucket(&store, &public, &InitOptions::default()).await;
    assert!(documents.lock().texts["publicAccessBlock"].contains("<BlockPublicPolicy>false<"));
    assert!(documents.lock().texts["policy"].contains("bootdepot-public-read"));
}
