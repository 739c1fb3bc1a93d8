//! Sockets that another process has bound, as systemd's socket units do. The server needs no privilege to serve them.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use super::copy_environment;
use crate::support::{ChildExt, FakeOrigin, TestSite, Tool, namespace, random_bytes, timeout};

/// Returns the command line of `server`, after `before`, with two sockets passed as systemd does.
fn with_sockets(server: &Command, before: &[&str], names: &str, sockets: (OwnedFd, OwnedFd)) -> Command {
    // The shell gets the sockets as standard input and output, because nothing else is inherited.
    let pass = "exec 3<&0 4>&1 </dev/null >/dev/null; export LISTEN_PID=$$ LISTEN_FDS=2; exec \"$@\"";
    let mut shell = Command::new("sh");
    shell.args(["-c", pass, "sh"]).args(before).arg(server.get_program()).args(server.get_args());
    copy_environment(&mut shell, server);
    shell.env("LISTEN_FDNAMES", names).stdin(sockets.0).stdout(sockets.1);
    shell
}

fn stream(address: &str) -> (SocketAddr, OwnedFd) {
    let socket = TcpListener::bind(address).expect("the address can be bound");
    (socket.local_addr().unwrap(), socket.into())
}

fn datagrams(address: &str) -> (SocketAddr, OwnedFd) {
    let socket = UdpSocket::bind(address).expect("the address can be bound");
    (socket.local_addr().unwrap(), socket.into())
}

/// Fetches the first block of a file over TFTP. Returns the sender's address and the bytes.
pub(super) fn fetch(from: SocketAddr, name: &str) -> (SocketAddr, Vec<u8>) {
    let client = UdpSocket::bind("0.0.0.0:0").unwrap();
    client.set_read_timeout(Some(timeout())).unwrap();
    client.send_to(format!("\0\x01{name}\0octet\0").as_bytes(), from).unwrap();
    let mut packet = [0; 1024];
    let (length, peer) = client.recv_from(&mut packet).expect("a reply arrives");
    assert_eq!(packet[..4], [0, 3, 0, 1], "DATA 1: {:?}", String::from_utf8_lossy(&packet[..length]));
    // ACK 1 if this is the last block, otherwise ERROR 0, which cancels the transfer.
    let last: &[u8] = if length < 4 + 512 { &[0, 4, 0, 1] } else { &[0, 5, 0, 0, 0] };
    client.send_to(last, peer).unwrap();
    (peer, packet[4..length].to_vec())
}

#[test]
fn passed_sockets_serve_waiting_clients() {
    let origin = FakeOrigin::start();
    let script = origin.put("script", random_bytes(70, 300));
    let ((http, first), (tftp, second)) = (stream("127.0.0.1:0"), datagrams("0.0.0.0:0"));
    let site = TestSite::new(&origin)
        .asset(&script)
        .set("http.listen", vec![http.to_string()])
        .set("tftp.listen", vec![tftp.to_string()]);
    let mut early = TcpStream::connect(http).unwrap();
    early.set_read_timeout(Some(timeout())).unwrap();
    early.write_all(b"GET /assets/script HTTP/1.0\r\n\r\n").unwrap();

    let server = TestSite::run(with_sockets(&site.command(), &[], "http:tftp", (first, second)));
    assert_eq!((server.http, server.tftp), (http, tftp));
    let mut response = Vec::new();
    early.read_to_end(&mut response).expect("the connection was in the backlog");
    assert!(response.ends_with(&script.bytes), "{}", String::from_utf8_lossy(&response));
    assert!(server.client().compare("/assets/script", &script.bytes));
    // The reply comes from the requested address. The server sets the socket option for this itself.
    let (peer, bytes) = fetch(SocketAddr::new("127.0.0.2".parse().unwrap(), tftp.port()), "script");
    assert_eq!(peer.ip().to_string(), "127.0.0.2");
    assert_ne!(peer.port(), tftp.port(), "data ports are the server's own");
    assert!(bytes == script.bytes);
    assert!(server.stop().success());
}

#[test]
fn unnamed_sockets_match_by_address() {
    let ((http, first), (admin, second)) = (stream("127.0.0.1:0"), stream("127.0.0.1:0"));
    let site = TestSite::new(&FakeOrigin::start())
        .set("http.listen", vec!["127.0.0.1:0".to_owned(), http.to_string()])
        .set("admin.listen", admin.to_string());
    let server = TestSite::run(with_sockets(&site.command(), &[], "bootdepot.socket:admin", (first, second)));
    assert_eq!(server.admin, admin);
    for address in [server.http, http, admin] {
        assert_eq!(crate::support::Client::new(address).get("/healthz").status, 200, "{address}");
    }
}

#[test]
fn unmatched_socket_fails_the_start() {
    let ((http, first), (tftp, second)) = (stream("127.0.0.1:0"), datagrams("127.0.0.1:0"));
    let site = TestSite::new(&FakeOrigin::start()).set("tftp.listen", vec![tftp.to_string()]);
    let output = with_sockets(&site.command(), &[], "http:tftp", (first, second))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
        .finish();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let sentence = format!(
        "the service manager passed a TCP socket on {http} (named \"http\"), which no configured listener \
         uses: add that address to http.listen, or disable the socket unit"
    );
    let line: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!((&line["level"], &line["message"]), (&"ERROR".into(), &sentence.into()), "{text}");
}

#[test]
fn passed_sockets_need_no_privilege() {
    let test = "deploy::sockets::passed_sockets_need_no_privilege";
    let [Some(ip), Some(unshare), Some(setpriv)] = ["ip", "unshare", "setpriv"].map(Tool::find) else { return };
    if namespace::stage().is_none() {
        if namespace::can_unshare(&unshare, &["--net"]) {
            namespace::run_stage(&unshare, &["--net"], test, "inside");
        }
        return;
    }
    ip.succeed(["link", "set", "lo", "up"]);
    let setpriv = setpriv.path().to_str().expect("a path of ASCII");
    let without_capabilities = [setpriv, "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"];
    let origin = FakeOrigin::start();
    let script = origin.put("script", random_bytes(71, 300));
    let site = TestSite::new(&origin)
        .asset(&script)
        .set("http.listen", vec!["127.0.0.1:80"])
        .set("tftp.listen", vec!["127.0.0.1:69"]);

    let ((_, other), (_, another)) = (stream("127.0.0.1:0"), datagrams("127.0.0.1:0"));
    let output = with_sockets(&site.command(), &without_capabilities, "http:tftp", (other, another))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
        .finish();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("no permission to listen on 127.0.0.1:80"), "without its sockets: {errors}");

    let ((http, first), (tftp, second)) = (stream("127.0.0.1:80"), datagrams("127.0.0.1:69"));
    let server = TestSite::run(with_sockets(&site.command(), &without_capabilities, "http:tftp", (first, second)));
    assert_eq!((server.http, server.tftp), (http, tftp));
    assert!(server.client().compare("/assets/script", &script.bytes));
    assert!(fetch(tftp, "script").1 == script.bytes);
    assert!(server.stop().success());
}
