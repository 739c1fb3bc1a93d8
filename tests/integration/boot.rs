//! Real machines boot: iPXE in BIOS and in UEFI, over HTTP and over TFTP, with Debian's kernel and initrd from S3.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use crate::support::machine::{self, KERNEL, Machine, UP, installer};
use crate::support::{Line, Object, Origin, Server, Site, Tool};

/// Names are relative: iPXE resolves them against where the script came from.
const SCRIPT: &str = "#!ipxe
kernel linux initrd=initrd.gz console=ttyS0
initrd initrd.gz
boot
";

/// A bucket with what a machine needs.
struct Installer {
    origin: Origin,
    script: Object,
    kernel: Object,
    initrd: Object,
}

impl Installer {
    fn upload() -> Option<Self> {
        let (kernel, initrd) = installer()?;
        let origin = Origin::start();
        let script = origin.put("boot.ipxe", SCRIPT);
        let (kernel, initrd) = (origin.put("linux", kernel), origin.put("initrd.gz", initrd));
        Some(Self { origin, script, kernel, initrd })
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

/// The name of the next test, and the variable that tells it that it runs in a network of its own.
const UEFI: &str = "boot::a_uefi_machine_boots_from_tftp_to_http_beside_a_dhcp_server";
const INSIDE: &str = "BOOTDEPOT_TEST_NETWORK";

/// The test runs itself once more inside a network namespace, where port 69 is free and a bridge with a tap of QEMU's is
/// the whole network.
#[test]
fn a_uefi_machine_boots_from_tftp_to_http_beside_a_dhcp_server() {
    let tools = ["qemu-system-x86_64", "dnsmasq", "ip", "unshare"].map(Tool::find);
    let [Some(qemu), Some(dnsmasq), Some(ip), Some(unshare)] = tools else { return };
    let files = ["/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd", "/usr/lib/ipxe/snponly.efi"];
    let [Some(code), Some(variables), Some(nbp)] = files.map(Tool::file) else { return };

    if std::env::var_os(INSIDE).is_none() {
        if !unshare.run(["--net", "true"]).status.success() {
            crate::support::tool::skip("this user may make no network namespace");
            return;
        }
        let _turn = machine::turn();
        let mut inner = unshare.command();
        inner.arg("--net").arg(std::env::current_exe().expect("a test has a path"));
        inner.args(["--exact", UEFI, "--nocapture"]).env(INSIDE, "1").stdin(Stdio::null());
        let output = inner.output().expect("unshare can be started");
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "the run inside ended with {}:\n{out}\n{err}", output.status);
        return;
    }
    let Some(installer) = Installer::upload() else { return };

    for command in [
        "link set lo up",
        "link add br0 type bridge",
        "tuntap add dev tap0 mode tap",
        "link set tap0 master br0",
        "address add 10.77.0.1/24 dev br0",
        "link set br0 up",
        "link set tap0 up",
    ] {
        ip.succeed(command.split(' '));
    }
    let nbp = installer.origin.put("boot/snponly.efi", std::fs::read(nbp).expect("it can be read"));
    let site = installer.site().asset(&nbp);
    let site = site.set("tftp.files", toml::toml! { "snponly.efi" = "boot/snponly.efi" });
    let site = site.set("tftp.listen", vec!["10.77.0.1:69"]).set("http.listen", vec!["10.77.0.1:0"]);
    let server = site.start();
    let _dhcp = Dhcp::start(&dnsmasq, &server.url("/assets/boot.ipxe"));

    let own_variables = site.file("variables.fd");
    std::fs::copy(variables, &own_variables).expect("the firmware's variables can be copied");
    let code = format!("if=pflash,format=raw,readonly=on,file={}", code.display());
    let variables = format!("if=pflash,format=raw,file={}", own_variables.display());
    let machine = Machine::start(
        &qemu,
        &[
            ["-machine", "q35"],
            ["-drive", &code],
            ["-drive", &variables],
            ["-netdev", "tap,id=n,ifname=tap0,script=no,downscript=no"],
            // Without a ROM of its own the card is the firmware's to drive.
            ["-device", "virtio-net-pci,netdev=n,romfile="],
            // Newer firmware has no network without a source of randomness.
            ["-device", "virtio-rng-pci"],
        ]
        .concat(),
    );
    machine.wait_for(UP);
    installer.assert_served_over(&server, "http");
    // The firmware asks for the size, lets go, and asks again.
    let of_nbp = |outcome: &str| {
        server.wait_for(|l| {
            l.text("protocol") == "tftp" && l.text("outcome") == outcome && l.number("bytes") <= nbp.size()
        })
    };
    of_nbp("probe");
    assert_eq!(of_nbp("complete").number("bytes"), nbp.size());
}

/// A DHCP server that knows where the boot server is and serves no file itself.
struct Dhcp(Child);

impl Dhcp {
    fn start(dnsmasq: &Tool, script: &str) -> Self {
        let mut command: Command = dnsmasq.command();
        command
            .args(["--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--user=root", "--pid-file="])
            .args(["--interface=br0", "--bind-interfaces", "--leasefile-ro", "--log-facility=-"])
            .args(["--dhcp-range=10.77.0.50,10.77.0.99,255.255.255.0", "--dhcp-userclass=set:ipxe,iPXE"])
            .args(["--dhcp-boot=snponly.efi,,10.77.0.1", &format!("--dhcp-boot=tag:ipxe,{script}")])
            .stdin(Stdio::null());
        Self(command.spawn().expect("dnsmasq can be started"))
    }
}

impl Drop for Dhcp {
    fn drop(&mut self) {
        // Both fail when it has ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
