//! Real sequences of requests, and the verdict on each: one power-on is one boot of one machine.
//!
//! The orders are those of firmware (EDK II, `SeaBIOS`, PXE in network cards), iPXE before and after it learned to request
//! `autoexec.ipxe` (2021), shim and GRUB 2.12, SYSLINUX 6, U-Boot's `distro_bootcmd` and installers.

use super::play::Event::{
    At, Config, Dhcp, Fails, Forgotten, Gone, Http, Missing, Range, Routed, Script, Size, Tftp, Wait,
};
use super::play::*;
use super::*;

/// Addresses of the firmware, of iPXE and of the system, which have leases of their own.
const FIRMWARE: &str = "2001:db8::f1";
const IPXE: &str = "2001:db8::1bce";
const SYSTEM: &str = "2001:db8::5e";
const ENTRY: &str = "http://boot.lab/boot.ipxe";
const LINUX: &[(Role, &str)] = &[(Role::Kernel, "okd/kernel"), (Role::Initrd, "okd/initrd")];

/// Firmware and iPXE up to the machine's script, which names a kernel and an initramfs.
const TO_SCRIPT: &[Event] = &[
    Dhcp("snponly.efi"),
    At(PEER_A),
    Size(Protocol::Tftp, "snponly.efi"),
    Tftp("snponly.efi"),
    Dhcp(ENTRY),
    Http("boot.ipxe"),
    Script(Kind::Files, LINUX),
];
const PAYLOAD: &[Event] = &[Http("okd/kernel"), Http("okd/initrd")];
/// iPXE from its entry script to the initramfs.
const BY_ENTRY: &[Event] = &[Http("boot.ipxe"), Script(Kind::Files, LINUX), Http("okd/kernel"), Http("okd/initrd")];

#[test]
fn pxe_by_old_ipxe_is_done() {
    done(&all(&[TO_SCRIPT, PAYLOAD]));
    // BIOS, and a DHCP server that names the files.
    done(&all(&[&[At(PEER_A), Size(Protocol::Tftp, "undionly.kpxe"), Tftp("undionly.kpxe")], BY_ENTRY]));
    // iPXE in the network card.
    done(&all(&[&[Dhcp(ENTRY), At(PEER_A)], BY_ENTRY]));
    // Without a neighbour table: behind a router, before the script names the MAC.
    done(&all(&[&[Routed(PEER_A), Tftp("undionly.kpxe")], BY_ENTRY]));
}

#[test]
fn pxe_by_new_ipxe_is_done() {
    let firmware = [Dhcp("snponly.efi"), At(PEER_A), Size(Protocol::Tftp, "snponly.efi"), Tftp("snponly.efi")];
    let script = [Script(Kind::Files, LINUX)];
    // Its entry script configures the network, which sends another DHCP request.
    done(&all(&[&firmware, &[Tftp("autoexec.ipxe"), Dhcp(ENTRY)], &script, PAYLOAD]));
    done(&all(&[&firmware, &[Tftp("autoexec.ipxe")], &script, PAYLOAD]));
    // An autoexec.ipxe of the operator sends it on to the entry script.
    done(&all(&[&firmware, &[Tftp("boot/autoexec.ipxe"), Dhcp(ENTRY), Http("boot.ipxe")], &script, PAYLOAD]));
    // There is none.
    let missing = [Missing(Protocol::Tftp, "autoexec.ipxe"), Wait(20), Dhcp(ENTRY), Http("boot.ipxe")];
    done(&all(&[&firmware, &missing, &script, PAYLOAD]));
    // DHCP takes two minutes on a port with spanning tree.
    done(&all(&[&firmware, &[Wait(120), Http("boot.ipxe")], &script, PAYLOAD]));
}

