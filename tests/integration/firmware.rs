//! Boots by firmware and network boot programs beside those of `boots`: newer firmware and GRUB, and ARM64. Files find their places in
//! the initramfs of each.

use crate::support::boot_network::{Card, Firmware, SERVER, mac};
use crate::support::boot_test::{BootTest, NOTED, host, ledger, start};
use crate::support::disk::Disk;
use crate::support::guest::up;
use crate::support::{Guest, Object, TestSite};

/// A profile for the local disks.
const LOCAL: &str = "[[profile]]\nname = \"local\"\nlocal = true\n";

/// The end of the boot of a machine with the profile `noted`.
const PAYLOAD: [&str; 3] =
    ["kernel debian/linux complete", "initrd debian/initrd complete", "initrd debian/note complete"];

/// What the guest prints that finds the file.
const SHOWN: &str = "bootdepot: /of/the/depot/note says read me";

impl BootTest {
    /// Returns a site with the profiles, these hosts, and these files, which TFTP serves without their directory.
    fn noted_site(&self, console: &str, hosts: &str, files: &[&Object]) -> TestSite {
        let note = self.origin.put("debian/note", "read me\n");
        let site = self.site(&(NOTED.replace("CONSOLE", console) + LOCAL + hosts)).asset(&note);
        let mut names = toml::Table::new();
        for file in files {
            let (_, name) = file.key.rsplit_once('/').expect("a file has a directory");
            names.insert(name.to_owned(), file.key.clone().into());
        }
        files.iter().fold(site, |site, file| site.asset(file)).set("tftp.files", names)
    }
}

/// Asserts that the last boot of a host is done, and that it ended with the payload.
fn assert_done(host: &str) {
    let (steps, state) = ledger(host);
    assert!(steps.ends_with(&PAYLOAD.map(str::to_owned)) && state == "done", "{host} is {state}: {steps:#?}");
}

/// The first card boots iPXE, and the second the newer GRUB, which makes directories for the file.
#[test]
fn newer_ovmf_boots_ipxe_and_grub() {
    const NAME: &str = "firmware::newer_ovmf_boots_ipxe_and_grub";
    let Some(test) = BootTest::enter_beside(NAME, &[&format!("--dhcp-boot=,,{SERVER}")]) else { return };
    let ipxe = test.newer_file("boot/snponly.efi", "usr/lib/ipxe/snponly.efi");
    let grub = test.newer_file("boot/grub.efi", "usr/lib/grub/x86_64-efi-signed/grubnetx64.efi.signed");
    let (Some(ipxe), Some(grub)) = (ipxe, grub) else { return };
    let hosts = host("ipxe-1", "mac", &mac(52), "local")
        + "nbp = \"snponly.efi\"\n"
        + &host("grub-2", "mac", &mac(53), "noted")
        + "nbp = \"grub.efi\"\n";
    let site = test.noted_site("ttyS0", &hosts, &[&ipxe, &grub]);
    let _server = start(&site);
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let Some(disk) = Disk::removable(dir.path()) else { return };
    let cards = [Card::Pxe(52), Card::Pxe(53)];
    let Some(machine) = test.network.machine_with_disk(&site, &cards, Firmware::NewPxe, &disk) else { return };
    let shown = machine.wait_for(&up("grub-2"));
    assert!(shown.contains("ipxe-1 boots the profile local") && shown.contains(SHOWN), "{shown}");
    assert_done("grub-2");
}

#[test]
fn arm64_machine_boots_by_pxe() {
    let Some(guest) = Guest::arm64_installer() else { return };
    let Some(test) = BootTest::enter_with(guest, "firmware::arm64_machine_boots_by_pxe", &[]) else { return };
    let Some(nbp) = test.newer_file("boot/snponly-arm64.efi", "usr/lib/ipxe/ipxe-arm64.efi") else { return };
    let site = test.noted_site("ttyAMA0", &host("arm-1", "mac", &mac(54), "noted"), &[&nbp]);
    let _server = start(&site);
    let Some(machine) = test.network.machine(&site, 54, Firmware::ArmPxe) else { return };
    let shown = machine.wait_for(&up("arm-1"));
    assert!(shown.contains(SHOWN), "{shown}");
    assert_done("arm-1");
}
