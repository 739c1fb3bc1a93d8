//! `bootdepot boots HOST`: the last boots of one machine, step by step.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::backend::Backend;
use super::batch::item;
use super::client::{ApiClient, Event, Topic};
use super::format::{ago, bytes, clock, plain, rate, span, took};
use super::table::Table;
use super::{discover, print, say};
use crate::api::{BootView, IdentityView, MachineView, StepView};
use crate::boot::State;
use crate::clock;
use crate::config::Flags;
use crate::depot::Outcome;

/// Show the last boots of a machine, step by step
///
/// Asks the running server (`admin.listen`). If none runs, reads the ledger in the cache directory.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  bootdepot boots r630-01\n  bootdepot boots 24:6e:96:00:00:01 --follow")]
pub struct BootsCommand {
    /// The host's name, a MAC, an address, a UUID, a serial number or an asset tag, in any spelling
    host: String,
    /// Print JSON
    #[arg(long, conflicts_with = "follow")]
    json: bool,
    /// Print each step of the current or next boot as it happens, until the boot is done; Ctrl-C to stop
    #[arg(long)]
    follow: bool,
    #[command(flatten)]
    flags: Flags,
}

impl BootsCommand {
    /// Runs it, printing to standard output.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let zone = TimeZone::system();
        if self.follow {
            return follow(&discover::server(&self.flags).await?, &self.host, &zone).await;
        }
        let backend = Backend::ledger(&self.flags).await?;
        let found = backend.run(async |client| item(client.host(&self.host).await)).await?;
        let machine = found.map_err(|reason| anyhow::anyhow!("{}: {reason}", self.host))?;
        let printed = if self.json {
            serde_json::to_string_pretty(&machine)? + "\n"
        } else {
            show(&machine, clock::now(), &zone)?
        };
        print(&printed)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Prints the steps of a machine's boot as they come, until it is done.
async fn follow(client: &ApiClient, host: &str, zone: &TimeZone) -> anyhow::Result<ExitCode> {
    let mut events = client.events(&[Topic::Host]).await?;
    let mut printed = Printed::default();
    let mut known = None;
    let mut first = true;
    loop {
        match item(client.host(host).await)? {
            Ok(machine) => {
                let done = machine.boots.first().is_some_and(|boot| boot.state == State::Done);
                if first && done {
                    say(format_args!("bootdepot: the last boot of {host} is done; waiting for the next one"));
                    printed.skip(&machine);
                } else if first && machine.boots.is_empty() {
                    say(format_args!("bootdepot: {host} has not been seen yet; waiting for it"));
                }
                print(&printed.update(&machine, clock::now(), zone))?;
                if done && !first && !printed.is_skipped(&machine) {
                    return Ok(ExitCode::SUCCESS);
                }
                known = Some(machine);
            }
            Err(reason) if first => say(format_args!("bootdepot: {host}: {reason}; waiting for it")),
            Err(_) => {}
        }
        first = false;
        while !events.next().await?.iter().any(|event| may_concern(event, known.as_ref())) {}
    }
}

/// Whether the machine that is followed may have changed. Any may be it that has not been seen yet.
fn may_concern(event: &Event, known: Option<&MachineView>) -> bool {
    match (event, known) {
        (Event::Host(changed), Some(known)) => {
            let same = |a: bool, b: bool| a && b;
            same(changed.mac.is_some(), changed.mac == known.mac)
                || same(changed.name.is_some(), changed.name == known.name)
                || same(changed.address.is_some(), changed.address == known.address)
        }
        (Event::Host(_), None) | (Event::Missed, _) => true,
        _ => false,
    }
}

/// The printed part of a machine's newest boot.
#[derive(Default)]
struct Printed {
    skipped: Option<u64>,
    boot: Option<BootView>,
}

impl Printed {
    /// Prints nothing of the newest boot.
    fn skip(&mut self, machine: &MachineView) {
        self.skipped = machine.boots.first().map(|boot| boot.id);
    }

    fn is_skipped(&self, machine: &MachineView) -> bool {
        machine.boots.first().map(|boot| boot.id) == self.skipped
    }

