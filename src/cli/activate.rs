//! `bootdepot activate`: makes a release live, and says how far that is.

use std::process::ExitCode;
use std::time::Duration;

use super::live::Live;
use super::print;
use super::releases::{self, here};
use super::running::Running;
use crate::api::ReleaseView;
use crate::boot::ReleaseState;
use crate::config::Flags;

/// How often `--wait` asks.
const ASK: Duration = Duration::from_millis(500);

/// Make a release live as soon as all of it is in the cache
///
/// Until then the release before stays live, and it is kept for two hours more for the machines that began with it.
/// Activate that one to go back. The choice holds until the settings name another release as active than they do now.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  bootdepot activate okd-4.20 --wait")]
pub struct ActivateCommand {
    /// The release
    name: String,
    /// Wait until it is live, and show how far it is; fails when an asset cannot be fetched
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    flags: Flags,
}

/// What a view means for who waits.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Live,
    Waiting(String),
    Failed(String),
}

impl ActivateCommand {
    /// Tells the server, and waits if asked to.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let server = Running::with(&self.flags)?.server()?;
        let mut view: ReleaseView = server.post(&["releases", &self.name, "activate"])?;
        let mut shown = Live::new();
        loop {
            match verdict(&view) {
                Verdict::Live => {
                    shown.end();
                    print(&format!("{} is live\n", self.name))?;
                    return Ok(ExitCode::SUCCESS);
                }
                Verdict::Failed(reason) => {
                    shown.end();
                    anyhow::bail!("{reason}");
                }
                Verdict::Waiting(text) if self.wait => shown.show(&text),
                Verdict::Waiting(text) => {
                    print(&format!("{text}; it goes live when all are\n"))?;
                    return Ok(ExitCode::SUCCESS);
                }
            }
            std::thread::sleep(ASK);
            let found = releases::ask(&server)?.into_iter().find(|view| view.name == self.name);
            view = found.ok_or_else(|| anyhow::anyhow!("the server no longer has the release {}", self.name))?;
        }
    }
}

fn verdict(view: &ReleaseView) -> Verdict {
    let name = &view.name;
    match (view.state, &view.reason) {
        (_, _) if !view.active => {
            Verdict::Failed(format!("another release of its channel was activated instead of {name}"))
        }
        (ReleaseState::Live, _) => Verdict::Live,
        (ReleaseState::Failed, Some(reason)) => {
            Verdict::Failed(format!("{name} is not live: {reason}; the server tries on"))
        }
        _ => Verdict::Waiting(format!("{name}: {} of {} assets are proven, {}", view.proven, view.total, here(view))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_is_told_how_it_stands() {
        let view = |state, active, reason: Option<&str>| ReleaseView {
            name: "okd-4.20".to_owned(),
            channel: Some("okd".to_owned()),
            state,
            active,
            reason: reason.map(str::to_owned),
            proven: 1,
            total: 3,
            bytes: 2048,
            size: None,
            kept_until: None,
        };
        assert_eq!(verdict(&view(ReleaseState::Live, true, None)), Verdict::Live);
        let fetching = verdict(&view(ReleaseState::Fetching, true, None));
        assert_eq!(fetching, Verdict::Waiting("okd-4.20: 1 of 3 assets are proven, 2.0 KiB".to_owned()));
        let failed = verdict(&view(ReleaseState::Failed, true, Some("okd/rootfs: no source has it")));
        let said = "okd-4.20 is not live: okd/rootfs: no source has it; the server tries on";
        assert_eq!(failed, Verdict::Failed(said.to_owned()));
        for state in [ReleaseState::Idle, ReleaseState::Live] {
            assert!(matches!(verdict(&view(state, false, None)), Verdict::Failed(_)));
        }
    }
}
