//! `bootdepot check`: looks at everything that booting depends on, before machines do.

mod report;
mod show;

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use tokio::time::interval;

use self::report::{Backend, Report};
use super::client::{ApiClient, ClientError};
use super::discover::running;
use super::format::bytes;
use super::interrupt::Interrupts;
use super::job_watch::JobWatch;
use super::print;
use super::status_line::StatusLine;
use super::usage_error::{USAGE_ERROR, UsageError};
use crate::api::{Assets, Bytes, CheckOrder, CheckRowView};
use crate::app::check::{CheckedBy, check, wrong_settings};
use crate::config::{ConfigErrors, Flags, Inputs, process_environment};
use crate::jobs::{CheckProgress, CheckTask, JobState};

/// How often progress is shown.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);

/// Check the settings and all that they depend on, before machines do
///
/// Looks at the settings, the files, ports and secrets of the server, each origin in use (name, connection, TLS, credentials,
/// clock), each object that the catalog names (its first and last bytes are read as a fill reads them), and the cache: whether a
/// file can be stored, and whether the active releases have room. Nothing is cached, and nothing is changed.
///
/// The running server does it (`admin.listen`), with its own user, environment and secrets. Without one, this process does:
/// run it as the user that runs the server.
///
/// Each result is `ok`, `unverified` (nothing is wrong, but there is no digest to compare) or `failed`. Exits with status 1 if
/// anything failed. The bytes of file:// sources are hashed always, those of other sources with --deep.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  bootdepot check\n  bootdepot check --deep okd/4.19/\n  bootdepot check --local --config ./bootdepot.toml\n  bootdepot check --json | jq '.checks[].findings[] | select(.result != \"ok\")'"
)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line are independent of one another")]
pub struct CheckCommand {
    /// Check only these assets: names, globs, or prefixes that end with a slash
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Read and hash every object, without caching it
    #[arg(long)]
    deep: bool,
    /// Check in this process, also if a server is running
    #[arg(long)]
    local: bool,
    /// Show each thing that was looked at, not only what is wrong
    #[arg(long, short, conflicts_with = "json")]
    verbose: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    flags: Flags,
}

impl CheckCommand {
    /// Runs it, printing to standard output.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let order = CheckOrder { names: self.names.clone(), deep: self.deep };
        let report = match self.server().await? {
            Some(client) => in_server(&client, &order).await?,
            None => match in_process(&self.flags, order.into()).await {
                Ok(report) => report,
                Err(errors) if self.json => {
                    let report = Report::new(Backend::Command, vec![wrong_settings(&errors).into()]);
                    print(&(serde_json::to_string_pretty(&report)? + "\n"))?;
                    return Ok(ExitCode::from(USAGE_ERROR));
                }
                Err(errors) => return Err(UsageError::new(errors).into()),
            },
        };
        let printed =
            if self.json { serde_json::to_string_pretty(&report)? + "\n" } else { show::show(&report, self.verbose) };
        print(&printed)?;
        Ok(report.status())
    }

    /// The running server. `None` if no server runs, or if this process is to check.
    async fn server(&self) -> anyhow::Result<Option<ApiClient>> {
        if self.local {
            return Ok(None);
        }
        // Errors of the settings on the disk are reported by this process: the running server has read them before.
        let Ok(settings) = Inputs::new(&self.flags, process_environment()).read() else { return Ok(None) };
        if settings.complete_offline().is_err() {
            return Ok(None);
        }
        running(&settings).await
    }
}

/// Lets the server check. Ctrl-C cancels it.
async fn in_server(client: &ApiClient, order: &CheckOrder) -> anyhow::Result<Report> {
    let mut interrupts = Interrupts::listen().context("cannot listen for Ctrl-C")?;
    let job = client.check(order).await.map_err(|error| match error {
        ClientError::Refused { .. } => {
            anyhow::Error::new(error).context("the server does not check; see check --local")
        }
        other => other.into(),
    })?;
    let mut line = Progress::new();
    let mut watch = JobWatch::of_short(client, job);
    while watch.job().state == JobState::Running {
        line.show(watch.job().assets, watch.job().bytes);
        tokio::select! {
            changed = watch.changed() => changed.context("the check cannot be followed any more")?,
            () = interrupts.first() => client.cancel(watch.job().id).await?,
        }
    }
    line.end();
    let job = watch.job();
    let report = Report::new(Backend::Server, job.checks.clone());
    anyhow::ensure!(job.state != JobState::Cancelled, "the check was cancelled");
    let is_complete = (job.state == JobState::Failed) == (report.status() == ExitCode::FAILURE);
    anyhow::ensure!(is_complete, "the check broke off; the log of the server has the reason");
    Ok(report)
}

/// Checks in this process.
async fn in_process(flags: &Flags, task: CheckTask) -> Result<Report, ConfigErrors> {
    let inputs = Inputs::new(flags, process_environment());
    let progress = CheckProgress::default();
    let mut line = Progress::new();
    let mut ticks = interval(PROGRESS_INTERVAL);
    {
        let mut work = std::pin::pin!(check(&inputs, &task, &progress, CheckedBy::Command));
        loop {
            tokio::select! {
                done = &mut work => break done?,
                _ = ticks.tick() => line.show(progress.objects().into(), progress.bytes().into()),
            }
        }
    }
    line.end();
    let rows: Vec<CheckRowView> = progress.rows().into_iter().map(Into::into).collect();
    Ok(Report::new(Backend::Command, rows))
}

/// The progress on a terminal.
struct Progress(Option<StatusLine>);

impl Progress {
    fn new() -> Self {
        // Elsewhere each change would be a line of its own.
        Self(std::io::stderr().is_terminal().then(StatusLine::new))
    }

    fn show(&mut self, objects: Assets, hashed: Bytes) {
        if let Some(line) = self.0.as_mut().filter(|_| objects.total > 0) {
            let total = hashed.total.filter(|total| *total > 0);
            let hashed = total.map(|total| format!(", {} of {} hashed", bytes(hashed.done), bytes(total)));
            let done = objects.done + objects.failed;
            line.show(&format!("{done} of {} objects checked{}", objects.total, hashed.unwrap_or_default()));
        }
    }

    fn end(&self) {
        if let Some(line) = &self.0 {
            line.end();
        }
    }
}
