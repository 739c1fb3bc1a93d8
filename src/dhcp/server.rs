//! The sockets of the proxyDHCP server: receives requests on one interface and sends the replies of
//! [`reply_to`].

use std::collections::HashSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

use metrics::counter;
use parking_lot::Mutex;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::answer_limit::AnswerLimit;
use super::error::DhcpError;
use super::interface::{AddressCache, InterfaceAddress, interface_addresses, interface_exists, interfaces_with_ipv4};
use super::nbp::Nbp;
use super::reply::{Destination, DhcpReply, ReplyContext, ServerPort, reply_to};
use super::request::{ClientKind, DhcpRequest};
use super::settings::DhcpSettings;
use super::unanswered::Unanswered;
use crate::boot::{Boot, Mac};

/// The port of DHCP clients (RFC 2131 4.1).
const CLIENT_PORT: u16 = 68;
/// The size of the receive buffer, in bytes: more than an Ethernet frame holds, and than any firmware sends.
const MAX_PACKET: usize = 2048;
/// The pause after a failed receive call: while an interface is down, the call fails at once again and again.
const RECEIVE_BACKOFF: Duration = Duration::from_secs(1);
/// How many reasons the log warns of, once each: those of real machines are few. The bound keeps forged ones from filling the log.
const MAX_WARNED: usize = 64;

/// A bound proxyDHCP server.
pub struct DhcpServer {
    settings: DhcpSettings,
    /// Port 67: client broadcasts and, if relays are accepted, what relays send to an address of this machine.
    dhcp: UdpSocket,
    /// Port 4011.
    pxe: UdpSocket,
}

impl DhcpServer {
    /// Binds ports 67 and 4011 of the interface. Must be called within a tokio runtime.
    pub fn bind(settings: DhcpSettings) -> Result<Self, DhcpError> {
        let interface = &settings.interface;
        if !interface_exists(interface) {
            return Err(DhcpError::Interface { interface: interface.clone(), known: interfaces_with_ipv4() });
        }
        let bind = |address, port: ServerPort, shared| {
            let port = port.number();
            let bound = bind(interface, SocketAddrV4::new(address, port), shared);
            bound.map_err(|source| DhcpError::Bind { interface: interface.clone(), port, source })
        };
        // A socket bound to the broadcast address takes no packet from a DHCP server on this machine: a broadcast goes to
        // every socket, but a packet to the server's own address (to renew a lease, say) goes to one only.
        let local = if settings.relays { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::BROADCAST };
        let dhcp = bind(local, ServerPort::Dhcp, true)?;
        let pxe = bind(Ipv4Addr::UNSPECIFIED, ServerPort::Pxe, false)?;
        Ok(Self { settings, dhcp, pxe })
    }

    /// Sets the port of the plain HTTP listener for URLs, if it was not known before that listener was bound.
    #[must_use]
    pub fn with_http_port(mut self, port: u16) -> Self {
        self.settings.http_port = port;
        self
    }

    /// Answers requests until `stop` is cancelled.
    pub async fn serve(self, boot: Boot, stop: CancellationToken) {
        let (interface, relays) = (self.settings.interface.as_str(), self.settings.relays);
        let files: Vec<_> =
            self.settings.nbps.iter().map(|(platform, nbp)| format!("{}={}", platform.name(), nbp.file)).collect();
        info!(interface, relays, files = files.join(" "), "proxyDHCP listening");
        if files.is_empty() {
            warn!("only iPXE gets an answer: no file of [dhcp.nbp] is a name that TFTP serves");
        }
        let responder = Responder {
            settings: &self.settings,
            boot: &boot,
            answer_limit: AnswerLimit::new(self.settings.shares.clone(), Instant::now()),
            warned: Mutex::new(HashSet::new()),
            addresses: Mutex::default(),
        };
        let serve = async {
            tokio::join!(
                responder.serve_socket(&self.dhcp, ServerPort::Dhcp),
                responder.serve_socket(&self.pxe, ServerPort::Pxe)
            )
        };
        stop.run_until_cancelled(serve).await;
    }
}

fn bind(interface: &str, address: SocketAddrV4, shared: bool) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM.nonblocking().cloexec(), Some(Protocol::UDP))?;
    socket.bind_device(Some(interface.as_bytes()))?;
    socket.set_broadcast(true)?;
    // Linux then lets other sockets with this option bind the port too.
    socket.set_reuse_address(shared)?;
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
}

/// The state that both sockets share.
struct Responder<'s> {
    settings: &'s DhcpSettings,
    boot: &'s Boot,
    answer_limit: AnswerLimit,
    /// Reasons that the log has warned of.
    warned: Mutex<HashSet<Unanswered>>,
    addresses: Mutex<AddressCache>,
}

