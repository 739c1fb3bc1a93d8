//! Checks that the secrets of hosts' files are available. It never shows their values.

use std::collections::BTreeMap;

use futures_util::future::join_all;

use crate::config::Config;
use crate::jobs::{CheckResult, CheckRow, Finding};
use crate::secret::Secret;
use crate::units::count;

/// The most hosts of a secret that are listed by name; further ones are counted.
const NAMED: usize = 3;

/// Asks for every secret that is kept elsewhere, as a machine's file would. Returns `None` if there are no such secrets.
pub(super) async fn check(config: &Config) -> Option<CheckRow> {
    let mut users: BTreeMap<&str, (&Secret, Vec<&str>)> = BTreeMap::new();
    for (host, secret) in config.roster.secrets() {
        if let Some(place) = secret.reference() {
            users.entry(place).or_insert_with(|| (secret, Vec::new())).1.push(host);
        }
    }
    if users.is_empty() {
        return None;
    }
    let findings = join_all(users.iter().map(|(place, (secret, hosts))| one(place, secret, hosts))).await;
    let bad = findings.iter().filter(|finding| finding.result != CheckResult::Ok).count();
    let summary = match bad {
        0 => format!("{}, which can be had", count(findings.len(), "secret")),
        bad => format!("{bad} of {} cannot be had", count(findings.len(), "secret")),
    };
    Some(CheckRow { check: "secrets", place: "[[host]], [[profile]]".to_owned(), summary, findings })
}

async fn one(place: &str, secret: &Secret, hosts: &[&str]) -> Finding {
    let users = users(hosts);
    match secret.reveal().await {
        Ok(_) => Finding::ok(place, format!("it can be had; it is for {users}")),
        Err(error) => Finding::failed(
            place,
            "no secret",
            format!("{error}; the files of {users} need it"),
            format!(
                "put it there for the user that runs bootdepot, or correct `secrets` of [[host]] {:?} or its [[profile]]",
                hosts.first().copied().unwrap_or_default()
            ),
        ),
    }
}

/// `r630-01, r630-02, r630-03 and 5 more hosts`.
fn users(hosts: &[&str]) -> String {
    // A host may have it twice.
    let mut hosts = hosts.to_vec();
    hosts.dedup();
    let named = hosts.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    match hosts.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named} and {}", count(more, "more host")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Flags;

    fn group(secrets: &str) -> Option<CheckRow> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("b.toml");
        std::fs::write(dir.path().join("key"), "hunter2\n").unwrap();
        let secrets = secrets.replace("DIR", &dir.path().display().to_string());
        let profile = format!("[[profile]]\nname = \"disk\"\nlocal = true\nsecrets = {{ {secrets} }}\n");
        let settings = (1..=5).fold(profile, |text, n| {
            text + &format!("[[host]]\nname = \"r{n}\"\nmatch = {{ serial = \"{n}\" }}\nprofile = \"disk\"\n")
        });
        std::fs::write(&path, settings).unwrap();
        let config = Config::load(&Flags { config: Some(path), ..Flags::default() }, []);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(check(&config.unwrap_or_else(|errors| panic!("{errors}"))))
    }

    #[test]
    fn each_is_asked_for_once_and_never_shown() {
        let group = group("root = \"env:NO_SUCH_SECRET\", key = \"file:DIR/key\", here = \"plain\"").unwrap();
        assert_eq!((group.result(), group.summary.as_str()), (CheckResult::Failed, "1 of 2 secrets cannot be had"));
        let [absent, there] = group.findings.as_slice() else { panic!("{group:?}") };
        assert_eq!(
            absent.found,
            "the environment variable NO_SUCH_SECRET is not set or is blank; the files of r1, r2, r3 and 2 more hosts need it"
        );
        assert_eq!(there.found, "it can be had; it is for r1, r2, r3 and 2 more hosts");
        assert!(!format!("{group:?}").contains("hunter2"));
    }

    #[test]
    fn what_stands_in_the_settings_needs_no_look() {
        assert!(group("root = \"plain\"").is_none());
        assert_eq!(group("a = \"file:DIR/key\"").unwrap().summary, "1 secret, which can be had");
    }
}
