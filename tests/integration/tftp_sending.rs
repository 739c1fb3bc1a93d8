//! TFTP transfers whose packets the system does not send: a send buffer that is full, a route that is gone. Each test has a network
//! namespace of its own.

use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::time::Duration;

use crate::support::namespace::{self, run_stage};
use crate::support::{Client, FakeOrigin, LogLine, TestServer, TestSite, Tool, random_bytes, timeout};

/// The length of the asset `boot/vmlinuz`, in bytes.
const LENGTH: usize = 4_000_001;
/// An address of the loopback interface. Packets to the others, as those of the origin, are not lost.
const CLIENT: &str = "127.0.0.3";

/// A client at [`CLIENT`] and the server, in a namespace.
struct Scene {
    socket: UdpSocket,
    /// The sender of the last packet: the port of the transfer.
    from: SocketAddr,
    server: TestServer,
    ip: Tool,
    bytes: Vec<u8>,
    _origin: FakeOrigin,
    _site: TestSite,
}

impl Scene {
    /// Enters the namespace in which the test `name` continues, and starts the server by the command that `enter` makes of its own.
    /// `None`: the inner stage did everything, or the test is skipped.
    fn enter(name: &str, enter: impl FnOnce(Command) -> Option<Command>) -> Option<Self> {
        let [unshare, ip] = ["unshare", "ip"].map(Tool::find);
        let (unshare, ip) = (unshare?, ip?);
        if namespace::stage().is_none() {
            if namespace::can_unshare(&unshare, &["--net"]) {
                run_stage(&unshare, &["--net"], &format!("tftp_sending::{name}"), "inside");
            }
            return None;
        }
        // Rules for single addresses must come before the local addresses, whose rule is the first.
        for command in ["link set lo mtu 9000 up", "rule add pref 100 lookup local", "rule del pref 0"] {
            ip.succeed(command.split(' '));
        }
        let origin = FakeOrigin::start();
        let image = origin.put("boot/vmlinuz", random_bytes(64, LENGTH));
        let site = TestSite::new(&origin).asset(&image).set("tftp.max_blksize", 512).set("tftp.max_windowsize", 8192);
        let site = site.set("tftp.retries", 1);
        let mut command = enter(site.command())?;
        let server = TestSite::run({
            command.env("BOOTDEPOT_LOG", "debug");
            command
        });
        assert_eq!(server.client().get("/assets/boot/vmlinuz").body.len(), LENGTH, "the asset is cached");
        let socket = UdpSocket::bind((CLIENT, 0)).expect("a port is free");
        socket.set_read_timeout(Some(timeout())).expect("a socket can be set");
        // A window must not be lost here either.
        rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, 4 << 20).expect("root of a namespace may");
        Some(Self { socket, from: server.tftp, server, ip, bytes: image.bytes.to_vec(), _origin: origin, _site: site })
    }

    fn request(&self, options: &str) {
        let request = format!("\0\x01boot/vmlinuz\0octet\0{}", options.replace(' ', "\0"));
        self.socket.send_to(request.as_bytes(), self.server.tftp).expect("loopback sends");
    }

    fn receive(&mut self) -> Vec<u8> {
        let mut packet = vec![0; 9000];
        let (length, from) = self.socket.recv_from(&mut packet).expect("an answer");
        self.from = from;
        packet.truncate(length);
        packet
    }

    /// Receives packets until DATA with this block number comes.
    fn receive_block(&mut self, block: u16) -> Vec<u8> {
        loop {
            let packet = self.receive();
            if packet[..4] == [&[0, 3], &block.to_be_bytes()[..]].concat() {
                return packet[4..].to_vec();
            }
        }
    }

    fn ack(&self, block: u16) {
        self.socket.send_to(&[&[0, 4], &block.to_be_bytes()[..]].concat(), self.from).expect("loopback sends");
    }

    fn change_route(&self, action: &str) {
        self.ip.succeed(["rule", action, "pref", "10", "to", CLIENT, "unreachable"]);
    }
}

fn is_not_sent(line: &LogLine) -> bool {
    line.text("message") == "packet not sent"
}

/// Returns a command that runs `inner` without the capability to exceed the system's limit on send buffers.
fn without_net_admin(inner: &Command) -> Option<Command> {
    let mut command = Tool::find("setpriv")?.command();
    command
        .args(["--bounding-set=-net_admin", "--inh-caps=-net_admin"])
        .arg(inner.get_program())
        .args(inner.get_args());
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    Some(command)
}

#[test]
fn window_fits_unprivileged_send_buffer() {
    let enter = |command| without_net_admin(&command);
    let Some(mut scene) = Scene::enter("window_fits_unprivileged_send_buffer", enter) else { return };
    let Some(tc) = Tool::find("tc") else { return };
    // A slow device, which splits what is sent as one message: the packets stay in the send buffer.
    tc.succeed("qdisc add dev lo root tbf rate 50mbit burst 20kb limit 32mb".split(' '));
    // Each packet takes 1348 bytes of a buffer that has at most 8 MiB, so that not even a process with the capability has room.
    scene.request("blksize 512 windowsize 8192 ");
    let oack = String::from_utf8(scene.receive()).expect("options are text");
    let (_, window) = oack.trim_end_matches('\0').rsplit_once("windowsize\0").expect("a window");
    let window: usize = window.parse().expect("a number");
    assert!((2..8192).contains(&window), "a window of {window} blocks");
    // The round trip sets the retransmit timeout, which must be longer than the device takes for a window.
    std::thread::sleep(Duration::from_millis(500));
    scene.ack(0);
    let mut bytes = Vec::new();
    for block in 1..=u16::try_from(LENGTH / 512 + 1).expect("few blocks") {
        bytes.extend(scene.receive_block(block));
        if usize::from(block) % window == 0 || bytes.len() == LENGTH {
            scene.ack(block);
        }
    }
    assert!(bytes == scene.bytes, "the file is the object");
    scene.server.wait_for(|line| line.text("protocol") == "tftp" && line.text("outcome") == "complete");
    assert_eq!(scene.server.lines(is_not_sent).len(), 0);
    let metrics = String::from_utf8(Client::new(scene.server.admin).get("/metrics").body).expect("metrics are text");
    assert!(metrics.contains("\nbootdepot_tftp_retransmits_total 0\n"), "{metrics}");
}

#[test]
fn lost_route_is_survived_or_named() {
    let Some(mut scene) = Scene::enter("lost_route_is_survived_or_named", Some) else { return };
    scene.request("");
    scene.receive_block(1);
    scene.ack(1);
    scene.receive_block(2);
    scene.change_route("add");
    scene.ack(2);
    scene.server.wait_for(is_not_sent);
    scene.change_route("del");
    scene.receive_block(3);
    scene.change_route("add");
    scene.ack(3);
    let line = scene.server.wait_for(|line| line.text("message") == "transfer" && line.text("protocol") == "tftp");
    assert_eq!(line.text("outcome"), "timeout");
    assert!(line.text("detail").contains("check its routes"), "{}", line.text("detail"));
}
