//! A DHCP client that sends the packets of firmware, in a network namespace at the end of a virtual Ethernet link.
//!
//! A test that needs the namespaces runs itself again inside of them, so it has three stages (see [`Stage`]).

use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::process::Command;
use std::time::Instant;

use dhcproto::v4::{Architecture, DhcpOption, Flags, Message, MessageType, OptionCode, UnknownOption};
use dhcproto::{Decodable, Decoder, Encodable, Encoder};
use rustix::mount::MountFlags;
use socket2::{Domain, Protocol, Socket, Type};

use super::{CommandExt, Tool, namespace, timeout};

/// The address of the servers.
pub(crate) const SERVER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// The servers' end of the link: a bridge.
pub(crate) const BRIDGE: &str = "br0";
/// The client's end of the link.
const LINK: &str = "link0";
/// The client's namespace.
const NAMESPACE: &str = "client";

/// The stage of a test that runs.
pub(crate) enum Stage {
    /// In the servers' network: the test starts the servers, then runs the rest by [`Stage::run_client`].
    Servers(Tool),
    /// In the client's network.
    Client,
}

impl Stage {
    /// Enters the stage of the running test, whose path with its module is `test`. `None`: the inner stages did everything, or
    /// the test is skipped because this user may not create namespaces.
    pub(crate) fn enter(test: &str) -> Option<Self> {
        let [Some(ip), Some(unshare)] = ["ip", "unshare"].map(Tool::find) else { return None };
        match namespace::stage().as_deref() {
            Some("servers") => {
                // Names of namespaces are files. This mount hides them from the rest of the system.
                let names = "/var/run/netns";
                std::fs::create_dir_all(names).expect("/run can be written");
                rustix::mount::mount("none", names, "tmpfs", MountFlags::empty(), None).expect("root may mount");
                for command in [
                    "link set lo up",
                    &format!("link add {BRIDGE} type bridge"),
                    &format!("address add {SERVER}/24 dev {BRIDGE}"),
                    &format!("netns add {NAMESPACE}"),
                    &format!("link add {LINK} type veth peer name port0"),
                    &format!("link set port0 master {BRIDGE}"),
                    &format!("link set {LINK} netns {NAMESPACE}"),
                    &format!("-n {NAMESPACE} link set {LINK} up"),
                    "link set port0 up",
                    &format!("link set {BRIDGE} up"),
                ] {
                    ip.succeed(command.split(' '));
                }
                Some(Self::Servers(ip))
            }
            Some(_) => Some(Self::Client),
            None => {
                // A mount namespace too, because the name of a network namespace is a mount.
                let kinds = ["--net", "--mount"];
                if namespace::can_unshare(&unshare, &kinds) {
                    namespace::run_stage(&unshare, &kinds, test, "servers");
                }
                None
            }
        }
    }

    /// Runs the test's last stage, in the client's network.
    pub(crate) fn run_client(ip: &Tool, test: &str) {
        namespace::run_stage(ip, &["netns", "exec", NAMESPACE], test, "client");
    }
}

/// A DHCP client, as in a network card's firmware. When it is dropped, scapy parses all answers that it received.
pub(crate) struct DhcpClient {
    socket: UdpSocket,
    received: RefCell<Vec<Vec<u8>>>,
    mac: [u8; 6],
    xid: u32,
}

