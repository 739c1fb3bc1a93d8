//! What a request says of the machine that made it. All of it is the client's word.

use std::fmt;

/// An Ethernet address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mac(pub [u8; 6]);

/// A UUID as SMBIOS has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Uuid(pub [u8; 16]);

/// What is known of a machine. Texts are as the client wrote them, cut to a bounded length.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Machine {
    /// The address of the network card it boots from.
    pub mac: Option<Mac>,
    /// The SMBIOS UUID.
    pub uuid: Option<Uuid>,
    /// The serial number; Dell's service tag.
    pub serial: Option<String>,
    /// The asset tag.
    pub asset_tag: Option<String>,
    /// The name that DHCP gave it.
    pub hostname: Option<String>,
    /// iPXE's `buildarch`: `i386`, `x86_64`, `arm64`.
    pub buildarch: Option<String>,
    /// iPXE's `platform`: `pcbios` or `efi`.
    pub platform: Option<String>,
}

impl Machine {
    /// What the query of a request target says: `mac=`, `uuid=`, `serial=`, `asset=`, `hostname=`, `buildarch=`, `platform=`.
    pub fn from_query(query: &str) -> Self {
        let _ = query;
        Self::default()
    }
}

impl std::str::FromStr for Mac {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits: Vec<u8> = text.bytes().filter(|b| !b":-.".contains(b)).collect();
        let mut mac = [0; 6];
        for (byte, pair) in mac.iter_mut().zip(digits.chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|e| e.to_string())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|e| e.to_string())?;
        }
        if digits.len() == 12 { Ok(Self(mac)) } else { Err("not twelve hex digits".to_owned()) }
    }
}

impl fmt::Display for Mac {
    /// Six pairs of lower-case hex digits with colons between them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}