    /// A line for each step that is new or has changed, and one for the state of the boot if that has changed.
    fn update(&mut self, machine: &MachineView, now: Timestamp, zone: &TimeZone) -> String {
        let Some(boot) = machine.boots.first().filter(|_| !self.is_skipped(machine)) else { return String::new() };
        let before = self.boot.replace(boot.clone());
        let before = before.filter(|before| before.id == boot.id);
        let mut lines = Vec::new();
        if before.is_none() {
            let profile = boot.profile.as_ref().map_or(String::new(), |profile| format!(", profile {profile}"));
            lines.push(format!("{}  boot #{} begins{profile}", clock(boot.began, now, zone), boot.number));
        }
        let known = before.as_ref().map_or(&[][..], |before| &before.steps);
        for step in boot.steps.iter().filter(|step| !known.contains(step)) {
            lines.push(line(step, now, zone));
        }
        let changed = before.is_none_or(|before| before.state != boot.state);
        if changed && boot.state != State::Booting {
            lines.push(format!("{}  {}", clock(now, now, zone), state(boot, now, zone)));
            lines.extend(why(boot));
        }
        lines.into_iter().map(|line| plain(&line) + "\n").collect()
    }
}

/// One step as a line.
fn line(step: &StepView, now: Timestamp, zone: &TimeZone) -> String {
    let mut words = vec![clock(step.last, now, zone), format!("{:<6}", step.role.as_str()), name(step)];
    if step.open > 0 {
        words.push("begins".to_owned());
    } else {
        words.extend((step.bytes > 0).then(|| bytes(step.bytes)));
        words.extend(step.rate.map(rate));
        words.extend(step.cache.map(|cache| cache.as_str().to_owned()));
        words.extend(step.outcome.map(|outcome| outcome.as_str().to_owned()));
    }
    words.join("  ")
}

fn name(step: &StepView) -> String {
    if step.requests > 1 { format!("{} (x{})", step.name, step.requests) } else { step.name.clone() }
}

fn show(machine: &MachineView, now: Timestamp, zone: &TimeZone) -> Result<String, std::fmt::Error> {
    let (mac, address) = (machine.mac.map(|mac| mac.to_string()), machine.address.map(|address| address.to_string()));
    let who = [&machine.name, &mac, &address].into_iter().flatten().cloned().collect::<Vec<_>>();
    let mut text = who.join("  ") + "\n";
    for (term, value) in identity(machine) {
        writeln!(text, "  {term}: {}", plain(&value))?;
    }
    // The newest comes last, above the prompt.
    for boot in machine.boots.iter().rev() {
        let profile = boot.profile.as_ref().map_or(String::new(), |profile| format!(", profile {profile}"));
        let (began, age) = (clock(boot.began, now, zone), ago(boot.began, now));
        writeln!(text, "\nboot #{}: {began}, {age}{profile}, {}", boot.number, bytes(boot.bytes))?;
        let mut table = Table::new(&["STEP", "NAME", "BEGAN", ">TOOK", ">BYTES", ">RATE", "CACHE", "OUTCOME"]);
        let optional = |text: Option<String>| text.unwrap_or_default();
        for step in &boot.steps {
            let outcome = if step.open > 0 { Some("under way") } else { step.outcome.map(Outcome::as_str) };
            table.row([
                step.role.as_str().to_owned(),
                name(step),
                clock(step.began, now, zone),
                optional((step.milliseconds > 0).then(|| took(Duration::from_millis(step.milliseconds)))),
                optional((step.bytes > 0).then(|| bytes(step.bytes))),
                optional(step.rate.map(rate)),
                optional(step.cache.map(|cache| cache.as_str().to_owned())),
                outcome.unwrap_or_default().to_owned(),
            ]);
        }
        text += &table.print("  ");
        writeln!(text, "  {}", state(boot, now, zone))?;
        for line in why(boot) {
            writeln!(text, "  {line}")?;
        }
    }
    if machine.boots.is_empty() {
        text += "not seen yet\n";
    }
    Ok(text)
}

/// Everything that a machine was seen with, besides one MAC and one address.
fn identity(machine: &MachineView) -> Vec<(&'static str, String)> {
    let IdentityView { macs, addresses, uuid, serial, asset_tag, hostname, buildarch, platform, near_miss } =
        &machine.identity;
    // The heading has one of each.
    let macs = macs.iter().map(ToString::to_string).collect::<Vec<_>>();
    let addresses = addresses.iter().map(ToString::to_string).collect::<Vec<_>>();
    let more = |all: &[String], shown: Option<String>| (all != shown.as_slice()).then(|| all.join(", "));
    let platform = [platform, buildarch].into_iter().flatten().cloned().collect::<Vec<_>>();
    let all = [
        ("MACs", more(&macs, machine.mac.map(|mac| mac.to_string()))),
        ("addresses", more(&addresses, machine.address.map(|address| address.to_string()))),
        ("serial number", serial.clone()),
        ("UUID", uuid.map(|uuid| uuid.to_string())),
        ("asset tag", asset_tag.clone()),
        ("hostname", hostname.clone()),
        ("platform", (!platform.is_empty()).then(|| platform.join(" "))),
        ("near miss", near_miss.clone()),
    ];
    all.into_iter().filter_map(|(term, value)| Some((term, value.filter(|value| !value.is_empty())?))).collect()
}

/// The state of a boot: `stuck since 14:02:11 (4 min): the kernel came, no initrd was asked for`.
fn state(boot: &BootView, now: Timestamp, zone: &TimeZone) -> String {
    let note = plain(&boot.note);
    match boot.state {
        State::Stuck | State::Quiet | State::Waiting => {
            let age = span(now.duration_since(boot.since));
            format!("{} since {} ({age}): {note}", boot.state.as_str(), clock(boot.since, now, zone))
        }
        _ => format!("{}: {note}", boot.state.as_str()),
    }
}

/// Why a boot is in its state, in the words of the part that failed, and what to do about it.
fn why(boot: &BootView) -> impl Iterator<Item = String> {
    let reason = boot.reason.as_deref().map(|reason| format!("why: {}", plain(reason)));
    let advice = boot.advice.as_deref().map(|advice| format!("do: {}", plain(advice)));
    reason.into_iter().chain(advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MACHINE: &str = r#"{"name":"r630-01","mac":"24:6e:96:00:00:01","address":"192.0.2.7","profile":"okd-worker",
        "seen":"2026-11-21T14:02:11Z","state":"stuck","since":"2026-11-21T14:02:11Z","note":"n","reason":null,"advice":null,
        "last_step":null,"needs_attention":true,
        "identity":{"macs":["24:6e:96:00:00:02","24:6e:96:00:00:01"],"addresses":["192.0.2.7","2001:db8::7"],"uuid":null,
          "serial":"ABC1234","asset_tag":null,"hostname":null,"buildarch":"x86_64","platform":"efi","near_miss":null},
        "boots":[{"id":1234,"number":17,"began":"2026-11-21T14:02:00Z","last":"2026-11-21T14:02:11Z","state":"stuck",
          "since":"2026-11-21T14:02:11Z","note":"the kernel came, no initrd was asked for (okd/initrd)",
          "reason":"the words","advice":"look at its screen",
          "profile":"okd-worker","arch":7,"bytes":14780416,"steps":[
          {"role":"dhcp","name":"snponly.efi","began":"2026-11-21T14:02:00Z","last":"2026-11-21T14:02:01Z","open":0,
           "requests":2,"bytes":0,"size":null,"milliseconds":0,"rate":null,"cache":null,"outcome":"complete",
           "reason":null,"advice":null},
          {"role":"nbp","name":"snponly.efi","began":"2026-11-21T14:02:02Z","last":"2026-11-21T14:02:03Z","open":0,
           "requests":2,"bytes":100352,"size":100352,"milliseconds":52,"rate":1929846,"cache":"hit","outcome":"complete",
           "reason":null,"advice":null},
          {"role":"kernel","name":"okd/kernel","began":"2026-11-21T14:02:09Z","last":"2026-11-21T14:02:11Z","open":0,
           "requests":1,"bytes":14680064,"size":14680064,"milliseconds":1400,"rate":10485760,"cache":"miss",
           "outcome":"complete",
           "reason":null,"advice":null}]}]}"#;

    fn machine() -> (MachineView, Timestamp) {
        (serde_json::from_str(MACHINE).unwrap(), "2026-11-21T14:06:11Z".parse().unwrap())
    }

    #[test]
    fn boot_table_lists_steps() {
        let (machine, now) = machine();
        insta::assert_snapshot!(show(&machine, now, &TimeZone::UTC).unwrap(), @r"
        r630-01  24:6e:96:00:00:01  192.0.2.7
          MACs: 24:6e:96:00:00:02, 24:6e:96:00:00:01
          addresses: 192.0.2.7, 2001:db8::7
          serial number: ABC1234
          platform: efi x86_64

        boot #17: 14:02:00, 4 min ago, profile okd-worker, 14.0 MiB
          STEP    NAME              BEGAN      TOOK     BYTES        RATE  CACHE  OUTCOME
          dhcp    snponly.efi (x2)  14:02:00                                      complete
          nbp     snponly.efi (x2)  14:02:02  52 ms  98.0 KiB  1.84 MiB/s  hit    complete
          kernel  okd/kernel        14:02:09  1.4 s  14.0 MiB  10.0 MiB/s  miss   complete
          stuck since 14:02:11 (4 min): the kernel came, no initrd was asked for (okd/initrd)
          why: the words
          do: look at its screen
        ");
    }

    #[test]
    fn follow_prints_each_change_once() {
        let (mut machine, now) = machine();
        let mut printed = Printed::default();
        let stuck = machine.boots[0].clone();
        machine.boots[0].state = State::Booting;
        machine.boots[0].steps.pop();
        machine.boots[0].steps[1].open = 1;
        let mut lines = printed.update(&machine, now, &TimeZone::UTC);
        lines += &printed.update(&machine, now, &TimeZone::UTC);
        machine.boots[0] = stuck;
        lines += "--\n";
        lines += &printed.update(&machine, now, &TimeZone::UTC);
        lines += &printed.update(&machine, now, &TimeZone::UTC);
        insta::assert_snapshot!(lines, @r"
        14:02:00  boot #17 begins, profile okd-worker
        14:02:01  dhcp    snponly.efi (x2)  complete
        14:02:03  nbp     snponly.efi (x2)  begins
        --
        14:02:03  nbp     snponly.efi (x2)  98.0 KiB  1.84 MiB/s  hit  complete
        14:02:11  kernel  okd/kernel  14.0 MiB  10.0 MiB/s  miss  complete
        14:06:11  stuck since 14:02:11 (4 min): the kernel came, no initrd was asked for (okd/initrd)
        why: the words
        do: look at its screen
        ");
    }
}
