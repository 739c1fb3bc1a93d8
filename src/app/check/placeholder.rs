//! Digests that stand for one that is still to be entered: zeros, perhaps with a number at the end.

use std::sync::Arc;

use crate::asset::Digest;
use crate::catalog::Asset;
use crate::config::Config;
use crate::jobs::{CheckRow, Finding};
use crate::units::count;

/// Leading zero bytes of a placeholder: 48 hexadecimal digits. A real digest begins with as many once in 2^192 times.
const ZEROS: usize = 24;

/// Whether a digest is a placeholder.
pub(super) fn is_placeholder(digest: &Digest) -> bool {
    digest.as_bytes()[..ZEROS].iter().all(|byte| *byte == 0)
}

/// The placeholders of these assets. `None` if there are none.
pub(super) fn check(config: &Config, assets: &[Arc<Asset>]) -> Option<CheckRow> {
    let finding = |asset: &Asset, key: &str, digest: &Digest| {
        let name = asset.name.as_str();
        let place = config.place_in("asset", name, key);
        is_placeholder(digest).then(|| {
            Finding::failed(
                name,
                "placeholder digest",
                format!("`{key}` is {digest}, a placeholder: the bytes of every source would be refused as wrong"),
                format!("set `{key}` of [[asset]] {name:?} ({place}) to the SHA-256 of its bytes (`sha256sum FILE`)"),
            )
        })
    };
    let findings: Vec<_> = assets
        .iter()
        .flat_map(|asset| {
            let blocks = asset.blocks.as_ref().and_then(|blocks| finding(asset, "blocks_sha256", &blocks.digest));
            [finding(asset, "sha256", &asset.digest), blocks]
        })
        .flatten()
        .collect();
    let summary = format!("{} of {}", count(findings.len(), "placeholder"), count(assets.len(), "asset"));
    (!findings.is_empty()).then(|| CheckRow { check: "digests", place: "[[asset]]".to_owned(), summary, findings })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leading_zeros_make_a_placeholder() {
        let of =
            |zeros: usize| -> Digest { format!("{}{}", "0".repeat(zeros), "1".repeat(64 - zeros)).parse().unwrap() };
        assert!([48, 49, 63, 64].into_iter().all(|zeros| is_placeholder(&of(zeros))));
        assert!([0, 8, 46].into_iter().all(|zeros| !is_placeholder(&of(zeros))));
        assert!(!is_placeholder(&Digest::of(b"")));
    }
}
