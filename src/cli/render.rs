//! `bootdepot render`: the script or the file that a machine would get.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::ExitCode;

use serde_json::json;

use super::client::ApiClient;
use super::format::plain;
use super::usage_error::UsageError;
use super::{print, say};
use crate::api::ReleaseView;
use crate::app;
use crate::boot::{
    Language, Mac, Machine, ReleaseState, RequestContext, Roster, Script, ScriptError, Uuid, entry_script,
};
use crate::catalog::Release;
use crate::config::{Config, Flags};

/// Print the script that a machine would get, or a file of it
///
/// As the settings say: every release that they make active counts as live, and of a channel without one its last. Where the
/// running server has another live, standard error says so. Nothing is recorded: tokens in URLs are samples, and each secret in a
/// file is shown as `(secret)`.
///
/// Exits with status 1 where the machine would get nothing to boot; the script that says so to the machine is printed all
/// the same.
#[derive(Debug, clap::Args)]
#[command(
    group(clap::ArgGroup::new("machine").args(["host", "mac", "uuid", "serial", "asset", "entry"]).required(true).multiple(true)),
    after_help = "Examples:\n  bootdepot render --host r630-01\n  bootdepot render --mac 24:6e:96:00:00:01\n  bootdepot render --serial ABC1234 --file config.ign"
)]
pub struct RenderCommand {
    /// The host of this name in the settings, instead of what identifies it
    #[arg(long, value_name = "NAME", conflicts_with_all = ["mac", "uuid", "serial", "asset", "entry"])]
    host: Option<String>,
    /// The MAC address of the card that it boots from, in any spelling
    #[arg(long, value_name = "MAC")]
    mac: Option<Mac>,
    /// Its SMBIOS UUID
    #[arg(long, value_name = "UUID")]
    uuid: Option<Uuid>,
    /// Its serial number
    #[arg(long, value_name = "TEXT")]
    serial: Option<String>,
    /// Its asset tag
    #[arg(long, value_name = "TEXT")]
    asset: Option<String>,
    /// The name that DHCP gives it
    #[arg(long, value_name = "NAME")]
    hostname: Option<String>,
    /// The script for GRUB instead of the one for iPXE
    #[arg(long)]
    grub: bool,
    /// The entry script, that sends every machine on to its own
    #[arg(long, conflicts_with = "file")]
    entry: bool,
    /// A file of the host instead of its script
    #[arg(long, value_name = "NAME", conflicts_with_all = ["grub", "json"])]
    file: Option<String>,
    /// The base of URLs; without it `http.advertise`, else localhost with the port of `http.listen`, in whose place each
    /// machine finds the address that it asked
    #[arg(long, value_name = "URL")]
    base: Option<String>,
    /// Print JSON: the script, whose it is, and what it names
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    flags: Flags,
}

