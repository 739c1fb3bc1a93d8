//! Sockets that another process bound, as systemd's socket units do: the server serves them, whatever its privileges.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::process::Command;

use super::take_environment;
use crate::support::{Origin, PATIENCE, Site, Tool, namespace, noise};

/// The command line of `server`, after `before`, with two sockets as systemd passes them.
fn with_sockets(server: &Command, before: &[&str], names: &str, sockets: (OwnedFd, OwnedFd)) -> Command {
    // They come in as standard input and output, since nothing else is inherited.
    let pass = "exec 3<&0 4>&1 </dev/null >/dev/null; export LISTEN_PID=$$ LISTEN_FDS=2; exec \"$@\"";
    let mut shell = Command::new("sh");
    shell.args(["-c", pass, "sh"]).args(before).arg(server.get_program()).args(server.get_args());
    take_environment(&mut shell, server);
    shell.env("LISTEN_FDNAMES", names).stdin(sockets.0).stdout(sockets.1);
    shell
}

fn stream(address: &str) -> (SocketAddr, OwnedFd) {
    let socket = TcpListener::bind(address).expect("it can be bound");
    (socket.local_addr().unwrap(), socket.into())
}

fn datagrams(address: &str) -> (SocketAddr, OwnedFd) {
    let socket = UdpSocket::bind(address).expect("it can be bound");
    (socket.local_addr().unwrap(), socket.into())
}

/// The first block of a file, over TFTP, and who sent it.
pub(super) fn fetch(from: SocketAddr, name: &str) -> (SocketAddr, Vec<u8>) {
    let client = UdpSocket::bind("0.0.0.0:0").unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.send_to(format!("\0\x01{name}\0octet\0").as_bytes(), from).unwrap();
    let mut packet = [0; 1024];
    let (length, peer) = client.recv_from(&mut packet).expect("an answer comes");
    assert_eq!(packet[..4], [0, 3, 0, 1], "DATA 1: {:?}", String::from_utf8_lossy(&packet[..length]));
    // ACK 1; or ERROR 0, where more would come that nobody wants.
    let farewell: &[u8] = if length < 4 + 512 { &[0, 4, 0, 1] } else { &[0, 5, 0, 0, 0] };
    client.send_to(farewell, peer).unwrap();
    (peer, packet[4..length].to_vec())
}

#[test]
fn sockets_that_were_bound_beforehand_are_served_with_who_waits_in_them() {
    let origin = Origin::start();
    let script = origin.put("script", noise(70, 300));
    let ((http, first), (tftp, second)) = (stream("127.0.0.1:0"), datagrams("0.0.0.0:0"));
    let site = Site::new(&origin)
        .asset(&script)
        .set("http.listen", vec![http.to_string()])
        .set("tftp.listen", vec![tftp.to_string()]);
    let mut early = TcpStream::connect(http).unwrap();
    early.set_read_timeout(Some(PATIENCE)).unwrap();
    early.write_all(b"GET /assets/script HTTP/1.0\r\n\r\n").unwrap();

    let server = Site::run(with_sockets(&site.command(), &[], "http:tftp", (first, second)));
    assert_eq!((server.http, server.tftp), (http, tftp));
    let mut answer = Vec::new();
    early.read_to_end(&mut answer).expect("it was in the backlog");
    assert!(answer.ends_with(&script.bytes), "{}", String::from_utf8_lossy(&answer));
    assert!(server.client().compare("/assets/script", &script.bytes));
    // The answer comes from the address that was asked, which takes an option that the server sets by itself.
    let (peer, bytes) = fetch(SocketAddr::new("127.0.0.2".parse().unwrap(), tftp.port()), "script");
    assert_eq!(peer.ip().to_string(), "127.0.0.2");
    assert_ne!(peer.port(), tftp.port(), "data ports are the server's own");
    assert!(bytes == script.bytes);
    assert!(server.stop().success());
}

#[test]
fn the_admin_listener_and_sockets_without_a_name_of_ours_are_matched_by_address() {
    let ((http, first), (admin, second)) = (stream("127.0.0.1:0"), stream("127.0.0.1:0"));
    let site = Site::new(&Origin::start())
        .set("http.listen", vec!["127.0.0.1:0".to_owned(), http.to_string()])
        .set("admin.listen", admin.to_string());
    let server = Site::run(with_sockets(&site.command(), &[], "bootdepot.socket:admin", (first, second)));
    assert_eq!(server.admin, admin);
    for address in [server.http, http, admin] {
        assert_eq!(crate::support::Client::of(address).get("/healthz").status, 200, "{address}");
    }
}

#[test]
fn a_socket_that_no_listener_has_is_told_of_at_the_start() {
    let ((http, first), (tftp, second)) = (stream("127.0.0.1:0"), datagrams("127.0.0.1:0"));
    let site = Site::new(&Origin::start()).set("tftp.listen", vec![tftp.to_string()]);
    let output = with_sockets(&site.command(), &[], "http:tftp", (first, second)).output().unwrap();
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
fn ports_69_and_80_are_served_without_a_privilege() {
    let test = "deploy::sockets::ports_69_and_80_are_served_without_a_privilege";
    let [Some(ip), Some(unshare), Some(setpriv)] = ["ip", "unshare", "setpriv"].map(Tool::find) else { return };
    if namespace::stage().is_none() {
        if namespace::can_be_had(&unshare, &["--net"]) {
            namespace::again(&unshare, &["--net"], test, "inside");
        }
        return;
    }
    ip.succeed(["link", "set", "lo", "up"]);
    let setpriv = setpriv.path().to_str().expect("a path of ASCII");
    let powerless = [setpriv, "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"];
    let origin = Origin::start();
    let script = origin.put("script", noise(71, 300));
    let site = Site::new(&origin)
        .asset(&script)
        .set("http.listen", vec!["127.0.0.1:80"])
        .set("tftp.listen", vec!["127.0.0.1:69"]);

    let ((_, other), (_, another)) = (stream("127.0.0.1:0"), datagrams("127.0.0.1:0"));
    let output = with_sockets(&site.command(), &powerless, "http:tftp", (other, another)).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("no permission to listen on 127.0.0.1:80"), "without its sockets it may not: {said}");

    let ((http, first), (tftp, second)) = (stream("127.0.0.1:80"), datagrams("127.0.0.1:69"));
    let server = Site::run(with_sockets(&site.command(), &powerless, "http:tftp", (first, second)));
    assert_eq!((server.http, server.tftp), (http, tftp));
    assert!(server.client().compare("/assets/script", &script.bytes));
    assert!(fetch(tftp, "script").1 == script.bytes);
    assert!(server.stop().success());
}
