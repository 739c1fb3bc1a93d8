//! Every way to boot, from the firmware's first broadcast to the guest's init process, with hosts and profiles in the
//! configuration and beside a DHCP server that only assigns addresses. The ledger has every step.

use std::ffi::OsStr;
use std::process::Stdio;

use crate::support::boot_network::{Card, Firmware, SERVER, mac, serial, uuid};
use crate::support::boot_test::{BootTest, LINUX, host, ledger, start};
use crate::support::disk::Disk;
use crate::support::guest::up;
use crate::support::{ChildExt, CommandExt, TestSite, Tool, random_bytes};
use bootdepot::asset::Digest;

const SNPONLY: &str = "/usr/lib/ipxe/snponly.efi";
const GRUB_HTTP: &str = "/usr/lib/grub/x86_64-efi/http.mod";
/// The modules that GRUB needs to load and run our configuration.
const GRUB_MODULES: &str =
    "normal configfile efinet http linux chain boot echo test sleep regexp smbios minicmd all_video";

/// `bootdepot boots HOST --follow`, started before the machine.
struct Follower(std::process::Child);

impl Follower {
    fn of(site: &TestSite, host: &str) -> Self {
        let mut command = site.command_line(&["boots", host, "--follow"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        Self(command.spawn().expect("the program can be started"))
    }

    /// Waits until it has seen a transfer of everything that the machine's script names, and returns its output.
    fn finish(self) -> String {
        let output = self.0.finish();
        assert!(output.status.success(), "the command ended with {}", output.status);
        String::from_utf8(output.stdout).expect("the output is text")
    }
}

#[test]
fn bios_machine_boots_by_pxe_rom() {
    let Some(test) = BootTest::enter("boots::bios_machine_boots_by_pxe_rom") else { return };
    let site = test.site(&host("bios-1", "mac", &mac(1).replace(':', "-").to_uppercase(), "linux"));
    let _server = start(&site);
    let follower = Follower::of(&site, "bios-1");
    let Some(machine) = test.network.machine(&site, 1, Firmware::Bios) else { return };
    machine.wait_for(&up("bios-1"));

    let followed = follower.finish();
    let (steps, state) = ledger("bios-1");
    assert_eq!(
        steps,
        [
            "dhcp http://10.77.0.1:8080/boot.ipxe complete",
            "script boot.ipxe complete",
            "script ipxe complete",
            "kernel debian/linux complete",
            "initrd debian/initrd complete",
        ]
    );
    assert_eq!(state, "done");
    for step in &steps {
        let name = step.split(' ').nth(1).expect("a step has a name");
        assert!(followed.contains(name), "{name} was not printed:\n{followed}");
    }
    let shown = site.command_line(&["boots", "bios-1"]).run_to_end();
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("debian/initrd") && shown.contains("done: "), "{shown}");
}

/// iPXE wraps the file in an archive, which the kernel unpacks after the initramfs.
#[test]
fn initrd_with_path_is_found_in_guest() {
    let Some(test) = BootTest::enter("boots::initrd_with_path_is_found_in_guest") else { return };
    let note = test.origin.put("debian/note", "of the depot\n");
    let profile = r#"
        [[profile]]
        name = "noted"
        kernel = "debian/linux"
        initrd = ["debian/initrd", { asset = "debian/note", path = "/note" }]
        args = ["console=ttyS0", "hostname={{ host.name }}"]
    "#;
    let site = test.site(&format!("{profile}{}", host("noted-1", "mac", &mac(1), "noted"))).asset(&note);
    let _server = start(&site);
    let Some(machine) = test.network.machine(&site, 1, Firmware::Bios) else { return };
    let shown = machine.wait_for(&up("noted-1"));
    assert!(shown.contains("bootdepot: /note says of the depot"), "{shown}");
    let (steps, _) = ledger("noted-1");
    assert!(steps.contains(&"initrd debian/note complete".to_owned()), "{steps:?}");
}

#[test]
fn uefi_machine_boots_by_pxe() {
    let Some(test) = BootTest::enter("boots::uefi_machine_boots_by_pxe") else { return };
    let Some(nbp) = test.file("boot/snponly.efi", SNPONLY) else { return };
    let site = test.site(&host("pxe-1", "serial", &serial(2), "linux")).asset(&nbp);
    let site = site.set("tftp.files", toml::toml! { "snponly.efi" = "boot/snponly.efi" });
    let server = start(&site);
    let Some(machine) = test.network.machine(&site, 2, Firmware::Pxe) else { return };
    machine.wait_for(&up("pxe-1"));

    let (steps, state) = ledger("pxe-1");
    assert_eq!(
        steps,
        [
            "dhcp snponly.efi complete",
            "nbp boot/snponly.efi complete",
            "dhcp http://10.77.0.1:8080/boot.ipxe complete",
            "script boot.ipxe complete",
            "script ipxe complete",
            "kernel debian/linux complete",
            "initrd debian/initrd complete",
        ]
    );
    assert_eq!(state, "done");
    // The firmware requests the size, cancels that transfer, and requests the file.
    let probe = server.wait_for_transfer(&nbp.key, "probe");
    let whole = server.wait_for_transfer(&nbp.key, "complete");
    assert_eq!([&probe, &whole].map(|line| line.text("protocol")), ["tftp", "tftp"]);
    assert_eq!(whole.number("bytes"), nbp.size());
}

#[test]
fn uefi_machine_boots_by_http() {
    let Some(test) = BootTest::enter("boots::uefi_machine_boots_by_http") else { return };
    let Some(nbp) = test.file("boot/snponly.efi", SNPONLY) else { return };
    let site = test.site(&host("http-1", "uuid", &uuid(3), "linux")).asset(&nbp);
    let site = site.set("tftp.files", toml::toml! { "snponly.efi" = "boot/snponly.efi" });
    let server = start(&site);
    let Some(machine) = test.network.machine(&site, 3, Firmware::Http) else { return };
    machine.wait_for(&up("http-1"));

    let (steps, state) = ledger("http-1");
    assert_eq!(
        steps,
        [
            "dhcp http://10.77.0.1:8080/assets/boot/snponly.efi complete",
            "nbp boot/snponly.efi complete",
            "dhcp http://10.77.0.1:8080/boot.ipxe complete",
            "script boot.ipxe complete",
            "script ipxe complete",
            "kernel debian/linux complete",
            "initrd debian/initrd complete",
        ]
    );
    assert_eq!(state, "done");
    let whole = server.wait_for_transfer(&nbp.key, "complete");
    assert_eq!((whole.text("protocol").as_str(), whole.number("bytes")), ("http", nbp.size()));
}

/// The GRUB image is built by the operator, with the server's address in it. Debian's signed image has no `http` module, and loads
/// its configuration and that module by TFTP from the `next-server` of the DHCP server: GRUB ignores the replies of proxyDHCP.
#[test]
fn uefi_machine_boots_by_grub() {
    let Some(test) = BootTest::enter("boots::uefi_machine_boots_by_grub") else { return };
    let (Some(mkimage), Some(_)) = (Tool::find("grub-mkimage"), Tool::file(GRUB_HTTP)) else { return };
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let image = dir.path().join("grubnetx64.efi");
    let prefix = format!("(http,{SERVER}:8080)");
    let to = ["-O", "x86_64-efi", "-p", &prefix, "-o"].map(OsStr::new).into_iter().chain([image.as_os_str()]);
    mkimage.succeed(to.chain(GRUB_MODULES.split(' ').map(OsStr::new)));
    let nbp = test.origin.put("boot/grubnetx64.efi", std::fs::read(image).expect("the file can be read"));
    let host = host("grub-1", "mac", &mac(4), "linux") + "nbp = \"grubnetx64.efi\"\n";
    let site = test.site(&host).asset(&nbp);
    let site = site.set("tftp.files", toml::toml! { "grubnetx64.efi" = "boot/grubnetx64.efi" });
    let server = start(&site);
    let Some(machine) = test.network.machine(&site, 4, Firmware::Pxe) else { return };
    machine.wait_for(&up("grub-1"));

    let (steps, state) = ledger("grub-1");
    assert_eq!(
        steps,
        [
            "dhcp grubnetx64.efi complete",
            "nbp boot/grubnetx64.efi complete",
            "script grub.cfg complete",
            "kernel debian/linux complete",
            "initrd debian/initrd complete",
        ]
    );
    assert_eq!(state, "done");
    for (asset, protocol) in [(nbp.key.as_str(), "tftp"), ("debian/linux", "http"), ("debian/initrd", "http")] {
        assert_eq!(server.wait_for_transfer(asset, "complete").text("protocol"), protocol, "{asset}");
    }
}

/// The distribution's chain: shim, signed by Microsoft, then GRUB and the kernel, signed by Debian. That GRUB has no `http` and
/// loads no modules here, so everything comes by TFTP, and the DHCP server must name this server as its `next-server`.
#[test]
fn uefi_machine_boots_with_secure_boot() {
    const NAME: &str = "boots::uefi_machine_boots_with_secure_boot";
    let Some(test) = BootTest::enter_beside(NAME, &[&format!("--dhcp-boot=,,{SERVER}")]) else { return };
    let shim = test.file("boot/shimx64.efi", "/usr/lib/shim/shimx64.efi.signed");
    let grub = test.file("boot/grubx64.efi", "/usr/lib/grub/x86_64-efi-signed/grubnetx64.efi.signed");
    let (Some(shim), Some(grub)) = (shim, grub) else { return };
    let host = host("secure-1", "mac", &mac(8), "linux") + "nbp = \"shimx64.efi\"\n";
    let site = test.site(&host).asset(&shim).asset(&grub);
    let files = toml::toml! {
        "shimx64.efi" = "boot/shimx64.efi"
        "grubx64.efi" = "boot/grubx64.efi"
    };
    let site = site.set("tftp.files", files);
    let server = start(&site);
    let Some(machine) = test.network.machine(&site, 8, Firmware::Secure) else { return };
    let shown = machine.wait_for(&up("secure-1"));

    assert!(shown.contains("Secure boot enabled"), "the kernel does not report Secure Boot:\n{shown}");
    let (steps, state) = ledger("secure-1");
    assert_eq!(
        steps.iter().filter(|step| !step.ends_with(" not-found")).collect::<Vec<_>>(),
        [
            "dhcp shimx64.efi complete",
            "nbp boot/shimx64.efi complete",
            "asset boot/grubx64.efi complete",
            "script grub.cfg complete",
            "kernel debian/linux complete",
            "initrd debian/initrd complete",
        ]
    );
    assert_eq!(state, "done");
    for asset in [&*shim.key, &*grub.key, "debian/linux", "debian/initrd"] {
        assert_eq!(server.wait_for_transfer(asset, "complete").text("protocol"), "tftp", "{asset}");
    }
}

/// The DHCP server names PXELINUX. The first card loads it with its configuration over HTTP, and its profile is the local disk. The
/// BIOS continues with the second card, on which everything comes by TFTP, by names that are relative to PXELINUX's directory.
#[test]
fn bios_machine_boots_by_pxelinux() {
    const NAME: &str = "boots::bios_machine_boots_by_pxelinux";
    let over_http = format!("--dhcp-mac=set:http,{}", mac(9));
    let prefix = format!("--dhcp-option-force=tag:http,210,http://{SERVER}:8080/assets/boot/");
    let http_loader = format!("--dhcp-boot=tag:http,boot/lpxelinux.0,,{SERVER}");
    let loader = format!("--dhcp-boot=boot/pxelinux.0,,{SERVER}");
    let Some(test) = BootTest::enter_beside(NAME, &[&loader, &http_loader, &over_http, &prefix]) else { return };
    let files = [
        ("boot/pxelinux.0", "/usr/lib/PXELINUX/pxelinux.0"),
        ("boot/lpxelinux.0", "/usr/lib/PXELINUX/lpxelinux.0"),
        ("boot/ldlinux.c32", "/usr/lib/syslinux/modules/bios/ldlinux.c32"),
    ];
    let [Some(loader), Some(http_loader), Some(library)] = files.map(|(key, path)| test.file(key, path)) else {
        return;
    };
    let tables = "[[profile]]\nname = \"local\"\nlocal = true\n".to_owned()
        + &host("pxelinux-local", "mac", &mac(9), "local")
        + &host("pxelinux-1", "mac", &mac(11), "linux");
    let site = test.site(&tables).asset(&loader).asset(&http_loader).asset(&library).set("dhcp.mode", "off");
    let server = site.start();
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let (cards, disk) = ([Card::Pxe(9), Card::Pxe(11)], Disk::bios(dir.path()));
    let Some(machine) = test.network.machine_with_disk(&site, &cards, Firmware::Bios, &disk) else { return };
    let shown = machine.wait_for(&up("pxelinux-1"));

    assert!(shown.contains("pxelinux-local boots the profile local"), "{shown}");
    for (asset, protocol) in [("boot/ldlinux.c32", "http"), ("debian/linux", "tftp"), ("debian/initrd", "tftp")] {
        assert_eq!(server.wait_for_transfer(asset, "complete").text("protocol"), protocol, "{asset}");
    }
    let (steps, state) = ledger("pxelinux-1");
    let last: Vec<_> = steps.iter().rev().take(2).rev().map(String::as_str).collect();
    assert_eq!((last, state.as_str()), (vec!["kernel debian/linux complete", "initrd debian/initrd complete"], "done"));
}

/// The origin holds back the end of the ISO, which no boot loader reads, until the machine has booted: the server verified what
/// the machine read block by block.
#[test]
fn bios_machine_boots_uncached_iso() {
    const PART: usize = 1 << 20;
    let Some(test) = BootTest::enter("boots::bios_machine_boots_uncached_iso") else { return };
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let Some(mut iso) = test.guest.iso(dir.path(), "console=ttyS0 hostname=iso-1") else { return };
    iso.resize(iso.len().next_multiple_of(PART), 0);
    let read = iso.len() as u64;
    iso.extend(random_bytes(4, 4 * PART));
    let list = test.origin.put("isos/small.iso.blocks", block_list(&iso, 256 << 10));
    let iso = test.origin.put("isos/small.iso", iso);
    // One more byte for the size request.
    test.origin.allow(&iso.key, read + 1);

    let profile = "[[profile]]\nname = \"iso\"\niso = \"isos/small.iso\"\n";
    let site = test.site(&(profile.to_owned() + &host("iso-1", "mac", &mac(5), "iso"))).asset_in_blocks(&iso, &list);
    // One connection fetches the parts one by one, first those that a reader waits for.
    let site = site.set("fill.connections", 1).set("fill.part_size", "1 MiB");
    let server = start(&site);
    let Some(machine) = test.network.machine(&site, 5, Firmware::Bios) else { return };
    machine.wait_for(&up("iso-1"));

    assert!(site.blobs().iter().all(|(digest, _)| *digest != iso.sha256()), "the ISO cannot be complete yet");
    let (steps, state) = ledger("iso-1");
    assert_eq!(
        steps,
        [
            "dhcp http://10.77.0.1:8080/boot.ipxe complete",
            "script boot.ipxe complete",
            "script ipxe complete",
            "asset isos/small.iso complete",
        ]
    );
    // The machine read parts of the ISO, and may read more.
    assert_eq!(state, "booting");
    let ranges = server.lines(|l| l.is("bootdepot::transfer") && l.text("asset") == iso.key);
    assert!(ranges.len() > 50, "iPXE reads an ISO by small ranges, not {} times", ranges.len());
    test.origin.allow(&iso.key, u64::MAX);
    server.wait_for_fill(&iso.key, "complete");
    // One byte more if the size was requested first.
    let sent = test.origin.sent(&iso.key);
    assert!(sent == iso.size() || sent == iso.size() + 1, "{sent} bytes: the origin sent each byte once");
}

/// One host matches by its serial number, the other by its UUID, so each machine must identify itself.
#[test]
fn two_machines_boot_different_profiles() {
    let Some(test) = BootTest::enter("boots::two_machines_boot_different_profiles") else { return };
    let Some(nbp) = test.file("boot/snponly.efi", SNPONLY) else { return };
    let other = test.origin.put("other/initrd", [&test.guest.initrd[..], &[0; 512]].concat());
    let profile = LINUX.replace("\"linux\"", "\"other\"").replace("debian/initrd", "other/initrd");
    let hosts = host("red", "serial", &serial(6), "linux") + &host("blue", "uuid", &uuid(7), "other");
    let site = test.site(&(profile + &hosts)).asset(&nbp).asset(&other);
    let site = site.set("tftp.files", toml::toml! { "snponly.efi" = "boot/snponly.efi" });
    let _server = start(&site);
    let network = &test.network;
    let machines = (network.machine(&site, 6, Firmware::Bios), network.machine(&site, 7, Firmware::Pxe));
    let (Some(red), Some(blue)) = machines else { return };
    red.wait_for(&up("red"));
    blue.wait_for(&up("blue"));

    for (host, initrd) in [("red", "initrd debian/initrd complete"), ("blue", "initrd other/initrd complete")] {
        let (steps, state) = ledger(host);
        assert_eq!((steps.last().map(String::as_str), state.as_str()), (Some(initrd), "done"), "{host}: {steps:#?}");
        assert!(steps.contains(&"kernel debian/linux complete".to_owned()), "{host}: {steps:#?}");
        assert_eq!(steps.iter().filter(|step| step.starts_with("initrd")).count(), 1, "{host}: {steps:#?}");
    }
}

/// Returns a block list as `bootdepot publish` writes it.
fn block_list(bytes: &[u8], block_size: usize) -> String {
    let blocks: Vec<String> = bytes.chunks(block_size).map(|block| Digest::of(block).to_string()).collect();
    let sha256 = Digest::of(bytes).to_string();
    serde_json::json!({
        "version": 1, "sha256": sha256, "size": bytes.len(), "block_size": block_size, "blocks": blocks,
    })
    .to_string()
}
