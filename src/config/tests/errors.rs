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
credentials = {{ from = "valut", path = "x" }}
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
        the configuration has 23 errors
        bootdepot.toml:3: catalogue: there is no such key; the nearest is catalog_url
        bootdepot.toml:5: cache.max_sise: there is no such key; the nearest is max_size
        bootdepot.toml:6: cache.min_free: found "5 gigs", expected a size such as "8 MiB", or a number of bytes ("gigs" is not a unit; the units are B, KiB, MiB, GiB, TiB and KB, MB, GB, TB)
        bootdepot.toml:8: http.listen[0]: found "8080", expected an IP address and a port, such as "0.0.0.0:8080" or "[::]:8080"
        bootdepot.toml:9: http.max_connections: found "many", expected a whole number from 1 to 1000000
        bootdepot.toml:10: http.tls.key: this is missing; expected a path on this machine
        bootdepot.toml:13: tftp.max_blksize: found 4, expected a whole number from 8 to 65464
        bootdepot.toml:14: tftp.timeout: found "0s", expected a duration above zero, such as "500ms", "30s" or "5m" (it is zero)
        bootdepot.toml:16: tftp.files."snponly.efi": there is no asset "boot/snp.efi"; the nearest is "boot/snponly.efi"
        bootdepot.toml:18: fill.release: found "tail", expected "hold-tail" or "whole"
        bootdepot.toml:19: fill.part_size: found 17, expected a size such as "8 MiB", or a number of bytes, from 4 KiB to 1 GiB
        bootdepot.toml:21: origin[0].match (harmony-assets): found "harmony-assets", expected a prefix of source URLs: s3://…, https://… or http://…
        bootdepot.toml:22: origin[0].credentials.from (harmony-assets): found "valut", expected "default", "env", "static", "profile", "web-identity", "instance", "container", "vault" or "anonymous"
        catalog.d/okd.toml:6: asset[1].name (boot/snponly.efi): boot/snponly.efi is already used in bootdepot.toml:24; names must be unique
        catalog.d/okd.toml:11: asset[2].name (/x): found "/x", expected an asset's name such as "okd/4.19/rootfs.img" (an asset name must not begin or end with '/', nor contain '//')
        catalog.d/okd.toml:12: asset[2].sources (/x): found [], expected a list, each element a source: s3://BUCKET/KEY, https://…, http://… or file:///PATH (it is empty)
        catalog.d/okd.toml:13: asset[2].sha256 (/x): found "abc", expected 64 hexadecimal digits, as sha256sum prints them (this has 3 characters)
        catalog.d/okd.toml:14: asset[2].pin (/x): found "yes", expected true or false
        catalog.d/okd.toml:15: asset[2].blocks (/x): this requires blocks_sha256
        BOOTDEPOT_CACHE__DIRR: there is no such variable; the nearest is BOOTDEPOT_CACHE__DIR
        BOOTDEPOT_TFTP__RETRIES: tftp.retries: found -1, expected a whole number from 1 to 100
        --set: found "nonsense", expected KEY=VALUE such as fill.connections=4
        --set fill.connections: found "none", expected a whole number from 1 to 256
    "#);
}

