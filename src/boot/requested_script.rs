//! The script that a requested name refers to. The names are those that boot loaders ask for by themselves, over any protocol and in
//! any directory.

use super::facade::Boot;
use super::mac::Mac;
use super::machine::Machine;
use super::request_context::RequestContext;

/// The directory of configurations for PXELINUX, `syslinux.efi` and U-Boot.
const PXELINUX_DIRECTORY: &str = "pxelinux.cfg";

/// A script that a name refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestedScript {
    /// The entry script of iPXE, under the requested name.
    IpxeEntry(&'static str),
    /// The configuration of a machine for GRUB; the entry configuration if nothing is known of the machine.
    Grub(Box<Machine>),
    /// The configuration of a machine for PXELINUX.
    Pxelinux {
        /// The machine, as far as the name identifies it.
        machine: Box<Machine>,
        /// How many directories contain the directory of configurations. Names in the configuration are relative to it.
        depth: usize,
    },
}

impl RequestedScript {
    /// Returns the script that a canonical path refers to. The query says more about the machine.
    ///
    /// - iPXE requests `autoexec.ipxe` beside its own file.
    /// - GRUB requests `grub.cfg` below its prefix, first with a suffix: its UUID, `01-` and its MAC address, its MAC address, its
    ///   address in hexadecimal and the beginnings of that (`grub_net_search_config_file` in `grub-core/net/net.c`). All of them
    ///   get the entry configuration, which requests the name again with all that GRUB knows.
    /// - PXELINUX and U-Boot request the files of `pxelinux.cfg`: the UUID, `01-` and the MAC address, the address in the same
    ///   form, and `default` (<https://wiki.syslinux.org/wiki/index.php?title=PXELINUX>; U-Boot adds its processor to the last).
    pub fn find(path: &str, query: &str) -> Option<Self> {
        let (directory, file) = path.rsplit_once('/').unwrap_or(("", path));
        match file {
            "autoexec.ipxe" => return Some(Self::IpxeEntry("autoexec.ipxe")),
            "boot.ipxe" => return Some(Self::IpxeEntry("boot.ipxe")),
            "grub.cfg" => return Some(Self::Grub(Box::new(Machine::from_query(query)))),
            _ => {}
        }
        if let Some(suffix) = file.strip_prefix("grub.cfg-") {
            let known = !suffix.is_empty() && suffix.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
            return known.then(|| Self::Grub(Box::default()));
        }
        let parents: Vec<&str> = directory.split('/').collect();
        let (last, parents) = parents.split_last()?;
        if *last != PXELINUX_DIRECTORY {
            return None;
        }
        let is_address = |file: &str| (1..=8).contains(&file.len()) && file.bytes().all(|b| b.is_ascii_hexdigit());
        let machine = if let Some(mac) = file.strip_prefix("01-") {
            Machine { mac: Some(mac.parse::<Mac>().ok()?), ..Machine::default() }
        } else if is_address(file) || file.split('-').next() == Some("default") {
            Machine::default()
        } else {
            Machine { uuid: Some(file.parse().ok()?), ..Machine::default() }
        };
        Some(Self::Pxelinux { machine: Box::new(machine), depth: parents.len() })
    }

    /// Returns whether the script exists. A UUID that belongs to no host gets none: the client goes on to its MAC address, by which
    /// the machine may be a host.
    pub fn exists(&self, boot: &Boot) -> bool {
        match self {
            Self::IpxeEntry(_) | Self::Grub(_) => true,
            Self::Pxelinux { machine, .. } => machine.uuid.is_none() || boot.host(machine).is_some(),
        }
    }

    /// Renders it for this request. `is_relative`: names in a configuration for PXELINUX are relative, for a client without HTTP.
    pub fn text(&self, boot: &Boot, request: &RequestContext, is_relative: bool) -> String {
        match self {
            Self::IpxeEntry(_) => boot.ipxe_entry(request),
            Self::Grub(machine) => boot.grub_config(machine, request),
            Self::Pxelinux { machine, depth } => boot.pxelinux_config(machine, request, is_relative.then_some(*depth)),
        }
    }

    /// Its name in the log, which holds no text of the client.
    pub fn name(&self) -> &'static str {
        match self {
            Self::IpxeEntry(name) => name,
            Self::Grub(_) => "grub.cfg",
            Self::Pxelinux { .. } => "pxelinux.cfg",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn script_names_match_in_any_directory() {
        let entry = || Some(RequestedScript::Grub(Box::default()));
        let known = Machine::from_query("mac=52:54:00:12:34:56&serial=ABC");
        for (name, script) in [
            ("boot.ipxe", Some(RequestedScript::IpxeEntry("boot.ipxe"))),
            ("boot/autoexec.ipxe", Some(RequestedScript::IpxeEntry("autoexec.ipxe"))),
            ("grub/grub.cfg", entry()),
            ("grub/x86_64-efi/grub.cfg", entry()),
            ("grub/grub.cfg-01-52-54-00-12-34-56", entry()),
            ("grub.cfg-52-54-00-12-34-56", entry()),
            ("grub/grub.cfg-C0A80001", entry()),
            ("grub/grub.cfg-C0A", entry()),
            ("grub.cfg-44454c4c-0077-1034-8054-000000000001", entry()),
            ("grub/grub.cfg?mac=52:54:00:12:34:56&serial=ABC", Some(RequestedScript::Grub(Box::new(known)))),
            ("grub/grub.cfg-", None),
            ("grub/grub.cfg-old", None),
            ("grub/x86_64-efi/command.lst", None),
            ("", None),
        ] {
            let (path, query) = name.split_once('?').unwrap_or((name, ""));
            assert_eq!(RequestedScript::find(path, query), script, "{name}");
        }
    }

    #[test]
    fn pxelinux_names_identify_machine() {
        let of = |query: &str, depth| {
            Some(RequestedScript::Pxelinux { machine: Box::new(Machine::from_query(query)), depth })
        };
        for (name, script) in [
            ("pxelinux.cfg/01-52-54-00-12-34-56", of("mac=52:54:00:12:34:56", 0)),
            ("boot/x/pxelinux.cfg/01-52-54-00-12-34-56", of("mac=52:54:00:12:34:56", 2)),
            ("pxelinux.cfg/44454c4c-0077-1034-8054-000000000001", of("uuid=44454c4c-0077-1034-8054-000000000001", 0)),
            ("pxelinux.cfg/C0A80001", of("", 0)),
            ("boot/pxelinux.cfg/C", of("", 1)),
            ("pxelinux.cfg/default", of("", 0)),
            ("pxelinux.cfg/default-arm-bcm283x-rpi", of("", 0)),
            ("pxelinux.cfg/01-none", None),
            ("pxelinux.cfg/graphics.conf", None),
            ("default", None),
            ("x.pxelinux.cfg/default", None),
        ] {
            assert_eq!(RequestedScript::find(name, ""), script, "{name}");
        }
    }
}
