//! TFTP packets: read in place, written into buffers of the caller. It knows the wire and nothing of transfers.

use std::fmt;

/// The bytes before a DATA packet's payload: opcode and block number (RFC 1350 5).
pub const HEADER: usize = 4;

/// The longest ERROR message that is sent, in bytes, so that the packet fits the smallest buffer a client may have
/// (RFC 1350: 512 bytes of data and a header).
const MAX_MESSAGE: usize = 511;

const RRQ: u16 = 1;
const WRQ: u16 = 2;
const DATA: u16 = 3;
const ACK: u16 = 4;
const ERROR: u16 = 5;
const OACK: u16 = 6;

/// A packet, borrowed from the datagram that it came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packet<'a> {
    /// A request to read a file.
    Read(Request<'a>),
    /// A request to write a file.
    Write(Request<'a>),
    /// A block of a file.
    Data {
        /// Its number, modulo 65,536.
        block: u16,
        /// Its bytes.
        payload: &'a [u8],
    },
    /// An acknowledgement of all blocks up to this one; of the OACK, where it is 0.
    Ack {
        /// The block's number, modulo 65,536.
        block: u16,
    },
    /// The end of a transfer, or its refusal.
    Error {
        /// The code (RFC 1350 5, RFC 2347).
        code: u16,
        /// The peer's words, as they came.
        message: &'a [u8],
    },
    /// What the server grants of the options that were asked (RFC 2347).
    OptionAck {
        /// The granted options.
        options: Options<'a>,
    },
}

/// A read or write request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    /// The file's name as it was written, in no known encoding; never empty.
    pub name: &'a [u8],
    /// How the bytes are to be written.
    pub mode: Mode,
    /// The options that are asked for.
    pub options: Options<'a>,
}

/// How a file's bytes are written on the wire (RFC 1350 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// As they are.
    Octet,
    /// As text with the line ends of RFC 764.
    Netascii,
    /// To a user rather than a file: obsolete.
    Mail,
}

/// Pairs of option names and values (RFC 2347), in the order they were written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options<'a>(&'a [u8]);

/// The pairs of [`Options`], one by one.
#[derive(Debug, Clone)]
pub struct Pairs<'a>(&'a [u8]);

/// The error codes that this server sends (RFC 1350 5, RFC 2347).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub enum ErrorCode {
    /// Not defined: the message says what it is.
    Undefined = 0,
    /// File not found.
    NotFound = 1,
    /// Access violation.
    AccessViolation = 2,
    /// Illegal TFTP operation.
    IllegalOperation = 4,
    /// Unknown transfer id.
    UnknownTransfer = 5,
}

/// Why a datagram is not a TFTP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// It ends before all that its opcode asks for.
    #[error("the packet is cut short")]
    Short,
    /// An opcode of no RFC.
    #[error("the opcode {0} is not known")]
    Opcode(u16),
    /// A request for a file without a name.
    #[error("the request names no file")]
    NoName,
    /// A request without a mode, or with one of no RFC.
    #[error("the transfer mode is not known; use octet or netascii")]
    Mode,
}

impl<'a> Packet<'a> {
    /// Reads a datagram. What firmware gets wrong without harm is let pass: a missing NUL at the very end, NULs or a
    /// half option pair after a request, bytes after an ACK.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, PacketError> {
        let (opcode, rest) = split_u16(datagram)?;
        match opcode {
            RRQ => Request::parse(rest).map(Self::Read),
            WRQ => Request::parse(rest).map(Self::Write),
            DATA => split_u16(rest).map(|(block, payload)| Self::Data { block, payload }),
            ACK => split_u16(rest).map(|(block, _)| Self::Ack { block }),
            ERROR => split_u16(rest).map(|(code, message)| Self::Error { code, message: split_nul(message).0 }),
            OACK => Ok(Self::OptionAck { options: Options(rest) }),
            other => Err(PacketError::Opcode(other)),
        }
    }
}

impl<'a> Request<'a> {
    fn parse(body: &'a [u8]) -> Result<Self, PacketError> {
        let (name, rest) = split_nul(body);
        if name.is_empty() {
            return Err(PacketError::NoName);
        }
        let (mode, options) = split_nul(rest);
        let mode = [(&b"octet"[..], Mode::Octet), (b"netascii", Mode::Netascii), (b"mail", Mode::Mail)]
            .into_iter()
            .find_map(|(word, known)| mode.eq_ignore_ascii_case(word).then_some(known))
            .ok_or(PacketError::Mode)?;
        Ok(Self { name, mode, options: Options(options) })
    }
}

impl<'a> Options<'a> {
    /// The pairs, one by one.
    pub fn iter(self) -> Pairs<'a> {
        Pairs(self.0)
    }
}

impl<'a> IntoIterator for Options<'a> {
    type Item = (&'a [u8], &'a [u8]);
    type IntoIter = Pairs<'a>;

    fn into_iter(self) -> Pairs<'a> {
        self.iter()
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a [u8], &'a [u8]);

    /// The next pair; `None` at the end, at an empty name (padding), and at a name without a value.
    fn next(&mut self) -> Option<Self::Item> {
        let (name, rest) = split_nul(self.0);
        if name.is_empty() || rest.is_empty() {
            self.0 = &[];
            return None;
        }
        let (value, rest) = split_nul(rest);
        self.0 = rest;
        Some((name, value))
    }
}

/// The header of the DATA packet with this number.
pub fn data_header(block: u16) -> [u8; HEADER] {
    let ([_, data], [high, low]) = (DATA.to_be_bytes(), block.to_be_bytes());
    [0, data, high, low]
}

