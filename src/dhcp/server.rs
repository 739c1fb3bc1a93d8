//! The sockets: hears requests on one interface, and sends what [`answer()`](super::answer()) says.

use std::collections::HashSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use metrics::counter;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::answer::{Facts, Port, Reply, To, answer};
use super::firmware::Nbp;
use super::network::{Network, addresses_of};
use super::pace::Pace;
use super::request::{Client, Request};
use super::settings::DhcpSettings;
use crate::boot::Boot;

/// The server's and the client's port (RFC 2131 4.1), and proxyDHCP's own (PXE 2.1, 2.2.3).
const SERVER_PORT: u16 = 67;
const CLIENT_PORT: u16 = 68;
const PXE_PORT: u16 = 4011;
/// The longest packet that is read: more than an Ethernet frame holds, and than any firmware sends.
const LONGEST: usize = 2048;
/// How long a socket that fails is let alone: an interface that is down tells so at once, again and again.
const AFTER_ERROR: Duration = Duration::from_secs(1);
/// How old the interface's addresses may be that a client is told: asking the system takes milliseconds on a machine with
/// many interfaces.
const ADDRESSES_FRESH: Duration = Duration::from_secs(1);
/// Architectures that are named in the log as unanswered, once each. Whoever makes them up fills no memory.
const NAMED_AT_MOST: usize = 64;

/// Why firmware cannot be answered.
#[derive(Debug, thiserror::Error)]
pub enum DhcpError {
    /// The interface is not there.
    #[error("[dhcp] interface {interface:?} is not on this machine; it has {}", list(.known))]
    Interface {
        /// The one that was asked for.
        interface: String,
        /// Those with an IPv4 address.
        known: Vec<String>,
    },
    /// A port cannot be had.
    #[error("cannot answer DHCP requests on {interface}, port {port}: {}", remedy(*port, .error))]
    Bind {
        /// The interface.
        interface: String,
        /// The port.
        port: u16,
        /// The system's words.
        error: io::Error,
    },
}

fn list(known: &[String]) -> String {
    if known.is_empty() { "none with an IPv4 address".to_owned() } else { known.join(", ") }
}

/// What to do about a port that cannot be bound.
fn remedy(port: u16, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse if port == SERVER_PORT => "a DHCP server on this machine keeps the port to itself; \
             dnsmasq shares it with bind-dynamic or bind-interfaces. Or set [dhcp] mode = \"off\" and let that server name \
             the boot file: bootdepot dhcp-config"
            .to_owned(),
        io::ErrorKind::AddrInUse => "another proxyDHCP server runs on this machine; stop it, or set [dhcp] mode = \"off\"".to_owned(),
        io::ErrorKind::PermissionDenied => {
            format!("{error}; it takes the capabilities CAP_NET_BIND_SERVICE and CAP_NET_RAW (systemd: AmbientCapabilities=)")
        }
        _ => error.to_string(),
    }
}

/// A bound proxyDHCP server.
pub struct DhcpServer {
    settings: DhcpSettings,
    /// Port 67: what clients broadcast, and what relays send to our own address where that is wanted.
    dhcp: UdpSocket,
    /// Port 4011.
    pxe: UdpSocket,
}

impl DhcpServer {
    /// Binds ports 67 and 4011 of the interface. Within a tokio runtime.
    pub fn bind(settings: DhcpSettings) -> Result<Self, DhcpError> {
        let interface = &settings.interface;
        if !exists(interface) {
            let found = if_addrs::get_if_addrs().unwrap_or_default();
            let mut known: Vec<_> =
                found.into_iter().filter(|found| found.ip().is_ipv4()).map(|found| found.name).collect();
            known.dedup();
            return Err(DhcpError::Interface { interface: interface.clone(), known });
        }
        let bind = |address, port, shared| {
            let bound = bind(interface, SocketAddrV4::new(address, port), shared);
            bound.map_err(|error| DhcpError::Bind { interface: interface.clone(), port, error })
        };
        // Bound to the broadcast address, it takes no packet from a DHCP server on this machine: what is broadcast goes
        // to every socket, but what clients send to the server's own address (to renew a lease, say) goes to one only.
        let heard = if settings.relays { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::BROADCAST };
        let dhcp = bind(heard, SERVER_PORT, true)?;
        let pxe = bind(Ipv4Addr::UNSPECIFIED, PXE_PORT, false)?;
        Ok(Self { settings, dhcp, pxe })
    }

    /// Where URLs lead: the port of the plain HTTP listener, where it is known only now.
    #[must_use]
    pub fn with_http_port(mut self, port: u16) -> Self {
        self.settings.http_port = port;
        self
    }

