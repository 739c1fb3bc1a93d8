//! Hostile packets against the TFTP listener, with forged source addresses, in a network namespace of their own.

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use socket2::{Domain, Protocol, Socket, Type};

use crate::support::namespace::{self, run_stage};
use crate::support::{Client, FakeOrigin, LogLine, TestServer, TestSite, Tool, random_bytes, timeout, wait_until};

/// The address of the server.
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 7, 0, 1);
/// An address of this machine whose port [`VICTIM_PORT`] is open. Nothing answers there.
const VICTIM: Ipv4Addr = Ipv4Addr::new(10, 7, 0, 99);
const VICTIM_PORT: u16 = 5555;
/// Addresses to which packets get lost.
const NOWHERE: [u8; 2] = [10, 9];
/// The last bytes of addresses in the subnet of the clients, 10.7.0.0/24, that no machine has.
const NO_HOSTS: std::ops::RangeInclusive<u8> = 31..=98;
/// The length of the asset `boot/vmlinuz`, in bytes.
const LENGTH: usize = 2_000_001;
const WINDOWS: &[u8] = b"\0\x01boot/vmlinuz\0octet\0blksize\x001468\0windowsize\x0064\0";
/// A request whose half-open transfer would live long, if the forger decided that.
const LONG: &[u8] = b"\0\x01boot/vmlinuz\0octet\0timeout\x00255\0";
const PLAIN: &[u8] = b"\0\x01boot/vmlinuz\0octet\0";

/// A server with a cached asset, in a namespace with forged addresses.
struct Scene {
    server: TestServer,
    forger: Forger,
    victim: UdpSocket,
    _origin: FakeOrigin,
    _site: TestSite,
}

impl Scene {
    /// Enters the namespace in which the test `name` continues. `None`: the inner stage did everything, or the test is skipped.
    fn enter(name: &str, change: impl FnOnce(TestSite) -> TestSite) -> Option<Self> {
        let [unshare, ip] = ["unshare", "ip"].map(Tool::find);
        let (unshare, ip) = (unshare?, ip?);
        if namespace::stage().is_none() {
            if namespace::can_unshare(&unshare, &["--net"]) {
                run_stage(&unshare, &["--net"], &format!("tftp_attacks::{name}"), "inside");
            }
            return None;
        }
        for command in [
            "link set lo up",
            "link add port0 type veth peer name port1",
            // Packets to addresses that do not exist get lost, and no router or neighbour says so.
            "link set port0 arp off up",
            "link set port1 up",
            "address add 10.7.0.1/16 dev port0",
            "route add 10.9.0.0/16 dev port0",
        ] {
            ip.succeed(command.split(' '));
        }
        for host in (2..=30).chain([VICTIM.octets()[3]]) {
            ip.succeed(["address", "add", &format!("10.7.0.{host}/16"), "dev", "port0"]);
        }
        let origin = FakeOrigin::start();
        let image = origin.put("boot/vmlinuz", random_bytes(64, LENGTH));
        let site = change(TestSite::new(&origin).asset(&image).set("tftp.listen", vec![format!("{SERVER}:69")]));
        let server = site.start();
        assert_eq!(server.client().get("/assets/boot/vmlinuz").body.len(), LENGTH, "the asset is cached");
        let victim = UdpSocket::bind((VICTIM, VICTIM_PORT)).expect("the victim's port is free");
        victim.set_nonblocking(true).expect("a socket can be set");
        Some(Self { server, forger: Forger::new(), victim, _origin: origin, _site: site })
    }

    /// The packets that the victim received since the last call, and their bytes.
    fn received(&self) -> (usize, usize) {
        let mut buffer = [0; 2000];
        let lengths: Vec<usize> = std::iter::from_fn(|| self.victim.recv(&mut buffer).ok()).collect();
        (lengths.len(), lengths.iter().sum())
    }

    /// Waits until the transfer to the victim has ended, and returns its line.
    fn end_of_forged_transfer(&self) -> LogLine {
        let victim = format!("{VICTIM}:{VICTIM_PORT}");
        self.server.wait_for(|line| line.text("message") == "transfer" && line.text("peer") == victim)
    }
}

/// Sends UDP packets with forged source addresses.
struct Forger(Socket);

impl Forger {
    fn new() -> Self {
        // IPPROTO_RAW: the caller writes the IP header (raw(7)).
        Self(Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(255))).expect("root in a namespace may forge"))
    }

    fn send(&self, from: (Ipv4Addr, u16), port: u16, payload: &[u8]) {
        let [udp_length, ip_length] = [8, 28].map(|headers| u16::try_from(headers + payload.len()).expect("short"));
        let mut packet = vec![0x45, 0];
        packet.extend(ip_length.to_be_bytes());
        packet.extend([0, 0, 0, 0, 64, 17, 0, 0]); // no fragments, TTL 64, UDP; the kernel adds the checksum
        packet.extend(from.0.octets());
        packet.extend(SERVER.octets());
        packet.extend([from.1, port, udp_length, 0].map(u16::to_be_bytes).concat());
        packet.extend(payload);
        // A full queue loses the packet, as a network does.
        let _ = self.0.send_to(&packet, &SocketAddrV4::new(SERVER, 0).into());
    }
}

