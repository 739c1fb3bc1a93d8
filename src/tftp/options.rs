//! Option negotiation (RFC 2347 to 2349, RFC 7440). Pure functions without sockets.

use std::time::Duration;

use super::packet::{self, Options, TransferMode};

/// The block size without an option (RFC 1350 2).
const DEFAULT_BLKSIZE: u16 = 512;
/// The block sizes that a client may request (RFC 2348).
const BLKSIZE: std::ops::RangeInclusive<u64> = 8..=65464;
/// The most bytes of one window, whatever the client requests: this bounds what one packet makes the server send.
const MAX_WINDOW_BYTES: u32 = 4 << 20;

/// The largest values that the server grants.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// The largest block, in bytes: the lesser of the configured one and the one that fits the route.
    pub(super) blksize: u16,
    /// The largest window, in blocks.
    pub(super) windowsize: u16,
}

/// The negotiated parameters of a transfer. Those without an option have the defaults of RFC 1350.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Negotiated {
    /// The block size, in bytes.
    pub(super) blksize: u16,
    /// Blocks sent before the server waits for an ACK.
    pub(super) windowsize: u16,
    /// The wait before a retransmit, if the client requested one.
    pub(super) timeout: Option<Duration>,
    /// Whether the OACK holds the size of the file.
    pub(super) tsize: bool,
    /// The OACK packet; `None` if no option was accepted, so that the first block answers the request.
    pub(super) oack: Option<Vec<u8>>,
}

/// Negotiates the `requested` options for a file of `size` bytes.
///
/// The OACK holds only requested options, with names as the client wrote them and in its order. It leaves out the second
/// option of a name, values out of bounds, and unknown options (`msftwindow`). Sizes only shrink.
pub(super) fn negotiate(requested: Options<'_>, mode: TransferMode, size: u64, limits: Limits) -> Negotiated {
    let mut negotiated =
        Negotiated { blksize: DEFAULT_BLKSIZE, windowsize: 1, timeout: None, tsize: false, oack: None };
    let (mut blksize, mut windowsize) = (None, None);
    let mut accepted: Vec<(OptionKind, &[u8])> = Vec::new();
    for (name, value) in requested {
        let Some(kind) = OptionKind::from_name(name) else { continue };
        let value = std::str::from_utf8(value).ok().and_then(|text| text.trim().parse::<u64>().ok());
        let acceptable = match (kind, value) {
            _ if accepted.iter().any(|(earlier, _)| *earlier == kind) => false,
            (OptionKind::Blksize, Some(value)) if value >= *BLKSIZE.start() => {
                blksize = u16::try_from(value.min(*BLKSIZE.end())).ok();
                true
            }
            (OptionKind::Windowsize, Some(value @ 1..=65535)) => {
                windowsize = u16::try_from(value).ok();
                true
            }
            (OptionKind::Timeout, Some(value @ 1..=255)) => {
                negotiated.timeout = Some(Duration::from_secs(value));
                true
            }
            (OptionKind::Tsize, Some(_)) => {
                negotiated.tsize = mode == TransferMode::Octet;
                negotiated.tsize
            }
            _ => false,
        };
        if acceptable {
            accepted.push((kind, name));
        }
    }
    if let Some(requested) = blksize {
        negotiated.blksize = requested.min(limits.blksize).max(8);
    }
    if let Some(requested) = windowsize {
        let bound = u16::try_from(MAX_WINDOW_BYTES / u32::from(negotiated.blksize)).unwrap_or(u16::MAX);
        negotiated.windowsize = requested.min(limits.windowsize).min(bound).max(1);
    }
    if !accepted.is_empty() {
        let values: Vec<String> = accepted
            .iter()
            .map(|(kind, _)| match kind {
                OptionKind::Blksize => negotiated.blksize.to_string(),
                OptionKind::Windowsize => negotiated.windowsize.to_string(),
                OptionKind::Timeout => negotiated.timeout.unwrap_or_default().as_secs().to_string(),
                OptionKind::Tsize => size.to_string(),
            })
            .collect();
        let pairs = accepted.iter().zip(&values).map(|((_, name), value)| (*name, value.as_bytes()));
        negotiated.oack = Some(packet::option_ack(pairs));
    }
    negotiated
}