    /// Answers until `stop`.
    pub async fn serve(self, boot: Boot, stop: CancellationToken) {
        let (interface, relays) = (self.settings.interface.as_str(), self.settings.relays);
        let files: Vec<_> =
            self.settings.firmware.iter().map(|(on, nbp)| format!("{}={}", on.name(), nbp.file)).collect();
        info!(interface, relays, files = files.join(" "), "answering DHCP requests for boot files");
        if files.is_empty() {
            warn!("no boot file of [dhcp.nbp] is a name that TFTP serves, so only iPXE is answered");
        }
        let desk = Desk {
            settings: &self.settings,
            boot: &boot,
            pace: Mutex::new(Pace::new(Instant::now())),
            unanswered: Mutex::new(HashSet::new()),
            addresses: Mutex::default(),
        };
        let hear = async { tokio::join!(desk.hear(&self.dhcp, Port::Dhcp), desk.hear(&self.pxe, Port::Pxe)) };
        stop.run_until_cancelled(hear).await;
    }
}

/// Whether there is an interface of this name. Where the system does not say, binding to it will.
fn exists(interface: &str) -> bool {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM.cloexec(), Some(Protocol::UDP));
    let index = socket.map(|socket| rustix::net::netdevice::name_to_index(&socket, interface));
    !matches!(index, Ok(Err(rustix::io::Errno::NODEV)))
}

fn bind(interface: &str, address: SocketAddrV4, shared: bool) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM.nonblocking().cloexec(), Some(Protocol::UDP))?;
    socket.bind_device(Some(interface.as_bytes()))?;
    socket.set_broadcast(true)?;
    // Linux then lets others have the port who do so as well.
    socket.set_reuse_address(shared)?;
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
}

/// What the sockets have in common.
struct Desk<'s> {
    settings: &'s DhcpSettings,
    boot: &'s Boot,
    pace: Mutex<Pace>,
    unanswered: Mutex<HashSet<u16>>,
    addresses: Mutex<Addresses>,
}

/// The interface's addresses as they were last read.
#[derive(Default)]
struct Addresses {
    networks: Vec<Network>,
    read: Option<Instant>,
    /// The log was told that there are none.
    lacking: bool,
}

impl Addresses {
    /// What the interface has now, but for a second; `read` asks the system.
    fn now(&mut self, interface: &str, now: Instant, read: impl FnOnce() -> io::Result<Vec<Network>>) -> &[Network] {
        if self.read.is_none_or(|at| now.saturating_duration_since(at) >= ADDRESSES_FRESH) {
            let found = read();
            let error = found.as_ref().err().map(ToString::to_string);
            self.networks = found.unwrap_or_default();
            self.read = Some(now);
            let lacking = self.networks.is_empty();
            if lacking && !self.lacking {
                warn!(interface, error, "no IPv4 address to be reached at; nobody is answered until there is one");
            } else if self.lacking && !lacking {
                info!(interface, "there is an IPv4 address again; machines are answered");
            }
            self.lacking = lacking;
        }
        &self.networks
    }
}

