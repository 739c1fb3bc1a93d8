//! A network in which virtual machines boot: a bridge, a DHCP server that only assigns addresses, and the machines. The server
//! under test has the address [`SERVER`].

use std::cell::Cell;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Stdio};

use super::disk::Disk;
pub(crate) use super::firmware::Firmware;
use super::machine::{self, VirtualMachine};
use super::{TestSite, Tool, Watchdog, boot_order, namespace};

/// The address of the server under test.
pub(crate) const SERVER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// Its address after [`BootNetwork::add_ipv6`].
pub(crate) const SERVER_IPV6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 1);
/// The bridge that connects all machines.
pub(crate) const BRIDGE: &str = "br0";

/// The PCI slot of a machine's first network card, where it has a disk, and of the disk.
const FIRST_SLOT: u8 = 0x10;
const DISK_SLOT: u8 = 0x0f;

/// The settings of a DHCP server that needs none.
const NO_SETTINGS: &str = "/dev/null";

/// The script in the DHCP server's namespace: reports that it runs, waits for its settings, and becomes dnsmasq.
/// It announces an IPv6 prefix too: without a router advertisement iPXE waits 13 s for one, even if DHCP succeeded.
const DHCP: &str = "
echo ready && read -r settings &&
ip link set dhcp1 up && ip address add 10.77.0.2/24 dev dhcp1 && ip address add fd77::2/64 dev dhcp1 nodad &&
exec \"$0\" --keep-in-foreground --conf-file=\"$settings\" --port=0 --user=root --pid-file= --no-ping --leasefile-ro \
    --interface=dhcp1 --bind-interfaces --log-facility=- --log-dhcp \
    --dhcp-range=10.77.0.50,10.77.0.99,255.255.255.0 --dhcp-range=fd77::,ra-only --enable-ra \"$@\"
";

/// The network of the running test.
pub(crate) struct BootNetwork {
    ip: Tool,
    dhcp: Child,
    /// The script that becomes the DHCP server reads the name of its settings here.
    dhcp_settings: Cell<Option<ChildStdin>>,
}

/// A network card of a machine, with its number, and how it boots by PXE.
#[derive(Debug, Clone)]
pub(crate) enum Card {
    /// With the ROM that QEMU has, or by the firmware.
    Pxe(u8),
    /// With the ROM in this file, which only a BIOS runs.
    Rom(u8, PathBuf),
}

impl Card {
    const fn number(&self) -> u8 {
        match self {
            Self::Pxe(number) | Self::Rom(number, _) => *number,
        }
    }
}

impl BootNetwork {
    /// Enters the network in which the test `name` (its path, with its module) continues, beside a DHCP server with these further
    /// arguments. `None`: the inner stage did everything, or the test is skipped.
    ///
    /// The inner stage holds the boot lock, so that it may start several machines.
    pub(crate) fn enter(name: &str, dhcp: &[&str]) -> Option<Self> {
        let [Some(_), Some(dnsmasq), Some(ip), Some(unshare)] =
            ["qemu-system-x86_64", "dnsmasq", "ip", "unshare"].map(Tool::find)
        else {
            return None;
        };
        if namespace::stage().is_some() {
            return Some(Self::build(&dnsmasq, ip, &unshare, dhcp));
        }
        if namespace::can_unshare(&unshare, &["--net"]) {
            let _lock = machine::boot_lock();
            namespace::run_stage(&unshare, &["--net"], name, "inside");
        }
        None
    }

    fn build(dnsmasq: &Tool, ip: Tool, unshare: &Tool, dhcp_args: &[&str]) -> Self {
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
        let dhcp_settings = Cell::new(dhcp.stdin.take());
        Self { ip, dhcp, dhcp_settings }
    }

    /// Gives the server under test the address [`SERVER_IPV6`] too.
    pub(crate) fn add_ipv6(&self) {
        let address = format!("{SERVER_IPV6}/64");
        self.ip.succeed(["address", "add", &address, "dev", BRIDGE, "nodad"]);
    }

