mod breakout;

use std::collections::BTreeMap;
use std::time::SystemTime;

use insta::assert_snapshot;

use super::*;
use crate::asset::{AssetName, Digest};
use crate::boot::{HostSettings, IscsiSettings, Keys, ProfileSettings, RosterError, RosterSettings, TemplateText};
use crate::catalog::{Asset, Catalog, Release};

pub(in crate::boot) fn asset(name: &str) -> Asset {
    Asset {
        name: AssetName::parse(name).unwrap(),
        digest: Digest::of(name.as_bytes()),
        sources: vec!["s3://b/x".parse().unwrap()],
        size: None,
        content_type: "application/octet-stream".into(),
        pin: false,
        blocks: None,
        last_modified: SystemTime::UNIX_EPOCH,
    }
}

pub(in crate::boot) fn catalog() -> Catalog {
    let names =
        ["kernel", "initrd.img", "rootfs.img"].map(|short| [format!("okd/4.18/{short}"), format!("okd/4.19/{short}")]);
    let others = ["isos/Fedora 42 (x86_64).iso", "boot/shell.efi"].map(str::to_owned);
    Catalog::new(names.into_iter().flatten().chain(others).map(|name| asset(&name)).collect()).unwrap()
}

pub(in crate::boot) fn releases() -> Vec<Release> {
    let release = |version: &str, active| Release {
        name: format!("okd-{version}"),
        channel: Some("okd".to_owned()),
        assets: ["kernel", "initrd.img", "rootfs.img"]
            .map(|short| AssetName::parse(&format!("okd/{version}/{short}")).unwrap())
            .to_vec(),
        active,
    };
    vec![release("4.18", false), release("4.19", true)]
}

pub(in crate::boot) fn roster(settings: RosterSettings) -> Result<Roster, Vec<RosterError>> {
    Roster::new(settings, &catalog(), &releases())
}

pub(in crate::boot) fn visit() -> Visit {
    Visit { peer: "10.0.0.7".parse().unwrap(), base: "http://10.0.0.1:8080".to_owned() }
}

/// The host `r630-01` with this profile, and a way to change it.
pub(in crate::boot) fn one_host(profile: ProfileSettings, change: impl FnOnce(&mut HostSettings)) -> RosterSettings {
    let mut host = HostSettings {
        name: "r630-01".to_owned(),
        keys: Keys { macs: vec!["24:6e:96:00:00:01".parse().unwrap()], ..Keys::default() },
        profile: profile.name.clone(),
        ..HostSettings::default()
    };
    change(&mut host);
    RosterSettings { hosts: vec![host], profiles: vec![profile], default_profile: None }
}

pub(in crate::boot) fn template(text: &str) -> TemplateText {
    TemplateText { file: "a.j2".to_owned(), text: text.to_owned() }
}

pub(in crate::boot) fn okd() -> ProfileSettings {
    ProfileSettings {
        name: "okd-worker".to_owned(),
        kernel: Some("okd/4.19/kernel".to_owned()),
        initrd: vec!["okd/4.19/initrd.img".to_owned()],
        args: ["coreos.live.rootfs_url={{ asset_url('okd/4.19/rootfs.img') }}", "ip=dhcp", "hostname={{ host.name }}"]
            .map(str::to_owned)
            .to_vec(),
        ..ProfileSettings::default()
    }
}

fn named(name: &str) -> ProfileSettings {
    ProfileSettings { name: name.to_owned(), ..ProfileSettings::default() }
}

fn machine() -> Machine {
    Machine::from_query("mac=24-6e-96-00-00-01&serial=ABC1234&platform=efi")
}

/// Both scripts of a profile, for the one host.
fn scripts(profile: ProfileSettings) -> String {
    let roster = roster(one_host(profile, |_| {})).unwrap();
    let of = |language| roster.preview(&machine(), &visit(), language).text;
    format!("{}\n--- GRUB ---\n{}", of(Language::Ipxe), of(Language::Grub))
}

