//! The effective configuration: a settings struct for each room, and what it was loaded from.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::inputs::Inputs;
use super::layer::Layers;
use super::place::Place;
use super::shared::{CatalogText, SharedCatalog};
use super::show::{self, Section};
use crate::address_share::ShareSettings;
use crate::admin::AdminSettings;
use crate::asset::Digest;
use crate::boot::Roster;
use crate::cache::CacheSettings;
use crate::catalog::{Catalog, Release};
use crate::depot::FillSettings;
use crate::dhcp::{DhcpSettings, NbpTable};
use crate::http::HttpSettings;
use crate::origin::{OriginSettings, Timeouts};
use crate::supply::bucket::BucketPlan;
use crate::supply::mirror::MirrorSettings;
use crate::tftp::TftpSettings;

/// The effective settings, one part for each room.
pub struct Config {
    /// The cache.
    pub cache: CacheSettings,
    /// Interval in which every blob is hashed again; `None` if scrubbing is off.
    pub scrub_interval: Option<Duration>,
    /// The HTTP server.
    pub http: HttpSettings,
    /// The TFTP server.
    pub tftp: TftpSettings,
    /// The admin listener; `None` if it is off.
    pub admin: Option<AdminSettings>,
    /// The proxyDHCP server; `None` if it is off.
    pub dhcp: Option<DhcpSettings>,
    /// The network boot program of each kind of firmware, regardless of which DHCP server names it.
    pub firmware: NbpTable,
    /// How much of each limit one client may use.
    pub limits: ShareSettings,
    /// How fills fetch assets.
    pub fill: FillSettings,
    /// How origins are reached.
    pub origins: Vec<OriginSettings>,
    /// The operator's buckets. Empty if the settings name none.
    pub buckets: Vec<BucketPlan>,
    /// Timeouts of origin requests.
    pub timeouts: Timeouts,
    /// The shared catalog; `None` if there is none.
    pub shared: Option<SharedCatalog>,
    /// All assets.
    pub catalog: Catalog,
    /// Which assets form a release.
    pub releases: Vec<Release>,
    /// The upstreams whose releases are copied into buckets.
    pub mirrors: Vec<MirrorSettings>,
    /// All hosts and profiles.
    pub roster: Roster,
    /// Valid settings that are probably mistakes; one sentence each.
    pub warnings: Vec<String>,
    /// Whether the shared catalog is missing: releases, hosts and profiles that may need it are left out.
    pub partial: bool,
    pub(super) text: Option<Arc<CatalogText>>,
    /// Digest of all template files that hosts and profiles name.
    pub(super) templates: Digest,
    pub(super) inputs: Inputs,
    pub(super) layers: Layers,
}

impl Config {
    /// The inputs from which the configuration was loaded.
    pub fn inputs(&self) -> &Inputs {
        &self.inputs
    }

    /// The text of the shared catalog.
    pub fn text(&self) -> Option<&Arc<CatalogText>> {
        self.text.as_ref()
    }

    /// The effective settings as text, each with the place where it was set; secrets are redacted.
    pub fn show(&self) -> Vec<Section> {
        show::sections(&self.layers)
    }

    /// The files that were read, the main file first.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.layers.layers().iter().filter_map(|layer| match &layer.whole {
            Place::File { file, .. } => Some(file.as_path()),
            _ => None,
        })
    }
}

impl std::fmt::Debug for Config {
    /// Without the layers, which hold secrets in plain text.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config")
            .field("cache", &self.cache)
            .field("http", &self.http)
            .field("tftp", &self.tftp)
            .field("admin", &self.admin)
            .field("fill", &self.fill)
            .field("origins", &self.origins)
            .finish_non_exhaustive()
    }
}
