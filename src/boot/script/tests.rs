mod injection;

use std::collections::BTreeMap;
use std::sync::Arc;

use insta::assert_snapshot;

use super::*;
use crate::asset::AssetName;
use crate::boot::fixtures::{okd, one_host, request, roster, template};
use crate::boot::language::Language;
use crate::boot::links::TokenIssuer;
use crate::boot::machine::Machine;
use crate::boot::not_live::NotLive;
use crate::boot::request_context::RequestContext;
use crate::boot::role::Role;
use crate::boot::roster::Roster;
use crate::boot::settings::{InitrdSettings, IscsiSettings, ProfileSettings, RosterSettings, TemplateText};

fn named(name: &str) -> ProfileSettings {
    ProfileSettings { name: name.to_owned(), ..ProfileSettings::default() }
}

fn machine() -> Machine {
    Machine::from_query("mac=24-6e-96-00-00-01&serial=ABC1234&platform=efi")
}

/// The scripts of a profile for the host, in both languages.
fn scripts(profile: ProfileSettings) -> String {
    let roster = roster(one_host(profile, |_| {})).unwrap();
    let of = |language| roster.preview(&machine(), &request(), language).text;
    format!("{}\n--- GRUB ---\n{}", of(Language::Ipxe), of(Language::Grub))
}

#[test]
fn entry_script_sends_all_identifiers() {
    assert_snapshot!(entry_script(&request(), Language::Ipxe));
    assert_snapshot!(entry_script(&request(), Language::Grub));
}

#[test]
fn kernel_profile_script() {
    assert_snapshot!(scripts(okd()));
}