impl Desk<'_> {
    async fn hear(&self, socket: &UdpSocket, port: Port) {
        let mut buffer = [0; LONGEST];
        loop {
            match socket.recv_from(&mut buffer).await {
                Ok((length, std::net::SocketAddr::V4(sender))) => {
                    let Some((reply, to)) = self.take(&buffer[..length], port, sender) else { continue };
                    if let Err(error) = socket.send_to(&reply.packet, to).await {
                        warn!(%to, %error, "a DHCP answer could not be sent");
                    }
                }
                // An IPv4 socket hears no other.
                Ok(_) => {}
                Err(error) => {
                    warn!(interface = self.settings.interface, %error, "DHCP requests cannot be heard");
                    tokio::time::sleep(AFTER_ERROR).await;
                }
            }
        }
    }

    /// The answer to a datagram, and where it goes.
    fn take(&self, datagram: &[u8], port: Port, sender: SocketAddrV4) -> Option<(Reply, SocketAddrV4)> {
        let request = Request::parse(datagram)?;
        let client = [request.address, request.relay].into_iter().find(|address| !address.is_unspecified());
        let Network { address, .. } = self.ours(client.unwrap_or(Ipv4Addr::UNSPECIFIED), request.server)?;
        let host = self.boot.host(&request.machine);
        let own = host.as_ref().and_then(|host| self.own_nbp(&host.name, host.nbp.as_deref()?));
        let nbp = match request.client {
            Client::Firmware(platform) => own.as_ref().or(self.settings.firmware.of(platform)),
            _ => None,
        };
        let base = self.settings.base(address);
        let facts = Facts { port, address, base: &base, nbp };
        let Some(reply) = answer(&request, &facts) else {
            self.note_unanswered(&request, nbp);
            return None;
        };
        if !self.pace.lock().unwrap_or_else(PoisonError::into_inner).allows(Instant::now()) {
            debug!("too many DHCP requests at once; the client asks again");
            return None;
        }

        let (arch, file) = (request.name(), reply.file.as_str());
        let host = host.as_ref().map(|host| host.name.as_str());
        let mac = request.machine.mac.map(|mac| mac.to_string());
        let port = if port == Port::Dhcp { SERVER_PORT } else { PXE_PORT };
        info!(target: "bootdepot::dhcp", mac, host, arch, port, file, "told a boot file");
        counter!("bootdepot_dhcp_answers_total", "arch" => arch).increment(1);
        self.boot.ledger().record_offer(&request.machine, request.architecture, file, reply.confirms);
        let to = match reply.to {
            To::Broadcast => SocketAddrV4::new(Ipv4Addr::BROADCAST, CLIENT_PORT),
            To::Client(address) => SocketAddrV4::new(address, CLIENT_PORT),
            To::Relay(address) => SocketAddrV4::new(address, SERVER_PORT),
            To::Sender if sender.ip().is_unspecified() => SocketAddrV4::new(Ipv4Addr::BROADCAST, sender.port()),
            To::Sender => sender,
        };
        Some((reply, to))
    }

    /// Our address towards a client.
    fn ours(&self, client: Ipv4Addr, named: Option<Ipv4Addr>) -> Option<Network> {
        let interface = self.settings.interface.as_str();
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        Network::towards(addresses.now(interface, Instant::now(), || addresses_of(Some(interface))), client, named)
    }

    /// The boot file that a host has for itself.
    fn own_nbp(&self, host: &str, file: &str) -> Option<Nbp> {
        let asset = self.settings.files.get(file).map_or(file, String::as_str);
        if self.boot.depot().find(asset).is_none() {
            warn!(host, file, "this host's nbp is no file that TFTP serves; it gets the one of its architecture");
            return None;
        }
        Some(Nbp { file: file.to_owned(), asset: asset.to_owned() })
    }

    /// Says once of each architecture that it gets no boot file.
    fn note_unanswered(&self, request: &Request, nbp: Option<&Nbp>) {
        if request.client == Client::Ipxe || nbp.is_some() {
            return;
        }
        let mut unanswered = self.unanswered.lock().unwrap_or_else(PoisonError::into_inner);
        if unanswered.len() < NAMED_AT_MOST && unanswered.insert(request.architecture) {
            let mac = request.machine.mac.map(|mac| mac.to_string());
            warn!(
                mac,
                architecture = request.architecture,
                arch = request.name(),
                "no boot file for this architecture, so its machines are not answered; name one in [dhcp.nbp]"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    #[test]
    fn an_error_says_what_to_do() {
        let missing = DhcpError::Interface { interface: "eno9".into(), known: vec!["lo".into(), "eno1".into()] };
        assert_snapshot!(missing, @r#"[dhcp] interface "eno9" is not on this machine; it has lo, eno1"#);
        let bind = |port, kind: io::ErrorKind| DhcpError::Bind { interface: "eno1".into(), port, error: kind.into() };
        assert_snapshot!(bind(67, io::ErrorKind::AddrInUse), @r#"cannot answer DHCP requests on eno1, port 67: a DHCP server on this machine keeps the port to itself; dnsmasq shares it with bind-dynamic or bind-interfaces. Or set [dhcp] mode = "off" and let that server name the boot file: bootdepot dhcp-config"#);
        assert_snapshot!(bind(4011, io::ErrorKind::AddrInUse), @r#"cannot answer DHCP requests on eno1, port 4011: another proxyDHCP server runs on this machine; stop it, or set [dhcp] mode = "off""#);
        assert_snapshot!(bind(67, io::ErrorKind::PermissionDenied), @"cannot answer DHCP requests on eno1, port 67: permission denied; it takes the capabilities CAP_NET_BIND_SERVICE and CAP_NET_RAW (systemd: AmbientCapabilities=)");
    }

    #[test]
    fn an_interface_is_there_or_not() {
        assert!(exists("lo") && !exists("no-such-one"));
        // Longer than any name can be.
        assert!(DhcpServer::bind(settings("a-name-that-no-interface-can-have")).is_err());
        assert!(matches!(DhcpServer::bind(settings("no-such-one")), Err(DhcpError::Interface { .. })));
    }

    #[test]
    fn addresses_are_asked_for_once_a_second_at_most() {
        let mut addresses = Addresses::default();
        let begin = Instant::now();
        let ours = Network { address: Ipv4Addr::new(10, 0, 0, 1), mask: Ipv4Addr::new(255, 0, 0, 0) };
        let mut reads = 0;
        let mut after = |millis, found: io::Result<Vec<Network>>| {
            let read = || {
                reads += 1;
                found
            };
            addresses.now("eno1", begin + Duration::from_millis(millis), read).to_vec()
        };
        assert_eq!(after(0, Ok(vec![ours])), [ours]);
        assert_eq!(after(999, Ok(Vec::new())), [ours]);
        assert_eq!(after(1000, Err(io::ErrorKind::OutOfMemory.into())), []);
        assert_eq!(after(2000, Ok(vec![ours])), [ours], "the DHCP server gave it one at last");
        assert_eq!(reads, 3);
    }

    fn settings(interface: &str) -> DhcpSettings {
        DhcpSettings {
            interface: interface.to_owned(),
            relays: false,
            firmware: super::super::Firmware::default(),
            files: std::collections::HashMap::new(),
            advertise: None,
            http_port: 80,
        }
    }
}
