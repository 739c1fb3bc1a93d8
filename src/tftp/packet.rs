//! The TFTP wire format: parses packets in place and encodes them. It knows nothing of transfers.

/// The size of a DATA packet's header: opcode and block number (RFC 1350 5).
pub const HEADER: usize = 4;

/// The longest ERROR message that is sent, in bytes: the packet then fits the smallest buffer that a client may have (512
/// bytes of data and a header, RFC 1350).
const MAX_ERROR_MESSAGE: usize = 511;

const RRQ: u16 = 1;
const WRQ: u16 = 2;
const DATA: u16 = 3;
const ACK: u16 = 4;
const ERROR: u16 = 5;
const OACK: u16 = 6;

/// A packet, borrowed from its datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packet<'a> {
    /// A read request (RRQ).
    Read(Request<'a>),
    /// A write request (WRQ).
    Write(Request<'a>),
    /// A block of a file (DATA).
    Data {
        /// The block number, modulo 65,536.
        block: u16,
        /// The bytes of the block.
        payload: &'a [u8],
    },
    /// An acknowledgement of all blocks up to this one, or of the OACK if the number is 0 (ACK).
    Ack {
        /// The block number, modulo 65,536.
        block: u16,
    },
    /// The end of a transfer, or the refusal of a request (ERROR).
    Error {
        /// The error code (RFC 1350 5, RFC 2347).
        code: u16,
        /// The message, in no known encoding.
        message: &'a [u8],
    },
    /// The options that the server accepts (OACK, RFC 2347).
    OptionAck {
        /// The accepted options.
        options: Options<'a>,
    },
}

/// A read or write request, borrowed from its datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    /// The file name, in no known encoding; never empty.
    pub name: &'a [u8],
    /// The transfer mode.
    pub mode: TransferMode,
    /// The requested options.
    pub options: Options<'a>,
}

/// How the bytes of a file are encoded on the wire (RFC 1350 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::Display, strum::EnumString)]
#[strum(serialize_all = "lowercase", ascii_case_insensitive)]
pub enum TransferMode {
    /// Unchanged.
    Octet,
    /// As text with the line ends of RFC 764.
    Netascii,
    /// Sent to a user rather than a file: obsolete.
    Mail,
}

/// Option names and values (RFC 2347), in their order on the wire. Two are equal if their bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options<'a>(&'a [u8]);

/// Iterates over the pairs of [`Options`].
#[derive(Debug, Clone)]
pub struct OptionPairs<'a>(&'a [u8]);

/// The error codes that this server sends (RFC 1350 5, RFC 2347).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub enum ErrorCode {
    /// Not defined; the message describes the error.
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

/// Why a datagram is not a valid TFTP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// It is shorter than its opcode requires.
    #[error("the packet is too short")]
    TooShort,
    /// The opcode is in no RFC.
    #[error("unknown opcode {0}")]
    UnknownOpcode(u16),
    /// A request has no file name.
    #[error("the request has no file name")]
    NoFileName,
    /// A request has no transfer mode, or one that is in no RFC.
    #[error("unknown transfer mode; use octet or netascii")]
    UnknownMode,
}

impl<'a> Packet<'a> {
    /// Parses a datagram. Accepts the harmless mistakes of firmware: a missing NUL at the end, NULs or half an option
    /// pair after a request, bytes after an ACK.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, PacketError> {
        let (opcode, rest) = split_u16(datagram)?;
        match opcode {
            RRQ => Request::parse(rest).map(Self::Read),
            WRQ => Request::parse(rest).map(Self::Write),
            DATA => split_u16(rest).map(|(block, payload)| Self::Data { block, payload }),
            ACK => split_u16(rest).map(|(block, _)| Self::Ack { block }),
            ERROR => split_u16(rest).map(|(code, message)| Self::Error { code, message: split_nul(message).0 }),
            OACK => Ok(Self::OptionAck { options: Options(rest) }),
            other => Err(PacketError::UnknownOpcode(other)),
        }
    }
}

impl<'a> Request<'a> {
    fn parse(body: &'a [u8]) -> Result<Self, PacketError> {
        let (name, rest) = split_nul(body);
        if name.is_empty() {
            return Err(PacketError::NoFileName);
        }
        let (mode, options) = split_nul(rest);
        let mode = std::str::from_utf8(mode).ok().and_then(|mode| mode.parse().ok()).ok_or(PacketError::UnknownMode)?;
        Ok(Self { name, mode, options: Options(options) })
    }
}

impl<'a> Options<'a> {
    /// The options in these bytes: NUL-terminated names and values in turn.
    pub(super) fn from_bytes(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The bytes on the wire.
    pub(super) fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// Iterates over the pairs.
    pub fn iter(self) -> OptionPairs<'a> {
        OptionPairs(self.0)
    }
}

impl<'a> IntoIterator for Options<'a> {
    type Item = (&'a [u8], &'a [u8]);
    type IntoIter = OptionPairs<'a>;

