//! `bootdepot releases`: lists the releases and their states.

use std::process::ExitCode;

use jiff::Timestamp;

use super::discover;
use super::format::{bytes, span};
use super::print;
use super::table::Table;
use crate::api::ReleaseView;
use crate::clock;
use crate::config::Flags;

/// List the releases of the running server, with the state of each
///
/// One release of each channel is active. Once all its assets are cached it is live: boot scripts name its assets. Until
/// then the previous release stays live.
#[derive(Debug, clap::Args)]
pub struct ReleasesCommand {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    flags: Flags,
}

impl ReleasesCommand {
    /// Runs it, printing to standard output.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let views = discover::server(&self.flags).await?.releases().await?;
        let printed =
            if self.json { serde_json::to_string_pretty(&views)? + "\n" } else { table(&views, clock::now()) };
        print(&printed)?;
        Ok(ExitCode::SUCCESS)
    }
}

fn table(views: &[ReleaseView], now: Timestamp) -> String {
    let mut table = Table::new(&["NAME", "CHANNEL", "STATE", ">CACHED", ">BYTES", "REASON"]);
    for view in views {
        table.row([
            view.name.clone(),
            view.channel.clone().unwrap_or_else(|| "-".to_owned()),
            view.state.as_str().to_owned(),
            cached(view),
            cached_bytes(view),
            why(view, now),
        ]);
    }
    table.print("")
}

/// How many of its assets are cached.
fn cached(view: &ReleaseView) -> String {
    match view.unverified {
        0 => format!("{} of {}", view.cached, view.total),
        unverified => format!("{} of {}, {unverified} unverified", view.cached, view.total),
    }
}

/// Why it is not cached in full, or why it is kept while another release is live.
fn why(view: &ReleaseView, now: Timestamp) -> String {
    let kept = view.kept_until.map(|until| {
        let left = span(until.duration_since(now));
        format!("kept for {left} more for machines that booted it")
    });
    view.reason.iter().cloned().chain(kept).collect::<Vec<_>>().join("; ")
}

/// The cached bytes of a release, and its size.
pub(super) fn cached_bytes(view: &ReleaseView) -> String {
    match view.size {
        Some(size) if size != view.bytes => format!("{} of {}", bytes(view.bytes), bytes(size)),
        _ => bytes(view.bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::ReleaseState;

    #[test]
    fn releases_table_shows_reasons() {
        let view = |name: &str, state, active, cached, bytes| ReleaseView {
            name: name.to_owned(),
            channel: Some("okd".to_owned()),
            state,
            active,
            reason: None,
            cached,
            unverified: 0,
            total: 3,
            bytes,
            size: Some(1_200_000_000),
            kept_until: None,
        };
        let failed = ReleaseView {
            reason: Some("okd/4.20/rootfs.img: no source has it: s3://b/k does not exist".to_owned()),
            ..view("okd-4.20", ReleaseState::Failed, true, 2, 150_000_000)
        };
        let alone = ReleaseView { channel: None, size: None, ..view("memtest", ReleaseState::Idle, false, 0, 0) };
        let now: Timestamp = "2026-11-21T14:02:11Z".parse().unwrap();
        let kept = ReleaseView {
            kept_until: Some("2026-11-21T15:40:11Z".parse().unwrap()),
            ..view("okd-4.18", ReleaseState::Idle, false, 3, 1_200_000_000)
        };
        let restored = ReleaseView { unverified: 2, ..view("okd-4.17", ReleaseState::Fetching, true, 1, 900_000_000) };
        let views = [view("okd-4.19", ReleaseState::Live, false, 3, 1_200_000_000), failed, alone, kept, restored];
        insta::assert_snapshot!(table(&views, now), @r"
        NAME      CHANNEL  STATE                   CACHED                 BYTES  REASON
        okd-4.19  okd      live                    3 of 3               1.1 GiB
        okd-4.20  okd      failed                  2 of 3  143.0 MiB of 1.1 GiB  okd/4.20/rootfs.img: no source has it: s3://b/k does not exist
        memtest   -        idle                    0 of 3                   0 B
        okd-4.18  okd      idle                    3 of 3               1.1 GiB  kept for 1 h more for machines that booted it
        okd-4.17  okd      fetching  1 of 3, 2 unverified  858.3 MiB of 1.1 GiB
        ");
    }
}
