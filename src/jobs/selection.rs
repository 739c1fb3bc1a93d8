//! Selections: assets by name, glob, release, profile or host.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;
use std::sync::Arc;

use globset::{GlobBuilder, GlobMatcher};

use crate::asset::AssetName;
use crate::boot::{Boot, closest};
use crate::catalog::{Asset, Catalog};
use crate::depot::ReadError;

/// Unknown names for which the closest known name is suggested. Each is compared with all known names, and many unknown names
/// are not typing errors.
const MAX_SUGGESTIONS: usize = 16;

/// Assets of the catalog, by name or by what needs them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Names or globs: `*` matches anything but a slash, `**` matches anything.
    pub assets: Vec<String>,
    /// Releases: all their assets.
    pub releases: Vec<String>,
    /// Profiles: what they name once everything active is live.
    pub profiles: Vec<String>,
    /// Hosts: the assets that their scripts and files use once every active release is live, and their firmware file.
    pub hosts: Vec<String>,
    /// Everything in the catalog.
    pub all: bool,
}

/// The kind of object that a name of a selection refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SelectedKind {
    /// An asset.
    Asset,
    /// A glob of assets' names.
    Glob,
    /// A release.
    Release,
    /// A profile.
    Profile,
    /// A host.
    Host,
}

/// An unknown name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownName {
    /// The expected kind.
    pub kind: SelectedKind,
    /// The name.
    pub name: String,
    /// The closest known name. `None` if none is close enough.
    pub nearest: Option<String>,
}

/// Why a selection is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectionError {
    /// It is empty.
    #[error("nothing is selected; name assets, releases, profiles or hosts, or select all")]
    Empty,
    /// All its unknown names.
    #[error("{}", describe(.0))]
    Unknown(Vec<UnknownName>),
    /// An asset of a collection whose source cannot be asked, or has no such object.
    #[error("{name}: {source}")]
    Source {
        /// The asset.
        name: String,
        /// The reason.
        source: ReadError,
    },
    /// A host or profile is known, but its assets cannot be resolved now.
    #[error("the assets of {kind} {name:?} cannot be resolved: {reason}")]
    Unresolved {
        /// Host or profile.
        kind: SelectedKind,
        /// Its name.
        name: String,
        /// Why.
        reason: String,
    },
}

impl fmt::Display for SelectedKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Asset => "asset",
            Self::Glob => "glob",
            Self::Release => "release",
            Self::Profile => "profile",
            Self::Host => "host",
        })
    }
}

impl fmt::Display for UnknownName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        if self.kind == SelectedKind::Glob {
            write!(f, "no asset matches {name:?} (* matches anything but a slash, ** matches anything)")?;
        } else {
            write!(f, "there is no {} {name:?}", self.kind)?;
        }
        match &self.nearest {
            Some(nearest) => write!(f, "; the nearest is {nearest:?}"),
            None => Ok(()),
        }
    }
}

fn describe(unknown: &[UnknownName]) -> String {
    unknown.iter().map(UnknownName::to_string).collect::<Vec<_>>().join("\n")
}

impl Selection {
    /// A selection of assets by names or globs.
    pub fn of_assets(assets: Vec<String>) -> Self {
        Self { assets, ..Self::default() }
    }

    /// Whether it selects nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Asks the sources of named assets of collections, so that [`Selection::resolve`] knows them.
    pub async fn look_up_members(&self, boot: &Boot) -> Result<(), SelectionError> {
        let depot = boot.depot();
        let mut names: Vec<String> = self.assets.clone();
        names.retain(|name| depot.is_member(name) && !is_glob(name));
        let of = |found: Option<Result<BTreeSet<AssetName>, _>>| found.and_then(Result::ok).unwrap_or_default();
        let hosts = self.hosts.iter().map(|host| of(boot.host_dependencies(host)));
        let parties = self.profiles.iter().map(|profile| of(boot.profile_dependencies(profile))).chain(hosts);
        names.extend(parties.flatten().map(|name| name.to_string()).filter(|name| depot.is_member(name)));
        for name in names {
            depot.resolve_now(&name).await.map_err(|source| SelectionError::Source { name, source })?;
        }
        Ok(())
    }

