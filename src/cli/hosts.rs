//! `bootdepot hosts`: lists the machines and their last boots.

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use jiff::Timestamp;
use strum::VariantNames as _;

use super::backend::Backend;
use super::client::{ApiClient, Event, Topic};
use super::format::ago;
use super::table::Table;
use super::{discover, print};
use crate::api::MachineView;
use crate::boot::State;
use crate::clock;
use crate::config::Flags;

/// How often the list is printed at least while it is watched: it shows ages, and states that change by time alone.
const REFRESH: Duration = Duration::from_secs(10);
/// Moves to the top left of a terminal and clears it (ECMA-48).
const CLEAR: &str = "\u{1b}[H\u{1b}[2J";

/// List the machines, with the state of the last boot of each and the reason
///
/// Asks the running server (`admin.listen`). If none runs, reads the ledger in the cache directory.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  bootdepot hosts --problems\n  bootdepot hosts --state failed,stuck\n  bootdepot hosts --watch\n  bootdepot hosts --json | jq -r '.[] | select(.state == \"failed\") | .reason'"
)]
pub struct HostsCommand {
    /// Only machines whose last boot is in one of these states, with commas between them
    #[arg(long, value_name = "STATE", value_delimiter = ',', value_parser = state())]
    state: Vec<State>,
    /// Only machines that need attention: those that are failed, stuck or waiting, and were seen within a day
    #[arg(long)]
    problems: bool,
    /// Print the list again whenever it changes; Ctrl-C to stop
    #[arg(long, conflicts_with = "json")]
    watch: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    flags: Flags,
}

/// Parses the words of the API.
fn state() -> impl TypedValueParser<Value = State> {
    PossibleValuesParser::new(State::VARIANTS).try_map(|word| word.parse::<State>())
}

impl HostsCommand {
    /// Runs it, printing to standard output.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        if self.watch {
            return self.follow(&discover::server(&self.flags).await?).await;
        }
        let backend = Backend::ledger(&self.flags).await?;
        let machines = backend.run(async |client| Ok(client.hosts(&self.state, self.problems).await?)).await?;
        let printed = if self.json {
            serde_json::to_string_pretty(&machines)? + "\n"
        } else {
            self.show(&machines, clock::now())
        };
        print(&printed)?;
        Ok(ExitCode::SUCCESS)
    }

    /// Prints the list whenever it changes.
    async fn follow(&self, client: &ApiClient) -> anyhow::Result<ExitCode> {
        let mut events = client.events(&[Topic::Host]).await?;
        let on_terminal = std::io::stdout().is_terminal();
        let mut before = None;
        loop {
            let machines = client.hosts(&self.state, self.problems).await?;
            // A terminal shows how old everything is; elsewhere only changes matter.
            if on_terminal || before.as_ref() != Some(&machines) {
                let start = if on_terminal {
                    CLEAR
                } else if before.is_some() {
                    "\n"
                } else {
                    ""
                };
                print(&(start.to_owned() + &self.show(&machines, clock::now())))?;
            }
            before = Some(machines);
            let changed = async {
                while !events.next().await?.iter().any(|event| matches!(event, Event::Host(_) | Event::Missed)) {}
                Ok::<_, anyhow::Error>(())
            };
            if let Ok(changed) = tokio::time::timeout(REFRESH, changed).await {
                changed?;
            }
        }
    }

    fn show(&self, machines: &[MachineView], now: Timestamp) -> String {
        match machines {
            [] if self.problems => "no machine needs attention\n".to_owned(),
            [] if !self.state.is_empty() => "no machine is in this state\n".to_owned(),
            [] => "no machine has been seen yet\n".to_owned(),
            machines => list(machines, now),
        }
    }
}

fn list(machines: &[MachineView], now: Timestamp) -> String {
    let mut table = Table::new(&["HOST", "MAC", "ADDRESS", "PROFILE", "STATE", "SEEN", "LAST STEP", "REASON"]);
    let text = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    for machine in machines {
        let step = machine.last_step.as_ref().map(|step| format!("{} {}", step.role.as_str(), step.name));
        table.row([
            text(machine.name.clone()),
            text(machine.mac.map(|mac| mac.to_string())),
            text(machine.address.map(|address| address.to_string())),
            text(machine.profile.clone()),
            machine.state.map_or("not seen", |state| state.as_str()).to_owned(),
            text(machine.seen.map(|seen| ago(seen, now))),
            text(step),
            text(reason(machine)),
        ]);
    }
    table.print("")
}

/// Why a machine needs attention; `None` if it does not.
fn reason(machine: &MachineView) -> Option<String> {
    machine.state.filter(|state| state.needs_attention())?;
    let parts = [&machine.note, &machine.reason, &machine.identity.near_miss];
    Some(parts.into_iter().flatten().cloned().collect::<Vec<_>>().join(": "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::IdentityView;

    #[test]
    fn hosts_table_shows_step_and_reason() {
        let json = r#"[
            {"name":"r630-01","mac":"24:6e:96:00:00:01","address":"192.0.2.7","profile":"okd-worker",
             "seen":"2026-11-21T14:02:11Z","state":"failed","since":"2026-11-21T14:02:11Z",
             "note":"the kernel okd/kernel: its origin could not be read","reason":"connection refused","advice":"a",
             "last_step":
             {"role":"kernel","name":"okd/kernel","began":"2026-11-21T14:02:10Z","last":"2026-11-21T14:02:11Z","open":0,
              "requests":1,"bytes":9,"size":9,"milliseconds":1000,"rate":9,"cache":"hit","outcome":"origin-failed",
              "reason":null,"advice":null}},
            {"name":"r630-02","mac":null,"address":null,"profile":"menu","seen":null,"state":null,"since":null,"note":null,
             "reason":null,"advice":null,"last_step":null},
            {"name":"r630-03","mac":null,"address":null,"profile":"menu","seen":null,"state":"done","since":null,
             "note":"everything","reason":null,"advice":null,"last_step":null},
            {"name":null,"mac":"24:6e:96:00:00:04","address":null,"profile":null,"seen":null,"state":"stuck","since":null,
             "note":"no [[host]] matches this machine","reason":null,"advice":null,"last_step":null}]"#;
        let mut json: Vec<serde_json::Value> = serde_json::from_str(json).unwrap();
        for machine in &mut json {
            machine["identity"] = serde_json::to_value(IdentityView::default()).unwrap();
            machine["needs_attention"] = false.into();
        }
        json[3]["identity"]["near_miss"] = "its serial number is one character from r630-07's".into();
        let machines: Vec<MachineView> =
            json.into_iter().map(|machine| serde_json::from_value(machine).unwrap()).collect();
        insta::assert_snapshot!(list(&machines, "2026-11-21T14:06:11Z".parse().unwrap()), @r"
        HOST     MAC                ADDRESS    PROFILE     STATE     SEEN       LAST STEP          REASON
        r630-01  24:6e:96:00:00:01  192.0.2.7  okd-worker  failed    4 min ago  kernel okd/kernel  the kernel okd/kernel: its origin could not be read: connection refused
        r630-02  -                  -          menu        not seen  -          -                  -
        r630-03  -                  -          menu        done      -          -                  -
        -        24:6e:96:00:00:04  -          -           stuck     -          -                  no [[host]] matches this machine: its serial number is one character from r630-07's
        ");
    }
}
