use std::fs;
use std::path::Path;
use std::time::Duration;

use insta::assert_snapshot;
use proptest::prelude::*;

use super::*;
use crate::depot::Release;
use crate::origin::Credentials;

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

    /// What is wrong, with the directory's name left out.
    fn errors(&self) -> String {
        let directory = format!("{}/", self.dir.path().display());
        self.load().expect_err("these settings are wrong").to_string().replace(&directory, "")
    }

    /// What `config show` prints, with the directory's name left out.
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
    assert_eq!(config.scrub_interval, Some(Duration::from_secs(604_800)));
    assert_eq!(config.http.listen, ["[::]:8080".parse().unwrap()]);
    assert_eq!((config.http.idle_timeout, config.http.max_connections), (Duration::from_secs(60), 20_000));
    assert!(config.http.tls.is_none());
    assert_eq!(config.tftp.listen, ["[::]:69".parse().unwrap()]);
    assert_eq!((config.tftp.max_blksize, config.tftp.max_windowsize), (1468, 64));
    assert_eq!((config.tftp.max_transfers, config.tftp.retries), (4096, 6));
    assert_eq!(config.tftp.timeout, Duration::from_secs(1));
    assert_eq!(config.tftp.first_byte_deadline, Duration::from_secs(30));
    assert!(!config.tftp.single_port && config.tftp.files.is_empty());
    assert_eq!(config.admin, Some("127.0.0.1:8081".parse().unwrap()));
    assert_eq!((config.fill.part_size, config.fill.connections, config.fill.max_fills), (8 << 20, 8, 8));
    assert_eq!((config.fill.retries, config.fill.release), (5, Release::HoldTail));
    assert_eq!(config.fill.negative_ttl, Duration::from_secs(30));
    assert_eq!(config.timeouts.stall, Duration::from_secs(10));
    assert!(config.origins.is_empty() && config.catalog.is_empty() && config.warnings.is_empty());
}

#[test]
fn every_file_of_the_config_directory_parses() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let main = directory.join("bootdepot.toml");
    let config = Config::load(&Flags { config: Some(main.clone()), ..Flags::default() }, []).unwrap();
    assert_eq!(config.warnings, Vec::<String>::new());
    let mut wanted = vec![main];
    wanted.extend(fs::read_dir(directory.join("catalog.d")).unwrap().map(|entry| entry.unwrap().path()));
    wanted.sort();
    let mut read: Vec<_> = config.files().map(Path::to_owned).collect();
    read.sort();
    assert_eq!(read, wanted);
    assert_eq!(config.catalog.len(), 5);
    let iso = config.catalog.by_name("okd/4.20/agent.x86_64.iso").unwrap();
    assert_eq!(&*iso.content_type, "application/vnd.efi-iso");
}

