//! The effective configuration: a settings struct for each room, and what it was loaded from.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::inputs::Inputs;
use super::layer::Layers;
use super::place::Place;
use super::shared::{CatalogText, SharedCatalog};
use super::show::{self, Section};
use crate::admin::AdminSettings;
use crate::asset::Digest;
use crate::boot::Roster;
use crate::cache::CacheSettings;
use crate::catalog::{Catalog, Release};
use crate::depot::FillSettings;
use crate::dhcp::{DhcpSettings, NbpTable};
use crate::http::HttpSettings;
use crate::origin::{OriginSettings, Timeouts};
use crate::tftp::TftpSettings;

/// The effective settings, one part for each room.
pub struct Config {
    /// The cache.
    pub cache: CacheSettings,
    /// In which time every blob is hashed again; none: never.
    pub scrub_interval: Option<Duration>,
    /// The HTTP server.
    pub http: HttpSettings,
    /// The TFTP server.
    pub tftp: TftpSettings,
    /// The admin listener; none: it is off.
    pub admin: Option<AdminSettings>,
    /// The proxyDHCP server; none: it is off.
    pub dhcp: Option<DhcpSettings>,
    /// The boot file of each kind of firmware, whoever names it.
    pub firmware: NbpTable,
    /// How fills go about it.
    pub fill: FillSettings,
    /// How origins are reached.
    pub origins: Vec<OriginSettings>,
    /// How long to wait for them.
    pub timeouts: Timeouts,
    /// Where the catalog is that other nodes share, if there is one.
    pub shared: Option<SharedCatalog>,
    /// All assets.
    pub catalog: Catalog,
    /// Which of them belong together.
    pub releases: Vec<Release>,
    /// All hosts and profiles.
    pub roster: Roster,
    /// What is not wrong, but hardly meant; a sentence each.
    pub warnings: Vec<String>,
    /// Whether the shared catalog is missing: releases, hosts and profiles that may need it are not among them.
    pub partial: bool,
    pub(super) text: Option<Arc<CatalogText>>,
    /// What is in all template files that hosts and profiles name.
    pub(super) templates: Digest,
    pub(super) inputs: Inputs,
    pub(super) layers: Layers,
}

impl Config {
    /// What these settings were read from.
    pub fn inputs(&self) -> &Inputs {
        &self.inputs
    }

    /// The text of the shared catalog among them.
    pub fn text(&self) -> Option<&Arc<CatalogText>> {
        self.text.as_ref()
    }

    /// The effective settings as text, each with where it was set, and secrets left out.
    pub fn show(&self) -> Vec<Section> {
        show::sections(&self.layers)
    }

    /// The files that were read, the settings file first.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.layers.layers().iter().filter_map(|layer| match &layer.whole {
            Place::File { file, .. } => Some(file.as_path()),
            _ => None,
        })
    }
}

impl std::fmt::Debug for Config {
    /// Not the layers, in which secrets are plain.
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
