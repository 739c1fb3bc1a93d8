//! Stories of machines, told to the books with a clock of their own.

mod crash;
mod random;
mod standings;

use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};

use super::attempt::Attempt;
use super::books::{Begun, Books, MAX_ATTEMPTS, MAX_PAGES};
use super::key::Key;
use super::state::{Standing, standing};
use super::step::Ending;
use super::*;
use crate::depot::{CacheState, Outcome, Protocol};

const MAC: Mac = Mac([0x24, 0x6e, 0x96, 0, 0, 1]);
const OTHER: Mac = Mac([0x24, 0x6e, 0x96, 0, 0, 2]);
const HERE: &str = "192.0.2.7";
const THERE: &str = "192.0.2.8";
/// Of every asset in the stories.
const SIZE: u64 = 1000;

/// Books, and the time that it is in them.
struct Story {
    books: Books,
    now: Timestamp,
    last_id: u64,
}

impl Story {
    fn begin() -> Self {
        Self { books: Books::default().kept(), now: "2026-11-21T14:00:00Z".parse().unwrap(), last_id: 0 }
    }

    fn wait(&mut self, seconds: i64) {
        self.now = self.now.saturating_add(SignedDuration::from_secs(seconds)).unwrap();
    }

    fn dhcp(&mut self, mac: Mac, file: &str) {
        self.wait(1);
        self.books.offered(mac, 7, file, false, self.now);
    }

    /// UEFI asks the proxy again on port 4011 once it has its address.
    fn dhcp_again(&mut self, mac: Mac, file: &str) {
        self.wait(1);
        self.books.offered(mac, 7, file, true, self.now);
    }

    fn script(&mut self, mac: Option<Mac>, peer: &str, plan: &[(Role, &str)]) {
        let plan: Vec<_> = plan.iter().map(|(role, name)| (*role, (*name).to_owned())).collect();
        self.books.scripted(mac, ip(peer), Some("r630-01"), Some("worker"), plan, self.now);
    }

    /// A transfer that begins; its id.
    fn open(&mut self, protocol: Protocol, peer: &str, name: &str) -> u64 {
        self.last_id += 1;
        self.books.began(&Begun { id: self.last_id, protocol, peer: ip(peer), name, at: self.now });
        self.last_id
    }

    fn close(&mut self, id: u64, outcome: Outcome, bytes: u64) {
        let begun = Begun { id, protocol: Protocol::Http, peer: ip(HERE), name: "?", at: self.now };
        self.books.ended(&begun, &ending(outcome, bytes), self.now);
    }

    /// A transfer of a second.
    fn fetch(&mut self, protocol: Protocol, peer: &str, name: &str, outcome: Outcome, bytes: u64) {
        self.wait(1);
        let id = self.open(protocol, peer, name);
        self.wait(1);
        self.close(id, outcome, bytes);
    }

    fn tftp(&mut self, peer: &str, name: &str) {
        self.fetch(Protocol::Tftp, peer, name, Outcome::Complete, SIZE);
    }

    fn http(&mut self, peer: &str, name: &str) {
        self.fetch(Protocol::Http, peer, name, Outcome::Complete, SIZE);
    }

    /// iPXE's way to a kernel and an initrd, from the firmware file on.
    fn ipxe(&mut self, mac: Mac, peer: &str) {
        self.fetch(Protocol::Tftp, peer, "snponly.efi", Outcome::Probe, 0);
        self.tftp(peer, "snponly.efi");
        self.tftp(peer, "autoexec.ipxe");
        self.script(Some(mac), peer, &[(Role::Kernel, "okd/kernel"), (Role::Initrd, "okd/initrd")]);
        self.http(peer, "ipxe");
        self.http(peer, "okd/kernel");
        self.http(peer, "okd/initrd");
    }

