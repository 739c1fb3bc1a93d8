//! Firmware's side of DHCP: packets as it sends them, in a network namespace of its own at the end of a wire.
//!
//! A test that needs the namespaces runs itself again inside of them, so it has three stages (see [`Stage`]).

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};

use dhcproto::v4::{Architecture, DhcpOption, Flags, Message, MessageType, OptionCode, UnknownOption};
use dhcproto::{Decodable, Decoder, Encodable, Encoder};
use rustix::mount::MountFlags;
use socket2::{Domain, Protocol, Socket, Type};

use super::{PATIENCE, Tool, namespace};

/// Where the site's server is.
pub(crate) const SERVER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// The site's side of the wire: a bridge, as it would have many wires.
pub(crate) const BRIDGE: &str = "br0";
/// The client's end of the wire.
const WIRE: &str = "wire0";
/// The client's namespace.
const NAMESPACE: &str = "client";

/// Which part of itself a test runs.
pub(crate) enum Stage {
    /// Within the site's network: the servers are to be started, then [`Stage::client`] runs the rest.
    Site(Tool),
    /// Within the client's.
    Client,
}

impl Stage {
    /// The stage of the running test, whose name with its module is `test`. None: all of it was done, inside, or
    /// namespaces cannot be had and the test is skipped.
    pub(crate) fn of(test: &str) -> Option<Self> {
        let [Some(ip), Some(unshare)] = ["ip", "unshare"].map(Tool::find) else { return None };
        match namespace::stage().as_deref() {
            Some("site") => {
                // The names of namespaces are files; those of this one are seen here alone.
                let names = "/var/run/netns";
                std::fs::create_dir_all(names).expect("/run can be written");
                rustix::mount::mount("none", names, "tmpfs", MountFlags::empty(), None).expect("root may mount");
                for command in [
                    "link set lo up",
                    &format!("link add {BRIDGE} type bridge"),
                    &format!("address add {SERVER}/24 dev {BRIDGE}"),
                    &format!("netns add {NAMESPACE}"),
                    &format!("link add {WIRE} type veth peer name port0"),
                    &format!("link set port0 master {BRIDGE}"),
                    &format!("link set {WIRE} netns {NAMESPACE}"),
                    &format!("-n {NAMESPACE} link set {WIRE} up"),
                    "link set port0 up",
                    &format!("link set {BRIDGE} up"),
                ] {
                    ip.succeed(command.split(' '));
                }
                Some(Self::Site(ip))
            }
            Some(_) => Some(Self::Client),
            None => {
                // A mount namespace too: the name of a network namespace is a mount.
                let kinds = ["--net", "--mount"];
                if namespace::can_be_had(&unshare, &kinds) {
                    namespace::again(&unshare, &kinds, test, "site");
                }
                None
            }
        }
    }

    /// Runs the test's last stage, at the client's end of the wire.
    pub(crate) fn client(ip: &Tool, test: &str) {
        namespace::again(ip, &["netns", "exec", NAMESPACE], test, "client");
    }
}

/// A network card that asks.
pub(crate) struct Card {
    socket: UdpSocket,
    mac: [u8; 6],
    xid: u32,
}

