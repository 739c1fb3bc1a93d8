//! Releases: assets that are activated and retired together. Which release is live now is the business of `boot`.

use crate::asset::AssetName;

/// Assets that belong together, such as a kernel, its initramfs and its root file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// Its name.
    pub name: String,
    /// Its channel. One release of a channel is live at a time. A release without a channel is independent.
    pub channel: Option<String>,
    /// Its assets, without duplicates; never empty.
    pub assets: Vec<AssetName>,
    /// Whether the configuration activates it.
    pub active: bool,
}

impl Release {
    /// The common directory of its assets' names, with a slash at its end. Empty if there is none.
    pub fn prefix(&self) -> &str {
        let Some((first, rest)) = self.assets.split_first() else { return "" };
        let mut prefix = directory(first.as_str());
        for asset in rest {
            while !asset.as_str().starts_with(prefix) {
                prefix = directory(&prefix[..prefix.len() - 1]);
            }
        }
        prefix
    }

    /// The asset with this short name: its name without the [prefix](Self::prefix). Corresponding assets of the releases of
    /// a channel have the same short name.
    pub fn by_short_name(&self, short: &str) -> Option<&AssetName> {
        let prefix = self.prefix();
        self.assets.iter().find(|asset| &asset.as_str()[prefix.len()..] == short)
    }

    /// The short names of its assets.
    pub fn short_names(&self) -> impl Iterator<Item = &str> {
        let length = self.prefix().len();
        self.assets.iter().map(move |asset| &asset.as_str()[length..])
    }
}

/// The directory of a name, with a slash at its end. Empty if it has none.
fn directory(name: &str) -> &str {
    name.rfind('/').map_or("", |slash| &name[..=slash])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn release(assets: &[&str]) -> Release {
        let assets = assets.iter().map(|name| AssetName::parse(name).unwrap()).collect();
        Release { name: "r".to_owned(), channel: None, assets, active: false }
    }

    #[test]
    fn short_name_omits_common_directory() {
        for (assets, prefix, short_names) in [
            (&["okd/4.19/kernel", "okd/4.19/rootfs.img"][..], "okd/4.19/", &["kernel", "rootfs.img"][..]),
            (&["okd/4.19/kernel", "okd/4.19/img/rootfs"], "okd/4.19/", &["kernel", "img/rootfs"]),
            // A common prefix that is not a directory does not count.
            (&["okd/4.19/kernel", "okd/4.190/kernel"], "okd/", &["4.19/kernel", "4.190/kernel"]),
            (&["kernel", "okd/kernel"], "", &["kernel", "okd/kernel"]),
            (&["okd/4.19/kernel"], "okd/4.19/", &["kernel"]),
            (&["kernel"], "", &["kernel"]),
        ] {
            let release = release(assets);
            assert_eq!(release.prefix(), prefix, "{assets:?}");
            assert_eq!(release.short_names().collect::<Vec<_>>(), short_names, "{assets:?}");
        }
    }

    #[test]
    fn only_short_names_are_found() {
        let release = release(&["okd/4.19/kernel", "okd/4.19/rootfs.img"]);
        assert_eq!(release.by_short_name("kernel").unwrap().as_str(), "okd/4.19/kernel");
        for unknown in ["okd/4.19/kernel", "4.19/kernel", "", "kernel/", "initrd"] {
            assert_eq!(release.by_short_name(unknown), None, "{unknown:?}");
        }
    }

    proptest! {
        #[test]
        fn every_short_name_finds_its_asset(names in proptest::collection::btree_set("[ab]{1,2}(/[ab.]{1,2}x){0,3}", 1..6)) {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let release = release(&names);
            for (short, asset) in release.short_names().zip(&release.assets) {
                prop_assert_eq!(release.by_short_name(short), Some(asset));
                prop_assert_eq!(format!("{}{short}", release.prefix()), asset.as_str());
            }
        }
    }
}
