//! An upstream on the web: a directory of files with `ETag` and ranges, that can change or break off at a chosen request.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};

use bootdepot::asset::Digest;
use bytes::Bytes;
use futures_util::stream;
use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, ETAG, IF_MATCH, RANGE};
use http::{Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::StreamBody;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;

use super::runtime;

/// A web server with the files of an upstream. It ends with the tests.
pub(crate) struct Upstream {
    address: SocketAddr,
    files: Arc<Mutex<HashMap<String, File>>>,
}

#[derive(Default)]
struct File {
    bytes: Bytes,
    /// The bytes that are served after so many requests.
    later: Option<(usize, Bytes)>,
    /// Replies break off after so many bytes, so often.
    cuts: Vec<u64>,
    /// Each request, as `GET bytes=5-` or `GET`.
    seen: Vec<String>,
}

impl Upstream {
    /// Starts one without files.
    pub(crate) fn start() -> Self {
        let files: Arc<Mutex<HashMap<String, File>>> = Arc::default();
        let listener = runtime().block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let served = Arc::clone(&files);
        runtime().spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let files = Arc::clone(&served);
                let service = service_fn(move |request| {
                    let reply = answer(&files, &request);
                    async move { Ok::<_, Infallible>(reply) }
                });
                // Fails if the client closes the connection, or a reply breaks off.
                let serve = async move {
                    let _ =
                        auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(socket), service).await;
                };
                tokio::spawn(serve);
            }
        });
        Self { address, files }
    }

    /// The URL of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    /// Serves these bytes. Returns their SHA-256.
    pub(crate) fn put(&self, path: &str, bytes: impl Into<Bytes>) -> String {
        let bytes = bytes.into();
        let digest = Digest::of(&bytes).to_string();
        self.files().entry(path.to_owned()).or_default().bytes = bytes;
        digest
    }

    /// The bytes that are served at a path.
    pub(crate) fn bytes(&self, path: &str) -> Bytes {
        self.files()[path].bytes.clone()
    }

    /// Replaces the bytes after so many more requests.
    pub(crate) fn put_after(&self, requests: usize, path: &str, bytes: impl Into<Bytes>) {
        let mut files = self.files();
        let file = files.entry(path.to_owned()).or_default();
        file.later = Some((file.seen.len() + requests, bytes.into()));
    }

    /// Lets the next reply break off after so many bytes.
    pub(crate) fn cut(&self, path: &str, bytes: u64) {
        self.files().entry(path.to_owned()).or_default().cuts.push(bytes);
    }

    /// The requests for a path, each as `GET` or `GET bytes=5-9`.
    pub(crate) fn seen(&self, path: &str) -> Vec<String> {
        self.files().get(path).map(|file| file.seen.clone()).unwrap_or_default()
    }

    fn files(&self) -> MutexGuard<'_, HashMap<String, File>> {
        self.files.lock().expect("no test panics with the files")
    }
}

type Body = StreamBody<stream::Iter<std::vec::IntoIter<io::Result<Frame<Bytes>>>>>;

fn answer(files: &Mutex<HashMap<String, File>>, request: &Request<Incoming>) -> Response<Body> {
    let path = percent_encoding::percent_decode_str(request.uri().path()).decode_utf8_lossy().into_owned();
    let mut files = files.lock().expect("no test panics with the files");
    let Some(file) = files.get_mut(path.trim_start_matches('/')) else {
        return reply(StatusCode::NOT_FOUND, &[], &Bytes::from_static(b"not here"), None);
    };
    let field = |name| {
        request
            .headers()
            .get(name)
            .map(|value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let range = field(RANGE);
    file.seen.push(
        range.as_ref().map_or_else(|| request.method().to_string(), |range| format!("{} {range}", request.method())),
    );
    if let Some((_, bytes)) = file.later.take_if(|(requests, _)| file.seen.len() > *requests) {
        file.bytes = bytes;
    }
    let etag = format!("\"{}\"", &Digest::of(&file.bytes).to_string()[..16]);
    if field(IF_MATCH).is_some_and(|wanted| wanted != etag) {
        return reply(StatusCode::PRECONDITION_FAILED, &[(ETAG, etag)], &Bytes::new(), None);
    }
    let cut = if file.cuts.is_empty() { None } else { Some(file.cuts.remove(0)) };
    let fields = [(ETAG, etag), (ACCEPT_RANGES, "bytes".to_owned())];
    let bounds = range.as_deref().and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
    let Some((first, last)) = bounds else { return reply(StatusCode::OK, &fields, &file.bytes, cut) };
    let total = file.bytes.len();
    let first: usize = first.parse().unwrap_or(0);
    let end = last.parse::<usize>().map_or(total, |last| total.min(last + 1));
    if first >= total {
        let fields = [(CONTENT_RANGE, format!("bytes */{total}"))];
        return reply(StatusCode::RANGE_NOT_SATISFIABLE, &fields, &Bytes::new(), None);
    }
    let [etag, ranges] = fields;
    let fields = [etag, ranges, (CONTENT_RANGE, format!("bytes {first}-{}/{total}", end - 1))];
    reply(StatusCode::PARTIAL_CONTENT, &fields, &file.bytes.slice(first..end), cut)
}

fn reply(status: StatusCode, fields: &[(http::HeaderName, String)], bytes: &Bytes, cut: Option<u64>) -> Response<Body> {
    let mut builder = Response::builder().status(status).header(CONTENT_LENGTH, bytes.len());
    for (name, value) in fields {
        builder = builder.header(name, value);
    }
    let cut = cut.map_or(bytes.len(), |cut| bytes.len().min(usize::try_from(cut).unwrap_or(usize::MAX)));
    let mut frames = vec![Ok(Frame::data(bytes.slice(..cut)))];
    if cut < bytes.len() {
        frames.push(Err(io::Error::other("the reply breaks off")));
    }
    builder.body(StreamBody::new(stream::iter(frames))).expect("the reply is well-formed")
}
