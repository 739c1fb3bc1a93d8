//! `bootdepot verify`: hashes cached assets again.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use serde_json::json;

use super::backend::Backend;
use super::batch::{ItemOutcome, ItemResult, for_each, item, select};
use super::client::ApiClient;
use super::format::{bytes, plain};
use super::job_watch::JobWatch;
use super::status_line::StatusLine;
use super::{print, say};
use crate::api::{AssetState, AssetView};
use crate::api::{ItemView, JobView};
use crate::config::Flags;
use crate::jobs::{ItemState, JobState};

/// Hash cached assets again and compare the digests
///
/// A corrupt blob is quarantined and fetched again on its next request. Asks the running server (`admin.listen`). If none runs,
/// opens the cache itself. Ctrl-C ends the command; a job that the server has started goes on.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  bootdepot verify okd/4.19/rootfs.img\n  bootdepot verify 'okd/4.19/*'\n  bootdepot verify --all"
)]
pub struct VerifyCommand {
    /// Asset names or globs: `*` matches anything but a slash, `**` matches anything
    #[arg(value_name = "NAME", required_unless_present = "all", conflicts_with = "all")]
    names: Vec<String>,
    /// Every blob in the cache, also those that no asset names
    #[arg(long)]
    all: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    flags: Flags,
}

impl VerifyCommand {
    /// Runs it, printing to standard output.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let backend = Backend::cache(&self.flags).await?;
        backend
            .run(async |client| {
                if self.all {
                    return all(client, self.json).await;
                }
                let cached = |asset: &AssetView| matches!(asset.state, AssetState::Cached | AssetState::Unverified);
                let names = select(&self.names, client, cached).await?;
                for_each(&names, "no matching asset is cached", self.json, async |name: &str| one(client, name).await)
                    .await
            })
            .await
    }
}

async fn one(client: &ApiClient, name: &str) -> ItemOutcome {
    let job = match item(client.verify(name).await)? {
        Ok(job) => JobWatch::of_short(client, job).ended().await?,
        Err(reason) => return Ok(Err(reason)),
    };
    Ok(match job.items.iter().find(|item| item.state == ItemState::Failed) {
        Some(item) => Err(reason(item)),
        None if job.state == JobState::Done => {
            let size = job.bytes.done;
            Ok(ItemResult { text: format!("verified {name} ({})", bytes(size)), json: json!({ "bytes": size }) })
        }
        None => Err(format!("it was not hashed in full: the job is {}", job.state.as_str())),
    })
}

async fn all(client: &ApiClient, json: bool) -> anyhow::Result<ExitCode> {
    // Elsewhere each change would be a line of its own.
    let on_terminal = !json && std::io::stderr().is_terminal();
    let mut line = StatusLine::new();
    let mut watch = JobWatch::of_short(client, client.scrub().await?);
    while watch.job().state == JobState::Running {
        if on_terminal {
            line.show(&progress(watch.job()));
        }
        watch.changed().await?;
    }
    line.end();
    let job = watch.job();
    let failed = job.items.iter().filter(|item| item.state == ItemState::Failed);
    if json {
        print(&(serde_json::to_string_pretty(job)? + "\n"))?;
    } else {
        failed.for_each(|item| say(format_args!("bootdepot: {}: {}", plain(&item.name), plain(&reason(item)))));
        let (done, failed) = (job.assets.done, job.assets.failed);
        let failed = if failed == 0 { String::new() } else { format!(", {failed} failed") };
        print(&format!("{done} of {} blobs verified ({}){failed}\n", job.assets.total, bytes(job.bytes.done)))?;
    }
    Ok(if job.state == JobState::Done { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn progress(job: &JobView) -> String {
    let total = job.bytes.total.map_or_else(String::new, |total| format!(" of {}", bytes(total)));
    format!("{} of {} blobs, {}{total}", job.assets.done, job.assets.total, bytes(job.bytes.done))
}

fn reason(item: &ItemView) -> String {
    item.error.clone().unwrap_or_else(|| "no reason was given".to_owned())
}