impl Responder<'_> {
    async fn serve_socket(&self, socket: &UdpSocket, port: ServerPort) {
        let mut buffer = [0; MAX_PACKET];
        loop {
            match socket.recv_from(&mut buffer).await {
                Ok((length, std::net::SocketAddr::V4(sender))) => {
                    let Some((reply, to)) = self.handle_datagram(&buffer[..length], port, sender) else { continue };
                    if let Err(error) = socket.send_to(&reply.packet, to).await {
                        warn!(client = %to, %error, "DHCP reply not sent");
                    }
                }
                // An IPv4 socket receives no IPv6.
                Ok(_) => {}
                Err(error) => {
                    warn!(interface = self.settings.interface, %error, "DHCP receive failed");
                    tokio::time::sleep(RECEIVE_BACKOFF).await;
                }
            }
        }
    }

    /// The reply to a datagram and its destination; `None` if the datagram gets no reply.
    fn handle_datagram(
        &self,
        datagram: &[u8],
        port: ServerPort,
        sender: SocketAddrV4,
    ) -> Option<(DhcpReply, SocketAddrV4)> {
        let request = match DhcpRequest::parse(datagram) {
            Ok(request) => request?,
            Err(unanswered) => {
                self.log_unanswered(unanswered, None);
                return None;
            }
        };
        if !request.relay.is_unspecified() && !self.settings.relays {
            self.log_unanswered(Unanswered::Relayed, request.machine.mac);
            return None;
        }
        let client = [request.address, request.relay].into_iter().find(|address| !address.is_unspecified());
        let address = self.local_address(client.unwrap_or(Ipv4Addr::UNSPECIFIED), request.server)?;
        let host = self.boot.host(&request.machine);
        let host_nbp = host.as_ref().and_then(|host| self.host_nbp(&host.name, host.nbp.as_deref()?));
        let found = self.settings.nbps.find(&request.architectures, request.http);
        let architecture = found.map_or(request.architectures[0], |(architecture, _)| architecture);
        let nbp = host_nbp.as_ref().or(found.map(|(_, nbp)| nbp));
        let base = self.settings.base(address);
        let context = ReplyContext { port, address, base: &base, nbp };
        let Some(reply) = reply_to(&request, &context) else {
            if request.client == ClientKind::Firmware && nbp.is_none() {
                let unanswered = Unanswered::NoBootFile { architecture, http: request.http };
                self.log_unanswered(unanswered, request.machine.mac);
            }
            return None;
        };
        let relay = self.settings.relays.then_some(request.relay);
        if !self.answer_limit.take(Mac(request.mac), relay, Instant::now()) {
            return None;
        }

        let (arch, file) = (request.arch_name(), reply.file.as_str());
        let cards = host.as_ref().map(|host| host.cards());
        let host = host.as_ref().map(|host| host.name.as_str());
        let mac = request.machine.mac.map(|mac| mac.to_string());
        let boot = self.boot.ledger().record_offer(&request.machine, cards.as_ref(), architecture, file, reply.is_ack);
        info!(target: "bootdepot::dhcp", mac, host, boot, arch, port = port.number(), file, "boot file offered");
        counter!("bootdepot_dhcp_answers_total", "arch" => arch).increment(1);
        let to = match reply.to {
            Destination::Broadcast => SocketAddrV4::new(Ipv4Addr::BROADCAST, CLIENT_PORT),
            Destination::Client(address) => SocketAddrV4::new(address, CLIENT_PORT),
            Destination::Relay(address) => SocketAddrV4::new(address, ServerPort::Dhcp.number()),
            Destination::Sender if sender.ip().is_unspecified() => {
                SocketAddrV4::new(Ipv4Addr::BROADCAST, sender.port())
            }
            Destination::Sender => sender,
        };
        Some((reply, to))
    }

    /// The address of this machine that a client should use; `None` if the interface has none.
    fn local_address(&self, client: Ipv4Addr, named: Option<Ipv4Addr>) -> Option<Ipv4Addr> {
        let interface = self.settings.interface.as_str();
        let mut addresses = self.addresses.lock();
        let addresses = addresses.get(interface, Instant::now(), || interface_addresses(Some(interface)));
        InterfaceAddress::choose(addresses, client, named).map(|ours| ours.address)
    }

    /// The NBP that is configured for a host itself; `None` if TFTP does not serve the file.
    fn host_nbp(&self, host: &str, file: &str) -> Option<Nbp> {
        let asset = self.settings.files.get(file).map_or(file, String::as_str);
        if self.boot.depot().find(asset).is_none() {
            warn!(host, file, "host nbp ignored: TFTP does not serve it; the host gets the one of its architecture");
            return None;
        }
        Some(Nbp { file: file.to_owned(), asset: asset.to_owned() })
    }

    /// Logs why a request gets no answer: a warning once for each reason.
    fn log_unanswered(&self, unanswered: Unanswered, mac: Option<Mac>) {
        let mut warned = self.warned.lock();
        let first = warned.len() < MAX_WARNED && warned.insert(unanswered);
        drop(warned);
        unanswered.log(mac, first);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_interface_is_reported() {
        let bind = |interface: &str| DhcpServer::bind(settings(interface)).err().unwrap();
        assert!(matches!(bind("no-such-one"), DhcpError::Interface { interface, .. } if interface == "no-such-one"));
        // Longer than any interface name can be.
        bind("a-name-that-no-interface-can-have");
    }

    fn settings(interface: &str) -> DhcpSettings {
        DhcpSettings {
            interface: interface.to_owned(),
            relays: false,
            nbps: super::super::NbpTable::default(),
            files: std::collections::HashMap::new(),
            advertise: None,
            http_port: 80,
            shares: crate::address_share::ShareSettings::default(),
        }
    }
}
