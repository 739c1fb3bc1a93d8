//! The admin API of the real server: who it lets in, and what it tells while things happen.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;
use socket2::{Domain, Socket, Type};

use crate::support::{Client, Origin, PATIENCE, Server, Site, noise};

fn site() -> (Origin, Site) {
    let origin = Origin::start();
    let object = origin.put("okd/kernel", noise(1, 5000));
    let site = Site::new(&origin).asset(&object);
    (origin, site)
}

/// GET with a token: the status, and the content as JSON.
fn get(server: &Server, path: &str, token: &str) -> (u16, Value) {
    let answer = Client::of(server.admin).request("GET", path, &[("Authorization", &format!("Bearer {token}"))]);
    (answer.status, serde_json::from_slice(&answer.body).unwrap_or_default())
}

#[test]
fn tokens_are_asked_for_and_their_file_is_read_again() {
    let (_origin, site) = site();
    let (operators, viewers) = (site.file("operators"), site.file("viewers"));
    std::fs::write(&operators, "change-1\n").expect("it can be written");
    std::fs::write(&viewers, "look-1\n").expect("it can be written");
    let site = site
        .set("admin.operator_token_file", operators.display().to_string())
        .set("admin.viewer_token_file", viewers.display().to_string());
    let server = site.start();
    assert_eq!(Client::of(server.admin).get("/api/v1/status").status, 401);
    assert_eq!(Client::of(server.admin).get("/metrics").status, 200);
    assert_eq!(get(&server, "/api/v1/status", "look-1").0, 200);
    let order = |token: &str| {
        let fields = [("Authorization", &*format!("Bearer {token}"))];
        Client::of(server.admin).request("POST", "/api/v1/assets/okd/kernel/pin", &fields).status
    };
    assert_eq!((order("look-1"), order("change-1")), (403, 200));
    assert_eq!(get(&server, "/api/v1/assets/okd/kernel", "look-1").1["pinned_by"], serde_json::json!(["operator"]));

    // A command on this machine takes a token that it can read.
    let listed = site.ask(server.admin, &["hosts", "--json"]);
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    // One that is told a token takes that.
    let mut command = site.command_line(&["hosts", "--json", "--admin-listen", &server.admin.to_string()]);
    let refused = command.env("BOOTDEPOT_TOKEN", "none").output().expect("the program can be run");
    let told = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && told.contains("this token is not valid"), "{told}");

    std::fs::write(&operators, "change-2\n").expect("it can be written");
    let since = Instant::now();
    while order("change-2") != 200 {
        assert!(since.elapsed() < PATIENCE, "the file is read again");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(order("change-1"), 401);
    // A file that lost its tokens lets nobody in.
    std::fs::write(&operators, "").expect("it can be written");
    server.wait_for(|line| line.text("message").starts_with("tokens revoked"));
    assert_eq!(order("change-2"), 401);
}

#[test]
fn a_token_file_that_cannot_be_read_ends_it_with_a_sentence() {
    let (_origin, site) = site();
    let missing = site.file("nowhere").display().to_string();
    let output = site.set("admin.operator_token_file", missing.clone()).command().output().expect("it runs");
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains(&format!("cannot read the token file {missing} (admin.operator_token_file)")), "{told}");
}

/// A reader of events whose socket takes little that is not read.
fn follow(admin: SocketAddr, topics: &str, last: Option<&str>) -> BufReader<TcpStream> {
    let socket = Socket::new(Domain::for_address(admin), Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(4096).expect("it can be small");
    socket.connect(&admin.into()).expect("the server listens");
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).expect("it can be set");
    let last = last.map(|id| format!("Last-Event-ID: {id}\r\n")).unwrap_or_default();
    let request =
        format!("GET /api/v1/events?topics={topics} HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n{last}\r\n");
    stream.write_all(request.as_bytes()).expect("it is sent");
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        reader.read_line(&mut head).expect("a head comes");
    }
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    reader
}

/// Reads server-sent events and accounts for the transfers that they report.
struct Account {
    reader: BufReader<TcpStream>,
    ended: usize,
    omitted: usize,
}

impl Account {
    fn of(reader: BufReader<TcpStream>) -> Self {
        Self { reader, ended: 0, omitted: 0 }
    }

    /// Reads until `wanted` transfers are accounted for: each has an event of its own, or is in a count of those left out.
    /// Returns whether that was so; a `reset` says that some are not.
    fn read_until(&mut self, wanted: usize) -> bool {
        let mut event = String::new();
        while self.ended + self.omitted < wanted {
            let mut line = String::new();
            let length = self.reader.read_line(&mut line).expect("the next event arrives in time");
            assert!(length > 0, "the stream ended after {} events and {} omitted", self.ended, self.omitted);
            if let Some(name) = line.strip_prefix("event: ") {
                event = name.trim_end().to_owned();
                if event == "reset" {
                    return false;
                }
                self.ended += usize::from(event == "transfer-ended");
            } else if event == "omitted"
                && let Some(data) = line.strip_prefix("data: ")
            {
                let data: Value = serde_json::from_str(data).expect("the data is JSON");
                assert_eq!(data["topic"], "transfer");
                self.omitted += usize::try_from(data["count"].as_u64().expect("a count")).expect("it fits");
            }
        }
        true
    }
}

#[test]
fn event_burst_costs_readers_only_a_summary() {
    const REQUESTS: usize = 9000;
    // Pipelined in pieces: the server makes as many transfers in each of the watcher's looks as it can.
    const PIPELINED: usize = 50;
    let (_origin, site) = site();
    let server = site.start();
    let mut slow = Account::of(follow(server.admin, "transfer", None));
    let mut quick = Account::of(follow(server.admin, "transfer", None));
    let counting = std::thread::spawn(move || {
        let complete = quick.read_until(REQUESTS);
        (complete, quick.ended, quick.omitted)
    });
    // The log of each names what was asked for, and so does its event: half a kilobyte.
    let path = format!("/assets/{}", "x".repeat(200));
    let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", server.http);
    let mut socket = BufReader::new(TcpStream::connect(server.http).expect("it listens"));
    socket.get_mut().set_read_timeout(Some(PATIENCE)).expect("it can be set");
    for _ in 0..REQUESTS / PIPELINED {
        socket.get_mut().write_all(request.repeat(PIPELINED).as_bytes()).expect("it is sent");
        for _ in 0..PIPELINED {
            let (mut head, mut length) = (String::new(), 0);
            while !head.ends_with("\r\n\r\n") {
                let from = head.len();
                socket.read_line(&mut head).expect("an answer comes");
                if let Some(value) = head[from..].strip_prefix("Content-Length: ") {
                    length = value.trim().parse().expect("a number");
                }
            }
            socket.read_exact(&mut vec![0; length]).expect("all of it comes");
        }
    }
    let (complete, ended, omitted) = counting.join().expect("the stream goes on");
    assert!(complete && ended > 0, "{ended} events, {omitted} omitted");
    assert_eq!(Client::of(server.admin).get("/api/v1/status").status, 200);
    // The stream of a reader that did not read during the burst goes on too, with every transfer or with a `reset`.
    slow.read_until(REQUESTS);
    assert!(slow.ended > 0, "{} omitted", slow.omitted);
}
