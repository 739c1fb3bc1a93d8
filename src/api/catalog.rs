//! The current catalog, and reloads.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantNames};
use utoipa::ToSchema;

use super::word::words;

/// The result of a reload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReloadView {
    /// Whether anything has changed.
    pub outcome: ReloadOutcome,
    /// New assets.
    pub added: usize,
    /// Removed assets.
    pub removed: usize,
    /// Assets whose digest or sources have changed.
    pub changed: usize,
    /// Likely mistakes, and changes that need a restart.
    pub warnings: Vec<String>,
}

impl ReloadView {
    /// No changes.
    pub fn unchanged() -> Self {
        Self { outcome: ReloadOutcome::Unchanged, added: 0, removed: 0, changed: 0, warnings: Vec::new() }
    }
}

/// The outcome of a reload that succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, EnumString, VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub enum ReloadOutcome {
    /// There were changes, and they are in force.
    Ok,
    /// There were no changes.
    Unchanged,
}

/// The current catalog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CatalogView {
    /// How many assets it has.
    pub assets: usize,
    /// How many releases.
    pub releases: usize,
    /// How many hosts.
    pub hosts: usize,
    /// When it was loaded.
    pub loaded: Timestamp,
    /// How many catalogs the server has had since its start.
    pub generation: u64,
    /// Its sources.
    pub sources: Vec<SourceView>,
    /// The last reload.
    pub last_reload: Option<LastReload>,
}

/// One source of the catalog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SourceView {
    /// Its kind.
    pub kind: SourceKind,
    /// The path of the file, or the URL without secrets.
    pub place: String,
    /// The entity tag of the version that was last read.
    pub etag: Option<String>,
    /// When it was last checked.
    pub checked: Option<Timestamp>,
    /// The error of the last check; null if there was none.
    pub error: Option<String>,
}

/// A kind of source of the catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, EnumString, VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub enum SourceKind {
    /// A file on this machine.
    File,
    /// An object that several nodes share.
    Url,
}

/// The last reload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LastReload {
    /// When.
    pub at: Timestamp,
    /// Its outcome.
    pub outcome: LastReloadOutcome,
    /// Its trigger.
    pub trigger: ReloadTrigger,
    /// The errors, a sentence each.
    pub errors: Vec<String>,
}

/// The outcome of a reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, EnumString, VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub enum LastReloadOutcome {
    /// A new catalog is in force.
    Ok,
    /// There were no changes.
    Unchanged,
    /// There were errors; the previous catalog stays in force.
    Failed,
}

/// The trigger of a reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, EnumString, VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub enum ReloadTrigger {
    /// The start of the server.
    Start,
    /// SIGHUP.
    Signal,
    /// The API.
    Api,
    /// A poll of the catalog URL.
    Poll,
}

impl ReloadTrigger {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

words! {
    ReloadOutcome as "ReloadOutcome": "The outcome of a reload that succeeded.";
    SourceKind as "SourceKind": "A kind of source of the catalog.";
    LastReloadOutcome as "LastReloadOutcome": "The outcome of a reload.";
    ReloadTrigger as "ReloadTrigger": "What triggered a reload.";
}