#[test]
fn http_boot_of_program_is_done() {
    let fetch = [Size(Protocol::Http, "boot/snponly.efi"), Http("boot/snponly.efi")];
    let offered = [Dhcp("http://boot.lab/assets/boot/snponly.efi"), At(PEER_A)];
    done(&all(&[&offered, &fetch, &[Dhcp(ENTRY)], BY_ENTRY]));
    done(&all(&[&offered, &fetch, &[Missing(Protocol::Http, "boot/autoexec.ipxe"), Dhcp(ENTRY)], BY_ENTRY]));
    done(&all(&[&offered, &fetch, &[Http("boot/autoexec.ipxe"), Script(Kind::Files, LINUX)], PAYLOAD]));
    // The DHCP server names it, so that this server sees no DHCP.
    done(&all(&[&[At(PEER_A)], &fetch, BY_ENTRY]));
    done(&all(&[&[Routed(PEER_A)], &fetch, BY_ENTRY]));
    done(&all(&[&[At(PEER_A), Http("boot/loader")], BY_ENTRY]));
    done(&all(&[
        &[At(PEER_A), Http("boot/shimx64.efi"), Http("boot/grubx64.efi")],
        &[Script(Kind::Files, LINUX)],
        PAYLOAD,
    ]));
    // A server that does not answer HEAD is asked by GET, which is then cut.
    done(&all(&[&[At(PEER_A), Fails(Protocol::Http, "boot/snponly.efi", Outcome::Aborted)], &fetch, BY_ENTRY]));
}

#[test]
fn http_boot_of_iso_is_done() {
    let offered = Dhcp("http://boot.lab/assets/isos/x.iso");
    let fetch = [Size(Protocol::Http, "isos/x.iso"), Http("isos/x.iso")];
    done(&all(&[&[offered, At(PEER_A)], &fetch]));
    done(&all(&[&[At(PEER_A)], &fetch]));
    let read = [At(PEER_A), Range("isos/x.iso"), Range("isos/x.iso")];
    check(&read, 1, State::Booting, (State::Done, "it read 400 B of the disk image isos/x.iso"));
    let cut = [At(PEER_A), Size(Protocol::Http, "isos/x.iso"), Fails(Protocol::Http, "isos/x.iso", Outcome::Timeout)];
    failed(&cut, "isos/x.iso");
}

#[test]
fn ipv6_boot_with_leases_is_one() {
    let pxe = [At(FIRMWARE), Size(Protocol::Tftp, "snponly.efi"), Tftp("snponly.efi"), At(IPXE)];
    let system = [At(SYSTEM), Http("okd/rootfs")];
    let script =
        Script(Kind::Files, &[(Role::Kernel, "okd/kernel"), (Role::Initrd, "okd/initrd"), (Role::Asset, "okd/rootfs")]);
    done(&all(&[&pxe, &[Http("boot.ipxe"), script], PAYLOAD, &system]));
    done(&all(&[&pxe, &[Tftp("autoexec.ipxe"), script], PAYLOAD, &system]));
    let http = [At(FIRMWARE), Size(Protocol::Http, "boot/snponly.efi"), Http("boot/snponly.efi"), At(IPXE)];
    done(&all(&[&http, &[Http("boot.ipxe"), script], PAYLOAD, &system]));
    done(&[At(FIRMWARE), Size(Protocol::Http, "isos/x.iso"), Http("isos/x.iso")]);
}

#[test]
fn firmware_tries_ways_in_one_boot() {
    // PXE over IPv4 does not get through; IPv6 does.
    let v4 = [Dhcp("snponly.efi"), At(PEER_A), Fails(Protocol::Tftp, "snponly.efi", Outcome::Timeout), Wait(100)];
    let v6 = [At(FIRMWARE), Tftp("snponly.efi"), At(IPXE)];
    done(&all(&[&v4, &v6, BY_ENTRY]));
    // HTTP Boot comes after PXE.
    let http = [Dhcp("http://boot.lab/assets/boot/snponly.efi"), Http("boot/snponly.efi"), Dhcp(ENTRY)];
    done(&all(&[&v4, &http, BY_ENTRY]));
    // The script leaves for the local disk, and the firmware goes on with PXE over IPv6.
    let local = [Http("boot.ipxe"), Script(Kind::Local, &[])];
    let by_v4 = [Dhcp("snponly.efi"), At(PEER_A), Tftp("snponly.efi"), Dhcp(ENTRY)];
    done(&all(&[&by_v4, &local, &[Wait(20)], &v6, &local]));
    done(&all(&[&by_v4, &local, &[Wait(20)], &http, &local]));
    // The script gave up over IPv4, and the firmware succeeds over IPv6.
    let broken = [Fails(Protocol::Http, "okd/kernel", Outcome::OriginFailed), Wait(64 + 20)];
    done(&all(&[TO_SCRIPT, &broken, &v6, BY_ENTRY]));
    failed(&all(&[TO_SCRIPT, &broken, &v6]), "the kernel okd/kernel: its origin could not be read");
}

