use std::collections::BTreeMap;

use insta::assert_snapshot;

use super::*;
use crate::boot::fixtures::{catalog, host, mac, okd, one_host, request, roster, template};
use crate::boot::language::Language;
use crate::boot::machine::Machine;

/// The errors, one line each.
fn errors(settings: RosterSettings) -> String {
    let errors = roster(settings).unwrap_err();
    let line = |error: &RosterError| format!("{:?} {}: {}", error.subject, error.key.join("."), error.problem);
    errors.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn check_reports_all_errors() {
    let both = ProfileSettings {
        name: "both".to_owned(),
        iso: Some("isos/f.iso".to_owned()),
        local: true,
        ..ProfileSettings::default()
    };
    let typo = ProfileSettings {
        name: "typo".to_owned(),
        kernel: Some("okd/4.19/kernal".to_owned()),
        initrd: vec!["okd:initrd".to_owned().into()],
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
        ..RosterSettings::default()
    };
    assert_snapshot!(errors(settings));
}

#[test]
fn check_rejects_unmatchable_keys() {
    let serial = |text: &str| Keys { serial: Some(text.to_owned()), ..Keys::default() };
    let keys = [
        serial(" "),
        serial("To Be Filled By O.E.M."),
        Keys { asset_tag: Some("x".repeat(129)), ..Keys::default() },
        mac("00:00:00:00:00:00"),
        Keys { uuid: "ffffffff-ffff-ffff-ffff-ffffffffffff".parse().ok(), ..Keys::default() },
    ];
    for keys in keys {
        let message =
            errors(RosterSettings { hosts: vec![host("a", keys)], profiles: vec![okd()], ..RosterSettings::default() });
        assert!(message.starts_with("Host(0) match.") && message.contains(" identifies no machine: "), "{message}");
    }
}

#[test]
fn check_rejects_unprintable_profile_name() {
    let script = TemplateText { file: "a.j2".to_owned(), text: "#!ipxe\nshell\n".to_owned() };
    for name in ["a\nb", "${x}"] {
        let profile = ProfileSettings { name: name.to_owned(), template: Some(script.clone()), ..Default::default() };
        let message = errors(one_host(profile, |_| {}));
        assert!(message.starts_with("Profile(0) name: ") && message.contains("is not a profile name"), "{message}");
    }
}

#[test]
fn check_requires_asset_in_every_release() {
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
    let message = with("a={{ asset_url('okd:rootfs.img') }}").unwrap_err()[0].problem.to_string();
    assert!(message.contains("the release \"new\" of the channel \"okd\" has no asset \"rootfs.img\""), "{message}");
}

#[test]
fn check_reports_failing_templates() {
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
        ..RosterSettings::default()
    };
    assert_snapshot!(errors(settings));
}

#[test]
fn invalid_result_is_reported_at_load() {
    for (name, text, reason) in [
        ("a.xml", "<a>{{ host.name }}</b>", "not valid XML"),
        ("a.toml", "a = b\n", "not valid TOML"),
        ("a.yaml", "a: [{{ host.name }}\n", "not valid YAML"),
        ("user-data", "#cloud-config\na: b: c\n", "not valid YAML"),
        ("a.json", "{{ host.name | json }},", "not valid JSON"),
    ] {
        let message = errors(one_host(okd(), |host| {
            let template = TemplateText { file: "a.j2".to_owned(), text: text.to_owned() };
            host.files.insert(name.to_owned(), FileSettings { template, ..FileSettings::default() });
        }));
        let expected = format!("Host(0) files.{name}: the file {name} for r630-01 fails: the result is {reason}: ");
        assert!(message.starts_with(&expected), "{message}");
    }
}

#[test]
fn undefined_name_lists_known_names() {
    for text in [
        "{{ nope }}",
        "{{ asset_ulr('x') }}",
        "{{ host.nope }}",
        "{{ host.vars.rol }}",
        "{{ secrets.rot }}",
        "{{ host.name | nope }}",
        "{% for disk in host.vars.disks %}{{ disk.nope }}{% endfor %}",
        "{{ file_url('nope') }}",
    ] {
        let text = TemplateText { file: "a.j2".to_owned(), text: text.to_owned() };
        assert_snapshot!(errors(one_host(okd(), |host| {
            host.vars.insert("role".to_owned(), "worker".into());
            host.vars.insert("disks".to_owned(), serde_json::json!([{ "name": "sda" }]));
            host.secrets.insert("root".to_owned(), crate::secret::Secret::new("hunter2"));
            host.files.insert("a".to_owned(), FileSettings { template: text, ..FileSettings::default() });
        })));
    }
}

#[test]
fn comment_over_commands_is_a_warning() {
    let text = "a\nf() {# one\nuseradd -m admin\n#}\n";
    let roster = roster(one_host(okd(), |host| {
        let template = TemplateText { file: "ks.j2".to_owned(), text: text.to_owned() };
        host.files.insert("ks.cfg".to_owned(), FileSettings { template, ..FileSettings::default() });
    }));
    let warnings: Vec<_> = roster.unwrap().hiding_comments().collect();
    let [warning] = warnings.as_slice() else { panic!("{warnings:?}") };
    assert!(warning.starts_with("ks.j2:2: ") && warning.contains("ends at ks.j2:4"), "{warning}");
    assert!(warning.contains("(\"useradd -m admin\")") && warning.contains("{% raw %}"), "{warning}");
}

#[test]
fn check_rejects_unknown_template_names() {
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
fn host_values_override_profile_values() {
    let file = |text: &str| FileSettings {
        template: TemplateText { file: text.to_owned(), text: text.to_owned() },
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
    assert_eq!(roster.preview_file(host, "user-data", &request()).unwrap(), "profile's control a");
    assert_eq!(roster.preview_file(host, "meta-data", &request()).unwrap(), "its own");
    let script = roster.preview(&Machine::from_query("mac=246e96000001"), &request(), Language::Ipxe).text;
    assert!(script.contains(" hostname=r630-01 last=control || goto failed"), "{script}");
}

#[test]
fn channel_without_release_is_valid() {
    let debian = |arg: &str| ProfileSettings {
        name: "debian".to_owned(),
        kernel: Some("debian:linux".to_owned()),
        args: vec![arg.to_owned()],
        ..ProfileSettings::default()
    };
    let with = |arg: &str, channel: &str| {
        roster(RosterSettings { channels: vec![channel.to_owned()], ..one_host(debian(arg), |_| {}) })
    };
    let roster = with("a={{ asset_url('debian:rootfs') }}", "debian").unwrap();
    for (language, shown) in [
        (Language::Ipxe, "boot the profile debian, but the channel debian has no release yet"),
        (Language::Grub, "but the channel' 'debian' 'has no release yet; run bootdepot mirror'"),
    ] {
        let script = roster.preview(&Machine::from_query("mac=246e96000001"), &request(), language);
        let error = script.error.unwrap().to_string();
        assert_eq!(error, "the channel debian has no release yet; mirror or publish one");
        assert!(script.text.contains(shown), "{}", script.text);
    }
    // Templates are checked before there is a release, and so are other references.
    let error = |arg: &str, channel: &str| with(arg, channel).unwrap_err()[0].problem.to_string();
    assert!(error("a={{ host.vars.nope }}", "debian").contains("host.vars.nope"));
    assert!(error("a=b", "ubuntu").contains("there is no asset \"debian:linux\""));
}
