//! What an operator wants something done with: assets by name, by glob, by what they are part of.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::Arc;

use globset::{GlobBuilder, GlobMatcher};

use crate::asset::AssetName;
use crate::boot::{Boot, closest};
use crate::catalog::{Asset, Catalog};

/// Unknown names for which the nearest known ones are looked up: each is compared with all that there are, and a
/// list of which nothing is known has another reason than a slip of the pen.
const SUGGESTED: usize = 16;

/// Some assets of the catalog, by what they are called or what they are part of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Names, or globs of them: `*` stands for anything but a slash, `**` for anything.
    pub assets: Vec<String>,
    /// Releases: all their assets.
    pub releases: Vec<String>,
    /// Profiles: what they name once everything active is live.
    pub profiles: Vec<String>,
    /// Hosts: what their scripts and files name once everything active is live, and their firmware file.
    pub hosts: Vec<String>,
    /// Everything in the catalog.
    pub all: bool,
}

/// What a name is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
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

/// A name that means nothing here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownName {
    /// What it was to be of.
    pub kind: Kind,
    /// The name.
    pub name: String,
    /// The known one that is written most alike, if one is alike enough to be meant.
    pub nearest: Option<String>,
}

/// Why a selection is of nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectionError {
    /// It says nothing at all.
    #[error("nothing is selected; name assets, releases, profiles or hosts, or select all")]
    Empty,
    /// Names that mean nothing: all of them.
    #[error("{}", in_words(.0))]
    Unknown(Vec<UnknownName>),
    /// A host or profile is known, and what it names is not to be had now.
    #[error("the {kind} {name:?} names what is not to be had now: {reason}")]
    Unresolved {
        /// Which of the two it is.
        kind: Kind,
        /// Its name.
        name: String,
        /// Why.
        reason: String,
    },
}

impl fmt::Display for Kind {
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
        if self.kind == Kind::Glob {
            write!(f, "no asset's name fits {name:?} (* stands for anything but a slash, ** for anything)")?;
        } else {
            write!(f, "there is no {} {name:?}", self.kind)?;
        }
        match &self.nearest {
            Some(nearest) => write!(f, "; the nearest is {nearest:?}"),
            None => Ok(()),
        }
    }
}

fn in_words(unknown: &[UnknownName]) -> String {
    unknown.iter().map(UnknownName::to_string).collect::<Vec<_>>().join("\n")
}

impl Selection {
    /// Only these assets, by names or globs.
    pub fn of_assets(assets: Vec<String>) -> Self {
        Self { assets, ..Self::default() }
    }

    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The assets that it is of, each once, in the order of their names; or everything that is wrong with it. Memory only.
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
            add(&mut catalog.assets().cloned());
        }
        let mut seen = HashSet::new();
        for name in self.assets.iter().filter(|name| seen.insert(*name)) {
            match named(&catalog, name, unknown.len() < SUGGESTED) {
                Ok(assets) => add(&mut assets.into_iter()),
                Err(error) => unknown.push(error),
            }
        }
        let of_names = |names: &[AssetName]| -> Vec<_> {
            names.iter().filter_map(|name| catalog.by_name(name.as_str()).cloned()).collect()
        };
        for name in &self.releases {
            if let Some(names) = boot.releases().assets_of(name) {
                add(&mut of_names(&names).into_iter());
            } else {
                let known = || boot.releases().list().into_iter().map(|view| view.name).collect();
                unknown.push(UnknownName::new(Kind::Release, name, unknown.len() < SUGGESTED, known));
            }
        }
        let mut unresolved = None;
        let parties = self.profiles.iter().map(|name| (Kind::Profile, name));
        for (kind, name) in parties.chain(self.hosts.iter().map(|name| (Kind::Host, name))) {
            let needs = if kind == Kind::Host { boot.host_dependencies(name) } else { boot.profile_dependencies(name) };
            match needs {
                Some(Ok(names)) => add(&mut of_names(&names.into_iter().collect::<Vec<_>>()).into_iter()),
                Some(Err(trouble)) => {
                    let reason = trouble.to_string();
                    unresolved.get_or_insert(SelectionError::Unresolved { kind, name: name.clone(), reason });
                }
                None => {
                    let known = || if kind == Kind::Host { boot.host_names() } else { boot.profile_names() };
                    unknown.push(UnknownName::new(kind, name, unknown.len() < SUGGESTED, known));
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

    /// What it is of, in words: `release okd-4.19, okd/4.18/kernel and 3 more`.
    pub fn in_words(&self) -> String {
        /// Names that are written out.
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
    /// With what may be meant of those `known`, if `suggest` says so.
    fn new(kind: Kind, name: &str, suggest: bool, known: impl FnOnce() -> Vec<String>) -> Self {
        let nearest = suggest.then(|| closest(name, known().iter().map(String::as_str))).flatten();
        Self { kind, name: name.to_owned(), nearest }
    }
}

/// What the names fit that a glob is of: `*` stands for anything but a slash, `**` for anything.
pub fn matcher(glob: &str) -> Result<GlobMatcher, globset::Error> {
    Ok(GlobBuilder::new(glob).literal_separator(true).build()?.compile_matcher())
}

/// Whether a text is meant as a glob. A name that the catalog has is one before it is a glob.
pub fn is_glob(text: &str) -> bool {
    text.contains(['*', '?', '[', '{'])
}

/// The assets of this name or glob; where there are none, with what may be meant if `suggest` says so.
fn named(catalog: &Catalog, text: &str, suggest: bool) -> Result<Vec<Arc<Asset>>, UnknownName> {
    if let Some(asset) = catalog.by_name(text) {
        return Ok(vec![Arc::clone(asset)]);
    }
    if !is_glob(text) {
        let nearest = suggest.then(|| closest(text, catalog.assets().map(|asset| asset.name.as_str()))).flatten();
        return Err(UnknownName { kind: Kind::Asset, name: text.to_owned(), nearest });
    }
    let unfit = || UnknownName { kind: Kind::Glob, name: text.to_owned(), nearest: None };
    let glob = matcher(text).map_err(|_| unfit())?;
    let fitting: Vec<_> = catalog.assets().filter(|asset| glob.is_match(asset.name.as_str())).cloned().collect();
    if fitting.is_empty() { Err(unfit()) } else { Ok(fitting) }
}
