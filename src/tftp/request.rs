//! A read request as an owned value. It is parsed once, from the datagram that brought it, and shared by the session
//! table, the pending open and the negotiation of options.

use std::borrow::Cow;
use std::sync::Arc;

use super::batch::Route;
use super::packet::{Options, Request, TransferMode};

/// A parsed RRQ. Two are equal if the peer sent the same request again.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ReadRequest {
    name: Box<[u8]>,
    mode: TransferMode,
    options: Box<[u8]>,
}

/// A read request and the route that its answer takes.
#[derive(Debug, Clone)]
pub(super) struct PendingRequest {
    /// The peer, and the local address that it sent the request to.
    pub(super) route: Route,
    /// The request.
    pub(super) request: Arc<ReadRequest>,
}

impl From<Request<'_>> for ReadRequest {
    fn from(request: Request<'_>) -> Self {
        Self { name: request.name.into(), mode: request.mode, options: request.options.as_bytes().into() }
    }
}

impl ReadRequest {
    /// The file name, or `None` if it is not UTF-8: no asset has such a name.
    ///
    /// It ends at the first 0xFF, which UTF-8 never has. Firmware that is offered a name without a NUL reads on behind the DHCP
    /// option, to the one that ends the packet (255).
    pub(super) fn name(&self) -> Option<&str> {
        let name = self.name.split(|byte| *byte == 0xff).next().unwrap_or_default();
        std::str::from_utf8(name).ok()
    }

    /// The file name for logs, with invalid UTF-8 replaced.
    pub(super) fn lossy_name(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.name)
    }

    /// The transfer mode.
    pub(super) fn mode(&self) -> TransferMode {
        self.mode
    }

    /// The requested options.
    pub(super) fn options(&self) -> Options<'_> {
        Options::from_bytes(&self.options)
    }
}

#[cfg(test)]
mod tests {
    use super::super::packet::Packet;
    use super::*;

    fn parse(datagram: &[u8]) -> ReadRequest {
        match Packet::parse(datagram) {
            Ok(Packet::Read(request)) => request.into(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn owned_request_keeps_name_mode_options() {
        let request = parse(b"\0\x01boot/x.efi\0netascii\0BlkSize\x001432\0tsize\x000\0");
        assert_eq!((request.name(), request.mode()), (Some("boot/x.efi"), TransferMode::Netascii));
        let pairs: Vec<_> = request.options().iter().collect();
        assert_eq!(pairs, [(&b"BlkSize"[..], &b"1432"[..]), (b"tsize", b"0")]);
        let not_utf8 = parse(b"\0\x01\xfex\0octet\0");
        assert_eq!((not_utf8.name(), &*not_utf8.lossy_name()), (None, "\u{fffd}x"));
        assert_eq!(parse(b"\0\x01boot/x.efi\xff\xff\0octet\0").name(), Some("boot/x.efi"));
        assert_eq!(parse(b"\0\x01x\xffjunk\0octet\0").name(), Some("x"));
    }

    #[test]
    fn repeat_equals_request_other_options_differ() {
        let first = parse(b"\0\x01f\0octet\0tsize\x000\0");
        assert_eq!(first, parse(b"\0\x01f\0octet\0tsize\x000\0"));
        for other in [&b"\0\x01g\0octet\0tsize\x000\0"[..], b"\0\x01f\0netascii\0tsize\x000\0", b"\0\x01f\0octet\0"] {
            assert_ne!(first, parse(other));
        }
    }
}