#[test]
fn the_entries_send_a_machine_on_with_all_that_is_known() {
    assert_snapshot!(Roster::default().entry(&visit(), Language::Ipxe));
    assert_snapshot!(Roster::default().entry(&visit(), Language::Grub));
}

#[test]
fn a_kernel_with_its_initramfs_and_arguments() {
    assert_snapshot!(scripts(okd()));
}

#[test]
fn a_kernel_of_a_channel_is_that_of_the_active_release() {
    let profile = ProfileSettings {
        kernel: Some("okd:kernel".to_owned()),
        initrd: vec!["okd:initrd.img".to_owned(), "okd/4.18/initrd.img".to_owned()],
        args: vec!["root={{ asset_url('okd:rootfs.img') }} console=ttyS0 quiet".to_owned()],
        ..okd()
    };
    let roster = roster(one_host(profile, |host| host.args.push("dyndbg=\"file a.c +p\"".to_owned()))).unwrap();
    let script = roster.preview(&machine(), &visit(), Language::Ipxe);
    assert_snapshot!(script.text);
    assert_eq!((script.host.as_deref(), script.profile.as_deref()), (Some("r630-01"), Some("okd-worker")));
    let named = [
        (Role::Kernel, "okd/4.19/kernel"),
        (Role::Initrd, "okd/4.19/initrd.img"),
        (Role::Initrd, "okd/4.18/initrd.img"),
        (Role::Asset, "okd/4.19/rootfs.img"),
    ];
    assert_eq!(script.named, named.map(|(role, name)| (role, name.to_owned())));
}

#[test]
fn an_iso() {
    assert_snapshot!(scripts(ProfileSettings {
        iso: Some("isos/Fedora 42 (x86_64).iso".to_owned()),
        ..named("fedora")
    }));
}

#[test]
fn a_chain_to_an_asset() {
    assert_snapshot!(scripts(ProfileSettings { chain: Some("boot/shell.efi".to_owned()), ..named("shell") }));
}

#[test]
fn a_chain_to_a_url() {
    assert_snapshot!(scripts(ProfileSettings {
        chain: Some("https://boot.netboot.xyz/?a=1&b=2".to_owned()),
        ..named("xyz")
    }));
}

#[test]
fn an_iscsi_disk() {
    let disk = IscsiSettings {
        portal: "10.0.0.5".to_owned(),
        port: None,
        target: "iqn.2026-01.lab.boot:{{ host.name }}".to_owned(),
        lun: 10,
        initiator: Some("iqn.2026-01.lab.host:{{ host.name }}".to_owned()),
    };
    assert_snapshot!(scripts(ProfileSettings { iscsi: Some(disk), ..named("disk") }));
}

#[test]
fn the_machines_own_disks() {
    assert_snapshot!(scripts(ProfileSettings { local: true, ..named("local") }));
}

#[test]
fn a_template_for_each_language() {
    let ipxe = "#!ipxe\necho {{ host.name }} from {{ base }} at {{ request.address }}\n\
                set note {{ host.vars.note }}\nkernel {{ asset_url('okd:kernel') }} x={{ request.serial }} || shell\nboot\n";
    let grub = "echo {{ host.vars.note }} \"{{ host.vars.note }}\" '{{ host.vars.note }}'\nlinux {{ asset_path('okd:kernel') }}\nboot\n";
    let note = serde_json::Value::from("it's 5 $HOME \\ # \"x\" || reboot");
    let profile = ProfileSettings {
        template: Some(template(ipxe)),
        grub_template: Some(TemplateText { file: "b.j2".to_owned(), text: grub.to_owned() }),
        vars: BTreeMap::from([("note".to_owned(), note)]),
        ..named("own")
    };
    assert_snapshot!(scripts(profile));
}

#[test]
fn a_machine_that_nobody_named_says_who_it_is() {
    let roster = Roster::default();
    let machine = Machine::from_query("mac=24-6e-96-00-00-09&serial=ABC%201234;reboot");
    for language in [Language::Ipxe, Language::Grub] {
        let script = roster.preview(&machine, &visit(), language);
        assert_eq!((script.trouble, script.host, script.profile), (Some(Trouble::Unknown), None, None));
        assert_snapshot!(script.text);
    }
}

