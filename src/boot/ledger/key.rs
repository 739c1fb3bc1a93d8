//! By what the ledger knows a machine.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::boot::Mac;

/// Who a machine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(super) enum Key {
    /// By its network card.
    Mac(Mac),
    /// By its address, as long as nobody told its MAC.
    Address(IpAddr),
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mac(mac) => mac.fmt(f),
            Self::Address(address) => address.fmt(f),
        }
    }
}

impl FromStr for Key {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // No address is also a MAC in any of its spellings.
        text.parse()
            .map(Self::Mac)
            .or_else(|_| text.parse().map(Self::Address))
            .map_err(|_| format!("{text:?} is neither a MAC nor an address"))
    }
}

impl From<Key> for String {
    fn from(key: Key) -> Self {
        key.to_string()
    }
}

impl TryFrom<String> for Key {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_is_written() {
        for text in ["24:6e:96:00:00:01", "192.0.2.7", "2001:db8::7", "::1"] {
            assert_eq!(text.parse::<Key>().unwrap().to_string(), text);
        }
        assert_eq!("246E.9600.0001".parse::<Key>().unwrap().to_string(), "24:6e:96:00:00:01");
        assert_eq!("r630-01".parse::<Key>().unwrap_err(), "\"r630-01\" is neither a MAC nor an address");
    }
}
