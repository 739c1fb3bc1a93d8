//! The origin of a test: an S3 server behind a proxy that counts the bytes it sends and injects faults by rule.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Instant;

use bootdepot::asset::Digest;
use bytes::Bytes;
use futures_util::stream;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG, IF_MATCH, IF_NONE_MATCH, RETRY_AFTER};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use s3s::service::S3Service;
use s3s::{Body, HttpError, HttpResponse};
use tokio::sync::watch;

use super::s3::{BUCKET, S3Server};
use super::{runtime, timeout};

/// An S3 server that counts requests and bytes, and injects faults.
pub(crate) struct FakeOrigin {
    server: S3Server,
    front: Arc<FaultProxy>,
}

/// An object that a test stored.
#[derive(Clone)]
pub(crate) struct Object {
    pub(crate) key: String,
    pub(crate) bytes: Bytes,
}

/// A fault of a reply. Offsets and lengths are in bytes.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// The connection ends after this much of the reply's body.
    Cut(u64),
    /// The reply stops after this much of its body, and the connection stays open.
    Stall(u64),
    /// An S3 error document with this status and code.
    Status(u16, &'static str),
    /// The reply ends properly, but is this much shorter than its `Content-Range`.
    Truncate(u64),
    /// The reply is 200 with the whole object, whatever range was requested.
    IgnoreRange,
    /// The reply carries this `ETag`.
    Etag(&'static str),
    /// The byte of the object at this offset is changed.
    Flip(u64),
    /// The reply carries this header field.
    Field(&'static str, String),
}

#[derive(Default)]
struct FaultProxy {
    state: Mutex<OriginState>,
    changed: Condvar,
}

#[derive(Default)]
struct OriginState {
    objects: HashMap<String, ObjectState>,
    rules: Vec<Rule>,
}

struct ObjectState {
    bytes: Bytes,
    /// Each request, as `GET bytes=0-99 206`.
    seen: Vec<String>,
    sent: u64,
    /// How many bytes may be sent in total. Bodies wait until it is raised.
    allowance: watch::Sender<u64>,
    parts: Option<Parts>,
}

/// The parts in which an object was uploaded.
struct Parts {
    checksum: String,
    /// The bytes of each. `None`: requests for it are throttled.
    size: Option<usize>,
}

struct Rule {
    key: String,
    fault: Fault,
    left: usize,
}

impl Object {
    /// Returns its digest in the form of a catalog.
    pub(crate) fn sha256(&self) -> String {
        Digest::of(&self.bytes).to_string()
    }

    /// Returns the same bytes under another key.
    pub(crate) fn named(mut self, key: &str) -> Self {
        key.clone_into(&mut self.key);
        self
    }

    /// Returns its length in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.bytes.len() as u64
    }
}

impl FakeOrigin {
    /// Starts an origin with an empty bucket and no faults.
    pub(crate) fn start() -> Self {
        let front = Arc::new(FaultProxy::default());
        let hook = Arc::clone(&front);
        let server = runtime().block_on(S3Server::start(move |s3, request| Arc::clone(&hook).answer(s3, request)));
        Self { server: server.expect("the S3 server starts on a free port"), front }
    }

    /// Returns the value for an origin's `endpoint` setting.
    pub(crate) fn endpoint(&self) -> String {
        self.server.endpoint()
    }

    /// Stores an object. Replaces an existing one.
    pub(crate) fn put(&self, key: &str, bytes: impl Into<Bytes>) -> Object {
        let bytes = bytes.into();
        runtime().block_on(self.server.put(key, bytes.clone())).expect("the object can be stored");
        let mut state = self.front.state();
        let object = state.objects.entry(key.to_owned()).or_insert_with(|| ObjectState {
            bytes: Bytes::new(),
            seen: Vec::new(),
            sent: 0,
            allowance: watch::Sender::new(u64::MAX),
            parts: None,
        });
        object.bytes = bytes.clone();
        Object { key: key.to_owned(), bytes }
    }

    /// The keys of all objects in the bucket.
    pub(crate) fn keys(&self) -> Vec<String> {
        self.server.keys().expect("the bucket can be listed")
    }

    /// Injects this fault into all further replies for `key`.
    pub(crate) fn always(&self, key: &str, fault: Fault) {
        self.times(usize::MAX, key, fault);
    }

    /// Injects this fault into the next `times` replies for `key`. If a key has several rules, the oldest is used up first.
    pub(crate) fn times(&self, times: usize, key: &str, fault: Fault) {
        self.front.state().rules.push(Rule { key: key.to_owned(), fault, left: times });
    }

    /// Removes all faults.
    pub(crate) fn heal(&self) {
        self.front.state().rules.clear();
    }

    /// Makes the object one that was uploaded in parts of `size` bytes, with this checksum of theirs. `None`: the store throttles
    /// requests for a part.
    pub(crate) fn set_parts(&self, key: &str, size: Option<usize>, checksum: &str) {
        self.front.state().object(key).parts = Some(Parts { checksum: checksum.to_owned(), size });
    }

    /// Limits the bytes of the object that may be sent, counted from the start of the origin. Replies wait until it is raised.
    pub(crate) fn allow(&self, key: &str, bytes: u64) {
        self.front.state().object(key).allowance.send_replace(bytes);
    }

    /// Returns how many bytes of the object were sent.
    pub(crate) fn sent(&self, key: &str) -> u64 {
        self.front.state().object(key).sent
    }

    /// Returns the requests for the object in the order of their replies, each as `GET bytes=0-99 206`.
    pub(crate) fn seen(&self, key: &str) -> Vec<String> {
        self.front.state().object(key).seen.clone()
    }

    /// Waits until at least `bytes` of the object were sent in total.
    pub(crate) fn wait_until_sent(&self, key: &str, bytes: u64) {
        let deadline = Instant::now() + timeout();
        let mut state = self.front.state();
        while state.object(key).sent < bytes {
            let left = deadline.saturating_duration_since(Instant::now());
            let object = state.object(key);
            assert!(!left.is_zero(), "only {} of {bytes} bytes of {key} were sent: {:?}", object.sent, object.seen);
            state = self.front.changed.wait_timeout(state, left).expect("no test panics with the state").0;
        }
    }

    /// Waits until there were at least `count` requests for the object, and returns all of them.
    pub(crate) fn wait_until_seen(&self, key: &str, count: usize) -> Vec<String> {
        let deadline = Instant::now() + timeout();
        let mut state = self.front.state();
        while state.object(key).seen.len() < count {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "fewer than {count} requests for {key}: {:?}", state.object(key).seen);
            state = self.front.changed.wait_timeout(state, left).expect("no test panics with the state").0;
        }
        state.object(key).seen.clone()
    }
}

