mod errors;
mod layers;
mod mirrors;
mod recipes;
mod releases;
mod schemas;
mod shared;
mod showing;

use std::fs;
use std::path::Path;
use std::time::Duration;

use insta::assert_snapshot;
use proptest::prelude::*;

use super::*;
use crate::address_share::ShareSettings;
use crate::admin::AdminSettings;
use crate::depot::Release;
use crate::origin::CredentialSource;

/// A directory with a settings file in it, and what is put over that.
struct Site {
    dir: tempfile::TempDir,
    environment: Vec<(String, String)>,
    flags: Flags,
}

impl Site {
    fn new(settings: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("bootdepot.toml");
        fs::write(&config, settings).unwrap();
        Self { dir, environment: Vec::new(), flags: Flags { config: Some(config), ..Flags::default() } }
    }

    fn file(self, name: &str, text: &str) -> Self {
        let path = self.dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    fn set(mut self, text: &str) -> Self {
        self.flags.set.push(text.to_owned());
        self
    }

    fn load(&self) -> Result<Config, ConfigErrors> {
        Config::load(&self.flags, self.environment.clone())
    }

    /// The errors, without the directory's name.
    fn errors(&self) -> String {
        let directory = format!("{}/", self.dir.path().display());
        self.load().expect_err("these settings are wrong").to_string().replace(&directory, "")
    }

    /// The output of `config show`, without the directory's name.
    fn shown(&self) -> String {
        let sections: Vec<_> = self.load().unwrap().show().iter().map(ToString::to_string).collect();
        sections.join("\n").replace(&format!("{}/", self.dir.path().display()), "")
    }
}

const DIGEST: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

fn asset(name: &str) -> String {
    format!("[[asset]]\nname = \"{name}\"\nsources = [\"s3://b/{name}\"]\nsha256 = \"{DIGEST}\"\n")
}

#[test]
fn an_empty_file_is_all_defaults() {
    let config = Site::new("").load().unwrap();
    assert_eq!(config.cache.dir, Path::new("/var/cache/bootdepot"));
    assert_eq!((config.cache.max_size, config.cache.min_free), (200 << 30, 5 << 30));
    assert_eq!(config.scrub_interval, Some(Duration::from_hours(7 * 24)));
    assert_eq!(config.http.listen, ["[::]:8080".parse().unwrap()]);
    assert_eq!((config.http.idle_timeout, config.http.max_connections), (Duration::from_mins(1), 20_000));
    assert!(config.http.tls.is_none());
    assert_eq!(config.limits, ShareSettings::default());
    assert_eq!(config.tftp.listen, ["[::]:69".parse().unwrap()]);
    assert_eq!((config.tftp.max_blksize, config.tftp.max_windowsize), (1468, 64));
    assert_eq!((config.tftp.max_transfers, config.tftp.retries), (4096, 6));
    assert_eq!(config.tftp.timeout, Duration::from_secs(1));
    assert_eq!(config.tftp.first_byte_deadline, Duration::from_secs(30));
    assert!(!config.tftp.single_port && config.tftp.files.is_empty());
    assert_eq!(config.admin, Some(AdminSettings::at("127.0.0.1:8081".parse().unwrap())));
    assert_eq!((config.fill.part_size, config.fill.connections, config.fill.max_fills), (8 << 20, 8, 8));
    assert_eq!((config.fill.retries, config.fill.release), (5, Release::HoldTail));
    assert_eq!(config.fill.negative_ttl, Duration::from_secs(30));
    assert_eq!(config.timeouts.stall, Duration::from_secs(10));
    assert!(config.origins.is_empty() && config.catalog.is_empty() && config.warnings.is_empty());
}

#[test]
fn installed_settings_are_valid_and_empty() {
    let main = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/bootdepot.toml");
    let config = Config::load(&Flags { config: Some(main.clone()), ..Flags::default() }, []).unwrap();
    assert_eq!(config.warnings, Vec::<String>::new());
    assert_eq!(config.files().collect::<Vec<_>>(), [main.as_path()]);
    assert!(config.catalog.is_empty() && config.origins.is_empty() && config.shared.is_none());
    assert!(config.roster.hosts().is_empty() && config.roster.profiles().next().is_none());
}

/// The kinds of firmware that a configuration answers, with these settings and what a file or a page adds.
fn firmware(settings: &str) -> Vec<&'static str> {
    let config = Site::new(settings).load().unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(config.warnings, Vec::<String>::new());
    // shim asks for these beside itself, over TFTP by the one name and over HTTP by the other.
    assert_eq!(config.tftp.files["grubx64.efi"], "firmware/grubx64.efi");
    assert_eq!(config.tftp.files["shimx64.efi"], "firmware/shimx64.efi");
    config.firmware.iter().map(|(platform, _)| platform.name()).collect()
}

