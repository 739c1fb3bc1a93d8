//! `bootdepot check`: looks at everything that a server with these settings depends on, before machines do.

mod advice;
mod certificate;
mod disk;
mod files;
mod objects;
mod origins;
mod outcome;
mod ports;
mod report;
mod secrets;
mod show;

use std::process::ExitCode;

use super::format::count;
use super::print;
use super::usage_error::{USAGE_ERROR, UsageError};
use crate::app;
use crate::cache;
use crate::config::{Config, ConfigErrors, Flags};
use report::Report;

/// Check the settings and all that they depend on, before machines do
///
/// Looks at the settings, the files, ports and secrets of the server, each origin in use (name, connection, TLS, credentials, clock),
/// each object that the catalog names (existence, size, advertised checksum, block list), and whether the active releases
/// have room in the cache. Nothing is fetched but block lists, and nothing is changed; a server may be running. Run it as
/// the user that runs the server.
///
/// Exits with status 1 where something fails, and with 0 where there are only warnings.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  bootdepot check\n  bootdepot check --verbose --config ./bootdepot.toml\n  bootdepot check --json | jq '.checks[] | select(.result != \"ok\")'"
)]
pub struct CheckCommand {
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
        let config = match app::load_lenient(&self.flags).await {
            Ok(config) => config,
            Err(errors) if self.json => {
                print(&format!("{:#}\n", wrong_settings(&errors)))?;
                return Ok(ExitCode::from(USAGE_ERROR));
            }
            Err(errors) => return Err(UsageError::new(errors).into()),
        };
        let report = look(&config).await;
        let printed = if self.json { format!("{:#}\n", report.json()) } else { show::show(&report, self.verbose) };
        print(&printed)?;
        Ok(report.status())
    }
}

async fn look(config: &Config) -> Report {
    let mut groups = vec![files::settings(config)];
    groups.extend(files::tls(config));
    groups.extend(files::tokens(config));
    let survey = cache::inspect(&config.cache.dir);
    groups.push(ports::check(config, &survey));
    groups.push(files::firmware(config));
    groups.extend(secrets::check(config).await);
    let found = origins::check(config).await;
    groups.extend(found.groups);
    groups.push(disk::check(config, &survey, &found.sizes));
    Report { groups }
}

/// Configuration errors as a report.
fn wrong_settings(errors: &ConfigErrors) -> serde_json::Value {
    let findings = errors.iter().map(|error| {
        let (place, message) = (error.place.to_string(), error.to_string());
        report::Finding::wrong(
            report::Verdict::Failed,
            place,
            "settings",
            message,
            "correct it; nothing else was looked at",
        )
    });
    let group = report::Group {
        what: "settings",
        place: "-".to_owned(),
        summary: count(errors.iter().count(), "error"),
        findings: findings.collect(),
    };
    Report { groups: vec![group] }.json()
}
