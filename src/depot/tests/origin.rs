//! A fake HTTP origin: objects with strong `ETags`, ranged reads, and faults on demand.

use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::asset::SourceUrl;

/// A fault of an origin, for `disk.img` only.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// Every response has this status.
    Status(u16),
    /// Sends the whole object, whatever the range.
    IgnoreRange,
    /// The same for one request, after this many others.
    IgnoreRangeOnce { after: usize },
    /// The byte at this offset is wrong.
    Flip { at: usize },
    /// The same, in the first response that has it.
    FlipOnce { at: usize },
    /// A body ends after this many bytes, this many times.
    CutAfter { bytes: usize, times: usize },
    /// A body stalls after this many bytes, this many times.
    StallAfter { bytes: usize, times: usize },
    /// After this many requests the object has another validator.
    ChangeAfter { requests: usize },
    /// Each response has another validator.
    AlwaysChange,
    /// Bytes from this offset on are held back until [`FakeOrigin::heal`].
    HoldFrom { at: usize },
    /// A body brings one byte at a time from this offset on, this many times.
    Drip { at: usize, times: usize },
    /// No response comes until [`FakeOrigin::heal`].
    Silent,
    /// A request with a condition gets this status.
    RefuseCondition(u16),
    /// No response says how long the object is.
    NoLength,
    /// Ranged requests are answered in an odd way.
    Range(OddRange),
}

/// An odd answer to a ranged request.
#[derive(Debug, Clone, Copy)]
pub(crate) enum OddRange {
    /// The total is `*`.
    UnknownTotal,
    /// At most this many bytes.
    Less(usize),
    /// The bytes of all blocks of this size that the range touches.
    Aligned(usize),
    /// The whole, as a 206.
    Everything,
    /// A 206 without `Content-Range`.
    NoContentRange,
    /// A 206 as multipart/byteranges.
    Multipart,
    /// The bytes of the range, as a 200.
    As200,
    /// A 416.
    Refused,
    /// The first bytes of the object instead of those requested, and a `Content-Range` that says so.
    WrongOffset,
    /// The same, and a `Content-Range` that hides it.
    HiddenOffset,
    /// Another total than the object has.
    WrongTotal,
}

#[derive(Default)]
struct State {
    objects: HashMap<String, Bytes>,
    faults: Vec<Fault>,
    sent: HashMap<String, u64>,
    requests: usize,
}

/// A fake origin. Its task ends with the test's runtime.
pub(crate) struct FakeOrigin {
    address: std::net::SocketAddr,
    state: Arc<Mutex<State>>,
    healed: watch::Sender<bool>,
}

impl FakeOrigin {
    pub(crate) async fn start(data: Vec<u8>, faults: &[Fault]) -> Self {
        let objects = HashMap::from([("disk.img".to_owned(), Bytes::from(data))]);
        let state = State { objects, faults: faults.to_vec(), ..State::default() };
        let state = Arc::new(Mutex::new(state));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, healed) = (listener.local_addr().unwrap(), watch::Sender::new(false));
        let (shared, heal) = (Arc::clone(&state), healed.subscribe());
        tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let (shared, heal) = (Arc::clone(&shared), heal.clone());
                let service = hyper::service::service_fn(move |request| {
                    let is_silent = shared.lock().unwrap().faults.iter().any(|fault| matches!(fault, Fault::Silent));
                    let (response, mut heal) = (respond(&request, &shared, &heal), heal.clone());
                    async move {
                        if is_silent {
                            let _ = heal.wait_for(|healed| *healed).await;
                        }
                        Ok::<_, Infallible>(response)
                    }
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service),
                );
            }
        });
        Self { address, state, healed }
    }

    pub(crate) fn url(&self, name: &str) -> SourceUrl {
        format!("http://{}/{name}", self.address).parse().unwrap()
    }

    pub(crate) fn put(&self, name: &str, data: Vec<u8>) {
        self.state.lock().unwrap().objects.insert(name.to_owned(), data.into());
    }

    /// Replaces the faults, and releases bytes that are held back.
    pub(crate) fn set_faults(&self, faults: &[Fault]) {
        self.state.lock().unwrap().faults = faults.to_vec();
        self.healed.send_replace(true);
    }

    /// Removes all faults, and releases bytes that are held back.
    pub(crate) fn heal(&self) {
        self.set_faults(&[]);
    }

    /// Requests for `disk.img` so far.
    pub(crate) fn requests(&self) -> usize {
        self.state.lock().unwrap().requests
    }

    /// Bytes of the object sent so far.
    pub(crate) fn sent(&self, name: &str) -> u64 {
        self.state.lock().unwrap().sent.get(name).copied().unwrap_or_default()
    }
}