/// The number of half-open transfers that were evicted because there are too many in this scope.
fn evictions(server: &TestServer, scope: &str) -> u64 {
    let metrics = String::from_utf8(Client::new(server.admin).get("/metrics").body).expect("metrics are text");
    let value = metrics.lines().find_map(|line| {
        let labels = format!("{{limit=\"tftp-half-open\",scope=\"{scope}\"}} ");
        line.strip_prefix("bootdepot_limit_refusals_total")?.strip_prefix(labels.as_str())
    });
    value.and_then(|value| value.parse().ok()).unwrap_or_default()
}

fn ack(block: u16) -> [u8; 4] {
    let [high, low] = block.to_be_bytes();
    [0, 4, high, low]
}

/// Asks for the asset from a true address, learns the port of the answer, and leaves.
fn learn_port() -> u16 {
    let socket = UdpSocket::bind((Ipv4Addr::new(10, 7, 0, 2), 0)).expect("a port is free");
    socket.set_read_timeout(Some(timeout())).expect("a socket can be set");
    socket.send_to(PLAIN, (SERVER, 69)).expect("loopback sends");
    let (_, from) = socket.recv_from(&mut [0; 600]).expect("an answer");
    socket.send_to(b"\0\x05\0\0bye\0", from).expect("loopback sends");
    from.port()
}

