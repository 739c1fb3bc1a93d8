//! Enters a release into the text of a catalog, and keeps its comments and order. Pure.

use toml_edit::{Array, ArrayOfTables, DocumentMut, Item, Table, Value, value};

use super::known::{Known, KnownAsset, MirroredAsset};
use crate::asset::Digest;

/// A release for a catalog.
#[derive(Debug, Clone, Copy)]
pub struct ReleaseEntry<'r> {
    /// Its name.
    pub name: &'r str,
    /// Its channel.
    pub channel: Option<&'r str>,
    /// Its assets.
    pub assets: &'r [MirroredAsset],
    /// Whether it becomes the active one of its channel.
    pub activate: bool,
}

/// Why a release cannot be entered into a catalog.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// The catalog is not valid TOML.
    #[error("it is not valid TOML: {0}")]
    Syntax(String),
    /// Its tables are written in a form that cannot be extended.
    #[error("{0} is not a list of tables; write [[{0}]] before each")]
    Form(&'static str),
    /// An asset of the same name has other bytes.
    #[error(
        "it has an asset {name} already, with SHA-256 {found} instead of {expected}; remove it, or change `asset` of the mirror"
    )]
    Conflict {
        /// The asset.
        name: String,
        /// Its digest in the catalog.
        found: String,
        /// The digest of the mirrored file.
        expected: String,
    },
}

/// The text of the catalog with the release. Assets and a release of the same names are brought up to date.
pub fn merge(text: &str, entry: &ReleaseEntry<'_>) -> Result<String, EditError> {
    let mut document = parse(text)?;
    // Comments of a catalog without tables would end up behind the new ones.
    let head = if document.is_empty() { std::mem::take(&mut document).to_string() } else { String::new() };
    for asset in entry.assets {
        let assets = tables(&mut document, "asset")?;
        edit_named(assets, asset.name.as_str(), |table| enter_asset(table, asset))?;
    }
    let releases = tables(&mut document, "release")?;
    if let (true, Some(channel)) = (entry.activate, entry.channel) {
        let others = releases.iter_mut().filter(|release| text_of(release, "channel") == Some(channel));
        others
            .filter(|release| release.contains_key("active"))
            .for_each(|release| set(release, "active", false.into()));
    }
    edit_named(releases, entry.name, |release| {
        if let Some(channel) = entry.channel {
            set(release, "channel", channel.into());
        }
        set(release, "assets", names(entry.assets).into());
        if entry.activate {
            set(release, "active", true.into());
        }
        Ok(())
    })?;
    let gap = if head.is_empty() || head.ends_with("\n\n") { "" } else { "\n" };
    Ok(format!("{head}{gap}{document}"))
}

/// Adds what the catalog names to `known`. Entries that are not complete are left to the validation of the settings.
pub(super) fn read(text: &str, known: &mut Known) -> Result<(), EditError> {
    let mut document = parse(text)?;
    for asset in tables(&mut document, "asset")?.iter() {
        let digest = |key: &str| text_of(asset, key).and_then(|digest| digest.parse::<Digest>().ok());
        let (Some(name), Some(sha256)) = (text_of(asset, "name"), digest("sha256")) else { continue };
        let size = asset.get("size").and_then(Item::as_integer).and_then(|size| u64::try_from(size).ok());
        let blocks = text_of(asset, "blocks").map(str::to_owned).zip(digest("blocks_sha256"));
        known.add_asset(name, KnownAsset { sha256, size, sources: texts(asset, "sources"), blocks });
    }
    for release in tables(&mut document, "release")?.iter() {
        if let Some(name) = text_of(release, "name") {
            known.add_release(name, texts(release, "assets"));
        }
    }
    Ok(())
}

fn texts(table: &Table, key: &str) -> Vec<String> {
    let list = table.get(key).and_then(Item::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The names of assets, one a line.
fn names(assets: &[MirroredAsset]) -> Array {
    let mut names: Array = assets.iter().map(|asset| asset.name.as_str()).collect();
    names.iter_mut().for_each(|name| name.decor_mut().set_prefix("\n    "));
    names.set_trailing("\n");
    names.set_trailing_comma(true);
    names
}

fn enter_asset(table: &mut Table, asset: &MirroredAsset) -> Result<(), EditError> {
    let sha256 = asset.sha256.to_string();
    if let Some(found) = text_of(table, "sha256").filter(|found| !found.eq_ignore_ascii_case(&sha256)) {
        let (name, found) = (asset.name.to_string(), found.to_owned());
        return Err(EditError::Conflict { name, found, expected: sha256 });
    }
    let listed = table.get_mut("sources").and_then(Item::as_array_mut);
    match listed {
        Some(listed) if listed.iter().any(|source| source.as_str() == Some(&asset.source)) => {}
        Some(listed) => listed.insert(0, asset.source.as_str()),
        None => set(table, "sources", Array::from_iter([asset.source.as_str()]).into()),
    }
    set(table, "sha256", sha256.into());
    set(table, "size", i64::try_from(asset.size).unwrap_or(i64::MAX).into());
    if let Some((blocks, digest)) = &asset.blocks {
        set(table, "blocks", blocks.as_str().into());
        set(table, "blocks_sha256", digest.to_string().into());
    }
    Ok(())
}

fn parse(text: &str) -> Result<DocumentMut, EditError> {
    text.parse().map_err(|error: toml_edit::TomlError| EditError::Syntax(error.to_string()))
}

/// The tables of a list, which is added if it is not there.
fn tables<'d>(document: &'d mut DocumentMut, list: &'static str) -> Result<&'d mut ArrayOfTables, EditError> {
    let item = document.entry(list).or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()));
    // An empty list in another form holds nothing that could be lost.
    if item.as_array().is_some_and(Array::is_empty) {
        *item = Item::ArrayOfTables(ArrayOfTables::new());
    }
    item.as_array_of_tables_mut().ok_or(EditError::Form(list))
}

