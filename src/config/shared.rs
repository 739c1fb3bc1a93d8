//! The shared catalog: its text, the copy of it on disk, and what it may contain. Fetching it is not this room's task.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime};

use figment::value::Value;
use serde::{Deserialize, Serialize};

use super::check::name_of;
use super::error::{ConfigError, Problem};
use super::file;
use super::key::KeyPath;
use super::layer::{self, Layer, Layers};
use super::place::Place;
use crate::asset::SourceUrl;
use crate::durable_file::DurableFile;
use crate::secret::Secret;

/// File name of the copy in the cache directory.
const COPY: &str = "catalog.json";
/// Version of the copy's format.
const VERSION: u32 = 1;

/// Tables that a shared catalog may contain.
const TABLES: [&str; 6] = ["asset", "release", "profile", "host", "defaults", "template"];

/// Location of the shared catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedCatalog {
    /// Its URL.
    pub url: SourceUrl,
    /// How often to check whether it has changed.
    pub poll: Duration,
}

/// The text of a shared catalog at some point in time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CatalogText {
    version: u32,
    /// Its URL without secrets; a presigned URL stays the same when it is signed again.
    pub url: String,
    /// Last modification, as the origin reports it.
    pub since: SystemTime,
    /// The origin's validator of this version.
    pub validator: Option<String>,
    /// The text.
    pub text: String,
}

impl CatalogText {
    /// The text found at `url`.
    pub fn new(url: &SourceUrl, since: SystemTime, validator: Option<String>, text: String) -> Self {
        Self { version: VERSION, url: url.to_string(), since, validator, text }
    }

    /// Reads the copy in the cache directory `dir`. Returns `None` if there is none for this URL. Blocks.
    pub fn read(dir: &Path, url: &SourceUrl) -> io::Result<Option<Self>> {
        let text = match fs::read(dir.join(COPY)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let copy: Self = serde_json::from_slice(&text)?;
        Ok(Some(copy).filter(|copy| copy.version == VERSION && copy.url == url.to_string()))
    }

    /// Writes the copy into the cache directory `dir`; replaces an earlier copy atomically. Blocks.
    pub fn write(&self, dir: &Path) -> io::Result<()> {
        let mut text = serde_json::to_vec(self)?;
        text.push(b'\n');
        // It may hold secrets.
        DurableFile::new(dir.join(COPY)).with_mode(0o600).replace(&text)
    }

    fn place(&self) -> Place {
        Place::Url { url: self.url.clone(), line: None }
    }

    /// Parses the text into a layer, with errors of its values; fails if it yields no layer.
    pub(super) fn layer(&self) -> Result<(Layer, Vec<ConfigError>), Vec<ConfigError>> {
        let (mut layer, mut errors) = file::parse(&self.place(), &self.text, self.since);
        if layer.invalid_syntax {
            return Err(errors);
        }
        let beyond: Vec<_> = layer.values.keys().filter(|key| !TABLES.contains(&key.as_str())).cloned().collect();
        for name in beyond {
            let key = KeyPath::of([name.as_str()]);
            let why = match name.as_str() {
                "origin" => "an origin says which secrets are sent where",
                "collection" => "only a node itself says which directories it trusts",
                "mirror" => "a mirror decides what is written into a bucket",
                "include" | "catalog_url" | "catalog_poll" | "catalog_secrets" | "catalog_files" => {
                    "only a node itself says where its settings are"
                }
                "bucket" => "only a node itself says which buckets it sets up",
                "cache" | "http" | "tftp" | "admin" | "fill" | "dhcp" => "each node has its own",
                // The validation reports unknown tables, with the nearest name.
                _ => continue,
            };
            layer.values.remove(&name);
            errors.push(ConfigError { place: layer.place(&key), key, of: None, problem: Problem::NotShared { why } });
        }
        Ok((layer, errors))
    }
}

/// Path of the copy in the cache directory `dir`.
pub fn copy_path(dir: &Path) -> PathBuf {
    dir.join(COPY)
}

/// References of a shared catalog to this machine that are not allowed.
pub(super) fn check(layers: &Layers) -> Vec<ConfigError> {
    if layers.shared().is_none() {
        return Vec::new();
    }
    let mut checker = Checker { layers, errors: Vec::new() };
    for list in ["profile", "host"] {
        checker.secrets(list);
    }
    checker.sources();
    checker.errors
}

/// The directory of `directories` that holds the file of `source`. Fails if none does; `None` if the source is not a file.
/// Compares the path as written: symbolic links are checked when the file is opened.
pub(super) fn directory_of<'d>(source: &SourceUrl, directories: &'d [PathBuf]) -> Result<Option<&'d Path>, Problem> {
    let Some(file) = source.as_file() else { return Ok(None) };
    if file.components().any(|part| part == Component::ParentDir) {
        return Err(Problem::FileClimbs);
    }
    let holding = directories.iter().filter(|directory| file.starts_with(directory));
    // Links within the outermost one may be followed.
    let outermost = holding.min_by_key(|directory| directory.components().count());
    let not_shared = || Problem::FileNotShared { directory: file.parent().unwrap_or(file).components().collect() };
    outermost.map(|directory| Some(directory.as_path())).ok_or_else(not_shared)
}

