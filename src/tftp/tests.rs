//! Tests the server over loopback sockets, with a depot whose origin is a directory.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant, SystemTime};

use tokio_util::sync::CancellationToken;

use super::packet::TransferMode;
use super::{BaseUrl, LivenessCheck, Packet, TftpServer, TftpSettings};
use crate::asset::{AssetName, Digest};
use crate::boot::Boot;
use crate::cache::{Cache, CacheSettings};
use crate::catalog::{Asset, Catalog};
use crate::depot::{Depot, FillSettings};
use crate::origin::{Origins, Timeouts};
use crate::sockets::InheritedSockets;

/// How long a test waits for anything before it fails.
const TEST_TIMEOUT: Duration = Duration::from_mins(1);

/// A server with the assets `image` (70,001 bytes), `even` (1024 bytes), `empty`, `text`, and `cold`, whose origin accepts
/// connections and never answers.
struct TestServer {
    address: SocketAddr,
    liveness: LivenessCheck,
    stop: CancellationToken,
    served: Option<tokio::task::JoinHandle<Result<(), super::TftpError>>>,
    runtime: tokio::runtime::Runtime,
    _silent: TcpListener,
    dir: tempfile::TempDir,
}

fn settings(listen: &str) -> TftpSettings {
    TftpSettings {
        shares: crate::address_share::ShareSettings::default(),
        listen: vec![listen.parse().unwrap()],
        max_blksize: 1468,
        max_windowsize: 64,
        single_port: false,
        max_transfers: 100,
        timeout: Duration::from_secs(1),
        retries: 6,
        first_byte_deadline: Duration::from_secs(30),
        files: [("\\undionly.kpxe".to_owned(), "image".to_owned())].into(),
    }
}

fn image() -> Vec<u8> {
    (0..70_001u32).flat_map(|at| at.wrapping_mul(2_654_435_761).to_be_bytes()).step_by(4).collect()
}

impl TestServer {
    fn start(settings: TftpSettings) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let contents =
            [("image", image()), ("even", vec![7; 1024]), ("empty", vec![]), ("text", b"one\ntwo\r\n".to_vec())];
        let mut assets: Vec<Asset> = contents
            .iter()
            .map(|(name, bytes)| {
                let path = dir.path().join(name);
                std::fs::write(&path, bytes).unwrap();
                asset(name, &format!("file://{}", path.display()), Digest::of(bytes))
            })
            .collect();
        let silent_url = format!("http://{}/cold", silent.local_addr().unwrap());
        assets.push(asset("cold", &silent_url, Digest::of(b"never seen")));
        let cache = CacheSettings {
            dir: dir.path().join("cache"),
            max_size: 1 << 30,
            min_free: 0,
            seal: crate::cache::SealPolicy::Off,
        };
        let cache = Cache::open(cache).unwrap();
        let origins = Origins::new(Vec::new(), Timeouts::default()).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (depot, bound) = runtime.block_on(async {
            let depot = Depot::new(Catalog::new(assets).unwrap(), origins, cache, FillSettings::default());
            (depot, TftpServer::bind(settings, &mut InheritedSockets::default()).unwrap())
        });
        let (address, liveness, stop) = (bound.addresses()[0], bound.liveness_check(), CancellationToken::new());
        let base_url = BaseUrl::LocalAddress { http_port: 8080 };
        let served = runtime.spawn(bound.serve(Boot::assets_only(depot), base_url, stop.clone(), Duration::ZERO));
        Self { address, liveness, stop, served: Some(served), runtime, _silent: silent, dir }
    }

    /// The server's port at another address of this machine.
    fn at(&self, ip: &str) -> SocketAddr {
        SocketAddr::new(ip.parse().unwrap(), self.address.port())
    }

    fn stop(&mut self) {
        self.stop.cancel();
        if let Some(served) = self.served.take() {
            self.runtime.block_on(served).unwrap().unwrap();
        }
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.stop();
    }
}

fn asset(name: &str, source: &str, digest: Digest) -> Asset {
    Asset {
        name: AssetName::parse(name).unwrap(),
        digest,
        sources: vec![source.parse().unwrap()],
        size: None,
        content_type: "application/octet-stream".into(),
        pin: false,
        blocks: None,
        last_modified: SystemTime::UNIX_EPOCH,
    }
}

