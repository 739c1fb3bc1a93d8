//! Command-line flags that set configuration keys.

use std::path::PathBuf;
use std::time::SystemTime;

use super::error::{ConfigError, Problem};
use super::key::KeyPath;
use super::layer::Layer;
use super::place::Place;

/// The configuration file, and flags that override it.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "Settings")]
pub struct Flags {
    /// The configuration file (default: `BOOTDEPOT_CONFIG`, then `/etc/bootdepot/bootdepot.toml`)
    #[arg(long, value_name = "PATH")]
    pub config: Option<PathBuf>,
    /// The cache directory (`cache.dir`)
    #[arg(long, value_name = "DIR")]
    pub cache_dir: Option<String>,
    /// An address of the HTTP listener (`http.listen`); repeatable
    #[arg(long, value_name = "ADDRESS")]
    pub http_listen: Vec<String>,
    /// An address of the TFTP listener (`tftp.listen`); repeatable
    #[arg(long, value_name = "ADDRESS")]
    pub tftp_listen: Vec<String>,
    /// The address of the admin listener (`admin.listen`), or "off"
    #[arg(long, value_name = "ADDRESS")]
    pub admin_listen: Option<String>,
    /// Any other setting, such as `fill.connections=4`; repeatable
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

impl Flags {
    /// The layer of the flags, and errors of flags that set nothing.
    pub(super) fn layer(&self, since: SystemTime) -> (Layer, Vec<ConfigError>) {
        let flag = |flag: &str| Place::Flag { flag: flag.to_owned() };
        let mut layer = Layer::new(flag("the command line"), since);
        let mut errors = Vec::new();
        for text in &self.set {
            let parsed = text.split_once('=').and_then(|(key, value)| Some((key.trim(), path(key)?, value.trim())));
            match parsed {
                Some((key, path, value)) => layer.set(&path, value, flag(&format!("--set {key}"))),
                None => errors.push(ConfigError {
                    place: flag("--set"),
                    key: KeyPath::root(),
                    of: None,
                    problem: Problem::Set { found: text.clone() },
                }),
            }
        }
        for (name, key, value) in [
            ("--cache-dir", ["cache", "dir"], &self.cache_dir),
            ("--admin-listen", ["admin", "listen"], &self.admin_listen),
        ] {
            if let Some(value) = value {
                layer.set(&KeyPath::of(key), value, flag(name));
            }
        }
        for (name, key, values) in [
            ("--http-listen", ["http", "listen"], &self.http_listen),
            ("--tftp-listen", ["tftp", "listen"], &self.tftp_listen),
        ] {
            if !values.is_empty() {
                layer.set_list(&KeyPath::of(key), values, flag(name));
            }
        }
        (layer, errors)
    }
}

/// Parses a dotted TOML key, which may have quoted parts.
pub(super) fn path(key: &str) -> Option<KeyPath> {
    // TOML's own grammar parses one line that sets one key.
    if key.contains(['\n', '\r', '=', '#']) {
        return None;
    }
    let line = format!("{key} = 0");
    let table = toml::de::DeTable::parse(&line).ok()?;
    let mut path = KeyPath::root();
    let mut table = table.get_ref();
    loop {
        let (key, value) = table.iter().next()?;
        path = path.key(key.get_ref());
        match value.get_ref() {
            toml::de::DeValue::Table(inner) => table = inner,
            _ => return Some(path),
        }
    }
}