impl FaultProxy {
    fn state(&self) -> MutexGuard<'_, OriginState> {
        self.state.lock().expect("no test panics with the state")
    }

    /// Returns the S3 service's reply to one request, changed by at most one fault.
    async fn answer(self: Arc<Self>, s3: S3Service, request: Request<Incoming>) -> Result<HttpResponse, HttpError> {
        let path = percent_encoding::percent_decode_str(request.uri().path()).decode_utf8_lossy().into_owned();
        let key = path.strip_prefix(&format!("/{BUCKET}/")).unwrap_or_default().to_owned();
        let (method, headers) = (request.method().clone(), request.headers().clone());
        let text = |name: &str| headers.get(name).map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned());
        let fault = self.state().take_fault(&key, text("range").as_deref());
        let is_for_part = request.uri().query().is_some_and(|query| query.contains("partNumber=1"));

        let mut reply = match fault {
            Some(Fault::Status(status, code)) => error_document(status, code),
            _ => s3.call(request.map(Body::from)).await?,
        };
        match fault {
            Some(Fault::IgnoreRange) if reply.status() == StatusCode::PARTIAL_CONTENT => {
                let whole = self.state().object(&key).bytes.clone();
                *reply.status_mut() = StatusCode::OK;
                reply.headers_mut().remove(CONTENT_RANGE);
                reply.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(whole.len()));
                *reply.body_mut() = Body::from(whole);
            }
            Some(Fault::Etag(etag)) => drop(reply.headers_mut().insert(ETAG, HeaderValue::from_static(etag))),
            Some(Fault::Field(name, ref value)) => {
                let value = HeaderValue::from_str(value).expect("a test names a valid value");
                reply.headers_mut().insert(name, value);
            }
            Some(Fault::Truncate(bytes)) if reply.status().is_success() => {
                let length = content_length(&reply).saturating_sub(bytes);
                reply.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
            }
            // s3s ignores these conditions on reads; S3 does not.
            None if reply.status().is_success() => {
                let known = headers.get(IF_NONE_MATCH);
                if known.is_some() && reply.headers().get(ETAG) == known {
                    *reply.status_mut() = StatusCode::NOT_MODIFIED;
                    *reply.body_mut() = Body::empty();
                    reply.headers_mut().remove(CONTENT_LENGTH);
                }
                let wanted = headers.get(IF_MATCH);
                if wanted.is_some_and(|etag| etag != "*" && reply.headers().get(ETAG) != Some(etag)) {
                    reply = error_document(412, "PreconditionFailed");
                }
            }
            _ => {}
        }

        let mut state = self.state();
        let Some(object) = state.objects.get_mut(&key) else { return Ok(reply) };
        if let Some(parts) = object.parts.as_ref().filter(|_| reply.status().is_success()) {
            reply = parts.describe(reply, is_for_part);
        }
        let status = reply.status();
        object.seen.push(format!("{method} {} {}", text("range").as_deref().unwrap_or("-"), status.as_u16()));
        let allowance = object.allowance.subscribe();
        drop(state);
        self.changed.notify_all();
        if method != Method::GET || !status.is_success() {
            return Ok(reply);
        }
        let end = content_length(&reply);
        let at = first_byte(reply.headers().get(CONTENT_RANGE));
        let (head, body) = reply.into_parts();
        let body = ReplyBody { front: Arc::clone(&self), key, fault, body, at, sent: 0, end, allowance };
        Ok(Response::from_parts(head, Body::http_body_unsync(StreamBody::new(body.frames()))))
    }
}