#[test]
fn firmware_of_packages_covers_bios_and_uefi() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/firmware/debian.toml");
    let include = format!("include = [{file:?}]\n");
    assert_eq!(firmware(&include), ["bios", "efi-x64", "http-x64"]);
    let secure = "[dhcp.nbp]\nefi-x64 = \"shimx64.efi\"\nhttp-x64 = \"shimx64.efi\"\n";
    assert_eq!(firmware(&(include + secure)), ["bios", "efi-x64", "http-x64"]);
}

#[test]
fn firmware_of_own_bucket_covers_arm64() {
    let page = include_str!("../../docs/firmware.md");
    let block = page.split("```toml\n").find(|block| block.starts_with("[tftp.files]")).unwrap();
    let files = block.split("```").next().unwrap();
    let assets = files.lines().filter_map(|line| Some(asset(line.split_once(" = ")?.1.split('"').nth(1)?)));
    let assets: std::collections::BTreeSet<String> = assets.collect();
    let settings = format!("{files}{}", assets.into_iter().collect::<String>());
    assert_eq!(firmware(&settings), ["bios", "efi-x64", "efi-arm64", "http-x64", "http-arm64"]);
}

#[test]
fn the_settings_in_the_readme_are_settings() {
    let readme = include_str!("../../README.md");
    let examples: String = readme.split("```toml\n").skip(1).filter_map(|text| text.split("```").next()).collect();
    let config = Site::new(&examples).load().unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!((config.catalog.len(), config.roster.hosts().len()), (2, 1));
}

#[test]
fn defaults_in_file_comments_are_correct() {
    let text = include_str!("../../config/bootdepot.toml");
    let site = Site::new("");
    let defaults = site.shown();
    let mut seen = 0;
    for line in text.lines().filter_map(|line| line.strip_prefix("# ")) {
        let Some((key, value)) = line.split_once(" = ").filter(|(key, _)| !key.contains([' ', '"'])) else { continue };
        if [
            "cert",
            "key",
            "listen",
            "ca_file",
            "proxy",
            "match",
            "headers",
            "name",
            "sources",
            "sha256",
            "credentials",
            "advertise",
            "mode",
            "interface",
            "catalog_url",
            "catalog_secrets",
            "catalog_files",
            "endpoint",
            "region",
            "addressing",
            "operator_token_file",
            "viewer_token_file",
            "hosts",
            "trusted",
        ]
        .contains(&key)
        {
            continue;
        }
        let found =
            defaults.lines().any(|shown| shown.split("  #").next().unwrap().trim_end() == format!("{key} = {value}"));
        assert!(found, "{key} = {value} is no default");
        seen += 1;
    }
    assert!(seen >= 14, "{seen}");
}

#[test]
fn everything_that_may_be_written_is_taken() {
    let config = Site::new(&format!(
        r#"
        cache = {{ dir = "/c", max_size = 1_000_000, min_free = "1 GB", scrub_interval = "off" }}
        [http]
        listen = ["127.0.0.1:0", "[::1]:0"]
        tls = {{ cert = "/t/c.pem", key = "/t/k.pem" }}
        [tftp]
        max_blksize = 65464
        max_windowsize = 64
        single_port = true
        files = {{ "snponly.efi" = "boot/snponly.efi" }}
        [admin]
        listen = "off"
        [fill]
        part_size = "1 MiB"
        stall_timeout = "1m30s"
        negative_ttl = "0s"
        release = "whole"
        [[origin]]
        match = "s3://b/"
        endpoint = "http://127.0.0.1:9000"
        addressing = "virtual"
        credentials = {{ from = "static", access_key_id = "id", secret_access_key = "hush", session_token = "env:T" }}
        ca_file = "/ca.pem"
        insecure_skip_verify = true
        proxy = "socks5://127.0.0.1:1080"
        headers = {{ X-Token = "env:TOKEN" }}
        [[asset]]
        name = "boot/snponly.efi"
        sources = ["s3://b/snponly.efi?versionId=7", "file:///srv/snponly.efi"]
        sha256 = "{DIGEST}"
        size = 1_024
        pin = true
        blocks = "s3://b/snponly.efi.blocks"
        blocks_sha256 = "{DIGEST}"
        "#
    ))
    .load()
    .unwrap();
    assert_eq!((config.cache.max_size, config.cache.min_free), (1_000_000, 1_000_000_000));
    assert_eq!((config.scrub_interval, config.admin), (None, None));
    let tls = config.http.tls.unwrap();
    assert_eq!((tls.listen, tls.key), (vec!["[::]:8443".parse().unwrap()], "/t/k.pem".into()));
    assert_eq!(config.tftp.files["snponly.efi"], "boot/snponly.efi");
    assert_eq!(config.timeouts.stall, Duration::from_secs(90));
    assert_eq!((config.fill.release, config.fill.negative_ttl), (Release::Whole, Duration::ZERO));
    let [origin] = config.origins.as_slice() else { panic!("one origin") };
    assert_eq!(origin.region, "us-east-1");
    let CredentialSource::Static { access_key_id, secret_access_key, session_token } = &origin.credentials else {
        panic!("static credentials")
    };
    assert_eq!((access_key_id.as_str(), secret_access_key.reveal_local().unwrap()), ("id", "hush".to_owned()));
    assert!(session_token.is_some());
    assert_eq!(origin.headers[0].0, "X-Token");
    let asset = config.catalog.by_name("boot/snponly.efi").unwrap();
    assert_eq!((asset.size, asset.pin, &*asset.content_type), (Some(1024), true, "application/efi"));
    assert_eq!(asset.sources.len(), 2);
    assert_eq!(asset.blocks.as_ref().unwrap().digest.to_string(), DIGEST);
}

