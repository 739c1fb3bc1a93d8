//! The settings of one mirror. Data only: no IO.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{Display, IntoStaticStr};

use crate::asset::SourceUrl;
use crate::proof::KeySource;
use crate::supply::recipes::list::ListedFile;

/// One `[[mirror]]`.
#[derive(Debug, Clone)]
pub struct MirrorSettings {
    /// Its name.
    pub name: String,
    /// How the upstream says what it publishes.
    pub recipe: RecipeKind,
    /// Where the upstream says it. `None` for the recipe `list`.
    pub url: Option<UpstreamUrl>,
    /// The architecture, as the upstream writes it.
    pub arch: Option<String>,
    /// Globs of the files to mirror. Empty: what the recipe's machines boot.
    pub select: Vec<String>,
    /// Where the files go.
    pub to: Destination,
    /// The name of an asset, with `{mirror}`, `{version}` and `{file}`.
    pub asset: String,
    /// The channel of its releases.
    pub channel: Option<String>,
    /// How many versions are kept. `None`: all.
    pub keep: Option<u32>,
    /// Keys whose signatures are proofs.
    pub keys: Vec<KeySource>,
    /// The least proof of each file.
    pub require: Require,
    /// Whether the upstream's TLS certificates are not checked.
    pub skip_tls_verify: bool,
    /// The catalog that receives the entries: an object in S3 or a file. `None`: the shared catalog, else none.
    pub catalog: Option<String>,
    /// The version, for the recipe `list`.
    pub version: Option<String>,
    /// The files, for the recipe `list`.
    pub files: Vec<ListedFile>,
}

/// How an upstream says what it publishes. The settings have these words and texts too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Display, IntoStaticStr, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum RecipeKind {
    /// Stream metadata of Fedora CoreOS, SCOS or RHCOS (JSON).
    CoreosStream,
    /// A directory of mirror.openshift.com.
    OcpMirror,
    /// Releases of a GitHub repository: the URL of its API.
    GithubRelease,
    /// The Debian installer: the directory of a suite, such as `https://deb.debian.org/debian/dists/trixie`.
    DebianInstaller,
    /// A directory of releases.ubuntu.com.
    Ubuntu,
    /// The index of an image stream of Ubuntu or MAAS.
    Simplestreams,
    /// An installation tree with `.treeinfo` (Fedora, CentOS, RHEL, Alma, Rocky).
    Treeinfo,
    /// A file of digests, such as SHA256SUMS or CHECKSUM.
    Sums,
    /// `latest-releases.yaml` of Alpine Linux, or its directory.
    Alpine,
    /// A directory of a Flatcar channel.
    Flatcar,
    /// `endpoints.yml` of netboot.xyz.
    Netbootxyz,
    /// The files in `files`.
    List,
}

/// Where an upstream says what it publishes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpstreamUrl {
    /// The document comes on standard input.
    Stdin,
    /// The document or the directory at this URL.
    Url(SourceUrl),
}

/// Where the files of a mirror go: the object `PREFIX/VERSION/FILE` of a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// The bucket.
    pub bucket: String,
    /// The start of keys, without a slash at its end. May be empty.
    pub prefix: String,
}

/// The least proof of each file, from the weakest to the strongest.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Display, IntoStaticStr, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Require {
    /// A verified TLS connection.
    Tls,
    /// A digest that the upstream announces.
    Digest,
    /// A signature by one of `keys`: of the file, or of the document with its digest.
    Signature,
}

impl Destination {
    /// The key of a file of a release.
    pub fn key(&self, version: &str, file: &str) -> String {
        format!("{}{version}/{file}", self.directory())
    }

    /// The start of all keys: empty, or ending with a slash.
    pub fn directory(&self) -> String {
        if self.prefix.is_empty() { String::new() } else { format!("{}/", self.prefix) }
    }
}

impl MirrorSettings {
    /// The name of the asset of a file.
    pub fn asset_name(&self, version: &str, file: &str) -> String {
        // The file is filled in last: it is the upstream's text.
        self.asset.replace("{mirror}", &self.name).replace("{version}", version).replace("{file}", file)
    }

    /// The file whose asset has this name. `None` if it is another mirror's or another version's.
    pub fn file_of_asset(&self, version: &str, asset: &str) -> Option<String> {
        let (before, after) = self.asset.split_once("{file}")?;
        let fill = |part: &str| part.replace("{mirror}", &self.name).replace("{version}", version);
        Some(asset.strip_prefix(&fill(before))?.strip_suffix(&fill(after))?.to_owned())
    }

    /// The name of the release of a version. Characters that a release's name cannot have become `-`.
    pub fn release_name(&self, version: &str) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
        format!("{}-{version}", self.name).chars().map(plain).take(64).collect()
    }

    /// The architecture, or the recipe's usual one.
    pub fn arch_or_default(&self) -> &str {
        self.arch.as_deref().unwrap_or(match self.recipe {
            RecipeKind::DebianInstaller | RecipeKind::Simplestreams => "amd64",
            _ => "x86_64",
        })
    }

    /// The globs of `select`, or the recipe's own: what a machine boots over the network. Empty if the recipe has none.
    pub fn selected(&self) -> Vec<String> {
        if !self.select.is_empty() {
            return self.select.clone();
        }
        let debian = format!("netboot/debian-installer/{}", self.arch_or_default());
        let globs: &[&str] = match self.recipe {
            RecipeKind::CoreosStream => &["pxe/*"],
            RecipeKind::DebianInstaller => return vec![format!("{debian}/linux"), format!("{debian}/initrd.gz")],
            RecipeKind::Treeinfo => &["images/pxeboot/vmlinuz", "images/pxeboot/initrd.img", "images/install.img"],
            RecipeKind::Alpine => &["alpine-netboot/boot/{vmlinuz,initramfs,modloop}-lts"],
            RecipeKind::Flatcar => &["flatcar_production_pxe.vmlinuz", "flatcar_production_pxe_image.cpio.gz"],
            RecipeKind::List => &["**"],
            _ => &[],
        };
        globs.iter().map(|glob| (*glob).to_owned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> MirrorSettings {
        MirrorSettings {
            name: "os".to_owned(),
            recipe: RecipeKind::DebianInstaller,
            url: None,
            arch: Some("arm64".to_owned()),
            select: Vec::new(),
            to: Destination { bucket: "b".to_owned(), prefix: String::new() },
            asset: "{mirror}/{version}/{file}".to_owned(),
            channel: None,
            keep: None,
            keys: Vec::new(),
            require: Require::Digest,
            skip_tls_verify: false,
            catalog: None,
            version: None,
            files: Vec::new(),
        }
    }

    #[test]
    fn asset_name_leads_back_to_file() {
        let settings = settings();
        let name = settings.asset_name("20230607+deb12u15", "netboot/{version}");
        assert_eq!(name, "os/20230607+deb12u15/netboot/{version}");
        assert_eq!(settings.file_of_asset("20230607+deb12u15", &name).as_deref(), Some("netboot/{version}"));
        assert_eq!(settings.file_of_asset("20230607", &name), None);
        assert_eq!(settings.release_name("20230607+deb12u15"), "os-20230607-deb12u15");
    }

    #[test]
    fn default_selection_follows_architecture() {
        let settings = settings();
        assert_eq!(settings.selected()[0], "netboot/debian-installer/arm64/linux");
        assert_eq!(MirrorSettings { select: vec!["x".to_owned()], ..settings }.selected(), ["x"]);
    }
}
