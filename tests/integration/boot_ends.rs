//! Every end of every script, on firmware: the machine continues with its disk, whose boot prints a line, and stands in no setup
//! screen.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::support::boot_network::{BootNetwork, Card, Firmware, SERVER, mac};
use crate::support::disk::{DISK_BOOTED, Disk, uefi_program};
use crate::support::machine::VirtualMachine;
use crate::support::{CommandExt, FakeOrigin, TestServer, TestSite, Tool, newer_debian};

/// Interrupts a pause of iPXE, and of GRUB.
const CTRL_C: u8 = 0x03;
const ESCAPE: u8 = 0x1b;

/// The modules that GRUB needs to run a configuration and to start the loader of a disk.
const GRUB_MODULES: &str =
    "normal configfile efinet http chain boot echo test sleep regexp smbios minicmd part_msdos fat";

const LEAVES: &str = "the firmware continues with its next boot device";

/// The screen of a machine that is no host.
const WAITS: &str = "to boot it, add a [[host]]";

/// A way to boot, each with its own end.
const PROFILES: &str = r#"
[[profile]]
name = "local"
local = true
[[profile]]
name = "chain-done"
chain = "scripts/done.ipxe"
[[profile]]
name = "chain-left"
chain = "scripts/left.ipxe"
[[profile]]
name = "chain-failed"
chain = "scripts/broken.ipxe"
[[profile]]
name = "template"
template = "TEMPLATE"
"#;

/// The profiles of network cards that boot one after the other. One more card belongs to no host: its machine waits.
const CARDS: [&str; 5] = ["local", "chain-done", "chain-left", "chain-failed", "template"];

/// A network with an origin, and a directory for files.
struct EndTest {
    network: BootNetwork,
    origin: FakeOrigin,
    dir: tempfile::TempDir,
}

impl EndTest {
    /// Enters the network in which the test `name` continues, beside a DHCP server with these further arguments. `None` as for
    /// [`BootNetwork::enter`].
    fn enter(name: &str, dhcp: &[&str]) -> Option<Self> {
        let network = BootNetwork::enter(&format!("boot_ends::{name}"), dhcp)?;
        Some(Self { network, origin: FakeOrigin::start(), dir: tempfile::tempdir().expect("a directory can be made") })
    }

    /// Returns a site with these files below `boot`, which TFTP serves under their names, and these hosts and profiles.
    fn site(&self, files: &[(&str, &Path)], tables: &str) -> TestSite {
        let mut site = self.network.site(TestSite::new(&self.origin));
        let mut names = toml::Table::new();
        for (name, path) in files {
            let object = self.origin.put(&format!("boot/{name}"), std::fs::read(path).expect("the file can be read"));
            site = site.asset(&object);
            names.insert((*name).to_owned(), object.key.into());
        }
        site.set("tftp.files", names).tables(toml::from_str(tables).expect("the configuration of the test is valid"))
    }

    /// Returns a site for iPXE: each card of [`CARDS`], from the number `first` on, is a host, with a boot file of its own where
    /// `nbps` names one. `template`: further lines of the template.
    fn ipxe_site(&self, first: u8, files: &[(&str, &Path)], nbps: &[&str], template: &str) -> TestSite {
        let path = self.dir.path().join("template.ipxe");
        // As an editor on Windows writes it. It does not leave by itself.
        let lines = format!("\u{feff}\r\n#!gpxe\r\n{template}echo the template of {{{{ host.name }}}}\r\n");
        std::fs::write(&path, lines).expect("a file can be written");
        let mut tables = PROFILES.replace("TEMPLATE", &path.display().to_string());
        for (index, (number, profile)) in (first..).zip(CARDS).enumerate() {
            tables += &host(&format!("card{number}"), number, profile, nbps.get(index).copied());
        }
        let script =
            |name: &str, text: &str| self.origin.put(&format!("scripts/{name}.ipxe"), format!("#!ipxe\n{text}"));
        let scripts = [
            script("done", "echo the chained script ends\n"),
            script("left", "echo the chained script leaves\nexit 1\n"),
            script("broken", "echo the chained script fails\nchain nothing.ipxe\n"),
        ];
        scripts.iter().fold(self.site(files, &tables), TestSite::asset)
    }
}

/// Returns a `[[host]]` with this name, the card with this number, a profile and perhaps a boot file.
fn host(name: &str, card: u8, profile: &str, nbp: Option<&str>) -> String {
    let nbp = nbp.map(|nbp| format!("nbp = \"{nbp}\"\n")).unwrap_or_default();
    format!("[[host]]\nname = \"{name}\"\nmatch = {{ mac = \"{}\" }}\nprofile = \"{profile}\"\n{nbp}", mac(card))
}

