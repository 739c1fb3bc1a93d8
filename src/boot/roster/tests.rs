use std::collections::BTreeMap;

use insta::assert_snapshot;

use super::*;
use crate::asset::AssetName;
use crate::boot::script::tests::{catalog, okd, one_host, roster, template, visit};
use crate::boot::{FileSettings, HostSettings, ProfileSettings, TemplateText};

fn host(name: &str, keys: Keys) -> HostSettings {
    HostSettings { name: name.to_owned(), keys, profile: "okd-worker".to_owned(), ..HostSettings::default() }
}

fn mac(text: &str) -> Keys {
    Keys { macs: vec![text.parse().unwrap()], ..Keys::default() }
}

fn hosts(hosts: Vec<HostSettings>) -> Roster {
    roster(RosterSettings { hosts, profiles: vec![okd()], default_profile: None }).unwrap()
}

/// What is wrong, a line each.
fn errors(settings: RosterSettings) -> String {
    let errors = roster(settings).unwrap_err();
    let line = |error: &RosterError| format!("{:?} {}: {}", error.subject, error.key.join("."), error.problem);
    errors.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn found(roster: &Roster, query: &str) -> Option<String> {
    roster.find(&Machine::from_query(query)).map(|host| host.name.clone())
}

#[test]
fn a_host_is_found_by_any_of_its_keys() {
    let keys = Keys {
        macs: vec!["24:6e:96:00:00:01".parse().unwrap(), "24:6e:96:00:00:02".parse().unwrap()],
        uuid: "4c4c4544-0042-3110-8043-b2c04f564232".parse().ok(),
        serial: Some("ABC1234".to_owned()),
        asset_tag: Some("Rack 7".to_owned()),
    };
    let roster = hosts(vec![host("other", mac("000000000001")), host("r630-01", keys)]);
    for query in [
        "mac=24-6E-96-00-00-01",
        "mac=246e.9600.0002",
        "uuid=44454c4c-4200-1031-8043-b2c04f564232",
        "uuid=4C4C4544-0042-3110-8043-B2C04F564232",
        "serial=abc1234",
        "serial=+ABC1234+",
        "asset=rack+7",
        "mac=24:6e:96:00:00:99&serial=ABC1234",
    ] {
        assert_eq!(found(&roster, query).as_deref(), Some("r630-01"), "{query}");
    }
    for query in ["", "mac=24:6e:96:00:00:99", "serial=ABC123", "hostname=r630-01", "asset=ABC1234"] {
        assert_eq!(found(&roster, query), None, "{query}");
    }
}

#[test]
fn of_two_hosts_that_fit_the_mac_decides_then_the_uuid_then_the_serial_number() {
    let uuid = "4c4c4544-0042-3110-8043-b2c04f564232";
    let roster = hosts(vec![
        host("by-tag", Keys { asset_tag: Some("T".to_owned()), ..Keys::default() }),
        host("by-serial", Keys { serial: Some("S".to_owned()), ..Keys::default() }),
        host("by-uuid", Keys { uuid: uuid.parse().ok(), ..Keys::default() }),
        host("by-mac", mac("24:6e:96:00:00:01")),
    ]);
    let keys = ["mac=246e96000001", &format!("uuid={uuid}"), "serial=S", "asset=T"];
    for (first, name) in ["by-mac", "by-uuid", "by-serial", "by-tag"].into_iter().enumerate() {
        let query: Vec<_> = keys[first..].iter().rev().copied().collect();
        assert_eq!(found(&roster, &query.join("&")).as_deref(), Some(name));
    }
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let both = ProfileSettings {
        name: "both".to_owned(),
        iso: Some("isos/f.iso".to_owned()),
        local: true,
        ..ProfileSettings::default()
    };
    let typo = ProfileSettings {
        name: "typo".to_owned(),
        kernel: Some("okd/4.19/kernal".to_owned()),
        initrd: vec!["okd:initrd".to_owned()],
        args: vec!["a={{ host.name".to_owned()],
        ..ProfileSettings::default()
    };
    let lone = ProfileSettings {
        name: "lone".to_owned(),
        chain: Some("http://a b".to_owned()),
        args: vec!["x".to_owned()],
        ..ProfileSettings::default()
    };
    let files =
        BTreeMap::from([("../x".to_owned(), FileSettings { template: template("x"), ..FileSettings::default() })]);
    let settings = RosterSettings {
        hosts: vec![
            host("a", Keys { serial: Some("S1".to_owned()), ..mac("24:6e:96:00:00:01") }),
            HostSettings { files, ..host("a", Keys { serial: Some("s1 ".to_owned()), ..mac("24:6e:96:00:00:01") }) },
            host("under_score", Keys::default()),
            HostSettings { profile: "okd-woker".to_owned(), ..host("c", mac("24:6e:96:00:00:03")) },
            host("d", mac("24:6e:96:00:00:03")),
        ],
        profiles: vec![
            okd(),
            okd(),
            both,
            ProfileSettings { name: "none".to_owned(), ..ProfileSettings::default() },
            typo,
            lone,
        ],
        default_profile: Some("menu".to_owned()),
    };
    assert_snapshot!(errors(settings));
}

#[test]
fn what_no_machine_says_of_itself_names_no_host() {
    let serial = |text: &str| Keys { serial: Some(text.to_owned()), ..Keys::default() };
    let keys = [
        serial(" "),
        serial("To Be Filled By O.E.M."),
        Keys { asset_tag: Some("x".repeat(129)), ..Keys::default() },
        mac("00:00:00:00:00:00"),
        Keys { uuid: "ffffffff-ffff-ffff-ffff-ffffffffffff".parse().ok(), ..Keys::default() },
    ];
    for keys in keys {
        let told =
            errors(RosterSettings { hosts: vec![host("a", keys)], profiles: vec![okd()], default_profile: None });
        assert!(told.starts_with("Host(0) match.") && told.contains(" identifies no machine: "), "{told}");
    }
}

#[test]
fn a_profile_that_no_script_could_name_is_refused() {
    let script = TemplateText { file: "a.j2".to_owned(), text: "#!ipxe\nshell\n".to_owned() };
    for name in ["a\nb", "${x}"] {
        let profile = ProfileSettings { name: name.to_owned(), template: Some(script.clone()), ..Default::default() };
        let told = errors(one_host(profile, |_| {}));
        assert!(told.starts_with("Profile(0) name: ") && told.contains("is no name of a profile"), "{told}");
    }
}

#[test]
fn a_template_names_what_every_release_of_a_channel_has() {
    let assets = |names: &[&str]| names.iter().map(|name| AssetName::parse(name).unwrap()).collect();
    let release = |name: &str, assets| Release {
        name: name.to_owned(),
        channel: Some("okd".to_owned()),
        assets,
        active: name == "old",
    };
    let releases = [
        release("old", assets(&["okd/4.18/kernel", "okd/4.18/rootfs.img"])),
        release("new", assets(&["okd/4.19/kernel", "okd/4.19/initrd.img"])),
    ];
    let with = |text: &str| {
        let settings = one_host(ProfileSettings { args: vec![text.to_owned()], ..okd() }, |_| {});
        Roster::new(settings, &catalog(), &releases)
    };
    assert!(with("a={{ asset_url('okd:kernel') }}").is_ok());
    let told = with("a={{ asset_url('okd:rootfs.img') }}").unwrap_err()[0].problem.to_string();
    assert!(told.contains("the release \"new\" of the channel \"okd\" has no asset \"rootfs.img\""), "{told}");
}

#[test]
fn who_makes_up_machines_does_not_fill_the_memory() {
    let with =
        |n: u32| host(&format!("node{n}"), Keys { serial: Some(format!("S{n}")), ..mac(&format!("0200{n:08x}")) });
    let roster = hosts((0..20).map(with).collect());
    for first in 0..20_u32 {
        for second in 0..20 {
            assert!(found(&roster, &format!("mac=0200{first:08x}&serial=S{second}")).is_some());
        }
    }
    assert!(roster.told.lock().unwrap().len() <= 20);
}

#[test]
fn a_template_that_fails_for_a_host_is_an_error_of_the_settings() {
    let profile = ProfileSettings {
        args: vec!["role={{ host.vars.role }}".to_owned(), "serial={{ host.serial }}".to_owned()],
        files: BTreeMap::from([(
            "config.ign".to_owned(),
            FileSettings { template: template("{\"a\": {{ host.vars.role }}, }"), ..FileSettings::default() },
        )]),
        ..okd()
    };
    let with_role = |mut host: HostSettings| {
        host.vars.insert("role".to_owned(), "worker".into());
        host.keys.serial = Some(host.name.clone());
        host
    };
    let settings = RosterSettings {
        hosts: vec![
            with_role(host("a", mac("24:6e:96:00:00:01"))),
            host("b", mac("24:6e:96:00:00:02")),
            host("c", mac("24:6e:96:00:00:03")),
        ],
        profiles: vec![profile],
        default_profile: None,
    };
    assert_snapshot!(errors(settings));
}

#[test]
fn a_template_names_what_there_is() {
    let with = |text: &str| ProfileSettings { args: vec![text.to_owned()], ..okd() };
    for text in [
        "{{ asset_url('okd/4.20/kernel') }}",
        "{{ file_url('config.ign') }}",
        "{{ request.nope }}",
        "{{ secrets.root }}",
        "{{ [1] }}",
    ] {
        assert_snapshot!(errors(one_host(with(text), |_| {})));
    }
}

#[test]
fn a_hosts_own_go_before_those_of_its_profile() {
    let file = |text: &str| FileSettings {
        template: crate::boot::TemplateText { file: text.to_owned(), text: text.to_owned() },
        ..FileSettings::default()
    };
    let profile = ProfileSettings {
        vars: BTreeMap::from([("role".to_owned(), "worker".into()), ("zone".to_owned(), "a".into())]),
        files: BTreeMap::from([
            ("user-data".to_owned(), file("profile's {{ host.vars.role }} {{ host.vars.zone }}")),
            ("meta-data".to_owned(), file("both's")),
        ]),
        ..okd()
    };
    let roster = roster(one_host(profile, |host| {
        host.vars.insert("role".to_owned(), "control".into());
        host.files.insert("meta-data".to_owned(), file("its own"));
        host.args.push("last={{ host.vars.role }}".to_owned());
    }))
    .unwrap();
    let host = roster.host("r630-01").unwrap();
    assert_eq!(roster.preview_file(host, "user-data", &visit()).unwrap(), "profile's control a");
    assert_eq!(roster.preview_file(host, "meta-data", &visit()).unwrap(), "its own");
    let script = roster.preview(&Machine::from_query("mac=246e96000001"), &visit(), Language::Ipxe).text;
    assert!(script.contains(" hostname=r630-01 last=control || goto failed"), "{script}");
}

#[test]
fn a_thousand_hosts_are_taken_and_each_is_found() {
    let hosts: Vec<_> = (0..1000_u32).map(|n| host(&format!("node{n}"), mac(&format!("0200{n:08x}")))).collect();
    let roster = roster(RosterSettings { hosts, profiles: vec![okd()], default_profile: None }).unwrap();
    for n in [0, 1, 500, 999] {
        assert_eq!(found(&roster, &format!("mac=0200{n:08x}")), Some(format!("node{n}")));
    }
}

#[test]
fn host_names_are_those_of_rfc_1123() {
    for name in ["r630-01", "3com", "a.b.example", "A", &"x".repeat(63)] {
        assert!(is_host_name(name), "{name}");
    }
    for name in ["", "-a", "a-", "a..b", ".a", "a.", "a_b", "a b", "ä", "a/b", &"x".repeat(64), &"x.".repeat(127)] {
        assert!(!is_host_name(name), "{name}");
    }
}