#[test]
fn a_file_that_is_no_toml_is_shown() {
    assert_snapshot!(Site::new("[cache]\n\tdir = /var\nmin_free = 1\nmin_free = 2\n").errors(), @r#"
        the configuration has 2 errors
        bootdepot.toml:2: invalid TOML: column 8: string values must be quoted, expected literal string
            	dir = /var
            	      ^
        bootdepot.toml:4: invalid TOML: column 1: duplicate key
            min_free = 2
            ^
    "#);
}

#[test]
fn syntax_error_hides_possible_secret() {
    let text = Site::new("[[origin]]\nmatch = \"s3://\"\ncredentials = { secret_access_key = \"hunter2 }\n").errors();
    assert!(!text.contains("hunter2"), "{text}");
    assert!(text.contains("bootdepot.toml:3: invalid TOML: column "), "{text}");
}

#[test]
fn a_missing_file_says_how_to_name_another() {
    let site = Site { flags: Flags { config: Some("/nowhere/b.toml".into()), ..Flags::default() }, ..Site::new("") };
    assert_snapshot!(site.errors(), @r#"
        the configuration has an error
        /nowhere/b.toml: this file cannot be read: it does not exist
    "#);
    let site = Site::new("").variable("BOOTDEPOT_CONFIG", "/nowhere/c.toml");
    let site = Site { flags: Flags::default(), ..site };
    assert_snapshot!(site.errors(), @r#"
        the configuration has an error
        /nowhere/c.toml: this file cannot be read: it does not exist (BOOTDEPOT_CONFIG names it)
    "#);
}

#[test]
fn included_file_exists_without_includes() {
    let site = Site::new("include = [\"none.toml\", \"more.toml\"]").file("more.toml", "include = []\ninclude2 = 1");
    assert_snapshot!(site.errors(), @r#"
        the configuration has 3 errors
        bootdepot.toml:1: include[0] (none.toml): this file cannot be read: it does not exist
        more.toml:1: include: include is allowed in bootdepot.toml only; included files cannot include others
        more.toml:2: include2: there is no such key; the nearest is include
    "#);
}

#[test]
fn what_two_files_set_names_both() {
    let site =
        Site::new(&format!("include = [\"m.toml\"]\ncache.dir = \"/a\"\nhttp.listen = [\"[::]:1\"]\n{}", asset("a")))
            .file("m.toml", &format!("[cache]\ndir = \"/b\"\n[http]\nlisten = [\"[::]:2\"]\n{}", asset("a")));
    assert_snapshot!(site.errors(), @r#"
        the configuration has 3 errors
        m.toml:2: cache.dir: this is set in bootdepot.toml:2 too; keep one of them
        m.toml:4: http.listen: this is set in bootdepot.toml:3 too; keep one of them
        m.toml:6: asset[0].name (a): a is already used in bootdepot.toml:5; names must be unique
    "#);
}

#[test]
fn what_does_not_exist_yet_is_unknown() {
    let site = Site::new("[[webhook]]\nurl = \"https://h/\"\n");
    let errors = site.errors();
    assert!(errors.contains("webhook: there is no such key; known here: "), "{errors}");
    assert_eq!(errors.lines().count(), 2, "{errors}");
}

#[test]
fn proxy_dhcp_requires_interface_and_files() {
    let site = Site::new(&format!(
        "[dhcp]\nmode = \"proxy\"\n[dhcp.nbp]\nbios = \"undionly.kpx\"\nefi-x64 = \"a\"\nefi-ia32 = \"nothing\"\nefi_arm64 = \"a\"\n22 = \"none\"\n65536 = \"a\"\n23 = 1\n\
         [tftp.files]\n\"undionly.kpxe\" = \"a\"\n{}",
        asset("a")
    ));
    assert_snapshot!(site.errors(), @r#"
        the configuration has 7 errors
        bootdepot.toml:2: dhcp.mode: this requires interface
        bootdepot.toml:4: dhcp.nbp.bios: TFTP serves no file "undionly.kpx" (the nearest is "undionly.kpxe"); name a key of [tftp.files] or an asset
        bootdepot.toml:6: dhcp.nbp.efi-ia32: TFTP serves no file "nothing"; name a key of [tftp.files] or an asset
        bootdepot.toml:7: dhcp.nbp.efi_arm64: there is no such key; the nearest is efi-arm64
        bootdepot.toml:8: dhcp.nbp.22: TFTP serves no file "none"; name a key of [tftp.files] or an asset
        bootdepot.toml:9: dhcp.nbp.65536: there is no such key; known here: bios, efi-ia32, efi-x64, efi-arm32, efi-arm64, http-ia32, http-x64, http-arm32, http-arm64
        bootdepot.toml:10: dhcp.nbp.23: found 1, expected a text
    "#);
    // Whatever else is said of a host.
    let host = Site::new(&format!(
        "[[host]]\nname = \"h\"\nnbp = \"ipxe.efi\"\n[[host]]\nname = \"i\"\nnbp = \"a\"\n{}",
        asset("a")
    ));
    let told = r#"bootdepot.toml:3: host[0].nbp (h): TFTP serves no file "ipxe.efi"; name a key"#;
    assert_eq!(host.errors().matches("TFTP serves no file").count(), 1);
    assert!(host.errors().contains(told), "{}", host.errors());
    let wrong = Site::new("[dhcp]\nmode = \"on\"\ninterface = \"\"\n");
    assert_snapshot!(wrong.errors(), @r#"
        the configuration has 2 errors
        bootdepot.toml:2: dhcp.mode: found "on", expected "off" or "proxy"
        bootdepot.toml:3: dhcp.interface: found "", expected a text (it is empty)
    "#);
}

#[test]
fn hosts_are_checked_beside_what_else_is_wrong() {
    let errors = Site::new(
        "[[profile]]\nname = \"p\"\nlocal = true\n[[host]]\nname = \"h\"\nmatch.serial = \"S\"\nprofile = \"q\"\n\
         [[release]]\nname = \"r\"\nassets = [\"none\"]\n",
    )
    .errors();
    assert_snapshot!(errors, @r#"
    the configuration has 2 errors
    bootdepot.toml:7: host[0].profile (h): there is no profile "q"
    bootdepot.toml:10: release[0].assets[0] (r): there is no asset "none"
    "#);
}

#[test]
fn a_window_is_bounded_in_bytes() {
    assert_snapshot!(Site::new("[tftp]\nmax_blksize = 65464\nmax_windowsize = 65\n").errors(), @r#"
        the configuration has an error
        bootdepot.toml:3: tftp.max_windowsize: a window of 65 blocks of 65464 bytes is more than 4 MiB; lower max_windowsize or max_blksize
    "#);
    assert_snapshot!(Site::new("[tftp]\nmax_windowsize = 65535\n").errors(), @r#"
        the configuration has an error
        bootdepot.toml:2: tftp.max_windowsize: a window of 65535 blocks of 1468 bytes is more than 4 MiB; lower max_windowsize or max_blksize
    "#);
}

#[test]
fn names_are_unique_and_sizes_agree() {
    let origin = "[[origin]]\nmatch = \"s3://b/\"\n";
    let first = asset("a") + "size = 5\n";
    let site = Site::new(&format!("{origin}{origin}{first}{}size = \"1 KiB\"\n", asset("b")));
    assert_snapshot!(site.errors(), @r#"
        the configuration has 2 errors
        bootdepot.toml:4: origin[1].match (s3://b/): s3://b/ is already used in bootdepot.toml:2; names must be unique
        bootdepot.toml:14: asset[1].size (b): found 1 KiB, but bootdepot.toml:9 gives 5 bytes to the same sha256
    "#);
}

#[test]
fn secrets_are_never_repeated() {
    let site = Site::new(
        r#"
catalog_url = "https://user:hunter2@h/c.toml?sig=hunter2"
[[origin]]
match = "https://user:hunter2@h/"
endpoint = "https://user:hunter2@h/"
proxy = "ftp://user:hunter2@h/"
credentials = { from = "static", access_key_id = "id", secret_access_key = 42, session_token = "vault:kv/boot" }
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
        the configuration has 14 errors
        bootdepot.toml:2: catalog_url: found "https://…@h/c.toml?…", expected the URL of the shared catalog: s3://BUCKET/KEY, https://… or file:///PATH (a source has no user name and no password; send them with `headers` (Authorization) of the [[origin]] that matches it)
        bootdepot.toml:4: origin[0].match (https://…@h/): found "https://…@h/", expected a prefix of source URLs: s3://…, https://… or http://… (it has a user name or a password; send them with `headers`, such as Authorization)
        bootdepot.toml:5: origin[0].endpoint (https://…@h/): found "https://…@h/", expected a URL such as "https://s3.lab:9000" (user and password belong in credentials)
        bootdepot.toml:6: origin[0].proxy (https://…@h/): found "ftp://…@h/", expected a proxy's URL such as "http://127.0.0.1:4001" or "socks5://127.0.0.1:1080" (the scheme is one of http, https, socks4, socks4a, socks5, socks5h)
        bootdepot.toml:7: origin[0].credentials.secret_access_key (https://…@h/): found a number, expected the secret itself, "env:NAME", "file:/path" or "vault:MOUNT/PATH#FIELD"
        bootdepot.toml:7: origin[0].credentials.session_token (https://…@h/): found "vault:kv/boot", expected the secret itself, "env:NAME", "file:/path" or "vault:MOUNT/PATH#FIELD" (#FIELD is missing)
        bootdepot.toml:8: origin[0].headers."bad name" (https://…@h/): found "bad name", expected the name of a header field such as "Authorization"
        bootdepot.toml:8: origin[0].headers.ok (https://…@h/): found a text, expected the secret itself, "env:NAME", "file:/path" or "vault:MOUNT/PATH#FIELD" (it is empty)
        bootdepot.toml:11: origin[1].headers (s3://b/): found a text, expected a table
        bootdepot.toml:14: asset[0].sources[0] (a): found "https://…@h:99999/?…", expected a source: s3://BUCKET/KEY, https://…, http://… or file:///PATH (this is not a URL: invalid port number)
        bootdepot.toml:14: asset[0].sources[1] (a): found "s3://b/k?…", expected a source: s3://BUCKET/KEY, https://…, http://… or file:///PATH (the only query of an S3 source is ?versionId=…; a question mark in a key is written %3F)
        bootdepot.toml:15: asset[0].sha256 (a): found "0", expected 64 hexadecimal digits, as sha256sum prints them (this has 1 character)
        BOOTDEPOT_FILL: fill: found a text, expected a table
        BOOTDEPOT_TFTP__FILES: tftp.files: found a text, expected a table
    "#);
}

#[test]
fn unusable_match_names_next_step() {
    let site = Site::new(
        r#"
[[origin]]
match = "https://h/a?sig=1"
[[origin]]
match = "https://"
headers = { X-Token = "env:TOKEN" }
[[origin]]
match = "https://h"
[[origin]]
match = "HTTPS://H:443/"
[[origin]]
match = "https://"
[[asset]]
name = "a"
sources = ["https://u:hunter2@h/x", "https://[fe80::1%25eth0]/x"]
sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
"#,
    );
    assert_snapshot!(site.errors(), @r#"
        the configuration has 6 errors
        bootdepot.toml:3: origin[0].match (https://h/a?…): found "https://h/a?…", expected a prefix of source URLs: s3://…, https://… or http://… (it has a query or a fragment, which is not compared; leave out everything from '?' on)
        bootdepot.toml:5: origin[1].match (https://): found "https://", expected the host that its header fields are for, such as "https://mirror.lab/" (the header fields may be secret)
        bootdepot.toml:10: origin[3].match (HTTPS://H:443/): HTTPS://H:443/ is already used in bootdepot.toml:8; names must be unique
        bootdepot.toml:12: origin[4].match (https://): https:// is already used in bootdepot.toml:5; names must be unique
        bootdepot.toml:15: asset[0].sources[0] (a): found "https://…@h/x", expected a source: s3://BUCKET/KEY, https://…, http://… or file:///PATH (a source has no user name and no password; send them with `headers` (Authorization) of the [[origin]] that matches it)
        bootdepot.toml:15: asset[0].sources[1] (a): found "https://[fe80::1%25eth0]/x", expected a source: s3://BUCKET/KEY, https://…, http://… or file:///PATH (a URL cannot have an IPv6 zone (%eth0); use a host name, or an address that is not link-local)
    "#);
}

#[test]
fn access_key_id_reference_must_exist() {
    let credentials = "{ from = \"static\", access_key_id = \"file:/nowhere/id\", secret_access_key = \"x\" }";
    let site = Site::new(&format!("[[origin]]\nmatch = \"s3://b/\"\ncredentials = {credentials}\n"));
    assert_snapshot!(site.errors(), @r#"
        the configuration has an error
        bootdepot.toml:3: origin[0].credentials.access_key_id (s3://b/): the file /nowhere/id cannot be read: No such file or directory (os error 2)
    "#);
}

#[test]
fn types_that_no_key_takes_are_told() {
    let site = Site::new("cache = 5\nhttp = []\nasset = {}\norigin = [3]\ninclude = [2025-01-01]\n");
    assert_snapshot!(site.errors(), @r#"
        the configuration has 5 errors
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
        the configuration has 6 errors
        bootdepot.toml:1: cache: found 5, expected a table
        bootdepot.toml:2: http: found [], expected a table
        bootdepot.toml:3: asset: found a table, expected a list, each element a table
        bootdepot.toml:4: origin[0]: found 3, expected a table
        bootdepot.toml:6: tftp.retries: found 1.5, expected a whole number from 1 to 100
        bootdepot.toml:7: tftp.max_blksize: found -9223372036854775808, expected a whole number from 8 to 65464
    "#);
}

#[test]
fn hosts_and_profiles_are_told_with_their_places() {
    let site = Site::new(&format!(
        r#"include = ["hosts.d/*.toml"]
{}
[[profile]]
name = "okd"
kernel = "kernal"
files = {{ "config.ign" = "worker.ign.j2", "user-data" = {{ template = "none.j2", only_from = "host" }} }}
vars = {{ n = 1, list = [1, {{ a = true }}] }}
[defaults]
profile = "menu"
"#,
        asset("kernel")
    ))
    .file("worker.ign.j2", "{{ host.nope }}")
    .file(
        "hosts.d/1.toml",
        "[[host]]\nname = \"a\"\nmatch = { mac = \"24-6e-96-00-00-01\" }\nprofile = \"okd\"\n\
         [[host]]\nname = \"b\"\nmatch = { mac = [\"246e.9600.0001\"] }\nprofile = \"okd\"\n",
    );
    assert_snapshot!(site.errors(), @r#"
        the configuration has 4 errors
        bootdepot.toml:9: profile[0].kernel (okd): there is no asset "kernal"; the nearest is "kernel"
        bootdepot.toml:10: profile[0].files.user-data.template (none.j2): this file cannot be read: it does not exist
        bootdepot.toml:13: defaults.profile: there is no profile "menu"
        hosts.d/1.toml:7: host[1].match.mac (b): the host a has the MAC address 24:6e:96:00:00:01 too; a machine can match only one host
    "#);
}

#[test]
fn template_error_names_its_place() {
    let profile = "[[profile]]\nname = \"p\"\ntemplate = \"t/a.ipxe.j2\"\n";
    let host = "[[host]]\nname = \"a\"\nmatch = { serial = \"S\" }\nprofile = \"p\"\n";
    let site = Site::new(&format!("{profile}{host}")).file("t/a.ipxe.j2", "#!ipxe\necho {{ host.mac }}\n");
    assert_snapshot!(site.errors(), @r#"
        the configuration has an error
        bootdepot.toml:3: profile[0].template (p): the script for a fails: line 2: undefined value: `host.mac` is undefined; the nearest is "macs"; host has macs, name, serial and vars
    "#);
}

#[test]
fn a_value_of_two_possible_types_says_both() {
    let site = Site::new(
        "[[host]]\nname = \"a\"\nmatch = { mac = 5, uuid = \"x\", seriel = \"s\" }\nprofile = \"p\"\n\
         files = { a = 1, b = { tempalte = \"x\", only_from = \"all\" } }\n[[host]]\nname = \"b\"\nmatch.mac = [\"zz\"]\nprofile = \"p\"\n",
    );
    assert_snapshot!(site.errors(), @r#"
        the configuration has 8 errors
        bootdepot.toml:3: host[0].match.mac (a): found 5, expected a MAC address such as "24:6e:96:00:00:01", in any spelling, or a list of such
        bootdepot.toml:3: host[0].match.seriel (a): there is no such key; the nearest is serial
        bootdepot.toml:3: host[0].match.uuid (a): found "x", expected a UUID such as "4c4c4544-0042-3110-8043-b2c04f564232"
        bootdepot.toml:5: host[0].files.a (a): found 1, expected a path on this machine, or a table
        bootdepot.toml:5: host[0].files.b.only_from (a): found "all", expected "host"
        bootdepot.toml:5: host[0].files.b.tempalte (a): there is no such key; the nearest is template
        bootdepot.toml:5: host[0].files.b.template (a): this is missing; expected a path on this machine
        bootdepot.toml:8: host[1].match.mac[0] (b): found "zz", expected a MAC address such as "24:6e:96:00:00:01", in any spelling
    "#);
}
