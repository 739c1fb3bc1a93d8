//! The path of a datagram: the peer, and the local address that it uses.

use std::net::{IpAddr, SocketAddr, SocketAddrV6};

/// The local address that a peer sent its datagram to. Answers must come from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceAddress {
    pub(super) ip: IpAddr,
    /// The interface of a link-local address, which is ambiguous without; else 0.
    pub(super) interface: u32,
}

impl SourceAddress {
    /// The address.
    pub fn ip(&self) -> IpAddr {
        self.ip
    }

    /// A socket address that binds any port of it.
    pub(in crate::tftp) fn with_port_zero(&self) -> SocketAddr {
        match self.ip {
            IpAddr::V4(ip) => SocketAddr::from((ip, 0)),
            IpAddr::V6(ip) => SocketAddrV6::new(ip, 0, 0, self.interface).into(),
        }
    }
}

impl From<IpAddr> for SourceAddress {
    fn from(ip: IpAddr) -> Self {
        Self { ip, interface: 0 }
    }
}

/// The two ends of the path to a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// The peer.
    pub peer: SocketAddr,
    /// The address to send from; `None` if the socket is bound to one.
    pub source: Option<SourceAddress>,
    /// Whether several packets may be sent as one message with UDP segmentation. True until the kernel refuses.
    pub segmentation: bool,
}
