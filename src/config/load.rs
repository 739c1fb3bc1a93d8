//! Loads a configuration: reads its inputs, and checks the whole.

use super::error::ConfigErrors;
use super::flags::Flags;
use super::inputs::Inputs;
use super::settings::Config;

impl Config {
    /// Loads the settings file that `flags` or `environment` names with all that it includes, puts the environment and
    /// the flags over it, and checks the whole.
    ///
    /// Blocks for reading the files. Of `environment` only what begins with `BOOTDEPOT_` is looked at. Nothing is fetched: of
    /// a shared catalog, the copy in the cache's directory counts, if this process may read it.
    pub fn load(flags: &Flags, environment: impl IntoIterator<Item = (String, String)>) -> Result<Self, ConfigErrors> {
        Inputs::new(flags, environment).read()?.complete_offline()
    }
}

/// The environment of this process, as [`Config::load`] takes it. What is not Unicode is made so, for the checks to tell.
pub fn process_environment() -> Vec<(String, String)> {
    let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect()
}
