//! Options: what is granted of what a request asks for (RFC 2347 to 2349, RFC 7440). Pure: it knows no sockets.

use std::time::Duration;

use super::packet::{self, Mode, Options};

/// The block size without an option (RFC 1350 2).
const DEFAULT_BLKSIZE: u16 = 512;
/// The smallest and the largest block size that may be asked (RFC 2348).
const BLKSIZE: std::ops::RangeInclusive<u64> = 8..=65464;
/// The most bytes of one window, whatever was asked: what a client can make the server send at once.
const MAX_WINDOW_BYTES: u32 = 4 << 20;

/// What a request may be granted at most.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// The largest block, in bytes: the settings' or what fits the route, whichever is less.
    pub(super) blksize: u16,
    /// The largest window, in blocks.
    pub(super) windowsize: u16,
}

/// The terms of a transfer, agreed or standard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Terms {
    /// Bytes of a block.
    pub(super) blksize: u16,
    /// Blocks sent before an ACK is waited for.
    pub(super) windowsize: u16,
    /// The wait before a resend that the client asked for.
    pub(super) timeout: Option<Duration>,
    /// Whether the client was told the size.
    pub(super) tsize: bool,
    /// The OACK packet; none where nothing was granted and the first block is the answer.
    pub(super) oack: Option<Vec<u8>>,
}

/// Grants what it can of `asked` for a file of `size` bytes.
///
/// The OACK holds nothing that was not asked, names as the client wrote them, in its order; a second option of the same
/// name, a value out of bounds and an unknown option (`msftwindow`) are left out. Sizes only shrink.
pub(super) fn negotiate(asked: Options<'_>, mode: Mode, size: u64, limits: Limits) -> Terms {
    let mut terms = Terms { blksize: DEFAULT_BLKSIZE, windowsize: 1, timeout: None, tsize: false, oack: None };
    let (mut blksize, mut windowsize) = (None, None);
    let mut granted: Vec<(Known, &[u8])> = Vec::new();
    for (name, value) in asked {
        let Some(known) = Known::of(name) else { continue };
        let value = std::str::from_utf8(value).ok().and_then(|text| text.trim().parse::<u64>().ok());
        let fits = match (known, value) {
            _ if granted.iter().any(|(already, _)| *already == known) => false,
            (Known::Blksize, Some(value)) if value >= *BLKSIZE.start() => {
                blksize = u16::try_from(value.min(*BLKSIZE.end())).ok();
                true
            }
            (Known::Windowsize, Some(value @ 1..=65535)) => {
                windowsize = u16::try_from(value).ok();
                true
            }
            (Known::Timeout, Some(value @ 1..=255)) => {
                terms.timeout = Some(Duration::from_secs(value));
                true
            }
            (Known::Tsize, Some(_)) => {
                terms.tsize = mode == Mode::Octet;
                terms.tsize
            }
            _ => false,
        };
        if fits {
            granted.push((known, name));
        }
    }
    if let Some(asked) = blksize {
        terms.blksize = asked.min(limits.blksize).max(8);
    }
    if let Some(asked) = windowsize {
        let bound = u16::try_from(MAX_WINDOW_BYTES / u32::from(terms.blksize)).unwrap_or(u16::MAX);
        terms.windowsize = asked.min(limits.windowsize).min(bound).max(1);
    }
    if !granted.is_empty() {
        let values: Vec<String> = granted
            .iter()
            .map(|(known, _)| match known {
                Known::Blksize => terms.blksize.to_string(),
                Known::Windowsize => terms.windowsize.to_string(),
                Known::Timeout => terms.timeout.unwrap_or_default().as_secs().to_string(),
                Known::Tsize => size.to_string(),
            })
            .collect();
        let pairs = granted.iter().zip(&values).map(|((_, name), value)| (*name, value.as_bytes()));
        terms.oack = Some(packet::option_ack(pairs));
    }
    terms
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Blksize,
    Windowsize,
    Timeout,
    Tsize,
}