fn start(site: &TestSite) -> TestServer {
    let server = site.start();
    server.wait_for(|line| line.text("message") == "proxyDHCP listening");
    server
}

/// Follows a machine with the cards of [`CARDS`], from the number `first` on, and one more, through all of their scripts to its disk.
fn follow_all_ends(mut machine: VirtualMachine, server: TestServer, first: u8) {
    let shown = machine.answer_until(0, "retrying in", CTRL_C, &format!("the template of card{}", first + 4));
    let expected = [
        format!("card{first} boots the profile local"),
        "booting from the local disks".to_owned(),
        "the chained script ends".to_owned(),
        "the boot has ended".to_owned(),
        "the chained script leaves".to_owned(),
        "the boot has ended".to_owned(),
        "the chained script fails".to_owned(),
        "the boot failed; retrying in 2 seconds".to_owned(),
        "the boot failed; retrying in 64 seconds".to_owned(),
        format!("giving up; {LEAVES}"),
        format!("the template of card{}", first + 4),
    ];
    let mut rest = shown.as_str();
    for text in expected {
        let Some((_, after)) = rest.split_once(&text) else { panic!("no {text:?} in its place:\n{shown}") };
        rest = after;
    }
    assert!(!shown.contains(DISK_BOOTED), "the disk came before the last card:\n{shown}");

    // The last machine waits for an operator, until the server is gone.
    let waiting = machine.wait_for_after(shown.len(), WAITS).len();
    assert!(server.stop().success());
    let shown = machine.answer_until(waiting, "retrying in", CTRL_C, DISK_BOOTED);
    assert!(shown[waiting..].contains(&format!("giving up; {LEAVES}")), "{}", &shown[waiting..]);
}

/// Two cards have the ROM of a newer iPXE, the others that of 2019. The template starts the newer one as a boot file for any card.
#[test]
fn bios_continues_after_each_script() {
    let Some(test) = EndTest::enter("bios_continues_after_each_script", &[]) else { return };
    let [Some(rom), Some(undionly)] =
        ["usr/share/qemu/pxe-virtio.rom", "usr/lib/ipxe/undionly.kpxe"].map(newer_debian::file)
    else {
        return;
    };
    let again = "iseq ${netX/chip} undionly || chain --autofree {{ asset_url('boot/undionly.kpxe') }}\r\n";
    let site = test.ipxe_site(10, &[("undionly.kpxe", &undionly)], &[], again);
    let server = start(&site);
    let disk = Disk::bios(test.dir.path());
    // A BIOS has room for two of the newer ROMs.
    let cards =
        [Card::Rom(10, rom.clone()), Card::Pxe(11), Card::Rom(12, rom), Card::Pxe(13), Card::Pxe(14), Card::Pxe(15)];
    let Some(machine) = test.network.machine_with_disk(&site, &cards, Firmware::Bios, &disk) else { return };
    follow_all_ends(machine, server, 10);
}

/// Cards boot iPXE of 2019, which gets its script by DHCP, and newer ones, which run the entry script as `autoexec.ipxe` before
/// they open a network.
#[test]
fn uefi_continues_after_each_script() {
    let Some(test) = EndTest::enter("uefi_continues_after_each_script", &[]) else { return };
    let Some(old) = Tool::file("/usr/lib/ipxe/snponly.efi") else { return };
    let Some(new) = newer_debian::file("usr/lib/ipxe/snponly.efi") else { return };
    let files: [(&str, &Path); 2] = [("snponly.efi", &new), ("old.efi", old)];
    let site = test.ipxe_site(20, &files, &["snponly.efi", "old.efi", "snponly.efi", "old.efi"], "");
    let server = start(&site);
    let Some(disk) = Disk::removable(test.dir.path()) else { return };
    let cards: Vec<_> = (20..26).map(Card::Pxe).collect();
    let Some(machine) = test.network.machine_with_disk(&site, &cards, Firmware::Pxe, &disk) else { return };
    follow_all_ends(machine, server, 20);
}

/// Builds a GRUB with the server's address in it. `None` if a package is missing: the test is skipped.
fn own_grub(dir: &Path) -> Option<PathBuf> {
    let (mkimage, _) = (Tool::find("grub-mkimage")?, Tool::file("/usr/lib/grub/x86_64-efi/http.mod")?);
    let image = dir.join("own-grub.efi");
    let prefix = format!("(http,{SERVER}:8080)");
    let to = ["-O", "x86_64-efi", "-p", &prefix, "-o"].map(OsStr::new).into_iter().chain([image.as_os_str()]);
    mkimage.succeed(to.chain(GRUB_MODULES.split(' ').map(OsStr::new)));
    Some(image)
}

