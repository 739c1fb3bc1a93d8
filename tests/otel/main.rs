//! Trace export of the program with the feature `otel`, to a collector that decodes the exports.

#[path = "../integration/support/program.rs"]
mod program;

use std::collections::HashMap;
use std::convert::Infallible;
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use bootdepot::asset::Digest;
use bootdepot_test_support::deadline::stretch;
use bootdepot_test_support::process::{ChildExt, CommandExt, Watchdog};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::{Span, status::StatusCode};
use prost::Message as _;
use serde_json::Value as Json;

/// The asset's bytes.
const KERNEL: &[u8] = &[7; 40_000];

/// How long the program may run, before it stretches on a busy machine. It is killed then, so that a test that waits for it
/// fails instead of hanging.
const DEADLINE: Duration = Duration::from_mins(3);

static RUNTIME: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| tokio::runtime::Runtime::new().unwrap());

/// A server that is both the trace collector and the origin.
#[derive(Clone)]
struct FakeRemote {
    address: SocketAddr,
    exports: Arc<Mutex<Vec<Export>>>,
}

/// One export.
struct Export {
    path: String,
    authorization: String,
    request: ExportTraceServiceRequest,
}

impl FakeRemote {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let remote = Self { address: listener.local_addr().unwrap(), exports: Arc::default() };
        let served = remote.clone();
        RUNTIME.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let remote = served.clone();
                let service = service_fn(move |request| remote.clone().answer(request));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(socket), service));
            }
        });
        remote
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let mut response = Response::new(Full::new(Bytes::new()));
        match head.uri.path() {
            "/vmlinuz" => *response.body_mut() = Full::new(Bytes::from_static(KERNEL)),
            "/gone" => *response.status_mut() = http::StatusCode::NOT_FOUND,
            path => {
                assert_eq!(head.headers["content-type"], "application/x-protobuf");
                let authorization = head.headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
                let request = ExportTraceServiceRequest::decode(body).expect("a valid export");
                let authorization = authorization.unwrap_or_default();
                self.exports.lock().unwrap().push(Export { path: path.to_owned(), authorization, request });
            }
        }
        Ok(response)
    }

    /// Returns all exported spans.
    fn spans(&self) -> Vec<Span> {
        let exports = self.exports.lock().unwrap();
        let resources = exports.iter().flat_map(|export| &export.request.resource_spans);
        resources.flat_map(|resource| &resource.scope_spans).flat_map(|scope| scope.spans.clone()).collect()
    }
}

/// The running program and its log.
struct TestServer {
    child: Child,
    log: BufReader<std::process::ChildStderr>,
    http: SocketAddr,
    tftp: SocketAddr,
    watchdog: Option<Watchdog>,
    _dir: tempfile::TempDir,
}

fn command(dir: &Path, origin: SocketAddr, variables: &[(&str, &str)]) -> Command {
    let config = dir.join("bootdepot.toml");
    let asset = |name: &str| {
        format!(
            "[[asset]]\nname = \"{name}\"\nsources = [\"http://{origin}/{name}\"]\nsha256 = \"{}\"\n",
            Digest::of(if name == "gone" { b"gone" } else { KERNEL })
        )
    };
    let settings = format!(
        "[cache]\ndir = \"{}\"\nmin_free = 0\n[http]\nlisten = [\"127.0.0.1:0\"]\n[tftp]\nlisten = [\"127.0.0.1:0\"]\n\
         [admin]\nlisten = \"off\"\n[fill]\nretries = 0\n{}{}",
        dir.join("cache").display(),
        asset("vmlinuz"),
        asset("gone"),
    );
    std::fs::write(&config, settings).unwrap();
    let mut command = Command::new(program::bootdepot());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("BOOTDEPOT_") || name.starts_with("OTEL_")) {
        command.env_remove(name);
    }
    command.arg("serve").arg("--config").arg(config).envs(variables.iter().copied());
    command.env("BOOTDEPOT_LOG_FORMAT", "json").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

