//! Virtual machines: QEMU without KVM, and their serial consoles.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::deadline::stretch;
use super::{ChildExt, Tool};

/// How long a boot may take, before it stretches on a busy machine. Without KVM and with two busy cores it takes about a minute.
const BOOT: Duration = Duration::from_mins(4);

/// Waits until no other test of this process boots machines, because each uses a core of its own. The deadline of the test that
/// holds the lock bounds this wait.
pub(crate) fn boot_lock() -> MutexGuard<'static, ()> {
    static LOCK: Mutex<()> = Mutex::new(());
    // A failed boot poisons the lock and does not affect other tests.
    LOCK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A running virtual machine. Dropping it switches it off.
pub(crate) struct VirtualMachine {
    qemu: Child,
    input: ChildStdin,
    console: Arc<Console>,
}

#[derive(Default)]
struct Console {
    text: Mutex<(String, bool)>,
    grown: Condvar,
}

impl VirtualMachine {
    /// Starts a machine with 1 GiB of memory and these further arguments for QEMU. The caller must hold the [`boot_lock`].
    pub(crate) fn start<I: IntoIterator<Item: AsRef<OsStr>>>(qemu: &Tool, args: I) -> Self {
        let mut command: Command = qemu.command();
        command.args(["-accel", "tcg", "-m", "1024", "-nographic", "-no-reboot", "-boot", "n"]).args(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut qemu = command.spawn().expect("QEMU can be started");
        let input = qemu.stdin.take().expect("stdin is piped");
        let (console, mut output) = (Arc::new(Console::default()), qemu.stdout.take().expect("stdout is piped"));
        let written = Arc::clone(&console);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = output.read(&mut buffer) {
                written.change(|text| text.0.push_str(&String::from_utf8_lossy(&buffer[..length])));
            }
            written.change(|text| text.1 = true);
        });
        Self { qemu, input, console }
    }

    /// Waits until the console shows `text`, and returns all its output so far.
    pub(crate) fn wait_for(&self, text: &str) -> String {
        self.wait_for_after(0, text)
    }

    /// Waits until the console shows `text` after its first `start` bytes, and returns all its output so far.
    pub(crate) fn wait_for_after(&self, start: usize, text: &str) -> String {
        self.wait_for_any(start, &[text])
    }

    fn wait_for_any(&self, start: usize, texts: &[&str]) -> String {
        let deadline = Instant::now() + stretch(BOOT);
        let mut shown = self.console.text.lock().expect("no test panics with the console");
        while !texts.iter().any(|text| shown.0[start..].contains(text)) {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!shown.1 && !left.is_zero(), "the console never showed {texts:?}:\n{}", shown.0);
            shown = self.console.grown.wait_timeout(shown, left).expect("no test panics with the console").0;
        }
        shown.0.clone()
    }

    /// Types a key each time the console shows `text` after its first `start` bytes, until it shows `end` there. Returns all its
    /// output so far.
    pub(crate) fn answer_until(&mut self, start: usize, text: &str, key: u8, end: &str) -> String {
        let mut read = start;
        loop {
            let shown = self.wait_for_any(read, &[text, end]);
            if shown[start..].contains(end) {
                return shown;
            }
            read += shown[read..].find(text).expect("it was waited for") + text.len();
            self.input.write_all(&[key]).and_then(|()| self.input.flush()).expect("QEMU reads its input");
        }
    }

    /// Types a line on the console.
    pub(crate) fn type_line(&mut self, line: &str) {
        writeln!(self.input, "{line}").expect("QEMU reads its input");
    }

    /// Waits until it has switched itself off.
    pub(crate) fn wait_until_off(mut self) {
        self.qemu.wait_for_exit();
    }
}

impl Drop for VirtualMachine {
    fn drop(&mut self) {
        // Both fail if it has switched itself off.
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
