//! The admin API of the real server: access by tokens, and the event stream.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use serde_json::Value;
use socket2::{Domain, Socket, Type};

use crate::support::{Client, CommandExt, FakeOrigin, TestServer, TestSite, random_bytes, timeout, wait_until};

fn site() -> (FakeOrigin, TestSite) {
    let origin = FakeOrigin::start();
    let object = origin.put("okd/kernel", random_bytes(1, 5000));
    let site = TestSite::new(&origin).asset(&object);
    (origin, site)
}

/// Sends GET with a token. Returns the status and the body as JSON.
fn get(server: &TestServer, path: &str, token: &str) -> (u16, Value) {
    let answer = Client::new(server.admin).request("GET", path, &[("Authorization", &format!("Bearer {token}"))]);
    (answer.status, serde_json::from_slice(&answer.body).unwrap_or_default())
}

#[test]
fn changed_token_file_is_read_again() {
    let (_origin, site) = site();
    let (operators, viewers) = (site.file("operators"), site.file("viewers"));
    std::fs::write(&operators, "change-1\n").expect("the token file can be written");
    std::fs::write(&viewers, "look-1\n").expect("the token file can be written");
    let site = site
        .set("admin.operator_token_file", operators.display().to_string())
        .set("admin.viewer_token_file", viewers.display().to_string());
    let server = site.start();
    assert_eq!(Client::new(server.admin).get("/api/v1/status").status, 401);
    assert_eq!(Client::new(server.admin).get("/metrics").status, 200);
    assert_eq!(get(&server, "/api/v1/status", "look-1").0, 200);
    let pin = |token: &str| {
        let fields = [("Authorization", &*format!("Bearer {token}"))];
        Client::new(server.admin).request("POST", "/api/v1/assets/okd/kernel/pin", &fields).status
    };
    assert_eq!((pin("look-1"), pin("change-1")), (403, 200));
    assert_eq!(get(&server, "/api/v1/assets/okd/kernel", "look-1").1["pinned_by"], serde_json::json!(["operator"]));

    // A command on this machine uses a token file that it can read.
    let listed = site.run_command(server.admin, &["hosts", "--json"]);
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    // BOOTDEPOT_TOKEN takes precedence.
    let mut command = site.command_line(&["hosts", "--json", "--admin-listen", &server.admin.to_string()]);
    let refused = command.env("BOOTDEPOT_TOKEN", "none").run_to_end();
    let errors = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && errors.contains("this token is not valid"), "{errors}");

    std::fs::write(&operators, "change-2\n").expect("the token file can be written");
    wait_until(|| (pin("change-2") == 200).then_some(()), || "the changed token file is not read");
    assert_eq!(pin("change-1"), 401);
    // An empty file revokes all tokens.
    std::fs::write(&operators, "").expect("the token file can be written");
    server.wait_for(|line| line.text("message").starts_with("tokens revoked"));
    assert_eq!(pin("change-2"), 401);
}

#[test]
fn unreadable_token_file_fails_start() {
    let (_origin, site) = site();
    let missing = site.file("nowhere").display().to_string();
    let output = site.set("admin.operator_token_file", missing.clone()).command().run_to_end();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains(&format!("cannot read the token file {missing} (admin.operator_token_file)")), "{errors}");
}

/// Opens the event stream with a small receive buffer, so that the server notices a slow reader soon.
fn follow(admin: SocketAddr, topics: &str, last: Option<&str>) -> BufReader<TcpStream> {
    let socket = Socket::new(Domain::for_address(admin), Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(4096).expect("the buffer can be small");
    socket.connect(&admin.into()).expect("the server listens");
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(timeout())).expect("the timeout can be set");
    let last = last.map(|id| format!("Last-Event-ID: {id}\r\n")).unwrap_or_default();
    let request =
        format!("GET /api/v1/events?topics={topics} HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n{last}\r\n");
    stream.write_all(request.as_bytes()).expect("the request can be sent");
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(reader.read_line(&mut head).expect("the head arrives") > 0, "the head ends early: {head}");
    }
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    reader
}

