//! The package with a real service manager: systemd, booted in a container, starts, reloads, restarts and upgrades the service.

use std::fmt::Write as _;
use std::fs::File;
use std::path::Path;
use std::process::{Child, Output, Stdio};
use std::time::Instant;

use bootdepot::asset::Digest;

use super::scratch::{Root, TOOLS, build};
use crate::support::{Tool, namespace, note_skipped, random_bytes, timeout};

const TEST: &str = "deploy::systemd::systemd_runs_and_upgrades_service";

/// A container that runs systemd. It has this machine's programs, and a network with only a loopback.
struct Container {
    process: Child,
    nsenter: Tool,
    /// The id of its first process, in this namespace.
    leader: String,
}

impl Container {
    /// Boots the root directory. `None` if this machine cannot run systemd in a container: the test is skipped, in CI too. Fails if
    /// systemd starts but does not finish in time.
    fn boot(root: &Root) -> Option<Self> {
        // With a machine id this is not a first boot, which would enable all units. Only the basic system is started.
        std::fs::write(root.file("etc/machine-id"), "b00de907b00de907b00de907b00de907\n").unwrap();
        let log = root.file("console");
        let console = File::create(&log).unwrap();
        let nspawn = Tool::find("systemd-nspawn").expect("the outer stage found it");
        let process = nspawn
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
            .expect("systemd-nspawn was found above");
        let nsenter = Tool::find("nsenter").expect("the outer stage found it");
        let mut machine = Self { process, nsenter, leader: String::new() };
        let deadline = Instant::now() + timeout();
        let mut state = String::new();
        while Instant::now() < deadline && machine.process.try_wait().unwrap().is_none() {
            let pid = machine.process.id();
            let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
            children.split_whitespace().next().unwrap_or_default().clone_into(&mut machine.leader);
            if !machine.leader.is_empty() {
                let output = machine.run("systemctl is-system-running");
                String::from_utf8_lossy(&output.stdout).trim().clone_into(&mut state);
                if matches!(state.as_str(), "running" | "degraded") {
                    return Some(machine);
                }
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        let console = std::fs::read_to_string(log).unwrap_or_default();
        assert!(!matches!(state.as_str(), "initializing" | "starting"), "systemd is still {state}:\n{console}");
        note_skipped(&format!("systemd cannot be booted here: {}", console.lines().last().unwrap_or_default()));
        None
    }

    /// Runs a shell script in the container.
    fn run(&self, script: &str) -> Output {
        let shell = ["env", "--ignore-environment", "PATH=/usr/sbin:/usr/bin", "sh", "-c", script];
        self.nsenter.run(["--target", &self.leader, "--all", "--"].iter().chain(&shell))
    }

    /// Runs a shell script in the container and returns its output. Fails the test if a command fails.
    fn succeed(&self, script: &str) -> String {
        let output = self.run(&format!("set -e; {script}"));
        let printed = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            let log = self.run("journalctl --no-pager --lines 60 --output cat");
            panic!("{script}: {}\n{printed}\n{}", output.status, String::from_utf8_lossy(&log.stdout));
        }
        printed
    }

    /// Returns a property of a unit.
    fn show(&self, unit: &str, property: &str) -> String {
        self.succeed(&format!("systemctl show --value --property {property} {unit}")).trim().to_owned()
    }

    fn is_active(&self, unit: &str) -> bool {
        self.run(&format!("systemctl is-active {unit}")).status.success()
    }

    fn wait_until(&self, failure: &str, ready: impl Fn() -> bool) {
        let deadline = Instant::now() + timeout();
        while !ready() {
            if Instant::now() > deadline {
                self.succeed(&format!("echo {failure}; false"));
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    }
}

#[test]
fn systemd_runs_and_upgrades_service() {
    if namespace::stage().is_some() {
        return within(Path::new(&std::env::var("BOOTDEPOT_TEST_PACKAGES").expect("the outer stage sets the path")));
    }
    let needed = ["unshare", "nsenter", "systemd-nspawn", "curl"];
    if TOOLS.iter().chain(&needed).any(|tool| Tool::find(tool).is_none()) {
        return;
    }
    let unshare = Tool::find("unshare").expect("unshare was found above");
    // When the first process of a PID namespace ends, the kernel kills all others: no process of the container remains.
    let kinds = ["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];
    if namespace::can_unshare(&unshare, &kinds) {
        let dir = tempfile::tempdir().unwrap();
        for revision in [1, 2] {
            build(dir.path(), revision);
        }
        let variable = format!("BOOTDEPOT_TEST_PACKAGES={}", dir.path().display());
        namespace::run_stage(&unshare, &[&kinds[..], &["env", &variable]].concat(), TEST, "inside");
    }
}

fn within(packages: &Path) {
    let package = |revision: u32| {
        let suffix = format!("-{revision}_amd64.deb");
        let mut files = std::fs::read_dir(packages).unwrap().map(|entry| entry.unwrap().path());
        files.find(|file| file.to_str().unwrap().ends_with(&suffix)).expect("the package was built")
    };
    let at = packages.join("at");
    std::fs::create_dir(&at).unwrap();
    let root = Root::new(&at);
    root.dpkg(&["--install", package(1).to_str().unwrap()]);
    std::fs::copy(package(2), root.file("upgrade.deb")).unwrap();
    // On a machine without a service manager this file often forbids packages to start services.
    let _ = std::fs::remove_file(root.file("usr/sbin/policy-rc.d"));

    // The package's configuration. Its catalog is not used. The root directory is a small tmpfs.
    let settings = root.file("etc/bootdepot/bootdepot.toml");
    let changed = std::fs::read_to_string(&settings).unwrap().replace("min_free = \"5 GiB\"", "min_free = \"1 MiB\"");
    std::fs::write(&settings, changed).unwrap();
    let image = random_bytes(80, 3_000_000);
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

    let Some(machine) = Container::boot(&root) else { return };
    let seconds = timeout().as_secs();
    let fetch_and_compare = |url: &str| {
        machine.succeed(&format!("curl --silent --show-error --max-time {seconds} {url} | cmp - /srv/image"))
    };
    let (tftp, http) = ("'tftp://[::1]/image'", "http://127.0.0.1:8080/assets/image");
    assert!(!machine.is_active("bootdepot.service"), "the service does not start before an operator configures it");
    machine.succeed("systemctl enable --now bootdepot.service");
    fetch_and_compare(tftp);
    fetch_and_compare(http);
    // The service runs as a dynamic user, and only that user may read the cache.
    machine.succeed("test $(stat --format %a /var/cache/private/bootdepot) = 750");
    machine.succeed("test $(stat --format %u /var/cache/private/bootdepot) -gt 60000");

    // The socket stays open without the service, and a request starts it.
    machine.succeed("systemctl stop bootdepot.service");
    assert!(machine.is_active("bootdepot-tftp.socket") && !machine.is_active("bootdepot.service"));
    fetch_and_compare(tftp);
    assert!(machine.is_active("bootdepot.service"));

    catalog(&["image", "second"]);
    machine.succeed("systemctl reload bootdepot.service");
    machine.wait_until("the second asset was not loaded", || {
        machine.run("bootdepot list second --json | grep digest").status.success()
    });

    // With an invalid configuration the service does not start. Requests continue to arrive at the socket, and one of them starts
    // the service when the configuration is valid again.
    catalog(&["image", "image"]);
    assert!(!machine.run("systemctl restart bootdepot.service").status.success());
    for _ in 0..12 {
        machine.run("curl --silent --max-time 0.2 'tftp://[::1]/nothing'");
    }
    assert!(machine.is_active("bootdepot-tftp.socket"));
    catalog(&["image"]);
    fetch_and_compare(tftp);

    // An upgrade keeps the socket open and lets transfers end.
    let (bound, before) = (machine.show("bootdepot-tftp.socket", "InactiveExitTimestampMonotonic"), main_pid(&machine));
    let printed = machine.succeed(&format!(
        "curl --silent --limit-rate 1M --max-time {seconds} {http} --output /tmp/slow & \
         for i in 1 2 3 4 5 6 7 8; do curl --silent --max-time {seconds} {tftp} | cmp - /srv/image; done & \
         dpkg --install /upgrade.deb; wait; cmp /tmp/slow /srv/image"
    ));
    assert!(!printed.contains("failed"), "{printed}");
    assert_ne!(main_pid(&machine), before);
    assert_eq!(machine.show("bootdepot-tftp.socket", "InactiveExitTimestampMonotonic"), bound);
    fetch_and_compare(tftp);

    // The watchdog restarts a service that hangs.
    std::fs::create_dir_all(root.file("etc/systemd/system/bootdepot.service.d")).unwrap();
    std::fs::write(root.file("etc/systemd/system/bootdepot.service.d/own.conf"), "[Service]\nWatchdogSec=2\n").unwrap();
    machine.succeed("systemctl daemon-reload; systemctl restart bootdepot.service");
    let before = main_pid(&machine);
    machine.succeed(&format!("kill -STOP {before}"));
    machine.wait_until("the watchdog did not restart the service", || {
        !["0", &before].contains(&main_pid(&machine).as_str())
    });
    fetch_and_compare(tftp);

    machine.succeed("dpkg --purge bootdepot");
    assert!(!machine.is_active("bootdepot.service") && !machine.is_active("bootdepot-tftp.socket"));
    machine.succeed("! test -e /var/cache/private/bootdepot && ! test -e /usr/bin/bootdepot");
}

/// Returns the id of the service's process.
fn main_pid(machine: &Container) -> String {
    machine.show("bootdepot.service", "MainPID")
}
