//! `bootdepot verify`: hashes what is in the cache again.

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::json;

use super::deeds::{Deed, chosen, each};
use super::live::Live;
use super::words::{bytes, plain};
use super::worker::{Granted, Worker};
use super::{print, say};
use crate::api::{AssetState, AssetView};
use crate::api::{ItemView, JobView};
use crate::config::Flags;
use crate::jobs::{ItemState, JobState};

/// How soon to look for the first time how far a job is, and how seldom at last: small assets take no time, large ones do.
const LOOK: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(250));

/// Hash what is in the cache again
///
/// What rotted goes to quarantine and is fetched again when it is next asked for. Asks the running server (`admin.listen`),
/// or, where none runs, works on the cache by itself. Ctrl-C ends the command; what a server has begun it sees through.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  bootdepot verify okd/4.19/rootfs.img\n  bootdepot verify 'okd/4.19/*'\n  bootdepot verify --all"
)]
pub struct VerifyCommand {
    /// Assets, or globs of their names: `*` stands for anything but a slash, `**` for anything
    #[arg(value_name = "NAME", required_unless_present = "all", conflicts_with = "all")]
    names: Vec<String>,
    /// Everything in the cache, what no asset has included
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
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let worker = Worker::of_what_is_there(&self.flags)?;
        if self.all {
            return all(&worker, self.json);
        }
        let names = chosen(&self.names, &worker, |asset: &AssetView| asset.state == AssetState::Proven)?;
        each(&names, "nothing is in the cache", self.json, |name| one(&worker, name))
    }
}

fn one(worker: &Worker, name: &str) -> Granted<Deed> {
    let job = match worker.verify(name)? {
        Ok(job) => follow(worker, job, |_| {})?,
        Err(reason) => return Ok(Err(reason)),
    };
    Ok(match job.items.iter().find(|item| item.state == ItemState::Failed) {
        Some(item) => Err(reason(item)),
        None if job.state == JobState::Done => {
            let size = job.bytes.done;
            Ok(Deed { said: format!("proven {name} ({})", bytes(size)), told: json!({ "bytes": size }) })
        }
        None => Err(format!("it was not hashed to its end: the job is {}", job.state.as_str())),
    })
}

fn all(worker: &Worker, json: bool) -> anyhow::Result<ExitCode> {
    // A line for each look would be too many where they do not replace one another.
    let on_terminal = !json && std::io::stderr().is_terminal();
    let mut live = Live::new();
    let job = follow(worker, worker.scrub()?, |job| {
        if !on_terminal {
            return;
        }
        let total = job.bytes.total.map_or_else(String::new, |total| format!(" of {}", bytes(total)));
        live.show(&format!("{} of {} blobs, {}{total}", job.assets.done, job.assets.total, bytes(job.bytes.done)));
    })?;
    live.end();
    let failed = job.items.iter().filter(|item| item.state == ItemState::Failed);
    if json {
        print(&(serde_json::to_string_pretty(&job)? + "\n"))?;
    } else {
        failed.for_each(|item| say(format_args!("bootdepot: {}: {}", plain(&item.name), plain(&reason(item)))));
        let (done, failed) = (job.assets.done, job.assets.failed);
        let failed = if failed == 0 { String::new() } else { format!(", {failed} failed") };
        print(&format!("{done} of {} blobs are proven ({}){failed}\n", job.assets.total, bytes(job.bytes.done)))?;
    }
    Ok(if job.state == JobState::Done { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Waits until the job has ended.
fn follow(worker: &Worker, mut job: JobView, mut show: impl FnMut(&JobView)) -> anyhow::Result<JobView> {
    let (mut pause, most) = LOOK;
    while job.state == JobState::Running {
        show(&job);
        std::thread::sleep(pause);
        pause = (pause * 2).min(most);
        job = worker.job(job.id)?;
    }
    Ok(job)
}

fn reason(item: &ItemView) -> String {
    item.error.clone().unwrap_or_else(|| "no reason was given".to_owned())
}