impl Known {
    fn of(name: &[u8]) -> Option<Self> {
        [
            (&b"blksize"[..], Self::Blksize),
            (b"windowsize", Self::Windowsize),
            (b"timeout", Self::Timeout),
            (b"tsize", Self::Tsize),
        ]
        .into_iter()
        .find_map(|(word, known)| name.eq_ignore_ascii_case(word).then_some(known))
    }
}

#[cfg(test)]
mod tests {
    use super::super::packet::Packet;
    use super::*;
    use proptest::prelude::*;

    const LIMITS: Limits = Limits { blksize: 1468, windowsize: 64 };

    fn agree(options: &str, mode: &str, limits: Limits) -> (Terms, String) {
        let datagram = format!("\0\x01f\0{mode}\0{}", options.replace(' ', "\0"));
        let Ok(Packet::Read(request)) = Packet::parse(datagram.as_bytes()) else { panic!() };
        let terms = negotiate(request.options, request.mode, 1_000_000, limits);
        let oack = terms.oack.clone().unwrap_or_default();
        (terms, String::from_utf8(oack).unwrap().trim_start_matches(['\0', '\x06']).trim_end().replace('\0', " "))
    }

    #[test]
    fn answers_each_client_as_it_asked() {
        for (asked, granted) in [
            ("blksize 1432 tsize 0 ", "blksize 1432 tsize 1000000 "), // iPXE
            ("tsize 0 blksize 1468 windowsize 4 ", "tsize 1000000 blksize 1468 windowsize 4 "), // EDK2
            ("tsize 0 blksize 1408 ", "tsize 1000000 blksize 1408 "), // PXELINUX
            ("TSize 0 BLKSIZE 9000 ", "TSize 1000000 BLKSIZE 1468 "),
            ("timeout 3 blksize 512 ", "timeout 3 blksize 512 "),
            ("tsize 0 blksize 1456 windowsize 64 msftwindow 31416 ", "tsize 1000000 blksize 1456 windowsize 64 "),
        ] {
            assert_eq!(agree(asked, "octet", LIMITS).1, granted);
        }
    }

    #[test]
    fn leaves_out_what_cannot_be_granted() {
        for asked in ["blksize 7 ", "windowsize 0 ", "timeout 0 ", "timeout 256 ", "blksize x ", "multicast  ", ""] {
            let (terms, _) = agree(asked, "octet", LIMITS);
            assert_eq!((terms.blksize, terms.windowsize, terms.oack), (512, 1, None), "{asked}");
        }
        assert_eq!(agree("tsize 0 blksize 100 blksize 200 ", "netascii", LIMITS).1, "blksize 100 ");
    }

    #[test]
    fn bounds_the_bytes_of_a_window() {
        let wide = Limits { blksize: 65464, windowsize: 65535 };
        let (terms, text) = agree("blksize 65464 windowsize 65535 ", "octet", wide);
        assert_eq!((terms.windowsize, text.as_str()), (64, "blksize 65464 windowsize 64 "));
    }

    proptest! {
        #[test]
        fn never_grants_more_than_was_asked_or_allowed(
            blksize in 0u64..70_000, windowsize in 0u64..70_000, timeout in 0u64..300,
            most_bytes in 8u16..=65464, most_blocks in 1u16..=65535,
        ) {
            let asked = format!("blksize {blksize} windowsize {windowsize} timeout {timeout} tsize 0 ");
            let (terms, text) = agree(&asked, "octet", Limits { blksize: most_bytes, windowsize: most_blocks });
            if blksize >= 8 {
                prop_assert!(u64::from(terms.blksize) <= blksize && terms.blksize <= most_bytes);
            }
            if windowsize > 0 {
                prop_assert!(u64::from(terms.windowsize) <= windowsize && terms.windowsize <= most_blocks);
            }
            prop_assert!(u32::from(terms.blksize) * u32::from(terms.windowsize) <= MAX_WINDOW_BYTES);
            prop_assert_eq!(terms.timeout.is_some(), text.contains("timeout"));
            if let Some(granted) = terms.timeout {
                prop_assert_eq!(granted, Duration::from_secs(timeout));
            }
        }
    }
}
