//! A virtual machine with Debian's kernel, programs of this host, and a shell on its console.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::guest::{BUSYBOX_STATIC, DIRECTORY, PROGRAM, cpio};
use super::machine::VirtualMachine;
use super::program::root;
use super::{Tool, wait_until};

/// Where tests/run unpacks Debian's kernel: `vmlinuz`, and the modules without which the guest finds no disk.
const KERNEL: &str = "tests/.cache/tools/kernel";
/// In the order in which they need each other.
const MODULES: [&str; 6] =
    ["virtio_ring", "virtio", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_pci", "virtio_blk"];
/// The prompt of the shell.
const READY: &str = "the shell is ready";

/// Runs each line that is typed, and prints its exit status. Files of programs of this host keep their paths.
const INIT: &str = "#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t devtmpfs none /dev
mount -t proc none /proc
mount -t sysfs none /sys
for module in MODULES; do insmod /modules/$module.ko; done
chmod 1777 /tmp
ip link set lo up
stty -echo
echo READY
while read -r line; do
    sh -c \"$line\" </dev/null
    echo \"[exit $?]\"
done
";

/// A kernel, and an initrd with everything else.
pub(crate) struct GuestSystem {
    kernel: PathBuf,
    initrd: PathBuf,
    qemu: Tool,
    _dir: tempfile::TempDir,
}

/// A running machine whose shell takes commands. Dropping it switches it off.
pub(crate) struct GuestShell {
    machine: VirtualMachine,
    /// How much of the console's output belongs to earlier commands.
    read: usize,
}

impl GuestSystem {
    /// Returns a system with `programs` of this host and their libraries, under the same paths, and with these files.
    ///
    /// `None` if a package is missing: the test is skipped.
    pub(crate) fn new(programs: &[&Path], files: &[(&str, &[u8])]) -> Option<Self> {
        let kernel = root().join(KERNEL);
        let path = |name: &str| kernel.join(name).to_str().expect("the path is text").to_owned();
        let needed = [path("vmlinuz"), "/bin/busybox".to_owned(), BUSYBOX_STATIC.to_owned()];
        let qemu = Tool::find("qemu-system-x86_64")?;
        if needed.iter().any(|path| Tool::file(path).is_none()) {
            return None;
        }
        let read = |path: &Path| std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        // By path, so that each directory comes before its files.
        let mut tree = BTreeMap::from([("tmp".to_owned(), None), ("proc".to_owned(), None), ("sys".to_owned(), None)]);
        // The kernel makes /dev.
        let mut add = |path: &str, bytes: Vec<u8>| {
            let path = path.trim_start_matches('/');
            for (at, _) in path.match_indices('/') {
                tree.insert(path[..at].to_owned(), None);
            }
            tree.insert(path.to_owned(), Some(bytes));
        };
        add("bin/busybox", read(Path::new("/bin/busybox")));
        for module in MODULES {
            add(&format!("modules/{module}.ko"), read(&kernel.join(format!("modules/{module}.ko"))));
        }
        for program in programs {
            add(program.to_str().expect("the path is text"), read(program));
            for library in libraries(program) {
                add(&library, read(Path::new(&library)));
            }
        }
        for (path, bytes) in files {
            add(path, bytes.to_vec());
        }
        add("init", INIT.replace("MODULES", &MODULES.join(" ")).replace("READY", READY).into_bytes());
        let entries: Vec<_> = tree
            .iter()
            .map(|(path, bytes)| match bytes {
                Some(bytes) => (path.as_str(), PROGRAM, bytes.as_slice()),
                None => (path.as_str(), DIRECTORY, &b""[..]),
            })
            .collect();
        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        let initrd = dir.path().join("initrd");
        std::fs::write(&initrd, cpio(&entries)).expect("the initrd can be written");
        Some(Self { kernel: kernel.join("vmlinuz"), initrd, qemu, _dir: dir })
    }

    /// Boots a machine with these disks in QEMU's notation, `/dev/vda` and so on. The caller must hold the boot lock.
    pub(crate) fn boot(&self, disks: &[&str]) -> GuestShell {
        let mut args: Vec<String> = ["-kernel", &self.kernel.display().to_string()].map(str::to_owned).to_vec();
        args.extend(["-initrd".to_owned(), self.initrd.display().to_string()]);
        // Only emergencies on the console, so that its output is that of the commands.
        args.extend(["-append".to_owned(), "console=ttyS0 quiet loglevel=1 panic=-1".to_owned()]);
        for disk in disks {
            args.extend(["-drive".to_owned(), format!("file={disk},format=raw,if=virtio")]);
        }
        let machine = VirtualMachine::start(&self.qemu, args);
        let read = machine.wait_for(&format!("{READY}\r\n")).len();
        GuestShell { machine, read }
    }
}

impl GuestShell {
    /// Runs a command line, and returns its exit status and its output.
    pub(crate) fn run(&mut self, line: &str) -> (i32, String) {
        self.machine.type_line(line);
        let (start, status) = (self.read, "[exit ");
        let shown = self.machine.wait_for_after(start, status);
        let end = start + shown[start..].find(status).expect("it was waited for");
        let shown = self.machine.wait_for_after(end, "]\r\n");
        self.read = shown.len();
        let code = shown[end + status.len()..].trim_end_matches("]\r\n");
        let code = code.parse().unwrap_or_else(|_| panic!("no status in {:?}", &shown[end..]));
        (code, shown[start..end].replace("\r\n", "\n"))
    }

    /// Runs a command line that must succeed, and returns its output.
    pub(crate) fn succeed(&mut self, line: &str) -> String {
        let (status, output) = self.run(line);
        assert_eq!(status, 0, "{line}:\n{output}");
        output
    }

    /// Repeats a command line until it succeeds, and returns its output.
    pub(crate) fn wait_until(&mut self, line: &str) -> String {
        let shell = std::cell::RefCell::new(self);
        let run = || shell.borrow_mut().run(line);
        wait_until(|| Some(run()).filter(|(status, _)| *status == 0), || format!("{line}: {:?}", run())).1
    }

    /// Switches it off, after its disks were unmounted.
    pub(crate) fn switch_off(mut self) {
        self.machine.type_line("umount -a -t ext4; sync; poweroff -f");
        self.machine.wait_until_off();
    }
}

/// The shared libraries of a program, and the loader, as ldd(1) lists them.
fn libraries(program: &Path) -> Vec<String> {
    let ldd = Tool::find("ldd").expect("ldd is part of the C library's package");
    let listed = ldd.succeed([program]);
    let paths = listed.split_whitespace().filter(|word| word.starts_with('/'));
    paths.map(str::to_owned).collect()
}
