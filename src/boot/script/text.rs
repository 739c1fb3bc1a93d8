//! A finished script.

use super::error::ScriptError;
use crate::boot::role::Role;

/// A script for one machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// The script itself.
    pub text: String,
    /// The name of the host, if the machine is one.
    pub host: Option<String>,
    /// The host that a machine which is no host nearly is, as a clause.
    pub near_miss: Option<String>,
    /// The name of the profile that it boots.
    pub profile: Option<String>,
    /// References of the script: assets by name, files as `hosts/NAME/FILE`.
    pub named: Vec<(Role, String)>,
    /// Why this is not the profile's script, but one that shows the reason and retries.
    pub error: Option<ScriptError>,
}
