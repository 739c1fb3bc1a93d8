//! Answers GET and HEAD of assets: headers from the catalog, bytes from the depot.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::StreamExt as _;
use futures_util::future::{Either, ready};
use futures_util::stream::{self, BoxStream};
use http::request::Parts;
use hyper::header::{
    ACCEPT, ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap, HeaderName,
    HeaderValue, LAST_MODIFIED, LOCATION, RANGE, SERVER, VARY,
};
use hyper::{Method, Response, StatusCode};

use super::body::Body;
use super::conditional::{Precondition, Validators};
use super::index;
use super::multipart::Multipart;
use super::range::{self, RangeSelection};
use super::response;
use super::stall::with_stall_timeout;
use super::sums::{self, SUMS_FILE};
use crate::asset::{ByteRange, escape_path};
use crate::catalog::Asset;
use crate::depot::{ByteStream, CacheState, Delivery, Depot, Outcome, Piece, Protocol, ReadError, Reader, Transfer};
use crate::task::blocking;
use crate::transport::{Client, RETRY_SECONDS, RequestId, SERVER_VALUE};

/// A range of fewer bytes is copied rather than mapped: a copy within the CPU's caches costs less than the page faults of a
/// mapping.
const COPY_BELOW: u64 = 64 << 10;

const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");
const BYTES: HeaderValue = HeaderValue::from_static("bytes");

/// How a request names an asset.
#[derive(Debug, Clone, Copy)]
pub(super) enum Addressed {
    /// A reload may give the name to other bytes.
    ByName,
    /// The digest always names the same bytes.
    ByDigest,
}

impl Addressed {
    /// How long a cache may use the response: without asking, for a year (the most that caches keep), or not at all.
    fn cache_control(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::ByName => "no-cache",
            Self::ByDigest => "public, max-age=31536000, immutable",
        })
    }
}

/// Answers requests for assets.
pub(super) struct AssetHandler<'a> {
    pub(super) depot: &'a Depot,
    /// How long no byte of an asset may arrive before its client gets 503.
    pub(super) stall_timeout: Duration,
}