    fn into_iter(self) -> OptionPairs<'a> {
        self.iter()
    }
}

impl<'a> Iterator for OptionPairs<'a> {
    type Item = (&'a [u8], &'a [u8]);

    /// The next pair. `None` at the end, at an empty name (padding), and at a name without a value.
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

/// The header of the DATA packet with this block number.
pub fn data_header(block: u16) -> [u8; HEADER] {
    let ([_, data], [high, low]) = (DATA.to_be_bytes(), block.to_be_bytes());
    [0, data, high, low]
}

/// Encodes an ERROR packet. Truncates `message` to what fits.
pub fn error(code: ErrorCode, message: &str) -> Vec<u8> {
    let mut end = message.len().min(MAX_ERROR_MESSAGE);
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

/// Encodes an OACK packet with these names and values.
pub fn option_ack<'a>(options: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Vec<u8> {
    let mut packet = OACK.to_be_bytes().to_vec();
    for text in options.flat_map(|(name, value)| [name, value]) {
        packet.extend_from_slice(text);
        packet.push(0);
    }
    packet
}

fn split_u16(bytes: &[u8]) -> Result<(u16, &[u8]), PacketError> {
    let (head, rest) = bytes.split_first_chunk().ok_or(PacketError::TooShort)?;
    Ok((u16::from_be_bytes(*head), rest))
}

/// Splits at the first NUL. Without a NUL the second part is empty.
fn split_nul(bytes: &[u8]) -> (&[u8], &[u8]) {
    let mut parts = bytes.splitn(2, |byte| *byte == 0);
    (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
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
    fn request_keeps_option_names_as_written() {
        let request = request(b"\0\x01boot/snponly.efi\0OcTeT\0blksize\x001432\0TSIZE\x000\0");
        assert_eq!((request.name, request.mode), (&b"boot/snponly.efi"[..], TransferMode::Octet));
        let pairs: Vec<_> = request.options.iter().collect();
        assert_eq!(pairs, [(&b"blksize"[..], &b"1432"[..]), (b"TSIZE", b"0")]);
    }

    #[test]
    fn malformed_firmware_packets_are_accepted() {
        assert_eq!(request(b"\0\x01f\0octet").mode, TransferMode::Octet, "no NUL at the end");
        assert_eq!(request(b"\0\x01f\0octet\0\0\0\0\0").options.iter().count(), 0, "NULs after the request");
        assert_eq!(request(b"\0\x01f\0octet\0blksize\0").options.iter().count(), 0, "a name without a value");
        assert_eq!(request(b"\0\x01f\0octet\0blksize\x00512\0tsize").options.iter().count(), 1, "half a pair");
        assert_eq!(request(b"\0\x01\xff\xfe\0octet\0").name, b"\xff\xfe", "a name that is not UTF-8");
        assert_eq!(Packet::parse(b"\0\x04\0\x07padding"), Ok(Packet::Ack { block: 7 }));
        assert_eq!(Packet::parse(b"\0\x05\0\x08no"), Ok(Packet::Error { code: 8, message: b"no" }));
    }

    #[test]
    fn invalid_packet_names_its_error() {
        for (datagram, message) in [
            (&b""[..], "the packet is too short"),
            (b"\0", "the packet is too short"),
            (b"\0\x04\0", "the packet is too short"),
            (b"\0\x09", "unknown opcode 9"),
            (b"\0\x01", "the request has no file name"),
            (b"\0\x01\0octet\0", "the request has no file name"),
            (b"\0\x01f\0", "unknown transfer mode; use octet or netascii"),
            (b"\0\x01f\0binary\0", "unknown transfer mode; use octet or netascii"),
        ] {
            assert_eq!(Packet::parse(datagram).unwrap_err().to_string(), message, "{datagram:?}");
        }
    }

    #[test]
    fn error_message_truncated_at_char_boundary() {
        let packet = error(ErrorCode::NotFound, &"ü".repeat(400));
        assert_eq!(packet.len(), HEADER + 510 + 1);
        let Ok(Packet::Error { code: 1, message }) = Packet::parse(&packet) else { panic!() };
        assert_eq!(std::str::from_utf8(message).unwrap(), "ü".repeat(255));
    }

    proptest! {
        #[test]
        fn arbitrary_datagram_never_panics(opcode in 0u16..8, body in proptest::collection::vec(any::<u8>(), 0..80)) {
            let datagram = [&opcode.to_be_bytes()[..], &body].concat();
            if let Ok(Packet::Read(request) | Packet::Write(request)) = Packet::parse(&datagram) {
                prop_assert!(!request.name.is_empty() && !request.name.contains(&0));
                prop_assert!(request.options.iter().count() <= datagram.len() / 2);
            }
            let _ = Packet::parse(&body);
        }

        #[test]
        fn encoded_packet_parses_back(
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
