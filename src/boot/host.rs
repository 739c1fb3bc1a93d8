//! Hosts and profiles: checked, with each host's values merged with those of its profile.

use std::collections::BTreeMap;
use std::sync::Arc;

use minijinja::Value;

use super::initrd::{Initrd, Loader};
use super::ledger::HostCards;
use super::machine::Machine;
use super::settings::{IscsiSettings, Keys};
use crate::secret::Secret;

/// A machine that the operator declared.
#[derive(Debug, Clone)]
pub struct Host {
    /// Its name.
    pub name: String,
    /// The values that identify it.
    pub keys: Keys,
    /// Its network boot program; `None` for the default of its architecture.
    pub nbp: Option<String>,
    /// The profile it boots.
    pub profile: Arc<Profile>,
    /// The variable `host` of templates.
    pub(super) template_vars: Value,
    /// The names of the templates of its kernel arguments, those of its profile first.
    pub(super) args: Vec<String>,
    /// Its files and those of its profile.
    pub(super) files: BTreeMap<String, FileSpec>,
    /// Its secrets and those of its profile.
    pub(super) secrets: BTreeMap<String, Secret>,
}

impl Host {
    /// Its name and cards, for the ledger.
    pub fn cards(&self) -> HostCards {
        HostCards { name: self.name.clone(), macs: self.keys.macs.clone() }
    }
}

/// A way to boot that hosts share.
#[derive(Debug, Clone)]
pub struct Profile {
    /// Its name.
    pub name: String,
    pub(super) method: BootMethod,
    /// The names of the templates of its kernel arguments.
    pub(super) args: Vec<String>,
    /// The name of its own template for GRUB, if any.
    pub(super) grub_template: Option<String>,
    /// The variable `host.vars` of templates for machines that are not a host.
    pub(super) vars: Value,
}

/// How a profile boots.
#[derive(Debug, Clone)]
pub(super) enum BootMethod {
    /// A kernel and the files that it gets, by reference.
    Kernel { kernel: String, loader: Loader, initrds: Vec<Initrd> },
    /// An ISO image, by reference.
    Iso(String),
    /// Another program or script, by reference.
    Chain(String),
    /// Another program or script, by URL.
    ChainUrl(String),
    /// An iSCSI disk; target and initiator are names of templates.
    Iscsi(IscsiSettings),
    /// The local disks.
    Local,
    /// The name of the operator's template for iPXE.
    Template(String),
}

/// A file that is rendered for a host.
#[derive(Debug, Clone)]
pub(super) struct FileSpec {
    /// The name of its template.
    pub(super) template: String,
    /// Whether only the host itself may fetch it.
    pub(super) only_from_host: bool,
    /// Its media type.
    pub(super) content_type: String,
}

impl Host {
    /// Whether `name` is a valid host name: labels of letters, digits and inner hyphens, separated by dots (RFC 1123 2.1).
    pub(super) fn is_valid_name(name: &str) -> bool {
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        name.len() <= 253 && name.split('.').all(label)
    }

    /// A placeholder for each secret, for previews.
    pub(super) fn placeholder_secrets(&self) -> BTreeMap<String, String> {
        self.secrets.keys().map(|name| (name.clone(), "(secret)".to_owned())).collect()
    }

    /// A machine that matches this host by its keys.
    pub(super) fn sample_machine(&self) -> Machine {
        Machine {
            mac: self.keys.macs.first().copied(),
            uuid: self.keys.uuid,
            serial: self.keys.serial.clone(),
            asset_tag: self.keys.asset_tag.clone(),
            ..Machine::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_name_follows_rfc_1123() {
        for name in ["r630-01", "3com", "a.b.example", "A", &"x".repeat(63)] {
            assert!(Host::is_valid_name(name), "{name}");
        }
        for name in ["", "-a", "a-", "a..b", ".a", "a.", "a_b", "a b", "ä", "a/b", &"x".repeat(64), &"x.".repeat(127)]
        {
            assert!(!Host::is_valid_name(name), "{name}");
        }
    }
}