#[test]
fn second_power_on_is_second_boot() {
    let two = |events: &[Event]| check(events, 2, State::Done, (State::Done, ""));
    let whole = all(&[TO_SCRIPT, PAYLOAD]);
    two(&all(&[&whole, &[Wait(20)], &whole]));
    // A machine that boots its disk by iPXE in its card, twice.
    let local = [Dhcp(ENTRY), At(PEER_A), Http("boot.ipxe"), Script(Kind::Local, &[])];
    two(&all(&[&local, &[Wait(600)], &local]));
    two(&all(&[&local, &[Wait(20)], &local]));
    // Without DHCP of this server, it is seen after a minute.
    two(&all(&[&local[1..], &[Wait(120)], &local[1..]]));
    // Over IPv6 it is the same.
    let v6 = all(&[&[At(FIRMWARE), Tftp("snponly.efi"), At(IPXE)], BY_ENTRY]);
    two(&all(&[&v6, &[Wait(20)], &v6]));
    // The system was installed over IPv4, and boots over IPv6 at once.
    two(&all(&[&whole, &[Wait(20)], &v6]));
    // A running system fetched packages.
    two(&all(&[&[At(PEER_A), Http("rpms/a.rpm"), Wait(30)], &whole]));
    // A machine that is reset in the middle.
    let reset = [Fails(Protocol::Http, "okd/kernel", Outcome::Aborted), Wait(20)];
    two(&all(&[TO_SCRIPT, &reset, &whole]));
}

#[test]
fn shim_and_grub_are_done() {
    let tftp = Protocol::Tftp;
    let shim = [
        Dhcp("shimx64.efi"),
        At(PEER_A),
        Size(tftp, "shimx64.efi"),
        Tftp("shimx64.efi"),
        Missing(tftp, "revocations.efi"),
        Size(tftp, "grubx64.efi"),
        Tftp("grubx64.efi"),
        Missing(tftp, "grub/x86_64-efi/command.lst"),
        Missing(tftp, "grub/x86_64-efi/fs.lst"),
        Missing(tftp, "grub/locale/en.gmo"),
    ];
    let payload = [Tftp("okd/kernel"), Tftp("okd/initrd")];
    done(&all(&[&shim, &[Config("grub.cfg", LINUX)], &payload]));
    done(&all(&[&shim, &[Config("grub/grub.cfg-01-24-6e-96-00-00-01", LINUX)], &payload]));
    // The entry, then the configuration of the machine over HTTP.
    let http = [Tftp("grub.cfg"), Script(Kind::Files, LINUX), Http("okd/kernel"), Http("okd/initrd")];
    done(&all(&[&shim, &http]));
    // GRUB tests whether a file exists by opening it, and the person waits at its menu.
    done(&all(&[&shim, &[Config("grub.cfg", LINUX), Wait(400)], &payload]));
}

