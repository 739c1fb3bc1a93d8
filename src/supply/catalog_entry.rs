//! The catalog's entry of a published object, and its merge into a catalog that people write: comments and order stay.

use toml_edit::{Array, ArrayOfTables, DocumentMut, Item, Table, Value, value};

use crate::asset::Digest;

/// The entry of an asset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogEntry {
    /// Its name.
    pub name: String,
    /// The URL of the object.
    pub source: String,
    /// Its SHA-256.
    pub sha256: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// The URL of its block list.
    pub blocks: String,
    /// The SHA-256 of the block list.
    pub blocks_sha256: Digest,
}

/// Why entries cannot be merged into a catalog.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// It is not TOML.
    #[error("it is not valid TOML: {0}")]
    Syntax(String),
    /// A table has another form.
    #[error("it has {0:?} in a form that cannot be merged; write each as a table of its own: [[{0}]]")]
    Form(&'static str),
    /// A size is too large for TOML.
    #[error("the size of {0} is larger than TOML can say")]
    Size(String),
}

/// The text of these entries as a catalog of its own.
pub fn catalog_text(entries: &[CatalogEntry], release: Option<&str>) -> Result<String, MergeError> {
    merge_catalog("", entries, release)
}

/// Merges entries into the text of a catalog. An asset with the same name gets the new digest, size and block list and keeps its
/// other keys; further sources stay if the digest is the same. `release`: the release that the assets are added to; a new one is
/// not active.
pub fn merge_catalog(text: &str, entries: &[CatalogEntry], release: Option<&str>) -> Result<String, MergeError> {
    let mut document: DocumentMut =
        text.parse().map_err(|error: toml_edit::TomlError| MergeError::Syntax(error.to_string()))?;
    let assets = tables(&mut document, "asset")?;
    for entry in entries {
        if let Some(table) = assets.iter_mut().find(|table| text_of(table, "name") == Some(&entry.name)) {
            update(table, entry)?;
            continue;
        }
        let mut table = Table::new();
        table["name"] = value(&entry.name);
        update(&mut table, entry)?;
        assets.push(table);
    }
    if let Some(release) = release {
        let releases = tables(&mut document, "release")?;
        if !releases.iter().any(|table| text_of(table, "name") == Some(release)) {
            let mut table = Table::new();
            table["name"] = value(release);
            table["assets"] = value(Array::new());
            releases.push(table);
        }
        for table in releases.iter_mut().filter(|table| text_of(table, "name") == Some(release)) {
            let names = table.entry("assets").or_insert_with(|| value(Array::new()));
            let names = names.as_array_mut().ok_or(MergeError::Form("release"))?;
            for entry in entries {
                add(names, &entry.name);
            }
        }
    }
    Ok(document.to_string())
}

/// The tables `[[name]]` of a document.
fn tables<'d>(document: &'d mut DocumentMut, name: &'static str) -> Result<&'d mut ArrayOfTables, MergeError> {
    let item = document.entry(name).or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()));
    item.as_array_of_tables_mut().ok_or(MergeError::Form(name))
}

fn text_of<'t>(table: &'t Table, key: &str) -> Option<&'t str> {
    table.get(key)?.as_str()
}

fn update(table: &mut Table, entry: &CatalogEntry) -> Result<(), MergeError> {
    let digest = entry.sha256.to_string();
    let is_same = text_of(table, "sha256").is_some_and(|old| old.eq_ignore_ascii_case(&digest));
    let mut sources = table.get("sources").and_then(Item::as_array).filter(|_| is_same).cloned().unwrap_or_default();
    add(&mut sources, &entry.source);
    let size = i64::try_from(entry.size).map_err(|_| MergeError::Size(entry.name.clone()))?;
    set(table, "sources", sources.into());
    set(table, "sha256", digest.into());
    set(table, "size", size.into());
    set(table, "blocks", entry.blocks.as_str().into());
    set(table, "blocks_sha256", entry.blocks_sha256.to_string().into());
    Ok(())
}

/// Sets a key. An old value leaves its place and its comment to the new one; an equal one stays as it is written.
fn set(table: &mut Table, key: &str, mut new: Value) {
    match table.get_mut(key).and_then(Item::as_value_mut) {
        Some(old) if plain(old) == plain(&new) => {}
        Some(old) => {
            *new.decor_mut() = old.decor().clone();
            *old = new;
        }
        None => table[key] = Item::Value(new),
    }
}

