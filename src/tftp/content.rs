//! What a request's name means: an asset, or a script that is made for who asks.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::boot::{Boot, Mac, Machine, RequestContext};
use crate::catalog::Asset;

/// What goes out.
pub(super) enum Content {
    /// An asset.
    Asset(Arc<Asset>),
    /// A script, for this visit.
    Script(Script, RequestContext),
}

impl Content {
    /// What the log calls it.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Asset(asset) => asset.name.as_str(),
            Self::Script(script, _) => script.name(),
        }
    }
}

/// A script that a name asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Script {
    /// iPXE's entry script, under the name that was asked for.
    Entry(&'static str),
    /// GRUB's configuration for a machine of which this is known.
    Grub(Box<Machine>),
}

impl Script {
    /// The script that `name` asks for, in whichever directory: iPXE looks for `autoexec.ipxe` beside its own file, and
    /// GRUB for `grub.cfg` below its prefix, for `grub.cfg-01-` and its card's address first.
    pub(super) fn of(name: &str) -> Option<Self> {
        match name.rsplit('/').next()? {
            "autoexec.ipxe" => Some(Self::Entry("autoexec.ipxe")),
            "boot.ipxe" => Some(Self::Entry("boot.ipxe")),
            "grub.cfg" => Some(Self::Grub(Box::default())),
            file => {
                let mac = file.strip_prefix("grub.cfg-01-")?.parse::<Mac>().ok()?;
                Some(Self::Grub(Box::new(Machine { mac: Some(mac), ..Machine::default() })))
            }
        }
    }

    /// Its text for this visit.
    pub(super) fn text(&self, boot: &Boot, visit: &RequestContext) -> String {
        match self {
            Self::Entry(_) => boot.ipxe_entry(visit),
            Self::Grub(machine) => boot.grub_config(machine, visit),
        }
    }

    /// What the log calls it. None of it is the client's text.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Entry(name) => name,
            Self::Grub(_) => "grub.cfg",
        }
    }
}

/// The base of the URLs in scripts that go out over TFTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base {
    /// The one that the operator set.
    Url(String),
    /// The address that was asked, with this port of the HTTP server.
    Port(u16),
}

impl Base {
    /// The base for a client that asked this address. HTTP's own port is left out: GRUB before 2.12 takes `ADDRESS:PORT`
    /// for a name that it cannot resolve.
    pub(super) fn url(&self, asked: IpAddr) -> String {
        match (self, asked.to_canonical()) {
            (Self::Url(url), _) => url.clone(),
            (Self::Port(80), IpAddr::V4(asked)) => format!("http://{asked}"),
            (Self::Port(80), IpAddr::V6(asked)) => format!("http://[{asked}]"),
            (Self::Port(port), asked) => format!("http://{}", SocketAddr::new(asked, *port)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_asked_for_in_any_directory() {
        let nothing = || Some(Script::Grub(Box::default()));
        let mac = Some("52:54:00:12:34:56".parse().unwrap());
        let known = Some(Script::Grub(Box::new(Machine { mac, ..Machine::default() })));
        for (name, script) in [
            ("boot.ipxe", Some(Script::Entry("boot.ipxe"))),
            ("boot/autoexec.ipxe", Some(Script::Entry("autoexec.ipxe"))),
            ("grub/grub.cfg", nothing()),
            ("grub/x86_64-efi/grub.cfg", nothing()),
            ("grub/grub.cfg-01-52-54-00-12-34-56", known),
            ("grub/grub.cfg-C0A80001", None),
            ("grub/x86_64-efi/command.lst", None),
            ("", None),
        ] {
            assert_eq!(Script::of(name), script, "{name}");
        }
    }

    #[test]
    fn urls_lead_to_the_address_that_was_asked() {
        let url = |asked: &str, port| Base::Port(port).url(asked.parse().unwrap());
        assert_eq!(url("::ffff:10.0.0.1", 8080), "http://10.0.0.1:8080");
        assert_eq!(url("fd00::1", 8080), "http://[fd00::1]:8080");
        assert_eq!(url("::ffff:10.0.0.1", 80), "http://10.0.0.1");
        assert_eq!(url("fd00::1", 80), "http://[fd00::1]");
        assert_eq!(Base::Url("http://boot.lab".into()).url([10, 0, 0, 1].into()), "http://boot.lab");
    }
}