    /// Starts the DHCP server with the settings in this file. Otherwise it starts without any, with the first machine.
    pub(crate) fn start_dhcp(&self, settings: &Path) {
        if let Some(mut input) = self.dhcp_settings.take() {
            writeln!(input, "{}", settings.display()).expect("the script reads its input");
        }
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
        self.start_dhcp(Path::new(NO_SETTINGS));
        let tap = self.tap(number);
        let card = format!("virtio-net-pci,netdev=n,mac={}", mac(number));
        let mut args = smbios(number);
        args.extend(["-netdev".to_owned(), format!("tap,id=n,ifname={tap},script=no,downscript=no")]);
        args.push("-device".to_owned());
        if firmware == Firmware::Bios {
            args.push(card);
        } else {
            // Without a ROM in the card the firmware drives it.
            args.push(card + ",romfile=");
        }
        args.extend(firmware.args(&site.file(&format!("{tap}.fd")))?);
        Some(VirtualMachine::start(&Tool::find(firmware.qemu())?, args))
    }

    /// Starts a machine that boots from these network cards, one after the other, then from a disk. Its own number is that of the
    /// first card. `None` if its firmware is missing: the test is skipped.
    pub(crate) fn machine_with_disk(
        &self,
        site: &TestSite,
        cards: &[Card],
        firmware: Firmware,
        disk: &Disk,
    ) -> Option<VirtualMachine> {
        self.start_dhcp(Path::new(NO_SETTINGS));
        let number = cards.first()?.number();
        let mut args = smbios(number);
        for (card, slot) in cards.iter().zip(FIRST_SLOT..) {
            let (number, tap) = (card.number(), self.tap(card.number()));
            args.extend(["-netdev".to_owned(), format!("tap,id={tap},ifname={tap},script=no,downscript=no")]);
            let rom = match card {
                // Without a ROM in the card UEFI drives it.
                _ if firmware != Firmware::Bios => ",romfile=".to_owned(),
                // Such a ROM is for the modern device only, and QEMU adapts no ROM but its own.
                Card::Rom(_, file) => format!(",bootindex={number},disable-legacy=on,romfile={}", file.display()),
                Card::Pxe(_) => format!(",bootindex={number}"),
            };
            let mac = mac(number);
            args.extend(["-device".to_owned(), format!("virtio-net-pci,netdev={tap},mac={mac},addr={slot:#x}{rom}")]);
        }
        if firmware == Firmware::Bios {
            args.extend(disk.args(DISK_SLOT, ",bootindex=255"));
        } else {
            let variables = site.file(&format!("machine{number}.fd"));
            args.extend(firmware.args(&variables)?);
            args.extend(disk.args(DISK_SLOT, ""));
            // The variables with Microsoft's keys are not empty; the one card of such a machine has no HTTP Boot before the disk.
            if firmware != Firmware::Secure {
                let cards: Vec<_> =
                    cards.iter().zip(FIRST_SLOT..).map(|(card, slot)| (slot, mac_bytes(card.number()))).collect();
                boot_order::write(&variables, &cards, DISK_SLOT);
            }
        }
        Some(VirtualMachine::start(&Tool::find(firmware.qemu())?, args))
    }

    /// Makes the host's end of the link to the network card with this number.
    fn tap(&self, number: u8) -> String {
        let tap = format!("tap{number}");
        self.ip.succeed(["tuntap", "add", "dev", &tap, "mode", "tap"]);
        self.ip.succeed(["link", "set", &tap, "master", BRIDGE, "up"]);
        tap
    }
}

impl Drop for BootNetwork {
    fn drop(&mut self) {
        // Both fail if it has already ended.
        let _ = self.dhcp.kill();
        let _ = self.dhcp.wait();
    }
}

/// Returns QEMU's arguments for the serial number and the UUID of the machine with this number.
fn smbios(number: u8) -> Vec<String> {
    vec!["-smbios".to_owned(), format!("type=1,serial={},uuid={}", serial(number), uuid(number))]
}

/// Returns the MAC of the machine with this number.
pub(crate) fn mac(number: u8) -> String {
    mac_bytes(number).map(|byte| format!("{byte:02x}")).join(":")
}

fn mac_bytes(number: u8) -> [u8; 6] {
    [0x52, 0x54, 0, 0x77, 0, number]
}

/// Returns the serial number of the machine with this number.
pub(crate) fn serial(number: u8) -> String {
    format!("LAB{number:04}")
}

/// Returns the UUID of the machine with this number, in the form that Dell derives from a service tag.
pub(crate) fn uuid(number: u8) -> String {
    format!("44454c4c-0077-1034-8054-0000000000{number:02x}")
}