#[test]
fn pxelinux_and_uboot_are_done() {
    let tftp = Protocol::Tftp;
    let pxelinux = [
        Dhcp("pxelinux.0"),
        At(PEER_A),
        Size(tftp, "pxelinux.0"),
        Tftp("pxelinux.0"),
        Tftp("ldlinux.c32"),
        Missing(tftp, "pxelinux.cfg/4c4c4544-0043-3510-8052-b9c04f4d3232"),
    ];
    let payload = [Tftp("okd/kernel"), Tftp("okd/initrd")];
    done(&all(&[&pxelinux, &[Config("pxelinux.cfg/01-24-6e-96-00-00-01", LINUX)], &payload]));
    // A configuration of the operator, with a menu at which a person waits.
    let own = [
        Missing(tftp, "pxelinux.cfg/01-24-6e-96-00-00-01"),
        Missing(tftp, "pxelinux.cfg/C0000207"),
        Tftp("pxelinux.cfg/default"),
        Tftp("vesamenu.c32"),
        Tftp("libutil.c32"),
        Wait(400),
    ];
    check(&all(&[&pxelinux, &own, &payload]), 1, State::Booting, (State::Quiet, "no script of this server"));
    let uboot = [
        At(PEER_A),
        Missing(tftp, "boot.scr.uimg"),
        Missing(tftp, "pxelinux.cfg/01-24-6e-96-00-00-01"),
        Missing(tftp, "pxelinux.cfg/C0000207"),
        Config("pxelinux.cfg/default-arm", LINUX),
    ];
    done(&all(&[&uboot, &payload, &[Missing(tftp, "board.dtb")]]));
}

#[test]
fn sanboot_of_iso_is_done() {
    const ISO: &str = "isos/x";
    let script = [Dhcp(ENTRY), At(PEER_A), Http("boot.ipxe"), Script(Kind::Image, &[(Role::Asset, ISO)])];
    let read = [Size(Protocol::Http, ISO), Range(ISO), Range(ISO), Fails(Protocol::Http, ISO, Outcome::Aborted)];
    check(&all(&[&script, &read]), 1, State::Booting, (State::Done, "it read 500 B of the disk image isos/x"));
    check(&script, 1, State::Booting, (State::Stuck, "no asset was requested (isos/x)"));
    let broken = [Range(ISO), Fails(Protocol::Http, ISO, Outcome::OriginFailed)];
    failed(&all(&[&script, &broken]), "the asset isos/x: its origin could not be read");
    check(&all(&[&script, &broken, &[Range(ISO)]]), 1, State::Booting, (State::Done, ""));
}

#[test]
fn menu_choice_is_done() {
    const MENU: &[(Role, &str)] = &[
        (Role::Asset, "okd/kernel"),
        (Role::Asset, "okd/initrd"),
        (Role::Asset, "debian/linux"),
        (Role::Asset, "debian/initrd"),
    ];
    let menu = [Dhcp(ENTRY), At(PEER_A), Http("boot.ipxe"), Script(Kind::Menu, MENU), Wait(900)];
    let chosen = [Http("debian/linux"), Http("debian/initrd")];
    check(&all(&[&menu, &chosen]), 1, State::Booting, (State::Done, "chose from its menu"));
    check(&menu, 1, State::Quiet, (State::Quiet, "it chose nothing"));
    failed(&all(&[&menu, &chosen[..1], &[Fails(Protocol::Http, "debian/initrd", Outcome::Aborted)]]), "debian/initrd");
}

