//! The use of assets as this node knows it: its cache, its ledger, and what its settings need.

use std::collections::BTreeMap;

use anyhow::Context as _;
use jiff::Timestamp;

use super::load::CATALOG;
use crate::api::{AssetState, AssetView, MachineView, PreloadOrder};
use crate::cli::client::ApiClient;
use crate::config::Config;
use crate::supply::bucket::AssetUse;

/// The use of each asset. Fails if something that needs assets cannot be asked: then no object may be deleted.
pub(super) async fn asset_uses(client: &ApiClient, config: &Config) -> anyhow::Result<BTreeMap<String, AssetUse>> {
    let mut uses = Uses::default();
    uses.need(CATALOG, CATALOG);
    uses.settings(config);
    for asset in client.assets("", None).await? {
        uses.asset(&asset);
    }
    for profile in config.roster.profiles() {
        let order = PreloadOrder { profiles: vec![profile.name.clone()], ..PreloadOrder::default() };
        let plan = client.plan(&order).await;
        let plan = plan.with_context(|| format!("the assets of the profile {} are not known", profile.name))?;
        plan.items.iter().for_each(|item| uses.need(&item.name, &format!("profile {}", profile.name)));
    }
    let hosts: Vec<String> = config.roster.hosts().iter().map(|host| host.name.clone()).collect();
    if !hosts.is_empty() {
        let plan = client.plan(&PreloadOrder { hosts, ..PreloadOrder::default() }).await;
        let plan = plan.context("the assets of the hosts are not known")?;
        plan.items.iter().for_each(|item| uses.need(&item.name, "a host"));
    }
    for machine in client.hosts(&[], false).await? {
        if let Some(name) = machine.name.clone().or_else(|| Some(machine.mac?.to_string()))
            && machine.seen.is_some()
        {
            uses.machine(&client.host(&name).await?);
        }
    }
    Ok(uses.0)
}

#[derive(Default)]
struct Uses(BTreeMap<String, AssetUse>);

impl Uses {
    fn need(&mut self, asset: &str, by: &str) {
        self.0.entry(asset.to_owned()).or_default().needed_by.push(by.to_owned());
    }

    fn used(&mut self, asset: &str, at: Option<Timestamp>) {
        let known = self.0.entry(asset.to_owned()).or_default();
        known.last = known.last.max(at);
    }

    /// Adds the needs of the settings on the disk, which a running server may not have loaded.
    fn settings(&mut self, config: &Config) {
        for release in &config.releases {
            release.assets.iter().for_each(|asset| self.need(asset.as_str(), &format!("release {}", release.name)));
        }
        config.catalog.assets().filter(|asset| asset.pin).for_each(|asset| self.need(asset.name.as_str(), "settings"));
        config.tftp.files.values().for_each(|asset| self.need(asset, "tftp.files"));
    }

    /// Adds the state of an asset in the node.
    fn asset(&mut self, asset: &AssetView) {
        self.used(&asset.name, asset.used);
        asset.releases.iter().for_each(|release| self.need(&asset.name, &format!("release {release}")));
        asset.pinned_by.iter().for_each(|reason| self.need(&asset.name, &reason.to_string()));
        if asset.in_use {
            self.need(&asset.name, "a reader");
        }
        if asset.state == AssetState::Filling {
            self.need(&asset.name, "a fill");
        }
    }

    /// Adds the fetches of a machine.
    fn machine(&mut self, machine: &MachineView) {
        for step in machine.boots.iter().flat_map(|boot| &boot.steps) {
            self.used(&step.name, Some(step.last));
        }
    }
}
