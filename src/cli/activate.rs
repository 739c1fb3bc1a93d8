//! `bootdepot activate`: makes a release live.

use std::process::ExitCode;

use anyhow::Context as _;

use super::client::{ApiClient, Event, EventStream, Topic};
use super::discover;
use super::print;
use super::releases::cached_bytes;
use super::status_line::StatusLine;
use crate::api::ReleaseView;
use crate::boot::ReleaseState;
use crate::config::Flags;

/// Make a release live as soon as all its assets are cached
///
/// Until then the previous release stays live. After that it is kept for two hours, for machines that are still booting it;
/// to go back, activate it. The choice holds until the settings make another release active.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  bootdepot activate okd-4.20 --wait")]
pub struct ActivateCommand {
    /// The release
    name: String,
    /// Wait until it is live and show the progress; fails if an asset cannot be fetched
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    flags: Flags,
}

/// The meaning of the release's state for `--wait`.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Live,
    Waiting(String),
    Failed(String),
}

impl ActivateCommand {
    /// Activates the release, and waits if asked to.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let client = discover::server(&self.flags).await?;
        let mut release = client.activate(&self.name).await?;
        let mut line = StatusLine::new();
        let mut events = None;
        loop {
            match verdict(&release) {
                Verdict::Live => {
                    line.end();
                    print(&format!("{} is live\n", self.name))?;
                    return Ok(ExitCode::SUCCESS);
                }
                Verdict::Failed(reason) => {
                    line.end();
                    anyhow::bail!("{reason}");
                }
                Verdict::Waiting(text) if self.wait => line.show(&text),
                Verdict::Waiting(text) => {
                    print(&format!("{text}; it goes live when all are cached\n"))?;
                    return Ok(ExitCode::SUCCESS);
                }
            }
            release = if let Some(events) = &mut events {
                self.next(&client, events).await?
            } else {
                events = Some(client.events(&[Topic::Release]).await?);
                self.find(&client).await?
            };
        }
    }

    /// Waits until the release has changed.
    async fn next(&self, client: &ApiClient, events: &mut EventStream) -> anyhow::Result<ReleaseView> {
        loop {
            let mut changed = None;
            for event in events.next().await? {
                match event {
                    Event::Release(release) if release.name == self.name => changed = Some(release),
                    Event::Missed => return self.find(client).await,
                    _ => {}
                }
            }
            if let Some(release) = changed {
                return Ok(release);
            }
        }
    }

    async fn find(&self, client: &ApiClient) -> anyhow::Result<ReleaseView> {
        let found = client.releases().await?.into_iter().find(|release| release.name == self.name);
        found.with_context(|| format!("the server no longer has the release {}", self.name))
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
            Verdict::Failed(format!("{name} is not live: {reason}; the server keeps retrying"))
        }
        _ => {
            Verdict::Waiting(format!("{name}: {} of {} assets cached, {}", view.cached, view.total, cached_bytes(view)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn release_state_decides_what_wait_does() {
        let view = |state, active, reason: Option<&str>| ReleaseView {
            name: "okd-4.20".to_owned(),
            channel: Some("okd".to_owned()),
            state,
            active,
            reason: reason.map(str::to_owned),
            cached: 1,
            unverified: 0,
            total: 3,
            bytes: 2048,
            size: None,
            kept_until: None,
        };
        assert_eq!(verdict(&view(ReleaseState::Live, true, None)), Verdict::Live);
        let fetching = verdict(&view(ReleaseState::Fetching, true, None));
        assert_eq!(fetching, Verdict::Waiting("okd-4.20: 1 of 3 assets cached, 2.0 KiB".to_owned()));
        let failed = verdict(&view(ReleaseState::Failed, true, Some("okd/rootfs: no source has it")));
        let said = "okd-4.20 is not live: okd/rootfs: no source has it; the server keeps retrying";
        assert_eq!(failed, Verdict::Failed(said.to_owned()));
        for state in [ReleaseState::Idle, ReleaseState::Live] {
            assert!(matches!(verdict(&view(state, false, None)), Verdict::Failed(_)));
        }
    }
}
