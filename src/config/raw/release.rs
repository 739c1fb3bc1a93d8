//! `[[release]]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::format::{Label, Name};
use crate::config::written::Written;

/// Assets that go live, are kept and are removed together.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Release {
    /// Its name, for `bootdepot activate NAME`.
    pub(in crate::config) name: Written<Label>,
    /// Channel of the release, such as `okd`. One release of a channel is live at a time. Profiles may refer to its
    /// assets as `CHANNEL:SHORT`, where SHORT is the asset's name without the directory that all assets of the release
    /// share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) channel: Option<Written<Label>>,
    /// Names of its assets.
    #[schemars(length(min = 1))]
    pub(in crate::config) assets: Vec<Written<Name>>,
    /// Fetch it at start, keep it in the cache, and let scripts refer to it once every asset is verified. The server is
    /// not ready before that. `bootdepot activate` overrides this until the configuration names another release than it
    /// did then.
    #[serde(default)]
    pub(in crate::config) active: bool,
}