/// A value without its decoration, to compare.
fn plain(value: &Value) -> String {
    match value {
        Value::Array(array) => array.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n"),
        Value::String(text) => text.value().clone(),
        Value::Integer(number) => number.value().to_string(),
        other => other.to_string(),
    }
}

/// Adds a text to an array, in the form of the others, unless it is there.
fn add(array: &mut Array, text: &str) {
    if array.iter().any(|known| known.as_str() == Some(text)) {
        return;
    }
    let last = array.iter().last().map(|last| last.decor().clone());
    let prefix = last.and_then(|decor| Some(decor.prefix()?.as_str()?.to_owned())).unwrap_or_default();
    // An array with an entry a line goes on like that.
    let Some(indent) = prefix.rfind('\n').map(|line| prefix[line..].to_owned()) else {
        array.push(text);
        return;
    };
    // A comment behind the last comma belongs to the entry before it.
    let trailing = array.trailing().as_str().unwrap_or_default().to_owned();
    let (comment, end) = trailing.split_at(trailing.rfind('\n').unwrap_or(0));
    let mut new = Value::from(text);
    new.decor_mut().set_prefix(format!("{comment}{indent}"));
    array.push_formatted(new);
    array.set_trailing(end);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, content: &[u8]) -> CatalogEntry {
        CatalogEntry {
            name: name.to_owned(),
            source: format!("s3://b/{name}"),
            sha256: Digest::of(content),
            size: content.len() as u64,
            blocks: format!("s3://b/{name}.blocks"),
            blocks_sha256: Digest::of(b"list"),
        }
    }

    #[test]
    fn new_catalog_has_asset_and_release() {
        let text = catalog_text(&[entry("okd/kernel", b"abc")], Some("okd-4.19")).unwrap();
        let (digest, list) = (Digest::of(b"abc"), Digest::of(b"list"));
        let expected = format!(
            "[[asset]]\nname = \"okd/kernel\"\nsources = [\"s3://b/okd/kernel\"]\nsha256 = \"{digest}\"\nsize = 3\n\
             blocks = \"s3://b/okd/kernel.blocks\"\nblocks_sha256 = \"{list}\"\n\n[[release]]\nname = \"okd-4.19\"\n\
             assets = [\"okd/kernel\"]\n"
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn comments_and_order_are_kept() {
        let old = format!(
            "# The catalog of the lab.\n\n[[release]] # live\nname = \"r\"\nactive = true\nassets = [\n  \"okd/initrd\", # first\n]\n\n\
             # The kernel.\n[[asset]]\nsize = 9 # bytes\npin = true\nname = \"okd/kernel\"\nsha256 = \"{}\"\n\
             sources = [\"https://mirror/kernel\"]\n\n# The last one.\n[[asset]]\nname = \"z\"\n",
            Digest::of(b"old")
        );
        let text = merge_catalog(&old, &[entry("okd/kernel", b"abc"), entry("new", b"x")], Some("r")).unwrap();
        let places: Vec<_> = [
            "# The catalog of the lab.",
            "[[release]] # live",
            "\"okd/initrd\", # first",
            "\n  \"okd/kernel\",\n  \"new\",\n]",
            "# The kernel.",
            "size = 3 # bytes\npin = true\n",
            "sources = [\"s3://b/okd/kernel\"]",
            "# The last one.",
            "name = \"z\"\n\n[[asset]]\nname = \"new\"",
        ]
        .into_iter()
        .map(|part| text.find(part).unwrap_or_else(|| panic!("no {part:?} in {text}")))
        .collect();
        assert!(places.is_sorted(), "{text}");
        assert!(!text.contains("mirror"), "it has the old bytes");
        assert_eq!(merge_catalog(&text, &[entry("okd/kernel", b"abc"), entry("new", b"x")], Some("r")).unwrap(), text);
    }

    #[test]
    fn other_sources_of_same_bytes_stay() {
        let old = format!(
            "[[asset]]\nname = \"k\"\nsources = [ \"https://mirror/k\" ]\nsha256 = \"{}\"\n",
            Digest::of(b"abc")
        );
        let text = merge_catalog(&old, &[entry("k", b"abc")], None).unwrap();
        assert!(text.contains("\"https://mirror/k\"") && text.contains("\"s3://b/k\""), "{text}");
    }

    #[test]
    fn unknown_forms_are_refused() {
        assert_eq!(merge_catalog("asset = 7", &[entry("k", b"")], None), Err(MergeError::Form("asset")));
        assert!(matches!(merge_catalog("a =", &[], None), Err(MergeError::Syntax(_))));
    }
}
