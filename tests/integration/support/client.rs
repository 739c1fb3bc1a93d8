//! A plain HTTP/1.1 client that reports whether a body is complete. It checks nothing else.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::timeout;

/// A client of one address. Every request opens a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Client {
    address: SocketAddr,
}

/// A response with its body.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// Names in the case in which they were sent.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Whether the body has the length in `Content-Length`.
    pub(crate) complete: bool,
}

/// A response whose head was read and whose body was not.
pub(crate) struct OpenResponse {
    head: Response,
    length: u64,
    received: u64,
    socket: BufReader<TcpStream>,
}

impl Client {
    /// Returns a client of this address.
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address }
    }

    /// Sends GET for a path.
    pub(crate) fn get(self, path: &str) -> Response {
        self.request("GET", path, &[])
    }

    /// Sends GET for ranges of a path, such as `0-499`.
    pub(crate) fn range(self, path: &str, ranges: &str) -> Response {
        self.request("GET", path, &[("Range", &format!("bytes={ranges}"))])
    }

    /// Sends a request without a body and reads the whole response.
    pub(crate) fn request(self, method: &str, path: &str, fields: &[(&str, &str)]) -> Response {
        self.open(method, path, fields).finish()
    }

    /// Sends a request without a body and reads the head of the response.
    pub(crate) fn open(self, method: &str, path: &str, fields: &[(&str, &str)]) -> OpenResponse {
        self.try_open(method, path, fields).unwrap_or_else(|e| panic!("{method} {path}: {e}"))
    }

    fn try_open(self, method: &str, path: &str, fields: &[(&str, &str)]) -> io::Result<OpenResponse> {
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.address);
        for (name, value) in fields {
            let _ = write!(request, "{name}: {value}\r\n");
        }
        let mut socket = TcpStream::connect(self.address)?;
        socket.set_read_timeout(Some(timeout()))?;
        socket.set_write_timeout(Some(timeout()))?;
        socket.write_all((request + "\r\n").as_bytes())?;

        let mut socket = BufReader::with_capacity(256 << 10, socket);
        let mut line = || {
            let mut line = String::new();
            socket.read_line(&mut line).map(|_| line.trim_end().to_owned())
        };
        let first = line()?;
        let status = first.split(' ').nth(1).and_then(|s| s.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("the status line is {first:?}")))?;
        let mut headers = Vec::new();
        while let Some((name, value)) = line()?.split_once(':') {
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
        let head = Response { status, headers, body: Vec::new(), complete: false };
        let bodiless = method == "HEAD" || status == 304 || status == 204;
        let length = if bodiless { 0 } else { head.header("content-length").parse().unwrap_or(0) };
        Ok(OpenResponse { head, length, received: 0, socket })
    }

    /// Sends GET for a path and returns whether the status is 200 and the body complete. Fails the test at the first byte that
    /// differs from `expected`.
    pub(crate) fn compare(self, path: &str, expected: &[u8]) -> bool {
        self.try_open("GET", path, &[]).is_ok_and(|opened| opened.status() == 200 && opened.compare(expected))
    }
}

impl OpenResponse {
    /// Returns the status.
    pub(crate) fn status(&self) -> u16 {
        self.head.status
    }

    /// Reads exactly `count` bytes of the body. Fails the test if the body is shorter.
    pub(crate) fn read(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.socket.read_exact(&mut bytes).expect("the body has enough bytes");
        self.received += count as u64;
        bytes
    }

    /// Compares the body with `expected` without keeping it, and returns whether it is complete. Fails the test at the first byte
    /// that differs.
    pub(crate) fn compare(mut self, expected: &[u8]) -> bool {
        assert_eq!(self.length, expected.len() as u64, "the Content-Length");
        let mut at = 0;
        loop {
            // An error is a reset connection, which truncates the body too.
            let piece = self.socket.fill_buf().unwrap_or_default();
            assert!(expected.get(at..at + piece.len()) == Some(piece), "wrong bytes from {at} on");
            if piece.is_empty() {
                return at == expected.len();
            }
            let length = piece.len();
            at += length;
            self.socket.consume(length);
        }
    }

    /// Reads the rest of the body until its end or an error.
    pub(crate) fn finish(mut self) -> Response {
        let left = self.length - self.received;
        // An error is a reset connection, which truncates the body too.
        let _ = self.socket.take(left).read_to_end(&mut self.head.body);
        self.head.complete = self.head.body.len() as u64 == left;
        self.head
    }
}

impl Response {
    /// Returns the value of a header field, by its name in any case. Empty if there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value)
    }

    /// Returns the body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}