/// A packet that a client received.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Received {
    OptionAck(Vec<(String, String)>),
    Data(u16, Vec<u8>),
    Error(u16, String),
}

struct Client {
    socket: UdpSocket,
    server: SocketAddr,
    /// The sender of the last datagram.
    from: SocketAddr,
}

impl Client {
    fn new(server: SocketAddr) -> Self {
        let socket = UdpSocket::bind(if server.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" }).unwrap();
        socket.set_read_timeout(Some(TEST_TIMEOUT)).unwrap();
        Self { socket, server, from: server }
    }

    fn send(&self, to: SocketAddr, packet: &[u8]) {
        self.socket.send_to(packet, to).unwrap();
    }

    /// Sends an RRQ. `options` are names and values, separated by blanks.
    fn request(&self, name: &str, mode: TransferMode, options: &str) {
        let options: String = options.split_whitespace().flat_map(|text| [text, "\0"]).collect();
        self.send(self.server, format!("\0\x01{name}\0{mode}\0{options}").as_bytes());
    }

    fn ack(&self, block: u16) {
        let [high, low] = block.to_be_bytes();
        self.send(self.from, &[0, 4, high, low]);
    }

    fn receive(&mut self) -> Received {
        let mut buffer = vec![0; 70_000];
        let (length, from) = self.socket.recv_from(&mut buffer).unwrap();
        self.from = from;
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        match Packet::parse(&buffer[..length]).unwrap() {
            Packet::OptionAck { options } => {
                Received::OptionAck(options.iter().map(|(n, v)| (text(n), text(v))).collect())
            }
            Packet::Data { block, payload } => Received::Data(block, payload.to_vec()),
            Packet::Error { code, message } => Received::Error(code, text(message)),
            other => panic!("{other:?}"),
        }
    }

    /// Receives a file in blocks of `blksize` bytes, from block 1 on, and sends an ACK for each window.
    fn receive_file(&mut self, blksize: usize, window: u16) -> Vec<u8> {
        let (mut bytes, mut block) = (Vec::new(), 1u16);
        loop {
            let (number, payload) = match self.receive() {
                // On a busy machine an ACK may come after the retransmission of what it acknowledges. The first OACK may also have been
                // a retransmission of the last transfer, so that this is the one to acknowledge.
                Received::OptionAck(_) if block == 1 => {
                    self.ack(0);
                    continue;
                }
                Received::Data(number, _) if number.wrapping_add(1) == block => continue,
                Received::Data(number, payload) => (number, payload),
                other => panic!("no DATA for block {block}: {other:?}"),
            };
            assert_eq!(number, block);
            bytes.extend_from_slice(&payload);
            let last = payload.len() < blksize;
            if last || block % window == 0 {
                self.ack(block);
            }
            if last {
                return bytes;
            }
            block += 1;
        }
    }

    fn fetch(&mut self, name: &str, options: &str, blksize: usize, window: u16) -> Vec<u8> {
        self.request(name, TransferMode::Octet, options);
        if !options.is_empty() {
            assert!(matches!(self.receive(), Received::OptionAck(_)));
            self.ack(0);
        }
        self.receive_file(blksize, window)
    }
}

fn oack(pairs: &[(&str, &str)]) -> Received {
    Received::OptionAck(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
}

#[test]
fn files_served_cold_and_cached() {
    let server = TestServer::start(settings("127.0.0.1:0"));
    for _ in 0..2 {
        let mut client = Client::new(server.address);
        assert_eq!(client.fetch("image", "", 512, 1), image());
        assert_eq!(client.fetch("/image", "blksize 1432", 1432, 1), image());
        assert_eq!(client.fetch("\\image", "blksize 1024 windowsize 16", 1024, 16), image());
        assert_eq!(client.fetch("undionly.kpxe", "windowsize 64", 512, 64), image());
        assert_eq!(client.fetch("even", "", 512, 1), [7; 1024]);
        assert_eq!(client.fetch("empty", "windowsize 4", 512, 4), [0u8; 0]);
    }
}

/// The kernel fails to read the mapped pages while it sends them (EFAULT).
#[test]
fn lost_pages_end_transfer_then_refill() {
    let server = TestServer::start(settings("127.0.0.1:0"));
    assert_eq!(Client::new(server.address).fetch("image", "", 512, 1), image());
    let mut client = Client::new(server.address);
    client.request("image", TransferMode::Octet, "");
    assert!(matches!(client.receive(), Received::Data(1, _)));
    let (hex, cache) = (Digest::of(&image()).to_string(), server.dir.path().join("cache"));
    let blob = cache.join("blobs/sha256").join(&hex[..2]).join(&hex);
    std::fs::set_permissions(&blob, std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::File::options().write(true).open(&blob).unwrap().set_len(0).unwrap();
    client.ack(1);
    let message = "the server cannot read its cache; try again later".to_owned();
    assert_eq!(client.receive(), Received::Error(0, message));
    let deadline = Instant::now() + TEST_TIMEOUT;
    while !cache.join("quarantine").join(&hex).exists() {
        assert!(Instant::now() < deadline, "the blob is not in quarantine");
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(Client::new(server.address).fetch("image", "", 512, 1), image());
}

#[test]
fn tsize_sent_in_octet_mode_only() {
    let server = TestServer::start(settings("127.0.0.1:0"));
    let mut client = Client::new(server.address);
    client.request("image", TransferMode::Octet, "tsize 0 BlkSize 9000");
    assert_eq!(client.receive(), oack(&[("tsize", "70001"), ("BlkSize", "1468")]));
    let mut client = Client::new(server.address);
    client.request("text", TransferMode::Netascii, "tsize 0");
    assert_eq!(client.receive(), Received::Data(1, b"one\r\ntwo\r\0\r\n".to_vec()));
}

#[test]
fn invalid_requests_get_matching_error_codes() {
    let server = TestServer::start(settings("127.0.0.1:0"));
    let mut client = Client::new(server.address);
    for (packet, code, message) in [
        (&b"\0\x01nothing\0octet\0"[..], 1, "file not found"),
        (b"\0\x01../../etc/passwd\0octet\0", 1, "file not found"),
        (b"\0\x01\xff\xfe\0octet\0", 1, "file not found"),
        (b"\0\x02image\0octet\0", 2, "this server is read-only"),
        (b"\0\x01image\0mail\0", 4, "mail mode is obsolete; use octet"),
        (b"\0\x01\0octet\0", 4, "the request has no file name"),
        (b"\0\x63", 4, "unknown opcode 99"),
        (b"\0", 4, "the packet is too short"),
        (b"\0\x04\0\x01", 5, "unknown transfer ID"),
    ] {
        client.send(client.server, packet);
        assert_eq!(client.receive(), Received::Error(code, message.to_owned()), "{packet:?}");
    }
    client.send(client.server, &[b"\0\x01".to_vec(), vec![b'x'; 2000]].concat());
    assert_eq!(client.receive(), Received::Error(4, "the request is too long".to_owned()));
}

#[test]
fn same_port_served_again_after_error() {
    let server = TestServer::start(settings("127.0.0.1:0"));
    let mut client = Client::new(server.address);
    for round in 0..50 {
        client.request("image", TransferMode::Octet, "tsize 0");
        assert_eq!(client.receive(), oack(&[("tsize", "70001")]), "round {round}");
        client.send(client.from, b"\0\x05\0\x08probe\0");
    }
    assert_eq!(client.fetch("image", "blksize 1456", 1456, 1), image());
}

#[test]
fn repeated_request_joins_other_replaces_transfer() {
    let server = TestServer::start(settings("127.0.0.1:0"));
    let mut client = Client::new(server.address);
    client.request("image", TransferMode::Octet, "tsize 0");
    let first = client.receive();
    let port = client.from;
    client.request("image", TransferMode::Octet, "tsize 0");
    assert_eq!((client.receive(), client.from), (first, port), "during the handshake");
    client.request("even", TransferMode::Octet, "tsize 0");
    assert_eq!(client.receive(), oack(&[("tsize", "1024")]), "another file");
    assert_ne!(client.from, port);
    let second = client.from;
    client.ack(0);
    assert!(matches!(client.receive(), Received::Data(1, _)));
    client.request("even", TransferMode::Octet, "tsize 0");
    assert_eq!(client.receive(), oack(&[("tsize", "1024")]), "the same file, after the first block");
    assert_ne!(client.from, second);
    client.ack(0);
    assert_eq!(client.receive_file(512, 1), [7; 1024]);
}

#[test]
fn late_ack_after_end_gets_no_error() {
    for single_port in [false, true] {
        let server = TestServer::start(TftpSettings { single_port, ..settings("127.0.0.1:0") });
        let mut client = Client::new(server.address);
        assert_eq!(client.fetch("even", "", 512, 1), [7; 1024]);
        client.ack(3);
        client.ack(3);
        // An ERROR for the ACKs would arrive first.
        client.request("empty", TransferMode::Octet, "tsize 0");
        assert_eq!(client.receive(), oack(&[("tsize", "0")]));
    }
}

#[test]
fn unknown_peer_gets_error_five() {
    let server = TestServer::start(settings("127.0.0.1:0"));
    let (mut client, mut unknown) = (Client::new(server.address), Client::new(server.address));
    client.request("even", TransferMode::Octet, "");
    assert_eq!(client.receive(), Received::Data(1, vec![7; 512]));
    unknown.from = client.from;
    unknown.ack(1);
    assert_eq!(unknown.receive(), Received::Error(5, "unknown transfer ID".to_owned()));
    client.ack(1);
    assert_eq!(client.receive(), Received::Data(2, vec![7; 512]), "the transfer goes on");
}

#[test]
fn answers_come_from_requested_address() {
    for (listen, ip) in [("0.0.0.0:0", "127.0.0.2"), ("[::]:0", "127.0.0.3"), ("[::]:0", "::1")] {
        for single_port in [false, true] {
            let server = TestServer::start(TftpSettings { single_port, ..settings(listen) });
            let mut client = Client::new(server.at(ip));
            assert_eq!(client.fetch("image", "windowsize 8 blksize 1400", 1400, 8), image());
            assert_eq!(client.from.ip(), client.server.ip(), "bound to {listen}");
            assert_eq!(client.from.port() == client.server.port(), single_port);
            client.request("nothing", TransferMode::Octet, "");
            assert!(matches!(client.receive(), Received::Error(1, _)));
            assert_eq!(client.from, client.server, "the refusal comes from the requested address");
        }
    }
}

#[test]
fn single_port_serves_many_after_errors() {
    let server = TestServer::start(TftpSettings { single_port: true, ..settings("127.0.0.1:0") });
    let mut clients: Vec<Client> = (0..20).map(|_| Client::new(server.address)).collect();
    for client in &clients {
        client.request("image", TransferMode::Octet, "blksize 1468");
    }
    for client in &mut clients {
        assert_eq!(client.receive(), oack(&[("blksize", "1468")]));
        client.send(client.from, b"\0\x05\0\0stop\0");
        assert_eq!(client.fetch("image", "blksize 1468", 1468, 1), image());
    }
}

#[test]
fn cold_open_delays_no_other_request() {
    let deadline = Duration::from_millis(1500);
    let limits = TftpSettings { max_transfers: 2, first_byte_deadline: deadline, ..settings("127.0.0.1:0") };
    let server = TestServer::start(limits);
    let mut waiting = Client::new(server.address);
    for _ in 0..5 {
        waiting.request("cold", TransferMode::Octet, "tsize 0");
    }
    assert_eq!(Client::new(server.address).fetch("image", "windowsize 16", 512, 16), image());
    let message = "the file is not cached yet and its origin is slow; try again later";
    assert_eq!(waiting.receive(), Received::Error(0, message.to_owned()));
    // Both sessions have ended.
    let mut other = Client::new(server.address);
    other.request("even", TransferMode::Octet, "tsize 0");
    assert_eq!(other.receive(), oack(&[("tsize", "1024")]));
    // The five requests made one transfer, so no other answer arrives before this.
    assert_eq!(waiting.fetch("even", "", 512, 1), [7; 1024]);
}

#[test]
fn transfer_limit_refuses_until_session_ends() {
    let server = TestServer::start(TftpSettings { max_transfers: 1, ..settings("127.0.0.1:0") });
    let (mut first, mut second) = (Client::new(server.address), Client::new(server.address));
    first.request("even", TransferMode::Octet, "tsize 0");
    first.receive();
    first.ack(0);
    let block = first.receive();
    second.request("even", TransferMode::Octet, "");
    let message = "the server has too many transfers; try again later";
    assert_eq!(second.receive(), Received::Error(0, message.to_owned()));
    assert_eq!(block, Received::Data(1, vec![7; 512]));
    first.ack(1);
    assert_eq!(first.receive(), Received::Data(2, vec![7; 512]));
    first.ack(2);
    assert_eq!(first.receive(), Received::Data(3, Vec::new()));
    first.ack(3);
    // The last ACK and the request arrive on different ports.
    let deadline = Instant::now() + TEST_TIMEOUT;
    loop {
        second.request("even", TransferMode::Octet, "");
        match second.receive() {
            Received::Error(0, _) if Instant::now() < deadline => {}
            other => break assert_eq!(other, Received::Data(1, vec![7; 512])),
        }
    }
}

#[test]
fn stopping_server_sends_error_to_clients() {
    let mut server = TestServer::start(settings("127.0.0.1:0"));
    let mut client = Client::new(server.address);
    client.request("image", TransferMode::Octet, "");
    assert!(matches!(client.receive(), Received::Data(1, _)));
    server.stop();
    assert_eq!(client.receive(), Received::Error(0, "the server is stopping; try again later".to_owned()));
}

#[test]
fn bind_error_names_address_and_remedy() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let error = TftpServer::bind(settings(&address.to_string()), &mut InheritedSockets::default()).err().unwrap();
    let port = address.port();
    assert_eq!(
        error.to_string(),
        format!(
            "cannot listen for TFTP on {address}: another program uses UDP port {port}; stop it, or set another \
             [tftp] listen address"
        )
    );
    let error = TftpServer::bind(settings("192.0.2.1:0"), &mut InheritedSockets::default()).err().unwrap();
    assert_eq!(
        error.to_string(),
        "cannot listen for TFTP on 192.0.2.1:0: this machine does not have the address 192.0.2.1"
    );
}

#[test]
fn simultaneous_requests_all_answered() {
    let server = TestServer::start(TftpSettings { max_transfers: 4096, ..settings("127.0.0.1:0") });
    assert_eq!(Client::new(server.address).fetch("even", "", 512, 1).len(), 1024);
    let clients: Vec<Client> = (0..300).map(|_| Client::new(server.address)).collect();
    for client in &clients {
        client.request("even", TransferMode::Octet, "tsize 0");
    }
    for mut client in clients {
        assert_eq!(client.receive(), oack(&[("tsize", "1024")]));
        client.ack(0);
        assert_eq!(client.receive_file(512, 1).len(), 1024);
    }
}

#[test]
fn script_urls_use_requested_address() {
    let server = TestServer::start(settings("127.0.0.1:0"));
    for name in ["autoexec.ipxe", "/boot/autoexec.ipxe", "boot.ipxe"] {
        let script = String::from_utf8(Client::new(server.address).fetch(name, "", 512, 1)).unwrap();
        assert!(script.starts_with("#!ipxe\n"), "{script}");
        // The requested address, with the port of the HTTP server.
        assert!(script.contains("http://127.0.0.1:8080/ipxe?"), "{script}");
    }
    let grub = String::from_utf8(Client::new(server.address).fetch("grub/grub.cfg", "blksize 1024", 1024, 1)).unwrap();
    assert!(grub.contains("127.0.0.1:8080"), "{grub}");
}

#[test]
fn careless_file_names_are_understood() {
    let server = TestServer::start(settings("127.0.0.1:0"));
    for name in ["even", "/even", "boot/../even", ".\\even", "EVEN"] {
        assert_eq!(Client::new(server.address).fetch(name, "", 512, 1).len(), 1024, "{name}");
    }
    let text = |name: &str| String::from_utf8(Client::new(server.address).fetch(name, "", 512, 1)).unwrap();
    // GRUB without HTTP says all that it knows in the name.
    let grub = text("grub/grub.cfg?mac=52:54:00:12:34:56&serial=ABC1234");
    assert!(grub.starts_with("set received=script\n") && grub.contains("ABC1234"), "{grub}");
    assert!(text("boot/pxelinux.cfg/01-52-54-00-12-34-56").contains("MAC address 52:54:00:12:34:56"));
}

#[test]
fn liveness_check_passes_while_workers_run() {
    let mut server = TestServer::start(settings("127.0.0.1:0"));
    let passes = |server: &TestServer, timeout| {
        server.runtime.block_on(async { tokio::time::timeout(timeout, server.liveness.passed()).await.is_ok() })
    };
    assert!(passes(&server, TEST_TIMEOUT));
    assert!(passes(&server, TEST_TIMEOUT), "again");
    server.stop();
    assert!(!passes(&server, Duration::from_millis(200)), "the workers have ended");
}
