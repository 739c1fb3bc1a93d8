//! `[[mirror]]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::format::{Label, Name, Sha256, Source};
use crate::config::mirror_format::{CatalogTarget, Sha512, StorePrefix, Upstream};
use crate::config::size::Size;
use crate::config::written::Written;
use crate::supply::mirror::{RecipeKind, Require};

/// An upstream whose releases `bootdepot mirror` copies into a bucket.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Mirror {
    /// Its name, for `bootdepot mirror NAME`. Its releases are named NAME-VERSION.
    pub(in crate::config) name: Written<Label>,
    /// How the upstream says what it publishes.
    pub(in crate::config) recipe: RecipeKind,
    /// The document or the directory in which the upstream says it; docs/mirror.md lists them by recipe. `-` reads the
    /// document from standard input (`coreos-stream` only). Required, except for the recipe `list`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) url: Option<Written<Upstream>>,
    /// The architecture, as the upstream writes it. Default: `amd64` for `debian-installer` and `simplestreams`, else
    /// `x86_64`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub(in crate::config) arch: Option<String>,
    /// Globs of the files to mirror: `*` matches anything but a slash, `**` anything. Files in an archive are
    /// ARCHIVE/FILE. Default: what machines boot over the network, if the recipe knows it. If nothing matches, the error
    /// lists what there is.
    #[serde(default)]
    pub(in crate::config) select: Vec<String>,
    /// Where the files go: `s3://BUCKET/PREFIX`. The key of a file is PREFIX/VERSION/FILE. The matching `[[origin]]` needs
    /// credentials that may write.
    pub(in crate::config) to: Written<StorePrefix>,
    /// Names of the assets. `{mirror}`, `{version}` and `{file}` are replaced.
    #[serde(default = "asset")]
    pub(in crate::config) asset: String,
    /// Channel of the releases, such as `okd`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) channel: Option<Written<Label>>,
    /// How many versions to keep in the bucket. Files of older versions are deleted after a successful run, except those
    /// that a catalog names. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000))]
    pub(in crate::config) keep: Option<u32>,
    /// Keys whose signatures count: paths of OpenPGP key files (binary or armored) or of minisign keys, or minisign keys
    /// themselves (`RW…`). With keys, a signature that is there has to be good.
    #[serde(default)]
    pub(in crate::config) keys: Vec<String>,
    /// The least proof of each file. Default: `signature` if `keys` are given, else `digest`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) require: Option<Require>,
    /// Accept any TLS certificate of the upstream. For laboratories only: without signatures, anyone on the way can then
    /// choose what machines boot. Each run warns.
    #[serde(default)]
    pub(in crate::config) skip_tls_verify: bool,
    /// The catalog that receives assets and releases: `s3://BUCKET/KEY` or a path. Default: the file at `catalog_url` if it
    /// is in S3 or on this machine; else the entries are printed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) catalog: Option<Written<CatalogTarget>>,
    /// The version of the files of the recipe `list`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) version: Option<Written<Label>>,
    /// The files of the recipe `list`.
    #[serde(default)]
    pub(in crate::config) files: Vec<MirrorFile>,
}

fn asset() -> String {
    "{mirror}/{version}/{file}".to_owned()
}

/// A file of the recipe `list`.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct MirrorFile {
    /// Its URL.
    pub(in crate::config) url: Written<Source>,
    /// Its name in the mirror. Default: the last segment of the URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) name: Option<Written<Name>>,
    /// SHA-256 of its bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) sha256: Option<Written<Sha256>>,
    /// SHA-512 of its bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) sha512: Option<Written<Sha512>>,
    /// Its length in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) size: Option<Written<Size>>,
    /// URL of its detached signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) signature: Option<Written<Source>>,
}
