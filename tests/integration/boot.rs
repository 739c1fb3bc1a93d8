//! Real machines boot scripts of the operator's own: iPXE over HTTP and over TFTP, with Debian's installer from S3.

use std::net::SocketAddr;
use std::sync::MutexGuard;

use crate::support::guest::{KERNEL, UP};
use crate::support::machine::{self, Machine};
use crate::support::{Guest, Line, Object, Origin, Server, Site, Tool};

/// Names are relative: iPXE resolves them against where the script came from.
const SCRIPT: &str = "#!ipxe
kernel linux initrd=initrd.gz console=ttyS0
initrd initrd.gz
boot
";

/// A bucket with what a machine needs, and the turn to boot one.
struct Installer {
    origin: Origin,
    script: Object,
    kernel: Object,
    initrd: Object,
    _turn: MutexGuard<'static, ()>,
}

impl Installer {
    fn upload() -> Option<Self> {
        let guest = Guest::installer()?;
        let turn = machine::turn();
        let origin = Origin::start();
        let script = origin.put("boot.ipxe", SCRIPT);
        let [kernel, initrd] = guest.upload(&origin, "linux", "initrd.gz");
        Some(Self { origin, script, kernel, initrd, _turn: turn })
    }

    fn objects(&self) -> [&Object; 3] {
        [&self.script, &self.kernel, &self.initrd]
    }

    fn site(&self) -> Site {
        self.objects().into_iter().fold(Site::new(&self.origin), Site::asset).set("fill.part_size", "8 MiB")
    }

    /// Every asset went to the machine whole, over this protocol, and crossed the origin once.
    fn assert_served_over(&self, server: &Server, protocol: &str) {
        for object in self.objects() {
            let complete = |l: &Line| {
                l.is("bootdepot::transfer") && l.text("asset") == object.key && l.text("outcome") == "complete"
            };
            let line = server.wait_for(complete);
            assert_eq!((line.text("protocol").as_str(), line.number("bytes")), (protocol, object.size()));
            assert_eq!(self.origin.sent(&object.key), object.size(), "{} crossed the origin once", object.key);
        }
    }
}

/// A BIOS machine with iPXE in its network card's ROM; QEMU's own DHCP server sends it to `url`. It reaches this
/// machine's loopback as 10.0.2.2.
fn bios(qemu: &Tool, url: &str) -> Machine {
    let network = format!("user,id=n,bootfile={url}");
    Machine::start(qemu, &["-netdev", &network, "-device", "virtio-net-pci,netdev=n"])
}

/// The address as a guest of QEMU's user network sees it.
fn from_guest(address: SocketAddr) -> String {
    format!("10.0.2.2:{}", address.port())
}

#[test]
fn a_bios_machine_boots_over_http() {
    let (Some(qemu), Some(installer)) = (Tool::find("qemu-system-x86_64"), Installer::upload()) else { return };
    let server = installer.site().start();
    let machine = bios(&qemu, &format!("http://{}/assets/boot.ipxe", from_guest(server.http)));
    assert!(machine.wait_for(UP).contains(KERNEL), "the console shows the kernel");
    installer.assert_served_over(&server, "http");
}

#[test]
fn a_bios_machine_boots_over_tftp() {
    let (Some(qemu), Some(installer)) = (Tool::find("qemu-system-x86_64"), Installer::upload()) else { return };
    let server = installer.site().start();
    let machine = bios(&qemu, &format!("tftp://{}/boot.ipxe", from_guest(server.tftp)));
    machine.wait_for(UP);
    installer.assert_served_over(&server, "tftp");
}

#[test]
fn an_altered_initrd_does_not_reach_the_kernel() {
    let (Some(qemu), Some(installer)) = (Tool::find("qemu-system-x86_64"), Installer::upload()) else { return };
    let site = installer.site();
    // One byte in S3 is another one; the catalog names the digest of what it was.
    let mut altered = installer.initrd.bytes.to_vec();
    altered[20_000_000] ^= 1;
    installer.origin.put(&installer.initrd.key, altered);
    let server = site.start();
    let machine = bios(&qemu, &format!("http://{}/assets/boot.ipxe", from_guest(server.http)));
    // iPXE's last words name a page about the error.
    let shown = machine.wait_for("No more network devices");
    assert!(!shown.contains(KERNEL) && !shown.contains(UP), "the kernel was started:\n{shown}");
    server.wait_for_transfer(&installer.initrd.key, "digest-mismatch");
    server.wait_for_fill(&installer.initrd.key, "digest-mismatch");
    let complete = |l: &Line| l.text("asset") == "initrd.gz" && l.text("outcome") == "complete";
    assert!(server.lines(complete).is_empty());
}
