//! The server over loopback sockets, on a depot with a file origin.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::time::{Duration, SystemTime};

use tokio_util::sync::CancellationToken;

use super::packet::Mode;
use super::{Base, Packet, Pulse, TftpServer, TftpSettings};
use crate::asset::{AssetName, Digest};
use crate::boot::Boot;
use crate::cache::{Cache, CacheSettings};
use crate::catalog::{Asset, Catalog};
use crate::depot::{Depot, FillSettings};
use crate::origin::{Origins, Timeouts};
use crate::sockets::Inherited;

/// A server with the assets `image` (70,001 bytes), `even` (1024 bytes), `empty`, `text`, and `cold`, whose origin takes
/// connections and never answers.
struct Site {
    address: SocketAddr,
    pulse: Pulse,
    stop: CancellationToken,
    served: Option<tokio::task::JoinHandle<Result<(), super::TftpError>>>,
    runtime: tokio::runtime::Runtime,
    _silent: TcpListener,
    _dir: tempfile::TempDir,
}

fn settings(listen: &str) -> TftpSettings {
    TftpSettings {
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

impl Site {
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
        let cache = CacheSettings { dir: dir.path().join("cache"), max_size: 1 << 30, min_free: 0 };
        let cache = Cache::open(cache).unwrap();
        let origins = Origins::new(Vec::new(), Timeouts::default()).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (depot, bound) = runtime.block_on(async {
            let depot = Depot::new(Catalog::new(assets).unwrap(), origins, cache, FillSettings::default());
            (depot, TftpServer::bind(settings, &mut Inherited::default()).unwrap())
        });
        let (address, pulse, stop) = (bound.addresses()[0], bound.pulse(), CancellationToken::new());
        let served = runtime.spawn(bound.serve(Boot::assets_only(depot), Base::Port(8080), stop.clone(), Duration::ZERO));
        Self { address, pulse, stop, served: Some(served), runtime, _silent: silent, _dir: dir }
    }

    /// The server as seen at another address of this machine.
    fn at(&self, ip: &str) -> SocketAddr {
        SocketAddr::new(ip.parse().unwrap(), self.address.port())
    }

    fn end(&mut self) {
        self.stop.cancel();
        if let Some(served) = self.served.take() {
            self.runtime.block_on(served).unwrap().unwrap();
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.end();
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
        since: SystemTime::UNIX_EPOCH,
    }
}

/// What a client saw.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Seen {
    OptionAck(Vec<(String, String)>),
    Data(u16, Vec<u8>),
    Error(u16, String),
}

struct Client {
    socket: UdpSocket,
    server: SocketAddr,
    /// Where the last datagram came from.
    from: SocketAddr,
}

impl Client {
    fn of(server: SocketAddr) -> Self {
        let socket = UdpSocket::bind(if server.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" }).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self { socket, server, from: server }
    }

    fn send(&self, to: SocketAddr, packet: &[u8]) {
        self.socket.send_to(packet, to).unwrap();
    }

    /// Asks; `options` are names and values, separated by blanks.
    fn ask(&self, name: &str, mode: Mode, options: &str) {
        let options: String = options.split_whitespace().flat_map(|text| [text, "\0"]).collect();
        self.send(self.server, format!("\0\x01{name}\0{mode}\0{options}").as_bytes());
    }

    fn ack(&self, block: u16) {
        let [high, low] = block.to_be_bytes();
        self.send(self.from, &[0, 4, high, low]);
    }

    fn see(&mut self) -> Seen {
        let mut buffer = vec![0; 70_000];
        let (length, from) = self.socket.recv_from(&mut buffer).unwrap();
        self.from = from;
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        match Packet::parse(&buffer[..length]).unwrap() {
            Packet::OptionAck { options } => Seen::OptionAck(options.iter().map(|(n, v)| (text(n), text(v))).collect()),
            Packet::Data { block, payload } => Seen::Data(block, payload.to_vec()),
            Packet::Error { code, message } => Seen::Error(code, text(message)),
            other => panic!("{other:?}"),
        }
    }

    /// Receives blocks of `blksize` bytes in windows until the end, from block 1 on.
    fn receive(&mut self, blksize: usize, window: u16) -> Vec<u8> {
        let (mut bytes, mut block) = (Vec::new(), 1u16);
        loop {
            let Seen::Data(number, payload) = self.see() else { panic!("no DATA for block {block}") };
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
        self.ask(name, Mode::Octet, options);
        if !options.is_empty() {
            assert!(matches!(self.see(), Seen::OptionAck(_)));
            self.ack(0);
        }
        self.receive(blksize, window)
    }
}

fn pairs(pairs: &[(&str, &str)]) -> Seen {
    Seen::OptionAck(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
}

#[test]
fn serves_files_of_every_shape_cold_and_warm() {
    let site = Site::start(settings("127.0.0.1:0"));
    for _ in 0..2 {
        let mut client = Client::of(site.address);
        assert_eq!(client.fetch("image", "", 512, 1), image());
        assert_eq!(client.fetch("/image", "blksize 1432", 1432, 1), image());
        assert_eq!(client.fetch("\\image", "blksize 1024 windowsize 16", 1024, 16), image());
        assert_eq!(client.fetch("undionly.kpxe", "windowsize 64", 512, 64), image());
        assert_eq!(client.fetch("even", "", 512, 1), [7; 1024]);
        assert_eq!(client.fetch("empty", "windowsize 4", 512, 4), [0u8; 0]);
    }
}

#[test]
fn tells_the_size_of_octets_and_converts_text() {
    let site = Site::start(settings("127.0.0.1:0"));
    let mut client = Client::of(site.address);
    client.ask("image", Mode::Octet, "tsize 0 BlkSize 9000");
    assert_eq!(client.see(), pairs(&[("tsize", "70001"), ("BlkSize", "1468")]));
    let mut client = Client::of(site.address);
    client.ask("text", Mode::Netascii, "tsize 0");
    assert_eq!(client.see(), Seen::Data(1, b"one\r\ntwo\r\0\r\n".to_vec()));
}

#[test]
fn refuses_with_the_code_that_clients_know() {
    let site = Site::start(settings("127.0.0.1:0"));
    let mut client = Client::of(site.address);
    for (packet, code, message) in [
        (&b"\0\x01nothing\0octet\0"[..], 1, "file not found"),
        (b"\0\x01../../etc/passwd\0octet\0", 1, "file not found"),
        (b"\0\x01\xff\xfe\0octet\0", 1, "file not found"),
        (b"\0\x02image\0octet\0", 2, "this server is read-only"),
        (b"\0\x01image\0mail\0", 4, "mail mode is obsolete; use octet"),
        (b"\0\x01\0octet\0", 4, "the request names no file"),
        (b"\0\x63", 4, "the opcode 99 is not known"),
        (b"\0", 4, "the packet is cut short"),
        (b"\0\x04\0\x01", 5, "no such transfer"),
    ] {
        client.send(client.server, packet);
        assert_eq!(client.see(), Seen::Error(code, message.to_owned()), "{packet:?}");
    }
    client.send(client.server, &[b"\0\x01".to_vec(), vec![b'x'; 2000]].concat());
    assert_eq!(client.see(), Seen::Error(4, "the request is too long".to_owned()));
}

#[test]
fn the_same_port_is_served_again_at_once_after_an_error() {
    let site = Site::start(settings("127.0.0.1:0"));
    let mut client = Client::of(site.address);
    for round in 0..50 {
        client.ask("image", Mode::Octet, "tsize 0");
        assert_eq!(client.see(), pairs(&[("tsize", "70001")]), "round {round}");
        client.send(client.from, b"\0\x05\0\x08probe\0");
    }
    assert_eq!(client.fetch("image", "blksize 1456", 1456, 1), image());
}

#[test]
fn a_repeated_request_gets_the_same_transfer_and_another_a_new_one() {
    let site = Site::start(settings("127.0.0.1:0"));
    let mut client = Client::of(site.address);
    client.ask("image", Mode::Octet, "tsize 0");
    let first = client.see();
    let port = client.from;
    client.ask("image", Mode::Octet, "tsize 0");
    assert_eq!((client.see(), client.from), (first, port), "during the handshake");
    client.ask("even", Mode::Octet, "tsize 0");
    assert_eq!(client.see(), pairs(&[("tsize", "1024")]), "another file");
    assert_ne!(client.from, port);
    let second = client.from;
    client.ack(0);
    assert!(matches!(client.see(), Seen::Data(1, _)));
    client.ask("even", Mode::Octet, "tsize 0");
    assert_eq!(client.see(), pairs(&[("tsize", "1024")]), "the same, in the midst of it");
    assert_ne!(client.from, second);
    client.ack(0);
    assert_eq!(client.receive(512, 1), [7; 1024]);
}

#[test]
fn a_late_ack_of_an_ended_transfer_is_not_an_error() {
    for single_port in [false, true] {
        let site = Site::start(TftpSettings { single_port, ..settings("127.0.0.1:0") });
        let mut client = Client::of(site.address);
        assert_eq!(client.fetch("even", "", 512, 1), [7; 1024]);
        client.ack(3);
        client.ack(3);
        // An ERROR for the ACKs would come first: on the data port by its place, on the one port by its order.
        client.ask("empty", Mode::Octet, "tsize 0");
        assert_eq!(client.see(), pairs(&[("tsize", "0")]));
    }
}

#[test]
fn strangers_on_a_data_port_are_told_so() {
    let site = Site::start(settings("127.0.0.1:0"));
    let (mut client, mut stranger) = (Client::of(site.address), Client::of(site.address));
    client.ask("even", Mode::Octet, "");
    assert_eq!(client.see(), Seen::Data(1, vec![7; 512]));
    stranger.from = client.from;
    stranger.ack(1);
    assert_eq!(stranger.see(), Seen::Error(5, "no such transfer".to_owned()));
    client.ack(1);
    assert_eq!(client.see(), Seen::Data(2, vec![7; 512]), "the transfer goes on");
}

#[test]
fn answers_from_the_address_that_was_asked() {
    for (listen, asked) in [("0.0.0.0:0", "127.0.0.2"), ("[::]:0", "127.0.0.3"), ("[::]:0", "::1")] {
        for single_port in [false, true] {
            let site = Site::start(TftpSettings { single_port, ..settings(listen) });
            let mut client = Client::of(site.at(asked));
            assert_eq!(client.fetch("image", "windowsize 8 blksize 1400", 1400, 8), image());
            assert_eq!(client.from.ip(), client.server.ip(), "bound to {listen}");
            assert_eq!(client.from.port() == client.server.port(), single_port);
            client.ask("nothing", Mode::Octet, "");
            assert!(matches!(client.see(), Seen::Error(1, _)));
            assert_eq!(client.from, client.server, "refused from the address that was asked");
        }
    }
}

#[test]
fn one_port_serves_many_and_begins_anew_after_an_error() {
    let site = Site::start(TftpSettings { single_port: true, ..settings("127.0.0.1:0") });
    let mut clients: Vec<Client> = (0..20).map(|_| Client::of(site.address)).collect();
    for client in &clients {
        client.ask("image", Mode::Octet, "blksize 1468");
    }
    for client in &mut clients {
        assert_eq!(client.see(), pairs(&[("blksize", "1468")]));
        client.send(client.from, b"\0\x05\0\0stop\0");
        assert_eq!(client.fetch("image", "blksize 1468", 1468, 1), image());
    }
}

#[test]
fn a_cold_asset_delays_nobody_and_its_repeats_join_until_the_deadline() {
    let deadline = Duration::from_millis(1500);
    let two = TftpSettings { max_transfers: 2, first_byte_deadline: deadline, ..settings("127.0.0.1:0") };
    let site = Site::start(two);
    let mut waiting = Client::of(site.address);
    for _ in 0..5 {
        waiting.ask("cold", Mode::Octet, "tsize 0");
    }
    assert_eq!(Client::of(site.address).fetch("image", "windowsize 16", 512, 16), image());
    let message = "the origin is slow: the file is not here yet; try again later";
    assert_eq!(waiting.see(), Seen::Error(0, message.to_owned()));
    // Both seats are free again.
    let mut other = Client::of(site.address);
    other.ask("even", Mode::Octet, "tsize 0");
    assert_eq!(other.see(), pairs(&[("tsize", "1024")]));
    // All five asked for one transfer, so nothing else is on its way before this.
    assert_eq!(waiting.fetch("even", "", 512, 1), [7; 1024]);
}

#[test]
fn one_transfer_too_many_is_refused_and_the_seat_comes_back() {
    let site = Site::start(TftpSettings { max_transfers: 1, ..settings("127.0.0.1:0") });
    let (mut first, mut second) = (Client::of(site.address), Client::of(site.address));
    first.ask("even", Mode::Octet, "tsize 0");
    first.see();
    second.ask("even", Mode::Octet, "");
    let message = "the server has as many transfers as it may; try again later";
    assert_eq!(second.see(), Seen::Error(0, message.to_owned()));
    first.ack(0);
    assert_eq!(first.receive(512, 1), [7; 1024]);
    // The last ACK and the request take different ways into the server.
    let mut again = || {
        second.ask("even", Mode::Octet, "");
        second.see()
    };
    while matches!(again(), Seen::Error(0, _)) {}
}

#[test]
fn a_server_that_stops_tells_those_it_breaks_off() {
    let mut site = Site::start(settings("127.0.0.1:0"));
    let mut client = Client::of(site.address);
    client.ask("image", Mode::Octet, "");
    assert!(matches!(client.see(), Seen::Data(1, _)));
    site.end();
    assert_eq!(client.see(), Seen::Error(0, "the server is stopping; try again later".to_owned()));
}

#[test]
fn an_address_that_cannot_be_had_is_named_with_a_remedy() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let error = TftpServer::bind(settings(&address.to_string()), &mut Inherited::default()).err().unwrap();
    let port = address.port();
    assert_eq!(
        error.to_string(),
        format!(
            "cannot take TFTP requests on {address}: another program has UDP port {port}; stop it, or set another \
             [tftp] listen"
        )
    );
    let error = TftpServer::bind(settings("192.0.2.1:0"), &mut Inherited::default()).err().unwrap();
    assert_eq!(error.to_string(), "cannot take TFTP requests on 192.0.2.1:0: this machine has no address 192.0.2.1");
}

#[test]
fn hundreds_of_requests_in_one_instant_are_all_answered() {
    let site = Site::start(TftpSettings { max_transfers: 4096, ..settings("127.0.0.1:0") });
    assert_eq!(Client::of(site.address).fetch("even", "", 512, 1).len(), 1024);
    let clients: Vec<Client> = (0..300).map(|_| Client::of(site.address)).collect();
    for client in &clients {
        client.ask("even", Mode::Octet, "tsize 0");
    }
    for mut client in clients {
        assert_eq!(client.see(), pairs(&[("tsize", "1024")]));
        client.ack(0);
        assert_eq!(client.receive(512, 1).len(), 1024);
    }
}

#[test]
fn scripts_are_made_for_who_asks() {
    let site = Site::start(settings("127.0.0.1:0"));
    for name in ["autoexec.ipxe", "/boot/autoexec.ipxe", "boot.ipxe"] {
        let script = String::from_utf8(Client::of(site.address).fetch(name, "", 512, 1)).unwrap();
        assert!(script.starts_with("#!ipxe\n"), "{script}");
        // The address that was asked, with the port of the HTTP server.
        assert!(script.contains("http://127.0.0.1:8080/ipxe?"), "{script}");
    }
    Client::of(site.address).fetch("grub/grub.cfg", "blksize 1024", 1024, 1);
}

#[test]
fn the_pulse_is_felt_as_long_as_the_workers_turn() {
    let mut site = Site::start(settings("127.0.0.1:0"));
    let beats = |site: &Site, patience| {
        site.runtime.block_on(async { tokio::time::timeout(patience, site.pulse.beat()).await.is_ok() })
    };
    assert!(beats(&site, Duration::from_mins(1)));
    assert!(beats(&site, Duration::from_mins(1)), "again");
    site.end();
    assert!(!beats(&site, Duration::from_millis(1)), "nobody is there to answer");
}
