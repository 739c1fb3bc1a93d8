//! Doing something with each of some assets: which they are, and what is said of each.

use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::words::plain;
use super::worker::{Granted, Worker};
use super::{print, say};
use crate::api::AssetView;
use crate::jobs::{is_glob, matcher};

/// What was done with an asset.
pub(super) struct Deed {
    /// A line for people.
    pub(super) said: String,
    /// What programs are told, besides the name.
    pub(super) told: Value,
}

/// The assets that these names and globs mean, each once, in the order in which they were named. Of what a glob fits only
/// those are meant for which `meant` holds; what is named is meant in any case.
pub(super) fn chosen(
    names: &[String],
    worker: &Worker,
    mut meant: impl FnMut(&AssetView) -> bool,
) -> anyhow::Result<Vec<String>> {
    let all = if names.iter().any(|name| is_glob(name)) { worker.assets("", None)? } else { Vec::new() };
    let mut chosen: Vec<String> = Vec::new();
    let mut add = |name: &str| {
        if !chosen.iter().any(|known| known == name) {
            chosen.push(name.to_owned());
        }
    };
    for name in names {
        if !is_glob(name) || all.iter().any(|asset| asset.name == *name) {
            add(name);
            continue;
        }
        let glob = matcher(name).with_context(|| format!("{name:?} is no glob"))?;
        let mut fitting = all.iter().filter(|asset| glob.is_match(&asset.name)).peekable();
        if fitting.peek().is_none() {
            anyhow::bail!("no asset's name fits {name:?} (* stands for anything but a slash, ** for anything)");
        }
        fitting.filter(|asset| meant(asset)).for_each(|asset| add(&asset.name));
    }
    Ok(chosen)
}

/// Does it with each asset, whatever became of the one before, and says what came of it. Fails where any failed. `none` says
/// what it means that there are none: of what was named, nothing was `meant`.
pub(super) fn each(
    names: &[String],
    none: &str,
    json: bool,
    mut deed: impl FnMut(&str) -> Granted<Deed>,
) -> anyhow::Result<ExitCode> {
    let mut told = Vec::new();
    let mut failed = false;
    for name in names {
        let mut one = json!({ "name": name, "error": null });
        match deed(name)? {
            Ok(deed) if json => {
                if let (Some(one), Value::Object(more)) = (one.as_object_mut(), deed.told) {
                    one.extend(more);
                }
            }
            Ok(deed) => print(&(plain(&deed.said) + "\n"))?,
            Err(reason) => {
                failed = true;
                if json {
                    one["error"] = reason.into();
                } else if reason.contains(name.as_str()) {
                    say(format_args!("bootdepot: {}", plain(&reason)));
                } else {
                    say(format_args!("bootdepot: {}: {}", plain(name), plain(&reason)));
                }
            }
        }
        told.push(one);
    }
    if json {
        print(&format!("{:#}\n", Value::from(told)))?;
    } else if names.is_empty() {
        say(format_args!("bootdepot: there is nothing to do: of what fits, {none}"));
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