impl TestServer {
    fn start(origin: SocketAddr, variables: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut child = command(dir.path(), origin, variables).spawn().unwrap();
        let watchdog = Watchdog::with_limit(&child, DEADLINE);
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut listening = HashMap::new();
        while listening.len() < 2 {
            let line = next_line(&mut log).expect("a line with the listening address");
            if line["message"] == "listening" {
                let address: SocketAddr = line["address"].as_str().unwrap().parse().unwrap();
                listening.insert(line["protocol"].as_str().unwrap().to_owned(), address);
            }
        }
        Self { child, log, http: listening["http"], tftp: listening["tftp"], watchdog: Some(watchdog), _dir: dir }
    }

    fn get(&self, path: &str) -> String {
        let mut socket = TcpStream::connect(self.http).unwrap();
        socket.set_read_timeout(Some(stretch(DEADLINE))).unwrap();
        write!(socket, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Stops the program by SIGTERM and returns its log. Fails if it does not exit successfully within the deadline.
    fn stop(mut self) -> Vec<Json> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let lines = std::iter::from_fn(|| next_line(&mut self.log)).collect();
        self.watchdog = None;
        assert!(self.child.wait_for_exit().success());
        lines
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.watchdog = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn next_line(log: &mut impl BufRead) -> Option<Json> {
    let mut line = String::new();
    log.read_line(&mut line).unwrap();
    (!line.is_empty()).then(|| serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}")))
}

/// Returns an attribute as text.
fn attribute(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    match &found.value {
        Some(AnyValue { value: Some(Value::StringValue(text)) }) => Some(text.clone()),
        Some(AnyValue { value: Some(Value::IntValue(number)) }) => Some(number.to_string()),
        other => panic!("{key} is {other:?}"),
    }
}

fn span_of<'s>(spans: &'s [Span], name: &str, asset: &str) -> &'s Span {
    let mut found = spans.iter().filter(|span| {
        span.name == name && attribute(&span.attributes, "bootdepot.asset").is_none_or(|value| value == asset)
    });
    let first = found.next().unwrap_or_else(|| panic!("no span {name} of {asset}: {spans:#?}"));
    assert!(found.next().is_none(), "two spans {name} of {asset}");
    first
}

#[test]
fn spans_reach_collector() {
    let remote = FakeRemote::start();
    let endpoint = format!("http://{}", remote.address);
    let server = TestServer::start(
        remote.address,
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20sesame"),
            ("OTEL_SERVICE_NAME", "rack-7"),
        ],
    );
    assert!(server.get("/assets/vmlinuz").starts_with("HTTP/1.1 200"));
    assert!(server.get("/ipxe?mac=52:54:00:12:34:56").contains("#!ipxe"));
    assert!(server.get("/assets/gone").starts_with("HTTP/1.1 404"));
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.send_to(b"\0\x01nothing\0octet\0", server.tftp).unwrap();
    socket.set_read_timeout(Some(stretch(DEADLINE))).unwrap();
    socket.recv(&mut [0; 100]).unwrap();
    // The last batch is exported before exit.
    let log = server.stop();
    assert!(log.iter().all(|line| line["level"] == "INFO" || line["target"] != "opentelemetry"), "{log:#?}");

    {
        let exports = remote.exports.lock().unwrap();
        assert!(exports.iter().all(|export| export.path == "/v1/traces" && export.authorization == "Bearer sesame"));
        let resource = exports[0].request.resource_spans[0].resource.as_ref().unwrap();
        assert_eq!(attribute(&resource.attributes, "service.name").as_deref(), Some("rack-7"));
        // The program's own version; this test belongs to another package.
        let printed = Command::new(program::bootdepot()).arg("--version").output().unwrap().stdout;
        let printed = String::from_utf8(printed).unwrap();
        let version = attribute(&resource.attributes, "service.version").expect("spans carry a version");
        assert!(printed.split_whitespace().any(|word| word == version), "{version} is not in {printed:?}");
    }
    let spans = remote.spans();
    let text =
        |span: &Span, key: &str| attribute(&span.attributes, key).unwrap_or_else(|| panic!("no {key}: {span:?}"));