#[test]
fn installer_is_done_while_it_fetches() {
    const PLAN: &[(Role, &str)] =
        &[(Role::Kernel, "okd/kernel"), (Role::Initrd, "okd/initrd"), (Role::File, "hosts/r630-01/ks.cfg")];
    let script = [Dhcp(ENTRY), At(PEER_A), Http("boot.ipxe"), Script(Kind::Files, PLAN)];
    let http = Protocol::Http;
    let installer = [
        Http("hosts/r630-01/ks.cfg"),
        Missing(http, "rocky/.treeinfo"),
        Size(http, "rocky/images/install.img"),
        Fails(http, "rocky/images/install.img", Outcome::Aborted),
        Http("rocky/images/install.img"),
        Missing(http, "rocky/images/updates.img"),
        Missing(http, "hosts/r630-01/meta-data"),
        Fails(http, "rocky/a.rpm", Outcome::OriginFailed),
        Wait(300),
        Http("rocky/a.rpm"),
        Http("rocky/b.rpm"),
    ];
    let whole = all(&[&script, PAYLOAD, &installer]);
    done(&whole);
    // Later failures count, also of files that no script named.
    failed(&all(&[&whole, &[Fails(http, "rocky/c.rpm", Outcome::OriginFailed), Http("rocky/d.rpm")]]), "rocky/c.rpm");
    failed(&all(&[&whole, &[Fails(http, "rocky/images/stage2.img", Outcome::Aborted)]]), "stage2.img");
    failed(&all(&[&whole, &[Fails(http, "hosts/r630-01/seed", Outcome::Refused)]]), "hosts/r630-01/seed");
    failed(&all(&[&whole, &[Gone("rocky/e.rpm")]]), "the asset rocky/e.rpm: its source does not have it");
    // The second fetch of the same file of the host: its token was used.
    failed(&all(&[&whole, &[Fails(http, "hosts/r630-01/ks.cfg", Outcome::Refused)]]), "ks.cfg: the server refused it");
    // A range after the end of a file that it has.
    done(&all(&[&whole, &[Fails(http, "rocky/b.rpm", Outcome::Refused)]]));
}

#[test]
fn earlier_stage_decides_nothing_later() {
    let tftp = Protocol::Tftp;
    // Firmware asks for the size and falls silent, then asks again; the first request ends last.
    let firmware = [At(PEER_A), Forgotten("snponly.efi"), Wait(3), Tftp("snponly.efi")];
    done(&all(&[&firmware, BY_ENTRY]));
    let wrong =
        [Http("boot.ipxe"), Script(Kind::Files, LINUX), Fails(Protocol::Http, "okd/kernel", Outcome::DigestMismatch)];
    failed(&all(&[&firmware, &wrong]), "the kernel okd/kernel: the bytes from its origin do not match");
    check(&firmware, 1, State::Booting, (State::Stuck, "no script was requested"));
    // It never asks again, and boots another program.
    done(&all(&[&[At(PEER_A), Forgotten("snponly.efi"), Tftp("ipxe.efi")], BY_ENTRY]));
    failed(&[At(PEER_A), Fails(tftp, "snponly.efi", Outcome::Timeout)], "the network boot program snponly.efi");
    done(&all(&[&[At(PEER_A), Fails(tftp, "snponly.efi", Outcome::OriginFailed)], BY_ENTRY]));
    // The entry script is cut, and the card's own iPXE gets the machine's script.
    let cut = Fails(Protocol::Http, "boot.ipxe", Outcome::Aborted);
    done(&all(&[&[At(PEER_A), cut, Script(Kind::Files, LINUX)], PAYLOAD]));
    failed(&[At(PEER_A), Http("boot.ipxe"), Fails(Protocol::Http, "ipxe", Outcome::Timeout)], "the script ipxe");
}

#[test]
fn payload_failure_counts_until_repeated() {
    let http = Protocol::Http;
    for outcome in [
        Outcome::Aborted,
        Outcome::Timeout,
        Outcome::OriginFailed,
        Outcome::DigestMismatch,
        Outcome::Refused,
        Outcome::RenderFailed,
    ] {
        let cut = all(&[TO_SCRIPT, &[Http("okd/kernel"), Fails(http, "okd/initrd", outcome)]]);
        failed(&cut, "the initrd okd/initrd: ");
        // Another file after it does not make it good; the file itself does.
        failed(&all(&[&cut, &[Http("okd/kernel"), Http("okd/rootfs")]]), "the initrd okd/initrd: ");
        done(&all(&[&cut, &[Http("okd/initrd")]]));
    }
    // The download goes on where it was cut.
    let cut = [Http("okd/kernel"), Fails(http, "okd/initrd", Outcome::Aborted)];
    let rest = [Range("okd/initrd"); 5];
    done(&all(&[TO_SCRIPT, &cut, &rest]));
    // A planned file that does not exist.
    failed(&all(&[TO_SCRIPT, &[Http("okd/kernel"), Missing(http, "okd/initrd")]]), "its source does not have it");
    // The worst one is named, not the last one.
    let both = [Fails(http, "okd/kernel", Outcome::DigestMismatch), Fails(http, "okd/initrd", Outcome::Aborted)];
    failed(&all(&[TO_SCRIPT, &both]), "the kernel okd/kernel: the bytes from its origin do not match");
    let twice = [Fails(http, "okd/kernel", Outcome::OriginFailed), Fails(http, "okd/kernel", Outcome::Aborted)];
    failed(&all(&[TO_SCRIPT, &twice]), "the kernel okd/kernel: its origin could not be read");
}