struct Checker<'l> {
    layers: &'l Layers,
    errors: Vec<ConfigError>,
}

impl<'l> Checker<'l> {
    /// The elements of a list that the shared catalog contains.
    fn elements(&self, list: &str) -> Vec<(KeyPath, &'l Value)> {
        let shared = |element: &Value| {
            matches!(self.layers.layer(element.tag()).map(|layer| &layer.whole), Some(Place::Url { .. }))
        };
        let path = KeyPath::of([list]);
        layer::elements(&path, self.layers.list(list)).filter(|(_, element)| shared(element)).collect()
    }

    fn error(&mut self, element: &Value, key: KeyPath, problem: Problem) {
        let place = self.layers.place(element.tag(), &key);
        self.errors.push(ConfigError { place, key, of: name_of(element), problem });
    }

    fn secrets(&mut self, list: &str) {
        let allowed: Vec<&str> = self.layers.list("catalog_secrets").iter().filter_map(Value::as_str).collect();
        let may = |name: &str| {
            // `file:/run/boot/*` does not stand for /run/boot/../../etc/shadow.
            let climbs = name.split('/').any(|segment| segment == "..");
            let fits = |allowed: &&str| match allowed.strip_suffix('*') {
                Some(start) => name.starts_with(start) && !climbs,
                None => name == *allowed,
            };
            Secret::new(name).reference().is_none() || allowed.iter().any(fits)
        };
        for (path, element) in self.elements(list) {
            let secrets = element.find_ref("secrets").and_then(Value::as_dict);
            for (key, secret) in secrets.into_iter().flatten() {
                if let Some(name) = secret.as_str().filter(|name| !may(name)) {
                    let problem = Problem::SecretNotShared { name: name.to_owned() };
                    self.error(element, path.key("secrets").key(key), problem);
                }
            }
        }
    }

    fn sources(&mut self) {
        let directories = directories(self.layers);
        // The validation has reported invalid sources.
        let problem = |value: &Value| directory_of(&value.as_str()?.parse().ok()?, &directories).err();
        for (path, asset) in self.elements("asset") {
            let sources = asset.find_ref("sources").and_then(Value::as_array).unwrap_or_default();
            for (index, source) in sources.iter().enumerate() {
                if let Some(problem) = problem(source) {
                    self.error(asset, path.key("sources").index(index), problem);
                }
            }
            if let Some(problem) = asset.find_ref("blocks").and_then(problem) {
                self.error(asset, path.key("blocks"), problem);
            }
        }
    }
}

/// The directories of `catalog_files`.
pub(super) fn directories(layers: &Layers) -> Vec<PathBuf> {
    layers.list("catalog_files").iter().filter_map(Value::as_str).map(PathBuf::from).collect()
}
