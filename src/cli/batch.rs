//! Commands that do the same to each of some assets: which assets those are, and what is printed for each.

use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::client::{ApiClient, ClientError};
use super::format::plain;
use super::{print, say};
use crate::api::AssetView;
use crate::jobs::{is_glob, matcher};

/// The action on one asset.
pub(super) struct ItemResult {
    /// A line for people.
    pub(super) text: String,
    /// The fields of the JSON object, besides `name` and `error`.
    pub(super) json: Value,
}

/// The result for one asset, or why there is none. An outer error ends the batch: the next asset would meet it as well.
pub(super) type ItemOutcome<T = ItemResult> = anyhow::Result<Result<T, String>>;

/// Separates an error that concerns one asset from one that ends the batch.
pub(super) fn item<T>(response: Result<T, ClientError>) -> ItemOutcome<T> {
    match response {
        Ok(value) => Ok(Ok(value)),
        Err(error) => error.of_item().map(Err).map_err(Into::into),
    }
}

/// The assets that these names and globs mean, each once, in the order of the arguments. A glob means only those assets that
/// pass `filter`; a name means its asset in any case.
pub(super) async fn select(
    names: &[String],
    client: &ApiClient,
    mut filter: impl FnMut(&AssetView) -> bool,
) -> anyhow::Result<Vec<String>> {
    let all = if names.iter().any(|name| is_glob(name)) { client.assets("", None).await? } else { Vec::new() };
    let mut selected: Vec<String> = Vec::new();
    let mut add = |name: &str| {
        if !selected.iter().any(|known| known == name) {
            selected.push(name.to_owned());
        }
    };
    for name in names {
        if !is_glob(name) || all.iter().any(|asset| asset.name == *name) {
            add(name);
            continue;
        }
        let glob = matcher(name).with_context(|| format!("{name:?} is not a valid glob"))?;
        let mut matching = all.iter().filter(|asset| glob.is_match(&asset.name)).peekable();
        if matching.peek().is_none() {
            anyhow::bail!("no asset name matches {name:?} (* matches anything but a slash, ** matches anything)");
        }
        matching.filter(|asset| filter(asset)).for_each(|asset| add(&asset.name));
    }
    Ok(selected)
}

/// Does `action` to each asset, also after one has failed, and prints each result. The exit status says whether any failed.
/// `none` completes the sentence that is printed if `names` is empty: why no matching asset passed the filter.
pub(super) async fn for_each(
    names: &[String],
    none: &str,
    json: bool,
    mut action: impl AsyncFnMut(&str) -> ItemOutcome,
) -> anyhow::Result<ExitCode> {
    let mut results = Vec::new();
    let mut failed = false;
    for name in names {
        let mut result = json!({ "name": name, "error": null });
        match action(name).await? {
            Ok(done) if json => {
                if let (Some(result), Value::Object(fields)) = (result.as_object_mut(), done.json) {
                    result.extend(fields);
                }
            }
            Ok(done) => print(&(plain(&done.text) + "\n"))?,
            Err(reason) => {
                failed = true;
                if json {
                    result["error"] = reason.into();
                } else if reason.contains(name.as_str()) {
                    say(format_args!("bootdepot: {}", plain(&reason)));
                } else {
                    say(format_args!("bootdepot: {}: {}", plain(name), plain(&reason)));
                }
            }
        }
        results.push(result);
    }
    if json {
        print(&format!("{:#}\n", Value::from(results)))?;
    } else if names.is_empty() {
        say(format_args!("bootdepot: nothing to do: {none}"));
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
