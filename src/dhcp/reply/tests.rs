use dhcproto::v4::{Architecture, OptionCode, UnknownOption};
use dhcproto::{Decodable, Decoder};
use proptest::prelude::*;

use super::super::nbp::NbpTable;
use super::super::platform::Platform;
use super::super::unanswered::Unanswered;
use super::*;

const OURS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
const THEIRS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
const LEASED: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 50);
const RELAY: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 1);
const MAC: [u8; 6] = [0x24, 0x6e, 0x96, 0, 0, 1];
const BASE: &str = "http://10.77.0.1:8080";

/// A packet from a client.
struct Packet(Message);

impl Packet {
    fn new(kind: MessageType) -> Self {
        let unset = Ipv4Addr::UNSPECIFIED;
        let mut message = Message::new_with_id(0x0102_0304, unset, unset, unset, unset, &MAC);
        message.opts_mut().insert(DhcpOption::MessageType(kind));
        Self(message)
    }

    /// A packet from firmware of this architecture.
    fn firmware(kind: MessageType, architecture: u16) -> Self {
        let http = Platform::from_architecture(architecture).is_some_and(Platform::boots_over_http);
        let class = format!("{}:Arch:{architecture:05}:UNDI:003016", if http { "HTTPClient" } else { "PXEClient" });
        Self::new(kind)
            .with(DhcpOption::ClassIdentifier(class.into_bytes()))
            .with(DhcpOption::ClientSystemArchitecture(Architecture(architecture)))
            .with(DhcpOption::ClientMachineIdentifier((0..17).collect()))
    }

    fn discover(architecture: u16) -> Self {
        Self::firmware(MessageType::Discover, architecture)
    }

    fn request(architecture: u16) -> Self {
        Self::firmware(MessageType::Request, architecture).at(LEASED)
    }

    fn with(mut self, option: DhcpOption) -> Self {
        self.0.opts_mut().insert(option);
        self
    }

    fn raw(self, code: u8, data: &[u8]) -> Self {
        self.with(DhcpOption::Unknown(UnknownOption::new(code.into(), data.to_vec())))
    }

    fn without(mut self, code: OptionCode) -> Self {
        self.0.opts_mut().remove(code);
        self
    }

    fn at(mut self, address: Ipv4Addr) -> Self {
        self.0.set_ciaddr(address);
        self
    }

    fn change(mut self, change: impl FnOnce(&mut Message) -> &mut Message) -> Self {
        change(&mut self.0);
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.0.encode(&mut Encoder::new(&mut bytes)).unwrap();
        bytes
    }

    fn reply_on(&self, port: ServerPort) -> Option<(DhcpReply, Message)> {
        respond(&self.bytes(), port)
    }

    fn reply(&self) -> (DhcpReply, Message) {
        self.reply_on(ServerPort::Dhcp).expect("a reply")
    }
}

/// The reply of a server that has an NBP for every platform.
fn respond(datagram: &[u8], port: ServerPort) -> Option<(DhcpReply, Message)> {
    let request = DhcpRequest::parse(datagram).ok()??;
    let nbp = |platform: Platform| {
        let file = platform.default_file().to_owned();
        (platform, Nbp { asset: format!("boot/{file}"), file })
    };
    let nbps = NbpTable::new(Platform::ALL.iter().copied().map(nbp), []);
    let nbp = nbps.find(&request.architectures, request.http).map(|(_, nbp)| nbp);
    let reply = reply_to(&request, &ReplyContext { port, address: OURS, base: BASE, nbp })?;
    let message = Message::decode(&mut Decoder::new(&reply.packet)).expect("the reply is a DHCP packet");
    Some((reply, message))
}

fn parse(packet: &Packet) -> DhcpRequest {
    DhcpRequest::parse(&packet.bytes()).expect("it can be answered").expect("a request")
}

fn text(message: &Message, code: OptionCode) -> Option<String> {
    match message.opts().get(code)? {
        DhcpOption::ClassIdentifier(bytes) | DhcpOption::TFTPServerName(bytes) | DhcpOption::BootfileName(bytes) => {
            Some(String::from_utf8(bytes.clone()).unwrap())
        }
        other => panic!("{other:?} is not text"),
    }
}

