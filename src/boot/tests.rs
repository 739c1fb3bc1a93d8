//! Scripts and files through the facade.

use std::collections::{BTreeMap, HashMap};

use super::fixtures::{catalog, okd, one_host, request, roster, template};
use super::*;
use crate::cache::{Cache, CacheSettings};
use crate::depot::{Depot, FillSettings};
use crate::origin::{Origins, Timeouts};
use crate::secret::Secret;

/// A facade over a depot in a temporary directory, with one host.
struct TestBoot {
    boot: Boot,
    _dir: tempfile::TempDir,
}

fn test_boot(files: &[(&str, FileSettings)], secrets: &[(&str, &str)]) -> TestBoot {
    let dir = tempfile::tempdir().unwrap();
    let settings = CacheSettings {
        dir: dir.path().to_owned(),
        max_size: 1 << 20,
        min_free: 0,
        seal: crate::cache::SealPolicy::Off,
    };
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
    let boot = Boot::new(roster.unwrap(), Releases::empty(depot.clone()), Ledger::in_memory(), depot);
    TestBoot { boot, _dir: dir }
}

/// Polls until `condition` holds. The deadline is for a test that fails, however slow the machine is.
async fn wait_for(condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_mins(1), waiting).await.expect("the condition holds in time");
}

fn file(text: &str) -> FileSettings {
    FileSettings { template: template(text), ..FileSettings::default() }
}

fn own_file(text: &str) -> FileSettings {
    FileSettings { only_from_host: true, ..file(text) }
}

impl TestBoot {
    /// Requests a file from 10.0.0.7.
    async fn file(&self, name: &str, token: Option<&str>) -> Result<HostFile, FileError> {
        self.boot.file("r630-01", name, token, &request()).await
    }

    async fn text(&self, name: &str) -> String {
        String::from_utf8(self.file(name, None).await.unwrap().content.to_vec()).unwrap()
    }

    /// Requests the script from 10.0.0.7 and returns the token in it.
    fn token(&self) -> String {
        let script = self.boot.ipxe_script(&Machine::from_query("mac=246e96000001"), &request());
        token_in(&script)
    }
}

/// The first token in a script.
fn token_in(script: &str) -> String {
    script.split("?token=").nth(1).unwrap().split(' ').next().unwrap().to_owned()
}

#[tokio::test]
async fn host_file_renders_template_with_secrets() {
    let files = [
        ("ks.cfg", file("rootpw --plaintext {{ secrets.root }}\nurl {{ asset_url('okd/4.19/kernel') }}\n")),
        ("cloud/user-data", file("#cloud-config\nhostname: {{ host.name }}\n")),
    ];
    let test = test_boot(&files, &[("root", "hunter2")]);
    assert_eq!(
        test.text("ks.cfg").await,
        "rootpw --plaintext hunter2\nurl http://10.0.0.1:8080/assets/okd/4.19/kernel\n"
    );
    assert_eq!(test.text("cloud/user-data").await, "#cloud-config\nhostname: r630-01\n");
    assert_eq!(test.file("cloud/user-data", None).await.unwrap().content_type, "text/plain; charset=utf-8");
    for name in ["", "ks", "user-data", "cloud/../ks.cfg", "../r630-01/ks.cfg", "/ks.cfg"] {
        assert_eq!(test.file(name, None).await, Err(FileError::Missing), "{name}");
    }
    assert_eq!(test.boot.file("other", "ks.cfg", None, &request()).await, Err(FileError::Missing));
}

#[tokio::test]
async fn host_file_missing_secret_fails() {
    let test = test_boot(&[("a", file("{{ secrets.root }}"))], &[("root", "file:/nowhere/secret")]);
    let Err(FileError::Failed(reason)) = test.file("a", None).await else { panic!("it fails") };
    assert!(reason.starts_with("the secret root: the file /nowhere/secret cannot be read"), "{reason}");
}

