//! Changes the text of a catalog that people write: comments and order stay. Pure.

use toml_edit::{Array, ArrayOfTables, DocumentMut, Item, Table, Value, value};

use super::catalog_entry::{CatalogEntry, ReleaseEntry};
use crate::asset::Digest;

/// A change of a catalog.
#[derive(Debug, Clone)]
pub struct CatalogChange {
    /// The assets that are added or brought up to date.
    pub assets: Vec<CatalogEntry>,
    /// The release that they belong to.
    pub release: Option<ReleaseEntry>,
    /// Whether an asset that has another digest gets the new one. If not, the change fails.
    pub replaces_digests: bool,
}

/// Why a catalog cannot be changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// It is not TOML.
    #[error("it is not valid TOML: {0}")]
    Syntax(String),
    /// A table has another form.
    #[error("it has {0:?} in a form that cannot be extended; write each as a table of its own: [[{0}]]")]
    Form(&'static str),
    /// A size is too large for TOML.
    #[error("the size of {0} is larger than TOML can say")]
    Size(String),
    /// An asset of the same name has other bytes.
    #[error(
        "it has an asset {name} already, with SHA-256 {found} instead of {expected}; remove it, or change `asset` of the mirror"
    )]
    Conflict {
        /// The asset.
        name: String,
        /// Its digest in the catalog.
        found: String,
        /// The digest of the change.
        expected: Digest,
    },
}

/// An asset of a catalog, as far as its entry is complete.
#[derive(Debug, Clone)]
pub(super) struct ListedAsset {
    pub(super) name: String,
    pub(super) sha256: Digest,
    pub(super) size: Option<u64>,
    pub(super) sources: Vec<String>,
    pub(super) blocks: Option<(String, Digest)>,
}

/// A release of a catalog.
#[derive(Debug, Clone)]
pub(super) struct ListedRelease {
    pub(super) name: String,
    pub(super) assets: Vec<String>,
}

impl CatalogChange {
    /// The change as a catalog of its own.
    pub fn text(&self) -> Result<String, EditError> {
        self.apply("")
    }

    /// The text of a catalog after the change. An asset keeps the keys that the change does not name, and its other sources if
    /// its digest is the same. An equal value stays as it is written.
    pub fn apply(&self, text: &str) -> Result<String, EditError> {
        let mut document = parse(text)?;
        // Comments of a catalog without tables would end up behind the new ones.
        let head = if document.is_empty() { std::mem::take(&mut document).to_string() } else { String::new() };
        for entry in &self.assets {
            let table = named(tables(&mut document, "asset")?, entry.name.as_str());
            self.set_asset(table, entry)?;
        }
        if let Some(release) = &self.release {
            self.set_release(tables(&mut document, "release")?, release)?;
        }
        let gap = if head.is_empty() || head.ends_with("\n\n") { "" } else { "\n" };
        Ok(format!("{head}{gap}{document}"))
    }

    fn set_asset(&self, table: &mut Table, entry: &CatalogEntry) -> Result<(), EditError> {
        let (name, digest) = (entry.name.to_string(), entry.sha256.to_string());
        let other = text_of(table, "sha256").filter(|found| !found.eq_ignore_ascii_case(&digest));
        if let Some(found) = other.filter(|_| !self.replaces_digests) {
            return Err(EditError::Conflict { name, found: found.to_owned(), expected: entry.sha256 });
        }
        let is_same = other.is_none();
        let mut sources =
            table.get("sources").and_then(Item::as_array).filter(|_| is_same).cloned().unwrap_or_default();
        // First: it is ours, and complete.
        add(&mut sources, 0, &entry.source);
        let size = i64::try_from(entry.size).map_err(|_| EditError::Size(name))?;
        set(table, "sources", sources.into());
        set(table, "sha256", digest.into());
        set(table, "size", size.into());
        match &entry.blocks {
            Some((blocks, digest)) => {
                set(table, "blocks", blocks.as_str().into());
                set(table, "blocks_sha256", digest.to_string().into());
            }
            // A list of the bytes that it had.
            None if !is_same => ["blocks", "blocks_sha256"].iter().for_each(|key| drop(table.remove(key))),
            None => {}
        }
        Ok(())
    }

    fn set_release(&self, releases: &mut ArrayOfTables, entry: &ReleaseEntry) -> Result<(), EditError> {
        if let (true, Some(channel)) = (entry.activate, &entry.channel) {
            let others = releases.iter_mut().filter(|release| text_of(release, "channel") == Some(channel));
            others
                .filter(|release| release.contains_key("active"))
                .for_each(|release| set(release, "active", false.into()));
        }
        let release = named(releases, &entry.name);
        if let Some(channel) = &entry.channel {
            set(release, "channel", channel.into());
        }
        let names = self.assets.iter().map(|asset| asset.name.as_str());
        if entry.is_whole || !release.contains_key("assets") {
            set(release, "assets", one_a_line(names).into());
        } else {
            let assets = release.get_mut("assets").and_then(Item::as_array_mut).ok_or(EditError::Form("release"))?;
            names.for_each(|name| add(assets, assets.len(), name));
        }
        if entry.activate {
            set(release, "active", true.into());
        }
        Ok(())
    }
}

