//! Virtual machines boot the operator's own scripts: iPXE over HTTP and over TFTP, with Debian's installer from S3.

use std::net::SocketAddr;
use std::sync::MutexGuard;

use crate::support::guest::{KERNEL, UP};
use crate::support::machine::{self, VirtualMachine};
use crate::support::{FakeOrigin, Guest, LogLine, Object, TestServer, TestSite, Tool};

/// Names are relative: iPXE resolves them against the script's URL.
const SCRIPT: &str = "#!ipxe
kernel linux initrd=initrd.gz console=ttyS0
initrd initrd.gz
boot
";

/// A bucket with the files that a machine boots, and the lock for booting one.
struct Installer {
    origin: FakeOrigin,
    script: Object,
    kernel: Object,
    initrd: Object,
    _lock: MutexGuard<'static, ()>,
}

impl Installer {
    fn upload() -> Option<Self> {
        let guest = Guest::installer()?;
        let lock = machine::boot_lock();
        let origin = FakeOrigin::start();
        let script = origin.put("boot.ipxe", SCRIPT);
        let [kernel, initrd] = guest.upload(&origin, "linux", "initrd.gz");
        Some(Self { origin, script, kernel, initrd, _lock: lock })
    }

    fn objects(&self) -> [&Object; 3] {
        [&self.script, &self.kernel, &self.initrd]
    }

    fn site(&self) -> TestSite {
        self.objects().into_iter().fold(TestSite::new(&self.origin), TestSite::asset).set("fill.part_size", "8 MiB")
    }

    /// Asserts that the machine got every asset complete, over this protocol, and that the origin sent each byte once.
    fn assert_served_over(&self, server: &TestServer, protocol: &str) {
        for object in self.objects() {
            let complete = |l: &LogLine| {
                l.is("bootdepot::transfer") && l.text("asset") == object.key && l.text("outcome") == "complete"
            };
            let line = server.wait_for(complete);
            assert_eq!((line.text("protocol").as_str(), line.number("bytes")), (protocol, object.size()));
            assert_eq!(self.origin.sent(&object.key), object.size(), "the origin sent {} once", object.key);
        }
    }
}

/// Starts a BIOS machine with iPXE in its network card's ROM. QEMU's own DHCP server names `url` as its boot file. The machine
/// reaches this host's loopback as 10.0.2.2.
fn bios(qemu: &Tool, url: &str) -> VirtualMachine {
    let network = format!("user,id=n,bootfile={url}");
    VirtualMachine::start(qemu, &["-netdev", &network, "-device", "virtio-net-pci,netdev=n"])
}

/// Returns the address under which a guest of QEMU's user network reaches `address`.
fn from_guest(address: SocketAddr) -> String {
    format!("10.0.2.2:{}", address.port())
}

#[test]
fn bios_machine_boots_over_http() {
    let (Some(qemu), Some(installer)) = (Tool::find("qemu-system-x86_64"), Installer::upload()) else { return };
    let server = installer.site().start();
    let machine = bios(&qemu, &format!("http://{}/assets/boot.ipxe", from_guest(server.http)));
    assert!(machine.wait_for(UP).contains(KERNEL), "the console shows the kernel");
    installer.assert_served_over(&server, "http");
}

#[test]
fn bios_machine_boots_over_tftp() {
    let (Some(qemu), Some(installer)) = (Tool::find("qemu-system-x86_64"), Installer::upload()) else { return };
    let server = installer.site().start();
    let machine = bios(&qemu, &format!("tftp://{}/boot.ipxe", from_guest(server.tftp)));
    machine.wait_for(UP);
    installer.assert_served_over(&server, "tftp");
}

#[test]
fn altered_initrd_never_reaches_kernel() {
    let (Some(qemu), Some(installer)) = (Tool::find("qemu-system-x86_64"), Installer::upload()) else { return };
    let site = installer.site();
    // One byte in S3 is changed. The catalog has the digest of the original.
    let mut altered = installer.initrd.bytes.to_vec();
    altered[20_000_000] ^= 1;
    installer.origin.put(&installer.initrd.key, altered);
    let server = site.start();
    let machine = bios(&qemu, &format!("http://{}/assets/boot.ipxe", from_guest(server.http)));
    // iPXE's last line after a failed boot.
    let shown = machine.wait_for("No more network devices");
    assert!(!shown.contains(KERNEL) && !shown.contains(UP), "the kernel was started:\n{shown}");
    server.wait_for_transfer(&installer.initrd.key, "digest-mismatch");
    server.wait_for_fill(&installer.initrd.key, "digest-mismatch");
    let complete = |l: &LogLine| l.text("asset") == "initrd.gz" && l.text("outcome") == "complete";
    assert!(server.lines(complete).is_empty());
}