#[test]
fn missing_names_never_fail_boot() {
    let tftp = Protocol::Tftp;
    check(
        &[At(PEER_A), Missing(tftp, "snponly.efi")],
        1,
        State::Booting,
        (State::Stuck, "it requested snponly.efi, which this server does not have"),
    );
    done(&all(&[&[At(PEER_A), Missing(tftp, "bootx64.efi"), Tftp("snponly.efi")], BY_ENTRY]));
    done(&all(&[
        TO_SCRIPT,
        PAYLOAD,
        &[Missing(Protocol::Http, "x"), Missing(Protocol::Http, "hosts/r630-01/vendor-data")],
    ]));
    // DHCP of this server named it.
    failed(&[Dhcp("snponly.efi"), At(PEER_A), Missing(tftp, "snponly.efi")], "its source does not have it");
}

#[test]
fn scripts_without_files_have_verdict() {
    let to = |kind| [Dhcp(ENTRY), At(PEER_A), Http("boot.ipxe"), Script(kind, &[])];
    done(&to(Kind::Local));
    // The system that it booted fetches packages.
    done(&all(&[&to(Kind::Local), &[Wait(300), Http("rpms/a.rpm")]]));
    check(&to(Kind::Unknown), 1, State::Waiting, (State::Stuck, "no [[host]] matches this machine"));
    check(&to(Kind::Waits), 1, State::Waiting, (State::Stuck, "nothing can be booted now"));
    check(&to(Kind::Elsewhere), 1, State::Booting, (State::Quiet, "to another server"));
    failed(&to(Kind::Failed), "its script could not be made");
    // It waits, and boots once the operator has added its host.
    let waits = [Wait(40), Http("boot.ipxe"), Script(Kind::Unknown, &[]), Wait(40)];
    done(&all(&[&to(Kind::Unknown), &waits, &waits, BY_ENTRY]));
}

#[test]
fn verdict_has_reason_and_advice() {
    let mut scenario = Scenario::new();
    scenario.play(TO_SCRIPT);
    let id = scenario.open(Protocol::Http, PEER_A, "okd/kernel");
    let reason = Some("no source could be read: http://s3.lab/k: connection refused".to_owned());
    scenario.close_with(id, &EndRecord { reason: reason.clone(), ..end(Outcome::OriginFailed, 0) });
    let status = scenario.status(KEY);
    assert_eq!((status.step.as_deref(), &status.reason), (Some("kernel okd/kernel"), &reason));
    assert!(status.advice.is_some_and(|advice| advice.contains("`bootdepot check okd/kernel`")));
    // It is kept with its step across a restart, and gone once the file was sent.
    let lines: Vec<_> = scenario.index.all_lines();
    let text: Vec<_> = lines.iter().map(|line| serde_json::to_string(line).unwrap()).collect();
    let restored = Index::from_lines(text.iter().map(|line| serde_json::from_str(line).unwrap()));
    let boot = restored.machine(&KEY).unwrap().attempts.back().unwrap();
    assert_eq!(AttemptStatus::of(boot, scenario.now).reason, reason);
    scenario.http(PEER_A, "okd/kernel");
    assert_eq!(scenario.status(KEY).reason, None);

    let mut scenario = Scenario::new();
    scenario.play(&[At(PEER_A), Script(Kind::Failed, &[])]);
    assert_eq!(scenario.status(KEY).reason.as_deref(), Some("worker.j2:3: undefined variable"));
}