    let transfer = span_of(&spans, "transfer", "vmlinuz");
    assert_eq!((transfer.kind(), transfer.parent_span_id.len()), (SpanKind::Server, 0));
    assert_eq!(text(transfer, "network.protocol.name"), "http");
    assert_eq!(text(transfer, "client.address"), "127.0.0.1");
    assert_eq!(text(transfer, "bootdepot.outcome"), "complete");
    assert_eq!(text(transfer, "bootdepot.cache"), "miss");
    assert_eq!(text(transfer, "bootdepot.sent_bytes"), KERNEL.len().to_string());
    assert!(transfer.end_time_unix_nano > transfer.start_time_unix_nano);
    assert_eq!(text(span_of(&spans, "transfer", "nothing"), "network.protocol.name"), "tftp");
    assert_eq!(text(span_of(&spans, "transfer", "gone"), "bootdepot.outcome"), "not-found");

    let fill = span_of(&spans, "fill", "vmlinuz");
    assert_eq!((text(fill, "bootdepot.outcome").as_str(), fill.parent_span_id.len()), ("complete", 0));
    assert_eq!(text(fill, "bootdepot.received_bytes"), KERNEL.len().to_string());
    let failed = span_of(&spans, "fill", "gone");
    assert_eq!(failed.status.as_ref().unwrap().code(), StatusCode::Error);

    for (fill, url) in [(fill, "vmlinuz"), (failed, "gone")] {
        let url = format!("http://{}/{url}", remote.address);
        let reads: Vec<_> = spans
            .iter()
            .filter(|span| span.name == "origin.read" && text(span, "url.full") == url)
            .filter(|span| span.parent_span_id == fill.span_id && span.trace_id == fill.trace_id)
            .collect();
        assert!(!reads.is_empty(), "no read of {url} within its fill: {spans:#?}");
        assert!(reads.iter().all(|read| read.kind() == SpanKind::Client));
        let failed = reads.iter().filter(|read| attribute(&read.attributes, "error.type").is_some()).count();
        assert_eq!(failed, usize::from(url.ends_with("gone")), "{reads:#?}");
    }

    let script = span_of(&spans, "script", "");
    let transfer = span_of(&spans, "transfer", "ipxe");
    assert_eq!((&script.parent_span_id, &script.trace_id), (&transfer.span_id, &transfer.trace_id));
    assert_eq!(text(script, "bootdepot.host"), "");
}

#[test]
fn sampler_variable_disables_spans() {
    let remote = FakeRemote::start();
    let endpoint = format!("http://{}/v1/traces", remote.address);
    let server = TestServer::start(
        remote.address,
        &[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &endpoint), ("OTEL_TRACES_SAMPLER", "always_off")],
    );
    assert!(server.get("/assets/vmlinuz").starts_with("HTTP/1.1 200"));
    server.stop();
    assert_eq!(remote.spans().len(), 0);
}

#[test]
fn no_endpoint_exports_nothing() {
    let remote = FakeRemote::start();
    let server = TestServer::start(remote.address, &[]);
    assert!(server.get("/assets/vmlinuz").starts_with("HTTP/1.1 200"));
    let log = server.stop();
    assert!(log.iter().all(|line| line["level"] != "WARN" && line["level"] != "ERROR"), "{log:#?}");
}

#[test]
fn silent_collector_delays_nothing() {
    let remote = FakeRemote::start();
    // It accepts connections and never replies.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let server = TestServer::start(
        remote.address,
        &[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint), ("OTEL_BSP_SCHEDULE_DELAY", "50")],
    );
    for _ in 0..5 {
        assert!(server.get("/assets/vmlinuz").starts_with("HTTP/1.1 200"));
    }
    server.stop();
}

#[test]
fn unsupported_protocol_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")];
    let output = command(dir.path(), "127.0.0.1:1".parse().unwrap(), &variables).run_to_end();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("the protocol grpc is not supported; use http/protobuf"), "{text}");
}