impl Card {
    /// One that has no address and listens on `port`. Only in the client's stage.
    pub(crate) fn listening(port: u16) -> Self {
        // A client without an address takes packets whose sender it has no route to. Where this cannot be written, it
        // is so already, or what waits for an answer says so.
        for interface in ["all", WIRE] {
            let _ = std::fs::write(format!("/proc/sys/net/ipv4/conf/{interface}/rp_filter"), "0");
        }
        let raw = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP)).expect("a socket");
        raw.bind_device(Some(WIRE.as_bytes())).expect("the wire is there");
        raw.set_broadcast(true).expect("a socket can broadcast");
        raw.bind(&SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port).into()).expect("the port is free in here");
        raw.set_read_timeout(Some(PATIENCE)).expect("a socket can wait");
        Self { socket: raw.into(), mac: [0x52, 0x54, 0, 0, 0, 1], xid: 1 }
    }

    /// Gives the card an address, as a lease would.
    pub(crate) fn lease(ip: &Tool, address: Ipv4Addr) {
        ip.succeed(["address", "add", &format!("{address}/24"), "dev", WIRE]);
    }

    /// A packet of this card, of a new transaction, with these options.
    pub(crate) fn packet(&mut self, kind: MessageType, options: Vec<DhcpOption>) -> Message {
        self.xid += 1;
        let unset = Ipv4Addr::UNSPECIFIED;
        let mut message = Message::new_with_id(self.xid, unset, unset, unset, unset, &self.mac);
        // Without an address of its own it hears nothing else.
        message.set_flags(Flags::default().set_broadcast());
        message.opts_mut().insert(DhcpOption::MessageType(kind));
        for option in options {
            message.opts_mut().insert(option);
        }
        message
    }

    /// Sends a packet.
    pub(crate) fn send(&self, message: &Message, to: SocketAddrV4) {
        let mut bytes = Vec::new();
        message.encode(&mut Encoder::new(&mut bytes)).expect("it can be written");
        self.socket.send_to(&bytes, to).expect("it can be sent");
    }

    /// Broadcasts a packet to DHCP servers.
    pub(crate) fn broadcast(&self, message: &Message) {
        self.send(message, SocketAddrV4::new(Ipv4Addr::BROADCAST, 67));
    }

    /// The next packet that comes in.
    pub(crate) fn hear(&self) -> Message {
        let mut buffer = [0; 2048];
        let (length, _) = self.socket.recv_from(&mut buffer).expect("an answer comes in time");
        Message::decode(&mut Decoder::new(&buffer[..length])).expect("a server sends packets")
    }

    /// What comes in until there is an answer to `asked` for which `wanted` holds, that one last.
    pub(crate) fn hear_until(&self, asked: &Message, wanted: impl Fn(&Message) -> bool) -> Vec<Message> {
        let mut heard = vec![self.hear()];
        while !heard.last().is_some_and(|last| last.xid() == asked.xid() && wanted(last)) {
            heard.push(self.hear());
        }
        heard
    }
}

/// What firmware of this architecture says of itself.
pub(crate) fn firmware(class: &str, architecture: u16) -> Vec<DhcpOption> {
    vec![
        DhcpOption::ClassIdentifier(format!("{class}:Arch:{architecture:05}:UNDI:003016").into_bytes()),
        DhcpOption::ClientSystemArchitecture(Architecture(architecture)),
        DhcpOption::ClientMachineIdentifier((0..17).collect()),
        // dnsmasq sends what is asked for.
        DhcpOption::ParameterRequestList([60, 66, 67, 43, 97].map(OptionCode::from).to_vec()),
    ]
}

/// What iPXE says of itself.
pub(crate) fn ipxe(architecture: u16) -> Vec<DhcpOption> {
    let mut options = firmware("PXEClient", architecture);
    options.push(DhcpOption::UserClass(b"iPXE".to_vec()));
    options
        .push(DhcpOption::Unknown(UnknownOption::new(OptionCode::from(175), vec![177, 5, 1, 0x80, 0x86, 0x10, 0xd3])));
    options
}

/// The boot file that an answer names.
pub(crate) fn file(answer: &Message) -> String {
    let bytes = match answer.opts().get(OptionCode::BootfileName) {
        Some(DhcpOption::BootfileName(bytes)) => bytes.clone(),
        _ => answer.fname().unwrap_or_default().to_vec(),
    };
    String::from_utf8(bytes).expect("a file's name is a text").trim_end_matches('\0').to_owned()
}

/// An answer's option 60.
pub(crate) fn class(answer: &Message) -> String {
    match answer.opts().get(OptionCode::ClassIdentifier) {
        Some(DhcpOption::ClassIdentifier(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
        _ => String::new(),
    }
}
