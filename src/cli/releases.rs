//! `bootdepot releases`: which releases there are, and how each stands.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;

use super::admin::AdminClient;
use super::config::refuse;
use crate::boot::ReleaseView;
use crate::config::{Config, Flags, process_environment};

/// List the releases of the running server, and how each stands
///
/// Of each channel one release is active. It is live, so that new scripts name its assets, once all of them are in the
/// cache; until then the one before stays live.
#[derive(Debug, clap::Args)]
pub struct ReleasesCommand {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    flags: Flags,
}

impl ReleasesCommand {
    /// Asks the server and prints what it says.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let config = match Config::load(&self.flags, process_environment()) {
            Ok(config) => config,
            Err(errors) => return Ok(refuse(&errors)),
        };
        let views: Vec<ReleaseView> = AdminClient::new(&config)?.get(&["releases"])?;
        let printed = if self.json { serde_json::to_string_pretty(&views)? + "\n" } else { table(&views) };
        match io::stdout().lock().write_all(printed.as_bytes()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
            _ => Ok(ExitCode::SUCCESS),
        }
    }
}

fn table(views: &[ReleaseView]) -> String {
    let head = ["NAME", "CHANNEL", "STATE", "PROVEN", "HERE"].map(str::to_owned);
    let rows = views.iter().map(|view| {
        [
            view.name.clone(),
            view.channel.clone().unwrap_or_else(|| "-".to_owned()),
            view.state.as_str().to_owned(),
            format!("{} of {}", view.proven, view.total),
            here(view),
        ]
    });
    let rows: Vec<_> = [head].into_iter().chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths = [0, 1, 2, 3, 4].map(width);
    let mut text = String::new();
    for (position, row) in rows.iter().enumerate() {
        let cells: Vec<_> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        // Writing to a text does not fail.
        let _ = writeln!(text, "{}", cells.join("  ").trim_end());
        let reason = position.checked_sub(1).and_then(|index| views[index].reason.as_ref());
        if let Some(reason) = reason {
            let _ = writeln!(text, "    {reason}");
        }
    }
    text
}

/// How much of a release is here, of how much.
pub(super) fn here(view: &ReleaseView) -> String {
    match view.size {
        Some(size) if size != view.bytes => format!("{} of {}", amount(view.bytes), amount(size)),
        _ => amount(view.bytes),
    }
}

/// A number of bytes as people say it.
fn amount(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let power = (bytes.ilog2() / 10).min(4);
    // In tenths, so that no digit is made up.
    let tenths = (u128::from(bytes) * 10) >> (10 * power);
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[power as usize - 1])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::ReleaseState;

    #[test]
    fn releases_are_a_table() {
        let view = |name: &str, state, active, proven, bytes| ReleaseView {
            name: name.to_owned(),
            channel: Some("okd".to_owned()),
            state,
            active,
            reason: None,
            proven,
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
        let views = [view("okd-4.19", ReleaseState::Live, false, 3, 1_200_000_000), failed, alone];
        insta::assert_snapshot!(table(&views), @r"
        NAME      CHANNEL  STATE   PROVEN  HERE
        okd-4.19  okd      live    3 of 3  1.1 GiB
        okd-4.20  okd      failed  2 of 3  143.0 MiB of 1.1 GiB
            okd/4.20/rootfs.img: no source has it: s3://b/k does not exist
        memtest   -        idle    0 of 3  0 B
        ");
    }

    #[test]
    fn amounts_are_rounded_down() {
        for (bytes, text) in
            [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1_048_575, "1023.9 KiB"), (u64::MAX, "16777215.9 TiB")]
        {
            assert_eq!(amount(bytes), text);
        }
    }
}
