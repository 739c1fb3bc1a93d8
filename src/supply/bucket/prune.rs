//! Which objects of a bucket are not used any more.
//!
//! An object is used when one of its assets is requested, and when it is uploaded. Objects that something still needs are kept,
//! whatever their last use.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::inventory::{InventoryObject, ObjectState, directory, is_directory_file, main_key, positions};

/// The known use of an asset.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AssetUse {
    /// When it was last requested. `None` if no request is known.
    pub last: Option<Timestamp>,
    /// Everything that needs it, such as `release okd-4.20`. Empty if nothing does.
    pub needed_by: Vec<String>,
}

/// Whether an object is deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PruneVerdict {
    /// It is deleted.
    Delete,
    /// It was used lately, or its last use is not known.
    Used,
    /// These need it.
    Needed(Vec<String>),
}

/// An object, and whether it is deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PruneObject {
    /// Its key.
    pub key: String,
    /// Its length in bytes, with its companions.
    pub size: u64,
    /// Its last use, as far as is known: the last request, else the upload.
    pub last_use: Option<Timestamp>,
    /// The keys of the files that belong to it.
    pub companions: Vec<String>,
    /// Whether it is deleted.
    pub verdict: PruneVerdict,
}

/// Decides about each object that is neither a folder nor the companion of another.
/// Files for a whole directory are deleted with its last object.
pub fn prune_plan(
    objects: &[InventoryObject],
    uses: &BTreeMap<String, AssetUse>,
    now: Timestamp,
    unused: Duration,
) -> Vec<PruneObject> {
    let positions = positions(objects);
    let main_of = |object: &InventoryObject| {
        let main = main_key(&object.key).filter(|main| positions.contains_key(main))?;
        Some(main.to_owned())
    };
    let mut companions: HashMap<String, Vec<&InventoryObject>> = HashMap::new();
    let mut mains = Vec::new();
    let mut for_directory: Vec<&InventoryObject> = Vec::new();
    for object in objects {
        match main_of(object) {
            Some(main) => companions.entry(main).or_default().push(object),
            None if object.state == ObjectState::Folder => {}
            None if is_directory_file(&object.key) => for_directory.push(object),
            None => mains.push(object),
        }
    }
    let mut plan: Vec<PruneObject> = mains
        .into_iter()
        .map(|object| {
            let files = companions.remove(&object.key).unwrap_or_default();
            // A catalog may name the block list of an object by another name of the asset.
            let assets = object.assets.iter().chain(files.iter().flat_map(|file| &file.assets));
            let known: Vec<&AssetUse> = assets.filter_map(|asset| uses.get(asset)).collect();
            let uploaded = object.last_modified.as_ref().and_then(|text| text.parse().ok());
            let last_use = known.iter().filter_map(|it| it.last).chain(uploaded).max();
            let mut needed: Vec<String> = known.iter().flat_map(|it| it.needed_by.clone()).collect();
            needed.sort();
            needed.dedup();
            let is_unused = last_use.is_some_and(|last| is_older(last, now, unused));
            PruneObject {
                key: object.key.clone(),
                size: object.size + files.iter().map(|file| file.size).sum::<u64>(),
                last_use,
                companions: files.iter().map(|file| file.key.clone()).collect(),
                verdict: match (needed.is_empty(), is_unused) {
                    (false, _) => PruneVerdict::Needed(needed),
                    (true, true) => PruneVerdict::Delete,
                    (true, false) => PruneVerdict::Used,
                },
            }
        })
        .collect();
    add_directory_files(&mut plan, &for_directory);
    plan
}

/// Adds the files for a whole directory to its last object, if all its objects are deleted.
fn add_directory_files(plan: &mut [PruneObject], files: &[&InventoryObject]) {
    let is_deleted = |object: &PruneObject| object.verdict == PruneVerdict::Delete;
    let kept: HashSet<String> =
        plan.iter().filter(|it| !is_deleted(it)).map(|it| directory(&it.key).to_owned()).collect();
    for file in files {
        let place = directory(&file.key);
        if kept.contains(place) {
            continue;
        }
        if let Some(last) = plan.iter_mut().rev().find(|it| directory(&it.key) == place) {
            last.companions.push(file.key.clone());
            last.size += file.size;
        }
    }
}

