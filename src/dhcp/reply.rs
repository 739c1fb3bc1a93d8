//! The reply to a DHCP request, as a pure function.
//!
//! It follows PXE 2.1 (Intel, 1999) for proxyDHCP servers, and what firmware does in practice. The sources are EDK2's `NetworkPkg/UefiPxeBcDxe/PxeBcDhcp4.c` and `NetworkPkg/HttpBootDxe/HttpBootDhcp4.c`, and iPXE's
//! `src/net/udp/dhcp.c`.

#[cfg(test)]
mod tests;

use std::net::Ipv4Addr;

use dhcproto::v4::{DhcpOption, Flags, HType, Message, MessageType, Opcode};
use dhcproto::{Encodable, Encoder};

use super::ipxe::IpxeFeatures;
use super::nbp::Nbp;
use super::request::{ClientKind, DhcpRequest, HTTP_CLIENT, MessageKind, PXE_CLIENT};

/// The shortest packet, in bytes: that of BOOTP, which old firmware requires (RFC 1542 2.1).
const MIN_PACKET: usize = 300;
/// The size of the boot file field in the header, with its terminating NUL (RFC 2131 2).
const FILE_FIELD: usize = 128;
/// Option 43: `PXE_DISCOVERY_CONTROL` with bit 3, and the end marker (PXE 2.1 table 2-1). The client then uses the boot file
/// of this packet and does not look for boot servers.
const USE_THIS_FILE: [u8; 4] = [6, 1, 8, 255];

/// The script that iPXE loads.
const SCRIPT: &str = "boot.ipxe";
/// Option 82.
const RELAY_AGENT_INFORMATION: u8 = 82;
/// The option that ends the others (RFC 2132 3.2).
const END: u8 = 255;

/// A port of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerPort {
    /// Port 67, shared with the DHCP server (RFC 2131 4.1).
    Dhcp,
    /// Port 4011, used by proxyDHCP alone (PXE 2.1, 2.2.3).
    Pxe,
}

impl ServerPort {
    /// The UDP port number.
    pub const fn number(self) -> u16 {
        match self {
            Self::Dhcp => 67,
            Self::Pxe => 4011,
        }
    }
}

/// The context of a reply besides the request.
#[derive(Debug, Clone, Copy)]
pub struct ReplyContext<'c> {
    /// The port that received the request.
    pub port: ServerPort,
    /// The address at which this client reaches the server.
    pub address: Ipv4Addr,
    /// The base of URLs for this client.
    pub base: &'c str,
    /// The NBP for this client's firmware, if there is one.
    pub nbp: Option<&'c Nbp>,
}

/// The destination of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// All machines on the interface, at the client port.
    Broadcast,
    /// The client at this address, at the client port.
    Client(Ipv4Addr),
    /// The relay at this address, at the server port.
    Relay(Ipv4Addr),
    /// The sender of the request.
    Sender,
}

/// A reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DhcpReply {
    /// Its destination.
    pub to: Destination,
    /// The packet.
    pub packet: Vec<u8>,
    /// The boot file name in it.
    pub file: String,
    /// Whether it is an ACK, which confirms an earlier offer, rather than an offer.
    pub is_ack: bool,
}

/// The reply to a request. Returns `None` if this server does not answer it.
pub fn reply_to(request: &DhcpRequest, context: &ReplyContext<'_>) -> Option<DhcpReply> {
    let kind = reply_type(request, context)?;
    let file = match request.client {
        ClientKind::Ipxe(features) => script(features, context.base),
        ClientKind::Firmware => context.nbp?.boot_file(request.http, context.base),
    };
    let packet = encode(request, context, kind, &file)?;
    Some(DhcpReply { to: destination(request, context.port), packet, file, is_ack: kind == MessageType::Ack })
}

/// The name of the script for iPXE: its URL, or where this build cannot load that, the name over TFTP.
fn script(features: IpxeFeatures, base: &str) -> String {
    let url = format!("{base}/{SCRIPT}");
    if features.can_load(&url) { url } else { SCRIPT.to_owned() }
}

