//! The framing of a `multipart/byteranges` body (RFC 9110 14.6): part headers, final boundary and total length. Pure; it does
//! not read the bytes of the parts.

use bytes::Bytes;

use crate::asset::ByteRange;

/// A `multipart/byteranges` body without the bytes of its parts.
pub(super) struct Multipart {
    /// The header of each part, and the range of its bytes.
    pub(super) parts: Vec<(Bytes, ByteRange)>,
    /// The final boundary.
    pub(super) end: Bytes,
    content_type: String,
}

impl Multipart {
    /// Builds the framing for `ranges` of an asset of `size` bytes with the media type `content_type`. The `boundary` (RFC
    /// 2046 5.1.1: up to 70 letters and digits) must not occur in the asset.
    pub(super) fn new(ranges: Vec<ByteRange>, size: u64, content_type: &str, boundary: &str) -> Self {
        let head = |range: &ByteRange| {
            format!("\r\n--{boundary}\r\nContent-Type: {content_type}\r\nContent-Range: bytes {range}/{size}\r\n\r\n")
        };
        Self {
            parts: ranges.into_iter().map(|range| (Bytes::from(head(&range)), range)).collect(),
            end: format!("\r\n--{boundary}--\r\n").into(),
            content_type: format!("multipart/byteranges; boundary={boundary}"),
        }
    }

    /// Returns the media type of the whole body.
    pub(super) fn content_type(&self) -> &str {
        &self.content_type
    }

    /// Returns the length of the whole body in bytes.
    pub(super) fn length(&self) -> u64 {
        let parts = self.parts.iter().map(|(head, range)| head.len() as u64 + range.len());
        parts.sum::<u64>() + self.end.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn framing_matches_rfc_example() {
        let frame = Multipart::new(vec![ByteRange::new(0, 2), ByteRange::new(7, 8)], 10, "text/plain", "THIS");
        assert_eq!(frame.content_type(), "multipart/byteranges; boundary=THIS");
        assert_eq!(frame.parts[1].0, "\r\n--THIS\r\nContent-Type: text/plain\r\nContent-Range: bytes 7-7/10\r\n\r\n");
        assert_eq!(frame.end, "\r\n--THIS--\r\n");
    }

    proptest! {
        #[test]
        fn length_matches_written_body(
            starts in proptest::collection::vec((0usize..900, 1usize..100), 1..16),
            content_type in "[a-z]{1,9}/[a-z]{1,9}",
        ) {
            let data: Vec<u8> = (0..1000u32).map(|n| (n % 251) as u8).collect();
            let ranges: Vec<_> = starts.iter().map(|&(at, length)| ByteRange::new(at as u64, (at + length) as u64)).collect();
            let frame = Multipart::new(ranges, 1000, &content_type, "b0undary");
            let mut body = Vec::new();
            for (head, range) in &frame.parts {
                body.extend_from_slice(head);
                body.extend_from_slice(&data[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()]);
            }
            body.extend_from_slice(&frame.end);
            prop_assert_eq!(frame.length(), body.len() as u64);
        }
    }
}