#[tokio::test]
async fn json_file_value_cannot_break_out() {
    let ignition = r#"{"ignition": {"version": "3.4.0"}, "hostname": "{{ host.name }}", "in": "a {{ secrets.s }}\" {{ secrets.s }}",
        "out": {{ secrets.s }}, "filter": {{ secrets.s | json }}, "number": {{ 1 + 1 }}, "list": {{ ["a"] }}}"#;
    for secret in ["plain", "\", \"x\": \"", "\\", "a\nb\t\u{1}", "}]{[", "{{ host.name }}", "null"] {
        let test = test_boot(&[("config.ign", file(ignition))], &[("s", secret)]);
        let made = test.file("config.ign", None).await.unwrap();
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
async fn file_suffix_decides_escaping() {
    for secret in ["plain", "a \"b\" 'c' <d> & $e `f` \\g: #h", "yes", "]]> --", "ä 🦀"] {
        let files = [
            ("a.xml", file("<a b=\"{{ secrets.s }}\">{{ secrets.s }}</a>\n")),
            ("a.toml", file("a = {{ secrets.s }}\nb = \"{{ secrets.s }}\"\n")),
            ("a.yaml", file("a: {{ secrets.s }}\nb: \"{{ secrets.s }}\"\n")),
            ("user-data", file("#cloud-config\na: {{ secrets.s }}\nb: |-\n  {{ secrets.s }}\n")),
            ("a.json", file("{\"a\": {{ secrets.s }}, \"b\": \"{{ secrets.s }}\"}")),
            ("a.sh", file("printf '%s\\n' {{ secrets.s }} \"{{ secrets.s }}\"")),
            ("web.ks", file("rootpw {{ secrets.s }}\n%post\necho \"{{ secrets.s }}\"\n%end\n")),
            ("a.conf", file("{{ secrets.s }}\n")),
        ];
        let test = test_boot(&files, &[("s", secret)]);
        let xml = test.text("a.xml").await;
        let xml = roxmltree::Document::parse(&xml).unwrap();
        let root = xml.root_element();
        assert_eq!((root.attribute("b"), root.text()), (Some(secret), Some(secret)));
        let toml: toml::Table = test.text("a.toml").await.parse().unwrap();
        assert_eq!((toml["a"].as_str(), toml["b"].as_str()), (Some(secret), Some(secret)));
        let both = serde_json::json!({ "a": secret, "b": secret });
        for name in ["a.yaml", "user-data"] {
            let yaml: serde_json::Value = serde_saphyr::from_str(&test.text(name).await).unwrap();
            assert_eq!(yaml, both, "{name}");
        }
        assert_eq!(serde_json::from_str::<serde_json::Value>(&test.text("a.json").await).unwrap(), both);
        let shell = std::process::Command::new("sh").args(["-c", &test.text("a.sh").await]).output().unwrap();
        assert_eq!(String::from_utf8(shell.stdout).unwrap(), format!("{secret}\n{secret}\n"));
        let kickstart = test.text("web.ks").await;
        assert_eq!(kickstart.lines().next() == Some(&format!("rootpw {secret}")), secret == "plain" || secret == "yes");
        assert_eq!(test.text("a.conf").await, format!("{secret}\n"));
    }
}

#[tokio::test]
async fn filter_result_fits_each_file() {
    let script = "echo {{ secrets.s | shell }}";
    let files = [
        ("a.json", file(&format!("{{\"a\": \"{script}\", \"b\": \"{{{{ secrets.s | b64encode }}}}\"}}"))),
        ("a.yaml", file(&format!("a: |-\n  {script}\nb: {{{{ secrets.s | b64encode }}}}\n"))),
        ("a.xml", file(&format!("<r><a>{script}</a><b>{{{{ secrets.s | b64encode }}}}</b></r>"))),
        ("a.toml", file(&format!("a = \"{script}\"\nb = {{{{ secrets.s | b64encode }}}}\n"))),
        ("a.sh", file(&format!("{script} {{{{ secrets.s | b64encode }}}}"))),
    ];
    let test = test_boot(&files, &[("s", "it's \"x\" & y")]);
    let (shell, base64) = (r#"echo 'it'\''s "x" & y'"#, "aXQncyAieCIgJiB5");
    let expected = serde_json::json!({ "a": shell, "b": base64 });
    let json: serde_json::Value = serde_json::from_str(&test.text("a.json").await).unwrap();
    let yaml: serde_json::Value = serde_saphyr::from_str(&test.text("a.yaml").await).unwrap();
    let toml: serde_json::Value = toml::from_str(&test.text("a.toml").await).unwrap();
    assert_eq!([json, yaml, toml], [expected.clone(), expected.clone(), expected]);
    let xml = test.text("a.xml").await;
    let xml = roxmltree::Document::parse(&xml).unwrap();
    let texts: Vec<_> = xml.root_element().children().map(|child| child.text().unwrap()).collect();
    assert_eq!(texts, [shell, base64]);
    assert_eq!(test.text("a.sh").await, format!("{shell} {base64}"));
}

#[tokio::test]
async fn protected_file_requires_address_and_token() {
    let test = test_boot(&[("config.ign", own_file("{\"s\": {{ secrets.s }}}"))], &[("s", "hunter2")]);
    let refused = |result: Result<HostFile, FileError>| matches!(result, Err(FileError::Refused(_)));
    assert!(refused(test.file("config.ign", None).await), "no script yet");
    let token = test.token();
    assert!(refused(test.file("config.ign", None).await), "no token");
    assert!(refused(test.file("config.ign", Some("0123456789abcdef0123456789abcdef")).await), "another token");
    let elsewhere = RequestContext { peer: "10.0.0.8".parse().unwrap(), ..request() };
    assert!(refused(test.boot.file("r630-01", "config.ign", Some(&token), &elsewhere).await), "another address");
    assert_eq!(&test.file("config.ign", Some(&token)).await.unwrap().content[..], b"{\"s\": \"hunter2\"}");
    // A client retries an interrupted download at once.
    assert!(test.file("config.ign", Some(&token)).await.is_ok());
    // Each script has its own token, and one sent to another address changes nothing for this one.
    assert_ne!(test.token(), token);
    let theirs = token_in(&test.boot.ipxe_script(&Machine::from_query("mac=246e96000001"), &elsewhere));
    assert!(test.file("config.ign", Some(&token)).await.is_ok(), "a stranger's look leaves the boot alone");
    assert!(refused(test.file("config.ign", Some(&theirs)).await), "sent to the other address");
    assert!(test.boot.file("r630-01", "config.ign", Some(&theirs), &elsewhere).await.is_ok());
}

#[tokio::test]
async fn head_request_changes_nothing() {
    let test = test_boot(&[("config.ign", own_file("{}")), ("boot.cfg", file("{{ files_url() }}"))], &[]);
    let head = RequestContext { is_probe: true, ..request() };
    let machine = Machine::from_query("mac=246e96000001");
    let probed = test.boot.ipxe_script(&machine, &head);
    assert!(test.boot.file("r630-01", "boot.cfg", None, &head).await.is_ok());
    assert_eq!((test.boot.count_tokens(), test.boot.ledger().machines(&HashMap::new()).len()), (0, 0));
    let script = test.boot.ipxe_script(&machine, &request());
    assert_eq!(probed.len(), script.len(), "the size that GET has");
    let token = token_in(&script);
    assert!(test.boot.file("r630-01", "config.ign", Some(&token), &head).await.is_ok());
    assert!(!test.boot.is_token_used(&token));
}

#[tokio::test]
async fn open_file_leaves_tokens_alone() {
    let test = test_boot(&[("config.ign", own_file("{}")), ("boot.cfg", file("a"))], &[]);
    let token = test.token();
    let elsewhere = RequestContext { peer: "10.0.0.8".parse().unwrap(), ..request() };
    let named = test.boot.named_file("hosts/r630-01/boot.cfg", elsewhere.peer).unwrap();
    assert!(test.boot.open_named_file(&named, &elsewhere).await.is_ok());
    assert!(test.file("config.ign", Some(&token)).await.is_ok());
}

#[tokio::test]
async fn directory_token_admits_host_files() {
    let files = ["meta-data", "user-data", "vendor-data"].map(|name| (name, own_file("s: {{ secrets.s }}\n")));
    let open = ("script", file("{{ files_url() }}"));
    let test = test_boot(&[&files[..], &[open]].concat(), &[("s", "hunter2")]);
    let _ = test.boot.ipxe_script(&Machine::from_query("mac=246e96000001"), &request());
    let url = test.text("script").await;
    let token =
        url.strip_prefix("http://10.0.0.1:8080/hosts/r630-01/~").and_then(|rest| rest.strip_suffix('/')).unwrap();
    for name in ["meta-data", "user-data", "vendor-data", "meta-data"] {
        assert_eq!(&test.file(name, Some(token)).await.unwrap().content[..], b"s: hunter2\n", "{name}");
    }
    assert_eq!(test.file("network-config", Some(token)).await, Err(FileError::Missing));
    assert!(matches!(test.file("meta-data", Some(&token[1..])).await, Err(FileError::Refused(_))));
    // Without a protected file there is nothing to prove.
    let test = test_boot(&[("user-data", file("#cloud-config\n")), ("script", file("{{ files_url() }}"))], &[]);
    assert_eq!(test.text("script").await, "http://10.0.0.1:8080/hosts/r630-01/");
}

#[tokio::test]
async fn tftp_name_finds_host_file() {
    let test = test_boot(&[("boot.cfg", file("a")), ("esx/ks.cfg", own_file("b"))], &[]);
    let named = |name: &str| {
        let found = test.boot.named_file(name, request().peer)?;
        Some((found.file, found.token.unwrap_or_default()))
    };
    let file = |file: &str, token: &str| Some((file.to_owned(), token.to_owned()));
    for (name, found) in [
        ("hosts/r630-01/boot.cfg", file("boot.cfg", "")),
        ("hosts/24-6E-96-00-00-01/esx/ks.cfg", file("esx/ks.cfg", "")),
        ("hosts/01-24-6e-96-00-00-01/boot.cfg", file("boot.cfg", "")),
        ("hosts/r630-01/~0123/esx/ks.cfg", file("esx/ks.cfg", "0123")),
        ("01-24-6e-96-00-00-01/boot.cfg", file("boot.cfg", "")),
        ("esxi/8.0/01-24-6e-96-00-00-01/boot.cfg", file("boot.cfg", "")),
        ("01-24-6e-96-00-00-02/boot.cfg", None),
        ("hosts/r630-02/boot.cfg", None),
        ("hosts/r630-01/other.cfg", None),
        ("boot.cfg", None),
        ("", None),
    ] {
        assert_eq!(named(name), found, "{name}");
    }
    // Once the host has booted at the address, its files have names of their own.
    let _ = test.boot.ipxe_script(&Machine::from_query("mac=246e96000001"), &request());
    for (name, found) in [
        ("boot.cfg", file("boot.cfg", "")),
        ("esxi/8.0/boot.cfg", file("boot.cfg", "")),
        ("esx/ks.cfg", file("esx/ks.cfg", "")),
        ("ks.cfg", None),
    ] {
        assert_eq!(named(name), found, "{name}");
    }
    assert_eq!(test.boot.named_file("boot.cfg", "10.0.0.8".parse().unwrap()), None);
    let found = test.boot.named_file("esx/ks.cfg", request().peer).unwrap();
    assert!(matches!(test.boot.open_named_file(&found, &request()).await, Err(FileError::Refused(_))));
}

#[tokio::test]
async fn token_survives_failed_rendering() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secret");
    let location = format!("file:{}", path.display());
    let test = test_boot(&[("a", own_file("{{ secrets.s }}"))], &[("s", &location)]);
    let token = test.token();
    assert!(matches!(test.file("a", Some(&token)).await, Err(FileError::Failed(_))));
    assert!(!test.boot.is_token_used(&token));
    std::fs::write(&path, "hunter2").unwrap();
    assert_eq!(&test.file("a", Some(&token)).await.unwrap().content[..], b"hunter2");
    assert!(test.boot.is_token_used(&token));
}

/// The log of a thread.
#[derive(Clone, Default)]
struct Log(std::sync::Arc<parking_lot::Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn failed_template_hides_secret() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    tracing::info!("the log is read");
    let mut reasons = Vec::new();
    for text in [
        "{{ asset_url(secrets.s) }}",
        "{{ file_url(secrets.s) }}",
        "{{ secrets[secrets.s] }}",
        "{{ host[secrets.s | lower] }}",
        "{{ secrets.s | int }}",
        "{{ 1 // (secrets.s | length - 8) }}",
    ] {
        // With the placeholder of the check it succeeds.
        let text = format!("{{% if secrets.s != '(secret)' %}}{text}{{% endif %}}");
        let test = test_boot(&[("a.txt", file(&text))], &[("s", "HUNTER22")]);
        let Err(FileError::Failed(reason)) = test.file("a.txt", None).await else { panic!("{text} fails") };
        reasons.push(reason);
    }
    let log = String::from_utf8(log.0.lock().clone()).unwrap();
    assert!(log.contains("the log is read"));
    for text in reasons.iter().chain([&log]) {
        assert!(!text.to_lowercase().contains("hunter22"), "{text}");
    }
    let named = |reason: &String| reason.starts_with("the template ") && reason.contains("the reason is not shown");
    assert!(reasons.iter().all(named), "{reasons:?}");
}

#[tokio::test]
async fn script_template_has_no_secrets() {
    let errors = roster(one_host(ProfileSettings { args: vec!["p={{ secrets.root }}".to_owned()], ..okd() }, |host| {
        host.secrets = BTreeMap::from([("root".to_owned(), Secret::new("hunter2"))]);
    }))
    .unwrap_err();
    let text = format!("{errors:?}");
    assert!(text.contains("undefined") && !text.contains("hunter2"), "{text}");
}

#[tokio::test]
async fn grub_query_selects_entry_or_script() {
    let test = test_boot(&[], &[]);
    let grub = |query: &str| test.boot.grub_config(&Machine::from_query(query), &request());
    assert!(grub("").contains("for pause in"), "the entry");
    assert!(grub("mac=&platform=efi").contains("no [[host]] matches this machine"), "the entry would loop");
    assert!(grub("mac=24:6e:96:00:00:01").contains("set kernel=(http,10.0.0.1:8080)/assets/okd/4.19/kernel"));
}

#[tokio::test]
async fn boot_shows_bytes_sent_so_far() {
    let test = test_boot(&[], &[]);
    let (boot, end) = (test.boot.clone(), tokio_util::sync::CancellationToken::new());
    let following = {
        let (boot, end) = (boot.clone(), end.clone());
        tokio::spawn(async move { boot.follow_transfers(&end).await })
    };
    // It subscribes when it is first polled.
    tokio::task::yield_now().await;
    boot.ipxe_script(&Machine::from_query("mac=246e96000001"), &request());
    let transfer =
        boot.depot().transfer(crate::depot::Protocol::Http, "10.0.0.7:4000".parse().unwrap(), "okd/4.19/kernel");
    let step = || boot.machine("r630-01").and_then(|machine| machine.last_step).filter(|step| step.open == 1);
    wait_for(|| step().is_some()).await;
    assert_eq!(step().unwrap().bytes, 0);
    transfer.add_sent(4096);
    let shown = step().unwrap();
    assert_eq!((shown.name.as_str(), shown.bytes, shown.requests), ("okd/4.19/kernel", 4096, 1));
    assert_eq!(boot.machine("r630-01").unwrap().boots[0].bytes, 4096);
    assert_eq!(boot.machines()[0].last_step.as_ref().unwrap().bytes, 4096);
    let open = boot.open_transfers();
    assert_eq!((open[0].host.as_deref(), open[0].sent), (Some("r630-01"), 4096));
    transfer.finish(crate::depot::Outcome::Complete, None);
    wait_for(|| boot.machine("r630-01").unwrap().last_step.unwrap().open == 0).await;
    assert_eq!(boot.machine("r630-01").unwrap().boots[0].bytes, 4096, "counted once");
    assert_eq!(boot.past_transfers()[0].transfer.host.as_deref(), Some("r630-01"));
    end.cancel();
    following.await.unwrap();
}
