//! The netascii encoding (RFC 1350 1, RFC 764): LF becomes CR LF, and CR becomes CR NUL. Each byte is encoded on its own,
//! so the chunks of a file can be encoded separately.

use bytes::Bytes;

/// Encodes `text` as netascii.
pub(super) fn encode(text: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(text.len() + text.len() / 16);
    for byte in text {
        match byte {
            b'\n' => out.extend_from_slice(b"\r\n"),
            b'\r' => out.extend_from_slice(b"\r\0"),
            other => out.push(*other),
        }
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::encode;
    use proptest::prelude::*;

    #[test]
    fn line_ends_encoded_per_rfc() {
        assert_eq!(&encode(b"a\nb\rc\r\n")[..], b"a\r\nb\r\0c\r\0\r\n");
    }

    proptest! {
        #[test]
        fn chunks_encode_separately_and_decode(text in "[a\r\n\0]{0,40}", cut in 0usize..40) {
            let text = text.as_bytes();
            let (head, tail) = text.split_at(cut.min(text.len()));
            let whole = encode(text);
            prop_assert_eq!(&[&encode(head)[..], &encode(tail)[..]].concat(), &whole);
            let mut back = Vec::new();
            let mut bytes = whole.iter();
            while let Some(byte) = bytes.next() {
                back.push(match byte {
                    b'\r' if bytes.next() == Some(&b'\n') => b'\n',
                    other => *other,
                });
            }
            prop_assert_eq!(back, text);
        }
    }
}
