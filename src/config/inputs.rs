//! The inputs of a configuration: the flags and environment variables from which it is loaded, and loaded again.

use super::flags::Flags;
use super::layer;
use crate::environment::not_blank;

/// The configuration file if neither `--config` nor `BOOTDEPOT_CONFIG` names one.
pub const DEFAULT_FILE: &str = "/etc/bootdepot/bootdepot.toml";

/// The inputs of a configuration: the flags, and the environment variables with our prefix. Loading them again reflects
/// the files as they are at that time.
#[derive(Clone, Default)]
pub struct Inputs {
    pub(super) flags: Flags,
    pub(super) environment: Vec<(String, String)>,
}

impl Inputs {
    /// Takes the flags, and of the variables those that begin with `BOOTDEPOT_`. Blank variables count as not set.
    pub fn new(flags: &Flags, environment: impl IntoIterator<Item = (String, String)>) -> Self {
        let ours = environment.into_iter().filter(|(name, _)| name.starts_with(layer::PREFIX));
        let environment = ours.filter_map(|(name, value)| Some((name, not_blank(&value)?.to_owned()))).collect();
        Self { flags: flags.clone(), environment }
    }
}
