//! Why the proxyDHCP server cannot start.

use std::io;

use super::reply::ServerPort;

/// Why the proxyDHCP server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum DhcpError {
    /// The interface does not exist.
    #[error("[dhcp] interface {interface:?} does not exist on this machine; it has {}", list(.known))]
    Interface {
        /// The configured interface.
        interface: String,
        /// The interfaces that have an IPv4 address.
        known: Vec<String>,
    },
    /// A port cannot be bound.
    #[error("cannot listen for DHCP requests on {interface}, port {port}{}", remedy(*port, .source))]
    Bind {
        /// The interface.
        interface: String,
        /// The port.
        port: u16,
        /// The system's error.
        source: io::Error,
    },
}

fn list(known: &[String]) -> String {
    if known.is_empty() { "no interface with an IPv4 address".to_owned() } else { known.join(", ") }
}

/// Advice about a port that cannot be bound, which ends the message; empty if the source says it all.
fn remedy(port: u16, error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse if port == ServerPort::Dhcp.number() => {
            ": a DHCP server on this machine does not share the port; dnsmasq shares it with bind-dynamic or \
             bind-interfaces. Or set [dhcp] mode = \"off\" and let that server name the boot file: bootdepot dhcp-config"
        }
        io::ErrorKind::AddrInUse => {
            ": another proxyDHCP server runs on this machine; stop it, or set [dhcp] mode = \"off\""
        }
        io::ErrorKind::PermissionDenied => {
            ": this needs the capabilities CAP_NET_BIND_SERVICE and CAP_NET_RAW (systemd: AmbientCapabilities=)"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    #[test]
    fn error_text_says_next_step() {
        let missing = DhcpError::Interface { interface: "eno9".into(), known: vec!["lo".into(), "eno1".into()] };
        assert_snapshot!(missing, @r#"[dhcp] interface "eno9" does not exist on this machine; it has lo, eno1"#);
        let bind = |port, kind: io::ErrorKind| DhcpError::Bind { interface: "eno1".into(), port, source: kind.into() };
        assert_snapshot!(bind(67, io::ErrorKind::AddrInUse), @r#"cannot listen for DHCP requests on eno1, port 67: a DHCP server on this machine does not share the port; dnsmasq shares it with bind-dynamic or bind-interfaces. Or set [dhcp] mode = "off" and let that server name the boot file: bootdepot dhcp-config"#);
        assert_snapshot!(bind(4011, io::ErrorKind::AddrInUse), @r#"cannot listen for DHCP requests on eno1, port 4011: another proxyDHCP server runs on this machine; stop it, or set [dhcp] mode = "off""#);
        assert_snapshot!(bind(67, io::ErrorKind::PermissionDenied), @"cannot listen for DHCP requests on eno1, port 67: this needs the capabilities CAP_NET_BIND_SERVICE and CAP_NET_RAW (systemd: AmbientCapabilities=)");
    }
}
