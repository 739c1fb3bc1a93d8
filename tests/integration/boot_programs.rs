//! Network boot programs beside those of `boots`, and the ways in which firmware starts them.

use crate::support::boot_network::{Firmware, SERVER, SERVER_IPV6, mac};
use crate::support::boot_test::{BootTest, LINUX, NOTED, host, ledger, start};
use crate::support::disk::{DISK_BOOTED, image};
use crate::support::guest::up;
use crate::support::{Guest, TestSite};

/// The firmware gets the name of the program by `DHCPv6`, and iPXE its script, its kernel and its initramfs over IPv6.
#[test]
fn uefi_machine_boots_over_ipv6() {
    const NAME: &str = "boot_programs::uefi_machine_boots_over_ipv6";
    let dhcp = [
        "--dhcp-range=fd77::50,fd77::99",
        "--dhcp-userclass=set:ipxe,iPXE",
        &format!("--dhcp-option=tag:!ipxe,option6:bootfile-url,tftp://[{SERVER_IPV6}]/snponly.efi"),
        &format!("--dhcp-option=tag:ipxe,option6:bootfile-url,http://[{SERVER_IPV6}]:8080/boot.ipxe"),
    ];
    let Some(test) = BootTest::enter_beside(NAME, &dhcp) else { return };
    let Some(nbp) = test.newer_file("boot/snponly.efi", "usr/lib/ipxe/snponly.efi") else { return };
    test.network.add_ipv6();
    let site = test.site(&host("six-1", "mac", &mac(60), "linux")).asset(&nbp);
    let site = site
        .set("tftp.files", toml::toml! { "snponly.efi" = "boot/snponly.efi" })
        .set("tftp.listen", vec![format!("{SERVER}:69"), format!("[{SERVER_IPV6}]:69")])
        .set("http.listen", vec![format!("{SERVER}:8080"), format!("[{SERVER_IPV6}]:8080")]);
    let _server = start(&site);
    let Some(machine) = test.network.machine(&site, 60, Firmware::PxeIpv6) else { return };
    let shown = machine.wait_for(&up("six-1"));
    assert!(shown.contains("Start PXE over IPv6"), "{shown}");
    let (steps, state) = ledger("six-1");
    let expected = [
        "nbp boot/snponly.efi complete",
        // proxyDHCP answers the IPv4 request that iPXE makes too.
        "dhcp http://10.77.0.1:8080/boot.ipxe complete",
        "script boot.ipxe complete",
        "script ipxe complete",
        // The firmware and iPXE have leases of their own.
        "address fd77::IID complete",
        "kernel debian/linux complete",
        "initrd debian/initrd complete",
    ];
    let hidden = |step: String| if step.starts_with("address fd77::") { expected[4].to_owned() } else { step };
    let steps: Vec<_> = steps.into_iter().map(hidden).collect();
    assert_eq!((steps, state), (expected.map(str::to_owned).to_vec(), "done".to_owned()));
}

/// iPXE with its own drivers, of Debian 12 and of the newer one, which makes directories for files with a path.
#[test]
fn uefi_machines_boot_by_own_drivers() {
    let Some(test) = BootTest::enter("boot_programs::uefi_machines_boot_by_own_drivers") else { return };
    let old = test.file("boot/ipxe.efi", "/usr/lib/ipxe/ipxe.efi");
    let new = test.newer_file("boot/ipxe-new.efi", "usr/lib/ipxe/ipxe.efi");
    let (Some(old), Some(new)) = (old, new) else { return };
    let note = test.origin.put("debian/note", "read me\n");
    let hosts = host("own-1", "mac", &mac(61), "linux")
        + "nbp = \"ipxe.efi\"\n"
        + &host("own-2", "mac", &mac(62), "noted")
        + "nbp = \"ipxe-new.efi\"\n";
    let site = test.site(&(NOTED.replace("CONSOLE", "ttyS0") + &hosts)).asset(&old).asset(&new).asset(&note);
    let names = toml::toml! {
        "ipxe.efi" = "boot/ipxe.efi"
        "ipxe-new.efi" = "boot/ipxe-new.efi"
    };
    let site = site.set("tftp.files", names);
    let _server = start(&site);
    for (name, number) in [("own-1", 61), ("own-2", 62)] {
        let Some(machine) = test.network.machine(&site, number, Firmware::Pxe) else { return };
        let shown = machine.wait_for(&up(name));
        assert_eq!(shown.contains("/of/the/depot/note says read me"), number == 62, "{shown}");
        let (steps, state) = ledger(name);
        let is_kernel = |step: &String| step == "kernel debian/linux complete";
        assert!(state == "done" && steps.iter().any(is_kernel), "{name} is {state}: {steps:#?}");
    }
}