#[test]
fn the_defaults_in_the_comments_of_the_file_are_the_defaults() {
    let text = include_str!("../../config/bootdepot.toml");
    let site = Site::new("");
    let defaults = site.shown();
    let mut seen = 0;
    for line in text.lines().filter_map(|line| line.strip_prefix("# ")) {
        let Some((key, value)) = line.split_once(" = ").filter(|(key, _)| !key.contains([' ', '"'])) else { continue };
        if ["cert", "key", "listen", "ca_file", "proxy", "match", "headers", "name", "sources", "sha256", "credentials"]
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
    let Credentials::Static { access_key_id, secret_access_key, session_token } = &origin.credentials else {
        panic!("static credentials")
    };
    assert_eq!((access_key_id.as_str(), secret_access_key.reveal()), ("id", Ok("hush".to_owned())));
    assert!(session_token.is_some());
    assert_eq!(origin.headers[0].0, "X-Token");
    let asset = config.catalog.by_name("boot/snponly.efi").unwrap();
    assert_eq!((asset.size, asset.pin, &*asset.content_type), (Some(1024), true, "application/efi"));
    assert_eq!(asset.sources.len(), 2);
    assert_eq!(asset.blocks.as_ref().unwrap().digest.to_string(), DIGEST);
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
fn an_asset_is_as_old_as_the_file_that_declares_it() {
    let site = Site::new("include = [\"more.toml\"]").file("more.toml", &asset("a"));
    let written = std::time::UNIX_EPOCH + Duration::new(1_700_000_000, 987_654_321);
    fs::File::options().append(true).open(site.dir.path().join("more.toml")).unwrap().set_modified(written).unwrap();
    let config = site.load().unwrap();
    let since = config.catalog.by_name("a").unwrap().since;
    assert_eq!(since, std::time::UNIX_EPOCH + Duration::from_secs(1_700_000_000));
}

mod layers {
    use super::*;

    #[test]
    fn a_flag_beats_the_environment_and_that_beats_the_file() {
        let site = Site::new("[fill]\nconnections = 1\nmax_fills = 1\nretries = 1\n");
        let site = site.variable("BOOTDEPOT_FILL__MAX_FILLS", "2").variable("BOOTDEPOT_FILL__RETRIES", "2");
        let config = site.set("fill.retries=3").load().unwrap();
        assert_eq!((config.fill.connections, config.fill.max_fills, config.fill.retries), (1, 2, 3));
    }

    #[test]
    fn the_environment_holds_values_of_every_type() {
        let config = Site::new(&asset("a"))
            .variable("BOOTDEPOT_CACHE__DIR", "/x")
            .variable("BOOTDEPOT_CACHE__MAX_SIZE", "1000")
            .variable("BOOTDEPOT_CACHE__MIN_FREE", "2 GB")
            .variable("BOOTDEPOT_HTTP__LISTEN", r#"["127.0.0.1:80", "[::1]:80"]"#)
            .variable("BOOTDEPOT_TFTP__LISTEN", "[::]:6969")
            .variable("BOOTDEPOT_TFTP__SINGLE_PORT", "true")
            .variable("BOOTDEPOT_TFTP__FILES", r#"{"a.efi" = "a"}"#)
            .variable("BOOTDEPOT_ORIGIN", r#"[{match = "s3://b/", region = "lab", credentials = {from = "env"}}]"#)
            .variable("BOOTDEPOT_CONFIG", "ignored: the flag says where")
            .variable("BOOTDEPOT_LOG", "debug")
            .variable("OTHER", "not ours")
            .load()
            .unwrap_or_else(|errors| panic!("{errors}"));
        assert_eq!(config.cache.dir, Path::new("/x"));
        assert_eq!((config.cache.max_size, config.cache.min_free), (1000, 2_000_000_000));
        assert_eq!(config.http.listen.len(), 2);
        assert_eq!(config.tftp.listen, ["[::]:6969".parse().unwrap()]);
        assert!(config.tftp.single_port);
        assert_eq!(config.tftp.files["a.efi"], "a");
        assert_eq!(config.origins[0].region, "lab");
    }

    #[test]
    fn a_text_stays_a_text_whatever_it_looks_like() {
        let config = Site::new("").variable("BOOTDEPOT_CACHE__DIR", "123").load().unwrap();
        assert_eq!(config.cache.dir, Path::new("123"));
        let config = Site::new("").variable("BOOTDEPOT_CACHE__DIR", "true").load().unwrap();
        assert_eq!(config.cache.dir, Path::new("true"));
    }

    #[test]
    fn flags_have_names_of_their_own() {
        let mut site = Site::new("").set("tftp.files.\"a.efi\"=x").set("http.max_connections=5");
        site = site.file("unused", "");
        site.flags.cache_dir = Some("/flag".to_owned());
        site.flags.http_listen = vec!["127.0.0.1:1".to_owned(), "127.0.0.1:2".to_owned()];
        site.flags.tftp_listen = vec!["127.0.0.1:3".to_owned()];
        site.flags.admin_listen = Some("off".to_owned());
        assert_snapshot!(site.errors(), @r#"
            the settings have an error
            --set tftp.files."a.efi": there is no asset "x"
        "#);
        site.flags.set.remove(0);
        let config = site.load().unwrap();
        assert_eq!(config.cache.dir, Path::new("/flag"));
        assert_eq!((config.http.listen.len(), config.tftp.listen.len(), config.admin), (2, 1, None));
        assert_eq!(config.http.max_connections, 5);
    }

    #[test]
    fn the_environment_names_the_file_unless_a_flag_does() {
        let site = Site::new("[cache]\ndir = \"/flag\"").file("other.toml", "[cache]\ndir = \"/environment\"");
        let other = site.dir.path().join("other.toml").display().to_string();
        let mut site = site.variable("BOOTDEPOT_CONFIG", &other);
        assert_eq!(site.load().unwrap().cache.dir, Path::new("/flag"));
        site.flags.config = None;
        assert_eq!(site.load().unwrap().cache.dir, Path::new("/environment"));
    }

    #[test]
    fn included_files_add_up() {
        let site = Site::new(&format!("include = [\"catalog.d/*.toml\"]\n[cache]\ndir = \"/c\"\n{}", asset("a")))
            .file("catalog.d/2.toml", &asset("b"))
            .file("catalog.d/1.toml", &format!("[cache]\nmin_free = 0\n{}{}", asset("c"), asset("d")))
            .file("catalog.d/.hidden.toml", "nonsense")
            .file("catalog.d/3.toml~", "nonsense");
        let config = site.load().unwrap();
        let names: Vec<_> =
            ["a", "b", "c", "d"].into_iter().filter(|name| config.catalog.by_name(name).is_some()).collect();
        assert_eq!(names, ["a", "b", "c", "d"]);
        assert_eq!((config.cache.dir.as_path(), config.cache.min_free), (Path::new("/c"), 0));
        let files: Vec<_> = config.files().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(files, ["bootdepot.toml", "1.toml", "2.toml"]);
    }

    #[test]
    fn an_include_that_matches_nothing_is_a_warning() {
        let config = Site::new("include = [\"none.d/*.toml\"]").load().unwrap();
        let [warning] = config.warnings.as_slice() else { panic!("one warning") };
        assert!(warning.ends_with("bootdepot.toml:1: include: no file matches \"none.d/*.toml\""), "{warning}");
    }
}

mod errors {
    use super::*;

    #[test]
    fn all_are_told_at_once() {
        let site = Site::new(&format!(
            r#"
include = ["catalog.d/*.toml"]
catalogue = "x"
[cache]
max_sise = "1 GiB"
min_free = "5 gigs"
[http]
listen = ["8080"]
max_connections = "many"
[http.tls]
cert = "/c.pem"
[tftp]
max_blksize = 4
timeout = "0s"
[tftp.files]
"snponly.efi" = "boot/snp.efi"
[fill]
release = "tail"
part_size = 17
[[origin]]
match = "harmony-assets"
credentials = {{ from = "vault", path = "x" }}
{}
"#,
            asset("boot/snponly.efi")
        ))
        .file(
            "catalog.d/okd.toml",
            &format!(
                "{}{}\n[[asset]]\nname = \"/x\"\nsources = []\nsha256 = \"abc\"\npin = \"yes\"\nblocks = \"s3://b/x\"\n",
                asset("okd/kernel"),
                asset("boot/snponly.efi"),
            ),
        )
        .variable("BOOTDEPOT_CACHE__DIRR", "/x")
        .variable("BOOTDEPOT_TFTP__RETRIES", "-1")
        .set("fill.connections=none")
        .set("nonsense");
        assert_snapshot!(site.errors(), @r#"
            the settings have 23 errors
            bootdepot.toml:3: catalogue: there is no such key; known here: include, cache, http, tftp, admin, fill, origin, asset
            bootdepot.toml:5: cache.max_sise: there is no such key; the nearest is max_size
            bootdepot.toml:6: cache.min_free: found "5 gigs", expected a size such as "8 MiB", or a number of bytes ("gigs" is no unit; there are B, KiB, MiB, GiB, TiB and KB, MB, GB, TB)
            bootdepot.toml:8: http.listen[0]: found "8080", expected an IP address and a port, such as "0.0.0.0:8080" or "[::]:8080"
            bootdepot.toml:9: http.max_connections: found "many", expected a whole number from 1 to 1000000
            bootdepot.toml:10: http.tls.key: this is missing; expected a path on this machine
            bootdepot.toml:13: tftp.max_blksize: found 4, expected a whole number from 8 to 65464
            bootdepot.toml:14: tftp.timeout: found "0s", expected a span of time above zero, such as "500ms", "30s" or "5m" (it is zero)
            bootdepot.toml:16: tftp.files."snponly.efi": there is no asset "boot/snp.efi"; the nearest is "boot/snponly.efi"
            bootdepot.toml:18: fill.release: found "tail", expected "hold-tail" or "whole"
            bootdepot.toml:19: fill.part_size: found 17, expected a size such as "8 MiB", or a number of bytes, from 4 KiB to 1 GiB
            bootdepot.toml:21: origin[0].match (harmony-assets): found "harmony-assets", expected the beginning of source URLs: s3://…, https://… or http://…
            bootdepot.toml:22: origin[0].credentials.from (harmony-assets): found "vault", expected "default", "env", "static", "profile", "web-identity", "instance", "container" or "anonymous"
            catalog.d/okd.toml:6: asset[1].name (boot/snponly.efi): boot/snponly.efi is taken by bootdepot.toml:24; names are unique
            catalog.d/okd.toml:11: asset[2].name (/x): found "/x", expected an asset's name such as "okd/4.19/rootfs.img" (an asset name must not begin or end with '/', nor hold '//')
            catalog.d/okd.toml:12: asset[2].sources (/x): found [], expected a list, each element a source: s3://BUCKET/KEY, https://…, http://… or file:///PATH (it is empty)
            catalog.d/okd.toml:13: asset[2].sha256 (/x): found "abc", expected 64 hexadecimal digits, as sha256sum prints them (this has 3 characters)
            catalog.d/okd.toml:14: asset[2].pin (/x): found "yes", expected true or false
            catalog.d/okd.toml:15: asset[2].blocks (/x): this needs blocks_sha256 beside it
            BOOTDEPOT_CACHE__DIRR: there is no such variable; the nearest is BOOTDEPOT_CACHE__DIR
            BOOTDEPOT_TFTP__RETRIES: tftp.retries: found -1, expected a whole number from 1 to 100
            --set: found "nonsense", expected KEY=VALUE such as fill.connections=4
            --set fill.connections: found "none", expected a whole number from 1 to 256
        "#);
    }

    #[test]
    fn a_file_that_is_no_toml_is_shown() {
        assert_snapshot!(Site::new("[cache]\n\tdir = /var\nmin_free = 1\nmin_free = 2\n").errors(), @r#"
            the settings have 2 errors
            bootdepot.toml:2: this is not TOML: column 8: string values must be quoted, expected literal string
                	dir = /var
                	      ^
            bootdepot.toml:4: this is not TOML: column 1: duplicate key
                min_free = 2
                ^
        "#);
    }

    #[test]
    fn a_broken_line_that_may_hold_a_secret_is_not_shown() {
        let text =
            Site::new("[[origin]]\nmatch = \"s3://\"\ncredentials = { secret_access_key = \"hunter2 }\n").errors();
        assert!(!text.contains("hunter2"), "{text}");
        assert!(text.contains("bootdepot.toml:3: this is not TOML: column "), "{text}");
    }

    #[test]
    fn a_missing_file_says_how_to_name_another() {
        let site =
            Site { flags: Flags { config: Some("/nowhere/b.toml".into()), ..Flags::default() }, ..Site::new("") };
        assert_snapshot!(site.errors(), @r#"
            the settings have an error
            /nowhere/b.toml: this file cannot be read: it does not exist
        "#);
        let site = Site::new("").variable("BOOTDEPOT_CONFIG", "/nowhere/c.toml");
        let site = Site { flags: Flags::default(), ..site };
        assert_snapshot!(site.errors(), @r#"
            the settings have an error
            /nowhere/c.toml: this file cannot be read: it does not exist (BOOTDEPOT_CONFIG names it)
        "#);
    }

    #[test]
    fn an_included_file_must_exist_and_include_no_other() {
        let site =
            Site::new("include = [\"none.toml\", \"more.toml\"]").file("more.toml", "include = []\ninclude2 = 1");
        assert_snapshot!(site.errors(), @r#"
            the settings have 3 errors
            bootdepot.toml:1: include[0] (none.toml): this file cannot be read: it does not exist
            more.toml:1: include: include belongs in bootdepot.toml alone; included files include no others
            more.toml:2: include2: there is no such key; the nearest is include
        "#);
    }

    #[test]
    fn what_two_files_set_names_both() {
        let site = Site::new(&format!(
            "include = [\"m.toml\"]\ncache.dir = \"/a\"\nhttp.listen = [\"[::]:1\"]\n{}",
            asset("a")
        ))
        .file("m.toml", &format!("[cache]\ndir = \"/b\"\n[http]\nlisten = [\"[::]:2\"]\n{}", asset("a")));
        assert_snapshot!(site.errors(), @r#"
            the settings have 3 errors
            m.toml:2: cache.dir: this is set in bootdepot.toml:2 too; keep one of them
            m.toml:4: http.listen: this is set in bootdepot.toml:3 too; keep one of them
            m.toml:6: asset[0].name (a): a is taken by bootdepot.toml:5; names are unique
        "#);
    }

    #[test]
    fn what_does_not_exist_yet_is_unknown() {
        let site = Site::new(
            "catalog_url = \"s3://b/c\"\n[http]\nadvertise = \"http://b\"\n[admin]\noperator_token_file = \"/t\"\n\
             [dhcp]\nmode = \"off\"\n[[collection]]\nprefix = \"isos/\"\n[[release]]\nname = \"r\"\n[[host]]\nname = \"h\"\n",
        );
        assert_snapshot!(site.errors(), @r#"
            the settings have 7 errors
            bootdepot.toml:1: catalog_url: there is no such key; known here: include, cache, http, tftp, admin, fill, origin, asset
            bootdepot.toml:3: http.advertise: there is no such key; known here: listen, idle_timeout, max_connections, tls
            bootdepot.toml:5: admin.operator_token_file: there is no such key; known here: listen
            bootdepot.toml:6: dhcp: there is no such key; known here: include, cache, http, tftp, admin, fill, origin, asset
            bootdepot.toml:8: collection: there is no such key; known here: include, cache, http, tftp, admin, fill, origin, asset
            bootdepot.toml:10: release: there is no such key; known here: include, cache, http, tftp, admin, fill, origin, asset
            bootdepot.toml:12: host: there is no such key; known here: include, cache, http, tftp, admin, fill, origin, asset
        "#);
    }

    #[test]
    fn a_window_is_bounded_in_bytes() {
        assert_snapshot!(Site::new("[tftp]\nmax_blksize = 65464\nmax_windowsize = 65\n").errors(), @r#"
            the settings have an error
            bootdepot.toml:3: tftp.max_windowsize: a window of 65 blocks of 65464 bytes is more than 4 MiB; lower max_windowsize or max_blksize
        "#);
        assert_snapshot!(Site::new("[tftp]\nmax_windowsize = 65535\n").errors(), @r#"
            the settings have an error
            bootdepot.toml:2: tftp.max_windowsize: a window of 65535 blocks of 1468 bytes is more than 4 MiB; lower max_windowsize or max_blksize
        "#);
    }

    #[test]
    fn names_are_unique_and_sizes_agree() {
        let origin = "[[origin]]\nmatch = \"s3://b/\"\n";
        let first = asset("a") + "size = 5\n";
        let site = Site::new(&format!("{origin}{origin}{first}{}size = \"1 KiB\"\n", asset("b")));
        assert_snapshot!(site.errors(), @r#"
            the settings have 2 errors
            bootdepot.toml:4: origin[1].match (s3://b/): s3://b/ is taken by bootdepot.toml:2; names are unique
            bootdepot.toml:14: asset[1].size (b): found 1 KiB, but bootdepot.toml:9 gives 5 bytes to the same sha256
        "#);
    }

    #[test]
    fn secrets_are_never_repeated() {
        let site = Site::new(
            r#"
[[origin]]
match = "https://user:hunter2@h/"
endpoint = "https://user:hunter2@h/"
proxy = "ftp://user:hunter2@h/"
credentials = { from = "static", access_key_id = "id", secret_access_key = 42, session_token = "vault:kv/boot#token" }
headers = { "bad name" = "hunter2", ok = "" }
[[origin]]
match = "s3://b/"
headers = "hunter2"
[[asset]]
name = "a"
sources = ["https://user:hunter2@h:99999/?X-Amz-Signature=hunter2", "s3://b/k?X-Amz-Signature=hunter2"]
sha256 = "0"
"#,
        )
        .variable("BOOTDEPOT_FILL", "{connections = hunter2")
        .variable("BOOTDEPOT_TFTP__FILES", "[{hunter2");
        let text = site.errors();
        assert!(!text.contains("hunter2"), "{text}");
        assert!(!text.contains("42"), "{text}");
        assert_snapshot!(text, @r#"
            the settings have 12 errors
            bootdepot.toml:4: origin[0].endpoint (https://…@h/): found "https://…@h/", expected a URL such as "https://s3.lab:9000" (user and password belong in credentials)
            bootdepot.toml:5: origin[0].proxy (https://…@h/): found "ftp://…@h/", expected a proxy's URL such as "http://127.0.0.1:4001" or "socks5://127.0.0.1:1080" (the scheme is one of http, https, socks4, socks4a, socks5, socks5h)
            bootdepot.toml:6: origin[0].credentials.secret_access_key (https://…@h/): found a number, expected the secret itself, "env:NAME" or "file:/path"
            bootdepot.toml:6: origin[0].credentials.session_token (https://…@h/): found "vault:kv/boot#token", expected the secret itself, "env:NAME" or "file:/path" (vault: is not supported in this version)
            bootdepot.toml:7: origin[0].headers."bad name" (https://…@h/): found "bad name", expected the name of a header field such as "Authorization"
            bootdepot.toml:7: origin[0].headers.ok (https://…@h/): found a text, expected the secret itself, "env:NAME" or "file:/path" (it is empty)
            bootdepot.toml:10: origin[1].headers (s3://b/): found a text, expected a table
            bootdepot.toml:13: asset[0].sources[0] (a): found "https://…@h:99999/?…", expected a source: s3://BUCKET/KEY, https://…, http://… or file:///PATH (this is not a URL: invalid port number)
            bootdepot.toml:13: asset[0].sources[1] (a): found "s3://b/k?…", expected a source: s3://BUCKET/KEY, https://…, http://… or file:///PATH (the only query of an S3 source is ?versionId=…)
            bootdepot.toml:14: asset[0].sha256 (a): found "0", expected 64 hexadecimal digits, as sha256sum prints them (this has 1 character)
            BOOTDEPOT_FILL: fill: found a text, expected a table
            BOOTDEPOT_TFTP__FILES: tftp.files: found a text, expected a table
        "#);
    }

    #[test]
    fn what_an_access_key_id_refers_to_must_be_there() {
        let credentials = "{ from = \"static\", access_key_id = \"file:/nowhere/id\", secret_access_key = \"x\" }";
        let site = Site::new(&format!("[[origin]]\nmatch = \"s3://b/\"\ncredentials = {credentials}\n"));
        assert_snapshot!(site.errors(), @r#"
            the settings have an error
            bootdepot.toml:3: origin[0].credentials.access_key_id (s3://b/): the file /nowhere/id cannot be read: No such file or directory (os error 2)
        "#);
    }

    #[test]
    fn types_that_no_key_takes_are_told() {
        let site = Site::new("cache = 5\nhttp = []\nasset = {}\norigin = [3]\ninclude = [2025-01-01]\n");
        assert_snapshot!(site.errors(), @r#"
            the settings have 5 errors
            bootdepot.toml:1: cache: found 5, expected a table
            bootdepot.toml:2: http: found [], expected a table
            bootdepot.toml:3: asset: found a table, expected a list, each element a table
            bootdepot.toml:4: origin[0]: found 3, expected a table
            bootdepot.toml:5: include[0]: found the date 2025-01-01, expected another type; a text is in quotes
        "#);
        let site = Site::new(
            "cache = 5\nhttp = []\nasset = {}\norigin = [3]\n[tftp]\nretries = 1.5\nmax_blksize = -9223372036854775808\n",
        );
        assert_snapshot!(site.errors(), @r#"
            the settings have 6 errors
            bootdepot.toml:1: cache: found 5, expected a table
            bootdepot.toml:2: http: found [], expected a table
            bootdepot.toml:3: asset: found a table, expected a list, each element a table
            bootdepot.toml:4: origin[0]: found 3, expected a table
            bootdepot.toml:6: tftp.retries: found 1.5, expected a whole number from 1 to 100
            bootdepot.toml:7: tftp.max_blksize: found -9223372036854775808, expected a whole number from 8 to 65464
        "#);
    }
}

mod showing {
    use super::*;

    #[test]
    fn each_value_has_its_origin_and_secrets_are_left_out() {
        let site = Site::new(&format!(
            r#"
include = ["more.toml"]
[cache]
dir = "/c"
[tftp.files]
"snponly.efi" = "a"
[[origin]]
match = "s3://b/"
credentials = {{ from = "static", access_key_id = "id", secret_access_key = "hunter2", session_token = "env:T" }}
headers = {{ Authorization = "hunter2" }}
{}"#,
            asset("a")
        ))
        .file("more.toml", &asset("b").replace("s3://b/b", "https://u:hunter2@h/b?sig=hunter2"))
        .variable("BOOTDEPOT_CACHE__MAX_SIZE", "1 TiB")
        .set("tftp.retries=3");
        let text = site.shown();
        assert!(!text.contains("hunter2"), "{text}");
        assert_snapshot!(text, @r#"
            include = ["more.toml"]  # bootdepot.toml:2

            [cache]
            dir = "/c"             # bootdepot.toml:4
            max_size = "1 TiB"     # BOOTDEPOT_CACHE__MAX_SIZE
            min_free = "5 GiB"     # default
            scrub_interval = "7d"  # default

            [http]
            listen = ["[::]:8080"]   # default
            idle_timeout = "60s"     # default
            max_connections = 20000  # default

            [tftp]
            listen = ["[::]:69"]         # default
            max_blksize = 1468           # default
            max_windowsize = 64          # default
            single_port = false          # default
            max_transfers = 4096         # default
            timeout = "1s"               # default
            retries = 3                  # --set tftp.retries
            first_byte_deadline = "30s"  # default

            [tftp.files]
            "snponly.efi" = "a"  # bootdepot.toml:6

            [admin]
            listen = "127.0.0.1:8081"  # default

            [fill]
            part_size = "8 MiB"    # default
            connections = 8        # default
            max_fills = 8          # default
            retries = 5            # default
            stall_timeout = "10s"  # default
            negative_ttl = "30s"   # default
            release = "hold-tail"  # default

            [[origin]]
            match = "s3://b/"             # bootdepot.toml:8
            region = "us-east-1"          # default
            addressing = "path"           # default
            insecure_skip_verify = false  # default

            [origin.credentials]
            from = "static"                 # bootdepot.toml:9
            access_key_id = "id"            # bootdepot.toml:9
            secret_access_key = "(secret)"  # bootdepot.toml:9
            session_token = "env:T"         # bootdepot.toml:9

            [origin.headers]
            Authorization = "(secret)"  # bootdepot.toml:10

            [[asset]]
            name = "a"              # bootdepot.toml:12
            sources = ["s3://b/a"]  # bootdepot.toml:13
            sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # bootdepot.toml:14
            pin = false             # default

            [[asset]]
            name = "b"                     # more.toml:2
            sources = ["https://…@h/b?…"]  # more.toml:3
            sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # more.toml:4
            pin = false                    # default
        "#);
    }

    #[test]
    fn what_is_shown_is_toml_and_means_the_same() {
        let site = Site::new(&format!(
            "[http.tls]\ncert = \"/c\"\nkey = \"/k\"\n[[origin]]\nmatch = \"s3://b/\"\n{}",
            asset("a")
        ));
        let again = Site::new(&site.shown());
        let values = |site: &Site| -> Vec<_> {
            let sections = site.load().unwrap_or_else(|errors| panic!("{errors}")).show();
            sections.into_iter().flat_map(|section| section.settings).map(|s| (s.path, s.value)).collect()
        };
        assert_eq!(values(&again), values(&site));
    }
}

mod schemas {
    use super::*;

    fn each<'s>(schema: &'s serde_json::Value, visit: &mut impl FnMut(&'s serde_json::Value)) {
        visit(schema);
        match schema {
            serde_json::Value::Object(object) => object.values().for_each(|inner| each(inner, visit)),
            serde_json::Value::Array(items) => items.iter().for_each(|inner| each(inner, visit)),
            _ => {}
        }
    }

    #[test]
    fn the_schema_is_of_the_draft_that_it_claims_and_has_no_null() {
        assert_eq!(schema()["$schema"], "https://json-schema.org/draft/2020-12/schema");
        assert_eq!(schema()["properties"]["cache"]["properties"]["dir"]["default"], "/var/cache/bootdepot");
        assert_eq!(schema()["additionalProperties"], false);
        each(schema(), &mut |schema| assert!(!schema.is_null() && schema != "null", "{schema}"));
    }

    #[test]
    fn every_integer_is_bounded_and_every_format_known() {
        each(schema(), &mut |schema| {
            if schema["type"] == "integer" {
                assert!(schema["minimum"].is_u64() && schema["maximum"].is_u64(), "{schema}");
            }
            if schema["type"] == "string" && schema["format"].is_string() {
                let name = schema["format"].as_str().unwrap();
                assert!(super::super::format::FormatInfo::named(name).is_some(), "{name}");
            }
        });
    }
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
