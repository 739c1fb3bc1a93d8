//! `bootdepot preload`: fetches assets into the cache before machines request them.

pub(in crate::cli) mod bars;
mod report;
mod text;

use std::io::IsTerminal as _;
use std::process::ExitCode;

use anyhow::Context as _;

use self::report::Report;
use super::backend::Backend;
use super::client::ApiClient;
use super::interrupt::Interrupts;
use super::job_watch::JobWatch;
use super::print;
use super::usage_error::UsageError;
use crate::api::PreloadOrder;
use crate::config::Flags;
use crate::jobs::JobState;

/// Fetch assets into the cache before machines request them
///
/// Prints what is cached and what is missing, then fetches the missing assets: through the running server (`admin.listen`), or
/// itself if none runs. Cached assets cost nothing, and interrupted fills are resumed, so it can be repeated. Ctrl-C cancels it
/// and keeps what has come; a second Ctrl-C quits at once.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  bootdepot preload --release okd-4.19\n  bootdepot preload 'okd/4.19/*' --dry-run\n  bootdepot preload --all --verify --keep-going"
)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line are independent of one another")]
pub struct PreloadCommand {
    /// Asset names or globs: `*` matches anything but a slash, `**` matches anything
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// All assets of this release; may be given several times
    #[arg(long, value_name = "NAME")]
    release: Vec<String>,
    /// All assets that this profile names, for itself and for its hosts; may be given several times
    #[arg(long, value_name = "NAME")]
    profile: Vec<String>,
    /// All assets that this host's script and files name; may be given several times
    #[arg(long, value_name = "NAME")]
    host: Vec<String>,
    /// Everything in the catalog
    #[arg(long)]
    all: bool,
    /// Also hash cached assets again, and fetch the corrupt ones
    #[arg(long)]
    verify: bool,
    /// Continue after a failure, and list the failures at the end
    #[arg(long)]
    keep_going: bool,
    /// Print what is cached and what is missing, and fetch nothing
    #[arg(long)]
    dry_run: bool,
    /// Print JSON, one event per line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    flags: Flags,
}

impl PreloadCommand {
    /// Runs it, printing to standard output.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let order = PreloadOrder {
            assets: self.names,
            releases: self.release,
            profiles: self.profile,
            hosts: self.host,
            all: self.all,
            verify: self.verify,
            keep_going: self.keep_going,
            dry_run: self.dry_run,
        };
        if order.selection().is_empty() {
            let nothing = "nothing to preload; name assets, or say --release, --profile, --host or --all";
            return Err(UsageError::new(nothing).into());
        }
        // Before anything is started that an interrupt is to end.
        let mut interrupts = Interrupts::listen().context("cannot listen for Ctrl-C")?;
        let backend = Backend::cache_to_fill(&self.flags).await?;
        let mut report = Report::new(self.json, std::io::stderr().is_terminal());
        backend.run(async |client| preload(client, &order, &mut report, &mut interrupts).await).await
    }
}

async fn preload(
    client: &ApiClient,
    order: &PreloadOrder,
    report: &mut Report,
    interrupts: &mut Interrupts,
) -> anyhow::Result<ExitCode> {
    let plan = client.plan(order).await?;
    let by = if client.is_remote() { "server" } else { "command" };
    print(&report.plan(&plan, order, by)?)?;
    if order.dry_run {
        return Ok(ExitCode::SUCCESS);
    }
    let mut watch = JobWatch::new(client, client.preload(order).await?);
    loop {
        print(&report.progress(watch.job())?)?;
        if watch.job().state != JobState::Running {
            break;
        }
        tokio::select! {
            changed = watch.changed() => {
                changed.context("the preload cannot be followed any more; run it again to resume")?;
            }
            () = interrupts.first() => {
                report.say("cancelling; what has come is kept (Ctrl-C again quits at once)");
                client.cancel(watch.job().id).await?;
            }
        }
    }
    report.close();
    let ended = watch.job();
    print(&report.summary(ended, &plan)?)?;
    Ok(if ended.state == JobState::Done { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
