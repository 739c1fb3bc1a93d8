//! The settings: one TOML file and what it includes, environment variables over it, flags over both; checked as a whole.
//!
//! What people write ([`raw`]) and what the program uses ([`Config`], a settings struct for each room) are two things.
//! The rooms know nothing of this one.

mod check;
mod error;
mod explain;
mod file;
mod flags;
mod format;
mod key;
mod layer;
mod raw;
mod resolve;
mod rules;
mod schema;
mod show;
mod size;
mod span;
#[cfg(test)]
mod tests;
mod written;

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use figment::value::Value;

pub use error::{ConfigError, ConfigErrors, Problem, Size64};
pub use explain::Explanation;
pub use flags::Flags;
pub use key::KeyPath;
pub use layer::Place;
pub use schema::schema;
pub use show::{Effective, Section};

use crate::admin::AdminSettings;
use crate::boot::Roster;
use crate::cache::CacheSettings;
use crate::catalog::{Catalog, Release};
use crate::depot::FillSettings;
use crate::dhcp::{DhcpSettings, Firmware};
use crate::http::HttpSettings;
use crate::origin::{OriginSettings, Timeouts};
use crate::tftp::TftpSettings;
use layer::{Layer, Layers};

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
    /// All assets.
    pub catalog: Catalog,
    /// Which of them belong together.
    pub releases: Vec<Release>,
    /// All hosts and profiles.
    pub roster: Roster,
    /// What is not wrong, but hardly meant; a sentence each.
    pub warnings: Vec<String>,
    layers: Layers,
}

impl Config {
    /// Loads the settings file that `flags` or `environment` names with all that it includes, puts the environment and
    /// the flags over it, and checks the whole.
    ///
    /// Blocks for reading the files. Of `environment` only what begins with `BOOTDEPOT_` is looked at.
    pub fn load(flags: &Flags, environment: impl IntoIterator<Item = (String, String)>) -> Result<Self, ConfigErrors> {
        let environment: Vec<_> = environment.into_iter().filter(|(name, _)| name.starts_with(layer::PREFIX)).collect();
        let (main, hint) = settings_file(flags, &environment);
        let mut errors = Vec::new();
        let mut warnings = Vec::new();

        let mut files = Vec::new();
        match file::read(&main) {
            Ok((layer, found)) => {
                files.push(layer);
                errors.extend(found);
            }
            Err(found) => errors.extend(found.into_iter().map(|error| with_hint(error, hint))),
        }
        let since = files.first().map_or(SystemTime::UNIX_EPOCH, |main| main.since);
        let environment = Layer::environment(environment, since);
        let (flags, wrong_flags) = flags.layer(since);
        errors.extend(wrong_flags);

        let internal = |problem| {
            let place = Place::File { file: main.clone(), line: None };
            ConfigErrors::from(ConfigError { place, key: KeyPath::root(), of: None, problem })
        };
        if !files.is_empty() {
            let outline = Layers::new(files.clone(), environment.clone(), flags.clone()).map_err(internal)?;
            includes(&main, &outline, &mut files, &mut errors, &mut warnings);
        }
        let every_file_is_read =
            errors.iter().all(|error| !matches!(error.problem, Problem::Unreadable { .. } | Problem::Syntax { .. }));
        let layers = Layers::new(files, environment, flags).map_err(internal)?;
        errors.extend(check::check(&layers));
        // Each value is one; what is wrong between them does not keep the hosts and profiles from being checked, too.
        let every_value_is_one = errors.is_empty();
        errors.extend(rules::check(&layers).into_iter().filter(|error| {
            // What a name refers to may be in a file that could not be read.
            every_file_is_read || !matches!(error.problem, Problem::NoAsset { .. } | Problem::NoFile { .. })
        }));
        let resolved = match every_value_is_one.then(|| resolve::resolve(layers, warnings)) {
            Some(Ok(config)) => Some(config),
            Some(Err(found)) => {
                errors.extend(found);
                None
            }
            None => None,
        };
        ConfigErrors::of(errors)?;
        resolved.ok_or_else(|| internal(Problem::Internal("no reason was given".to_owned())))
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

fn settings_file(flags: &Flags, environment: &[(String, String)]) -> (PathBuf, &'static str) {
    if let Some(path) = &flags.config {
        return (path.clone(), "");
    }
    match environment.iter().find(|(name, _)| name == "BOOTDEPOT_CONFIG") {
        Some((_, path)) => (path.into(), " (BOOTDEPOT_CONFIG names it)"),
        None => (DEFAULT_FILE.into(), "; name another with --config or BOOTDEPOT_CONFIG"),
    }
}

fn with_hint(mut error: ConfigError, text: &'static str) -> ConfigError {
    if let Problem::Unreadable { hint, .. } = &mut error.problem {
        *hint = text;
    }
    error
}

/// Reads the files that the settings so far include.
fn includes(
    main: &Path,
    outline: &Layers,
    files: &mut Vec<Layer>,
    errors: &mut Vec<ConfigError>,
    warnings: &mut Vec<String>,
) {
    let patterns = outline.values().find_ref("include").and_then(Value::as_array).unwrap_or_default();
    let key = KeyPath::of(["include"]);
    for (key, pattern) in layer::elements(&key, patterns) {
        // Another type is for the checks to tell.
        let Some(text) = pattern.as_str() else { continue };
        let place = outline.place(pattern.tag(), &key);
        let found = match file::included(main, text) {
            Ok(found) => found,
            Err(error) => {
                errors.push(ConfigError { place, key, of: None, problem: Problem::unreadable(&error) });
                continue;
            }
        };
        if found.is_empty() {
            warnings.push(format!("{place}: include: no file matches {text:?}"));
        }
        for path in found {
            let read_already = |layer: &Layer| layer.whole == Place::File { file: path.clone(), line: None };
            if path == main || files.iter().any(read_already) {
                continue;
            }
            match file::read(&path) {
                Ok((mut layer, found)) => {
                    errors.extend(found);
                    if layer.values.remove("include").is_some() {
                        let key = KeyPath::of(["include"]);
                        let problem = Problem::NestedInclude { main: main.to_owned() };
                        errors.push(ConfigError { place: layer.place(&key), key, of: None, problem });
                    }
                    files.push(layer);
                }
                Err(found) => errors.extend(found.into_iter().map(|error| match error.problem {
                    // The line that includes it is where to mend it.
                    Problem::Unreadable { reason, .. } => ConfigError {
                        place: place.clone(),
                        key: key.clone(),
                        of: Some(path.display().to_string()),
                        problem: Problem::Unreadable { reason, hint: "" },
                    },
                    _ => error,
                })),
            }
        }
    }
}
