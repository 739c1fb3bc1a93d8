//! The netascii mode (RFC 1350 1, RFC 764): LF goes out as CR LF, CR as CR NUL. Each byte stands for itself, so pieces
//! of a file can be converted one by one.

use bytes::Bytes;

/// `text` as netascii.
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
    fn writes_line_ends_as_the_rfc_does() {
        assert_eq!(&encode(b"a\nb\rc\r\n")[..], b"a\r\nb\r\0c\r\0\r\n");
    }

    proptest! {
        #[test]
        fn can_be_converted_back_and_piece_by_piece(text in "[a\r\n\0]{0,40}", cut in 0usize..40) {
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