/// Reads server-sent events and accounts for the transfers that they report.
struct EventCounter {
    reader: BufReader<TcpStream>,
    ended: usize,
    omitted: usize,
}

impl EventCounter {
    fn new(reader: BufReader<TcpStream>) -> Self {
        Self { reader, ended: 0, omitted: 0 }
    }

    /// Reads until `wanted` transfers are accounted for: each has an event of its own, or is in a count of those left out.
    /// Returns whether all are; a `reset` means that some are not.
    fn read_until(&mut self, wanted: usize) -> bool {
        let mut event = String::new();
        // Comments that keep the connection alive arrive without end.
        let deadline = Instant::now() + timeout();
        while self.ended + self.omitted < wanted {
            let (ended, omitted) = (self.ended, self.omitted);
            assert!(Instant::now() < deadline, "{ended} events and {omitted} omitted of {wanted} in time");
            let mut line = String::new();
            let length = self.reader.read_line(&mut line).expect("the next event arrives in time");
            assert!(length > 0, "the stream ended after {} events and {} omitted", self.ended, self.omitted);
            if let Some(name) = line.strip_prefix("event: ") {
                name.trim_end().clone_into(&mut event);
                if event == "reset" {
                    return false;
                }
                self.ended += usize::from(event == "transfer-ended");
            } else if event == "omitted"
                && let Some(data) = line.strip_prefix("data: ")
            {
                let data: Value = serde_json::from_str(data).expect("the data is JSON");
                assert_eq!(data["topic"], "transfer");
                self.omitted += usize::try_from(data["count"].as_u64().expect("a count")).expect("the count fits");
            }
        }
        true
    }
}

#[test]
fn event_burst_costs_readers_only_a_summary() {
    const REQUESTS: usize = 9000;
    // Pipelined, so that many transfers end between two polls of the watcher.
    const PIPELINED: usize = 50;
    let (_origin, site) = site();
    let server = site.start();
    let mut slow = EventCounter::new(follow(server.admin, "transfer", None));
    let mut quick = EventCounter::new(follow(server.admin, "transfer", None));
    let counting = std::thread::spawn(move || {
        let complete = quick.read_until(REQUESTS);
        (complete, quick.ended, quick.omitted)
    });
    // A long path makes a long event: half a kilobyte.
    let path = format!("/assets/{}", "x".repeat(200));
    let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", server.http);
    let mut socket = BufReader::new(TcpStream::connect(server.http).expect("the server listens"));
    socket.get_mut().set_read_timeout(Some(timeout())).expect("the timeout can be set");
    for _ in 0..REQUESTS / PIPELINED {
        socket.get_mut().write_all(request.repeat(PIPELINED).as_bytes()).expect("the request can be sent");
        for _ in 0..PIPELINED {
            let (mut head, mut length) = (String::new(), 0);
            while !head.ends_with("\r\n\r\n") {
                let from = head.len();
                let read = socket.read_line(&mut head).expect("a response arrives");
                assert!(read > 0, "the connection ends early: {head}");
                if let Some(value) = head[from..].strip_prefix("Content-Length: ") {
                    length = value.trim().parse().expect("a number");
                }
            }
            socket.read_exact(&mut vec![0; length]).expect("the body is complete");
        }
    }
    let (complete, ended, omitted) = counting.join().expect("the reader does not panic");
    assert!(complete && ended > 0, "{ended} events, {omitted} omitted");
    assert_eq!(Client::new(server.admin).get("/api/v1/status").status, 200);
    // The stream of a reader that did not read during the burst goes on too, with every transfer or with a `reset`.
    slow.read_until(REQUESTS);
    assert!(slow.ended > 0, "{} omitted", slow.omitted);
}