impl Parts {
    /// The reply of S3 about an object in parts, or about its first part.
    fn describe(&self, mut reply: HttpResponse, is_for_part: bool) -> HttpResponse {
        if is_for_part {
            let Some(size) = self.size else { return error_document(503, "SlowDown") };
            *reply.status_mut() = StatusCode::PARTIAL_CONTENT;
            reply.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(size));
        }
        let checksum = HeaderValue::from_str(&self.checksum).expect("a checksum is ASCII");
        reply.headers_mut().insert("x-amz-checksum-sha256", checksum);
        reply
    }
}

impl OriginState {
    fn object(&mut self, key: &str) -> &mut ObjectState {
        self.objects.get_mut(key).unwrap_or_else(|| panic!("the test stored no object {key:?}"))
    }

    /// Returns the fault for this request, if a rule that is not used up matches. A flipped byte only matches a range with it.
    fn take_fault(&mut self, key: &str, range: Option<&str>) -> Option<Fault> {
        let holds = |fault: &Fault| match (fault, range.and_then(parse_range)) {
            (Fault::Flip(at), Some((first, last))) => (first..=last).contains(at),
            _ => true,
        };
        let rule = self.rules.iter_mut().find(|r| r.key == key && r.left > 0 && holds(&r.fault))?;
        rule.left -= 1;
        Some(rule.fault.clone())
    }
}

/// The body of a reply that is being sent.
struct ReplyBody {
    front: Arc<FaultProxy>,
    key: String,
    fault: Option<Fault>,
    body: Body,
    /// The object's offset of the next byte.
    at: u64,
    sent: u64,
    end: u64,
    allowance: watch::Receiver<u64>,
}

impl ReplyBody {
    fn frames(self) -> impl futures_util::Stream<Item = io::Result<Frame<Bytes>>> {
        stream::unfold(self, |mut sending| async move { Some((sending.next().await?.map(Frame::data), sending)) })
    }

    /// Waits until the allowance has room for the next piece, and returns it.
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        let stop = match self.fault {
            Some(Fault::Cut(after) | Fault::Stall(after)) => after.min(self.end),
            _ => self.end,
        };
        if self.sent == stop {
            match self.fault {
                Some(Fault::Cut(_)) => {
                    // The task of the connection runs once more and sends the bytes that it has.
                    tokio::task::yield_now().await;
                    return Some(Err(io::Error::other("cut by the test")));
                }
                Some(Fault::Stall(_)) => match std::future::pending::<Infallible>().await {},
                _ => return None,
            }
        }
        let mut piece = loop {
            match self.body.frame().await? {
                Ok(frame) => match frame.into_data() {
                    Ok(piece) if !piece.is_empty() => break piece,
                    _ => {}
                },
                Err(error) => return Some(Err(io::Error::other(error))),
            }
        };
        piece.truncate(usize::try_from(stop - self.sent).unwrap_or(usize::MAX));
        let length = piece.len() as u64;
        if let Some(Fault::Flip(at)) = self.fault
            && (self.at..self.at + length).contains(&at)
        {
            let mut bytes = piece.to_vec();
            bytes[usize::try_from(at - self.at).unwrap_or_default()] ^= 0xff;
            piece = bytes.into();
        }
        loop {
            let allowed = *self.allowance.borrow_and_update();
            {
                let mut state = self.front.state();
                let object = state.object(&self.key);
                if object.sent + length <= allowed {
                    object.sent += length;
                    break;
                }
            }
            self.allowance.changed().await.ok()?;
        }
        self.front.changed.notify_all();
        (self.at, self.sent) = (self.at + length, self.sent + length);
        Some(Ok(piece))
    }
}

fn error_document(status: u16, code: &str) -> HttpResponse {
    let body =
        format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>injected by the test</Message></Error>");
    let mut reply = Response::new(Body::from(body));
    *reply.status_mut() = StatusCode::from_u16(status).expect("a test names a valid status");
    reply.headers_mut().insert("content-type", HeaderValue::from_static("application/xml"));
    if status == 503 {
        // The tests need the retry, not the pause before it.
        reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("0"));
    }
    reply
}

fn content_length(reply: &HttpResponse) -> u64 {
    reply.headers().get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse().ok()).unwrap_or(0)
}

/// Parses `bytes=FIRST-LAST`. Without LAST the range has no end.
fn parse_range(text: &str) -> Option<(u64, u64)> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    Some((first.parse().ok()?, last.parse().unwrap_or(u64::MAX)))
}

/// Returns FIRST of `bytes FIRST-LAST/SIZE`, 0 without one.
fn first_byte(content_range: Option<&HeaderValue>) -> u64 {
    let first = |v: &HeaderValue| v.to_str().ok()?.strip_prefix("bytes ")?.split_once('-')?.0.parse().ok();
    content_range.and_then(first).unwrap_or(0)
}
