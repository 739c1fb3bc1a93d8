//! The sources in use, by origin and server: what all of them depend on is looked at once.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::item::{Item, Role};
use crate::asset::SourcePrefix;
use crate::catalog::Asset;
use crate::config::Config;
use crate::jobs::{CheckRow, Finding};
use crate::origin::{OriginError, OriginSettings, Origins, Route, Timeouts};
use crate::units::count;

/// The sources of one origin at one server.
pub(super) struct Family {
    pub(super) route: Route,
    /// Never empty.
    pub(super) items: Vec<Item>,
}

/// The origins that can be set up, and what is wrong with the others. Blocks: it reads certificates.
pub(super) fn usable(config: &Config) -> (Vec<OriginSettings>, Vec<CheckRow>) {
    let (mut usable, mut rows) = (Vec::new(), Vec::new());
    for origin in &config.origins {
        match Origins::new(vec![origin.clone()], Timeouts::default()) {
            Ok(_) => usable.push(origin.clone()),
            Err(error) => {
                let reason = match error {
                    OriginError::Settings { reason, .. } => reason,
                    other => other.to_string(),
                };
                let prefix = origin.prefix.as_str();
                let place = config.place_in("origin", prefix, "match");
                let remedy = format!("correct [[origin]] match = {prefix:?} ({place})");
                let findings = vec![Finding::failed("settings", "it cannot be used", reason, remedy)];
                let summary = "it cannot be used".to_owned();
                rows.push(CheckRow { check: "origin", place: prefix.to_owned(), summary, findings });
            }
        }
    }
    (usable, rows)
}

/// The sources of these assets and, if `with_catalog` is set, of the shared catalog; by origin and server, in the order of
/// their names. And a row of those that cannot be asked, each with the reason.
pub(super) fn families(
    config: &Config,
    assets: &[Arc<Asset>],
    with_catalog: bool,
    origins: &Origins,
    unusable: &HashSet<&str>,
) -> (Vec<Family>, Option<CheckRow>) {
    let shared = config.shared.iter().filter(|_| with_catalog).map(|shared| (Role::Catalog, &shared.url));
    let of_assets = assets.iter().flat_map(|asset| {
        let bytes = asset.sources.iter().map(|source| (Role::Asset(Arc::clone(asset)), source));
        bytes.chain(asset.blocks.iter().map(|list| (Role::Blocks(Arc::clone(asset)), &list.source)))
    });
    let mut families: BTreeMap<_, Family> = BTreeMap::new();
    let mut lost = Vec::new();
    for (role, source) in shared.chain(of_assets) {
        let longest = SourcePrefix::longest(config.origins.iter().map(|origin| &origin.prefix), source);
        if let Some(prefix) = longest.filter(|prefix| unusable.contains(prefix.as_str())) {
            lost.push(Finding::unverified(role.name(), format!("not asked: the origin {prefix} cannot be used")));
            continue;
        }
        match origins.route(source) {
            Ok(route) => {
                let server = route.server.as_ref().map(|server| server.url.clone());
                let key = (route.label.clone(), server);
                let item = Item { role, source: source.clone() };
                families.entry(key).or_insert_with(|| Family { route, items: Vec::new() }).items.push(item);
            }
            Err(error) => lost.push(not_routed(config, &role, &error)),
        }
    }
    let summary = format!("{} cannot be asked for", count(lost.len(), "source"));
    let lost =
        (!lost.is_empty()).then(|| CheckRow { check: "objects", place: "-".to_owned(), summary, findings: lost });
    (families.into_values().collect(), lost)
}

fn not_routed(config: &Config, role: &Role, error: &OriginError) -> Finding {
    let remedy = match role {
        Role::Asset(asset) | Role::Blocks(asset) => {
            let key = if matches!(role, Role::Blocks(_)) { "blocks" } else { "sources" };
            let name = asset.name.as_str();
            format!("correct `{key}` of [[asset]] {name:?} ({})", config.place_in("asset", name, key))
        }
        Role::Catalog => format!("correct `catalog_url` ({})", config.place(&["catalog_url"])),
    };
    Finding::failed(role.name(), "settings", error.to_string(), remedy)
}
