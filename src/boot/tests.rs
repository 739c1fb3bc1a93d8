//! Scripts and files as the front ends ask for them.

use std::collections::BTreeMap;

use super::script::tests::{catalog, okd, one_host, roster, template, visit};
use super::*;
use crate::cache::{Cache, CacheSettings};
use crate::depot::FillSettings;
use crate::origin::{Origins, Timeouts};
use crate::secret::Secret;

/// The room over a depot in a directory of its own, with one host whose files these are.
struct Room {
    boot: Boot,
    _dir: tempfile::TempDir,
}

fn room(files: &[(&str, FileSettings)], secrets: &[(&str, &str)]) -> Room {
    let dir = tempfile::tempdir().unwrap();
    let settings = CacheSettings { dir: dir.path().to_owned(), max_size: 1 << 20, min_free: 0 };
    let origins = Origins::new(Vec::new(), Timeouts::default()).unwrap();
    let depot = Depot::new(catalog(), origins, Cache::open(settings).unwrap(), FillSettings::default());
    let roster = roster(one_host(okd(), |host| {
        for (name, file) in files {
            let mut file = file.clone();
            file.template.file = format!("{name}.j2");
            host.files.insert((*name).to_owned(), file);
        }
        host.secrets = secrets.iter().map(|(name, text)| ((*name).to_owned(), Secret::new(*text))).collect();
        host.args = host.files.keys().map(|name| format!("f={{{{ file_url('{name}') }}}}")).collect();
    }));
    let boot = Boot::new(roster.unwrap(), Releases::none(depot.clone()), Ledger::in_memory(), depot);
    Room { boot, _dir: dir }
}

fn file(text: &str) -> FileSettings {
    FileSettings { template: template(text), ..FileSettings::default() }
}

fn own(text: &str) -> FileSettings {
    FileSettings { only_from_host: true, ..file(text) }
}

impl Room {
    /// The file, for the client at 10.0.0.7.
    async fn file(&self, name: &str, token: Option<&str>) -> Result<HostFile, FileError> {
        self.boot.file("r630-01", name, token, &visit()).await
    }

    async fn text(&self, name: &str) -> String {
        String::from_utf8(self.file(name, None).await.unwrap().content.to_vec()).unwrap()
    }

    /// The token in the script of the host, that goes to 10.0.0.7.
    fn token(&self) -> String {
        let script = self.boot.ipxe(&Machine::from_query("mac=246e96000001"), &visit());
        script.split("?token=").nth(1).unwrap().split(' ').next().unwrap().to_owned()
    }
}

#[tokio::test]
async fn a_file_is_made_from_its_template_with_secrets() {
    let files = [
        ("ks.cfg", file("rootpw --plaintext {{ secrets.root }}\nurl {{ asset_url('okd/4.19/kernel') }}\n")),
        ("cloud/user-data", file("#cloud-config\nhostname: {{ host.name }}\n")),
    ];
    let room = room(&files, &[("root", "hunter2")]);
    assert_eq!(
        room.text("ks.cfg").await,
        "rootpw --plaintext hunter2\nurl http://10.0.0.1:8080/assets/okd/4.19/kernel\n"
    );
    assert_eq!(room.text("cloud/user-data").await, "#cloud-config\nhostname: r630-01\n");
    assert_eq!(room.file("cloud/user-data", None).await.unwrap().content_type, "text/plain; charset=utf-8");
    for name in ["", "ks", "user-data", "cloud/../ks.cfg", "../r630-01/ks.cfg", "/ks.cfg"] {
        assert_eq!(room.file(name, None).await, Err(FileError::Missing), "{name}");
    }
    assert_eq!(room.boot.file("other", "ks.cfg", None, &visit()).await, Err(FileError::Missing));
}

#[tokio::test]
async fn a_secret_that_is_not_there_fails_the_file_and_tells_the_log_why() {
    let room = room(&[("a", file("{{ secrets.root }}"))], &[("root", "file:/nowhere/secret")]);
    let Err(FileError::Failed(reason)) = room.file("a", None).await else { panic!("it fails") };
    assert!(reason.starts_with("the secret root: the file /nowhere/secret cannot be read"), "{reason}");
}

#[tokio::test]
async fn no_value_breaks_out_of_json() {
    let ignition = r#"{"ignition": {"version": "3.4.0"}, "hostname": "{{ host.name }}", "in": "a {{ secrets.s }}\" {{ secrets.s }}",
        "out": {{ secrets.s }}, "filter": {{ secrets.s | json }}, "number": {{ 1 + 1 }}, "list": {{ ["a"] }}}"#;
    for secret in ["plain", "\", \"x\": \"", "\\", "a\nb\t\u{1}", "}]{[", "{{ host.name }}", "null"] {
        let room = room(&[("config.ign", file(ignition))], &[("s", secret)]);
        let made = room.file("config.ign", None).await.unwrap();
        assert_eq!(made.content_type, "application/json");
        let json: serde_json::Value = serde_json::from_slice(&made.content).unwrap();
        let expected = serde_json::json!({
            "ignition": {"version": "3.4.0"}, "hostname": "r630-01", "in": format!("a {secret}\" {secret}"),
            "out": secret, "filter": secret, "number": 2, "list": ["a"],
        });
        assert_eq!(json, expected, "{secret}");
    }
}

