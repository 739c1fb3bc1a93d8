//! The objects of a bucket, compared with the catalogs that name them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use futures_util::{StreamExt as _, stream};

use super::metadata::{ObjectNote, notes_of};
use crate::origin::ListedObject;
use crate::supply::error::StoreError;
use crate::supply::store::Store;

/// The file of a directory that describes the objects in it.
const METADATA_FILE: &str = "metadata.json";
/// The largest `metadata.json` that is read, in bytes: thousands of objects. A larger file is one of others.
const LARGEST_METADATA: u64 = 4 << 20;
/// How many of them are read at a time.
const METADATA_READS: usize = 8;
/// The suffixes of files that belong to the object with the rest of the name.
const COMPANION_SUFFIXES: [&str; 2] = [".blocks", ".sha256"];
/// Files that belong to all objects of their directory.
const DIRECTORY_FILES: [&str; 2] = [METADATA_FILE, "SHA256SUMS"];

/// That a catalog names an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogUse {
    /// The object's key.
    pub key: String,
    /// The asset of which it is a source, or `catalog` for the catalog itself.
    pub asset: String,
}

/// Why an object is in the bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum ObjectState {
    /// A catalog names it.
    Named,
    /// It belongs to one that a catalog names: a digest, a block list, the description of a directory.
    Companion,
    /// An empty object that tools show as a folder.
    Folder,
    /// No catalog names it.
    Orphan,
}

/// An object of the bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InventoryObject {
    /// Its key.
    pub key: String,
    /// Its length in bytes.
    pub size: u64,
    /// When it was last modified (RFC 3339), as the server writes it.
    pub last_modified: Option<String>,
    /// Its storage class. `None`: the standard one.
    pub storage_class: Option<String>,
    /// Its version: as `metadata.json` says, else a directory of its key.
    pub version: Option<String>,
    /// The server that it is for, as `metadata.json` says.
    pub server_id: Option<String>,
    /// The assets of which it is a source; those of its object, if it is a companion.
    pub assets: Vec<String>,
    /// Why it is there.
    pub state: ObjectState,
}

/// An object that a catalog names and the bucket does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingObject {
    /// Its key.
    pub key: String,
    /// Its version: a directory of its key.
    pub version: Option<String>,
    /// The assets of which it is a source.
    pub assets: Vec<String>,
}

/// The objects of a bucket.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inventory {
    /// Those in the bucket, by key.
    pub objects: Vec<InventoryObject>,
    /// Those that a catalog names, and that are not in the bucket, by key.
    pub missing: Vec<MissingObject>,
}

impl ObjectState {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

impl Inventory {
    /// Compares a listing with the catalogs. `notes` are those of all `metadata.json`, by key.
    pub fn new(listed: Vec<ListedObject>, uses: &[CatalogUse], notes: &BTreeMap<String, ObjectNote>) -> Self {
        let mut named: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for CatalogUse { key, asset } in uses {
            named.entry(key).or_default().insert(asset);
        }
        let keys: BTreeSet<String> = listed.iter().map(|object| object.key.clone()).collect();
        let in_use = Directories::of(named.keys().copied());
        let missing = named.iter().filter(|(key, _)| !keys.contains(**key));
        let missing = missing.map(|(key, assets)| MissingObject {
            key: (*key).to_owned(),
            version: version_in(key),
            assets: owned(assets),
        });
        let missing = missing.collect();
        let objects = listed.into_iter().map(|object| {
            let main = main_key(&object.key);
            let (state, assets) = match (named.get(object.key.as_str()), main.and_then(|main| named.get(main))) {
                (Some(assets), _) => (ObjectState::Named, owned(assets)),
                (None, Some(assets)) => (ObjectState::Companion, owned(assets)),
                _ if object.key.ends_with('/') && object.size == 0 => (ObjectState::Folder, Vec::new()),
                _ if is_directory_file(&object.key) && in_use.has_directory_of(&object.key) => {
                    (ObjectState::Companion, Vec::new())
                }
                _ => (ObjectState::Orphan, Vec::new()),
            };
            let note = notes.get(&object.key).or_else(|| notes.get(main?));
            let version = note.and_then(|note| note.version.clone()).or_else(|| version_in(&object.key));
            InventoryObject {
                version,
                server_id: note.and_then(|note| note.server_id.clone()),
                key: object.key,
                size: object.size,
                last_modified: object.last_modified,
                storage_class: object.storage_class,
                assets,
                state,
            }
        });
        Self { objects: objects.collect(), missing }
    }
}

/// The directories of some keys.
struct Directories<'k>(BTreeSet<&'k str>);

impl<'k> Directories<'k> {
    fn of(keys: impl Iterator<Item = &'k str>) -> Self {
        Self(keys.map(directory).collect())
    }

    fn has_directory_of(&self, key: &str) -> bool {
        self.0.contains(directory(key))
    }
}

fn owned(assets: &BTreeSet<&str>) -> Vec<String> {
    assets.iter().map(|asset| (*asset).to_owned()).collect()
}

/// The directory of a key, with a slash at its end. Empty if it has none.
pub(super) fn directory(key: &str) -> &str {
    key.rfind('/').map_or("", |slash| &key[..=slash])
}

/// Whether a key is that of a file for all objects of its directory.
pub(super) fn is_directory_file(key: &str) -> bool {
    DIRECTORY_FILES.contains(&&key[directory(key).len()..])
}