/// An ERROR packet; `message` is cut to what fits.
pub fn error(code: ErrorCode, message: &str) -> Vec<u8> {
    let mut end = message.len().min(MAX_MESSAGE);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    let mut packet = Vec::with_capacity(HEADER + end + 1);
    packet.extend_from_slice(&ERROR.to_be_bytes());
    packet.extend_from_slice(&(code as u16).to_be_bytes());
    packet.extend_from_slice(&message.as_bytes()[..end]);
    packet.push(0);
    packet
}

/// An OACK packet of these pairs.
pub fn option_ack<'a>(options: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Vec<u8> {
    let mut packet = OACK.to_be_bytes().to_vec();
    for text in options.flat_map(|(name, value)| [name, value]) {
        packet.extend_from_slice(text);
        packet.push(0);
    }
    packet
}

fn split_u16(bytes: &[u8]) -> Result<(u16, &[u8]), PacketError> {
    let (head, rest) = bytes.split_first_chunk().ok_or(PacketError::Short)?;
    Ok((u16::from_be_bytes(*head), rest))
}

/// What stands before the first NUL (all, if there is none), and what comes after it.
fn split_nul(bytes: &[u8]) -> (&[u8], &[u8]) {
    let mut parts = bytes.splitn(2, |byte| *byte == 0);
    (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Octet => "octet",
            Self::Netascii => "netascii",
            Self::Mail => "mail",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn request(datagram: &[u8]) -> Request<'_> {
        match Packet::parse(datagram) {
            Ok(Packet::Read(request)) => request,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn reads_a_request_with_its_options_as_they_were_written() {
        let request = request(b"\0\x01boot/snponly.efi\0OcTeT\0blksize\x001432\0TSIZE\x000\0");
        assert_eq!((request.name, request.mode), (&b"boot/snponly.efi"[..], Mode::Octet));
        let pairs: Vec<_> = request.options.iter().collect();
        assert_eq!(pairs, [(&b"blksize"[..], &b"1432"[..]), (b"TSIZE", b"0")]);
    }

    #[test]
    fn survives_what_firmware_gets_wrong() {
        assert_eq!(request(b"\0\x01f\0octet").mode, Mode::Octet, "no NUL at the end");
        assert_eq!(request(b"\0\x01f\0octet\0\0\0\0\0").options.iter().count(), 0, "NULs after the request");
        assert_eq!(request(b"\0\x01f\0octet\0blksize\0").options.iter().count(), 0, "a name without a value");
        assert_eq!(request(b"\0\x01f\0octet\0blksize\x00512\0tsize").options.iter().count(), 1, "half a pair");
        assert_eq!(request(b"\0\x01\xff\xfe\0octet\0").name, b"\xff\xfe", "a name that is not UTF-8");
        assert_eq!(Packet::parse(b"\0\x04\0\x07padding"), Ok(Packet::Ack { block: 7 }));
        assert_eq!(Packet::parse(b"\0\x05\0\x08no"), Ok(Packet::Error { code: 8, message: b"no" }));
    }

    #[test]
    fn says_what_is_wrong_with_a_packet() {
        for (datagram, message) in [
            (&b""[..], "the packet is cut short"),
            (b"\0", "the packet is cut short"),
            (b"\0\x04\0", "the packet is cut short"),
            (b"\0\x09", "the opcode 9 is not known"),
            (b"\0\x01", "the request names no file"),
            (b"\0\x01\0octet\0", "the request names no file"),
            (b"\0\x01f\0", "the transfer mode is not known; use octet or netascii"),
            (b"\0\x01f\0binary\0", "the transfer mode is not known; use octet or netascii"),
        ] {
            assert_eq!(Packet::parse(datagram).unwrap_err().to_string(), message, "{datagram:?}");
        }
    }

    #[test]
    fn cuts_a_message_between_characters() {
        let packet = error(ErrorCode::NotFound, &"ü".repeat(400));
        assert_eq!(packet.len(), HEADER + 510 + 1);
        let Ok(Packet::Error { code: 1, message }) = Packet::parse(&packet) else { panic!() };
        assert_eq!(std::str::from_utf8(message).unwrap(), "ü".repeat(255));
    }

    proptest! {
        #[test]
        fn no_datagram_makes_it_panic(opcode in 0u16..8, body in proptest::collection::vec(any::<u8>(), 0..80)) {
            let datagram = [&opcode.to_be_bytes()[..], &body].concat();
            if let Ok(Packet::Read(request) | Packet::Write(request)) = Packet::parse(&datagram) {
                prop_assert!(!request.name.is_empty() && !request.name.contains(&0));
                prop_assert!(request.options.iter().count() <= datagram.len() / 2);
            }
            let _ = Packet::parse(&body);
        }

        #[test]
        fn what_is_written_is_read_again(
            block in any::<u16>(),
            pairs in proptest::collection::vec(("[a-zA-Z]{1,9}", "[0-9]{1,9}"), 0..6),
            message in "\\PC{0,90}",
        ) {
            let packet = data_header(block);
            prop_assert_eq!(Packet::parse(&packet), Ok(Packet::Data { block, payload: &[] }));
            let packet = option_ack(pairs.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())));
            let Ok(Packet::OptionAck { options }) = Packet::parse(&packet) else { panic!() };
            let read: Vec<_> = options.iter().map(|(n, v)| (n.to_vec(), v.to_vec())).collect();
            let written: Vec<_> = pairs.into_iter().map(|(n, v)| (n.into_bytes(), v.into_bytes())).collect();
            prop_assert_eq!(read, written);
            let packet = error(ErrorCode::Undefined, &message);
            prop_assert_eq!(Packet::parse(&packet), Ok(Packet::Error { code: 0, message: message.as_bytes() }));
        }
    }
}
