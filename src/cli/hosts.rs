//! `bootdepot hosts`: lists the machines and their last boots.

use std::process::ExitCode;

use jiff::Timestamp;

use super::backend::Backend;
use super::format::ago;
use super::print;
use super::table::Table;
use crate::api::MachineView;
use crate::config::Flags;

/// List the machines, with the state of the last boot of each
///
/// Asks the running server (`admin.listen`). If none runs, reads the ledger in the cache directory.
#[derive(Debug, clap::Args)]
pub struct HostsCommand {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    flags: Flags,
}

impl HostsCommand {
    /// Runs it, printing to standard output.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let backend = Backend::ledger(&self.flags).await?;
        let machines = backend.run(async |client| Ok(client.hosts().await?)).await?;
        let printed = match self.json {
            true => serde_json::to_string_pretty(&machines)? + "\n",
            false if machines.is_empty() => "no machine has been seen yet\n".to_owned(),
            false => list(&machines, Timestamp::now()),
        };
        print(&printed)?;
        Ok(ExitCode::SUCCESS)
    }
}

fn list(machines: &[MachineView], now: Timestamp) -> String {
    let mut table = Table::new(&["HOST", "MAC", "ADDRESS", "PROFILE", "STATE", "SEEN", "LAST STEP"]);
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
        ]);
    }
    table.print("")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_table_shows_last_step() {
        let json = r#"[
            {"name":"r630-01","mac":"24:6e:96:00:00:01","address":"192.0.2.7","profile":"okd-worker",
             "seen":"2026-11-21T14:02:11Z","state":"stuck","since":"2026-11-21T14:02:11Z","note":"n","last_step":
             {"role":"kernel","name":"okd/kernel","began":"2026-11-21T14:02:10Z","last":"2026-11-21T14:02:11Z","open":0,
              "requests":1,"bytes":9,"size":9,"milliseconds":1000,"rate":9,"cache":"hit","outcome":"complete"}},
            {"name":"r630-02","mac":null,"address":null,"profile":"menu","seen":null,"state":null,"since":null,"note":null,
             "last_step":null}]"#;
        let machines: Vec<MachineView> = serde_json::from_str(json).unwrap();
        insta::assert_snapshot!(list(&machines, "2026-11-21T14:06:11Z".parse().unwrap()), @r"
        HOST     MAC                ADDRESS    PROFILE     STATE     SEEN       LAST STEP
        r630-01  24:6e:96:00:00:01  192.0.2.7  okd-worker  stuck     4 min ago  kernel okd/kernel
        r630-02  -                  -          menu        not seen  -          -
        ");
    }
}
