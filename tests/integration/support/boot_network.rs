//! A network in which virtual machines boot: a bridge, a DHCP server that only assigns addresses, and the machines. The server
//! under test has the address [`SERVER`].

use std::io::{BufRead, BufReader, Write};
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Child, Stdio};

use super::machine::{self, VirtualMachine};
use super::{TestSite, Tool, Watchdog, namespace};

/// The address of the server under test.
pub(crate) const SERVER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// The bridge that connects all machines.
pub(crate) const BRIDGE: &str = "br0";

/// OVMF and its default variables.
const OVMF: [&str; 2] = ["/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"];
/// OVMF with Secure Boot, and variables with Microsoft's keys.
const OVMF_SECURE: [&str; 2] = ["/usr/share/OVMF/OVMF_CODE_4M.ms.fd", "/usr/share/OVMF/OVMF_VARS_4M.ms.fd"];

/// The script in the DHCP server's namespace: reports that it runs, waits for its end of the link, and becomes dnsmasq.
/// It announces an IPv6 prefix too: without a router advertisement iPXE waits 13 s for one, even if DHCP succeeded.
const DHCP: &str = "
echo ready && read -r _ &&
ip link set dhcp1 up && ip address add 10.77.0.2/24 dev dhcp1 && ip address add fd77::2/64 dev dhcp1 nodad &&
exec \"$0\" --keep-in-foreground --conf-file=/dev/null --port=0 --user=root --pid-file= --no-ping --leasefile-ro \
    --interface=dhcp1 --bind-interfaces --log-facility=- --log-dhcp \
    --dhcp-range=10.77.0.50,10.77.0.99,255.255.255.0 --dhcp-range=fd77::,ra-only --enable-ra \"$@\"
";

/// The network of the running test.
pub(crate) struct BootNetwork {
    ip: Tool,
    qemu: Tool,
    dhcp: Child,
}

/// The firmware of a machine, and how it boots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Firmware {
    /// A BIOS with the PXE ROM of QEMU's network card. The ROM is iPXE and identifies itself in its first DHCP request.
    Bios,
    /// OVMF by PXE. It gets a file name by DHCP, requests its size by TFTP, cancels that transfer and requests the file.
    Pxe,
    /// OVMF by HTTP Boot.
    Http,
    /// OVMF by PXE, with Secure Boot and Microsoft's keys.
    Secure,
}

impl BootNetwork {
    /// Enters the network in which the test `name` (its path, with its module) continues, beside a DHCP server with these further
    /// arguments. `None`: the inner stage did everything, or the test is skipped.
    ///
    /// The inner stage holds the boot lock, so that it may start several machines.
    pub(crate) fn enter(name: &str, dhcp: &[&str]) -> Option<Self> {
        let [Some(qemu), Some(dnsmasq), Some(ip), Some(unshare)] =
            ["qemu-system-x86_64", "dnsmasq", "ip", "unshare"].map(Tool::find)
        else {
            return None;
        };
        if namespace::stage().is_some() {
            return Some(Self::build(qemu, &dnsmasq, ip, &unshare, dhcp));
        }
        if namespace::can_unshare(&unshare, &["--net"]) {
            let _lock = machine::boot_lock();
            namespace::run_stage(&unshare, &["--net"], name, "inside");
        }
        None
    }

    fn build(qemu: Tool, dnsmasq: &Tool, ip: Tool, unshare: &Tool, dhcp_args: &[&str]) -> Self {
        // In a namespace of its own the DHCP server is another host: broadcasts reach both servers, unicast only one.
        let mut dhcp = unshare.command();
        dhcp.args(["--net", "sh", "-c", DHCP]).arg(dnsmasq.path()).args(dhcp_args);
        let mut dhcp = dhcp.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("unshare can be started");
        let watchdog = Watchdog::new(&dhcp);
        let mut ready = String::new();
        let mut output = BufReader::new(dhcp.stdout.take().expect("stdout is piped"));
        output.read_line(&mut ready).expect("the output can be read");
        assert_eq!(ready, "ready\n", "no namespace for the DHCP server");
        drop(watchdog);
        for command in [
            "link set lo up",
            &format!("link add {BRIDGE} type bridge"),
            &format!("address add {SERVER}/24 dev {BRIDGE}"),
            &format!("link set {BRIDGE} up"),
            &format!("link add dhcp0 master {BRIDGE} type veth peer name dhcp1 netns {}", dhcp.id()),
            "link set dhcp0 up",
        ] {
            ip.succeed(command.split(' '));
        }
        dhcp.stdin.take().expect("stdin is piped").write_all(b"go\n").expect("the script reads its input");
        Self { ip, qemu, dhcp }
    }

