//! `[[release]]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::format::{Label, Name};
use crate::config::written::Written;

/// Assets that go live, are kept and are dropped together.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Release {
    /// Its name, for `bootdepot activate NAME`.
    pub(in crate::config) name: Written<Label>,
    /// The channel that it is a release of, such as `okd`. Of a channel one release is live at a time, and profiles may
    /// name its assets as `CHANNEL:SHORT`: SHORT is the asset's name without the directory that all assets of its
    /// release share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) channel: Option<Written<Label>>,
    /// Its assets, by name.
    #[schemars(length(min = 1))]
    pub(in crate::config) assets: Vec<Written<Name>>,
    /// Fetch it at the start, keep it in the cache, and let scripts name it once every asset is proven. The server is not
    /// ready before. `bootdepot activate` overrides this, until the settings name another release than they did then.
    #[serde(default)]
    pub(in crate::config) active: bool,
}