/// The assets and releases of a catalog. An incomplete entry is left to the validation of the settings.
pub(super) fn read_catalog(text: &str) -> Result<(Vec<ListedAsset>, Vec<ListedRelease>), EditError> {
    let mut document = parse(text)?;
    let assets = tables(&mut document, "asset")?.iter().filter_map(listed_asset).collect();
    let releases = tables(&mut document, "release")?.iter().filter_map(|release| {
        Some(ListedRelease { name: text_of(release, "name")?.to_owned(), assets: texts(release, "assets") })
    });
    Ok((assets, releases.collect()))
}

fn listed_asset(asset: &Table) -> Option<ListedAsset> {
    let digest = |key: &str| text_of(asset, key).and_then(|digest| digest.parse::<Digest>().ok());
    Some(ListedAsset {
        name: text_of(asset, "name")?.to_owned(),
        sha256: digest("sha256")?,
        size: asset.get("size").and_then(Item::as_integer).and_then(|size| u64::try_from(size).ok()),
        sources: texts(asset, "sources"),
        blocks: text_of(asset, "blocks").map(str::to_owned).zip(digest("blocks_sha256")),
    })
}

fn parse(text: &str) -> Result<DocumentMut, EditError> {
    text.parse().map_err(|error: toml_edit::TomlError| EditError::Syntax(error.to_string()))
}

/// The tables `[[list]]` of a document.
fn tables<'d>(document: &'d mut DocumentMut, list: &'static str) -> Result<&'d mut ArrayOfTables, EditError> {
    // An empty list in another form holds nothing that could be lost.
    if document.get(list).and_then(Item::as_array).is_some_and(Array::is_empty) {
        document.remove(list);
    }
    let item = document.entry(list).or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()));
    item.as_array_of_tables_mut().ok_or(EditError::Form(list))
}

/// The table of this name, which is added if it is not there.
fn named<'t>(tables: &'t mut ArrayOfTables, name: &str) -> &'t mut Table {
    let known = tables.iter().position(|table| text_of(table, "name") == Some(name));
    let index = known.unwrap_or_else(|| {
        let mut table = Table::new();
        table.insert("name", value(name));
        tables.push(table);
        tables.len() - 1
    });
    tables.get_mut(index).expect("the table was found or added")
}

fn text_of<'t>(table: &'t Table, key: &str) -> Option<&'t str> {
    table.get(key)?.as_str()
}

fn texts(table: &Table, key: &str) -> Vec<String> {
    let list = table.get(key).and_then(Item::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Sets a key. An old value leaves its place and its comment to the new one; an equal one stays as it is written.
fn set(table: &mut Table, key: &str, mut new: Value) {
    match table.get_mut(key).and_then(Item::as_value_mut) {
        Some(old) if plain(old) == plain(&new) => {}
        Some(old) => {
            *new.decor_mut() = old.decor().clone();
            *old = new;
        }
        None => drop(table.insert(key, Item::Value(new))),
    }
}

/// A value without its decoration, to compare.
fn plain(value: &Value) -> String {
    match value {
        Value::Array(array) => array.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n"),
        Value::String(text) => text.value().clone(),
        Value::Integer(number) => number.value().to_string(),
        Value::Boolean(flag) => flag.value().to_string(),
        other => other.to_string(),
    }
}

/// An array with an entry a line.
fn one_a_line<'n>(names: impl Iterator<Item = &'n str>) -> Array {
    let mut array: Array = names.collect();
    array.iter_mut().for_each(|name| name.decor_mut().set_prefix("\n    "));
    if !array.is_empty() {
        array.set_trailing("\n");
        array.set_trailing_comma(true);
    }
    array
}

/// Adds a text to an array at `index`, in the form of the others, unless it is there.
fn add(array: &mut Array, index: usize, text: &str) {
    if array.iter().any(|known| known.as_str() == Some(text)) {
        return;
    }
    let neighbour = array.get(index).or_else(|| array.iter().last());
    let prefix = neighbour.and_then(|value| Some(value.decor().prefix()?.as_str()?.to_owned())).unwrap_or_default();
    // An array with an entry a line goes on like that.
    let line = prefix.rfind('\n').map(|line| prefix[line..].to_owned());
    let mut new = Value::from(text);
    if let Some(next) = array.get_mut(index) {
        // A comment above the next entry stays there, and one behind the bracket behind the bracket.
        let (before, after) = prefix.split_at(prefix.find('\n').unwrap_or(prefix.len()));
        new.decor_mut().set_prefix(format!("{before}{}", line.as_deref().unwrap_or_default()));
        next.decor_mut().set_prefix(if after.is_empty() { " " } else { after });
        array.insert_formatted(index, new);
        return;
    }
    let Some(indent) = line else { return array.push(new) };
    // A comment behind the last comma belongs to the entry before it.
    let trailing = array.trailing().as_str().unwrap_or_default().to_owned();
    let (comment, end) = trailing.split_at(trailing.rfind('\n').unwrap_or(0));
    new.decor_mut().set_prefix(format!("{comment}{indent}"));
    array.push_formatted(new);
    array.set_trailing(end);
}

#[cfg(test)]
mod tests;
