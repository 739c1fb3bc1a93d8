//! `bootdepot bucket list`: lists the objects of buckets, and compares them with the catalog.

use std::fmt::Write as _;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::load;
use super::target::Target;
use crate::cli::format::{bytes, count, plain};
use crate::cli::table::Table;
use crate::cli::{print, say};
use crate::config::Flags;
use crate::error_chain::error_chain;
use crate::supply::bucket::{Inventory, InventoryObject, MissingObject, ObjectState, read_inventory};

/// List the objects of buckets, and compare them with the catalog
///
/// The state of an object is `named` (by the settings or the shared catalog), `companion` (a digest, a block list or the
/// description of a directory, of one that is named), `folder`, or `orphan`: no catalog of this machine names it. Objects that the
/// catalog names and the bucket does not have are `missing`. The version comes from `metadata.json`, else from the key; the server
/// from `metadata.json`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  bootdepot bucket list\n  bootdepot bucket list harmony-binaries --orphans\n  bootdepot bucket list s3://harmony-isos/okd/ --version 4.20\n  bootdepot bucket list --missing --json | jq -r '.buckets[].missing[].key'"
)]
pub(super) struct ListCommand {
    /// A bucket's name, or `s3://BUCKET/PREFIX`. Default: all buckets of the settings
    #[arg(value_name = "BUCKET")]
    targets: Vec<Target>,
    /// Only objects of this version
    #[arg(long)]
    version: Option<String>,
    /// Only objects for this server
    #[arg(long, value_name = "ID")]
    server_id: Option<String>,
    /// Only objects of this asset
    #[arg(long, value_name = "NAME")]
    asset: Option<String>,
    /// Only objects that no catalog names
    #[arg(long)]
    orphans: bool,
    /// Only objects that a catalog names and the bucket does not have
    #[arg(long)]
    missing: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    flags: Flags,
}