/// The key of the object that one belongs to by its name.
pub(super) fn main_key(key: &str) -> Option<&str> {
    COMPANION_SUFFIXES.iter().find_map(|suffix| key.strip_suffix(suffix)).filter(|main| !main.is_empty())
}

/// Whether a key is that of a `metadata.json`.
fn is_metadata(key: &str) -> bool {
    &key[directory(key).len()..] == METADATA_FILE
}

/// The version in a key: the first directory after the first that begins with a digit, or with `v` and a digit.
fn version_in(key: &str) -> Option<String> {
    let directories = directory(key).split_terminator('/').skip(1);
    let mut versions =
        directories.filter(|name| name.trim_start_matches('v').starts_with(|c: char| c.is_ascii_digit()));
    versions.next().map(str::to_owned)
}

/// Reads the objects of `store` whose keys begin with `prefix`, and every `metadata.json` among them, and compares them with the
/// catalogs. `member` returns the asset that an object with this key is in a collection. A `metadata.json` that cannot be read
/// is taken for empty.
pub async fn read_inventory(
    store: &Store,
    prefix: &str,
    uses: &[CatalogUse],
    member: impl Fn(&str) -> Option<String>,
) -> Result<Inventory, StoreError> {
    let listed = store.list(prefix).await?;
    let described = listed.iter().filter(|object| is_metadata(&object.key) && object.size <= LARGEST_METADATA);
    let reads = described.map(|object| async {
        let read = store.get(&object.key).await;
        read.ok().flatten().map(|(text, _)| notes_of(&object.key, &text)).unwrap_or_default()
    });
    let reads: Vec<_> = reads.collect();
    let notes: Vec<BTreeMap<String, ObjectNote>> = stream::iter(reads).buffer_unordered(METADATA_READS).collect().await;
    let notes = notes.into_iter().flatten().collect();
    let mut uses: Vec<CatalogUse> = uses.iter().filter(|it| it.key.starts_with(prefix)).cloned().collect();
    let objects =
        listed.iter().map(|object| &object.key).filter(|key| main_key(key).is_none() && !is_directory_file(key));
    uses.extend(objects.filter_map(|key| Some(CatalogUse { key: key.clone(), asset: member(key)? })));
    Ok(Inventory::new(listed, &uses, &notes))
}

/// The keys of the objects of a listing, with their positions.
pub(super) fn positions(objects: &[InventoryObject]) -> HashMap<&str, usize> {
    objects.iter().enumerate().map(|(index, object)| (object.key.as_str(), index)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(key: &str) -> ListedObject {
        let size = if key.ends_with('/') { 0 } else { 7 };
        ListedObject { key: key.to_owned(), size, etag: None, last_modified: None, storage_class: None }
    }

    fn named(key: &str, asset: &str) -> CatalogUse {
        CatalogUse { key: key.to_owned(), asset: asset.to_owned() }
    }

    #[test]
    fn orphans_and_missing_are_found() {
        let keys = [
            "catalog.toml",
            "okd/",
            "okd/4.19/kernel",
            "okd/4.19/metadata.json",
            "okd/4.20/kernel",
            "okd/4.20/kernel.blocks",
            "okd/4.20/kernel.sha256",
            "okd/4.20/metadata.json",
        ];
        let uses = [
            named("okd/4.20/kernel", "b"),
            named("okd/4.20/kernel", "a"),
            named("okd/4.20/rootfs.img", "rootfs"),
            named("catalog.toml", "catalog"),
        ];
        let inventory = Inventory::new(keys.map(listed).into(), &uses, &BTreeMap::new());
        let states: Vec<_> = inventory.objects.iter().map(|object| object.state.as_str()).collect();
        let expected = ["named", "folder", "orphan", "orphan", "named", "companion", "companion", "companion"];
        assert_eq!(states, expected);
        assert_eq!(inventory.objects[4].assets, ["a", "b"]);
        let missing = MissingObject {
            key: "okd/4.20/rootfs.img".to_owned(),
            version: Some("4.20".to_owned()),
            assets: vec!["rootfs".to_owned()],
        };
        assert_eq!(inventory.missing, [missing]);
    }

    #[test]
    fn metadata_overrides_version_of_key() {
        for (key, version) in [
            ("okd/4.20/kernel", Some("4.20")),
            ("talos/v1.9.0/amd64/kernel", Some("v1.9.0")),
            ("debian/amd64/12/linux", Some("12")),
            ("4.20/kernel", None),
            ("okd/kernel", None),
            ("kernel", None),
        ] {
            assert_eq!(version_in(key).as_deref(), version, "{key}");
        }
        let note = ObjectNote { version: Some("next".to_owned()), server_id: Some("r1".to_owned()) };
        let notes = BTreeMap::from([("okd/4.20/kernel".to_owned(), note)]);
        let keys = ["okd/4.20/kernel", "okd/4.20/kernel.blocks", "okd/4.20/other"];
        let inventory = Inventory::new(keys.map(listed).into(), &[], &notes);
        let versions: Vec<_> = inventory.objects.iter().map(|object| object.version.as_deref().unwrap()).collect();
        assert_eq!(versions, ["next", "next", "4.20"]);
        assert_eq!(inventory.objects[1].server_id.as_deref(), Some("r1"));
    }
}