/// Whether a block size is requested that may not fit the route: any route carries the default (RFC 1122 3.3.3).
pub(super) fn requests_large_blocks(requested: Options<'_>) -> bool {
    requested.into_iter().any(|(name, value)| {
        OptionKind::from_name(name) == Some(OptionKind::Blksize)
            && std::str::from_utf8(value)
                .is_ok_and(|text| text.trim().parse().is_ok_and(|size: u64| size > DEFAULT_BLKSIZE.into()))
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OptionKind {
    Blksize,
    Windowsize,
    Timeout,
    Tsize,
}

impl OptionKind {
    fn from_name(name: &[u8]) -> Option<Self> {
        [
            (&b"blksize"[..], Self::Blksize),
            (b"windowsize", Self::Windowsize),
            (b"timeout", Self::Timeout),
            (b"tsize", Self::Tsize),
        ]
        .into_iter()
        .find_map(|(known, kind)| name.eq_ignore_ascii_case(known).then_some(kind))
    }
}

#[cfg(test)]
mod tests {
    use super::super::packet::Packet;
    use super::*;
    use proptest::prelude::*;

    const LIMITS: Limits = Limits { blksize: 1468, windowsize: 64 };

    fn negotiate_text(options: &str, mode: &str, limits: Limits) -> (Negotiated, String) {
        let datagram = format!("\0\x01f\0{mode}\0{}", options.replace(' ', "\0"));
        let Ok(Packet::Read(request)) = Packet::parse(datagram.as_bytes()) else { panic!() };
        let negotiated = negotiate(request.options, request.mode, 1_000_000, limits);
        let oack = negotiated.oack.clone().unwrap_or_default();
        (negotiated, String::from_utf8(oack).unwrap().trim_start_matches(['\0', '\x06']).trim_end().replace('\0', " "))
    }

    #[test]
    fn oack_matches_each_client_request() {
        for (requested, accepted) in [
            ("blksize 1432 tsize 0 ", "blksize 1432 tsize 1000000 "), // iPXE
            ("tsize 0 blksize 1468 windowsize 4 ", "tsize 1000000 blksize 1468 windowsize 4 "), // EDK2
            ("tsize 0 blksize 1408 ", "tsize 1000000 blksize 1408 "), // PXELINUX
            ("TSize 0 BLKSIZE 9000 ", "TSize 1000000 BLKSIZE 1468 "),
            ("timeout 3 blksize 512 ", "timeout 3 blksize 512 "),
            ("tsize 0 blksize 1456 windowsize 64 msftwindow 31416 ", "tsize 1000000 blksize 1456 windowsize 64 "),
        ] {
            assert_eq!(negotiate_text(requested, "octet", LIMITS).1, accepted);
        }
    }

    #[test]
    fn invalid_options_left_out_of_oack() {
        for requested in ["blksize 7 ", "windowsize 0 ", "timeout 0 ", "timeout 256 ", "blksize x ", "multicast  ", ""]
        {
            let (negotiated, _) = negotiate_text(requested, "octet", LIMITS);
            assert_eq!((negotiated.blksize, negotiated.windowsize, negotiated.oack), (512, 1, None), "{requested}");
        }
        assert_eq!(negotiate_text("tsize 0 blksize 100 blksize 200 ", "netascii", LIMITS).1, "blksize 100 ");
    }

    #[test]
    fn window_bytes_are_bounded() {
        let wide = Limits { blksize: 65464, windowsize: 65535 };
        let (negotiated, text) = negotiate_text("blksize 65464 windowsize 65535 ", "octet", wide);
        assert_eq!((negotiated.windowsize, text.as_str()), (64, "blksize 65464 windowsize 64 "));
    }

    proptest! {
        #[test]
        fn negotiation_never_exceeds_request_or_limits(
            blksize in 0u64..70_000, windowsize in 0u64..70_000, timeout in 0u64..300,
            max_blksize in 8u16..=65464, max_windowsize in 1u16..=65535,
        ) {
            let requested = format!("blksize {blksize} windowsize {windowsize} timeout {timeout} tsize 0 ");
            let (negotiated, text) = negotiate_text(&requested, "octet", Limits { blksize: max_blksize, windowsize: max_windowsize });
            if blksize >= 8 {
                prop_assert!(u64::from(negotiated.blksize) <= blksize && negotiated.blksize <= max_blksize);
            }
            if windowsize > 0 {
                prop_assert!(u64::from(negotiated.windowsize) <= windowsize && negotiated.windowsize <= max_windowsize);
            }
            prop_assert!(u32::from(negotiated.blksize) * u32::from(negotiated.windowsize) <= MAX_WINDOW_BYTES);
            prop_assert_eq!(negotiated.timeout.is_some(), text.contains("timeout"));
            if let Some(accepted) = negotiated.timeout {
                prop_assert_eq!(accepted, Duration::from_secs(timeout));
            }
        }
    }
}