fn respond(
    request: &Request<Incoming>,
    shared: &Arc<Mutex<State>>,
    heal: &watch::Receiver<bool>,
) -> Response<FaultyBody> {
    let mut state = shared.lock().unwrap();
    let name = request.uri().path().trim_start_matches('/').to_owned();
    let is_image = name == "disk.img";
    state.requests += usize::from(is_image);
    let requests = state.requests;
    let Some(data) = state.objects.get(&name).cloned() else { return status(404) };
    let mut body = FaultyBody { heal: heal.clone(), ..FaultyBody::new(name, data.clone(), Arc::clone(shared)) };
    let (mut etag, mut ignore, mut once) = ("v1".to_owned(), false, None);
    let (mut sized, mut odd) = (true, None);
    let range = requested_range(request.headers(), data.len());
    let is_conditional = request.headers().contains_key(header::IF_MATCH);
    for fault in state.faults.iter_mut().filter(|_| is_image) {
        match fault {
            Fault::Status(code) => return status(*code),
            Fault::IgnoreRange => ignore = true,
            Fault::IgnoreRangeOnce { after } => ignore |= requests == *after + 1,
            Fault::Flip { at } => body.flip(*at),
            Fault::FlipOnce { at } => {
                if range.contains(at) {
                    body.flip(*at);
                    once = Some(*at);
                }
            }
            Fault::CutAfter { bytes, times } if *times > 0 && range.len() > *bytes => {
                *times -= 1;
                body.cut = Some(*bytes);
            }
            Fault::StallAfter { bytes, times } if body.cut.is_none() && *times > 0 && range.len() > *bytes => {
                *times -= 1;
                body.stall = Some(*bytes);
            }
            Fault::ChangeAfter { requests: after } if requests > *after => "v2".clone_into(&mut etag),
            Fault::AlwaysChange => etag = format!("v{requests}"),
            Fault::HoldFrom { at } => body.hold = Some(*at),
            Fault::Drip { at, times } if *times > 0 && range.end > *at => {
                *times -= 1;
                body.drip = Some(*at);
            }
            Fault::RefuseCondition(code) if is_conditional => return status(*code),
            Fault::NoLength => sized = false,
            Fault::Range(kind) => odd = Some(*kind),
            Fault::CutAfter { .. }
            | Fault::StallAfter { .. }
            | Fault::ChangeAfter { .. }
            | Fault::Drip { .. }
            | Fault::RefuseCondition(_)
            | Fault::Silent => {}
        }
    }
    if once.is_some() {
        state.faults.retain(|fault| !matches!(fault, Fault::FlipOnce { .. }));
    }
    drop(state);
    let etag = format!("\"{etag}\"");
    if request.headers().get(header::IF_MATCH).is_some_and(|wanted| wanted != etag.as_str()) {
        return status(412);
    }
    let response = Response::builder().header(header::ETAG, etag);
    let total = data.len();
    body.sized = sized;
    if !sized {
        return response.body(body).unwrap();
    }
    if let Some(odd) = odd.filter(|_| request.headers().contains_key(header::RANGE)) {
        return odd_response(odd, range, body, response);
    }
    if ignore || !request.headers().contains_key(header::RANGE) {
        return response.header(header::CONTENT_LENGTH, total).body(body).unwrap();
    }
    if range.start >= total {
        let response = response.status(416).header(header::CONTENT_RANGE, format!("bytes */{total}"));
        return response.body(body.empty()).unwrap();
    }
    let content_range = format!("bytes {}-{}/{total}", range.start, range.end - 1);
    body.from = range.start;
    body.data = body.data.slice(range.clone());
    let response = response.status(StatusCode::PARTIAL_CONTENT).header(header::CONTENT_RANGE, content_range);
    response.header(header::CONTENT_LENGTH, range.len()).body(body).unwrap()
}