/// Edits the table of this name, which is added if it is not there.
fn edit_named(
    tables: &mut ArrayOfTables,
    name: &str,
    edit: impl FnOnce(&mut Table) -> Result<(), EditError>,
) -> Result<(), EditError> {
    if let Some(table) = tables.iter_mut().find(|table| text_of(table, "name") == Some(name)) {
        return edit(table);
    }
    let mut table = Table::new();
    table.insert("name", value(name));
    edit(&mut table)?;
    tables.push(table);
    Ok(())
}

/// Sets a key, and keeps the comment behind its value.
fn set(table: &mut Table, key: &str, new: Value) {
    match table.get_mut(key).and_then(Item::as_value_mut) {
        Some(old) => {
            let decor = old.decor().clone();
            *old = new;
            *old.decor_mut() = decor;
        }
        None => drop(table.insert(key, Item::Value(new))),
    }
}

fn text_of<'t>(table: &'t Table, key: &str) -> Option<&'t str> {
    table.get(key)?.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asset::AssetName;

    fn asset(name: &str, bytes: &[u8]) -> MirroredAsset {
        MirroredAsset {
            name: AssetName::parse(name).unwrap(),
            source: format!("s3://b/{name}"),
            sha256: Digest::of(bytes),
            size: bytes.len() as u64,
            blocks: None,
        }
    }

    fn entry<'r>(name: &'r str, assets: &'r [MirroredAsset], activate: bool) -> ReleaseEntry<'r> {
        ReleaseEntry { name, channel: Some("os"), assets, activate }
    }

    #[test]
    fn empty_catalog_gets_assets_and_release() {
        let text = merge("", &entry("os-1", &[asset("os/1/kernel", b"abc")], false)).unwrap();
        insta::assert_snapshot!(text, @r#"
        [[asset]]
        name = "os/1/kernel"
        sources = ["s3://b/os/1/kernel"]
        sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        size = 3

        [[release]]
        name = "os-1"
        channel = "os"
        assets = [
            "os/1/kernel",
        ]
        "#);
        assert_eq!(merge(&text, &entry("os-1", &[asset("os/1/kernel", b"abc")], false)).unwrap(), text);
        let mut known = Known::default();
        read(&text, &mut known).unwrap();
        assert!(known.names("s3://b/os/1/kernel"));
        assert_eq!(known.release("os-1"), ["os/1/kernel"]);
        let kernel = asset("os/1/kernel", b"abc");
        assert_eq!(known.asset(&kernel.name, &kernel.source, Some(kernel.sha256)), Some(kernel));
    }

    #[test]
    fn comments_and_order_are_kept() {
        let only_comment = merge("# By hand.\n", &entry("os-1", &[asset("os/1/kernel", b"abc")], false)).unwrap();
        assert!(only_comment.starts_with("# By hand.\n\n[[asset]]\n"), "{only_comment}");
        let before = "# By hand.\n[[asset]] # mine\nname = \"memtest\"\nsources = [\"https://h/m\"] # web\nsha256 = \"00\"\n\n\
            [[release]]\nname = \"os-0\"\nchannel = \"os\"\nassets = [\"memtest\"]\nactive = true # until spring\n";
        let after = merge(before, &entry("os-1", &[asset("os/1/kernel", b"abc")], true)).unwrap();
        assert!(
            after.starts_with("# By hand.\n[[asset]] # mine\nname = \"memtest\"\nsources = [\"https://h/m\"] # web\n"),
            "{after}"
        );
        assert!(after.contains("active = false # until spring\n"), "{after}");
        let releases = after.split("[[release]]").collect::<Vec<_>>();
        assert!(releases.iter().any(|it| it.contains("\"os-1\"") && it.contains("active = true")), "{after}");
    }

    #[test]
    fn other_digest_of_asset_is_conflict() {
        let text = merge("", &entry("os-1", &[asset("os/1/kernel", b"abc")], false)).unwrap();
        let error = merge(&text, &entry("os-1", &[asset("os/1/kernel", b"abd")], false)).unwrap_err();
        assert!(error.to_string().starts_with("it has an asset os/1/kernel already, with SHA-256 ba78"), "{error}");
        assert!(matches!(merge("asset = [", &entry("r", &[], false)), Err(EditError::Syntax(_))));
        assert_eq!(
            merge("asset = [{ name = \"x\" }]", &entry("r", &[asset("k", b"")], false)),
            Err(EditError::Form("asset"))
        );
    }
}
