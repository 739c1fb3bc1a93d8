//! `bootdepot preload`: brings assets into the cache before a machine asks for them; by the running server, or, where
//! none runs, by itself.

mod bars;
mod interrupt;
mod report;
mod words;

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;

use self::interrupt::Interrupts;
use self::report::Report;
use super::misuse::Misuse;
use super::print;
use super::worker::Worker;
use crate::api::{JobView, PreloadOrder};
use crate::config::Flags;
use crate::jobs::JobState;

/// How often to look how far it is.
const LOOK: Duration = Duration::from_millis(250);
/// The same of a job whose every look is a long list.
const LOOK_AT_MANY: Duration = Duration::from_secs(1);
/// How many items make it one.
const MANY: usize = 1000;

/// Bring assets into the cache before machines ask for them
///
/// Says what is here and what is missing, and then fetches it: through the running server, or, where none runs, by itself.
/// What is proven already costs nothing, so it can be repeated; what was begun goes on where it was. Ctrl-C ends it cleanly
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
    /// Sees it through, and says how it went.
    pub fn run(self) -> anyhow::Result<ExitCode> {
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
            return Err(Misuse::of(nothing).into());
        }
        // Before anything is begun that it is to end.
        let interrupts = Interrupts::listen().context("cannot listen for Ctrl-C")?;
        let worker = Worker::of(&self.flags)?;
        let mut report = Report::new(self.json, std::io::stderr().is_terminal());
        let plan = worker.plan(&order)?;
        print(&report.plan(&plan, &order, worker.by())?)?;
        if order.dry_run {
            return Ok(ExitCode::SUCCESS);
        }
        let job = worker.start(&order)?;
        let ended = follow(&worker, job, &mut report, &interrupts)?;
        report.close();
        print(&report.summary(&ended, &plan)?)?;
        Ok(if ended.state == JobState::Done { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// Shows how far the job is until it has ended.
fn follow(worker: &Worker, mut job: JobView, report: &mut Report, interrupts: &Interrupts) -> anyhow::Result<JobView> {
    loop {
        let text = report.progress(&job)?;
        print(&text)?;
        if job.state != JobState::Running {
            return Ok(job);
        }
        let pause = if job.items.len() > MANY { LOOK_AT_MANY } else { LOOK };
        if interrupts.within(pause) {
            report.say("ending it; what came is kept (Ctrl-C again leaves at once)");
            worker.cancel(job.id)?;
        }
        let now = worker.job(job.id).context("how the preload stands is not known any more; run it again to go on")?;
        // Another server's jobs have the same numbers.
        anyhow::ensure!(now.began == job.began, "the server was started again; run the preload again to go on");
        job = now;
    }
}
