//! Test support: an HTTP client on a plain socket, and deadlines for waits.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufStream};
use tokio::net::TcpStream;

/// A timeout for settings that must not expire during a test.
pub(crate) const LONG: Duration = Duration::from_mins(5);

/// Runs `work`; panics with `what` if it takes longer than a minute, or more on a machine whose load exceeds its processors.
pub(crate) async fn within_deadline<T>(what: &str, work: impl Future<Output = T>) -> T {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: f64 = load.split(' ').next().and_then(|average| average.parse().ok()).unwrap_or_default();
    let processors = std::thread::available_parallelism()
        .map_or(1.0, |count| f64::from(u16::try_from(count.get()).unwrap_or(u16::MAX)));
    let deadline = Duration::from_mins(1).mul_f64((load / processors).clamp(1.0, 10.0));
    tokio::time::timeout(deadline, work).await.unwrap_or_else(|_| panic!("{what}: not within {deadline:?}"))
}

/// A client's end of a connection.
pub(crate) struct TestConnection(pub(crate) BufStream<TcpStream>);

/// A response as it came over the wire.
#[derive(Debug)]
pub(crate) struct TestResponse {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl TestConnection {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self(BufStream::new(TcpStream::connect(address).await.unwrap()))
    }

    pub(crate) async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
        self.0.flush().await.unwrap();
    }

    /// Sends a request; `fields` are whole lines without their ends.
    pub(crate) async fn send_request(&mut self, method: &str, path: &str, fields: &[&str]) {
        let fields = [&["Host: boot"], fields, &["", ""]].concat().join("\r\n");
        self.send(&format!("{method} {path} HTTP/1.1\r\n{fields}")).await;
    }

    pub(crate) async fn read_head(&mut self) -> String {
        let reading = async {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(self.0.read_u8().await.unwrap());
            }
            String::from_utf8(head).unwrap()
        };
        within_deadline("the head of a response", reading).await
    }

    /// Reads the next response with its whole body.
    pub(crate) async fn read_response(&mut self, method: &str) -> TestResponse {
        let mut response = TestResponse { head: self.read_head().await, body: Vec::new() };
        if method != "HEAD" && response.status() != 304 {
            let length = response.field("Content-Length").unwrap().parse().unwrap();
            response.body.resize(length, 0);
            within_deadline("the body of a response", self.0.read_exact(&mut response.body)).await.unwrap();
        }
        response
    }

    /// Reads exactly `length` bytes.
    pub(crate) async fn read_bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        within_deadline("bytes of a response", self.0.read_exact(&mut bytes)).await.unwrap();
        bytes
    }

    /// Reads until the server closes or resets the connection.
    pub(crate) async fn read_to_close(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        match within_deadline("the end of a connection", self.0.read_to_end(&mut rest)).await {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
        }
        rest
    }
}

impl TestResponse {
    pub(crate) fn status(&self) -> u16 {
        self.head.split(' ').nth(1).unwrap().parse().unwrap()
    }

    /// The value of a field whose name has exactly this case.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}
