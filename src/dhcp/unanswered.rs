//! Requests that look like those of firmware and get no answer: the reasons, and what to do.

use tracing::{debug, warn};

use super::platform::Platform;
use crate::boot::Mac;

/// The reason why a request that looks like one for a boot file gets no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unanswered {
    /// It comes from another kind of network than Ethernet: the hardware type (RFC 2131 2, `htype`).
    HardwareType(u8),
    /// It has no architecture (option 93).
    NoArchitecture,
    /// Its vendor class (option 60) is neither `PXEClient` nor `HTTPClient`.
    UnknownClass,
    /// A relay forwarded it, and `[dhcp] relays` is off.
    Relayed,
    /// No boot file is configured for its architecture.
    NoBootFile {
        /// The architecture (option 93).
        architecture: u16,
        /// Whether its vendor class is `HTTPClient` rather than `PXEClient`.
        http: bool,
    },
}

impl Unanswered {
    /// Writes the log line: a warning the first time, when `first` is set.
    pub(super) fn log(self, mac: Option<Mac>, first: bool) {
        let mac = mac.map(|mac| mac.to_string());
        if !first {
            debug!(mac, reason = ?self, "DHCP request not answered");
            return;
        }
        match self {
            Self::HardwareType(hardware_type) => {
                warn!(mac, hardware_type, "DHCP request not answered: only Ethernet (type 1) is");
            }
            Self::NoArchitecture => warn!(
                mac,
                "DHCP request not answered: it has no architecture (option 93); let the DHCP server name the boot file \
                 (bootdepot dhcp-config)"
            ),
            Self::UnknownClass => warn!(
                mac,
                "DHCP request not answered: its vendor class (option 60) is neither PXEClient nor HTTPClient; let the DHCP \
                 server name the boot file (bootdepot dhcp-config)"
            ),
            Self::Relayed => {
                warn!(mac, "DHCP request not answered: a relay forwarded it; set relays = true in [dhcp]");
            }
            Self::NoBootFile { architecture, http } => Self::log_missing_file(mac.as_deref(), architecture, http),
        }
    }

    fn log_missing_file(mac: Option<&str>, architecture: u16, http: bool) {
        let class = if http { "HTTPClient" } else { "PXEClient" };
        match Platform::from_architecture(architecture) {
            Some(platform) if platform.boots_over_http() == http => {
                let arch = platform.name();
                warn!(mac, architecture, arch, "no boot file for this architecture; name one in [dhcp.nbp]");
            }
            // Which of the two is wrong, only the operator can say.
            Some(platform) => warn!(
                mac,
                architecture,
                arch = platform.name(),
                class,
                "vendor class and architecture disagree; name a boot file for the number in [dhcp.nbp]"
            ),
            None => warn!(
                mac,
                architecture,
                arch = "unknown",
                class,
                "no boot file for this architecture; name one for its number in [dhcp.nbp]"
            ),
        }
    }
}
