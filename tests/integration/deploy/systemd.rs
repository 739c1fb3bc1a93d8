//! The package in the hands of a real service manager: systemd, booted in a container of its own, starts it, reloads it,
//! restarts it and upgrades it.

use std::fmt::Write as _;
use std::fs::File;
use std::path::Path;
use std::process::{Child, Output, Stdio};
use std::time::Instant;

use bootdepot::asset::Digest;

use super::scratch::{Root, TOOLS, build};
use crate::support::{PATIENCE, Tool, namespace, noise, note_skipped};

const TEST: &str = "deploy::systemd::systemd_starts_reloads_restarts_and_upgrades_the_service";

/// A container in which systemd runs. It has this machine's programs and a network of its own, with a loopback alone.
struct Machine {
    container: Child,
    nsenter: Tool,
    /// Its first process, as this namespace knows it.
    leader: String,
}

impl Machine {
    /// Boots the root directory. Not every machine lets a container have a systemd; then the test is skipped.
    fn boot(root: &Root) -> Option<Self> {
        // Not a first boot, which would enable all that this machine has; and no more than the basic system.
        std::fs::write(root.file("etc/machine-id"), "b00de907b00de907b00de907b00de907\n").unwrap();
        let log = root.file("console");
        let console = File::create(&log).unwrap();
        let nspawn = Tool::find("systemd-nspawn").expect("it was there outside");
        let container = nspawn
            .command()
            .arg("--directory")
            .arg(root.file(""))
            .args(["--boot", "--machine=bootdepot-test", "--private-network", "--register=no", "--keep-unit"])
            .args(["--resolv-conf=off", "--timezone=off", "--link-journal=no", "--console=pipe"])
            .arg("systemd.unit=basic.target")
            .stdin(Stdio::null())
            .stdout(console.try_clone().unwrap())
            .stderr(console)
            .spawn()
            .expect("it was just found");
        let nsenter = Tool::find("nsenter").expect("it was there outside");
        let mut machine = Self { container, nsenter, leader: String::new() };
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline && machine.container.try_wait().unwrap().is_none() {
            let pid = machine.container.id();
            let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
            children.split_whitespace().next().unwrap_or_default().clone_into(&mut machine.leader);
            if !machine.leader.is_empty() {
                let state = machine.run("systemctl is-system-running");
                if matches!(String::from_utf8_lossy(&state.stdout).trim(), "running" | "degraded") {
                    return Some(machine);
                }
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        let said = std::fs::read_to_string(log).unwrap_or_default();
        note_skipped(&format!("no systemd can be booted here: {}", said.lines().last().unwrap_or_default()));
        None
    }

    /// What a shell makes of this, in the container.
    fn run(&self, script: &str) -> Output {
        let shell = ["env", "--ignore-environment", "PATH=/usr/sbin:/usr/bin", "sh", "-c", script];
        self.nsenter.run(["--target", &self.leader, "--all", "--"].iter().chain(&shell))
    }

    /// The same, of which nothing may fail. Returns what was printed.
    fn succeed(&self, script: &str) -> String {
        let output = self.run(&format!("set -e; {script}"));
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            let log = self.run("journalctl --no-pager --lines 60 --output cat");
            panic!("{script}: {}\n{said}\n{}", output.status, String::from_utf8_lossy(&log.stdout));
        }
        said
    }

    /// What systemd says of a unit.
    fn show(&self, unit: &str, property: &str) -> String {
        self.succeed(&format!("systemctl show --value --property {property} {unit}")).trim().to_owned()
    }

    fn is_active(&self, unit: &str) -> bool {
        self.run(&format!("systemctl is-active {unit}")).status.success()
    }

    fn wait_until(&self, what: &str, is_so: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so() {
            if Instant::now() > deadline {
                self.succeed(&format!("echo never: {what}; false"));
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    }
}

#[test]
fn systemd_starts_reloads_restarts_and_upgrades_the_service() {
    if namespace::stage().is_some() {
        return within(Path::new(&std::env::var("BOOTDEPOT_TEST_PACKAGES").expect("the stage before says where")));
    }
    let needed = ["unshare", "nsenter", "systemd-nspawn", "curl"];
    if TOOLS.iter().chain(&needed).any(|tool| Tool::find(tool).is_none()) {
        return;
    }
    let unshare = Tool::find("unshare").expect("it was just found");
    // The first process of a namespace takes all others with it, whatever ends it: nothing of the container stays behind.
    let kinds = ["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];
    if namespace::can_be_had(&unshare, &kinds) {
        let dir = tempfile::tempdir().unwrap();
        for revision in [1, 2] {
            build(dir.path(), revision);
        }
        let variable = format!("BOOTDEPOT_TEST_PACKAGES={}", dir.path().display());
        namespace::again(&unshare, &[&kinds[..], &["env", &variable]].concat(), TEST, "inside");
    }
}

fn within(packages: &Path) {
    let package = |revision: u32| {
        let suffix = format!("-{revision}_amd64.deb");
        let mut files = std::fs::read_dir(packages).unwrap().map(|entry| entry.unwrap().path());
        files.find(|file| file.to_str().unwrap().ends_with(&suffix)).expect("it was built")
    };
    let at = packages.join("at");
    std::fs::create_dir(&at).unwrap();
    let root = Root::new(&at);
    root.dpkg(&["--install", package(1).to_str().unwrap()]);
    std::fs::copy(package(2), root.file("upgrade.deb")).unwrap();
    // A machine without a service manager often says here that packages shall start nothing.
    let _ = std::fs::remove_file(root.file("usr/sbin/policy-rc.d"));

    // The settings of the package, of whose catalog nothing is asked; the root directory is memory.
    let settings = root.file("etc/bootdepot/bootdepot.toml");
    let changed = std::fs::read_to_string(&settings).unwrap().replace("min_free = \"5 GiB\"", "min_free = \"1 MiB\"");
    std::fs::write(&settings, changed).unwrap();
    let image = noise(80, 3_000_000);
    std::fs::create_dir(root.file("srv")).unwrap();
    std::fs::write(root.file("srv/image"), &image).unwrap();
    let catalog = |names: &[&str]| {
        let text = names.iter().fold(String::new(), |mut text, name| {
            let digest = Digest::of(&image);
            let _ = writeln!(
                text,
                "[[asset]]\nname = \"{name}\"\nsources = [\"file:///srv/image\"]\nsha256 = \"{digest}\""
            );
            text
        });
        std::fs::write(root.file("etc/bootdepot/catalog.d/own.toml"), text).unwrap();
    };
    catalog(&["image"]);

    let Some(machine) = Machine::boot(&root) else { return };
    let by = |url: &str| machine.succeed(&format!("curl --silent --show-error --max-time 60 {url} | cmp - /srv/image"));
    let (tftp, http) = ("'tftp://[::1]/image'", "http://127.0.0.1:8080/assets/image");
    assert!(!machine.is_active("bootdepot.service"), "nothing starts before somebody has written the settings");
    machine.succeed("systemctl enable --now bootdepot.service");
    by(tftp);
    by(http);
    // As a user without a name, in a cache that only that user may read.
    machine.succeed("test $(stat --format %a /var/cache/private/bootdepot) = 750");
    machine.succeed("test $(stat --format %u /var/cache/private/bootdepot) -gt 60000");

    // The port stands without the service, and wakes it.
    machine.succeed("systemctl stop bootdepot.service");
    assert!(machine.is_active("bootdepot-tftp.socket") && !machine.is_active("bootdepot.service"));
    by(tftp);
    assert!(machine.is_active("bootdepot.service"));

    catalog(&["image", "second"]);
    machine.succeed("systemctl reload bootdepot.service");
    machine
        .wait_until("the second asset", || machine.run("bootdepot list second --json | grep digest").status.success());

    // With wrong settings it does not start. Machines ask all the same; they are answered when the settings are mended,
    // whoever thinks of the service then.
    catalog(&["image", "image"]);
    assert!(!machine.run("systemctl restart bootdepot.service").status.success());
    for _ in 0..12 {
        machine.run("curl --silent --max-time 0.2 'tftp://[::1]/nothing'");
    }
    assert!(machine.is_active("bootdepot-tftp.socket"));
    catalog(&["image"]);
    by(tftp);

    // An upgrade takes the port from nobody, and lets transfers end.
    let (bound, before) = (machine.show("bootdepot-tftp.socket", "InactiveExitTimestampMonotonic"), process(&machine));
    let said = machine.succeed(&format!(
        "curl --silent --limit-rate 1M --max-time 60 {http} --output /tmp/slow & \
         for i in 1 2 3 4 5 6 7 8; do curl --silent --max-time 60 {tftp} | cmp - /srv/image; done & \
         dpkg --install /upgrade.deb; wait; cmp /tmp/slow /srv/image"
    ));
    assert!(!said.contains("failed"), "{said}");
    assert_ne!(process(&machine), before);
    assert_eq!(machine.show("bootdepot-tftp.socket", "InactiveExitTimestampMonotonic"), bound);
    by(tftp);

    // One that hangs is begun anew.
    std::fs::create_dir_all(root.file("etc/systemd/system/bootdepot.service.d")).unwrap();
    std::fs::write(root.file("etc/systemd/system/bootdepot.service.d/own.conf"), "[Service]\nWatchdogSec=2\n").unwrap();
    machine.succeed("systemctl daemon-reload; systemctl restart bootdepot.service");
    let before = process(&machine);
    machine.succeed(&format!("kill -STOP {before}"));
    machine.wait_until("another process", || !["0", &before].contains(&process(&machine).as_str()));
    by(tftp);

    machine.succeed("dpkg --purge bootdepot");
    assert!(!machine.is_active("bootdepot.service") && !machine.is_active("bootdepot-tftp.socket"));
    machine.succeed("! test -e /var/cache/private/bootdepot && ! test -e /usr/bin/bootdepot");
}

/// The service's process.
fn process(machine: &Machine) -> String {
    machine.show("bootdepot.service", "MainPID")
}