#[tokio::test]
async fn a_file_of_the_host_alone_wants_its_address_and_its_token_once() {
    let room = room(&[("config.ign", own("{\"s\": {{ secrets.s }}}"))], &[("s", "hunter2")]);
    let refused = |result: Result<HostFile, FileError>| matches!(result, Err(FileError::Refused(_)));
    assert!(refused(room.file("config.ign", None).await), "no script yet");
    let token = room.token();
    assert!(refused(room.file("config.ign", None).await), "no token");
    assert!(refused(room.file("config.ign", Some("0123456789abcdef0123456789abcdef")).await), "another token");
    let elsewhere = Visit { peer: "10.0.0.8".parse().unwrap(), ..visit() };
    assert!(refused(room.boot.file("r630-01", "config.ign", Some(&token), &elsewhere).await), "another address");
    assert_eq!(&room.file("config.ign", Some(&token)).await.unwrap().content[..], b"{\"s\": \"hunter2\"}");
    // A client whose download broke off asks again at once.
    assert!(room.file("config.ign", Some(&token)).await.is_ok());
    // Each script has a token of its own, and a script that goes elsewhere ends the right of this address.
    assert_ne!(room.token(), token);
    let _ = room.boot.ipxe(&Machine::from_query("mac=246e96000001"), &elsewhere);
    assert!(refused(room.file("config.ign", Some(&token)).await), "the host is elsewhere now");
}

#[tokio::test]
async fn a_token_is_not_used_up_by_a_file_that_could_not_be_made() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secret");
    let place = format!("file:{}", path.display());
    let room = room(&[("a", own("{{ secrets.s }}"))], &[("s", &place)]);
    let token = room.token();
    assert!(matches!(room.file("a", Some(&token)).await, Err(FileError::Failed(_))));
    assert!(!room.boot.shared.tokens.is_used(&token));
    std::fs::write(&path, "hunter2").unwrap();
    assert_eq!(&room.file("a", Some(&token)).await.unwrap().content[..], b"hunter2");
    assert!(room.boot.shared.tokens.is_used(&token));
}

#[tokio::test]
async fn no_script_sees_a_secret() {
    let errors = roster(one_host(ProfileSettings { args: vec!["p={{ secrets.root }}".to_owned()], ..okd() }, |host| {
        host.secrets = BTreeMap::from([("root".to_owned(), Secret::new("hunter2"))]);
    }))
    .unwrap_err();
    let text = format!("{errors:?}");
    assert!(text.contains("undefined") && !text.contains("hunter2"), "{text}");
}

#[tokio::test]
async fn grub_that_says_nothing_gets_the_entry_and_one_without_an_address_a_word() {
    let room = room(&[], &[]);
    let grub = |query: &str| room.boot.grub(&Machine::from_query(query), &visit());
    assert!(grub("").contains("for pause in"), "the entry");
    assert!(grub("mac=&platform=efi").contains("nobody named this machine"), "it must not be sent on for ever");
    assert!(grub("mac=24:6e:96:00:00:01").contains("set kernel=(http,10.0.0.1:8080)/assets/okd/4.19/kernel"));
}

#[tokio::test]
async fn a_boot_shows_what_was_sent_by_now() {
    let room = room(&[], &[]);
    let (boot, end) = (room.boot.clone(), tokio_util::sync::CancellationToken::new());
    let following = {
        let (boot, end) = (boot.clone(), end.clone());
        tokio::spawn(async move { boot.ledger().follow(boot.depot(), &end).await })
    };
    // It listens once it was polled.
    tokio::task::yield_now().await;
    boot.ipxe(&Machine::from_query("mac=246e96000001"), &visit());
    let transfer =
        boot.depot().transfer(crate::depot::Protocol::Http, "10.0.0.7:4000".parse().unwrap(), "okd/4.19/kernel");
    let step = || boot.machine("r630-01").and_then(|machine| machine.last_step).filter(|step| step.open == 1);
    while step().is_none() {
        tokio::task::yield_now().await;
    }
    assert_eq!(step().unwrap().bytes, 0);
    transfer.add_sent(4096);
    let shown = step().unwrap();
    assert_eq!((shown.name.as_str(), shown.bytes, shown.requests), ("okd/4.19/kernel", 4096, 1));
    assert_eq!(boot.machine("r630-01").unwrap().boots[0].bytes, 4096);
    assert_eq!(boot.machines()[0].last_step.as_ref().unwrap().bytes, 4096);
    let open = boot.open_transfers();
    assert_eq!((open[0].host.as_deref(), open[0].sent), (Some("r630-01"), 4096));
    transfer.finish(crate::depot::Outcome::Complete, None);
    while boot.machine("r630-01").unwrap().last_step.unwrap().open > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(boot.machine("r630-01").unwrap().boots[0].bytes, 4096, "it is not counted twice");
    assert_eq!(boot.past_transfers()[0].transfer.host.as_deref(), Some("r630-01"));
    end.cancel();
    following.await.unwrap();
}
