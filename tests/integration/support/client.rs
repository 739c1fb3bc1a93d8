//! A plain HTTP/1.1 client that tells a body that came whole from one that was cut short. It checks nothing by itself.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::PATIENCE;

/// A client of one address; every request has a connection of its own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Client {
    address: SocketAddr,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names as they were written.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Whether all of `Content-Length` came.
    pub(crate) complete: bool,
}

/// An answer whose head is here and whose body is still to be read.
pub(crate) struct Opened {
    head: Answer,
    length: u64,
    received: u64,
    socket: BufReader<TcpStream>,
}

impl Client {
    /// A client of this address.
    pub(crate) fn of(address: SocketAddr) -> Self {
        Self { address }
    }

    /// GET of a path.
    pub(crate) fn get(self, path: &str) -> Answer {
        self.request("GET", path, &[])
    }

    /// GET of some ranges, such as `0-499`.
    pub(crate) fn range(self, path: &str, ranges: &str) -> Answer {
        self.request("GET", path, &[("Range", &format!("bytes={ranges}"))])
    }

    /// Any request without a body.
    pub(crate) fn request(self, method: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.open(method, path, fields).finish()
    }

    /// Any request, up to the head of its answer.
    pub(crate) fn open(self, method: &str, path: &str, fields: &[(&str, &str)]) -> Opened {
        self.try_open(method, path, fields).unwrap_or_else(|e| panic!("{method} {path}: {e}"))
    }

    fn try_open(self, method: &str, path: &str, fields: &[(&str, &str)]) -> io::Result<Opened> {
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.address);
        for (name, value) in fields {
            let _ = write!(request, "{name}: {value}\r\n");
        }
        let mut socket = TcpStream::connect(self.address)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.write_all((request + "\r\n").as_bytes())?;

        let mut socket = BufReader::with_capacity(256 << 10, socket);
        let mut line = || {
            let mut line = String::new();
            socket.read_line(&mut line).map(|_| line.trim_end().to_owned())
        };
        let first = line()?;
        let status = first.split(' ').nth(1).and_then(|s| s.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("answered {first:?}")))?;
        let mut headers = Vec::new();
        while let Some((name, value)) = line()?.split_once(':') {
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
        let head = Answer { status, headers, body: Vec::new(), complete: false };
        let bodiless = method == "HEAD" || status == 304 || status == 204;
        let length = if bodiless { 0 } else { head.header("content-length").parse().unwrap_or(0) };
        Ok(Opened { head, length, received: 0, socket })
    }

    /// GET of a path: whether it is answered 200 with a whole body. A byte that is not `expected` fails the test.
    pub(crate) fn compare(self, path: &str, expected: &[u8]) -> bool {
        self.try_open("GET", path, &[]).is_ok_and(|opened| opened.status() == 200 && opened.compare(expected))
    }
}

impl Opened {
    /// The status of the head.
    pub(crate) fn status(&self) -> u16 {
        self.head.status
    }

    /// Reads `count` bytes of the body; all of them, or the test fails.
    pub(crate) fn read(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.socket.read_exact(&mut bytes).expect("so many bytes come");
        self.received += count as u64;
        bytes
    }

    /// Compares the whole body without keeping it, and says whether it came whole. A byte that is not `expected` fails
    /// the test.
    pub(crate) fn compare(mut self, expected: &[u8]) -> bool {
        assert_eq!(self.length, expected.len() as u64, "the Content-Length");
        let mut at = 0;
        loop {
            // An error is a connection that was reset: cut short as well.
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

    /// Reads the rest of the body, as far as it comes.
    pub(crate) fn finish(mut self) -> Answer {
        let left = self.length - self.received;
        // An error is a connection that was reset: cut short as well.
        let _ = self.socket.take(left).read_to_end(&mut self.head.body);
        self.head.complete = self.head.body.len() as u64 == left;
        self.head
    }
}

impl Answer {
    /// A header field's value by its name in any case; empty where there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value)
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}