    /// The boots on a page: `role:name*requests` of each step.
    fn told(&self, key: Key) -> Vec<String> {
        let step = |step: &super::step::Step| match step.requests {
            1 => format!("{}:{}", step.role.as_str(), step.name),
            many => format!("{}:{}*{many}", step.role.as_str(), step.name),
        };
        let boot = |attempt: &Attempt| attempt.steps.iter().map(step).collect::<Vec<_>>().join(" ");
        self.books.page(&key).map(|page| page.attempts.iter().map(boot).collect()).unwrap_or_default()
    }

    fn boot(&self, key: Key) -> &Attempt {
        self.books.page(&key).and_then(|page| page.attempts.back()).unwrap()
    }

    fn standing(&self, key: Key) -> Standing {
        standing(self.boot(key), self.now)
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn at(peer: &str) -> Key {
    Key::Address(ip(peer))
}

fn ending(outcome: Outcome, bytes: u64) -> Ending {
    Ending { outcome, cache: Some(CacheState::Hit), bytes, size: Some(SIZE) }
}

const BY_IPXE: &str = "nbp:snponly.efi*2 script:autoexec.ipxe script:ipxe kernel:okd/kernel initrd:okd/initrd";

#[test]
fn a_boot_over_ipxe_is_one_boot_with_every_step() {
    let mut story = Story::begin();
    story.dhcp(MAC, "snponly.efi");
    story.dhcp(MAC, "snponly.efi");
    story.ipxe(MAC, HERE);
    assert_eq!(story.told(Key::Mac(MAC)), [format!("dhcp:snponly.efi*2 {BY_IPXE}")]);
    assert_eq!(story.told(at(HERE)), [""; 0], "what the address did is the machine's now");
    assert_eq!(story.standing(Key::Mac(MAC)).state, State::Done);
    assert_eq!(story.boot(Key::Mac(MAC)).profile.as_deref(), Some("worker"));
    assert_eq!(story.books.page(&Key::Mac(MAC)).unwrap().host.as_deref(), Some("r630-01"));
}

#[test]
fn ipxes_own_dhcp_is_part_of_the_boot() {
    let mut story = Story::begin();
    story.dhcp(MAC, "snponly.efi");
    story.tftp(HERE, "snponly.efi");
    story.dhcp(MAC, "http://boot.lab/boot.ipxe");
    story.http(HERE, "boot.ipxe");
    story.script(Some(MAC), HERE, &[(Role::Kernel, "k")]);
    story.http(HERE, "ipxe");
    let told = "dhcp:snponly.efi nbp:snponly.efi dhcp:http://boot.lab/boot.ipxe script:boot.ipxe script:ipxe";
    assert_eq!(story.told(Key::Mac(MAC)), [told]);
}

#[test]
fn an_offer_and_its_confirmation_are_one_answer() {
    let mut story = Story::begin();
    story.dhcp(MAC, "snponly.efi");
    story.dhcp_again(MAC, "snponly.efi");
    assert_eq!(story.told(Key::Mac(MAC)), ["dhcp:snponly.efi"]);
    let boot = story.boot(Key::Mac(MAC));
    assert_eq!((boot.steps[0].last, boot.steps[0].completed), (story.now, 1));
    story.dhcp(MAC, "snponly.efi");
    assert_eq!(story.told(Key::Mac(MAC)), ["dhcp:snponly.efi*2"], "it has forgotten the first");
    // Another server made the offer, or this one has been started since.
    story.dhcp_again(OTHER, "snponly.efi");
    assert_eq!(story.told(Key::Mac(OTHER)), ["dhcp:snponly.efi"]);
}

#[test]
fn a_restart_begins_a_new_boot_wherever_it_is_first_seen() {
    let mut story = Story::begin();
    story.ipxe(MAC, HERE);
    story.wait(30);
    story.ipxe(MAC, HERE);
    assert_eq!(story.told(Key::Mac(MAC)), [BY_IPXE; 2], "by its firmware file");

    story.dhcp(MAC, "snponly.efi");
    story.ipxe(MAC, HERE);
    assert_eq!(story.told(Key::Mac(MAC))[2..], [format!("dhcp:snponly.efi {BY_IPXE}")], "by DHCP");

    // iPXE from a USB stick, which knows where to go.
    story.http(HERE, "boot.ipxe");
    assert_eq!(story.told(Key::Mac(MAC))[3..], ["script:boot.ipxe"], "by its entry script");
}

#[test]
fn a_script_that_is_asked_for_again_is_the_same_boot() {
    let mut story = Story::begin();
    story.http(HERE, "boot.ipxe");
    for _ in 0..3 {
        story.script(Some(MAC), HERE, &[]);
        story.http(HERE, "ipxe");
        story.wait(600);
    }
    assert_eq!(story.told(Key::Mac(MAC)), ["script:boot.ipxe script:ipxe*3"]);

    // After a failed kernel it goes back to its script, and that soon.
    story.script(Some(MAC), HERE, &[(Role::Kernel, "k")]);
    story.http(HERE, "ipxe");
    story.fetch(Protocol::Http, HERE, "k", Outcome::OriginFailed, 0);
    story.script(Some(MAC), HERE, &[(Role::Kernel, "k")]);
    story.http(HERE, "ipxe");
    story.http(HERE, "k");
    assert_eq!(story.told(Key::Mac(MAC)), ["script:boot.ipxe script:ipxe*5 kernel:k*2"]);
    assert_eq!(story.standing(Key::Mac(MAC)).state, State::Done);
}

#[test]
fn a_firmware_file_again_after_a_pause_is_a_new_boot() {
    let mut story = Story::begin();
    story.tftp(HERE, "undionly.kpxe");
    story.wait(30);
    story.tftp(HERE, "undionly.kpxe");
    story.wait(90);
    story.tftp(HERE, "undionly.kpxe");
    assert_eq!(story.told(at(HERE)), ["nbp:undionly.kpxe*2", "nbp:undionly.kpxe"]);
}

#[test]
fn many_ranges_are_one_step_that_adds_up() {
    let mut story = Story::begin();
    story.script(Some(MAC), HERE, &[(Role::Asset, "isos/x.iso")]);
    let mut open = Vec::new();
    for _ in 0..4 {
        open.push(story.open(Protocol::Http, HERE, "isos/x.iso"));
        story.wait(1);
    }
    for id in open {
        story.close(id, Outcome::Complete, 200);
    }
    let boot = story.boot(Key::Mac(MAC));
    assert_eq!((boot.steps.len(), boot.steps[0].bytes, boot.steps[0].requests), (1, 800, 4));
    assert_eq!(boot.steps[0].rate(), Some(200), "four seconds in all");
}

#[test]
fn what_no_script_named_is_known_by_the_way_it_came() {
    let mut story = Story::begin();
    story.tftp(HERE, "shimx64.efi");
    story.tftp(HERE, "grubx64.efi");
    story.fetch(Protocol::Tftp, HERE, "grub/x86_64-efi/command.lst", Outcome::NotFound, 0);
    story.http(THERE, "okd/kernel");
    assert_eq!(story.told(at(HERE)), ["nbp:shimx64.efi asset:grubx64.efi asset:grub/x86_64-efi/command.lst"]);
    assert_eq!(story.told(at(THERE)), ["asset:okd/kernel"]);
    // UEFI HTTP Boot: DHCP named a URL.
    story.books.neighbour(ip("192.0.2.9"), OTHER, story.now);
    story.dhcp(OTHER, "http://boot.lab/assets/boot/grub.efi");
    story.fetch(Protocol::Http, "192.0.2.9", "boot/grub.efi", Outcome::Probe, 0);
    story.http("192.0.2.9", "boot/grub.efi");
    assert_eq!(story.told(Key::Mac(OTHER)), ["dhcp:http://boot.lab/assets/boot/grub.efi nbp:boot/grub.efi*2"]);
}

#[test]
fn an_asset_that_was_fetched_before_its_script_was_heard_of_gets_its_role() {
    let mut story = Story::begin();
    story.http(HERE, "k");
    story.script(None, HERE, &[(Role::Kernel, "k")]);
    assert_eq!(story.told(at(HERE)), ["kernel:k"]);
}

#[test]
fn an_address_that_goes_to_another_machine_takes_its_beginnings_along() {
    let mut story = Story::begin();
    story.ipxe(MAC, HERE);
    story.wait(4 * 3600);
    // The lease went to another machine, whose firmware is seen first.
    story.tftp(HERE, "undionly.kpxe");
    assert_eq!(story.told(Key::Mac(MAC)).len(), 2);
    story.script(Some(OTHER), HERE, &[(Role::Kernel, "k")]);
    assert_eq!(story.told(Key::Mac(OTHER)), ["nbp:undionly.kpxe"]);
    assert_eq!(story.told(Key::Mac(MAC)), [BY_IPXE], "and the first machine keeps what is its own");
    story.http(HERE, "k");
    assert_eq!(story.told(Key::Mac(OTHER)), ["nbp:undionly.kpxe kernel:k"]);
}

#[test]
fn a_transfer_that_is_under_way_while_its_page_moves_ends_on_the_new_one() {
    let mut story = Story::begin();
    story.dhcp(MAC, "snponly.efi");
    story.tftp(HERE, "snponly.efi");
    let script = story.open(Protocol::Http, HERE, "ipxe");
    story.script(Some(MAC), HERE, &[(Role::Kernel, "k")]);
    story.close(script, Outcome::Complete, 300);
    let boot = story.boot(Key::Mac(MAC));
    assert_eq!(story.told(Key::Mac(MAC)), ["dhcp:snponly.efi nbp:snponly.efi script:ipxe"]);
    assert_eq!((boot.steps[2].bytes, boot.is_open()), (300, false));
}

#[test]
fn an_address_is_not_a_machines_for_ever() {
    let mut story = Story::begin();
    story.ipxe(MAC, HERE);
    story.wait(25 * 3600);
    story.http(HERE, "rpms/a.rpm");
    assert_eq!(story.told(at(HERE)), ["asset:rpms/a.rpm"]);
    assert_eq!(story.books.at_address(ip(HERE)), Some(at(HERE)));
}

#[test]
fn the_neighbour_table_tells_a_machine_before_its_script_does() {
    let mut story = Story::begin();
    story.dhcp(MAC, "snponly.efi");
    assert!(story.books.is_stranger(ip(HERE), story.now));
    story.books.neighbour(ip(HERE), MAC, story.now);
    story.tftp(HERE, "snponly.efi");
    assert_eq!(story.told(Key::Mac(MAC)), ["dhcp:snponly.efi nbp:snponly.efi"]);
    story.wait(61);
    assert!(story.books.is_stranger(ip(HERE), story.now), "it may be another's by now");
}

#[test]
fn an_end_whose_beginning_was_missed_is_a_step_all_the_same() {
    let mut story = Story::begin();
    story.close(99, Outcome::Complete, 7);
    assert_eq!(story.told(at(HERE)), ["asset:?"]);
    assert!(!story.boot(at(HERE)).is_open());

    let lost = story.open(Protocol::Http, HERE, "a");
    story.books.cut();
    assert!(!story.boot(at(HERE)).is_open());
    story.close(lost, Outcome::Complete, 7);
    assert!(!story.boot(at(HERE)).is_open());
}

#[test]
fn the_last_boots_and_the_last_machines_are_kept() {
    let mut story = Story::begin();
    for _ in 0..MAX_ATTEMPTS + 5 {
        story.ipxe(MAC, HERE);
    }
    assert_eq!(story.told(Key::Mac(MAC)).len(), MAX_ATTEMPTS);
    story.dhcp(OTHER, "x");
    for number in 0..MAX_PAGES - 1 {
        let [_, _, high, low] = u32::try_from(number).unwrap().to_be_bytes();
        story.dhcp(Mac([2, 0, 0, 0, high, low]), "x");
    }
    assert_eq!(story.books.pages().count(), MAX_PAGES);
    assert!(story.told(Key::Mac(OTHER)).is_empty(), "it was seen least recently");
    assert!(!story.told(Key::Mac(Mac([2, 0, 0, 0, 0, 0]))).is_empty());
}

#[test]
fn machines_that_anybody_can_make_up_are_forgotten_before_hosts() {
    let mut story = Story::begin();
    story.ipxe(MAC, HERE);
    for number in 0..MAX_PAGES + 5 {
        let [_, _, high, low] = u32::try_from(number).unwrap().to_be_bytes();
        story.wait(1);
        story.books.scripted(Some(Mac([2, 0, 0, 0, high, low])), ip(THERE), None, None, Vec::new(), story.now);
    }
    assert_eq!(story.books.pages().count(), MAX_PAGES);
    assert_eq!(story.told(Key::Mac(MAC)), [BY_IPXE]);
    assert!(story.told(Key::Mac(Mac([2, 0, 0, 0, 0, 0]))).is_empty(), "the first of the others went");
}

#[test]
fn machines_that_ask_for_everything_do_not_fill_the_memory() {
    let mut story = Story::begin();
    let plan: Vec<_> = (0..100).map(|number| (Role::Asset, format!("x{number}"))).collect();
    // A page with 20 such boots weighs some 1,250.
    for number in 0..400 {
        let [_, _, high, low] = u32::to_be_bytes(number);
        for _ in 0..MAX_ATTEMPTS {
            story.wait(2 * 3600);
            story.books.scripted(Some(Mac([2, 0, 0, 0, high, low])), ip(HERE), None, None, plan.clone(), story.now);
            for name in 0..31 {
                story.http(HERE, &format!("y{name}"));
            }
        }
    }
    let pages = story.books.pages().count();
    assert!((200..220).contains(&pages), "{pages} pages are kept");
    assert!(story.told(Key::Mac(Mac([2, 0, 0, 0, 0, 0]))).is_empty());
    let last = Key::Mac(Mac([2, 0, 0, 0, 1, 143]));
    assert_eq!(story.told(last).len(), MAX_ATTEMPTS);
}

#[test]
fn a_machine_that_asks_for_everything_fills_one_step() {
    let mut story = Story::begin();
    for number in 0..100 {
        story.http(HERE, &format!("x{number}"));
    }
    let boot = story.boot(at(HERE));
    assert_eq!(boot.steps.len(), super::attempt::MAX_STEPS);
    assert_eq!(boot.steps.iter().map(|step| step.bytes).sum::<u64>(), 100 * SIZE);
    assert_eq!(boot.steps.iter().map(|step| step.requests).sum::<u64>(), 100);
}

#[test]
fn machines_are_found_by_name_by_mac_in_any_spelling_and_by_address() {
    let ledger = Ledger::in_memory();
    let machine = Machine { mac: Some(MAC), ..Machine::default() };
    ledger.offered(&machine, 7, "snponly.efi", false);
    ledger.scripted(&machine, ip("::ffff:192.0.2.7"), Some("r630-01"), Some("worker"), &[]);
    for who in ["r630-01", "24:6e:96:00:00:01", "24-6E-96-00-00-01", "246e.9600.0001", "246E96000001", HERE] {
        let found = ledger.machine(who, &HashMap::new()).unwrap_or_else(|| panic!("{who} is found"));
        assert_eq!(
            (found.mac.map(|mac| mac.to_string()).as_deref(), found.boots.len()),
            (Some("24:6e:96:00:00:01"), 1)
        );
    }
    assert_eq!(ledger.machine("r630-02", &HashMap::new()), None);
    assert_eq!(ledger.machine(THERE, &HashMap::new()), None);
    let all = ledger.machines(&HashMap::new());
    assert_eq!((all.len(), all[0].boots.len(), all[0].state), (1, 0, Some(State::Booting)));
}