#[test]
fn each_architecture_is_offered_its_nbp() {
    for (architecture, file) in [
        (0, "undionly.kpxe"),
        (6, "snponly-ia32.efi"),
        (7, "snponly.efi"),
        (9, "snponly.efi"),
        (10, "snponly-arm32.efi"),
        (11, "snponly-arm64.efi"),
        (15, "http://10.77.0.1:8080/assets/boot/snponly-ia32.efi"),
        (16, "http://10.77.0.1:8080/assets/boot/snponly.efi"),
        (18, "http://10.77.0.1:8080/assets/boot/snponly-arm32.efi"),
        (19, "http://10.77.0.1:8080/assets/boot/snponly-arm64.efi"),
    ] {
        let (reply, message) = Packet::discover(architecture).reply();
        assert_eq!((reply.file.as_str(), reply.to), (file, Destination::Broadcast), "architecture {architecture}");
        assert!(!reply.is_ack);
        assert_eq!(message.opts().msg_type(), Some(MessageType::Offer));
        assert_eq!(text(&message, OptionCode::BootfileName), Some(format!("{file}\0")));
        assert_eq!(message.fname().map(|name| name.strip_suffix(&[0]).unwrap_or(name)), Some(file.as_bytes()));
        assert_eq!(message.siaddr(), OURS);
        let identifier = message.opts().get(OptionCode::ServerIdentifier);
        assert_eq!(identifier, Some(&DhcpOption::ServerIdentifier(OURS)));
        let uuid = message.opts().get(OptionCode::ClientMachineIdentifier);
        assert_eq!(uuid, Some(&DhcpOption::ClientMachineIdentifier((0..17).collect())));
        assert_eq!((message.xid(), message.chaddr(), message.opcode()), (0x0102_0304, &MAC[..], Opcode::BootReply));

        let http = file.starts_with("http");
        let class = if http { "HTTPClient" } else { "PXEClient" };
        assert_eq!(text(&message, OptionCode::ClassIdentifier).as_deref(), Some(class));
        assert_eq!(text(&message, OptionCode::TFTPServerName).is_some(), !http);
        let vendor = message.opts().get(OptionCode::VendorExtensions);
        let expected = (architecture == 0).then(|| DhcpOption::VendorExtensions(vec![6, 1, 8, 255]));
        assert_eq!(vendor, expected.as_ref(), "old EDK2 discards offers with option 43");
    }
}

#[test]
fn request_on_port_4011_gets_ack() {
    let request = Packet::request(7);
    let (reply, message) = request.reply_on(ServerPort::Pxe).unwrap();
    assert_eq!((reply.file.as_str(), reply.to, reply.is_ack), ("snponly.efi", Destination::Sender, true));
    assert_eq!((message.opts().msg_type(), message.ciaddr()), (Some(MessageType::Ack), LEASED));
    let named = |server| Packet::request(0).with(DhcpOption::ServerIdentifier(server)).reply_on(ServerPort::Pxe);
    assert!(named(OURS).is_some(), "as iPXE does");
    assert_eq!(named(THEIRS), None);
    assert_eq!(Packet::discover(7).reply_on(ServerPort::Pxe), None);
}

#[test]
fn ipxe_gets_script_on_any_architecture() {
    for architecture in [0, 7, 11, 5] {
        let discover = || Packet::discover(architecture);
        for ipxe in [discover().raw(77, b"iPXE"), discover().raw(77, b"\x04iPXE"), discover().raw(175, &[177, 1, 0])] {
            let (reply, message) = ipxe.reply();
            assert_eq!(reply.file, "http://10.77.0.1:8080/boot.ipxe");
            assert_eq!(text(&message, OptionCode::ClassIdentifier).as_deref(), Some("PXEClient"));
            assert!(message.opts().contains(OptionCode::VendorExtensions), "it does not look for boot servers");
        }
    }
}

#[test]
fn ipxe_without_http_gets_tftp_name() {
    // TFTP and DNS, as a build for a small ROM says.
    let (reply, message) = Packet::discover(0).raw(175, &[0x15, 1, 1, 0x17, 1, 1]).reply();
    assert_eq!((reply.file.as_str(), message.siaddr()), ("boot.ipxe", OURS));
    assert_eq!(text(&message, OptionCode::TFTPServerName).as_deref(), Some("10.77.0.1"));
}

#[test]
fn every_listed_architecture_is_considered() {
    let (reply, _) = Packet::discover(0).raw(93, &[0, 27, 0, 7, 0, 0]).reply();
    assert_eq!(reply.file, "snponly.efi");
    let odd = Packet::discover(0).raw(93, &[0, 7, 0]);
    assert_eq!(odd.reply().0.file, "snponly.efi", "half an architecture at the end");
}

#[test]
fn options_in_header_fields_are_read() {
    // The class in the field of the boot file, the architecture in that of the server's name (RFC 2132 9.3).
    let overloaded = Packet::new(MessageType::Discover)
        .raw(52, &[3])
        .change(|message| message.set_fname(b"\x3c\x09PXEClient\xff").set_sname(b"\x5d\x02\x00\x07\xff"));
    assert_eq!(overloaded.reply().0.file, "snponly.efi");
    let without = Packet::new(MessageType::Discover)
        .change(|message| message.set_fname(b"\x3c\x09PXEClient\xff").set_sname(b"\x5d\x02\x00\x07\xff"));
    assert_eq!(without.reply_on(ServerPort::Dhcp), None);
}

