//! Hexadecimal digits to bytes, for MAC addresses and UUIDs.

/// Decodes exactly `LENGTH` bytes; `None` if `digits` has another length or holds anything but hexadecimal digits.
pub(super) fn decode<const LENGTH: usize>(digits: &str) -> Option<[u8; LENGTH]> {
    if digits.len() != LENGTH * 2 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; LENGTH];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digits[at * 2..at * 2 + 2], 16).ok()?;
    }
    Some(bytes)
}