/// syslinux.efi finds its library and the configuration of the host beside itself.
#[test]
fn uefi_machine_boots_by_syslinux() {
    let loader = format!("--dhcp-boot=boot/syslinux.efi,,{SERVER}");
    let Some(test) = BootTest::enter_beside("boot_programs::uefi_machine_boots_by_syslinux", &[&loader]) else {
        return;
    };
    let loader = test.file("boot/syslinux.efi", "/usr/lib/SYSLINUX.EFI/efi64/syslinux.efi");
    let library = test.file("boot/ldlinux.e64", "/usr/lib/syslinux/modules/efi64/ldlinux.e64");
    let (Some(loader), Some(library)) = (loader, library) else { return };
    let site = test.site(&host("sys-1", "mac", &mac(63), "linux")).asset(&loader).asset(&library);
    let site = site.set("dhcp.mode", "off");
    let _server = site.start();
    let Some(machine) = test.network.machine(&site, 63, Firmware::Pxe) else { return };
    machine.wait_for(&up("sys-1"));
    assert_loaded("sys-1");
}

#[test]
fn arm64_machine_boots_by_u_boot() {
    const NAME: &str = "boot_programs::arm64_machine_boots_by_u_boot";
    let Some(guest) = Guest::arm64_installer() else { return };
    let next_server = format!("--dhcp-boot=,,{SERVER}");
    let Some(test) = BootTest::enter_with(guest, NAME, &[&next_server]) else { return };
    let profile = LINUX.replace("\"linux\"", "\"arm\"").replace("ttyS0", "ttyAMA0");
    let site = test.site(&(profile + &host("u-boot-1", "mac", &mac(64), "arm"))).set("dhcp.mode", "off");
    let _server = site.start();
    let Some(mut machine) = test.network.machine(&site, 64, Firmware::UBoot) else { return };
    machine.wait_for("Hit any key to stop autoboot");
    machine.type_line("");
    // This U-Boot misreads the address of QEMU's card.
    machine.type_line(&format!("setenv -f ethaddr {}; setenv autoload no; dhcp; pxe get && pxe boot", mac(64)));
    machine.wait_for(&up("u-boot-1"));
    assert_loaded("u-boot-1");
}

/// memdisk gives a BIOS an image of a disk.
#[test]
fn bios_machines_boot_by_memdisk() {
    const NAME: &str = "boot_programs::bios_machines_boot_by_memdisk";
    let over_pxelinux = format!("--dhcp-mac=set:pxelinux,{}", mac(66));
    let loader = format!("--dhcp-boot=tag:pxelinux,boot/pxelinux.0,,{SERVER}");
    let script = format!("--dhcp-boot=tag:!pxelinux,http://{SERVER}:8080/boot.ipxe");
    let Some(test) = BootTest::enter_beside(NAME, &[&over_pxelinux, &loader, &script]) else { return };
    let files = [
        ("boot/memdisk", "/usr/lib/syslinux/memdisk"),
        ("boot/pxelinux.0", "/usr/lib/PXELINUX/pxelinux.0"),
        ("boot/ldlinux.c32", "/usr/lib/syslinux/modules/bios/ldlinux.c32"),
    ];
    let [Some(memdisk), Some(loader), Some(library)] = files.map(|(key, path)| test.file(key, path)) else { return };
    let image = test.origin.put("tools/disk.img", image());
    let profile = "[[profile]]\nname = \"tool\"\nkernel = \"boot/memdisk\"\ninitrd = [\"tools/disk.img\"]\nargs = [\"harddisk\"]\n";
    let hosts = host("disk-1", "mac", &mac(65), "tool") + &host("disk-2", "mac", &mac(66), "tool");
    let site = [&memdisk, &loader, &library, &image]
        .into_iter()
        .fold(test.site(&(profile.to_owned() + &hosts)), TestSite::asset);
    let site = site.set("dhcp.mode", "off");
    let _server = site.start();
    for (name, number) in [("disk-1", 65), ("disk-2", 66)] {
        let Some(machine) = test.network.machine(&site, number, Firmware::Bios) else { return };
        machine.wait_for(DISK_BOOTED);
        let (steps, state) = ledger(name);
        let last = steps.last().map(String::as_str);
        assert_eq!((last, state.as_str()), (Some("initrd tools/disk.img complete"), "done"), "{name}: {steps:#?}");
    }
}

/// Asserts that the last boot of a host is done, and that it ended with kernel and initramfs, in either order.
fn assert_loaded(host: &str) {
    let (steps, state) = ledger(host);
    let expected = ["kernel debian/linux complete", "initrd debian/initrd complete"].map(str::to_owned);
    let last = &steps[steps.len().saturating_sub(2)..];
    assert!(expected.iter().all(|step| last.contains(step)) && state == "done", "{host} is {state}: {steps:#?}");
}
