//! `bootdepot bucket prune`: deletes objects that were not used for a while.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::load;
use super::target::Target;
use super::usage::asset_uses;
use crate::cli::backend::Backend;
use crate::cli::format::{ago, bytes, count, plain};
use crate::cli::table::Table;
use crate::cli::usage_error::UsageError;
use crate::cli::{print, say};
use crate::clock;
use crate::config::{Config, Flags, parse_span};
use crate::supply::Store;
use crate::supply::bucket::{PruneObject, PruneVerdict, prune_plan, read_inventory};

/// Hours of a day, for `unused_after`.
const HOURS: u64 = 24;

/// Delete objects that were not used for a while
///
/// An object is used when a machine requests one of its assets from this node (its cache and its ledger know when), and when it is
/// uploaded. Objects stay whatever their age if a release, a profile, a host or `[tftp.files]` needs them, or if they are pinned.
/// `.blocks`, `.sha256` and `metadata.json` are deleted with the last object that they describe.
///
/// Run it on the node that serves the machines: it does not know what other nodes have served. It shows what it would delete and
/// asks; --yes answers for scripts.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  bootdepot bucket prune --dry-run\n  bootdepot bucket prune harmony-binaries --unused 30d\n  bootdepot bucket prune s3://harmony-binaries/okd/4.18/ --unused 7d --yes"
)]
pub(super) struct PruneCommand {
    /// A bucket's name, or `s3://BUCKET/PREFIX`. Default: the buckets of the settings with `unused_after`
    #[arg(value_name = "BUCKET")]
    targets: Vec<Target>,
    /// Time without use, such as 30d. Default: `unused_after` of the bucket
    #[arg(long, value_name = "TIME", value_parser = parse_span)]
    unused: Option<Duration>,
    /// Print what would be deleted, and delete nothing
    #[arg(long)]
    dry_run: bool,
    /// Delete without asking
    #[arg(long, conflicts_with = "dry_run")]
    yes: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    flags: Flags,
}

/// The plan for one bucket.
struct Plan {
    store: Store,
    objects: Vec<PruneObject>,
    /// Why objects could not be deleted.
    errors: Vec<String>,
    deleted: usize,
}

impl PruneCommand {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let asks = !self.dry_run && !self.yes;
        if asks && !(std::io::stdin().is_terminal() && std::io::stderr().is_terminal()) {
            let reason =
                "bucket prune asks before it deletes, and there is no terminal; add --yes, or --dry-run to look only";
            return Err(UsageError::new(reason).into());
        }
        let config = load::with_catalog(&self.flags).await?;
        let targets = self.targets(&config)?;
        let origins = load::origins(&config)?;
        let stores = targets.iter().map(|(target, _)| load::store(&origins, &target.bucket));
        let stores = stores.collect::<Result<Vec<_>, _>>()?;
        let backend = Backend::cache(&self.flags).await?;
        let uses = backend.run(async |client| asset_uses(client, &config).await).await?;
        let now = clock::now();
        let mut plans = Vec::new();
        for ((target, unused), store) in targets.iter().zip(stores) {
            let named = load::catalog_uses(&config, &target.bucket);
            let inventory =
                read_inventory(&store, &target.prefix, &named, |key| load::member(&config, &target.bucket, key))
                    .await?;
            let objects = prune_plan(&inventory.objects, &uses, now, *unused);
            plans.push(Plan { store, objects, errors: Vec::new(), deleted: 0 });
        }
        let to_delete: usize = plans.iter().map(|plan| plan.to_delete().count()).sum();
        if asks {
            say(format_args!("{}", table(&plans, now).trim_end()));
            if to_delete > 0 && !confirmed(&question(&plans))? {
                say(format_args!("bootdepot: nothing was deleted"));
                return Ok(ExitCode::FAILURE);
            }
        }
        if !self.dry_run {
            for plan in &mut plans {
                plan.delete().await;
            }
        }
        print(&match self.json {
            true => json_of(&plans, self.dry_run)?,
            false if asks => summary(&plans, false),
            false => table(&plans, now) + "\n" + &summary(&plans, self.dry_run),
        })?;
        let errors: Vec<&String> = plans.iter().flat_map(|plan| &plan.errors).collect();
        for error in &errors {
            say(format_args!("bootdepot: {}", plain(error)));
        }
        Ok(if errors.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// The prefixes to prune, each with the time without use.
    fn targets(&self, config: &Config) -> Result<Vec<(Target, Duration)>, UsageError> {
        let plans = load::plans(config);
        let of_settings = |days: u32| Duration::from_hours(HOURS * u64::from(days));
        if self.targets.is_empty() {
            let pruned = plans.into_iter().filter_map(|plan| {
                let unused =
                    self.unused.filter(|_| plan.unused_days.is_some()).or(plan.unused_days.map(of_settings))?;
                Some((Target { bucket: plan.name, prefix: String::new() }, unused))
            });
            let pruned: Vec<_> = pruned.collect();
            let reason = "no [[bucket]] has unused_after; name the bucket, and add --unused";
            return if pruned.is_empty() { Err(UsageError::new(reason)) } else { Ok(pruned) };
        }
        let with_time = |target: &Target| {
            let days = plans.iter().find(|plan| plan.name == target.bucket).and_then(|plan| plan.unused_days);
            let unused = self.unused.or(days.map(of_settings)).ok_or_else(|| {
                UsageError::new(format!("the bucket {} has no unused_after; add --unused 30d", target.bucket))
            })?;
            Ok((target.clone(), unused))
        };
        self.targets.iter().map(with_time).collect()
    }
}

impl Plan {
    fn to_delete(&self) -> impl Iterator<Item = &PruneObject> {
        self.objects.iter().filter(|object| object.verdict == PruneVerdict::Delete)
    }

