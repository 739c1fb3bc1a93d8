//! MAC addresses, parsed from every spelling in common use.

#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::hex;

/// An Ethernet address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Mac(pub [u8; 6]);

/// The text is not a MAC address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a MAC address has twelve hexadecimal digits, such as 24:6e:96:00:00:01, 24-6e-96-00-00-01 or 246e.9600.0001")]
pub struct MacError;

impl Mac {
    /// Whether a network card can have this address. All zeros and all ones stand for "no address".
    pub(super) fn is_real(self) -> bool {
        self.0 != [0; 6] && self.0 != [0xff; 6]
    }
}

impl FromStr for Mac {
    type Err = MacError;

    /// Accepts pairs with colons or dashes, groups of four with dots, and no separator, in either case. PXELINUX and GRUB
    /// prefix the hardware type (`01-24-6e-…`; 1 is Ethernet in ARP, RFC 826), which is skipped.
    fn from_str(text: &str) -> Result<Self, MacError> {
        let text = text.trim();
        let separator = text.chars().find(|c| matches!(c, ':' | '-' | '.'));
        let mut groups: Vec<&str> = match separator {
            Some(separator) => text.split(separator).collect(),
            None => vec![text],
        };
        if let ["01", rest @ ..] = groups.as_slice()
            && rest.len() == 6
        {
            groups = rest.to_vec();
        }
        let width = match groups.len() {
            1 => 12,
            2 => 6,
            3 => 4,
            6 => 2,
            _ => return Err(MacError),
        };
        // Some tools omit the leading zero of a pair.
        let complete = |group: &&str| group.len() == width || (width == 2 && group.len() == 1);
        if !groups.iter().all(complete) {
            return Err(MacError);
        }
        let digits: Vec<String> = groups.iter().map(|group| format!("{group:0>width$}")).collect();
        hex::decode(&digits.concat()).map(Self).ok_or(MacError)
    }
}

impl fmt::Display for Mac {
    /// Six pairs of lower-case hexadecimal digits, separated by colons.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            let colon = if at == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02x}")?;
        }
        Ok(())
    }
}

impl From<Mac> for String {
    fn from(mac: Mac) -> Self {
        mac.to_string()
    }
}

impl TryFrom<String> for Mac {
    type Error = MacError;

    fn try_from(text: String) -> Result<Self, MacError> {
        text.parse()
    }
}
