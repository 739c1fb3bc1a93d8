//! `bootdepot list`: lists the assets and their states.

use std::process::ExitCode;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use jiff::Timestamp;
use strum::VariantNames as _;

use super::backend::Backend;
use super::empty_catalog::NEXT_STEPS;
use super::format::{ago, bytes};
use super::print;
use super::table::Table;
use crate::api::{AssetState, AssetView, DirectoryView};
use crate::clock;
use crate::config::Flags;

/// List the assets, with the state of each
///
/// Asks the running server (`admin.listen`). If none runs, opens the cache itself.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  bootdepot list okd/4.19/\n  bootdepot list --state missing\n  bootdepot list isos/ --source\n  bootdepot list --json | jq -r '.[] | select(.pinned) | .name'"
)]
pub struct ListCommand {
    /// Only assets whose names begin with this, such as `okd/4.19/`
    prefix: Option<String>,
    /// List the directory PREFIX of a collection, such as `isos/`, as its source has it, also files that were not requested so far
    #[arg(long, requires = "prefix", conflicts_with = "state")]
    source: bool,
    /// Only assets in this state
    #[arg(long, value_name = "STATE", value_parser = state())]
    state: Option<AssetState>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    flags: Flags,
}

/// Parses the words of the API.
fn state() -> impl TypedValueParser<Value = AssetState> {
    PossibleValuesParser::new(AssetState::VARIANTS).try_map(|word| word.parse::<AssetState>())
}

impl ListCommand {
    /// Runs it, printing to standard output.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let backend = Backend::cache(&self.flags).await?;
        if let (true, Some(path)) = (self.source, &self.prefix) {
            let path = format!("{}/", path.trim_end_matches('/'));
            let found = backend.run(async |client| Ok(client.directory(&path).await?)).await?;
            let printed = if self.json {
                serde_json::to_string_pretty(&found)? + "\n"
            } else {
                directory_table(&found, &path, clock::now())
            };
            print(&printed)?;
            return Ok(ExitCode::SUCCESS);
        }
        let prefix = self.prefix.as_deref().unwrap_or_default();
        let assets = backend.run(async |client| Ok(client.assets(prefix, self.state).await?)).await?;
        let printed = match self.json {
            true => serde_json::to_string_pretty(&assets)? + "\n",
            false if assets.is_empty() && prefix.is_empty() && self.state.is_none() => {
                format!("the catalog has no assets; {NEXT_STEPS}\n")
            }
            false if assets.is_empty() => "no assets match\n".to_owned(),
            false => table(&assets, clock::now()),
        };
        print(&printed)?;
        Ok(ExitCode::SUCCESS)
    }
}

fn table(assets: &[AssetView], now: Timestamp) -> String {
    let mut table = Table::new(&["NAME", ">SIZE", "STATE", "HELD BY", "LAST USED"]);
    let or = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    for asset in assets {
        let mut state = asset.state.as_str().to_owned();
        if let (AssetState::Filling, Some(percent)) = (asset.state, percent(asset)) {
            state = format!("{state} {percent} %");
        }
        let held = asset.pinned_by.iter().map(ToString::to_string).chain(asset.in_use.then(|| "a reader".to_owned()));
        let held = held.collect::<Vec<_>>().join(", ");
        table.row([
            asset.name.clone(),
            or(asset.size.map(bytes)),
            state,
            or(Some(held).filter(|held| !held.is_empty())),
            or(asset.used.map(|used| ago(used, now))),
        ]);
    }
    table.print("")
}

fn directory_table(found: &DirectoryView, path: &str, now: Timestamp) -> String {
    let mut table = Table::new(&["NAME", ">SIZE", "MODIFIED", "STATE"]);
    let nothing = || "-".to_owned();
    for directory in &found.directories {
        table.row([format!("{path}{directory}"), nothing(), nothing(), nothing()]);
    }
    for file in &found.files {
        table.row([
            file.name.clone(),
            file.size.map_or_else(nothing, bytes),
            file.modified.map_or_else(nothing, |modified| ago(modified, now)),
            file.state.map_or("not requested yet", AssetState::as_str).to_owned(),
        ]);
    }
    let rest = if found.complete { "" } else { "there may be more: the source lists no more than this\n" };
    table.print("") + rest
}

fn percent(asset: &AssetView) -> Option<u64> {
    let percent = u128::from(asset.bytes) * 100 / u128::from(asset.size.filter(|size| *size > 0)?);
    u64::try_from(percent).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::FileView;
    use crate::depot::RetentionReason;

    #[test]
    fn directory_table_shows_unrequested_files() {
        let now: Timestamp = "2026-11-21T14:06:11Z".parse().unwrap();
        let file = |name: &str, state| FileView {
            name: name.to_owned(),
            size: Some(100 << 20),
            modified: Some("2026-11-21T14:02:11Z".parse().unwrap()),
            digest: None,
            state,
        };
        let found = DirectoryView {
            directories: vec!["debian/".to_owned()],
            files: vec![file("isos/a.iso", Some(AssetState::Cached)), file("isos/b.iso", None)],
            complete: false,
        };
        insta::assert_snapshot!(directory_table(&found, "isos/", now), @r"
        NAME               SIZE  MODIFIED   STATE
        isos/debian/          -  -          -
        isos/a.iso    100.0 MiB  4 min ago  cached
        isos/b.iso    100.0 MiB  4 min ago  not requested yet
        there may be more: the source lists no more than this
        ");
    }

    #[test]
    fn list_table_shows_states() {
        let now: Timestamp = "2026-11-21T14:06:11Z".parse().unwrap();
        let asset = |name: &str, state, bytes| AssetView {
            name: name.to_owned(),
            digest: crate::asset::Digest::of(b""),
            size: Some(100 << 20),
            state,
            bytes,
            pinned: false,
            pinned_by: Vec::new(),
            in_use: false,
            releases: Vec::new(),
            content_type: String::new(),
            sources: Vec::new(),
            used: None,
            verified: None,
            failure: None,
            evicted_next: None,
        };
        let held = AssetView {
            pinned_by: vec![RetentionReason::Operator, RetentionReason::Release("okd-4.19".to_owned())],
            in_use: true,
            used: Some("2026-11-21T14:02:11Z".parse().unwrap()),
            ..asset("okd/4.19/rootfs.img", AssetState::Cached, 100 << 20)
        };
        let unknown = AssetView { size: None, ..asset("okd/4.20/rootfs.img", AssetState::Missing, 0) };
        let assets = [held, asset("okd/4.19/kernel", AssetState::Filling, 42 << 20), unknown];
        insta::assert_snapshot!(table(&assets, now), @r"
        NAME                      SIZE  STATE         HELD BY                               LAST USED
        okd/4.19/rootfs.img  100.0 MiB  cached        operator, release okd-4.19, a reader  4 min ago
        okd/4.19/kernel      100.0 MiB  filling 42 %  -                                     -
        okd/4.20/rootfs.img          -  missing       -                                     -
        ");
    }
}