impl AssetHandler<'_> {
    /// Answers a GET or HEAD of the asset of this name, of `SHA256SUMS` of a directory of assets, or of the
    /// index of a directory.
    pub(super) async fn serve_name(&self, name: &str, request: &Parts, client: &Arc<Client>) -> Response<Body> {
        let depot = self.depot;
        let is_member = depot.is_member(name);
        if let Some(found) = depot.find(name).filter(|_| !is_member) {
            return self.serve(&found, Addressed::ByName, request, client).await;
        }
        if let Some(sums) = self.sums(name, client).await {
            return sums;
        }
        if is_member {
            // The source is asked, which shows no progress before its response.
            match with_stall_timeout(self.stall_timeout, || Some(0), depot.resolve(name)).await {
                Ok(Some(found)) => return self.serve(&found, Addressed::ByName, request, client).await,
                Ok(None) => {}
                Err(error) => return fail(depot.unknown_transfer(Protocol::Http, client.peer, name), &error),
            }
        }
        if let Some(found) = self.folded(name).await {
            return self.serve(&found, Addressed::ByName, request, client).await;
        }
        if is_member { self.missing(name, client) } else { self.index(name, request, client).await }
    }

    /// Returns whether there is an asset of this name. The source of a collection is asked.
    pub(super) async fn exists(&self, name: &str) -> bool {
        let resolved = with_stall_timeout(self.stall_timeout, || Some(0), self.depot.resolve(name)).await;
        !matches!(resolved, Ok(None))
    }

    /// The asset whose name differs from this one only in case, if there is one.
    async fn folded(&self, name: &str) -> Option<Arc<Asset>> {
        let (catalog, name) = (self.depot.catalog(), name.to_owned());
        // The first look-up after a reload reads all names.
        blocking(move || catalog.by_folded_name(&name)).await
    }

    /// The digests of the assets of a directory, if `name` is `SHA256SUMS` in it: lines that `sha256sum -c` reads.
    async fn sums(&self, name: &str, client: &Client) -> Option<Response<Body>> {
        let directory =
            name.strip_suffix(SUMS_FILE).filter(|directory| directory.is_empty() || directory.ends_with('/'))?;
        let (catalog, directory) = (self.depot.catalog(), directory.to_owned());
        // A catalog may have 100,000 assets.
        let text = blocking(move || sums::of_directory(&catalog, &directory)).await?;
        let transfer = self.depot.transfer(Protocol::Http, client.peer, name);
        transfer.finish(Outcome::Complete, Some("made of the catalog"));
        Some(response::text(StatusCode::OK, &text))
    }

    /// The index of a directory of a collection, if `name` is one that clients may list; else 404.
    async fn index(&self, name: &str, request: &Parts, client: &Client) -> Response<Body> {
        let listed = |directory: &str| self.depot.collection_of(directory).filter(|collection| collection.listing);
        if listed(name).is_none() {
            let directory = format!("{name}/");
            if listed(&directory).is_some_and(|collection| collection.prefix == directory) {
                let transfer = self.depot.transfer(Protocol::Http, client.peer, name);
                transfer.finish(Outcome::Complete, Some("a directory without its slash"));
                let path = format!("/assets/{}", escape_path(&directory));
                let mut response = response::text(StatusCode::MOVED_PERMANENTLY, &path);
                insert(response.headers_mut(), LOCATION, path);
                return response;
            }
            return self.missing(name, client);
        }
        let found = match with_stall_timeout(self.stall_timeout, || Some(0), self.depot.directory(name)).await {
            Ok(Some(found)) => found,
            Ok(None) => return self.missing(name, client),
            Err(error) => return fail(self.depot.unknown_transfer(Protocol::Http, client.peer, name), &error),
        };
        let transfer = self.depot.unknown_transfer(Protocol::Http, client.peer, name);
        transfer.finish(Outcome::Complete, Some("index of a directory"));
        let accept = request.headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
        let (text, media_type) = if accept.contains("application/json") {
            (index::json(&found), "application/json")
        } else {
            (index::html(&format!("/assets/{name}"), &found), "text/html; charset=utf-8")
        };
        let mut response = response::text(StatusCode::OK, &text);
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        response.headers_mut().insert(VARY, HeaderValue::from_static("accept"));
        response
    }

    /// Answers a GET or HEAD of `asset`. The transfer is logged and counted once, here or when the body is dropped.
    pub(super) async fn serve(
        &self,
        asset: &Arc<Asset>,
        addressed: Addressed,
        request: &Parts,
        client: &Arc<Client>,
    ) -> Response<Body> {
        let transfer = self.depot.transfer(Protocol::Http, client.peer, asset.name.as_str());
        let now = SystemTime::now();
        let headers = AssetHeaders::new(asset, addressed, now);
        // Before any call to the depot: the preconditions depend only on the catalog.
        match headers.validators().evaluate(&request.headers) {
            Precondition::Proceed => {}
            Precondition::NotModified => {
                transfer.finish(Outcome::Complete, Some("not modified"));
                return headers.not_modified();
            }
            Precondition::Failed => {
                return refuse(
                    transfer,
                    StatusCode::PRECONDITION_FAILED,
                    "the asset does not match the precondition of the request",
                );
            }
        }
        if request.method == Method::HEAD {
            // A single request to the origin, which shows no progress before its response.
            return match with_stall_timeout(self.stall_timeout, || Some(0), self.depot.size(asset)).await {
                Ok(size) => {
                    transfer.finish(Outcome::Probe, None);
                    headers.response(StatusCode::OK, size, Body::empty())
                }
                Err(error) => fail(transfer, &error),
            };
        }
        let range = match request.headers.get(RANGE) {
            // Two Range fields are ignored: RFC 9110 14.2 allows only one, and which one applies is ambiguous.
            Some(range) if request.headers.get_all(RANGE).iter().nth(1).is_none() => {
                headers.validators().allow_range(&request.headers, now).then(|| range.as_bytes())
            }
            _ => None,
        };
        self.get(&headers, range, transfer, client).await
    }

    /// Answers a request for an asset that is not in the catalog. `name` is text of the client.
    pub(super) fn missing(&self, name: &str, client: &Client) -> Response<Body> {
        let mut transfer = self.depot.unknown_transfer(Protocol::Http, client.peer, name);
        let id = RequestId::new();
        transfer.set_request(&id);
        transfer.finish(Outcome::NotFound, Some("not in the catalog"));
        response::error(StatusCode::NOT_FOUND, "the catalog has no asset with this name", id)
    }

    async fn get(
        &self,
        headers: &AssetHeaders<'_>,
        range: Option<&[u8]>,
        transfer: Transfer,
        client: &Arc<Client>,
    ) -> Response<Body> {
        let progress = || self.depot.fill_activity(&headers.asset.digest);
        let stall_timeout = self.stall_timeout;
        let reader = match with_stall_timeout(stall_timeout, progress, self.depot.read(headers.asset)).await {
            Ok(reader) => reader,
            Err(error) => return fail(transfer, &error),
        };
        let size = reader.size();
        match range.map_or(RangeSelection::Whole, |range| range::select(range, size)) {
            RangeSelection::Whole => {
                let opening = open(&reader, ByteRange::whole(size), client);
                match with_stall_timeout(stall_timeout, progress, opening).await {
                    Ok(bytes) => {
                        headers.response(StatusCode::OK, size, Body::range(bytes, transfer, self.depot, client))
                    }
                    Err(error) => fail(transfer, &error),
                }
            }
            RangeSelection::One(range) => {
                match with_stall_timeout(stall_timeout, progress, open(&reader, range, client)).await {
                    Ok(bytes) => {
                        let body = Body::range(bytes, transfer, self.depot, client);
                        let mut response = headers.response(StatusCode::PARTIAL_CONTENT, range.len(), body);
                        insert(response.headers_mut(), CONTENT_RANGE, format!("bytes {range}/{size}"));
                        response
                    }
                    Err(error) => fail(transfer, &error),
                }
            }
            RangeSelection::Many(ranges) => {
                let boundary = format!("{:032x}", fastrand::u128(..));
                let frame = Multipart::new(ranges, size, &headers.asset.content_type, &boundary);
                let (length, content_type) = (frame.length(), frame.content_type().to_owned());
                match with_stall_timeout(stall_timeout, progress, parts(reader, frame, client)).await {
                    Ok((bytes, state)) => {
                        let body = Body::parts(bytes, length, state, transfer, self.depot, client);
                        let mut response = headers.response(StatusCode::PARTIAL_CONTENT, length, body);
                        insert(response.headers_mut(), CONTENT_TYPE, content_type);
                        response
                    }
                    Err(error) => fail(transfer, &error),
                }
            }
            RangeSelection::Unsatisfiable => {
                let why = format!("the range is outside the asset, which has {size} bytes");
                let mut response = refuse(transfer, StatusCode::RANGE_NOT_SATISFIABLE, &why);
                insert(response.headers_mut(), CONTENT_RANGE, format!("bytes */{size}"));
                response.headers_mut().insert(ACCEPT_RANGES, BYTES);
                response
            }
        }
    }
}