impl RenderCommand {
    /// Runs it, printing to standard output; says on standard error why a machine would have nothing to boot.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let config = app::load_strict(&self.flags).await.map_err(UsageError::new)?;
        let rendered = self.rendered(&config);
        print(&rendered.output)?;
        if let Some(note) = &rendered.note {
            say(format_args!("bootdepot: {note}"));
        }
        for note in live_now(&config).await.iter().flat_map(|live| others_live(&config.releases, live)) {
            say(format_args!("bootdepot: {}", plain(&note)));
        }
        Ok(if rendered.boots { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn rendered(&self, config: &Config) -> Rendered {
        let roster = &config.roster;
        let port = config.http.listen.first().map_or(80, SocketAddr::port);
        let base = self.base.clone().or_else(|| config.http.advertise.clone());
        let base = base.unwrap_or_else(|| format!("http://localhost:{port}"));
        let visit = RequestContext { peer: IpAddr::V4(Ipv4Addr::LOCALHOST), base, is_probe: false };
        let language = if self.grub { Language::Grub } else { Language::Ipxe };
        if self.entry {
            let text = entry_script(&visit, language);
            let script = Script { text, near_miss: None, host: None, profile: None, named: Vec::new(), error: None };
            return Rendered { output: self.output(&script), note: None, boots: true };
        }
        let machine = match self.machine(roster) {
            Ok(machine) => machine,
            Err(reason) => return Rendered { output: String::new(), note: Some(reason), boots: false },
        };
        if let Some(file) = &self.file {
            return file_of(roster, &machine, file, &visit);
        }
        let script = roster.preview(&machine, &visit, language);
        let note = match (&script.error, &script.host, &script.profile) {
            (Some(trouble @ ScriptError::UnknownMachine), ..) => {
                Some(format!("{trouble}; this is the script that asks again until there is one"))
            }
            (Some(trouble), ..) => Some(format!("{trouble}; this is the script that asks again")),
            (None, None, Some(profile)) => Some(format!("no [[host]] matches; this is the default profile {profile}")),
            (None, ..) => None,
        };
        Rendered { output: self.output(&script), note, boots: script.error.is_none() }
    }

    fn machine(&self, roster: &Roster) -> Result<Machine, String> {
        let told = Machine {
            mac: self.mac,
            uuid: self.uuid,
            serial: self.serial.clone(),
            asset_tag: self.asset.clone(),
            hostname: self.hostname.clone(),
            ..Machine::default()
        };
        let Some(name) = &self.host else { return Ok(told) };
        let host = roster.host(name).ok_or_else(|| format!("there is no [[host]] {name:?}"))?;
        let keys = &host.keys;
        Ok(Machine {
            mac: keys.macs.first().copied(),
            uuid: keys.uuid,
            serial: keys.serial.clone(),
            asset_tag: keys.asset_tag.clone(),
            ..told
        })
    }

    fn output(&self, script: &Script) -> String {
        if !self.json {
            return script.text.clone();
        }
        let named = script.named.iter().map(|(role, name)| json!({ "role": role.as_str(), "name": name }));
        let shown = json!({
            "host": script.host,
            "profile": script.profile,
            "names": named.collect::<Vec<_>>(),
            "trouble": script.error.as_ref().map(ToString::to_string),
            "script": script.text,
        });
        format!("{shown:#}\n")
    }
}

/// The releases of the running server, where one answers.
async fn live_now(config: &Config) -> Option<Vec<ReleaseView>> {
    if config.releases.is_empty() {
        return None;
    }
    let client = ApiClient::connect(config.admin.as_ref()).await.ok()?;
    client.releases().await.ok()
}

/// Which releases are live in the running server in the place of those that the settings make active, a sentence each.
fn others_live(settings: &[Release], live: &[ReleaseView]) -> Vec<String> {
    let active = settings.iter().filter(|release| release.active && release.channel.is_some());
    let other = |active: &Release| {
        let is_it = |view: &&ReleaseView| view.state == ReleaseState::Live && view.channel == active.channel;
        let live = live.iter().find(is_it).filter(|view| view.name != active.name)?;
        Some(format!(
            "the running server has the release {} of the channel {} live, and this goes by {} of the settings",
            live.name,
            active.channel.as_deref().unwrap_or_default(),
            active.name
        ))
    };
    active.filter_map(other).collect()
}

/// The file `file` of the host that `machine` is.
fn file_of(roster: &Roster, machine: &Machine, file: &str, visit: &RequestContext) -> Rendered {
    let made = match roster.find(machine) {
        None => Err("no [[host]] matches this machine, and only hosts have files".to_owned()),
        Some(host) => roster.preview_file(&host, file, visit).map_err(|reason| format!("{}: {reason}", host.name)),
    };
    match made {
        Ok(text) => Rendered { output: text, note: None, boots: true },
        Err(reason) => Rendered { output: String::new(), note: Some(reason), boots: false },
    }
}

/// The result of a command.
struct Rendered {
    output: String,
    note: Option<String>,
    boots: bool,
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Cli {
        #[command(flatten)]
        render: RenderCommand,
    }

    const SETTINGS: &str = r#"
        [[asset]]
        name = "kernel"
        sources = ["s3://b/kernel"]
        sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        [[profile]]
        name = "linux"
        kernel = "kernel"
        args = ["ks={{ file_url('ks.cfg') }}"]
        files = { "ks.cfg" = { template = "ks.j2", only_from = "host" } }
        secrets = { root = "hunter2" }
        [[host]]
        name = "r630-01"
        match = { mac = "24:6e:96:00:00:01" }
        profile = "linux"
    "#;

    fn render(arguments: &[&str]) -> Rendered {
        render_with(arguments, &[])
    }

    fn render_with(arguments: &[&str], set: &[&str]) -> Rendered {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("b.toml");
        std::fs::write(&path, SETTINGS).unwrap();
        std::fs::write(dir.path().join("ks.j2"), "rootpw {{ secrets.root }}\n").unwrap();
        let set = set.iter().map(|text| (*text).to_owned()).collect();
        let flags = Flags { config: Some(path), set, ..Flags::default() };
        let config = Config::load(&flags, []).unwrap_or_else(|e| panic!("{e}"));
        let cli = Cli::try_parse_from(["render"].iter().chain(arguments)).unwrap_or_else(|e| panic!("{e}"));
        cli.render.rendered(&config)
    }

    #[test]
    fn host_script_prints_sample_token() {
        let rendered = render(&["--mac", "246e.9600.0001", "--base", "http://boot.lab"]);
        assert!(rendered.boots && rendered.note.is_none());
        let argument = "ks=http://boot.lab/hosts/r630-01/ks.cfg?token=made-for-each-script";
        assert!(rendered.output.contains(argument), "{}", rendered.output);
        assert!(
            render(&["--mac", "246e.9600.0001", "--grub"])
                .output
                .contains("set kernel=(http,localhost:8080)/assets/kernel")
        );
        assert!(render(&["--entry"]).output.contains("chain --replace --autofree http://localhost:8080/ipxe?mac="));
    }

    #[test]
    fn urls_begin_as_the_server_would_begin_them() {
        let kernel = |arguments: &[&str], set: &[&str]| {
            let output = render_with(&[&["--mac", "246e96000001"], arguments].concat(), set).output;
            output.lines().find_map(|line| Some(line.strip_prefix("kernel ")?.split(' ').next()?.to_owned())).unwrap()
        };
        let advertise = "http.advertise=http://boot.lab:8080";
        assert_eq!(kernel(&[], &["http.listen=[::]:9000"]), "http://localhost:9000/assets/kernel");
        assert_eq!(kernel(&[], &[advertise]), "http://boot.lab:8080/assets/kernel");
        assert_eq!(kernel(&["--base", "http://10.0.0.1"], &[advertise]), "http://10.0.0.1/assets/kernel");
    }

    #[test]
    fn json_names_host_and_dependencies() {
        let rendered = render(&["--mac", "246e.9600.0001", "--json"]);
        let json: serde_json::Value = serde_json::from_str(&rendered.output).unwrap();
        assert_eq!(
            (&json["host"], &json["profile"], &json["trouble"]),
            (&"r630-01".into(), &"linux".into(), &serde_json::Value::Null)
        );
        let names = json!([{ "role": "kernel", "name": "kernel" }, { "role": "file", "name": "hosts/r630-01/ks.cfg" }]);
        assert_eq!(json["names"], names);
    }

    #[test]
    fn host_is_found_by_name_or_key() {
        let by_name = render(&["--host", "r630-01"]);
        assert_eq!((by_name.boots, &by_name.output), (true, &render(&["--mac", "246e96000001"]).output));
        let absent = render(&["--host", "r630-02"]);
        assert_eq!((absent.boots, absent.note.as_deref()), (false, Some("there is no [[host]] \"r630-02\"")));
        let nobody = Cli::try_parse_from(["render"]).unwrap_err().to_string();
        assert!(
            nobody.contains("<--host <NAME>|--mac <MAC>|--uuid <UUID>|--serial <TEXT>|--asset <TEXT>|--entry>"),
            "{nobody}"
        );
        assert!(Cli::try_parse_from(["render", "--host", "a", "--mac", "246e96000001"]).is_err());
    }

    #[test]
    fn other_live_release_is_reported() {
        let view = |name: &str, state: &str| -> ReleaseView {
            serde_json::from_value(json!({
                "name": name, "channel": "okd", "state": state, "active": true, "reason": null, "cached": 1, "total": 1,
                "bytes": 1, "size": 1, "kept_until": null,
            }))
            .unwrap()
        };
        let release = |name: &str, active| Release {
            name: name.to_owned(),
            channel: Some("okd".to_owned()),
            assets: Vec::new(),
            active,
        };
        let settings = [release("okd-1", true), release("okd-2", false)];
        assert_eq!(others_live(&settings, &[view("okd-1", "live"), view("okd-2", "idle")]), [""; 0]);
        insta::assert_snapshot!(
            others_live(&settings, &[view("okd-1", "idle"), view("okd-2", "live")]).join("\n"),
            @"the running server has the release okd-2 of the channel okd live, and this goes by okd-1 of the settings"
        );
    }

    #[test]
    fn unknown_machine_fails_and_prints_script() {
        let rendered = render(&["--serial", "ABC1234"]);
        assert!(!rendered.boots && rendered.output.contains("serial number ABC1234"), "{}", rendered.output);
        let note = "no [[host]] matches this machine, and [defaults] has no profile; this is the script that asks again until there is one";
        assert_eq!(rendered.note.as_deref(), Some(note));
    }

    #[test]
    fn a_file_is_printed_without_its_secrets() {
        let rendered = render(&["--mac", "246e96000001", "--file", "ks.cfg"]);
        assert_eq!((rendered.output.as_str(), rendered.boots), ("rootpw '(secret)'\n", true));
        let rendered = render(&["--mac", "246e96000001", "--file", "none"]);
        assert_eq!(rendered.note.as_deref(), Some("r630-01: the host has no file of this name"));
        assert!(!render(&["--mac", "246e96000002", "--file", "ks.cfg"]).boots);
    }
}
