//! What a client's packet asks for. Everything in it is the client's word: nothing is believed, and nothing here panics.

use std::net::Ipv4Addr;

use dhcproto::v4::borrowed::Message;
use dhcproto::v4::{HType, MessageType, Opcode, OptionCode};

use super::platform::Platform;
use crate::boot::{Mac, Machine, Uuid};

/// Which message a packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// DHCPDISCOVER: who is there?
    Discover,
    /// DHCPREQUEST: what of that which you offered?
    Request,
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// Firmware of a known kind.
    Firmware(Platform),
    /// iPXE, which is past the firmware's file and wants its script.
    Ipxe,
    /// Firmware of an architecture that no boot file can be named for.
    Unknown,
}

/// A client's request for a boot file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Which message it is.
    pub kind: Kind,
    /// Who asks.
    pub client: Client,
    /// The architecture type it says it has (option 93), the first where it has several.
    pub architecture: u16,
    /// The address of its card, and its UUID where it has one.
    pub machine: Machine,
    /// Whether it calls itself `HTTPClient` rather than `PXEClient` (option 60).
    pub http: bool,
    /// The server it speaks to, where it names one (option 54).
    pub server: Option<Ipv4Addr>,
    /// The address it wants to have (option 50): then it speaks of a lease, which is none of our business.
    pub wanted: Option<Ipv4Addr>,
    /// The address it has; 0.0.0.0 where it has none.
    pub address: Ipv4Addr,
    /// The relay that passed it on; 0.0.0.0 where it came by itself.
    pub relay: Ipv4Addr,
    /// The transaction.
    pub(super) xid: u32,
    /// The header's flags.
    pub(super) flags: u16,
    /// The whole field of the hardware address.
    pub(super) mac: [u8; 6],
    /// The client's identifier (option 97), to be sent back as it came.
    pub(super) uuid: Option<Vec<u8>>,
    /// What the relay added (option 82), to be sent back as it came (RFC 3046 2.2).
    pub(super) relayed: Option<Vec<u8>>,
}

impl Request {
    /// The request in this datagram: none where it is no DHCP packet of an Ethernet card that asks for a boot file.
    ///
    /// A client that does has `PXEClient` or `HTTPClient` in option 60 and its architecture in option 93 (PXE 2.1 table
    /// 2-1, UEFI 2.10 24.7.3.2). One that asks for an address alone is not seen here.
    pub fn parse(datagram: &[u8]) -> Option<Self> {
        let message = Message::new(datagram).ok()?;
        // The length first: the codec takes the client's word for it.
        let ethernet = message.hlen() == 6 && message.htype() == HType::Eth && message.opcode() == Opcode::BootRequest;
        let mac: [u8; 6] = if ethernet { message.chaddr().try_into().ok()? } else { return None };
        // Not a card's own: all zero, or a group's (IEEE 802, 8.2).
        if mac == [0; 6] || mac[0] & 1 == 1 {
            return None;
        }

        let (mut kind, mut class, mut architecture, mut user_class) = (None, None, None, None);
        let (mut server, mut wanted, mut uuid, mut relayed, mut encapsulated) = (None, None, None, None, false);
        for option in message.opts() {
            let data = option.data();
            match option.code() {
                OptionCode::MessageType => kind = data.first().copied(),
                OptionCode::ClassIdentifier => class = Some(data.to_vec()),
                OptionCode::ClientSystemArchitecture => architecture = data.first_chunk().copied(),
                OptionCode::UserClass => user_class = Some(data.to_vec()),
                OptionCode::ServerIdentifier => server = address(data),
                OptionCode::RequestedIpAddress => wanted = address(data),
                OptionCode::ClientMachineIdentifier => uuid = Some(data.to_vec()),
                OptionCode::RelayAgentInformation => relayed = Some(data.to_vec()),
                code if u8::from(code) == IPXE_ENCAPSULATED => encapsulated = true,
                _ => {}
            }
        }
        let kind = match MessageType::from(kind?) {
            MessageType::Discover => Kind::Discover,
            MessageType::Request => Kind::Request,
            _ => return None,
        };
        let class = class?;
        let http = class.starts_with(HTTP_CLIENT);
        if !http && !class.starts_with(PXE_CLIENT) {
            return None;
        }
        let architecture = u16::from_be_bytes(architecture?);
        let client = if encapsulated || user_class.is_some_and(|class| has_ipxe(&class)) {
            Client::Ipxe
        } else {
            // What calls itself one thing and names the architecture of the other is not to be believed either way.
            let platform = Platform::of(architecture).filter(|platform| platform.boots_over_http() == http);
            platform.map_or(Client::Unknown, Client::Firmware)
        };
        let machine = Machine { mac: Some(Mac(mac)), uuid: uuid.as_deref().and_then(smbios), ..Machine::default() };
        Some(Self {
            kind,
            client,
            architecture,
            machine,
            http,
            server,
            wanted,
            address: message.ciaddr(),
            relay: message.giaddr(),
            xid: message.xid(),
            flags: message.flags().into(),
            mac,
            uuid,
            relayed,
        })
    }