/// Opens the bytes of one range.
async fn open(reader: &Reader, range: ByteRange, client: &Client) -> Result<ByteStream, ReadError> {
    // TLS reads the bytes to encrypt them, so that a mapping would save no copy.
    let copy = client.secure || range.len() < COPY_BELOW;
    let delivery = if copy { Delivery::Copied } else { Delivery::Mapped };
    reader.stream_charged(range, delivery, client.memory.clone()).await
}

/// Opens the bytes of a multipart body. The first range is opened at once, so that an unavailable asset fails before the head
/// is sent; the others are opened as the body reaches them.
async fn parts(
    reader: Reader,
    frame: Multipart,
    client: &Arc<Client>,
) -> Result<(BoxStream<'static, Result<Piece, ReadError>>, CacheState), ReadError> {
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
            stream::once(ready(Ok(head.into()))).chain(bytes)
        }
    });
    Ok((parts.flatten().chain(stream::once(ready(Ok(frame.end.into())))).boxed(), state))
}

/// The headers that the responses for one asset share.
struct AssetHeaders<'a> {
    asset: &'a Arc<Asset>,
    addressed: Addressed,
    etag: String,
    modified: SystemTime,
}

impl<'a> AssetHeaders<'a> {
    fn new(asset: &'a Arc<Asset>, addressed: Addressed, now: SystemTime) -> Self {
        Self {
            asset,
            addressed,
            etag: format!("\"sha256-{}\"", asset.digest),
            modified: whole_seconds(asset.last_modified.min(now)),
        }
    }