#[test]
fn firmware_is_given_the_files_that_are_there() {
    let settings =
        format!("[tftp.files]\n\"snponly.efi\" = \"boot/x.efi\"\n{}{}", asset("boot/x.efi"), asset("undionly.kpxe"));
    let off = Site::new(&settings).load().unwrap();
    assert!(off.dhcp.is_none());
    let files: Vec<_> =
        off.firmware.iter().map(|(on, nbp)| (on.name(), nbp.file.as_str(), nbp.asset.as_str())).collect();
    assert_eq!(
        files,
        [
            ("bios", "undionly.kpxe", "undionly.kpxe"),
            ("efi-x64", "snponly.efi", "boot/x.efi"),
            ("http-x64", "snponly.efi", "boot/x.efi"),
        ]
    );

    let proxy = "[dhcp]\nmode = \"proxy\"\ninterface = \"eno1\"\nrelays = true\nnbp = { efi-arm64 = \"undionly.kpxe\" }\n[http]\nlisten = [\"[::]:81\"]\n";
    let dhcp = Site::new(&format!("{proxy}{settings}")).load().unwrap().dhcp.unwrap();
    assert_eq!((dhcp.interface.as_str(), dhcp.relays, dhcp.http_port), ("eno1", true, 81));
    assert_eq!((dhcp.nbps.iter().count(), dhcp.files["snponly.efi"].as_str()), (4, "boot/x.efi"));
    assert_eq!(dhcp.base([10, 0, 0, 1].into()), "http://10.0.0.1:81");
}

#[test]
fn architecture_numbers_name_boot_files() {
    let settings = format!("[dhcp.nbp]\n22 = \"boot/u.bin\"\n65535 = \"boot/u.bin\"\n{}", asset("boot/u.bin"));
    let site = Site::new(&settings).load().unwrap();
    let files: Vec<_> = site.firmware.numbers().map(|(number, nbp)| (number, nbp.asset.as_str())).collect();
    assert_eq!(files, [(22, "boot/u.bin"), (65535, "boot/u.bin")]);
}

