//! `[[profile]]`, `[[host]]` and `[defaults]` as people write them. As in the whole of the raw settings, the doc comments
//! address the operator.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::config::format::{FilePath, MacAddress, MediaType, SecretText, SmbiosUuid};
use crate::config::written::Written;

/// One way to boot.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Profile {
    /// The name by which hosts refer to it.
    #[schemars(length(min = 1))]
    pub(in crate::config) name: String,
    /// The asset that is the kernel: its name, or CHANNEL:SHORT for the release that is live in CHANNEL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) kernel: Option<String>,
    /// The assets that are its initramfs, in order.
    #[serde(default)]
    pub(in crate::config) initrd: Vec<String>,
    /// The kernel's arguments, templates all: `hostname={{ host.name }}`. White space that you write divides arguments, that
    /// of a value does not.
    #[serde(default)]
    pub(in crate::config) args: Vec<String>,
    /// Instead of a kernel: the asset that is an ISO image. iPXE boots it over HTTP as a disk, without loading it whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) iso: Option<String>,
    /// Instead of a kernel: an asset or a URL that iPXE chains to (a script, or a program for the firmware).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) chain: Option<String>,
    /// Instead of a kernel: an iSCSI disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) iscsi: Option<Iscsi>,
    /// Instead of a kernel: nothing; the firmware goes on with the machine's own disks.
    #[serde(default)]
    pub(in crate::config) local: bool,
    /// Instead of a kernel: a file with a template of an iPXE script, relative to the file that names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) template: Option<Written<FilePath>>,
    /// A file with a template of a GRUB configuration, for machines that boot by GRUB, beside any of the above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) grub_template: Option<Written<FilePath>>,
    /// What templates see as `host.vars`, where the host itself has no such variable.
    #[serde(default)]
    pub(in crate::config) vars: BTreeMap<String, Json>,
    /// Files for each of its hosts, served at `/hosts/HOST/NAME`, each with the file that is its template (relative to the
    /// file that names it).
    #[serde(default)]
    pub(in crate::config) files: BTreeMap<String, File>,
    /// What the templates of `files`, and no script, see as `secrets`.
    #[serde(default)]
    pub(in crate::config) secrets: BTreeMap<String, Written<SecretText>>,
}

/// An iSCSI disk.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Iscsi {
    /// The portal's name or address; an IPv6 address in brackets.
    #[schemars(length(min = 1))]
    pub(in crate::config) portal: String,
    /// The portal's TCP port. Without it, 3260.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub(in crate::config) port: Option<u16>,
    /// The target's name, such as `iqn.2026-01.lab.boot:{{ host.name }}`. A template.
    #[schemars(length(min = 1))]
    pub(in crate::config) target: String,
    /// The logical unit.
    #[serde(default)]
    #[schemars(range(min = 0, max = 65535))]
    pub(in crate::config) lun: u16,
    /// The name by which the target knows the machine. A template. Without it, iPXE makes one up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) initiator: Option<String>,
}

/// A file that is made for each host.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(in crate::config) enum File {
    /// The file that is its template, or the name of a `[[template]]`.
    Template(Written<FilePath>),
    /// The same, with what else there is to say of it.
    Table(FileTable),
}

/// A file that is made for each host.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct FileTable {
    /// The file that is its template, relative to the file that names it; or the name of a `[[template]]`.
    pub(in crate::config) template: Written<FilePath>,
    /// Who may have it. Without it, whoever asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) only_from: Option<OnlyFrom>,
    /// Its media type. Without it, the suffix of its name decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) content_type: Option<Written<MediaType>>,
}

/// Who may have a file.
#[derive(Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(in crate::config) enum OnlyFrom {
    /// The host alone: from the address to which its last script went, and with the token in the URL that `file_url()` put
    /// into that script, which is good once.
    Host,
}

/// One machine.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Host {
    /// Its name: letters, digits and hyphens, and dots between such labels.
    #[schemars(length(min = 1))]
    pub(in crate::config) name: String,
    /// What identifies it: any one that is given and known is enough.
    pub(in crate::config) r#match: Match,
    /// The profile that it boots.
    #[schemars(length(min = 1))]
    pub(in crate::config) profile: String,
    /// What its templates see as `host.vars`.
    #[serde(default)]
    pub(in crate::config) vars: BTreeMap<String, Json>,
    /// Its firmware file. Without it, that of its architecture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) nbp: Option<String>,
    /// Kernel arguments after those of its profile.
    #[serde(default)]
    pub(in crate::config) args: Vec<String>,
    /// Files of its own, besides those of its profile and instead of those with the same name.
    #[serde(default)]
    pub(in crate::config) files: BTreeMap<String, File>,
    /// Secrets of its own, besides those of its profile and instead of those with the same name.
    #[serde(default)]
    pub(in crate::config) secrets: BTreeMap<String, Written<SecretText>>,
}

/// What identifies a machine.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Match {
    /// The MAC address of the card that it boots from, or several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) mac: Option<Macs>,
    /// The serial number; Dell's service tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) serial: Option<String>,
    /// The SMBIOS UUID, in either byte order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) uuid: Option<Written<SmbiosUuid>>,
    /// The asset tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) asset_tag: Option<String>,
}

/// One MAC address, or several.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(in crate::config) enum Macs {
    /// One.
    One(Written<MacAddress>),
    /// Several.
    Several(Vec<Written<MacAddress>>),
}

/// What holds for machines that are no host.
#[derive(Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Defaults {
    /// The profile that they boot. Without it they say on their screens who they are, and ask again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) profile: Option<String>,
}

/// A template that stands in the settings themselves.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Template {
    /// What profiles and hosts name in the place of a file.
    #[schemars(length(min = 1))]
    pub(in crate::config) name: String,
    /// The template itself.
    pub(in crate::config) text: String,
}
