//! A configuration that is read but not validated: the files, the environment and the flags, and where the shared
//! catalog is. Together with the catalog's text it becomes a [`Config`].

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use figment::value::Value;

use super::access::CatalogAccess;
use super::error::{ConfigError, ConfigErrors, Problem};
use super::inputs::{DEFAULT_FILE, Inputs};
use super::key::KeyPath;
use super::layer::{self, Layer, Layers};
use super::place::Place;
use super::settings::Config;
use super::shared::{self, CatalogText};
use super::{check, file, resolve, rules};
use crate::admin::AdminSettings;
use crate::origin::{OriginSettings, Timeouts};

/// A configuration that is read but not validated.
pub struct Draft {
    inputs: Inputs,
    main: PathBuf,
    files: Vec<Layer>,
    environment: Layer,
    flags: Layer,
    errors: Vec<ConfigError>,
    warnings: Vec<String>,
}

impl Inputs {
    /// Reads the settings file and all files that it includes. Blocks.
    pub fn read(&self) -> Result<Draft, ConfigErrors> {
        let (main, hint) = self.settings_file();
        let found = file::read(&main).map_err(|error| with_hint(Problem::unreadable(&error), hint));
        self.read_rest(main, found)
    }

    /// Reads `text` in place of the settings file, which need not exist, and all files that it includes. Blocks.
    pub fn read_text(&self, text: &str) -> Result<Draft, ConfigErrors> {
        let (main, _) = self.settings_file();
        let whole = Place::File { file: main.clone(), line: None };
        self.read_rest(main, Ok(file::parse(&whole, text, SystemTime::now())))
    }

    /// Reads the files that the settings file includes.
    fn read_rest(
        &self,
        main: PathBuf,
        found: Result<(Layer, Vec<ConfigError>), Problem>,
    ) -> Result<Draft, ConfigErrors> {
        let (mut errors, mut warnings, mut files) = (Vec::new(), Vec::new(), Vec::new());
        match found {
            Ok((layer, found)) => {
                files.push(layer);
                errors.extend(found);
            }
            Err(problem) => errors.push(of_file(&main, problem)),
        }
        let since = files.first().map_or(SystemTime::UNIX_EPOCH, |main| main.since);
        let environment = Layer::environment(self.environment.clone(), since);
        let (flags, wrong_flags) = self.flags.layer(since);
        errors.extend(wrong_flags);
        if !files.is_empty() {
            let outline = Layers::new(files.clone(), environment.clone(), flags.clone());
            let outline = outline.map_err(|problem| internal(&main, problem))?;
            includes(&main, &outline, &mut files, &mut errors, &mut warnings);
        }
        Ok(Draft { inputs: self.clone(), main, files, environment, flags, errors, warnings })
    }

    fn settings_file(&self) -> (PathBuf, &'static str) {
        if let Some(path) = &self.flags.config {
            return (path.clone(), "");
        }
        match self.environment.iter().find(|(name, _)| name == "BOOTDEPOT_CONFIG") {
            Some((_, path)) => (path.into(), " (BOOTDEPOT_CONFIG names it)"),
            None => (DEFAULT_FILE.into(), "; name another with --config or BOOTDEPOT_CONFIG"),
        }
    }
}

impl Draft {
    /// How the shared catalog is reached. Returns `None` if the configuration names no shared catalog or has errors, in
    /// which case fetching it is of no use.
    pub fn catalog_access(&self) -> Option<CatalogAccess> {
        if !self.errors.is_empty() {
            return None;
        }
        let layers = Layers::new(self.files.clone(), self.environment.clone(), self.flags.clone()).ok()?;
        layers.values().find_ref("catalog_url")?;
        if !check::check(&layers).is_empty() {
            return None;
        }
        resolve::catalog_access(&layers)
    }

    /// Parses only `[admin]` and ignores errors elsewhere, so that commands reach the running server even if the file
    /// on disk is broken. Fails if `[admin]` itself cannot be read; blocks like [`Draft::complete`] in that case.
    pub fn admin(&self) -> Result<Option<AdminSettings>, ConfigErrors> {
        let layers = Layers::new(self.files.clone(), self.environment.clone(), self.flags.clone()).ok();
        // Without the settings file the default address would be a guess.
        let known = |layers: &Layers| !self.files.is_empty() || layers.values().find_ref("admin.listen").is_some();
        match layers.filter(known).as_ref().map(resolve::admin_section) {
            Some(Ok(admin)) => Ok(admin),
            // The validation reports the reason.
            Some(Err(_)) | None => self.complete(None).map(|config| config.admin),
        }
    }