    /// Deletes each object before its companions: if it is interrupted, they are found as orphans.
    async fn delete(&mut self) {
        let doomed: Vec<PruneObject> = self.to_delete().cloned().collect();
        for object in doomed {
            let mut failed = None;
            for key in std::iter::once(&object.key).chain(&object.companions) {
                failed = failed.or(self.store.delete(key).await.err());
            }
            match failed {
                Some(error) => self.errors.push(error.to_string()),
                None => self.deleted += 1,
            }
        }
    }
}

/// Asks on the terminal.
fn confirmed(question: &str) -> anyhow::Result<bool> {
    let mut terminal = std::io::stderr();
    write!(terminal, "{question} [y/N] ").and_then(|()| terminal.flush()).context("cannot ask on the terminal")?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).context("cannot read the answer")?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

fn question(plans: &[Plan]) -> String {
    let (number, size) = totals(plans);
    format!("delete {} ({})?", count(number, "object"), bytes(size))
}

/// How many objects are to be deleted, and their bytes.
fn totals(plans: &[Plan]) -> (usize, u64) {
    let doomed = plans.iter().flat_map(Plan::to_delete);
    doomed.fold((0, 0), |(number, size), object| (number + 1, size + object.size))
}

fn summary(plans: &[Plan], dry_run: bool) -> String {
    let (number, size) = totals(plans);
    let kept: usize = plans.iter().map(|plan| plan.objects.len()).sum::<usize>() - number;
    if dry_run {
        return format!("{} ({}) would be deleted, {kept} kept\n", count(number, "object"), bytes(size));
    }
    let deleted: usize = plans.iter().map(|plan| plan.deleted).sum();
    format!("{} deleted, {kept} kept\n", count(deleted, "object"))
}

fn table(plans: &[Plan], now: Timestamp) -> String {
    let mut table = Table::new(&["BUCKET", "KEY", ">SIZE", "LAST USED", "RESULT"]);
    for plan in plans {
        for object in &plan.objects {
            let result = match &object.verdict {
                PruneVerdict::Delete => "delete".to_owned(),
                PruneVerdict::Used => "kept: used lately".to_owned(),
                PruneVerdict::Needed(by) => format!("kept: {}", by.join(", ")),
            };
            table.row([
                plan.store.bucket().to_owned(),
                object.key.clone(),
                bytes(object.size),
                object.last_use.map_or_else(|| "-".to_owned(), |time| ago(time, now)),
                result,
            ]);
        }
    }
    table.print("")
}

fn json_of(plans: &[Plan], dry_run: bool) -> serde_json::Result<String> {
    let buckets = plans.iter().map(|plan| {
        let objects = plan.objects.iter().map(|object| {
            let (verdict, needed_by) = match &object.verdict {
                PruneVerdict::Delete => ("delete", &[][..]),
                PruneVerdict::Used => ("used", &[][..]),
                PruneVerdict::Needed(by) => ("needed", by.as_slice()),
            };
            json!({
                "key": object.key,
                "size": object.size,
                "last_used": object.last_use,
                "companions": object.companions,
                "verdict": verdict,
                "needed_by": needed_by,
            })
        });
        json!({
            "name": plan.store.bucket(),
            "objects": objects.collect::<Value>(),
            "deleted": plan.deleted,
            "errors": plan.errors,
        })
    });
    let report = json!({ "dry_run": dry_run, "buckets": buckets.collect::<Value>() });
    Ok(serde_json::to_string_pretty(&report)? + "\n")
}