#[test]
fn a_machine_that_nobody_named_boots_the_default_profile() {
    let settings = RosterSettings { default_profile: Some("okd-worker".to_owned()), ..one_host(okd(), |_| {}) };
    let roster = roster(settings).unwrap();
    let hostname = |query: &str| {
        let script = roster.preview(&Machine::from_query(query), &visit(), Language::Ipxe);
        assert_eq!((script.host, script.trouble), (None, None));
        script.text.split("hostname=").nth(1).unwrap().split(' ').next().unwrap().to_owned()
    };
    assert_eq!(hostname("mac=24-6e-96-00-00-09&hostname=node7"), "node7");
    assert_eq!(hostname("mac=24-6e-96-00-00-09&hostname=no%20name"), "24-6e-96-00-00-09");
    assert_eq!(hostname("hostname=-"), "unknown");
}

/// The script when the live releases say this.
fn with_live(live: impl Fn(&str) -> Result<AssetName, NotLive> + Send + Sync + 'static, language: Language) -> Script {
    let roster = roster(one_host(okd(), |_| {})).unwrap();
    Making::new(&roster, &machine(), &visit(), language, Arc::new(live), Mint::Sample).make()
}

#[test]
fn a_release_that_is_not_here_yet_is_waited_for() {
    for language in [Language::Ipxe, Language::Grub] {
        // The kernel is, so the template of the arguments finds out.
        let script = with_live(
            |name| match name {
                "okd/4.19/rootfs.img" => Err(NotLive::Fetching { release: "okd-4.19".to_owned(), proven: 2, total: 3 }),
                name => Ok(AssetName::parse(name).unwrap()),
            },
            language,
        );
        assert!(matches!(script.trouble, Some(Trouble::NotLive(NotLive::Fetching { .. }))), "{:?}", script.trouble);
        assert_eq!(script.named, []);
        assert_snapshot!(script.text);
    }
}

#[test]
fn a_script_that_fails_leaves_no_machine_without_a_word() {
    for language in [Language::Ipxe, Language::Grub] {
        let script = with_live(|name| Err(NotLive::Unknown(name.to_owned())), language);
        assert!(script.trouble.is_some());
        assert_snapshot!(script.text);
    }
}

#[test]
fn grub_says_what_it_cannot_do() {
    let args = vec!["BOOTIF=${net0/mac:hexhyp}".to_owned()];
    for (profile, base, reason) in [
        (ProfileSettings { args, ..okd() }, "http://b", "its arguments hold a setting of iPXE, ${…}"),
        (okd(), "https://b", "it speaks no HTTPS"),
        (
            ProfileSettings { template: Some(template("#!ipxe\n")), ..named("t") },
            "http://b",
            "it has a template for iPXE and no grub_template",
        ),
    ] {
        let roster = roster(one_host(profile, |_| {})).unwrap();
        let visit = Visit { base: base.to_owned(), ..visit() };
        let script = roster.preview(&machine(), &visit, Language::Grub);
        assert_eq!(script.trouble, Some(Trouble::Language(reason)));
        assert!(script.text.contains("GRUB cannot boot the profile"), "{}", script.text);
        assert_eq!(roster.preview(&machine(), &visit, Language::Ipxe).trouble, None);
    }
}

#[test]
fn grub_names_a_server_in_its_own_way() {
    for (url, path) in [
        ("http://10.0.0.1:8080/assets/a%20b", Some("(http,10.0.0.1:8080)/assets/a%20b")),
        ("http://boot.lab/grub.cfg?mac=1", Some("(http,boot.lab)/grub.cfg?mac=1")),
        ("http://[fd00::1]:8080/x", Some("(http,[fd00::1]:8080)/x")),
        ("https://boot.lab/x", None),
        ("", None),
    ] {
        assert_eq!(grub::path(url).as_deref(), path, "{url}");
    }
}