    /// The origins alone, and the timeouts of requests to them, for a command that writes to a bucket: a catalog that is not complete
    /// does not matter to it, and the command may be the one that completes it. Fails if anything else is wrong. Blocks.
    pub fn origins(&self) -> Result<(Vec<OriginSettings>, Timeouts), ConfigErrors> {
        let layers = Layers::new(self.files.clone(), self.environment.clone(), self.flags.clone()).ok();
        let is_valid = |layers: &Layers| {
            let is_of_origin = |error: &ConfigError| error.key.to_string().starts_with("origin");
            self.errors.is_empty() && check::check(layers).is_empty() && !rules::check(layers).iter().any(is_of_origin)
        };
        match layers.filter(is_valid).as_ref().and_then(resolve::origins) {
            Some(found) => Ok(found),
            // The validation reports the reason.
            None => self.complete_offline().map(|config| (config.origins, config.timeouts)),
        }
    }

    /// Validates the whole with the copy of the shared catalog in the cache directory, if this process may read it. Fetches
    /// nothing. Blocks.
    pub fn complete_offline(&self) -> Result<Config, ConfigErrors> {
        let copy =
            self.catalog_access().and_then(|reach| CatalogText::read(&reach.dir, &reach.catalog.url).ok().flatten());
        self.complete(copy.map(Arc::new).as_ref())
    }

    /// Validates the whole, with this text of the shared catalog as one more file. If the configuration names a shared
    /// catalog and `text` is `None`, the result is [`Config::partial`], and errors that the missing catalog may explain
    /// are not reported. Blocks: reads templates.
    pub fn complete(&self, text: Option<&Arc<CatalogText>>) -> Result<Config, ConfigErrors> {
        let mut files: Vec<_> = self.files.iter().filter(|layer| !layer.invalid_syntax).cloned().collect();
        let mut errors = self.errors.clone();
        match text.map(|text| text.layer()) {
            Some(Ok((layer, found))) => {
                errors.extend(found);
                files.push(layer);
            }
            Some(Err(found)) => errors.extend(found),
            None => {}
        }
        let every_file_is_read =
            errors.iter().all(|error| !matches!(error.problem, Problem::Unreadable { .. } | Problem::Syntax { .. }));
        let layers = Layers::new(files, self.environment.clone(), self.flags.clone());
        let layers = layers.map_err(|problem| internal(&self.main, problem))?;
        let partial = text.is_none() && layers.values().find_ref("catalog_url").is_some();
        errors.extend(check::check(&layers));
        // Each value is valid by itself. Errors in the relations between values do not keep hosts and profiles from
        // being checked.
        let every_value_is_one = errors.is_empty();
        errors.extend(shared::check(&layers));
        errors.extend(rules::check(&layers).into_iter().filter(|error| {
            // The name may be defined in a file that could not be read.
            (every_file_is_read && !partial)
                || !matches!(error.problem, Problem::NoAsset { .. } | Problem::NoFile { .. })
        }));
        let resolved = match every_value_is_one.then(|| resolve::resolve(layers, self.warnings.clone(), partial)) {
            Some(Ok(config)) => Some(config),
            Some(Err(found)) => {
                errors.extend(found);
                None
            }
            None => None,
        };
        ConfigErrors::of(errors)?;
        let config =
            resolved.ok_or_else(|| internal(&self.main, Problem::Internal("no reason was given".to_owned())))?;
        Ok(Config { inputs: self.inputs.clone(), text: text.cloned(), ..config })
    }
}

fn internal(main: &Path, problem: Problem) -> ConfigErrors {
    ConfigErrors::from(of_file(main, problem))
}

/// An error of a file as a whole.
fn of_file(file: &Path, problem: Problem) -> ConfigError {
    let place = Place::File { file: file.to_owned(), line: None };
    ConfigError { place, key: KeyPath::root(), of: None, problem }
}

fn with_hint(mut problem: Problem, text: &'static str) -> Problem {
    if let Problem::Unreadable { hint, .. } = &mut problem {
        *hint = text;
    }
    problem
}

/// Reads the files that the configuration includes so far.
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
        // The validation reports other types.
        let Some(text) = pattern.as_str() else { continue };
        let place = outline.place(pattern.tag(), &key);
        let found = match file::included(main, text) {
            Ok(Some(found)) => found,
            // A directory without files is normal. One that does not exist may be a typing error.
            Ok(None) => {
                warnings.push(format!("{place}: include: {text:?} is in a directory that does not exist"));
                continue;
            }
            Err(error) => {
                errors.push(ConfigError { place, key, of: None, problem: Problem::unreadable(&error) });
                continue;
            }
        };
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
                // The `include` line is where the operator has to correct it.
                Err(error) => errors.push(ConfigError {
                    place: place.clone(),
                    key: key.clone(),
                    of: Some(path.display().to_string()),
                    problem: Problem::unreadable(&error),
                }),
            }
        }
    }
}
