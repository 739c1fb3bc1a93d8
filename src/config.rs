//! The settings: one TOML file and what it includes, environment variables over it, flags over both; checked as a whole.
//!
//! What people write ([`raw`]) and what the program uses ([`Config`], a settings struct for each room) are two things.
//! The rooms know nothing of this one.

mod check;
mod draft;
mod error;
mod explain;
mod file;
mod flags;
mod format;
mod key;
mod layer;
mod places;
mod raw;
mod resolve;
mod rules;
mod schema;
mod shared;
mod show;
mod size;
mod span;
mod summary;
#[cfg(test)]
mod tests;
mod written;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub use draft::{Draft, Inputs, Reach};
pub use error::{ConfigError, ConfigErrors, Problem, Size64};
pub use explain::Explanation;
pub use flags::Flags;
pub use key::KeyPath;
pub use layer::Place;
pub use schema::schema;
pub use shared::{CatalogText, SharedCatalog, copy_path};
pub use show::{Effective, Section};
pub use summary::{Changes, Summary};

use crate::admin::AdminSettings;
use crate::asset::Digest;
use crate::boot::Roster;
use crate::cache::CacheSettings;
use crate::catalog::{Catalog, Release};
use crate::depot::FillSettings;
use crate::dhcp::{DhcpSettings, Firmware};
use crate::http::HttpSettings;
use crate::origin::{OriginSettings, Timeouts};
use crate::tftp::TftpSettings;
use layer::Layers;

/// The settings file where neither `--config` nor `BOOTDEPOT_CONFIG` names another.
pub const DEFAULT_FILE: &str = "/etc/bootdepot/bootdepot.toml";

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
    pub firmware: Firmware,
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
    text: Option<Arc<CatalogText>>,
    /// What is in all template files that hosts and profiles name.
    templates: Digest,
    inputs: Inputs,
    layers: Layers,
}

impl Config {
    /// Loads the settings file that `flags` or `environment` names with all that it includes, puts the environment and
    /// the flags over it, and checks the whole.
    ///
    /// Blocks for reading the files. Of `environment` only what begins with `BOOTDEPOT_` is looked at. Nothing is fetched: of
    /// a shared catalog, the copy in the cache's directory counts, if this process may read it.
    pub fn load(flags: &Flags, environment: impl IntoIterator<Item = (String, String)>) -> Result<Self, ConfigErrors> {
        Inputs::new(flags, environment).read()?.complete_offline()
    }

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

/// The environment of this process, as [`Config::load`] takes it. What is not Unicode is made so, for the checks to tell.
pub fn process_environment() -> Vec<(String, String)> {
    let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect()
}
