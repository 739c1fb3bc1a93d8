//! What the operator wrote of hosts and profiles: what this room needs of the settings file, read but not yet checked
//! as a whole.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::{Mac, Uuid};
use crate::secret::Secret;

/// All hosts and profiles, in the order in which they are written.
#[derive(Debug, Clone, Default)]
pub struct RosterSettings {
    /// The hosts.
    pub hosts: Vec<HostSettings>,
    /// The profiles.
    pub profiles: Vec<ProfileSettings>,
    /// The name of the profile for machines that are no host.
    pub default_profile: Option<String>,
}

/// What identifies a host: any one that is given and known is enough.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keys {
    /// The addresses of its network cards.
    pub macs: Vec<Mac>,
    /// Its SMBIOS UUID.
    pub uuid: Option<Uuid>,
    /// Its serial number. Compared trimmed and whatever its case.
    pub serial: Option<String>,
    /// Its asset tag. Compared as serial numbers are.
    pub asset_tag: Option<String>,
}

/// One host.
#[derive(Debug, Clone, Default)]
pub struct HostSettings {
    /// Its name.
    pub name: String,
    /// What identifies it.
    pub keys: Keys,
    /// The name of its profile.
    pub profile: String,
    /// What its templates see as `host.vars`.
    pub vars: BTreeMap<String, Json>,
    /// Its firmware file.
    pub nbp: Option<String>,
    /// Kernel arguments after those of its profile.
    pub args: Vec<String>,
    /// Its files, besides and before those of its profile.
    pub files: BTreeMap<String, FileSettings>,
    /// What the templates of its files, and no script, see as `secrets`.
    pub secrets: BTreeMap<String, Secret>,
}

/// One profile. Exactly one of `kernel`, `iso`, `chain`, `iscsi`, `local` and `template` makes one.
#[derive(Debug, Clone, Default)]
pub struct ProfileSettings {
    /// Its name.
    pub name: String,
    /// The asset that is the kernel.
    pub kernel: Option<String>,
    /// The assets that are its initramfs, in order.
    pub initrd: Vec<String>,
    /// The kernel's arguments.
    pub args: Vec<String>,
    /// The asset that is an ISO image.
    pub iso: Option<String>,
    /// An asset, or a URL.
    pub chain: Option<String>,
    /// An iSCSI disk.
    pub iscsi: Option<IscsiSettings>,
    /// Go on with the machine's own disks.
    pub local: bool,
    /// A script of the operator's own for iPXE.
    pub template: Option<TemplateText>,
    /// A script of the operator's own for GRUB.
    pub grub_template: Option<TemplateText>,
    /// What templates see as `host.vars` where the host itself has no such variable.
    pub vars: BTreeMap<String, Json>,
    /// Files of each of its hosts.
    pub files: BTreeMap<String, FileSettings>,
    /// Secrets of each of its hosts.
    pub secrets: BTreeMap<String, Secret>,
}

/// An iSCSI disk to boot from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IscsiSettings {
    /// The portal's name or address; an IPv6 address in brackets.
    pub portal: String,
    /// Its TCP port; 3260 (RFC 7143 13.1) where none is given.
    pub port: Option<u16>,
    /// The target's name (RFC 7143 4.2.7), a template.
    pub target: String,
    /// The logical unit.
    pub lun: u16,
    /// The name by which the machine is known to the target, a template.
    pub initiator: Option<String>,
}

/// A file that is made for each host.
#[derive(Debug, Clone, Default)]
pub struct FileSettings {
    /// What it is made from.
    pub template: TemplateText,
    /// Whether only the host itself may have it.
    pub only_from_host: bool,
    /// Its media type; else its name's suffix decides.
    pub content_type: Option<String>,
}

/// A template and where it was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TemplateText {
    /// The file, for messages.
    pub file: String,
    /// What is in it.
    pub text: String,
}