#[test]
fn all_host_and_profile_forms_parse() {
    let site = Site::new(&format!(
        r#"
        {}
        [[profile]]
        name = "okd"
        kernel = "kernel"
        initrd = ["kernel"]
        args = ["role={{{{ host.vars.role }}}}"]
        files = {{ "config.ign" = "t/worker.ign.j2", "cloud/user-data" = {{ template = "t/u.j2", only_from = "host", content_type = "text/x" }} }}
        vars = {{ role = "worker", n = 1, deep = {{ list = [1.5, true] }} }}
        secrets = {{ root = "env:ROOT" }}
        [[profile]]
        name = "disk"
        iscsi = {{ portal = "10.0.0.5", port = 3261, target = "iqn.2026-01.lab:{{{{ host.name }}}}", lun = 1, initiator = "iqn.x:y" }}
        [[profile]]
        name = "local"
        local = true
        grub_template = "t/g.j2"
        [[host]]
        name = "r630-01"
        match = {{ mac = ["24:6e:96:00:00:01", "246e.9600.0002"], serial = "ABC", uuid = "4c4c4544-0042-3110-8043-b2c04f564232", asset_tag = "T" }}
        profile = "okd"
        nbp = "snponly.efi"
        args = ["quiet"]
        files = {{ "a" = "t/u.j2" }}
        secrets = {{ own = "x" }}
        [[host]]
        name = "r630-02"
        match.mac = "24-6e-96-00-00-03"
        profile = "disk"
        [defaults]
        profile = "local"
        "#,
        asset("kernel")
    ))
    .file("t/worker.ign.j2", "{\"root\": {{ secrets.root }} }")
    .file("t/u.j2", "{{ host.vars.deep.list[0] }}")
    .file("t/g.j2", "echo {{ request.mac }}");
    let config = site.load().unwrap_or_else(|errors| panic!("{errors}"));
    let names: Vec<_> =
        config.roster.hosts().iter().map(|host| (host.name.as_str(), host.profile.name.as_str())).collect();
    assert_eq!(names, [("r630-01", "okd"), ("r630-02", "disk")]);
    assert_eq!(config.roster.hosts()[0].nbp.as_deref(), Some("snponly.efi"));
    assert_eq!(config.roster.hosts()[0].keys.macs.len(), 2);
    assert_eq!(config.roster.default_profile().map(|profile| profile.name.as_str()), Some("local"));
    let [warning] = config.warnings.as_slice() else { panic!("{:?}", config.warnings) };
    let said = "t/worker.ign.j2: any client that requests /hosts/r630-01/config.ign receives its secrets; restrict it with only_from = \"host\"";
    assert!(warning.ends_with(said), "{warning}");
    let shown = site.shown();
    assert!(shown.contains("own = \"(secret)\"") && !shown.contains("\"x\""), "{shown}");
    assert!(shown.contains("root = \"env:ROOT\""), "{shown}");
}

#[test]
fn each_kind_of_credentials_is_taken() {
    for (from, extra) in [
        ("default", ""),
        ("env", ""),
        ("profile", ", name = \"p\", file = \"/f\""),
        ("web-identity", ""),
        ("instance", ""),
        ("container", ""),
        ("anonymous", ""),
    ] {
        let site = Site::new(&format!("[[origin]]\nmatch = \"s3://b/\"\ncredentials = {{ from = \"{from}\"{extra} }}"));
        let config = site.load().unwrap_or_else(|errors| panic!("{errors}"));
        let debug = format!("{:?}", config.origins[0].credentials).to_lowercase();
        assert!(debug.starts_with(&from.replace('-', "")), "{debug}");
    }
}

#[test]
fn asset_has_mtime_of_its_file() {
    let site = Site::new("include = [\"more.toml\"]").file("more.toml", &asset("a"));
    let written = std::time::UNIX_EPOCH + Duration::new(1_700_000_000, 987_654_321);
    fs::File::options().append(true).open(site.dir.path().join("more.toml")).unwrap().set_modified(written).unwrap();
    let config = site.load().unwrap();
    let since = config.catalog.by_name("a").unwrap().last_modified;
    assert_eq!(since, std::time::UNIX_EPOCH + Duration::from_secs(1_700_000_000));
}

proptest! {
    // Wrong settings are errors: whatever the file holds, nothing panics.
    #[test]
    fn no_file_makes_it_panic(text in "\\PC{0,60}|([a-z\\[\\]={}\", .0-9-]{0,12}\n){0,6}") {
        let _ = Site::new(&text).load().map(|config| config.show());
    }

    #[test]
    fn no_value_makes_it_panic(
        key in 0usize..200,
        value in "[0-9-]{1,20}|true|\"\\PC{0,8}\"|\\[\\]|\\[1, \"a\"\\]|\\{\\}|\\{ from = 1 \\}|1e99|nan|1979-05-27|\"(s3|https|env|vault)://?[a-z?@/]{0,6}\"",
    ) {
        let keys: Vec<_> = Explanation::all().into_iter().filter(|key| !key.table).collect();
        let key = keys[key % keys.len()].key.clone();
        let text = match key.split_once("[].") {
            Some((list, key)) => format!("[[{list}]]\n{key} = {value}\n"),
            None => format!("{key} = {value}\n"),
        };
        if let Err(errors) = Site::new(&text).load() {
            prop_assert!(!errors.to_string().contains("please report"), "{}", errors);
        }
    }

    #[test]
    fn no_variable_makes_it_panic(name in "[A-Z_]{0,14}|CACHE(__[A-Z]{0,4}){0,2}|TFTP__FILES", value in "\\PC{0,20}|[\\[\\]{}=,\"a1]{0,10}") {
        let _ = Site::new("").variable(&format!("BOOTDEPOT_{name}"), &value).set(&format!("{name}={value}")).load();
    }
}