#[test]
fn unanswered_requests_have_a_reason() {
    let reason = |packet: Packet| DhcpRequest::parse(&packet.bytes()).unwrap_err();
    assert_eq!(reason(Packet::discover(0).without(OptionCode::ClientSystemArchitecture)), Unanswered::NoArchitecture);
    assert_eq!(reason(Packet::discover(0).raw(93, &[0])), Unanswered::NoArchitecture);
    assert_eq!(reason(Packet::discover(0).without(OptionCode::ClassIdentifier)), Unanswered::UnknownClass);
    let uboot = Packet::discover(22).with(DhcpOption::ClassIdentifier(b"U-Boot.armv8".to_vec()));
    assert_eq!(reason(uboot), Unanswered::UnknownClass);
    let infiniband = Packet::discover(0).change(|message| message.set_htype(HType::Infiniband));
    assert_eq!(reason(infiniband), Unanswered::HardwareType(32));
    let other = |packet: Packet| assert_eq!(DhcpRequest::parse(&packet.bytes()), Ok(None));
    other(Packet::new(MessageType::Discover));
    other(Packet::new(MessageType::Discover).with(DhcpOption::ClassIdentifier(b"MSFT 5.0".to_vec())));
}

#[test]
fn requests_without_boot_file_get_no_reply() {
    let silent = |packet: Packet, why: &str| {
        assert_eq!(packet.reply_on(ServerPort::Dhcp), None, "{why}");
        assert_eq!(packet.reply_on(ServerPort::Pxe), None, "{why}");
    };
    silent(Packet::new(MessageType::Discover), "a plain DHCP client");
    silent(Packet::discover(0).without(OptionCode::ClassIdentifier), "no class");
    silent(Packet::discover(0).with(DhcpOption::ClassIdentifier(b"MSFT 5.0".to_vec())), "another class");
    silent(Packet::discover(0).with(DhcpOption::ClassIdentifier(b"xPXEClient".to_vec())), "almost the class");
    silent(Packet::discover(0).without(OptionCode::ClientSystemArchitecture), "no architecture");
    silent(Packet::discover(0).raw(93, &[0]), "half an architecture");
    silent(Packet::discover(27), "an architecture without a file");
    silent(
        Packet::discover(16).with(DhcpOption::ClassIdentifier(b"PXEClient".to_vec())),
        "HTTP's architecture over PXE",
    );
    silent(Packet::discover(0).without(OptionCode::MessageType), "BOOTP");
    for kind in [MessageType::Offer, MessageType::Ack, MessageType::Inform, MessageType::Release, MessageType::Decline]
    {
        silent(Packet::firmware(kind, 0), "not a request");
    }
    silent(Packet::discover(0).change(|m| m.set_opcode(Opcode::BootReply)), "a packet from a server");
    silent(Packet::discover(0).change(|m| m.set_htype(HType::Infiniband)), "not Ethernet");
    silent(Packet::discover(0).change(|m| m.set_chaddr(&[1; 16])), "a long address");
    silent(Packet::discover(0).change(|m| m.set_chaddr(&[0; 6])), "no address");
    silent(Packet::discover(0).change(|m| m.set_chaddr(&[0xff; 6])), "the broadcast address");
}

#[test]
fn lease_request_gets_no_reply() {
    // A DHCP server on this machine has the same address: its clients name it and request a lease.
    let request = || Packet::request(0).with(DhcpOption::ServerIdentifier(OURS));
    assert_eq!(request().with(DhcpOption::RequestedIpAddress(LEASED)).reply_on(ServerPort::Dhcp), None);
    assert_eq!(request().at(Ipv4Addr::UNSPECIFIED).reply_on(ServerPort::Dhcp), None);
    assert_eq!(Packet::request(0).reply_on(ServerPort::Dhcp), None, "a renewal names no server");
    assert_eq!(request().with(DhcpOption::ServerIdentifier(THEIRS)).reply_on(ServerPort::Dhcp), None);

    let (reply, message) = request().reply();
    assert_eq!((message.opts().msg_type(), reply.to), (Some(MessageType::Ack), Destination::Client(LEASED)));
}

#[test]
fn reply_destination_follows_client_address() {
    let to = |packet: Packet| packet.reply().0.to;
    assert_eq!(to(Packet::discover(7)), Destination::Broadcast);
    assert_eq!(to(Packet::discover(7).at(LEASED)), Destination::Client(LEASED));
    let broadcast = Flags::default().set_broadcast();
    assert_eq!(to(Packet::discover(7).at(LEASED).change(|m| m.set_flags(broadcast))), Destination::Broadcast);
    assert_eq!(to(Packet::discover(7).change(|m| m.set_giaddr(RELAY))), Destination::Relay(RELAY));
}

