//! `bootdepot status`: the state of the server.

use std::fmt::Write as _;
use std::process::ExitCode;

use serde_json::json;

use super::client::ClientError;
use super::discover::{Discovery, complete, discover};
use super::format::{ago, bytes, count, plain, span};
use super::{print, say};
use crate::api::{SealView, Status};
use crate::cache::{self, SealPolicy};
use crate::config::{Config, Flags};

/// Show the state of the running server: readiness, cache, catalog, traffic, origins
///
/// Exits with status 1 if no server runs or the server is not ready.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  bootdepot status\n  bootdepot status --json | jq .cache")]
pub struct StatusCommand {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    flags: Flags,
}

impl StatusCommand {
    /// Runs it, printing to standard output.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let status = match discover(&self.flags).await? {
            Discovery::Server(client) => client.status().await?,
            Discovery::NoServer { settings, reason } => return no_server(&complete(&settings)?, &reason, self.json),
        };
        print(&if self.json { serde_json::to_string_pretty(&status)? + "\n" } else { show(&status)? })?;
        Ok(if status.ready { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// Prints what the cache's directory shows, without its lock.
fn no_server(config: &Config, error: &ClientError, json: bool) -> anyhow::Result<ExitCode> {
    let survey = cache::inspect(&config.cache.dir);
    let (dir, entries) = (config.cache.dir.display(), survey.blobs.len());
    let cached: u64 = survey.blobs.values().sum();
    let (unverified, unverified_entries) = (survey.unverified.values().sum::<u64>(), survey.unverified.len());
    say(format_args!("bootdepot: {error}"));
    // A directory that cannot be read is not an empty one.
    let unread = std::fs::read_dir(&config.cache.dir).err().map(|error| error.to_string());
    let free = Some(survey.free).filter(|free| *free != u64::MAX);
    let printed = if json {
        let cache = json!({
            "dir": dir.to_string(),
            "limit": config.cache.max_size,
            "free": free,
            "min_free": config.cache.min_free,
            "cached": { "bytes": cached, "entries": entries },
            "unverified": { "bytes": unverified, "entries": unverified_entries },
            "holder": survey.holder,
            "trouble": unread,
        });
        format!("{:#}\n", json!({ "ready": false, "running": false, "cache": cache }))
    } else if let Some(unread) = unread {
        format!("cache      {dir}: {unread}\n")
    } else {
        let holder = match &survey.holder {
            Some(pid) => format!("process {pid} has it open"),
            None => "no process has it open".to_owned(),
        };
        let unverified = match unverified_entries {
            0 => String::new(),
            entries => format!("; {} in {}", bytes(unverified), count(entries, "unverified blob")),
        };
        format!("cache      {dir}: {} in {}{unverified}; {holder}\n", bytes(cached), count(entries, "blob"))
    };
    print(&printed)?;
    Ok(ExitCode::FAILURE)
}

/// How many blobs the kernel has sealed, and why others are not.
fn seals(seal: &SealView) -> String {
    let sealed = format!("{} of {} sealed", seal.sealed, count(seal.sealed + seal.unsealed, "blob"));
    match &seal.reason {
        Some(reason) => format!("{sealed}: {reason}"),
        None if seal.policy == SealPolicy::Off.as_str() => format!("{sealed}: [cache] seal is off"),
        None => sealed,
    }
}

fn show(status: &Status) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    let now = status.now;
    let ready = if status.ready { "ready" } else { "NOT READY" };
    let up = span(now.duration_since(status.started));
    writeln!(text, "bootdepot {} ({}), up {up}: {ready}", status.version, status.revision)?;
    for trouble in &status.troubles {
        writeln!(text, "trouble    {trouble}")?;
    }
    let listeners: Vec<_> = status.listeners.iter().map(|it| format!("{} {}", it.protocol, it.address)).collect();
    writeln!(text, "listens    {}", listeners.join(", "))?;
    let cache = &status.cache;
    write!(text, "cache      {}: {} of {}", cache.dir, bytes(cache.cached.bytes), bytes(cache.limit))?;
    write!(text, " in {}", count(cache.cached.entries, "blob"))?;
    if cache.unverified.entries > 0 {
        let unverified = count(cache.unverified.entries, "unverified blob");
        write!(text, "; {} in {unverified}, hashed before use", bytes(cache.unverified.bytes))?;
    }
    if let Some(free) = cache.free {
        write!(text, "; {} free on the disk, {} of it kept", bytes(free), bytes(cache.min_free))?;
    }
    if cache.partial.entries > 0 {
        let partials = count(cache.partial.entries, "partial");
        write!(text, "; {} in {partials}", bytes(cache.partial.bytes))?;
    }
    if cache.quarantined.entries > 0 {
        write!(text, "; {} in quarantine", count(cache.quarantined.entries, "blob"))?;
    }
    if cache.renumbers_files {
        write!(text, "\n           its file system renumbers files: blobs are hashed again after each start")?;
    }
    write!(text, "\nseals      {}", seals(&cache.seal))?;
    let catalog = &status.catalog;
    let all = [(catalog.assets, "asset"), (catalog.releases, "release"), (catalog.hosts, "host")];
    write!(text, "\ncatalog    {}", all.map(|(number, noun)| count(number, noun)).join(", "))?;
    writeln!(text, "; loaded {}", ago(catalog.loaded, now))?;
    for error in catalog.last_reload.iter().flat_map(|last| &last.errors) {
        writeln!(text, "           the last reload changed nothing: {error}")?;
    }
    let totals = &status.totals;
    writeln!(
        text,
        "transfers  {} under way; since the start {} over HTTP ({}) and {} over TFTP ({})",
        status.transfers.active,
        totals.transfers.http,
        bytes(totals.sent.http),
        totals.transfers.tftp,
        bytes(totals.sent.tftp)
    )?;
    writeln!(
        text,
        "fills      {} under way; {} received since the start",
        status.fills.active,
        bytes(totals.received)
    )?;
    for origin in &status.origins {
        write!(text, "origin     {}: {} requests, {} failed", origin.origin, origin.requests, origin.failures)?;
        if let Some(ok) = origin.last_ok {
            write!(text, "; last success {}", ago(ok, now))?;
        }
        if let Some(error) = origin.last_error.as_ref().filter(|error| origin.last_ok.is_none_or(|ok| ok < error.at)) {
            write!(text, "; last error: {} ({})", error.message, ago(error.at, now))?;
        }
        text.push('\n');
    }
    Ok(text.lines().map(|line| plain(line) + "\n").collect())
}
