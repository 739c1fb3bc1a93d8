//! `[[mirror]]`.

use super::value::value;
use crate::config::raw;
use crate::proof::{Expected, KeySource};
use crate::supply::mirror::{MirrorSettings, Require};
use crate::supply::recipes::list::ListedFile;

pub(super) fn mirror(raw: raw::Mirror) -> MirrorSettings {
    let default = if raw.keys.is_empty() { Require::Digest } else { Require::Signature };
    MirrorSettings {
        name: raw.name.value,
        recipe: raw.recipe,
        url: raw.url.map(value),
        arch: raw.arch,
        select: raw.select,
        to: raw.to.value,
        asset: raw.asset,
        channel: raw.channel.map(value),
        keep: raw.keep,
        keys: raw.keys.into_iter().map(KeySource::new).collect(),
        require: raw.require.unwrap_or(default),
        skip_tls_verify: raw.skip_tls_verify,
        catalog: raw.catalog.map(value),
        version: raw.version.map(value),
        files: raw.files.into_iter().map(listed).collect(),
    }
}

fn listed(raw: raw::MirrorFile) -> ListedFile {
    ListedFile {
        url: raw.url.value.as_str().to_owned(),
        name: raw.name.map(|name| name.value.to_string()),
        expected: Expected {
            size: raw.size.map(|size| size.value.0),
            sha256: raw.sha256.map(value),
            sha512: raw.sha512.map(value),
        },
        signature_url: raw.signature.map(|url| url.value.as_str().to_owned()),
    }
}