#[test]
fn relay_information_comes_once_and_last() {
    // The second is longer than an option may be, and comes in two parts.
    for info in [vec![1, 3, 7, 7, 7], (0..=255).chain(0..100).collect::<Vec<u8>>()] {
        let mut request = Packet::discover(7).change(|m| m.set_giaddr(RELAY)).bytes();
        append_last(&mut request, 82, &info);
        let (reply, message) = respond(&request, ServerPort::Dhcp).expect("a reply");
        assert_eq!((reply.to, message.giaddr()), (Destination::Relay(RELAY), RELAY));
        let options: Vec<_> = options(&reply.packet).collect();
        let echoed: Vec<_> =
            options.iter().filter(|(code, _)| *code == 82).flat_map(|(_, data)| *data).copied().collect();
        assert_eq!(echoed, info);
        let first = options.iter().position(|(code, _)| *code == 82).unwrap();
        assert!(options[first..].iter().all(|(code, _)| *code == 82), "{options:?}");
    }
    let (reply, _) = Packet::discover(7).reply();
    assert!(options(&reply.packet).all(|(code, _)| code != 82));
}

/// The options of a packet as they are in it: code and data, without padding, up to the end marker.
fn options(packet: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = &packet[240..];
    std::iter::from_fn(move || {
        let ([code, length], after) = rest.split_first_chunk()?;
        if *code == 255 {
            return None;
        }
        let (data, next) = after.split_at(usize::from(*length));
        rest = next;
        Some((*code, data))
    })
}

#[test]
fn long_url_only_in_options() {
    let request = parse(&Packet::discover(16));
    let nbp = Nbp { file: "x".to_owned(), asset: "n".repeat(300) };
    let reply =
        reply_to(&request, &ReplyContext { port: ServerPort::Dhcp, address: OURS, base: BASE, nbp: Some(&nbp) })
            .unwrap();
    let message = Message::decode(&mut Decoder::new(&reply.packet)).unwrap();
    assert_eq!(message.fname(), None);
    assert_eq!(text(&message, OptionCode::BootfileName), Some(format!("{BASE}/assets/{}\0", nbp.asset)));
}

#[test]
fn machine_has_mac_and_uuid() {
    let request = parse(&Packet::discover(7));
    assert_eq!(request.machine.mac.unwrap().to_string(), "24:6e:96:00:00:01");
    let uuid: Vec<u8> = (1..17).collect();
    assert_eq!(request.machine.uuid.unwrap().0.as_slice(), uuid);
    let invalid = parse(&Packet::discover(7).raw(97, &[1, 2]));
    assert_eq!(invalid.machine.uuid, None);
}

/// The invariants of every reply of a proxyDHCP server.
fn check_invariants(request: &[u8], reply: &DhcpReply, message: &Message) -> Result<(), TestCaseError> {
    prop_assert_eq!(message.yiaddr(), Ipv4Addr::UNSPECIFIED);
    prop_assert_eq!(message.opcode(), Opcode::BootReply);
    prop_assert_eq!(&reply.packet[4..8], &request[4..8]);
    prop_assert!((300..=1472).contains(&reply.packet.len()), "{} bytes", reply.packet.len());
    for lease in
        [OptionCode::AddressLeaseTime, OptionCode::SubnetMask, OptionCode::Router, OptionCode::RequestedIpAddress]
    {
        prop_assert!(!message.opts().contains(lease));
    }
    prop_assert!(message.opts().contains(OptionCode::BootfileName));
    Ok(())
}

proptest! {
    #[test]
    fn arbitrary_datagram_never_panics(datagram in proptest::collection::vec(any::<u8>(), 0..600)) {
        for port in [ServerPort::Dhcp, ServerPort::Pxe] {
            if let Some((reply, message)) = respond(&datagram, port) {
                check_invariants(&datagram, &reply, &message)?;
            }
        }
    }

    // Parsers tend to break on input that is almost valid.
    #[test]
    fn damaged_packet_never_panics(
        architecture in 0u16..30,
        request in any::<bool>(),
        damage in proptest::collection::vec((0usize..340, any::<u8>()), 0..12),
        length in 0usize..400,
        tail in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let packet = if request { Packet::request(architecture) } else { Packet::discover(architecture) };
        let mut bytes = packet.raw(77, b"iPXE").bytes();
        bytes.pop();
        bytes.extend(tail);
        bytes.truncate(length.max(200));
        let size = bytes.len();
        for (at, byte) in damage {
            bytes[at % size] = byte;
        }
        for port in [ServerPort::Dhcp, ServerPort::Pxe] {
            if let Some((reply, message)) = respond(&bytes, port) {
                check_invariants(&bytes, &reply, &message)?;
            }
        }
    }
}