fn is_older(time: Timestamp, now: Timestamp, age: Duration) -> bool {
    SignedDuration::try_from(age).is_ok_and(|age| now.duration_since(time) >= age)
}

#[cfg(test)]
mod tests {
    use super::super::inventory::{CatalogUse, Inventory};
    use super::*;
    use crate::origin::ListedObject;

    const DAY: Duration = Duration::from_hours(24);

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// The plan on the 31st for objects that were uploaded on the first, except those whose key ends with `new`.
    fn plan(keys: &[&str], uses: &[(&str, AssetUse)]) -> Vec<PruneObject> {
        let listed = keys.iter().map(|key| ListedObject {
            key: (*key).to_owned(),
            size: if key.ends_with('/') { 0 } else { 10 },
            etag: None,
            last_modified: Some(
                if key.ends_with("new") { "2026-01-30T00:00:00Z" } else { "2026-01-01T00:00:00Z" }.to_owned(),
            ),
            storage_class: None,
        });
        let named: Vec<_> =
            uses.iter().map(|(key, _)| CatalogUse { key: (*key).to_owned(), asset: (*key).to_owned() }).collect();
        let inventory = Inventory::new(listed.collect(), &named, &BTreeMap::new());
        let uses = uses.iter().map(|(key, used)| ((*key).to_owned(), used.clone())).collect();
        prune_plan(&inventory.objects, &uses, at("2026-01-31T00:00:00Z"), 30 * DAY)
    }

    fn used(last: &str) -> AssetUse {
        AssetUse { last: Some(at(last)), needed_by: Vec::new() }
    }

    #[test]
    fn unused_objects_are_deleted() {
        let plan = plan(
            &["d/", "d/old", "d/new", "d/used", "d/stale"],
            &[("d/used", used("2026-01-20T00:00:00Z")), ("d/stale", used("2026-01-01T00:00:00Z"))],
        );
        let verdicts: Vec<_> = plan.iter().map(|it| (it.key.as_str(), it.verdict == PruneVerdict::Delete)).collect();
        assert_eq!(verdicts, [("d/old", true), ("d/new", false), ("d/used", false), ("d/stale", true)]);
    }

    #[test]
    fn needed_objects_are_kept() {
        let needed = AssetUse { last: None, needed_by: vec!["release b".to_owned(), "pin".to_owned()] };
        let plan = plan(&["kernel", "kernel.blocks"], &[("kernel", needed)]);
        assert_eq!(plan.len(), 1);
        assert_eq!(plan[0].verdict, PruneVerdict::Needed(vec!["pin".to_owned(), "release b".to_owned()]));
    }

    #[test]
    fn companions_share_fate_of_object() {
        let plan = plan(
            &["a/kernel", "a/kernel.sha256", "a/metadata.json", "b/metadata.json", "b/new", "b/old", "lone.sha256"],
            &[],
        );
        let row = |key: &str| plan.iter().find(|it| it.key == key).unwrap();
        assert_eq!(row("a/kernel").companions, ["a/kernel.sha256", "a/metadata.json"]);
        assert_eq!(row("a/kernel").size, 30);
        assert!(row("b/old").companions.is_empty(), "b/new still has the metadata");
        assert_eq!(row("lone.sha256").verdict, PruneVerdict::Delete);
        assert_eq!(plan.len(), 4);
    }

    #[test]
    fn object_without_time_is_kept() {
        let object = InventoryObject {
            key: "k".to_owned(),
            size: 1,
            last_modified: None,
            storage_class: None,
            version: None,
            server_id: None,
            assets: Vec::new(),
            state: ObjectState::Orphan,
        };
        let plan = prune_plan(&[object], &BTreeMap::new(), at("2026-01-31T00:00:00Z"), Duration::ZERO);
        assert_eq!(plan[0].verdict, PruneVerdict::Used);
    }
}
