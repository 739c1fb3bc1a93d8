//! Hosts and profiles as written in the configuration: parsed, but not yet checked as a whole.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::mac::Mac;
use super::uuid::Uuid;
use crate::secret::Secret;

/// All hosts and profiles, in the order of the configuration.
#[derive(Debug, Clone, Default)]
pub struct RosterSettings {
    /// The hosts.
    pub hosts: Vec<HostSettings>,
    /// The profiles.
    pub profiles: Vec<ProfileSettings>,
    /// The name of the profile for machines that match no host.
    pub default_profile: Option<String>,
    /// Channels that may have no release yet, because a mirror is to fill them. References to their assets are valid.
    pub channels: Vec<String>,
}

/// The values that identify a host. A machine matches if any one of them matches.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keys {
    /// The addresses of its network cards.
    pub macs: Vec<Mac>,
    /// Its SMBIOS UUID.
    pub uuid: Option<Uuid>,
    /// Its serial number. Compared trimmed, ignoring case.
    pub serial: Option<String>,
    /// Its asset tag. Compared like serial numbers.
    pub asset_tag: Option<String>,
}

/// One host.
#[derive(Debug, Clone, Default)]
pub struct HostSettings {
    /// Its name.
    pub name: String,
    /// The values that identify it.
    pub keys: Keys,
    /// The name of its profile.
    pub profile: String,
    /// The variable `host.vars` of its templates.
    pub vars: BTreeMap<String, Json>,
    /// Its network boot program.
    pub nbp: Option<String>,
    /// Kernel arguments, appended to those of its profile.
    pub args: Vec<String>,
    /// Its files. They override files of the same name in its profile.
    pub files: BTreeMap<String, FileSettings>,
    /// The variable `secrets` of the templates of its files. Scripts do not have it.
    pub secrets: BTreeMap<String, Secret>,
}

/// One profile. Exactly one of `kernel`, `iso`, `chain`, `iscsi`, `local` and `template` must be set.
#[derive(Debug, Clone, Default)]
pub struct ProfileSettings {
    /// Its name.
    pub name: String,
    /// The kernel, an asset.
    pub kernel: Option<String>,
    /// The files that the kernel gets, in order.
    pub initrd: Vec<InitrdSettings>,
    /// The kernel's arguments.
    pub args: Vec<String>,
    /// An ISO image, an asset.
    pub iso: Option<String>,
    /// A program or script to chain to: an asset or a URL.
    pub chain: Option<String>,
    /// An iSCSI disk.
    pub iscsi: Option<IscsiSettings>,
    /// Boot from the local disks.
    pub local: bool,
    /// The operator's own script for iPXE.
    pub template: Option<TemplateText>,
    /// The operator's own configuration for GRUB.
    pub grub_template: Option<TemplateText>,
    /// Defaults for `host.vars`.
    pub vars: BTreeMap<String, Json>,
    /// Files for each of its hosts.
    pub files: BTreeMap<String, FileSettings>,
    /// Secrets for each of its hosts.
    pub secrets: BTreeMap<String, Secret>,
}

/// A file that the kernel gets beside its command line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InitrdSettings {
    /// The asset.
    pub asset: String,
    /// Its place in the initramfs; `None` if it is an archive.
    pub path: Option<String>,
    /// The name by which the kernel knows it.
    pub name: Option<String>,
}

impl From<String> for InitrdSettings {
    fn from(asset: String) -> Self {
        Self { asset, ..Self::default() }
    }
}

/// An iSCSI disk to boot from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IscsiSettings {
    /// The portal's name or address; an IPv6 address in brackets.
    pub portal: String,
    /// Its TCP port; `None` is 3260 (RFC 7143 13.1).
    pub port: Option<u16>,
    /// The target's name (RFC 7143 4.2.7), a template.
    pub target: String,
    /// The logical unit.
    pub lun: u16,
    /// The initiator name of the machine, a template.
    pub initiator: Option<String>,
}

/// A file that is rendered for each host.
#[derive(Debug, Clone, Default)]
pub struct FileSettings {
    /// Its template.
    pub template: TemplateText,
    /// Whether only the host itself may fetch it.
    pub only_from_host: bool,
    /// Its media type; `None` derives it from the suffix of its name.
    pub content_type: Option<String>,
}

/// A template and the file it was read from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TemplateText {
    /// The file, for error messages.
    pub file: String,
    /// Its contents.
    pub text: String,
}