/// GRUB of the operator, without Secure Boot, continues with the loader for removable media on the disk: after a program that it
/// chains to and that ends well, and where it waits for an operator until the server is gone.
#[test]
fn grub_continues_with_removable_loader() {
    let Some(test) = EndTest::enter("grub_continues_with_removable_loader", &[]) else { return };
    let dir = test.dir.path();
    let Some(program) = uefi_program(dir, "echo 'the chained program ends'\nexit\n") else { return };
    let (Some(grub), Some(disk)) = (own_grub(dir), Disk::removable(dir)) else { return };
    let program = test.origin.put("programs/done.efi", program);
    let tables = "[[profile]]\nname = \"done\"\nchain = \"programs/done.efi\"\n".to_owned()
        + &host("done", 30, "done", Some("grub.efi"));
    let site = test.site(&[("grub.efi", &grub)], &tables).asset(&program);
    let site = site.set("dhcp.nbp", toml::toml! { "efi-x64" = "grub.efi" });
    let server = start(&site);
    let Some(machine) = test.network.machine_with_disk(&site, &[Card::Pxe(30)], Firmware::Pxe, &disk) else { return };
    let shown = machine.wait_for(DISK_BOOTED);
    let (_, end) = shown.split_once("the chained program ends").expect("the program was started");
    assert!(end.contains("the boot has ended") && !end.contains("retrying"), "{end}");
    drop(machine);

    let Some(mut machine) = test.network.machine_with_disk(&site, &[Card::Pxe(31)], Firmware::Pxe, &disk) else {
        return;
    };
    let waiting = machine.wait_for(WAITS).len();
    assert!(server.stop().success());
    let shown = machine.answer_until(waiting, "retrying in", ESCAPE, DISK_BOOTED);
    assert!(shown[waiting..].contains(&format!("giving up; {LEAVES}")), "{}", &shown[waiting..]);
}

/// shim and GRUB of both Debians, with Secure Boot, in sub-directories. The DHCP server names them by the lines that `dhcp-config`
/// prints. One machine boots its disk at once. The other chains to a program without a signature, and gives up. Both find the
/// disk's own shim.
#[test]
fn signed_grub_continues_with_shim_of_disk() {
    let Some(test) = EndTest::enter("signed_grub_continues_with_shim_of_disk", &[]) else { return };
    let dir = test.dir.path();
    let (Some(program), Some(disk)) = (uefi_program(dir, "exit\n"), Disk::debian(dir)) else { return };
    let program = test.origin.put("programs/unsigned.efi", program);
    let old = ["/usr/lib/shim/shimx64.efi.signed", "/usr/lib/grub/x86_64-efi-signed/grubnetx64.efi.signed"];
    let [Some(shim), Some(grub)] = old.map(Tool::file) else { return };
    let new = ["usr/lib/shim/shimx64.efi.signed", "usr/lib/grub/x86_64-efi-signed/grubnetx64.efi.signed"];
    let [Some(new_shim), Some(new_grub)] = new.map(newer_debian::file) else { return };
    let files: [(&str, &Path); 4] = [
        ("old/shimx64.efi", shim),
        ("old/grubx64.efi", grub),
        ("new/shimx64.efi", &new_shim),
        ("new/grubx64.efi", &new_grub),
    ];
    let tables = "[[profile]]\nname = \"local\"\nlocal = true\n\
                  [[profile]]\nname = \"unsigned\"\nchain = \"programs/unsigned.efi\"\n"
        .to_owned()
        + &host("local", 40, "local", Some("old/shimx64.efi"))
        + &host("unsigned", 41, "unsigned", Some("new/shimx64.efi"));
    let site = test.site(&files, &tables).asset(&program).set("dhcp.mode", "off");
    let _server = site.start();
    let printed = site.command_line(&["dhcp-config", "dnsmasq", "--address", &SERVER.to_string()]).run_to_end();
    assert!(printed.status.success(), "{}", String::from_utf8_lossy(&printed.stderr));
    let settings = dir.join("dnsmasq.conf");
    std::fs::write(&settings, printed.stdout).expect("a file can be written");
    test.network.start_dhcp(&settings);

    let start = |number| test.network.machine_with_disk(&site, &[Card::Pxe(number)], Firmware::Secure, &disk);
    let (Some(local), Some(mut unsigned)) = (start(40), start(41)) else {
        return;
    };
    let shown = local.wait_for(DISK_BOOTED);
    assert!(shown.contains("EFI/debian/shimx64.efi") && !shown.contains("retrying"), "{shown}");
    let shown = unsigned.answer_until(0, "retrying in", ESCAPE, DISK_BOOTED);
    assert!(shown.contains("retrying in 64 seconds") && shown.contains(&format!("giving up; {LEAVES}")), "{shown}");
}
