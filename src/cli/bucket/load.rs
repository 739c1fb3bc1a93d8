//! The settings, plans and stores of the buckets of a command.

use std::sync::Arc;

use crate::app;
use crate::asset::{SourceTarget, SourceUrl};
use crate::catalog::Collection;
use crate::cli::format::plain;
use crate::cli::say;
use crate::cli::usage_error::UsageError;
use crate::config::{Config, Flags, Inputs, process_environment};
use crate::origin::Origins;
use crate::supply::Store;
use crate::supply::bucket::{BucketPlan, CatalogUse, partition};

/// The settings of this machine. A shared catalog is taken from its copy. Blocks.
pub(super) fn settings(flags: &Flags) -> Result<Config, UsageError> {
    let draft = Inputs::new(flags, process_environment()).read().map_err(UsageError::new)?;
    draft.complete_offline().map_err(UsageError::new)
}

/// The settings with the shared catalog as it is now. Fails if it can neither be read nor has a copy: without it, every object
/// would be an orphan.
pub(super) async fn with_catalog(flags: &Flags) -> anyhow::Result<Config> {
    let draft = Inputs::new(flags, process_environment()).read().map_err(UsageError::new)?;
    let config = app::complete_lenient(draft).await.map_err(UsageError::new)?;
    for warning in &config.warnings {
        say(format_args!("bootdepot: {}", plain(warning)));
    }
    anyhow::ensure!(!config.partial, "the shared catalog cannot be read, so that no object can be compared with it");
    Ok(config)
}

/// The plans of all buckets: those of the settings, else the default ones.
pub(super) fn plans(config: &Config) -> Vec<BucketPlan> {
    if config.buckets.is_empty() { BucketPlan::defaults() } else { config.buckets.clone() }
}

/// The plans of the named buckets. Without names, all.
pub(super) fn selected(config: &Config, names: &[String]) -> Result<Vec<BucketPlan>, UsageError> {
    let plans = plans(config);
    if names.is_empty() {
        return Ok(plans);
    }
    let find = |name: &String| {
        let known = || plans.iter().map(|plan| plan.name.as_str()).collect::<Vec<_>>().join(", ");
        let plan = plans.iter().find(|plan| &plan.name == name).cloned();
        plan.ok_or_else(|| UsageError::new(format!("there is no [[bucket]] {name:?}; there are {}", known())))
    };
    names.iter().map(find).collect()
}

/// The origins of the settings.
pub(super) fn origins(config: &Config) -> anyhow::Result<Origins> {
    Ok(Origins::new(config.origins.clone(), config.timeouts)?)
}

/// The store of a bucket, which an origin of the settings must cover.
pub(super) fn store(origins: &Origins, bucket: &str) -> Result<Store, UsageError> {
    let any = SourceUrl::s3(bucket, "x").map_err(UsageError::new)?;
    let store = Store::of(origins, &any).filter(Store::is_configured);
    store.ok_or_else(|| {
        UsageError::new(format!(
            "no [[origin]] matches s3://{bucket}/; add one with its endpoint and credentials, such as match = \"s3://\""
        ))
    })
}

/// The partition of the ARNs of a bucket, by the region of the origin that covers it.
pub(super) fn partition_of(origins: &Origins, bucket: &str) -> &'static str {
    let store = SourceUrl::s3(bucket, "x").ok().and_then(|any| Store::of(origins, &any));
    partition(store.as_ref().filter(|store| store.is_configured()).map_or("", Store::region))
}

/// The objects of a bucket that the catalogs of the settings name.
pub(super) fn catalog_uses(config: &Config, bucket: &str) -> Vec<CatalogUse> {
    let mut uses = Vec::new();
    let mut add = |source: &SourceUrl, asset: &str| {
        if let SourceTarget::S3 { bucket: found, key, .. } = source.target()
            && found == bucket
        {
            uses.push(CatalogUse { key: key.clone(), asset: asset.to_owned() });
        }
    };
    for asset in config.catalog.assets() {
        let blocks = asset.blocks.iter().map(|blocks| &blocks.source);
        asset.sources.iter().chain(blocks).for_each(|source| add(source, asset.name.as_str()));
    }
    if let Some(shared) = &config.shared {
        add(&shared.url, CATALOG);
    }
    uses
}

/// The asset that an object of a bucket is in a collection of the settings.
pub(super) fn member(config: &Config, bucket: &str, key: &str) -> Option<String> {
    let of = |collection: &Arc<Collection>| collection.name_of(bucket, key);
    config.catalog.collections().iter().find_map(of).map(|name| name.to_string())
}

/// The name that stands for the catalog itself in place of an asset.
pub(super) const CATALOG: &str = "catalog_url";
