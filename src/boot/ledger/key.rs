//! How the ledger identifies a machine.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::boot::mac::Mac;

/// The identity of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(super) enum MachineKey {
    /// By the MAC of its network card.
    Mac(Mac),
    /// By its address, until its MAC is known.
    Address(IpAddr),
}

impl MachineKey {
    /// The MAC, if known.
    pub(super) fn mac(self) -> Option<Mac> {
        match self {
            Self::Mac(mac) => Some(mac),
            Self::Address(_) => None,
        }
    }
}

impl fmt::Display for MachineKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mac(mac) => mac.fmt(f),
            Self::Address(address) => address.fmt(f),
        }
    }
}

impl FromStr for MachineKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // No IP address is also a spelling of a MAC.
        text.parse()
            .map(Self::Mac)
            .or_else(|_| text.parse().map(Self::Address))
            .map_err(|_| format!("{text:?} is neither a MAC nor an IP address"))
    }
}

impl From<MachineKey> for String {
    fn from(key: MachineKey) -> Self {
        key.to_string()
    }
}

impl TryFrom<String> for MachineKey {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machine_key_display_round_trips() {
        for text in ["24:6e:96:00:00:01", "192.0.2.7", "2001:db8::7", "::1"] {
            assert_eq!(text.parse::<MachineKey>().unwrap().to_string(), text);
        }
        assert_eq!("246E.9600.0001".parse::<MachineKey>().unwrap().to_string(), "24:6e:96:00:00:01");
        assert_eq!("r630-01".parse::<MachineKey>().unwrap_err(), "\"r630-01\" is neither a MAC nor an IP address");
    }
}
