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

impl fmt::Display for Mac {
    /// Six pairs of lower-case hex digits with colons between them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}