#[test]
fn channel_reference_uses_active_release() {
    let profile = ProfileSettings {
        kernel: Some("okd:kernel".to_owned()),
        initrd: ["okd:initrd.img", "okd/4.18/initrd.img"].map(|name| name.to_owned().into()).into(),
        args: vec!["root={{ asset_url('okd:rootfs.img') }} console=ttyS0 quiet".to_owned()],
        ..okd()
    };
    let roster = roster(one_host(profile, |host| host.args.push("dyndbg=\"file a.c +p\"".to_owned()))).unwrap();
    let script = roster.preview(&machine(), &request(), Language::Ipxe);
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
fn initrd_with_path_script() {
    let iso = InitrdSettings {
        asset: "isos/Fedora 42 (x86_64).iso".to_owned(),
        path: Some("/install/fedora.iso".to_owned()),
        name: None,
    };
    let profile = ProfileSettings { initrd: vec!["okd/4.19/initrd.img".to_owned().into(), iso], ..okd() };
    assert_snapshot!(scripts(profile));
}

#[test]
fn wimboot_script_names_files() {
    let file = |asset: &str, name: &str| InitrdSettings {
        asset: asset.to_owned(),
        name: Some(name.to_owned()),
        ..InitrdSettings::default()
    };
    let initrd = vec![file("okd/4.19/initrd.img", "BCD"), file("okd/4.19/rootfs.img", "boot.wim")];
    let profile = ProfileSettings {
        kernel: Some("boot/wimboot".to_owned()),
        initrd,
        args: vec!["gui".to_owned()],
        ..named("windows")
    };
    assert_snapshot!(scripts(profile));
}

#[test]
fn iso_profile_script() {
    assert_snapshot!(scripts(ProfileSettings {
        iso: Some("isos/Fedora 42 (x86_64).iso".to_owned()),
        ..named("fedora")
    }));
}

#[test]
fn chain_to_asset_script() {
    assert_snapshot!(scripts(ProfileSettings { chain: Some("boot/shell.efi".to_owned()), ..named("shell") }));
}

#[test]
fn chain_to_url_script() {
    assert_snapshot!(scripts(ProfileSettings {
        chain: Some("https://boot.netboot.xyz/?a=1&b=2".to_owned()),
        ..named("xyz")
    }));
}

#[test]
fn iscsi_profile_script() {
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
fn local_profile_script() {
    assert_snapshot!(scripts(ProfileSettings { local: true, ..named("local") }));
}

/// The configuration of a profile for PXELINUX, two directories below the root. `suffix`: the end of each live asset's name.
fn pxelinux(profile: ProfileSettings, suffix: &'static str) -> Script {
    let roster = roster(one_host(profile, |_| {})).unwrap();
    let live = move |name: &str| Ok(AssetName::parse(&format!("{name}{suffix}")).unwrap());
    let builder =
        ScriptBuilder::new(&roster, &machine(), &request(), Language::Pxelinux, Arc::new(live), TokenIssuer::Sample);
    builder.with_depth(Some(2)).build()
}

#[test]
fn pxelinux_names_are_relative_paths() {
    let profile = ProfileSettings {
        initrd: ["okd/4.19/initrd.img", "okd/4.19/rootfs.img"].map(|name| name.to_owned().into()).to_vec(),
        args: vec!["quiet dyndbg=\"file a.c +p\" hostname={{ host.name }}".to_owned()],
        ..okd()
    };
    assert_snapshot!(pxelinux(profile, "").text);
    assert_snapshot!(pxelinux(ProfileSettings { local: true, ..named("local") }, "").text);
}

#[test]
fn pxelinux_unsupported_profile_shows_reason() {
    let asset = || Some("okd/4.19/rootfs.img".to_owned());
    let kernel = || ProfileSettings { kernel: asset(), ..named("p") };
    let args = vec!["ip=${ip}".to_owned()];
    for (profile, suffix, reason) in [
        (ProfileSettings { iso: asset(), ..named("p") }, "", "it cannot boot an ISO image over HTTP"),
        (ProfileSettings { chain: asset(), ..named("p") }, "", "it starts kernels only"),
        (kernel(), " 2", "the name of an asset has a space or a comma"),
        (kernel(), ",2", "the name of an asset has a space or a comma"),
        (ProfileSettings { args, ..kernel() }, "", "its arguments contain an iPXE setting, ${…}"),
    ] {
        let script = pxelinux(profile, suffix);
        assert_eq!(script.error, Some(ScriptError::Unsupported("PXELINUX", reason)));
        assert!(
            script.text.contains(&format!("SAY bootdepot: PXELINUX cannot boot the profile p of r630-01: {reason}"))
        );
        assert!(script.text.ends_with("CONFIG pxelinux.cfg/01-24-6e-96-00-00-01\n"), "{}", script.text);
    }
}

#[test]
fn waiting_machine_repeats_its_own_name() {
    let roster = roster(one_host(okd(), |_| {})).unwrap();
    let live = |name: &str| Err(NotLive::Unknown(name.to_owned()));
    let uuid = "44454c4c-0042-1034-8054-b4c04f434831";
    for (machine, name) in [
        (machine(), "01-24-6e-96-00-00-01"),
        (Machine::from_query(&format!("uuid={uuid}")), uuid),
        (Machine::default(), "default"),
    ] {
        let builder =
            ScriptBuilder::new(&roster, &machine, &request(), Language::Pxelinux, Arc::new(live), TokenIssuer::Sample);
        let text = builder.build().text;
        assert!(text.ends_with(&format!("CONFIG pxelinux.cfg/{name}\n")), "{text}");
    }
}

#[test]
fn operator_template_per_language() {
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

/// The script of a profile with these templates for iPXE and GRUB.
fn own_script(ipxe: &str, grub: &str, language: Language) -> Script {
    let grub = TemplateText { file: "b.j2".to_owned(), text: grub.to_owned() };
    let profile = ProfileSettings { template: Some(template(ipxe)), grub_template: Some(grub), ..named("own") };
    roster(one_host(profile, |_| {})).unwrap().preview(&machine(), &request(), language)
}

#[test]
fn script_of_any_editor_is_accepted() {
    let grub = "\u{feff}echo 'a'\r\nboot\r\n";
    for ipxe in [
        "#!ipxe\necho a\n",
        "#!gpxe\necho a\n",
        "#!ipxe\r\necho a\r\n",
        "\u{feff}#!ipxe\necho a\n",
        "\r\n \n#!ipxe # mine\necho a\n",
        "{% set x = 1 %}\r\n\u{feff}#!ipxe\r\necho a\r\n",
    ] {
        let script = own_script(ipxe, grub, Language::Ipxe);
        assert_eq!(script.error, None, "{ipxe:?}");
        assert!(
            script.text.starts_with("#!ipxe\necho a\n") && !script.text.contains('\r'),
            "{ipxe:?}: {}",
            script.text
        );
        assert_eq!(own_script(ipxe, grub, Language::Grub).text, "set received=script\necho 'a'\nboot\n");
    }
    for ipxe in ["", "echo a\n", "#!ipxes\n", "echo #!ipxe\n", "# !ipxe\n"] {
        let Err(errors) = roster(one_host(ProfileSettings { template: Some(template(ipxe)), ..named("own") }, |_| {}))
        else {
            panic!("{ipxe:?} is no script")
        };
        assert!(format!("{errors:?}").contains("must begin with the line #!ipxe"), "{ipxe:?}: {errors:?}");
    }
}

#[test]
fn grub_menu_stays_on_screen() {
    let received = |grub: &str| own_script("#!ipxe\n", grub, Language::Grub).text.lines().next().map(str::to_owned);
    assert_eq!(received("  menuentry 'a' {\n  boot\n}\n").as_deref(), Some("set received=menu"));
    assert_eq!(received("submenu a {\n}\n").as_deref(), Some("set received=menu"));
    assert_eq!(received("echo menuentry\n").as_deref(), Some("set received=script"));
}

#[test]
fn entry_script_configures_network_by_base() {
    for (base, command) in [
        ("http://10.0.0.1:8080", "dhcp net${index} &&"),
        ("http://[fd00::1]:8080", "ifconf --configurator ipv6 net${index} &&"),
        ("http://boot.lab", "ifconf net${index} &&"),
    ] {
        let script = entry_script(&RequestContext { base: base.to_owned(), ..request() }, Language::Ipxe);
        assert_eq!(script.matches(command).count(), 2, "{base}: {script}");
    }
}

#[test]
fn unknown_machine_script_shows_identifiers() {
    let roster = Roster::default();
    let machine = Machine::from_query("mac=24-6e-96-00-00-09&serial=ABC%201234;reboot");
    for language in [Language::Ipxe, Language::Grub] {
        let script = roster.preview(&machine, &request(), language);
        assert_eq!((script.error, script.host, script.profile), (Some(ScriptError::UnknownMachine), None, None));
        assert_snapshot!(script.text);
    }
}

/// The screen of a machine says it too, where a typing error is found first.
#[test]
fn near_miss_is_shown_on_screen() {
    let roster = roster(one_host(okd(), |_| {})).unwrap();
    let machine = Machine::from_query("mac=24-6e-96-00-00-02");
    let near = "its MAC address is one character from r630-01's";
    for language in [Language::Ipxe, Language::Grub, Language::Pxelinux] {
        let script = roster.preview(&machine, &request(), language);
        assert_eq!(script.near_miss.as_deref(), Some(near));
        let line = script.text.lines().find(|line| line.contains("r630-01")).unwrap_or_default();
        assert!(line.contains("bootdepot: ") && line.contains("character"), "{}", script.text);
    }
    let other = roster.preview(&Machine::from_query("mac=24-6e-96-00-ff-ff"), &request(), Language::Ipxe);
    assert!(other.near_miss.is_none() && !other.text.contains("r630-01"), "{}", other.text);
}

#[test]
fn unknown_machine_boots_default_profile() {
    let settings = RosterSettings { default_profile: Some("okd-worker".to_owned()), ..one_host(okd(), |_| {}) };
    let roster = roster(settings).unwrap();
    let hostname = |query: &str| {
        let script = roster.preview(&Machine::from_query(query), &request(), Language::Ipxe);
        assert_eq!((script.host, script.error), (None, None));
        script.text.split("hostname=").nth(1).unwrap().split(' ').next().unwrap().to_owned()
    };
    assert_eq!(hostname("mac=24-6e-96-00-00-09&hostname=node7"), "node7");
    assert_eq!(hostname("mac=24-6e-96-00-00-09&hostname=no%20name"), "24-6e-96-00-00-09");
    assert_eq!(hostname("hostname=-"), "unknown");
}

/// Renders the script with these live assets.
fn with_live(live: impl Fn(&str) -> Result<AssetName, NotLive> + Send + Sync + 'static, language: Language) -> Script {
    let roster = roster(one_host(okd(), |_| {})).unwrap();
    ScriptBuilder::new(&roster, &machine(), &request(), language, Arc::new(live), TokenIssuer::Sample).build()
}

#[test]
fn uncached_release_script_waits() {
    for language in [Language::Ipxe, Language::Grub] {
        // The kernel is cached, so the template of the arguments fails.
        let script = with_live(
            |name| match name {
                "okd/4.19/rootfs.img" => Err(NotLive::Fetching { release: "okd-4.19".to_owned(), cached: 2, total: 3 }),
                name => Ok(AssetName::parse(name).unwrap()),
            },
            language,
        );
        assert!(matches!(script.error, Some(ScriptError::NotLive(NotLive::Fetching { .. }))), "{:?}", script.error);
        assert_eq!(script.named, []);
        assert_snapshot!(script.text);
    }
}

#[test]
fn failed_script_shows_reason_and_retries() {
    for language in [Language::Ipxe, Language::Grub] {
        let script = with_live(|name| Err(NotLive::Unknown(name.to_owned())), language);
        assert!(script.error.is_some());
        assert_snapshot!(script.text);
    }
}

#[test]
fn grub_unsupported_profile_shows_reason() {
    let args = vec!["BOOTIF=${net0/mac:hexhyp}".to_owned()];
    for (profile, base, reason) in [
        (ProfileSettings { args, ..okd() }, "http://b", "its arguments contain an iPXE setting, ${…}"),
        (okd(), "https://b", "it does not support HTTPS"),
        (
            ProfileSettings { template: Some(template("#!ipxe\n")), ..named("t") },
            "http://b",
            "it has a template for iPXE and no grub_template",
        ),
    ] {
        let roster = roster(one_host(profile, |_| {})).unwrap();
        let request = RequestContext { base: base.to_owned(), ..request() };
        let script = roster.preview(&machine(), &request, Language::Grub);
        assert_eq!(script.error, Some(ScriptError::Unsupported("GRUB", reason)));
        assert!(script.text.contains("GRUB cannot boot the profile"), "{}", script.text);
        assert_eq!(roster.preview(&machine(), &request, Language::Ipxe).error, None);
    }
}
