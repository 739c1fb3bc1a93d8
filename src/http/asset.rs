//! Asset responses: what a GET or HEAD of an asset is answered, from the catalog's facts and the depot's bytes.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::{Either, ready};
use futures_util::stream::{self, BoxStream};
use http::request::Parts;
use hyper::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue,
    LAST_MODIFIED, RANGE, SERVER,
};
use hyper::{Method, Response, StatusCode};

use super::answer::{self, RequestId, SERVER_VALUE};
use super::body::Body;
use super::client::Client;
use super::conditional::{Validators, Verdict};
use super::multipart::Multipart;
use super::patience::patiently;
use super::range::{self, Selection};
use crate::asset::ByteRange;
use crate::catalog::Asset;
use crate::depot::{ByteStream, CacheState, Delivery, Depot, Outcome, Protocol, ReadError, Reader, Transfer};

/// Below this many bytes a range is copied rather than mapped: a copy within the CPU's caches costs less than the page
/// faults of a mapping.
const COPY_BELOW: u64 = 64 << 10;

const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");
const BYTES: HeaderValue = HeaderValue::from_static("bytes");

/// Answers what is asked of assets.
pub(super) struct AssetPages<'a> {
    pub(super) depot: &'a Depot,
    /// For how long nothing may arrive of an asset before its client is told to come back.
    pub(super) patience: Duration,
}

impl AssetPages<'_> {
    /// Answers a GET or HEAD of `asset`. The transfer is logged and counted once, here or when the body is gone.
    pub(super) async fn serve(&self, asset: &Arc<Asset>, request: &Parts, client: &Arc<Client>) -> Response<Body> {
        let transfer = self.depot.transfer(Protocol::Http, client.peer, asset.name.as_str());
        let now = SystemTime::now();
        let facts = Facts::of(asset, now);
        // Before any question to the depot: that the client has it already is known without the bytes.
        match facts.validators().judge(&request.headers) {
            Verdict::Proceed => {}
            Verdict::NotModified => {
                transfer.finish(Outcome::Complete, Some("not modified"));
                return facts.not_modified();
            }
            Verdict::Failed => {
                return refuse(
                    transfer,
                    StatusCode::PRECONDITION_FAILED,
                    "the asset is not in the state that the request insists on",
                );
            }
        }
        if request.method == Method::HEAD {
            // One request to the origin, of which nothing is heard before its answer.
            return match patiently(self.patience, || Some(0), self.depot.size(asset)).await {
                Ok(size) => {
                    transfer.finish(Outcome::Probe, None);
                    facts.response(StatusCode::OK, size, Body::empty())
                }
                Err(error) => fail(transfer, &error),
            };
        }
        let range = match request.headers.get(RANGE) {
            // Two Range fields are no field at all: a recipient could not tell which is meant.
            Some(range) if request.headers.get_all(RANGE).iter().nth(1).is_none() => {
                facts.validators().allow_range(&request.headers, now).then(|| range.as_bytes())
            }
            _ => None,
        };
        self.get(&facts, range, transfer, client).await
    }

    /// Answers the GET of an asset that there is no such asset. `name` is the client's text.
    pub(super) fn missing(&self, name: &str, client: &Client) -> Response<Body> {
        let transfer = self.depot.unknown_transfer(Protocol::Http, client.peer, name);
        let id = RequestId::new();
        transfer.finish(Outcome::NotFound, Some(&format!("not in the catalog; request {id}")));
        answer::error(StatusCode::NOT_FOUND, "the catalog has no asset of this name; names are case-sensitive", id)
    }

    async fn get(
        &self,
        facts: &Facts<'_>,
        range: Option<&[u8]>,
        transfer: Transfer,
        client: &Arc<Client>,
    ) -> Response<Body> {
        let moved = || self.depot.moved(&facts.asset.digest);
        let reader = match patiently(self.patience, moved, self.depot.read(facts.asset)).await {
            Ok(reader) => reader,
            Err(error) => return fail(transfer, &error),
        };
        let size = reader.size();
        match range.map_or(Selection::Whole, |range| range::select(range, size)) {
            Selection::Whole => {
                match patiently(self.patience, moved, open(&reader, ByteRange::whole(size), client)).await {
                    Ok(bytes) => facts.response(StatusCode::OK, size, Body::range(bytes, transfer, client)),
                    Err(error) => fail(transfer, &error),
                }
            }
            Selection::One(range) => match patiently(self.patience, moved, open(&reader, range, client)).await {
                Ok(bytes) => {
                    let body = Body::range(bytes, transfer, client);
                    let mut response = facts.response(StatusCode::PARTIAL_CONTENT, range.len(), body);
                    insert(response.headers_mut(), CONTENT_RANGE, format!("bytes {range}/{size}"));
                    response
                }
                Err(error) => fail(transfer, &error),
            },
            Selection::Many(ranges) => {
                let boundary = format!("{:032x}", fastrand::u128(..));
                let frame = Multipart::new(ranges, size, &facts.asset.content_type, &boundary);
                let (length, content_type) = (frame.length(), frame.content_type().to_owned());
                match patiently(self.patience, moved, parts(reader, frame, client)).await {
                    Ok((bytes, state)) => {
                        let body = Body::parts(bytes, length, state, transfer, client);
                        let mut response = facts.response(StatusCode::PARTIAL_CONTENT, length, body);
                        insert(response.headers_mut(), CONTENT_TYPE, content_type);
                        response
                    }
                    Err(error) => fail(transfer, &error),
                }
            }
            Selection::Unsatisfiable => {
                let why = format!("the range lies outside of the asset's {size} bytes");
                let mut response = refuse(transfer, StatusCode::RANGE_NOT_SATISFIABLE, &why);
                insert(response.headers_mut(), CONTENT_RANGE, format!("bytes */{size}"));
                response.headers_mut().insert(ACCEPT_RANGES, BYTES);
                response
            }
        }
    }
}

