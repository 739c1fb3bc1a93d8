//! The catalog that is in force, and loading it again.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantNames};
use utoipa::ToSchema;

use super::word::words;

/// What loading settings and catalog again came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReloadView {
    /// Whether anything is new.
    pub outcome: ReloadOutcome,
    /// Assets that are new.
    pub added: usize,
    /// Assets that are gone.
    pub removed: usize,
    /// Assets with another digest, or other sources, than before.
    pub changed: usize,
    /// What is not wrong, but hardly meant; and what has to wait for the next start.
    pub warnings: Vec<String>,
}

impl ReloadView {
    /// Nothing is new.
    pub fn unchanged() -> Self {
        Self { outcome: ReloadOutcome::Unchanged, added: 0, removed: 0, changed: 0, warnings: Vec::new() }
    }
}

/// Whether loading again brought anything new.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, EnumString, VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub enum ReloadOutcome {
    /// It did, and that is in force.
    Ok,
    /// It did not.
    Unchanged,
}

/// The catalog that is in force.
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
    /// How often there was a new one since the server started, the first included.
    pub generation: u64,
    /// Where it comes from.
    pub sources: Vec<SourceView>,
    /// The last time that it was to be loaded.
    pub last_reload: Option<LastReload>,
}

/// One place that the catalog comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SourceView {
    /// What it is.
    pub kind: SourceKind,
    /// The file's path, or the URL without what may be secret in it.
    pub place: String,
    /// The validator of what was last read there.
    pub etag: Option<String>,
    /// When it was last looked at.
    pub checked: Option<Timestamp>,
    /// What was wrong then.
    pub error: Option<String>,
}

/// What a catalog comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, EnumString, VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub enum SourceKind {
    /// A file on this machine.
    File,
    /// An object that several nodes share.
    Url,
}

/// How loading the catalog last went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LastReload {
    /// When.
    pub at: Timestamp,
    /// How it ended.
    pub outcome: LastReloadOutcome,
    /// Who wanted it.
    pub trigger: ReloadTrigger,
    /// What was wrong, a sentence each.
    pub errors: Vec<String>,
}

/// How loading the catalog ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, EnumString, VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub enum LastReloadOutcome {
    /// With a new one.
    Ok,
    /// With the same one.
    Unchanged,
    /// With errors; the one before stays.
    Failed,
}

/// Who wanted the catalog loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, EnumString, VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub enum ReloadTrigger {
    /// The server's start.
    Start,
    /// SIGHUP.
    Signal,
    /// The API.
    Api,
    /// A look at the catalog's URL.
    Poll,
}

impl ReloadTrigger {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

words! {
    ReloadOutcome as "ReloadOutcome": "Whether loading again brought anything new.";
    SourceKind as "SourceKind": "What a catalog comes from.";
    LastReloadOutcome as "LastReloadOutcome": "How loading the catalog ended.";
    ReloadTrigger as "ReloadTrigger": "Who wanted the catalog loaded.";
}
