//! `[[collection]]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::collection_format::{NamePrefix, SourceFolder};
use crate::config::written::Written;

/// A directory of a source whose objects are assets without `[[asset]]` tables.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Collection {
    /// How the names of its assets begin, such as `isos/`. An `[[asset]]` of such a name takes precedence.
    pub(in crate::config) prefix: Written<NamePrefix>,
    /// Where the objects are: `s3://BUCKET/PREFIX/`, `https://HOST/PATH/` or `file:///PATH/`. The asset `isos/debian/a.iso` is
    /// the object `debian/a.iso` there.
    pub(in crate::config) source: Written<SourceFolder>,
    /// Where the SHA-256 of an object is looked for; the first place that says it counts. An asset keeps its digest if the object
    /// changes, see `on_change`. Default: with `keys` the signed places, else all others in the order below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub(in crate::config) digest_from: Option<Vec<DigestFrom>>,
    /// Keys whose signatures count in the signed places: paths of OpenPGP key files (binary or armored) or of minisign keys, or
    /// minisign keys themselves (`RW…`).
    #[serde(default)]
    pub(in crate::config) keys: Vec<String>,
    /// The treatment of an object whose digest none of these places says.
    #[serde(default)]
    pub(in crate::config) on_missing_digest: OnMissingDigest,
    /// The treatment of an asset whose object has other bytes now.
    #[serde(default)]
    pub(in crate::config) on_change: OnChange,
    /// Globs of the objects that belong to it, below `source`: `*` matches anything but a slash, `**` anything. Default: all.
    #[serde(default)]
    pub(in crate::config) include: Vec<String>,
    /// Globs of objects that do not belong to it.
    #[serde(default)]
    pub(in crate::config) exclude: Vec<String>,
    /// Let HTTP clients list its directories: `/assets/isos/` is then a page of links, or JSON for a client that accepts
    /// `application/json`.
    #[serde(default)]
    pub(in crate::config) listing: bool,
}

/// Where the digest of an object is written.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(in crate::config) enum DigestFrom {
    /// The object KEY.sha256 with a signature: a line of `sha256sum`. Clear-signed, or the signature is beside it, as
    /// KEY.sha256.asc (or .sig, .gpg, .sign, .minisig).
    SignedSidecar,
    /// The object SHA256SUMS in the same directory, with a signature as above.
    SignedSums,
    /// The object KEY.sha256: a digest alone, or a line of `sha256sum`.
    Sidecar,
    /// The object SHA256SUMS in the same directory.
    Sums,
    /// The user metadata `sha256` of the object (`x-amz-meta-sha256`).
    Sha256Metadata,
    /// The store's own SHA-256 of the object (`x-amz-checksum-sha256`), or of its parts, with which its bytes are compared.
    S3Checksum,
    /// The object metadata.json in the same directory, as `bootdepot publish` writes it.
    MetadataJson,
}

/// The treatment of an object whose digest is not written anywhere.
#[derive(Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(in crate::config) enum OnMissingDigest {
    /// It is no asset: 404, and the log says what to do.
    #[default]
    Refuse,
    /// It is read once to learn its digest, which is recorded before its first byte is served. Then a person who can write to
    /// the source, or is on the way to it, decides what machines boot.
    TrustFirstUse,
}

/// The treatment of an asset whose object has other bytes now.
#[derive(Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(in crate::config) enum OnChange {
    /// The known bytes are served until `bootdepot accept NAME`; `/readyz` and `bootdepot status` name the asset.
    #[default]
    Keep,
    /// The new bytes are served.
    Follow,
}