impl DhcpClient {
    /// Returns a client without an address that listens on `port`. Only for the client's stage.
    pub(crate) fn listening(port: u16) -> Self {
        // Without an address the client has no route to the sender of a packet and must accept it all the same. A failed write
        // shows later: no reply arrives.
        for interface in ["all", LINK] {
            let _ = std::fs::write(format!("/proc/sys/net/ipv4/conf/{interface}/rp_filter"), "0");
        }
        let raw = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP)).expect("a socket");
        raw.bind_device(Some(LINK.as_bytes())).expect("the link exists");
        raw.set_broadcast(true).expect("a socket can broadcast");
        raw.bind(&SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port).into()).expect("the port is free in this namespace");
        raw.set_read_timeout(Some(timeout())).expect("a socket accepts a timeout");
        Self { socket: raw.into(), received: RefCell::default(), mac: [0x52, 0x54, 0, 0, 0, 1], xid: 1 }
    }

    /// Replaces the last byte of its MAC address, for another machine on the same link.
    pub(crate) fn become_machine(&mut self, number: u8) {
        self.mac[5] = number;
    }

    /// Gives the client an address, as a lease would.
    pub(crate) fn lease(ip: &Tool, address: Ipv4Addr) {
        ip.succeed(["address", "add", &format!("{address}/24"), "dev", LINK]);
    }

    /// Returns a packet of a new transaction with these options.
    pub(crate) fn packet(&mut self, kind: MessageType, options: Vec<DhcpOption>) -> Message {
        self.xid += 1;
        let unset = Ipv4Addr::UNSPECIFIED;
        let mut message = Message::new_with_id(self.xid, unset, unset, unset, unset, &self.mac);
        // Without an address the client receives only broadcasts.
        message.set_flags(Flags::default().set_broadcast());
        message.opts_mut().insert(DhcpOption::MessageType(kind));
        for option in options {
            message.opts_mut().insert(option);
        }
        message
    }

    /// Sends a packet to this address.
    pub(crate) fn send(&self, message: &Message, to: SocketAddrV4) {
        let mut bytes = Vec::new();
        message.encode(&mut Encoder::new(&mut bytes)).expect("the packet can be encoded");
        self.socket.send_to(&bytes, to).expect("the packet can be sent");
    }

    /// Broadcasts a packet to DHCP servers.
    pub(crate) fn broadcast(&self, message: &Message) {
        self.send(message, SocketAddrV4::new(Ipv4Addr::BROADCAST, 67));
    }

    /// Waits for the next packet.
    pub(crate) fn receive(&self) -> Message {
        let mut buffer = [0; 2048];
        let (length, _) = self.socket.recv_from(&mut buffer).expect("a reply arrives in time");
        self.received.borrow_mut().push(buffer[..length].to_vec());
        Message::decode(&mut Decoder::new(&buffer[..length])).expect("the reply is a DHCP packet")
    }

    /// Receives packets until there is a reply to `request` for which `wanted` holds. Returns all of them, that reply last.
    pub(crate) fn receive_until(&self, request: &Message, wanted: impl Fn(&Message) -> bool) -> Vec<Message> {
        let deadline = Instant::now() + timeout();
        let mut received = vec![self.receive()];
        while !received.last().is_some_and(|last| last.xid() == request.xid() && wanted(last)) {
            assert!(Instant::now() < deadline, "other packets arrived, but no such reply: {received:?}");
            received.push(self.receive());
        }
        received
    }
}

impl Drop for DhcpClient {
    fn drop(&mut self) {
        // A test that failed has its reason already.
        if std::thread::panicking() {
            return;
        }
        let Some(scapy) = Tool::find("scapy") else { return };
        // Its own Python, which has it as a library.
        let mut command = Command::new(scapy.path().with_file_name("python3"));
        let answers = serde_json::to_string(&*self.received.borrow()).expect("bytes are JSON");
        let output = command.args(["-c", include_str!("dhcp_answers.py"), &answers]).run_to_end();
        let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}");
    }
}

/// Returns the options that firmware of this architecture sends.
pub(crate) fn firmware(class: &str, architecture: u16) -> Vec<DhcpOption> {
    vec![
        DhcpOption::ClassIdentifier(format!("{class}:Arch:{architecture:05}:UNDI:003016").into_bytes()),
        DhcpOption::ClientSystemArchitecture(Architecture(architecture)),
        DhcpOption::ClientMachineIdentifier((0..17).collect()),
        // dnsmasq sends only the options that are requested.
        DhcpOption::ParameterRequestList([60, 66, 67, 43, 97].map(OptionCode::from).to_vec()),
    ]
}

/// Returns the options that iPXE sends.
pub(crate) fn ipxe(architecture: u16) -> Vec<DhcpOption> {
    let mut options = firmware("PXEClient", architecture);
    options.push(DhcpOption::UserClass(b"iPXE".to_vec()));
    options
        .push(DhcpOption::Unknown(UnknownOption::new(OptionCode::from(175), vec![177, 5, 1, 0x80, 0x86, 0x10, 0xd3])));
    options
}

/// Returns the name of the boot file in a reply.
pub(crate) fn file(answer: &Message) -> String {
    let bytes = match answer.opts().get(OptionCode::BootfileName) {
        Some(DhcpOption::BootfileName(bytes)) => bytes.clone(),
        _ => answer.fname().unwrap_or_default().to_vec(),
    };
    String::from_utf8(bytes).expect("the name of a file is text").trim_end_matches('\0').to_owned()
}

/// Returns option 60 (vendor class) of a reply.
pub(crate) fn class(answer: &Message) -> String {
    match answer.opts().get(OptionCode::ClassIdentifier) {
        Some(DhcpOption::ClassIdentifier(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
        _ => String::new(),
    }
}