    /// What it is called in logs and metrics: one of few, whatever the client says.
    pub fn name(&self) -> &'static str {
        match self.client {
            Client::Ipxe => "ipxe",
            Client::Firmware(platform) => platform.name(),
            Client::Unknown => "unknown",
        }
    }

    /// Whether it wants its answer broadcast (RFC 2131 2, flag B).
    pub(super) fn wants_broadcast(&self) -> bool {
        self.flags & 0x8000 != 0
    }
}

/// What firmware's option 60 begins with (PXE 2.1, 2.1; UEFI 2.10 24.7.3.2).
pub(super) const PXE_CLIENT: &[u8] = b"PXEClient";
pub(super) const HTTP_CLIENT: &[u8] = b"HTTPClient";

/// The option that iPXE's own options are in (iPXE `include/ipxe/dhcp.h`, `DHCP_EB_ENCAP`); only iPXE and its ancestors
/// send it.
const IPXE_ENCAPSULATED: u8 = 175;

fn address(data: &[u8]) -> Option<Ipv4Addr> {
    <[u8; 4]>::try_from(data).ok().map(Ipv4Addr::from)
}

/// The UUID in option 97: a type, which is 0, and 16 bytes (RFC 4578 2.3).
fn smbios(data: &[u8]) -> Option<Uuid> {
    let (0, uuid) = data.split_first().map(|(kind, uuid)| (*kind, uuid))? else { return None };
    uuid.try_into().ok().map(Uuid)
}

/// Whether option 77 says iPXE. iPXE writes the bare text (`dhcp_request_options_data`); RFC 3004 4 wants each class with
/// its length in front, and relays and builds that keep to it exist.
fn has_ipxe(class: &[u8]) -> bool {
    let mut rest = class;
    while let Some((length, after)) = rest.split_first() {
        let Some((one, next)) = after.split_at_checked(usize::from(*length)) else { break };
        if one == b"iPXE" {
            return true;
        }
        rest = next;
    }
    class == b"iPXE"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipxe_is_known_in_both_spellings() {
        for class in [&b"iPXE"[..], b"\x04iPXE", b"\x03abc\x04iPXE"] {
            assert!(has_ipxe(class), "{class:?}");
        }
        for class in [&b""[..], b"iPX", b"iPXE2", b"\x05iPXE", b"\x03iPXE", b"gPXE", b"\xffiPXE"] {
            assert!(!has_ipxe(class), "{class:?}");
        }
    }

    #[test]
    fn a_uuid_has_its_type_and_16_bytes() {
        assert_eq!(smbios(&[0; 17]), Some(Uuid([0; 16])));
        assert_eq!([smbios(&[1; 17]), smbios(&[0; 16]), smbios(&[0; 18]), smbios(&[])], [None; 4]);
    }
}