    fn validators(&self) -> Validators<'_> {
        Validators { etag: &self.etag, modified: self.modified }
    }

    fn response(&self, status: StatusCode, length: u64, body: Body) -> Response<Body> {
        let mut response = Response::new(body);
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.reserve(8);
        // hyper derives it from the body, but not for HEAD, nor for an empty body over HTTP/2.
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        headers.insert(ACCEPT_RANGES, BYTES);
        headers.insert(CACHE_CONTROL, self.addressed.cache_control());
        insert(headers, ETAG, self.etag.clone());
        insert(headers, LAST_MODIFIED, httpdate::fmt_http_date(self.modified));
        insert(headers, CONTENT_TYPE, self.asset.content_type.clone().into_string());
        insert(headers, REPR_DIGEST, format!("sha-256=:{}:", self.asset.digest.to_base64()));
        headers.insert(SERVER, SERVER_VALUE);
        response
    }

    /// Returns a 304 with the fields of a 200 that RFC 9110 15.4.5 requires, and none that describe the body.
    fn not_modified(&self) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        insert(response.headers_mut(), ETAG, self.etag.clone());
        response.headers_mut().insert(CACHE_CONTROL, self.addressed.cache_control());
        response.headers_mut().insert(SERVER, SERVER_VALUE);
        response
    }
}

/// Sets a field. Omits it if the text is not a valid value, such as a media type with a line break.
fn insert(headers: &mut HeaderMap, name: HeaderName, text: String) {
    if let Ok(value) = HeaderValue::try_from(text) {
        headers.insert(name, value);
    }
}

/// Rounds `time` down to whole seconds, the resolution of HTTP dates.
fn whole_seconds(time: SystemTime) -> SystemTime {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |age| age.as_secs());
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

/// Ends a transfer whose request cannot be fulfilled, and returns the error response.
fn refuse(mut transfer: Transfer, status: StatusCode, why: &str) -> Response<Body> {
    let id = RequestId::new();
    transfer.set_request(&id);
    transfer.finish(Outcome::Refused, Some(why));
    response::error(status, why, id)
}

/// Ends a transfer that the depot cannot serve, and returns the error response.
fn fail(mut transfer: Transfer, error: &ReadError) -> Response<Body> {
    let id = RequestId::new();
    transfer.set_request(&id);
    transfer.finish(error.outcome(), Some(&error.to_string()));
    let response = |status| response::error(status, error.public(), id);
    match error {
        ReadError::NotFound(_) => response(StatusCode::NOT_FOUND),
        ReadError::WrongBytes(_) => response(StatusCode::BAD_GATEWAY),
        ReadError::Internal(_) => response(StatusCode::INTERNAL_SERVER_ERROR),
        ReadError::Unavailable { retry_after, .. } => {
            // Rounded up: with 0 a client would retry at once.
            let seconds = retry_after.as_secs() + u64::from(retry_after.subsec_nanos() > 0);
            response::with_retry_after(response(StatusCode::SERVICE_UNAVAILABLE), seconds.max(1))
        }
        ReadError::Closing | ReadError::Disk(_) => {
            response::with_retry_after(response(StatusCode::SERVICE_UNAVAILABLE), RETRY_SECONDS)
        }
    }
}