/// The message type of the reply.
fn reply_type(request: &DhcpRequest, context: &ReplyContext<'_>) -> Option<MessageType> {
    match (context.port, request.kind) {
        (ServerPort::Dhcp, MessageKind::Discover) => Some(MessageType::Offer),
        // The client accepted our offer alone: it names this server and requests no address. A DHCP server on this
        // machine has the same identifier, but its clients request an address.
        (ServerPort::Dhcp, MessageKind::Request) => {
            let ours = request.server == Some(context.address);
            (ours && request.requested_address.is_none() && !request.address.is_unspecified())
                .then_some(MessageType::Ack)
        }
        // EDK2 names no server here; iPXE names the one whose offer it accepted.
        (ServerPort::Pxe, MessageKind::Request) => {
            request.server.is_none_or(|server| server == context.address).then_some(MessageType::Ack)
        }
        (ServerPort::Pxe, MessageKind::Discover) => None,
    }
}

/// The destination of the reply (RFC 2131 4.1). This server offers no address, so a client without one gets a broadcast.
fn destination(request: &DhcpRequest, port: ServerPort) -> Destination {
    if !request.relay.is_unspecified() {
        Destination::Relay(request.relay)
    } else if port == ServerPort::Pxe {
        // This client has an address and may listen on port 4011, like EDK2, or on 68.
        Destination::Sender
    } else if request.address.is_unspecified() || request.wants_broadcast() {
        Destination::Broadcast
    } else {
        Destination::Client(request.address)
    }
}

/// Encodes the reply. `None` if it cannot be encoded.
fn encode(request: &DhcpRequest, context: &ReplyContext<'_>, kind: MessageType, file: &str) -> Option<Vec<u8>> {
    let unset = Ipv4Addr::UNSPECIFIED;
    let mut message =
        Message::new_with_id(request.xid, request.address, unset, context.address, request.relay, &request.mac);
    message.set_opcode(Opcode::BootReply).set_htype(HType::Eth).set_flags(Flags::new(request.flags));

    let class = if request.http { HTTP_CLIENT } else { PXE_CLIENT };
    let options = message.opts_mut();
    options.insert(DhcpOption::MessageType(kind));
    options.insert(DhcpOption::ServerIdentifier(context.address));
    options.insert(DhcpOption::ClassIdentifier(class.to_vec()));
    if let Some(uuid) = &request.uuid {
        options.insert(DhcpOption::ClientMachineIdentifier(uuid.clone()));
    }
    // With a terminating NUL: without it, EDK2 overwrites the first byte of the next option with one.
    options.insert(DhcpOption::BootfileName([file.as_bytes(), &[0]].concat()));
    if !request.http {
        let server = context.address.to_string();
        options.insert(DhcpOption::TFTPServerName(server.clone().into_bytes()));
        // EDK2 before 2017 discards proxy offers with this option (edk2#6944; seen on Dell's 13th generation). Without
        // it, EDK2 of every age sends a request to port 4011 and gets the file from there.
        if !request.is_efi_pxe() {
            options.insert(DhcpOption::VendorExtensions(USE_THIS_FILE.to_vec()));
        }
        message.set_sname_str(server);
    }
    if file.len() < FILE_FIELD {
        message.set_fname_str(file);
    }

    let mut packet = Vec::with_capacity(512);
    message.encode(&mut Encoder::new(&mut packet)).ok()?;
    // By hand: the codec would parse the sub-options and leave out what it does not know.
    if let Some(info) = &request.relay_info {
        append_last(&mut packet, RELAY_AGENT_INFORMATION, info);
    }
    packet.resize(packet.len().max(MIN_PACKET), 0);
    Some(packet)
}

/// Appends an option to a packet that ends with the end marker: the last one before it, as RFC 3046 2.2 requires of option 82,
/// and in pieces where it is long (RFC 3396 6).
fn append_last(packet: &mut Vec<u8>, code: u8, data: &[u8]) {
    debug_assert_eq!(packet.last(), Some(&END));
    packet.pop();
    for piece in data.chunks(usize::from(u8::MAX)) {
        packet.extend([code, u8::try_from(piece.len()).unwrap_or(u8::MAX)]);
        packet.extend_from_slice(piece);
    }
    packet.push(END);
}
