//! A network of its own to boot machines in: a bridge, a DHCP server that gives addresses and nothing else, and machines on
//! wires. The server under test is at [`SERVER`].

use std::io::{BufRead, BufReader, Write};
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Child, Stdio};

use super::machine::{self, Machine};
use super::{Site, Tool, namespace};

/// Where the server under test is.
pub(crate) const SERVER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// The bridge that all wires end at.
pub(crate) const BRIDGE: &str = "br0";

/// OVMF, and its variables as they come from the factory.
const OVMF: [&str; 2] = ["/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"];
/// The same with Secure Boot and Microsoft's keys.
const OVMF_SECURE: [&str; 2] = ["/usr/share/OVMF/OVMF_CODE_4M.ms.fd", "/usr/share/OVMF/OVMF_VARS_4M.ms.fd"];

/// What runs in the DHCP server's namespace: says that it is there, waits for its end of the wire, and becomes dnsmasq.
/// It announces an IPv6 prefix, too: without a router's word iPXE waits for one for 13 s, whatever DHCP said.
const DHCP: &str = "
echo there && read -r _ &&
ip link set dhcp1 up && ip address add 10.77.0.2/24 dev dhcp1 && ip address add fd77::2/64 dev dhcp1 nodad &&
exec \"$0\" --keep-in-foreground --conf-file=/dev/null --port=0 --user=root --pid-file= --no-ping --leasefile-ro \
    --interface=dhcp1 --bind-interfaces --log-facility=- --log-dhcp \
    --dhcp-range=10.77.0.50,10.77.0.99,255.255.255.0 --dhcp-range=fd77::,ra-only --enable-ra \"$@\"
";

/// The network that the running test is inside of.
pub(crate) struct Lab {
    ip: Tool,
    qemu: Tool,
    dhcp: Child,
}

/// How a machine boots by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Firmware {
    /// A BIOS, and the PXE ROM of QEMU's card, which is iPXE: it says so to DHCP in its first word.
    Bios,
    /// OVMF by PXE. It asks DHCP for a file, takes the size of that from TFTP, lets go and asks again.
    Pxe,
    /// OVMF by HTTP Boot.
    Http,
    /// OVMF by PXE, with Secure Boot and Microsoft's keys.
    Secure,
}

impl Lab {
    /// Where the test `name` (with its module) is to go on, beside a DHCP server that is told this, too. `None`: all of it
    /// was done in there, or it is skipped.
    ///
    /// A test in here has the machine's turn, so it may start as many as it wants.
    pub(crate) fn enter(name: &str, dhcp: &[&str]) -> Option<Self> {
        let [Some(qemu), Some(dnsmasq), Some(ip), Some(unshare)] =
            ["qemu-system-x86_64", "dnsmasq", "ip", "unshare"].map(Tool::find)
        else {
            return None;
        };
        if namespace::stage().is_some() {
            return Some(Self::build(qemu, &dnsmasq, ip, &unshare, dhcp));
        }
        if namespace::can_be_had(&unshare, &["--net"]) {
            let _turn = machine::turn();
            namespace::again(&unshare, &["--net"], name, "inside");
        }
        None
    }

    fn build(qemu: Tool, dnsmasq: &Tool, ip: Tool, unshare: &Tool, told: &[&str]) -> Self {
        // A namespace of its own, so that it is another machine to everybody: a broadcast reaches both servers, and what is
        // meant for one of them no other.
        let mut dhcp = unshare.command();
        dhcp.args(["--net", "sh", "-c", DHCP]).arg(dnsmasq.path()).args(told);
        let mut dhcp = dhcp.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("unshare can be started");
        let mut there = String::new();
        let mut said = BufReader::new(dhcp.stdout.take().expect("stdout is piped"));
        said.read_line(&mut there).expect("it speaks");
        assert_eq!(there, "there\n", "no namespace for the DHCP server");
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
        dhcp.stdin.take().expect("stdin is piped").write_all(b"go\n").expect("it listens");
        Self { ip, qemu, dhcp }
    }

    /// A site whose server is at [`SERVER`], on the ports that everybody knows, and answers firmware's DHCP requests.
    pub(crate) fn site(&self, site: Site) -> Site {
        let _ = self;
        site.set("tftp.listen", vec![format!("{SERVER}:69")])
            .set("http.listen", vec![format!("{SERVER}:8080")])
            .set("admin.listen", "127.0.0.1:8081")
            .set("dhcp.mode", "proxy")
            .set("dhcp.interface", BRIDGE)
    }

    /// Switches on the machine with this number, which its MAC, its serial number and its UUID end in. `None` skips the
    /// test, where its firmware is missing.
    pub(crate) fn machine(&self, site: &Site, number: u8, firmware: Firmware) -> Option<Machine> {
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
            // Without a ROM of its own the card is the firmware's to drive.
            args.push(card + ",romfile=");
            args.extend(uefi(firmware, &site.file(&format!("{tap}.fd")))?);
        }
        if firmware == Firmware::Http {
            // HTTP Boot comes after PXE in its order, and PXE gives up after a minute without an answer.
            for version in [4, 6] {
                args.extend(["-fw_cfg".to_owned(), format!("name=opt/org.tianocore/IPv{version}PXESupport,string=no")]);
            }
        }
        Some(Machine::start(&self.qemu, args))
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // Both fail when it has ended by itself.
        let _ = self.dhcp.kill();
        let _ = self.dhcp.wait();
    }
}

/// OVMF with variables of its own in this file.
fn uefi(firmware: Firmware, variables: &Path) -> Option<Vec<String>> {
    let secure = firmware == Firmware::Secure;
    let files = if secure { OVMF_SECURE } else { OVMF };
    let [Some(code), Some(fresh)] = files.map(Tool::file) else { return None };
    std::fs::copy(fresh, variables).expect("the firmware's variables can be copied");
    let code = format!("if=pflash,format=raw,readonly=on,file={}", code.display());
    let variables = format!("if=pflash,format=raw,file={}", variables.display());
    // The keys are guarded by a mode of the processor that only this firmware enters.
    let (machine, guard) = if secure { ("q35,smm=on", "on") } else { ("q35", "off") };
    let guard = format!("driver=cfi.pflash01,property=secure,value={guard}");
    // Newer firmware has no network without a source of randomness.
    let args = [
        ["-machine", machine],
        ["-global", &guard],
        ["-drive", &code],
        ["-drive", &variables],
        ["-device", "virtio-rng-pci"],
    ];
    Some(args.concat().into_iter().map(str::to_owned).collect())
}

/// The MAC of the machine with this number.
pub(crate) fn mac(number: u8) -> String {
    format!("52:54:00:77:00:{number:02x}")
}

/// Its serial number.
pub(crate) fn serial(number: u8) -> String {
    format!("LAB{number:04}")
}

/// Its UUID, of the kind that Dell makes of a service tag.
pub(crate) fn uuid(number: u8) -> String {
    format!("44454c4c-0077-1034-8054-0000000000{number:02x}")
}