fn odd_response(
    odd: OddRange,
    range: std::ops::Range<usize>,
    mut body: FaultyBody,
    response: http::response::Builder,
) -> Response<FaultyBody> {
    let total = body.data.len();
    let (mut sent, mut stated_total) = (range.clone(), total.to_string());
    match odd {
        OddRange::UnknownTotal => "*".clone_into(&mut stated_total),
        OddRange::Less(most) => sent.end = sent.end.min(sent.start + most),
        OddRange::Aligned(block) => sent = range.start / block * block..total.min(range.end.div_ceil(block) * block),
        OddRange::Everything => sent = 0..total,
        OddRange::WrongOffset | OddRange::HiddenOffset => sent = 0..range.len(),
        OddRange::WrongTotal => stated_total = (total + 7).to_string(),
        OddRange::NoContentRange | OddRange::Multipart | OddRange::As200 => {}
        OddRange::Refused => return status(416),
    }
    body.from = sent.start;
    body.data = body.data.slice(sent.clone());
    let stated = if matches!(odd, OddRange::HiddenOffset) { range } else { sent.clone() };
    let content_range = format!("bytes {}-{}/{stated_total}", stated.start, stated.end - 1);
    let response = response.header(header::CONTENT_LENGTH, sent.len());
    let response = match odd {
        OddRange::As200 => response,
        OddRange::NoContentRange => response.status(206),
        OddRange::Multipart => response.status(206).header(header::CONTENT_TYPE, "multipart/byteranges; boundary=x"),
        _ => response.status(206).header(header::CONTENT_RANGE, content_range),
    };
    response.body(body).unwrap()
}

fn requested_range(headers: &HeaderMap, total: usize) -> std::ops::Range<usize> {
    let Some(text) = headers.get(header::RANGE) else { return 0..total };
    let (from, to) = text.to_str().unwrap().strip_prefix("bytes=").unwrap().split_once('-').unwrap();
    let (from, to): (usize, usize) = (from.parse().unwrap(), to.parse().unwrap());
    from..total.min(to + 1).max(from)
}

fn status(code: u16) -> Response<FaultyBody> {
    let body = FaultyBody::new(String::new(), Bytes::new(), Arc::default());
    Response::builder().status(code).header(header::CONTENT_LENGTH, 0).body(body).unwrap()
}

/// A body in pieces of 16 KiB, with faults.
struct FaultyBody {
    name: String,
    data: Bytes,
    from: usize,
    sent: usize,
    cut: Option<usize>,
    flushed: bool,
    stall: Option<usize>,
    hold: Option<usize>,
    drip: Option<usize>,
    dripping: Option<Pin<Box<tokio::time::Sleep>>>,
    /// Whether the response says how long the body is.
    sized: bool,
    heal: watch::Receiver<bool>,
    waiting: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    shared: Arc<Mutex<State>>,
}

impl FaultyBody {
    /// A body without faults, of the object `name`.
    fn new(name: String, data: Bytes, shared: Arc<Mutex<State>>) -> Self {
        Self {
            name,
            data,
            from: 0,
            sent: 0,
            cut: None,
            flushed: false,
            stall: None,
            hold: None,
            drip: None,
            dripping: None,
            sized: true,
            heal: watch::channel(true).1,
            waiting: None,
            shared,
        }
    }

    fn flip(&mut self, at: usize) {
        let mut data = self.data.to_vec();
        data[at] ^= 0x20;
        self.data = data.into();
    }

    fn empty(mut self) -> Self {
        self.data.clear();
        self
    }
}

impl http_body::Body for FaultyBody {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        if self.data.is_empty() {
            return Poll::Ready(None);
        }
        if self.cut.is_some_and(|cut| self.sent >= cut) {
            // Pending once, so that hyper flushes what was sent so far instead of dropping it.
            if !std::mem::replace(&mut self.flushed, true) {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            return Poll::Ready(Some(Err(std::io::Error::other("cut"))));
        }
        if self.stall.is_some_and(|stall| self.sent >= stall) {
            return Poll::Pending;
        }
        if self.hold.is_some_and(|hold| self.from + self.sent >= hold) && !*self.heal.borrow() {
            let mut heal = self.heal.clone();
            let waiting = self.waiting.get_or_insert_with(|| {
                Box::pin(async move {
                    let _ = heal.wait_for(|healed| *healed).await;
                })
            });
            match waiting.as_mut().poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(()) => self.waiting = None,
            }
        }
        let mut length = self.data.len().min(16 << 10);
        if self.drip.is_some_and(|drip| self.from + self.sent + length > drip) {
            length = 1;
            let pause = || Box::pin(tokio::time::sleep(std::time::Duration::from_millis(20)));
            ready!(self.dripping.get_or_insert_with(pause).as_mut().poll(cx));
            self.dripping = None;
        }
        let piece = self.data.split_to(length);
        self.sent += length;
        *self.shared.lock().unwrap().sent.entry(self.name.clone()).or_default() += length as u64;
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn size_hint(&self) -> http_body::SizeHint {
        if self.sized { http_body::SizeHint::with_exact(self.data.len() as u64) } else { http_body::SizeHint::new() }
    }
}
