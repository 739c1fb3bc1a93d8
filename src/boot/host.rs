//! Hosts and profiles as this room uses them: checked, and put together.

use std::collections::BTreeMap;
use std::sync::Arc;

use minijinja::Value;

use super::settings::{IscsiSettings, Keys};
use crate::secret::Secret;

/// One machine that the operator named.
#[derive(Debug, Clone)]
pub struct Host {
    /// Its name.
    pub name: String,
    /// What identifies it.
    pub keys: Keys,
    /// The firmware file for this host, where it is not the one of its architecture.
    pub nbp: Option<String>,
    /// What it boots.
    pub profile: Arc<Profile>,
    /// What templates see as `host`.
    pub(super) about: Value,
    /// The templates of its kernel arguments, those of its profile first.
    pub(super) args: Vec<String>,
    /// Its files and those of its profile.
    pub(super) files: BTreeMap<String, FileSpec>,
    /// Its secrets and those of its profile.
    pub(super) secrets: BTreeMap<String, Secret>,
}

/// One way to boot.
#[derive(Debug, Clone)]
pub struct Profile {
    /// Its name.
    pub name: String,
    pub(super) kind: Kind,
    /// The templates of its kernel arguments.
    pub(super) args: Vec<String>,
    /// The template that is its configuration for GRUB, where it has one of its own.
    pub(super) grub: Option<String>,
    /// What templates see as `host.vars` where no host is.
    pub(super) vars: Value,
}

/// How a profile boots.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    /// A kernel and its initramfs, by reference.
    Kernel { kernel: String, initrds: Vec<String> },
    /// An ISO image, by reference.
    Iso(String),
    /// Another program or script, by reference.
    Chain(String),
    /// Another program or script, by URL.
    ChainUrl(String),
    /// An iSCSI disk; the texts are names of templates.
    Iscsi(IscsiSettings),
    /// The machine's own disks.
    Local,
    /// A template that is the script for iPXE.
    Template(String),
}

/// A file that is made for a host.
#[derive(Debug, Clone)]
pub(super) struct FileSpec {
    /// The template that it is made from.
    pub(super) template: String,
    /// Whether only the host itself may have it.
    pub(super) only_from_host: bool,
    /// Its media type.
    pub(super) content_type: String,
}
