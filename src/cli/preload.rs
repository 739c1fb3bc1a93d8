//! `bootdepot preload`: brings assets into the cache before a machine asks for them; by the running server, or, where
//! none runs, by itself.

mod bars;
mod interrupt;
mod report;
mod text;

use std::io::IsTerminal as _;
use std::process::ExitCode;

use anyhow::Context as _;

use self::interrupt::Interrupts;
use self::report::Report;
use super::backend::Backend;
use super::client::ApiClient;
use super::job_watch::JobWatch;
use super::print;
use super::usage_error::UsageError;
use crate::api::PreloadOrder;
use crate::config::Flags;
use crate::jobs::JobState;

/// Bring assets into the cache before machines ask for them
///
/// Says what is here and what is missing, and then fetches it: through the running server, or, where none runs, by itself.
/// What is cached already costs nothing, so it can be repeated; what was begun goes on where it was. Ctrl-C ends it cleanly
/// and keeps what came; a second one leaves at once.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  bootdepot preload --release okd-4.19\n  bootdepot preload 'okd/4.19/*' --dry-run\n  bootdepot preload --all --verify --keep-going"
)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line are independent of one another")]
pub struct PreloadCommand {
    /// Assets, or globs of their names: `*` stands for anything but a slash, `**` for anything
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// All assets of this release; may be given several times
    #[arg(long, value_name = "NAME")]
    release: Vec<String>,
    /// What this profile names, by itself and for its hosts; may be given several times
    #[arg(long, value_name = "NAME")]
    profile: Vec<String>,
    /// What this host's script and files name; may be given several times
    #[arg(long, value_name = "NAME")]
    host: Vec<String>,
    /// Everything in the catalog
    #[arg(long)]
    all: bool,
    /// Hash again what is here, and fetch what rotted
    #[arg(long)]
    verify: bool,
    /// Go on after a failure, and say at the end what failed
    #[arg(long)]
    keep_going: bool,
    /// Say what is here and what is missing, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Print JSON, one event a line
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
                changed.context("how the preload stands is not known any more; run it again to go on")?;
            }
            () = interrupts.first() => {
                report.say("ending it; what came is kept (Ctrl-C again leaves at once)");
                client.cancel(watch.job().id).await?;
            }
        }
    }
    report.close();
    let ended = watch.job();
    print(&report.summary(ended, &plan)?)?;
    Ok(if ended.state == JobState::Done { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
