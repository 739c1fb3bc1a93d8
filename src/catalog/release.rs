//! Releases: assets that go live, are kept and are dropped together. What is live now is for the room above to know.

use crate::asset::AssetName;

/// Assets that belong together: a kernel, its initramfs and its root file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// Its name.
    pub name: String,
    /// The channel of which it is one of the releases. Of a channel one release is live at a time; a release without a
    /// channel stands for itself.
    pub channel: Option<String>,
    /// Its assets, none twice; never empty.
    pub assets: Vec<AssetName>,
    /// Whether the settings want it live.
    pub active: bool,
}

impl Release {
    /// What all its assets' names begin with: the longest such text that ends in a slash, or nothing.
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

    /// Its asset that is called `short` within it: the asset's name without the [prefix](Self::prefix). Two releases of
    /// one channel call the same part by the same short name.
    pub fn by_short(&self, short: &str) -> Option<&AssetName> {
        let prefix = self.prefix();
        self.assets.iter().find(|asset| &asset.as_str()[prefix.len()..] == short)
    }

    /// The short name of each of its assets.
    pub fn shorts(&self) -> impl Iterator<Item = &str> {
        let length = self.prefix().len();
        self.assets.iter().map(move |asset| &asset.as_str()[length..])
    }
}

/// The directory that a name lies in, with the slash at its end; nothing where it lies in none.
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
    fn a_short_name_is_what_is_left_of_the_common_directory() {
        for (assets, prefix, shorts) in [
            (&["okd/4.19/kernel", "okd/4.19/rootfs.img"][..], "okd/4.19/", &["kernel", "rootfs.img"][..]),
            (&["okd/4.19/kernel", "okd/4.19/img/rootfs"], "okd/4.19/", &["kernel", "img/rootfs"]),
            // A common beginning that is no directory is none.
            (&["okd/4.19/kernel", "okd/4.190/kernel"], "okd/", &["4.19/kernel", "4.190/kernel"]),
            (&["kernel", "okd/kernel"], "", &["kernel", "okd/kernel"]),
            (&["okd/4.19/kernel"], "okd/4.19/", &["kernel"]),
            (&["kernel"], "", &["kernel"]),
        ] {
            let release = release(assets);
            assert_eq!(release.prefix(), prefix, "{assets:?}");
            assert_eq!(release.shorts().collect::<Vec<_>>(), shorts, "{assets:?}");
        }
    }

    #[test]
    fn a_short_name_leads_to_one_asset_and_a_whole_one_to_none() {
        let release = release(&["okd/4.19/kernel", "okd/4.19/rootfs.img"]);
        assert_eq!(release.by_short("kernel").unwrap().as_str(), "okd/4.19/kernel");
        for none in ["okd/4.19/kernel", "4.19/kernel", "", "kernel/", "initrd"] {
            assert_eq!(release.by_short(none), None, "{none:?}");
        }
    }

    proptest! {
        #[test]
        fn every_asset_is_found_by_its_short_name(names in proptest::collection::btree_set("[ab]{1,2}(/[ab.]{1,2}x){0,3}", 1..6)) {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let release = release(&names);
            for (short, asset) in release.shorts().zip(&release.assets) {
                prop_assert_eq!(release.by_short(short), Some(asset));
                prop_assert_eq!(format!("{}{short}", release.prefix()), asset.as_str());
            }
        }
    }
}