impl ListCommand {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let config = load::with_catalog(&self.flags).await?;
        let origins = load::origins(&config)?;
        let mut targets = self.targets.clone();
        if targets.is_empty() {
            let all = load::plans(&config).into_iter();
            targets.extend(all.map(|plan| Target { bucket: plan.name, prefix: String::new() }));
        }
        let mut listed = Vec::new();
        let mut has_failed = false;
        for target in &targets {
            let store = load::store(&origins, &target.bucket)?;
            let uses = load::catalog_uses(&config, &target.bucket);
            let member = |key: &str| load::member(&config, &target.bucket, key);
            match read_inventory(&store, &target.prefix, &uses, member).await {
                Ok(inventory) => listed.push((target.bucket.as_str(), self.filtered(inventory))),
                Err(error) => {
                    has_failed = true;
                    say(format_args!("bootdepot: {}", plain(&error_chain(&error).to_string())));
                }
            }
        }
        let printed = if self.json { json_of(&listed)? } else { text(&listed) };
        print(&printed)?;
        Ok(if has_failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    /// The rows that were asked for.
    fn filtered(&self, inventory: Inventory) -> Inventory {
        let fits = |wanted: &Option<String>, found: Option<&String>| wanted.as_ref().is_none_or(|it| Some(it) == found);
        let names = |assets: &[String]| self.asset.as_ref().is_none_or(|asset| assets.contains(asset));
        let object = |it: &InventoryObject| {
            fits(&self.version, it.version.as_ref())
                && fits(&self.server_id, it.server_id.as_ref())
                && names(&it.assets)
                && (!self.orphans || it.state == ObjectState::Orphan)
                && (!self.missing || self.orphans)
        };
        let missing = |it: &MissingObject| {
            fits(&self.version, it.version.as_ref())
                && self.server_id.is_none()
                && names(&it.assets)
                && (!self.orphans || self.missing)
        };
        Inventory {
            objects: inventory.objects.into_iter().filter(object).collect(),
            missing: inventory.missing.into_iter().filter(missing).collect(),
        }
    }
}

fn json_of(listed: &[(&str, Inventory)]) -> serde_json::Result<String> {
    let buckets = listed.iter().map(|(name, inventory)| {
        let objects = inventory.objects.iter().map(|object| {
            json!({
                "key": object.key,
                "size": object.size,
                "last_modified": object.last_modified,
                "storage_class": object.storage_class,
                "version": object.version,
                "server_id": object.server_id,
                "assets": object.assets,
                "state": object.state.as_str(),
            })
        });
        let missing = inventory
            .missing
            .iter()
            .map(|object| json!({ "key": object.key, "version": object.version, "assets": object.assets }));
        json!({ "name": name, "objects": objects.collect::<Value>(), "missing": missing.collect::<Value>() })
    });
    Ok(serde_json::to_string_pretty(&json!({ "buckets": buckets.collect::<Value>() }))? + "\n")
}

fn text(listed: &[(&str, Inventory)]) -> String {
    let mut table = Table::new(&["BUCKET", "KEY", ">SIZE", "STATE", "VERSION", "SERVER", "ASSET"]);
    let or = |text: Option<&String>| text.cloned().unwrap_or_else(|| "-".to_owned());
    let assets = |assets: &[String]| if assets.is_empty() { "-".to_owned() } else { assets.join(", ") };
    let mut summary = String::new();
    for (name, inventory) in listed {
        for object in &inventory.objects {
            let state = match &object.storage_class {
                Some(class) => format!("{} ({class})", object.state.as_str()),
                None => object.state.as_str().to_owned(),
            };
            table.row([
                (*name).to_owned(),
                object.key.clone(),
                bytes(object.size),
                state,
                or(object.version.as_ref()),
                or(object.server_id.as_ref()),
                assets(&object.assets),
            ]);
        }
        for object in &inventory.missing {
            let (none, version) = ("-".to_owned(), or(object.version.as_ref()));
            let state = "missing".to_owned();
            table.row([
                (*name).to_owned(),
                object.key.clone(),
                none.clone(),
                state,
                version,
                none,
                assets(&object.assets),
            ]);
        }
        let orphans = inventory.objects.iter().filter(|object| object.state == ObjectState::Orphan);
        let (orphans, orphaned) = orphans.fold((0_usize, 0), |(number, size), it| (number + 1, size + it.size));
        let size = inventory.objects.iter().map(|object| object.size).sum();
        // Writing to a string does not fail.
        let _ = writeln!(
            summary,
            "{name}: {} ({}), {} ({}), {} missing",
            count(inventory.objects.len(), "object"),
            bytes(size),
            count(orphans, "orphan"),
            bytes(orphaned),
            inventory.missing.len(),
        );
    }
    format!("{}\n{summary}", table.print(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_table_shows_missing_last() {
        let object = |key: &str, state, assets: &[&str]| InventoryObject {
            key: key.to_owned(),
            size: 3 << 20,
            last_modified: None,
            storage_class: None,
            version: Some("4.20".to_owned()),
            server_id: None,
            assets: assets.iter().map(|&asset| asset.to_owned()).collect(),
            state,
        };
        let archived = InventoryObject {
            storage_class: Some("GLACIER_IR".to_owned()),
            server_id: Some("r630-01".to_owned()),
            ..object("okd/4.20/old.iso", ObjectState::Orphan, &[])
        };
        let missing =
            MissingObject { key: "okd/rootfs.img".to_owned(), version: None, assets: vec!["rootfs".to_owned()] };
        let inventory = Inventory {
            objects: vec![object("okd/4.20/kernel", ObjectState::Named, &["kernel"]), archived],
            missing: vec![missing],
        };
        insta::assert_snapshot!(text(&[("isos", inventory)]), @r"
        BUCKET  KEY                  SIZE  STATE                VERSION  SERVER   ASSET
        isos    okd/4.20/kernel   3.0 MiB  named                4.20     -        kernel
        isos    okd/4.20/old.iso  3.0 MiB  orphan (GLACIER_IR)  4.20     r630-01  -
        isos    okd/rootfs.img          -  missing              -        -        rootfs

        isos: 2 objects (6.0 MiB), 1 orphan (3.0 MiB), 1 missing
        ");
    }
}
