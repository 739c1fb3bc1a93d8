//! `[[profile]]`, `[[host]]` and `[defaults]` as operators write them, the readers of the doc comments.

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
    /// Name by which hosts refer to it.
    #[schemars(length(min = 1))]
    pub(in crate::config) name: String,
    /// The kernel: an asset's name, or CHANNEL:SHORT for the release that is live in CHANNEL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) kernel: Option<String>,
    /// The files that the kernel gets, in order: archives of the initramfs, or what another loader in place of a kernel
    /// needs (wimboot, memdisk). Each is an asset, or a table.
    #[serde(default)]
    pub(in crate::config) initrd: Vec<Initrd>,
    /// Kernel arguments; each is a template: `hostname={{ host.name }}`. White space in the text separates arguments,
    /// white space in a value does not.
    #[serde(default)]
    pub(in crate::config) args: Vec<String>,
    /// Instead of a kernel: an asset that is an ISO image. iPXE boots it over HTTP as a disk, without loading it whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) iso: Option<String>,
    /// Instead of a kernel: an asset or URL that iPXE chains to (a script, or a program for the firmware).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) chain: Option<String>,
    /// Instead of a kernel: an iSCSI disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) iscsi: Option<Iscsi>,
    /// Instead of a kernel: boot from the local disk.
    #[serde(default)]
    pub(in crate::config) local: bool,
    /// Instead of a kernel: a file with a template of an iPXE script, relative to the file that names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) template: Option<Written<FilePath>>,
    /// A file with a template of a GRUB configuration, for machines that boot with GRUB. May be combined with any of
    /// the above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) grub_template: Option<Written<FilePath>>,
    /// Default variables; templates see them as `host.vars` unless the host sets them.
    #[serde(default)]
    pub(in crate::config) vars: BTreeMap<String, Json>,
    /// Files for each host of the profile, served at `/hosts/HOST/NAME`, each with the file of its template (relative
    /// to the file that names it).
    #[serde(default)]
    pub(in crate::config) files: BTreeMap<String, File>,
    /// Secrets for the templates of `files`, which see them as `secrets`. Scripts cannot see them.
    #[serde(default)]
    pub(in crate::config) secrets: BTreeMap<String, Written<SecretText>>,
}

/// A file that the kernel gets.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(in crate::config) enum Initrd {
    /// The asset's name, or CHANNEL:SHORT.
    Asset(String),
    /// The asset with further settings.
    Table(InitrdTable),
}

/// A file that the kernel gets.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct InitrdTable {
    /// The asset's name, or CHANNEL:SHORT for the release that is live in CHANNEL.
    #[schemars(length(min = 1))]
    pub(in crate::config) asset: String,
    /// Place of the file in the initramfs, such as `/proxmox.iso`. Default: the asset is an archive, which is unpacked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) path: Option<String>,
    /// Name by which the loader knows the file. Default: with wimboot, the last segment of the asset's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) name: Option<String>,
}

/// An iSCSI disk.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Iscsi {
    /// Name or address of the portal; an IPv6 address in brackets.
    #[schemars(length(min = 1))]
    pub(in crate::config) portal: String,
    /// TCP port of the portal. Default: 3260.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub(in crate::config) port: Option<u16>,
    /// Name of the target, such as `iqn.2026-01.lab.boot:{{ host.name }}`. A template.
    #[schemars(length(min = 1))]
    pub(in crate::config) target: String,
    /// Logical unit number.
    #[serde(default)]
    #[schemars(range(min = 0, max = 65535))]
    pub(in crate::config) lun: u16,
    /// Initiator name. A template. Default: iPXE generates one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) initiator: Option<String>,
}

/// A file that is rendered for each host.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(in crate::config) enum File {
    /// The template file, or the name of a `[[template]]`.
    Template(Written<FilePath>),
    /// The template with further settings.
    Table(FileTable),
}

/// A file that is rendered for each host.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct FileTable {
    /// The template file, relative to the file that names it, or the name of a `[[template]]`.
    pub(in crate::config) template: Written<FilePath>,
    /// Clients that may fetch it. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) only_from: Option<OnlyFrom>,
    /// Media type. By default the suffix of the file's name decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) content_type: Option<Written<MediaType>>,
}

/// Clients that may fetch a file.
#[derive(Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(in crate::config) enum OnlyFrom {
    /// Only the host: the request must come from the address that fetched a script of the host, with the one-time
    /// token that `file_url()` put into that script.
    Host,
}

/// One machine.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Host {
    /// Its name: letters, digits and hyphens, with dots between labels.
    #[schemars(length(min = 1))]
    pub(in crate::config) name: String,
    /// Its identity: any one of the given keys is sufficient.
    pub(in crate::config) r#match: Match,
    /// The profile that it boots.
    #[schemars(length(min = 1))]
    pub(in crate::config) profile: String,
    /// Variables; its templates see them as `host.vars`.
    #[serde(default)]
    pub(in crate::config) vars: BTreeMap<String, Json>,
    /// Its network boot program. Default: the one of its architecture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) nbp: Option<String>,
    /// Kernel arguments, appended to those of its profile.
    #[serde(default)]
    pub(in crate::config) args: Vec<String>,
    /// Files in addition to those of its profile; they replace files with the same name.
    #[serde(default)]
    pub(in crate::config) files: BTreeMap<String, File>,
    /// Secrets in addition to those of its profile; they replace secrets with the same name.
    #[serde(default)]
    pub(in crate::config) secrets: BTreeMap<String, Written<SecretText>>,
}

/// The identity of a machine.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Match {
    /// MAC address of the network card from which it boots, or a list of addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) mac: Option<Macs>,
    /// Serial number (on Dell servers, the service tag).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) serial: Option<String>,
    /// SMBIOS UUID, in either byte order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) uuid: Option<Written<SmbiosUuid>>,
    /// Asset tag.
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

/// Defaults for machines that match no host.
#[derive(Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Defaults {
    /// The profile that they boot. Default: a script that shows the machine's identity and asks again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) profile: Option<String>,
}

/// An inline template.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Template {
    /// Name by which profiles and hosts refer to it.
    #[schemars(length(min = 1))]
    pub(in crate::config) name: String,
    /// The template.
    pub(in crate::config) text: String,
}
