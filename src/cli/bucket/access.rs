//! `bootdepot bucket policy`: prints the policies that the users of the buckets need.

use std::process::ExitCode;

use serde_json::{Map, Value, json};

use super::load;
use crate::cli::print;
use crate::config::Flags;
use crate::supply::bucket::{AccessPolicies, public_policy};

/// Print the policies that nodes, publishers and operators need
///
/// Prints an IAM policy for nodes (which read), publishers (which write too) and operators (who run `bucket init` and `prune`), and
/// the bucket policies that `bucket init` writes. Nothing is requested or changed.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  bootdepot bucket policy\n  bootdepot bucket policy --for nodes harmony-binaries > nodes.json\n  aws iam put-user-policy --user-name node --policy-name bootdepot --policy-document file://nodes.json"
)]
pub(super) struct PolicyCommand {
    /// Only these buckets
    #[arg(value_name = "BUCKET")]
    names: Vec<String>,
    /// Print only the IAM policy for these users, as JSON
    #[arg(long = "for", value_name = "USERS", value_enum)]
    users: Option<Users>,
    /// Print all as one JSON object
    #[arg(long, conflicts_with = "users")]
    json: bool,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Users {
    /// They read.
    Nodes,
    /// They read and write.
    Publishers,
    /// They set buckets up, and delete.
    Operators,
}

impl PolicyCommand {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let config = load::settings(&self.flags)?;
        let plans = load::selected(&config, &self.names)?;
        let origins = load::origins(&config)?;
        let buckets: Vec<_> = plans.iter().map(|plan| (plan, load::partition_of(&origins, &plan.name))).collect();
        let policies = AccessPolicies::of(&buckets);
        let of_buckets: Map<String, Value> = buckets
            .iter()
            .filter_map(|(plan, partition)| Some((plan.name.clone(), public_policy(plan, partition)?)))
            .collect();
        print(&match self.users {
            Some(Users::Nodes) => pretty(&policies.nodes)?,
            Some(Users::Publishers) => pretty(&policies.publishers)?,
            Some(Users::Operators) => pretty(&policies.operators)?,
            None if self.json => pretty(&json!({
                "nodes": policies.nodes,
                "publishers": policies.publishers,
                "operators": policies.operators,
                "buckets": of_buckets,
            }))?,
            None => text(&policies, &of_buckets)?,
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

fn pretty(value: &Value) -> serde_json::Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}

fn text(policies: &AccessPolicies, buckets: &Map<String, Value>) -> serde_json::Result<String> {
    let users = [
        ("IAM policy for nodes (they read)", &policies.nodes),
        ("IAM policy for publishers (they write too)", &policies.publishers),
        ("IAM policy for operators (they run bucket init and bucket prune)", &policies.operators),
    ];
    let mut sections = Vec::new();
    for (title, policy) in users {
        sections.push(format!("# {title}\n{}", pretty(policy)?));
    }
    for (name, policy) in buckets {
        sections.push(format!("# Bucket policy of {name} (bucket init writes it)\n{}", pretty(policy)?));
    }
    Ok(sections.join("\n"))
}
