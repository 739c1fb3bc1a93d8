//! `bootdepot bucket init`: brings buckets to the state that the settings want.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::load;
use crate::cli::format::count;
use crate::cli::print;
use crate::cli::table::Table;
use crate::cli::usage_error::UsageError;
use crate::config::Flags;
use crate::supply::bucket::{BucketPlan, InitOptions, Step, StepOutcome, init_bucket};

/// Create the buckets of the settings and set them up
///
/// For each `[[bucket]]`: creates it, and compares versioning, encryption, policy, lifecycle rules and folders with the settings.
/// Settings that differ are written and read back. A second run writes nothing. Lifecycle rules and policy statements of others are kept;
/// those of bootdepot have an ID that begins with `bootdepot-`. A setting that a server does not support is reported, and is no failure.
///
/// Without `[[bucket]]` tables the buckets are isos, binaries, temp and public.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  bootdepot bucket init --dry-run\n  bootdepot bucket init\n  bootdepot bucket init harmony-isos --mfa 'arn:aws:iam::123456789012:mfa/root-account-mfa-device 123456'"
)]
pub(super) struct InitCommand {
    /// Only these buckets
    #[arg(value_name = "BUCKET")]
    names: Vec<String>,
    /// Print what would be written, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Serial number of the root account's MFA device and its current code, separated by a space: for `mfa_delete`
    #[arg(long, value_name = "SERIAL CODE")]
    mfa: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    flags: Flags,
}

impl InitCommand {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        if self.mfa.as_ref().is_some_and(|mfa| mfa.split(' ').count() != 2 || !mfa.is_ascii()) {
            return Err(UsageError::new("--mfa takes the device's serial number, a space and its current code").into());
        }
        let config = load::settings(&self.flags)?;
        let plans = load::selected(&config, &self.names)?;
        let origins = load::origins(&config)?;
        let stores = plans.iter().map(|plan| load::store(&origins, &plan.name)).collect::<Result<Vec<_>, _>>()?;
        let options = InitOptions { dry_run: self.dry_run, mfa: self.mfa };
        let mut results = Vec::new();
        for (plan, store) in plans.iter().zip(&stores) {
            results.push((plan, init_bucket(store, plan, &options).await));
        }
        let printed = if self.json { json_of(&results)? } else { table(&results, self.dry_run) };
        print(&printed)?;
        let has_failed = count_of(&results, StepOutcome::Failed) > 0;
        Ok(if has_failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

fn count_of(results: &[(&BucketPlan, Vec<Step>)], outcome: StepOutcome) -> usize {
    results.iter().flat_map(|(_, steps)| steps).filter(|step| step.outcome == outcome).count()
}

fn json_of(results: &[(&BucketPlan, Vec<Step>)]) -> serde_json::Result<String> {
    let buckets = results.iter().map(|(plan, steps)| {
        let steps: Vec<Value> = steps
            .iter()
            .map(|step| {
                json!({ "setting": step.setting.as_str(), "outcome": step.outcome.as_str(), "detail": step.detail })
            })
            .collect();
        json!({ "name": plan.name, "purpose": plan.purpose.as_str(), "steps": steps })
    });
    Ok(serde_json::to_string_pretty(&json!({ "buckets": buckets.collect::<Vec<_>>() }))? + "\n")
}

fn table(results: &[(&BucketPlan, Vec<Step>)], dry_run: bool) -> String {
    let mut table = Table::new(&["BUCKET", "SETTING", "RESULT", "DETAIL"]);
    for (plan, steps) in results {
        for step in steps {
            let result = match step.outcome {
                StepOutcome::Same => "ok",
                StepOutcome::Changed => "written",
                StepOutcome::Planned => "would be written",
                StepOutcome::NotSupported => "not supported",
                StepOutcome::Failed => "failed",
            };
            table.row([plan.name.clone(), step.setting.as_str().to_owned(), result.to_owned(), step.detail.clone()]);
        }
    }
    let (outcome, verb) =
        if dry_run { (StepOutcome::Planned, "would be written") } else { (StepOutcome::Changed, "written") };
    let changed = count_of(results, outcome);
    let failed = count_of(results, StepOutcome::Failed);
    let failed = if failed > 0 { format!(", {failed} failed") } else { String::new() };
    format!("{}\n{} {verb}{failed}\n", table.print(""), count(changed, "setting"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supply::bucket::{BucketPurpose, Setting};

    #[test]
    fn init_table_shows_each_setting() {
        let plan = BucketPlan::of(BucketPurpose::Isos, "lab-isos");
        let step = |setting, outcome, detail: &str| Step { setting, outcome, detail: detail.to_owned() };
        let steps = vec![
            step(Setting::Bucket, StepOutcome::Same, "s3://lab-isos"),
            step(Setting::Lifecycle, StepOutcome::Changed, "incomplete uploads aborted after 1 d"),
            step(Setting::Archive, StepOutcome::NotSupported, "not supported by this server (InvalidStorageClass)"),
        ];
        insta::assert_snapshot!(table(&[(&plan, steps)], false), @r"
        BUCKET    SETTING    RESULT         DETAIL
        lab-isos  bucket     ok             s3://lab-isos
        lab-isos  lifecycle  written        incomplete uploads aborted after 1 d
        lab-isos  archive    not supported  not supported by this server (InvalidStorageClass)

        1 setting written
        ");
    }
}
