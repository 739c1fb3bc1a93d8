//! The inputs of a configuration: the flags and environment variables from which it is loaded, and loaded again.

use super::flags::Flags;
use super::layer;

/// The settings file where neither `--config` nor `BOOTDEPOT_CONFIG` names another.
pub const DEFAULT_FILE: &str = "/etc/bootdepot/bootdepot.toml";

/// What settings are read from: the flags, and the variables that begin as ours do. The same gives the same settings again,
/// as the files are then.
#[derive(Clone, Default)]
pub struct Inputs {
    pub(super) flags: Flags,
    pub(super) environment: Vec<(String, String)>,
}

impl Inputs {
    /// These flags, and of these variables those that begin with `BOOTDEPOT_`.
    pub fn new(flags: &Flags, environment: impl IntoIterator<Item = (String, String)>) -> Self {
        let environment = environment.into_iter().filter(|(name, _)| name.starts_with(layer::PREFIX)).collect();
        Self { flags: flags.clone(), environment }
    }
}