    /// The selected assets, sorted by name, without duplicates. Fails with all unknown names at once. Memory only.
    pub fn resolve(&self, boot: &Boot) -> Result<Vec<Arc<Asset>>, SelectionError> {
        if self.is_empty() {
            return Err(SelectionError::Empty);
        }
        let catalog = boot.depot().catalog();
        let mut found = BTreeMap::new();
        let mut unknown: Vec<UnknownName> = Vec::new();
        let mut add = |assets: &mut dyn Iterator<Item = Arc<Asset>>| {
            found.extend(assets.map(|asset| (asset.name.clone(), asset)));
        };
        if self.all {
            add(&mut catalog.assets());
        }
        let mut seen = HashSet::new();
        for name in self.assets.iter().filter(|name| seen.insert(*name)) {
            match named(&catalog, name, unknown.len() < MAX_SUGGESTIONS) {
                Ok(assets) => add(&mut assets.into_iter()),
                Err(error) => unknown.push(error),
            }
        }
        let of_names = |names: &[AssetName]| -> Vec<_> {
            names.iter().filter_map(|name| catalog.by_name(name.as_str())).collect()
        };
        for name in &self.releases {
            if let Some(names) = boot.releases().assets_of(name) {
                add(&mut of_names(&names).into_iter());
            } else {
                let known = || boot.releases().list().into_iter().map(|view| view.name).collect();
                unknown.push(UnknownName::new(SelectedKind::Release, name, unknown.len() < MAX_SUGGESTIONS, known));
            }
        }
        let mut unresolved = None;
        let parties = self.profiles.iter().map(|name| (SelectedKind::Profile, name));
        for (kind, name) in parties.chain(self.hosts.iter().map(|name| (SelectedKind::Host, name))) {
            let names =
                if kind == SelectedKind::Host { boot.host_dependencies(name) } else { boot.profile_dependencies(name) };
            match names {
                Some(Ok(names)) => add(&mut of_names(&names.into_iter().collect::<Vec<_>>()).into_iter()),
                Some(Err(trouble)) => {
                    let reason = trouble.to_string();
                    unresolved.get_or_insert(SelectionError::Unresolved { kind, name: name.clone(), reason });
                }
                None => {
                    let known = || if kind == SelectedKind::Host { boot.host_names() } else { boot.profile_names() };
                    unknown.push(UnknownName::new(kind, name, unknown.len() < MAX_SUGGESTIONS, known));
                }
            }
        }
        if !unknown.is_empty() {
            return Err(SelectionError::Unknown(unknown));
        }
        match unresolved {
            Some(error) => Err(error),
            None => Ok(found.into_values().collect()),
        }
    }

    /// The selection as text: `release okd-4.19, okd/4.18/kernel and 3 more`.
    pub fn describe(&self) -> String {
        /// Names before "and N more".
        const SHOWN: usize = 3;
        if self.all {
            return "all assets".to_owned();
        }
        let of = |kind: &str, names: &[String]| names.iter().map(|name| format!("{kind}{name}")).collect::<Vec<_>>();
        let mut words = [
            of("release ", &self.releases),
            of("profile ", &self.profiles),
            of("host ", &self.hosts),
            of("", &self.assets),
        ]
        .concat();
        let more = words.len().saturating_sub(SHOWN);
        words.truncate(SHOWN);
        let shown = words.join(", ");
        if more == 0 { shown } else { format!("{shown} and {more} more") }
    }
}

impl UnknownName {
    /// With the closest of the `known` names if `suggest` is set.
    fn new(kind: SelectedKind, name: &str, suggest: bool, known: impl FnOnce() -> Vec<String>) -> Self {
        let nearest = suggest.then(|| closest(name, known().iter().map(String::as_str))).flatten();
        Self { kind, name: name.to_owned(), nearest }
    }
}

/// Compiles a glob: `*` matches anything but a slash, `**` matches anything.
pub fn matcher(glob: &str) -> Result<GlobMatcher, globset::Error> {
    Ok(GlobBuilder::new(glob).literal_separator(true).build()?.compile_matcher())
}

/// Whether a text is a glob. A name in the catalog takes precedence over a glob.
pub fn is_glob(text: &str) -> bool {
    text.contains(['*', '?', '[', '{'])
}

/// The assets with these names, matching these globs or below these prefixes, which end with a slash; sorted by name, without
/// duplicates. Fails with all unknown names at once.
pub fn select_assets(catalog: &Catalog, names: &[String]) -> Result<Vec<Arc<Asset>>, SelectionError> {
    let mut found = BTreeMap::new();
    let mut unknown: Vec<UnknownName> = Vec::new();
    for name in names {
        let glob = if name.ends_with('/') { format!("{}**", globset::escape(name)) } else { name.clone() };
        match named(catalog, &glob, unknown.len() < MAX_SUGGESTIONS) {
            Ok(assets) => found.extend(assets.into_iter().map(|asset| (asset.name.clone(), asset))),
            Err(error) => unknown.push(UnknownName { name: name.clone(), ..error }),
        }
    }
    if unknown.is_empty() { Ok(found.into_values().collect()) } else { Err(SelectionError::Unknown(unknown)) }
}

/// The assets with this name or matching this glob. If there are none, fails with the closest name if `suggest` is set.
fn named(catalog: &Catalog, text: &str, suggest: bool) -> Result<Vec<Arc<Asset>>, UnknownName> {
    if let Some(asset) = catalog.by_name(text) {
        return Ok(vec![asset]);
    }
    if !is_glob(text) {
        let names: Vec<_> = catalog.assets().map(|asset| asset.name.clone()).collect();
        let nearest = suggest.then(|| closest(text, names.iter().map(AssetName::as_str))).flatten();
        return Err(UnknownName { kind: SelectedKind::Asset, name: text.to_owned(), nearest });
    }
    let no_match = || UnknownName { kind: SelectedKind::Glob, name: text.to_owned(), nearest: None };
    let glob = matcher(text).map_err(|_| no_match())?;
    let matching: Vec<_> = catalog.assets().filter(|asset| glob.is_match(asset.name.as_str())).collect();
    if matching.is_empty() { Err(no_match()) } else { Ok(matching) }
}