#[test]
fn forged_request_reaches_victim_three_times() {
    let Some(scene) = Scene::enter("forged_request_reaches_victim_three_times", |site| site) else { return };
    let learned = learn_port();
    for (ended, request) in [WINDOWS, PLAIN].into_iter().enumerate() {
        scene.forger.send((VICTIM, VICTIM_PORT), 69, request);
        for block in (0..40).map(|window| window * 64) {
            for port in [learned, 69] {
                scene.forger.send((VICTIM, VICTIM_PORT), port, &ack(block));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        scene.server.wait_for_lines(ended + 1, |line| line.text("outcome") == "timeout");
        let (packets, bytes) = scene.received();
        // One more says that nothing has this port.
        assert!((1..=4).contains(&packets) && bytes <= 3 * 516 + 24, "{packets} packets of {bytes} bytes");
    }
}

/// Runs this process, and those that it starts, on a processor that says that a port is closed. The kernel has an ICMP socket for
/// each processor, and one with a full buffer sends nothing more (seen with Linux 6.18).
fn stay_where_icmp_works() {
    let processors = sched_getaffinity(None).expect("the processors can be asked");
    let is_refused = |port| {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        socket.connect((Ipv4Addr::LOCALHOST, port)).expect("loopback is up");
        socket.set_read_timeout(Some(Duration::from_millis(200))).expect("a socket can be set");
        socket.send(b"x").expect("loopback sends");
        socket.recv(&mut [0]).is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
    };
    for processor in (0..CpuSet::MAX_CPU).filter(|processor| processors.is_set(*processor)) {
        let mut one = CpuSet::new();
        one.set(processor);
        sched_setaffinity(None, &one).expect("a thread may choose its processor");
        if (9000..9005).any(is_refused) {
            return;
        }
    }
    panic!("no processor says that a port is closed");
}

fn check_closed_port(name: &str, single_port: bool) {
    if namespace::stage().is_some() {
        Tool::find("ip").expect("the outer stage found it").succeed(["link", "set", "lo", "up"]);
        stay_where_icmp_works();
    }
    let Some(scene) = Scene::enter(name, |site| site.set("tftp.single_port", single_port)) else { return };
    let closed = (VICTIM, VICTIM_PORT + 1);
    scene.forger.send(closed, 69, WINDOWS);
    let peer = format!("{VICTIM}:{}", closed.1);
    let line = scene.server.wait_for(|line| line.text("message") == "transfer" && line.text("peer") == peer);
    assert_eq!(line.text("outcome"), "aborted");
    assert!(line.text("detail").contains("ICMP"), "{}", line.text("detail"));
}

#[test]
fn closed_port_ends_forged_transfer() {
    check_closed_port("closed_port_ends_forged_transfer", false);
}

#[test]
fn closed_port_ends_single_port_transfer() {
    check_closed_port("closed_port_ends_single_port_transfer", true);
}

#[test]
fn acks_without_answers_end_single_port_transfer() {
    let name = "acks_without_answers_end_single_port_transfer";
    let Some(scene) = Scene::enter(name, |site| site.set("tftp.single_port", true)) else { return };
    scene.forger.send((VICTIM, VICTIM_PORT), 69, WINDOWS);
    wait_until(|| (scene.received().0 > 0).then_some(()), || "no answer to the request");
    // Faster than any network: the next ACK is there before the window that it acknowledges is sent.
    for window in 0..200_u16 {
        scene.forger.send((VICTIM, VICTIM_PORT), 69, &ack(window.wrapping_mul(64)));
    }
    let line = scene.end_of_forged_transfer();
    assert_eq!(line.text("outcome"), "refused", "{}", line.text("detail"));
    assert!(scene.received().1 < LENGTH / 2);
}

#[test]
fn forged_packets_end_no_transfer() {
    let Some(scene) = Scene::enter("forged_packets_end_no_transfer", |site| site) else { return };
    let client = UdpSocket::bind((Ipv4Addr::new(10, 7, 0, 3), 2070)).expect("a port is free");
    client.set_read_timeout(Some(timeout())).expect("a socket can be set");
    let mut buffer = [0; 600];
    client.send_to(PLAIN, (SERVER, 69)).expect("loopback sends");
    let (_, port) = client.recv_from(&mut buffer).expect("an answer");
    client.send_to(&ack(1), port).expect("loopback sends");
    assert_eq!(client.recv_from(&mut buffer).map(|_| buffer[3]).ok(), Some(2), "the client is validated");
    client.send_to(&ack(2), port).expect("loopback sends");
    // A forger knows the client's address and port, but not the server's.
    for packet in [&b"\0\x05\0\0bye\0"[..], b"\0\x01boot/vmlinuz\0octet\0tsize\x000\0", b"\0\x01nothing\0octet\0"] {
        scene.forger.send((Ipv4Addr::new(10, 7, 0, 3), 2070), 69, packet);
    }
    let mut next = 3;
    while next < 10 {
        let (_, from) = client.recv_from(&mut buffer).expect("the transfer goes on");
        if from == port && buffer[1] == 3 && buffer[3] == next {
            client.send_to(&ack(u16::from(next)), port).expect("loopback sends");
            next += 1;
        }
    }
}

/// Checks that clients with addresses of their own are served while a forger sends `request` from `source`s, when the half-open
/// transfers of `scope` are as many as may be.
fn check_flood(name: &str, scope: &str, request: &'static [u8], source: fn(&mut fastrand::Rng) -> Ipv4Addr) {
    let Some(curl) = Tool::find("curl") else { return };
    let Some(scene) = Scene::enter(name, |site| site) else { return };
    let (stop, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|threads| {
        threads.spawn(|| {
            let (mut random, began) = (fastrand::Rng::with_seed(7), Instant::now());
            while !stop.load(Ordering::Relaxed) {
                // 3,000 a second, in steps: in 7 s, the life of a half-open transfer, the table fills four times.
                let due = began.elapsed().as_millis() * 3;
                for _ in sent.load(Ordering::Relaxed)..u64::try_from(due).unwrap_or(u64::MAX) {
                    let from = source(&mut random);
                    scene.forger.send((from, random.u16(1024..)), 69, request);
                    sent.fetch_add(1, Ordering::Relaxed);
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        wait_until(|| (evictions(&scene.server, scope) > 0).then_some(()), || "no half-open transfer is evicted");
        std::thread::scope(|clients| {
            for host in 4..=23 {
                let (curl, url) = (&curl, format!("tftp://{SERVER}/boot/vmlinuz"));
                let address = format!("10.7.0.{host}");
                let args = ["-q", "-sS", "--tftp-blksize", "1432", "--interface"];
                clients.spawn(move || {
                    let output = curl.run(args.iter().copied().chain([address.as_str(), "-o", "-", &url]));
                    let error = String::from_utf8_lossy(&output.stderr);
                    assert_eq!((output.status.code(), output.stdout.len()), (Some(0), LENGTH), "{address}: {error}");
                });
            }
        });
        stop.store(true, Ordering::Relaxed);
    });
    let log = scene.server.lines(|line| line.text("message") == "transfer").len();
    assert!(log < 2000, "{log} lines about {} forged requests", sent.into_inner());
}

#[test]
fn flood_of_requests_shuts_out_no_client() {
    check_flood("flood_of_requests_shuts_out_no_client", "server", LONG, |random| {
        let [a, b] = NOWHERE;
        Ipv4Addr::new(a, b, random.u8(..), random.u8(..))
    });
}

/// The forger uses up the half-open transfers and the long first answers that the subnet of the clients may have. A client answers
/// within milliseconds, long before its half-open transfer is the oldest of the subnet, and its first answer, an OACK, is short.
#[test]
fn flood_from_own_subnet_shuts_out_no_client() {
    check_flood("flood_from_own_subnet_shuts_out_no_client", "prefix", PLAIN, |random| {
        Ipv4Addr::new(10, 7, 0, random.u8(NO_HOSTS))
    });
}
