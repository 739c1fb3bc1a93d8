//! SMBIOS UUIDs, equal in either byte order.

#[cfg(test)]
mod tests;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::hex;

/// An SMBIOS UUID.
///
/// SMBIOS 2.6 (7.2.1) swaps the bytes of the first three fields, older firmware does not, and tools show either form. Two
/// UUIDs are therefore equal if they are equal in either byte order.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Uuid(pub [u8; 16]);

/// The text is not a UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a UUID has 32 hexadecimal digits, such as 4c4c4544-0042-3110-8043-b2c04f564232")]
pub struct UuidError;

impl Uuid {
    /// Returns the UUID in the other byte order: the first three fields swapped (SMBIOS 2.6, 7.2.1).
    #[must_use]
    pub fn swapped(&self) -> Self {
        let mut bytes = self.0;
        for field in [0..4, 4..6, 6..8] {
            bytes[field].reverse();
        }
        Self(bytes)
    }

    /// The byte order that represents both in comparisons and hashes.
    fn canonical(&self) -> [u8; 16] {
        self.0.min(self.swapped().0)
    }

    /// Whether a machine can have this UUID. All zeros and all ones stand for "no UUID".
    pub(super) fn is_real(&self) -> bool {
        self.0 != [0; 16] && self.0 != [0xff; 16]
    }
}

impl PartialEq for Uuid {
    fn eq(&self, other: &Self) -> bool {
        self.canonical() == other.canonical()
    }
}

impl Eq for Uuid {}

impl Hash for Uuid {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.canonical().hash(state);
    }
}

impl FromStr for Uuid {
    type Err = UuidError;

    /// Accepts either case, with hyphens (RFC 9562 4) or without, in braces or not.
    fn from_str(text: &str) -> Result<Self, UuidError> {
        let text = text.trim();
        let text = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or(text);
        let groups: Vec<&str> = text.split('-').collect();
        let lengths: Vec<usize> = groups.iter().map(|group| group.len()).collect();
        if !matches!(lengths.as_slice(), [32] | [8, 4, 4, 4, 12]) {
            return Err(UuidError);
        }
        hex::decode(&groups.concat()).map(Self).ok_or(UuidError)
    }
}

impl fmt::Display for Uuid {
    /// Lower-case hexadecimal digits with hyphens (RFC 9562 4), in the byte order in which it was given.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            let hyphen = if matches!(at, 4 | 6 | 8 | 10) { "-" } else { "" };
            write!(f, "{hyphen}{byte:02x}")?;
        }
        Ok(())
    }
}

impl From<Uuid> for String {
    fn from(uuid: Uuid) -> Self {
        uuid.to_string()
    }
}

impl TryFrom<String> for Uuid {
    type Error = UuidError;

    fn try_from(text: String) -> Result<Self, UuidError> {
        text.parse()
    }
}
