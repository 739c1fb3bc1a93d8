//! What a client is answered: a pure function.
//!
//! The rules are those of PXE 2.1 (Intel, 1999) for a proxyDHCP server, and what firmware makes of them; the sources are
//! EDK2's `NetworkPkg/UefiPxeBcDxe/PxeBcDhcp4.c` and `NetworkPkg/HttpBootDxe/HttpBootDhcp4.c`, and iPXE's
//! `src/net/udp/dhcp.c`.

#[cfg(test)]
mod tests;

use std::net::Ipv4Addr;

use dhcproto::v4::{DhcpOption, Flags, HType, Message, MessageType, Opcode, OptionCode, UnknownOption};
use dhcproto::{Encodable, Encoder};

use super::firmware::Nbp;
use super::request::{Client, HTTP_CLIENT, Kind, PXE_CLIENT, Request};

/// The shortest packet: BOOTP's, which old firmware insists on (RFC 1542 2.1).
const SHORTEST: usize = 300;
/// What the header's field for the boot file holds, its closing zero included (RFC 2131 2).
const FILE_FIELD: usize = 128;
/// `PXE_DISCOVERY_CONTROL` with bit 3, and the end of the options in option 43 (PXE 2.1 table 2-1): do not look for boot
/// servers, the file is in this packet.
const USE_THIS_FILE: [u8; 4] = [6, 1, 8, 255];

/// Which of the server's ports a packet came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Port {
    /// 67, which the DHCP server has too (RFC 2131 4.1).
    Dhcp,
    /// 4011, which is proxyDHCP's own (PXE 2.1, 2.2.3).
    Pxe,
}

/// What an answer is made of besides the request.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'f> {
    /// Which port it came to.
    pub port: Port,
    /// Our address, as this client reaches it.
    pub address: Ipv4Addr,
    /// The base of URLs for this client.
    pub base: &'f str,
    /// The firmware's boot file for this client, if there is one.
    pub nbp: Option<&'f Nbp>,
}

/// Where an answer goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    /// To everybody on the interface, at the client's port.
    Broadcast,
    /// To the client at this address, at the client's port.
    Client(Ipv4Addr),
    /// To the relay at this address, at the server's port.
    Relay(Ipv4Addr),
    /// Back to where the request came from.
    Sender,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Where it goes.
    pub to: To,
    /// The packet.
    pub packet: Vec<u8>,
    /// The boot file that it names.
    pub file: String,
}

/// The answer to a request, if it gets one from us.
pub fn answer(request: &Request, facts: &Facts<'_>) -> Option<Reply> {
    let kind = kind(request, facts)?;
    let file = match request.client {
        Client::Ipxe => format!("{}/boot.ipxe", facts.base),
        Client::Firmware(platform) => facts.nbp?.told_to(platform, facts.base),
        Client::Unknown => return None,
    };
    let packet = packet(request, facts, kind, &file)?;
    Some(Reply { to: to(request, facts.port), packet, file })
}

/// Which message answers this one.
fn kind(request: &Request, facts: &Facts<'_>) -> Option<MessageType> {
    match (facts.port, request.kind) {
        (Port::Dhcp, Kind::Discover) => Some(MessageType::Offer),
        // Where our offer was taken alone: it names us, and wants no address. A DHCP server on this very machine has
        // the same name, but its clients want one.
        (Port::Dhcp, Kind::Request) => {
            let ours = request.server == Some(facts.address);
            (ours && request.wanted.is_none() && !request.address.is_unspecified()).then_some(MessageType::Ack)
        }
        // EDK2 names no server here, iPXE the one whose offer it follows.
        (Port::Pxe, Kind::Request) => {
            request.server.is_none_or(|server| server == facts.address).then_some(MessageType::Ack)
        }
        (Port::Pxe, Kind::Discover) => None,
    }
}

/// Where the answer goes (RFC 2131 4.1). Without an address to offer, nobody can be reached at one.
fn to(request: &Request, port: Port) -> To {
    if !request.relay.is_unspecified() {
        To::Relay(request.relay)
    } else if port == Port::Pxe {
        // Such a client has an address, and may listen on 4011 as EDK2 does, or on 68.
        To::Sender
    } else if request.address.is_unspecified() || request.wants_broadcast() {
        To::Broadcast
    } else {
        To::Client(request.address)
    }
}

fn packet(request: &Request, facts: &Facts<'_>, kind: MessageType, file: &str) -> Option<Vec<u8>> {
    let unset = Ipv4Addr::UNSPECIFIED;
    let mut message =
        Message::new_with_id(request.xid, request.address, unset, facts.address, request.relay, &request.mac);
    message.set_opcode(Opcode::BootReply).set_htype(HType::Eth).set_flags(Flags::new(request.flags));

    let class = if request.http { HTTP_CLIENT } else { PXE_CLIENT };
    let options = message.opts_mut();
    options.insert(DhcpOption::MessageType(kind));
    options.insert(DhcpOption::ServerIdentifier(facts.address));
    options.insert(DhcpOption::ClassIdentifier(class.to_vec()));
    if let Some(uuid) = &request.uuid {
        options.insert(DhcpOption::ClientMachineIdentifier(uuid.clone()));
    }
    if let Some(relayed) = &request.relayed {
        options.insert(DhcpOption::Unknown(UnknownOption::new(OptionCode::RelayAgentInformation, relayed.clone())));
    }
    // The zero at its end is for EDK2, which writes one over the next option where there is none.
    options.insert(DhcpOption::BootfileName([file.as_bytes(), &[0]].concat()));
    if !request.http {
        let server = facts.address.to_string();
        options.insert(DhcpOption::TFTPServerName(server.clone().into_bytes()));
        // EDK2 before 2017 forgot every proxy offer that had this (edk2#6944; seen on Dell's 13th generation). Without
        // it, it asks again on port 4011, as all EDK2 does, and takes the file from there.
        let forgets = matches!(request.client, Client::Firmware(platform) if platform.is_efi_pxe());
        if !forgets {
            options.insert(DhcpOption::VendorExtensions(USE_THIS_FILE.to_vec()));
        }
        message.set_sname_str(server);
    }
    if file.len() < FILE_FIELD {
        message.set_fname_str(file);
    }

    let mut packet = Vec::with_capacity(512);
    message.encode(&mut Encoder::new(&mut packet)).ok()?;
    packet.resize(packet.len().max(SHORTEST), 0);
    Some(packet)
}
