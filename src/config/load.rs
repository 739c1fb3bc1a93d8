//! Loads a configuration: reads its inputs and validates the whole.

use super::error::ConfigErrors;
use super::flags::Flags;
use super::inputs::Inputs;
use super::settings::Config;

impl Config {
    /// Loads the file that `flags` or `environment` names and all its includes, overrides them by the environment and
    /// the flags, and validates the whole.
    ///
    /// Blocks: reads files. Ignores variables of `environment` that do not begin with `BOOTDEPOT_`. Fetches nothing: of
    /// a shared catalog it takes the copy in the cache directory, if this process may read it.
    pub fn load(flags: &Flags, environment: impl IntoIterator<Item = (String, String)>) -> Result<Self, ConfigErrors> {
        Inputs::new(flags, environment).read()?.complete_offline()
    }
}

/// The environment of this process, as [`Config::load`] takes it. Text that is not Unicode is converted lossily, so
/// that the validation reports it.
pub fn process_environment() -> Vec<(String, String)> {
    let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect()
}