/// The bytes of one range, ready to be sent.
async fn open(reader: &Reader, range: ByteRange, client: &Client) -> Result<ByteStream, ReadError> {
    let delivery = if range.len() < COPY_BELOW { Delivery::Copied } else { client.delivery };
    reader.stream(range, delivery).await
}

/// The bytes of a multipart body. The first range is opened now, so that what cannot be had fails before the head is
/// sent; each other when it is its turn.
async fn parts(
    reader: Reader,
    frame: Multipart,
    client: &Arc<Client>,
) -> Result<(BoxStream<'static, Result<Bytes, ReadError>>, CacheState), ReadError> {
    let first = open(&reader, frame.parts.first().map(|(_, range)| *range).unwrap_or_default(), client).await?;
    let state = first.cache_state();
    let mut first = Some(first);
    let (reader, client) = (Arc::new(reader), Arc::clone(client));
    let parts = stream::iter(frame.parts).then(move |(head, range)| {
        let (opened, reader, client) = (first.take(), Arc::clone(&reader), Arc::clone(&client));
        async move {
            let opened = match opened {
                Some(bytes) => Ok(bytes),
                None => open(&reader, range, &client).await,
            };
            let bytes = match opened {
                Ok(bytes) => Either::Left(bytes),
                Err(error) => Either::Right(stream::once(ready(Err(error)))),
            };
            stream::once(ready(Ok(head))).chain(bytes)
        }
    });
    Ok((parts.flatten().chain(stream::once(ready(Ok(frame.end)))).boxed(), state))
}

/// What is said of an asset whatever the question.
struct Facts<'a> {
    asset: &'a Arc<Asset>,
    etag: String,
    modified: SystemTime,
}

impl<'a> Facts<'a> {
    fn of(asset: &'a Arc<Asset>, now: SystemTime) -> Self {
        Self { asset, etag: format!("\"sha256-{}\"", asset.digest), modified: whole_seconds(asset.since.min(now)) }
    }

    fn validators(&self) -> Validators<'_> {
        Validators { etag: &self.etag, modified: self.modified }
    }

    fn response(&self, status: StatusCode, length: u64, body: Body) -> Response<Body> {
        let mut response = Response::new(body);
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.reserve(8);
        // hyper would derive it from the body, but not for HEAD, nor for an empty body over HTTP/2.
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        headers.insert(ACCEPT_RANGES, BYTES);
        insert(headers, ETAG, self.etag.clone());
        insert(headers, LAST_MODIFIED, httpdate::fmt_http_date(self.modified));
        insert(headers, CONTENT_TYPE, self.asset.content_type.clone().into_string());
        insert(headers, REPR_DIGEST, format!("sha-256=:{}:", self.asset.digest.to_base64()));
        headers.insert(SERVER, SERVER_VALUE);
        response
    }

    /// 304 with what RFC 9110 15.4.5 asks for: the fields of a 200 that name the state, and none that describe bytes.
    fn not_modified(&self) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        insert(response.headers_mut(), ETAG, self.etag.clone());
        response.headers_mut().insert(SERVER, SERVER_VALUE);
        response
    }
}

/// Sets a field, unless the text cannot be one (a media type with a line break, say), which is then left out.
fn insert(headers: &mut HeaderMap, name: HeaderName, text: String) {
    if let Ok(value) = HeaderValue::try_from(text) {
        headers.insert(name, value);
    }
}

/// The second that `time` lies in: HTTP dates have no parts of seconds.
fn whole_seconds(time: SystemTime) -> SystemTime {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |age| age.as_secs());
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

/// Ends a transfer that the client asked for in vain.
fn refuse(transfer: Transfer, status: StatusCode, why: &str) -> Response<Body> {
    let id = RequestId::new();
    transfer.finish(Outcome::Refused, Some(&format!("{why}; request {id}")));
    answer::error(status, why, id)
}

/// Ends a transfer of which the depot has no byte to give.
fn fail(transfer: Transfer, error: &ReadError) -> Response<Body> {
    let id = RequestId::new();
    transfer.finish(error.outcome(), Some(&format!("{error}; request {id}")));
    let answer = |status| answer::error(status, error.public(), id);
    match error {
        ReadError::NotFound(_) => answer(StatusCode::NOT_FOUND),
        ReadError::WrongBytes(_) => answer(StatusCode::BAD_GATEWAY),
        ReadError::Unavailable { retry_after, .. } => {
            // Rounded up: a client told 0 would be back at once.
            let seconds = retry_after.as_secs() + u64::from(retry_after.subsec_nanos() > 0);
            answer::retry_after(answer(StatusCode::SERVICE_UNAVAILABLE), seconds.max(1))
        }
        ReadError::Closing | ReadError::Disk(_) => {
            answer::retry_after(answer(StatusCode::SERVICE_UNAVAILABLE), answer::RETRY_SECONDS)
        }
    }
}
