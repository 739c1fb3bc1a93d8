//! Machines to boot: QEMU without KVM, a serial console that is read, and Debian's installer to put on them.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Tool;

/// How long a boot may take. With both cores busy and no KVM a good one takes about a minute.
const BOOT: Duration = Duration::from_mins(4);

/// What the booted machine's first process prints.
pub(crate) const UP: &str = "bootdepot: the machine is up";
/// What every Linux kernel prints first.
pub(crate) const KERNEL: &str = "Linux version";

const INSTALLER: &str = "/usr/lib/debian-installer/images/12/amd64/text/debian-installer/amd64";

/// Waits until no other test of this process boots a machine: each takes a core for itself.
pub(crate) fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    // A boot that failed poisons it, and concerns no other.
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A running machine. Switched off when dropped.
pub(crate) struct Machine {
    qemu: Child,
    console: Arc<Console>,
    _turn: MutexGuard<'static, ()>,
}

#[derive(Default)]
struct Console {
    text: Mutex<(String, bool)>,
    grown: Condvar,
}

impl Machine {
    /// Switches a machine of 1 GiB on, with this network and these further arguments.
    pub(crate) fn start(qemu: &Tool, args: &[&str]) -> Self {
        let turn = turn();
        let mut command: Command = qemu.command();
        command.args(["-accel", "tcg", "-m", "1024", "-nographic", "-no-reboot", "-boot", "n"]).args(args);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut qemu = command.spawn().expect("QEMU can be started");
        let (console, mut output) = (Arc::new(Console::default()), qemu.stdout.take().expect("stdout is piped"));
        let written = Arc::clone(&console);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = output.read(&mut buffer) {
                written.change(|text| text.0.push_str(&String::from_utf8_lossy(&buffer[..length])));
            }
            written.change(|text| text.1 = true);
        });
        Self { qemu, console, _turn: turn }
    }

    /// Waits until the console shows `text`, and returns all that it showed up to now.
    pub(crate) fn wait_for(&self, text: &str) -> String {
        let deadline = Instant::now() + BOOT;
        let mut shown = self.console.text.lock().expect("no test panics with the console");
        while !shown.0.contains(text) {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!shown.1 && !left.is_zero(), "the console never showed {text:?}:\n{}", shown.0);
            shown = self.console.grown.wait_timeout(shown, left).expect("no test panics with the console").0;
        }
        shown.0.clone()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Both fail when it has switched itself off.
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

impl Console {
    fn change(&self, change: impl FnOnce(&mut (String, bool))) {
        change(&mut self.text.lock().expect("no test panics with the console"));
        self.grown.notify_all();
    }
}

/// Debian's installer: its kernel, and its initrd with an `/init` in front of everything that prints [`UP`].
///
/// `None` skips the test, where the package `debian-installer-12-netboot-amd64` is missing.
pub(crate) fn installer() -> Option<(Vec<u8>, Vec<u8>)> {
    let read = |name: &str| Some(std::fs::read(Tool::file(&format!("{INSTALLER}/{name}"))?).expect("it can be read"));
    let (kernel, mut initrd) = (read("linux")?, read("initrd.gz")?);
    let init = format!("#!/bin/sh\nmount -t devtmpfs none /dev\necho '{UP}' >/dev/console\nexec sleep 1000\n");
    initrd.resize(initrd.len().next_multiple_of(4), 0);
    initrd.extend(cpio(&[("init", init.as_bytes()), ("TRAILER!!!", b"")]));
    Some((kernel, initrd))
}

/// An archive of executable files in the kernel's "newc" form (Documentation/driver-api/early-userspace/buffer-format.rst),
/// of which the kernel unpacks any number one after the other, later files in the place of earlier ones.
fn cpio(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (inode, (name, bytes)) in files.iter().enumerate() {
        let (mode, links) = (0o100_755, 1);
        // inode, mode, uid, gid, links, mtime, size, device (2), the device it stands for (2), length of the name, sum
        let fields = [inode, mode, 0, 0, links, 0, bytes.len(), 0, 0, 0, 0, name.len() + 1, 0];
        archive.extend(b"070701");
        archive.extend(fields.iter().flat_map(|field| format!("{field:08X}").into_bytes()));
        archive.extend(name.bytes().chain([0]));
        archive.resize(archive.len().next_multiple_of(4), 0);
        archive.extend(*bytes);
        archive.resize(archive.len().next_multiple_of(4), 0);
    }
    archive
}