    /// Returns `site` with its server at [`SERVER`], on the well-known ports, and with proxyDHCP.
    pub(crate) fn site(&self, site: TestSite) -> TestSite {
        let _ = self;
        site.set("tftp.listen", vec![format!("{SERVER}:69")])
            .set("http.listen", vec![format!("{SERVER}:8080")])
            .set("admin.listen", "127.0.0.1:8081")
            .set("dhcp.mode", "proxy")
            .set("dhcp.interface", BRIDGE)
    }

    /// Starts the machine with this number, which is the end of its MAC, its serial number and its UUID. `None` if its firmware is
    /// missing: the test is skipped.
    pub(crate) fn machine(&self, site: &TestSite, number: u8, firmware: Firmware) -> Option<VirtualMachine> {
        let tap = format!("tap{number}");
        self.ip.succeed(["tuntap", "add", "dev", &tap, "mode", "tap"]);
        self.ip.succeed(["link", "set", &tap, "master", BRIDGE, "up"]);
        let card = format!("virtio-net-pci,netdev=n,mac={}", mac(number));
        let smbios = format!("type=1,serial={},uuid={}", serial(number), uuid(number));
        let mut args = vec!["-smbios".to_owned(), smbios];
        args.extend(["-netdev".to_owned(), format!("tap,id=n,ifname={tap},script=no,downscript=no")]);
        args.push("-device".to_owned());
        if firmware == Firmware::Bios {
            args.push(card);
        } else {
            // Without a ROM in the card the firmware drives it.
            args.push(card + ",romfile=");
            args.extend(uefi(firmware, &site.file(&format!("{tap}.fd")))?);
        }
        if firmware == Firmware::Http {
            // HTTP Boot comes after PXE in the boot order, and PXE gives up only after a minute without a reply.
            for version in [4, 6] {
                args.extend(["-fw_cfg".to_owned(), format!("name=opt/org.tianocore/IPv{version}PXESupport,string=no")]);
            }
        }
        Some(VirtualMachine::start(&self.qemu, args))
    }
}

impl Drop for BootNetwork {
    fn drop(&mut self) {
        // Both fail if it has already ended.
        let _ = self.dhcp.kill();
        let _ = self.dhcp.wait();
    }
}

/// Returns the arguments for OVMF with a copy of its variables in this file.
fn uefi(firmware: Firmware, variables: &Path) -> Option<Vec<String>> {
    let secure = firmware == Firmware::Secure;
    let files = if secure { OVMF_SECURE } else { OVMF };
    let [Some(code), Some(defaults)] = files.map(Tool::file) else { return None };
    std::fs::copy(defaults, variables).expect("the firmware's variables can be copied");
    let code = format!("if=pflash,format=raw,readonly=on,file={}", code.display());
    let variables = format!("if=pflash,format=raw,file={}", variables.display());
    // System management mode protects the keys. Only this firmware uses it.
    let (machine, protected) = if secure { ("q35,smm=on", "on") } else { ("q35", "off") };
    let protection = format!("driver=cfi.pflash01,property=secure,value={protected}");
    // Newer firmware has no network without a random number generator.
    let args = [
        ["-machine", machine],
        ["-global", &protection],
        ["-drive", &code],
        ["-drive", &variables],
        ["-device", "virtio-rng-pci"],
    ];
    Some(args.concat().into_iter().map(str::to_owned).collect())
}

/// Returns the MAC of the machine with this number.
pub(crate) fn mac(number: u8) -> String {
    format!("52:54:00:77:00:{number:02x}")
}

/// Returns the serial number of the machine with this number.
pub(crate) fn serial(number: u8) -> String {
    format!("LAB{number:04}")
}

/// Returns the UUID of the machine with this number, in the form that Dell derives from a service tag.
pub(crate) fn uuid(number: u8) -> String {
    format!("44454c4c-0077-1034-8054-0000000000{number:02x}")
}
