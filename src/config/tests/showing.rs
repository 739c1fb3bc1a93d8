use super::*;

#[test]
fn values_show_place_and_redact_secrets() {
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
    .file("more.toml", &asset("b").replace("s3://b/b", "https://h/b?sig=hunter2"))
    .variable("BOOTDEPOT_CACHE__MAX_SIZE", "1 TiB")
    .set("tftp.retries=3");
    let text = site.shown();
    assert!(!text.contains("hunter2"), "{text}");
    assert_snapshot!(text, @r#"
        include = ["more.toml"]  # bootdepot.toml:2
        catalog_poll = "60s"     # default
        catalog_secrets = []     # default
        catalog_files = []       # default

        [cache]
        dir = "/c"             # bootdepot.toml:4
        max_size = "1 TiB"     # BOOTDEPOT_CACHE__MAX_SIZE
        min_free = "5 GiB"     # default
        scrub_interval = "7d"  # default
        seal = "auto"          # default

        [http]
        listen = ["[::]:8080"]   # default
        idle_timeout = "60s"     # default
        min_rate = 512           # default
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
        hosts = []                 # default

        [limits]
        per_address = 25  # default
        per_prefix = 75   # default
        trusted = []      # default

        [fill]
        part_size = "8 MiB"    # default
        connections = 8        # default
        max_fills = 8          # default
        retries = 5            # default
        stall_timeout = "10s"  # default
        negative_ttl = "30s"   # default
        release = "hold-tail"  # default

        [dhcp]
        mode = "off"    # default
        relays = false  # default

        [dhcp.nbp]
        bios = "undionly.kpxe"            # default
        efi-ia32 = "snponly-ia32.efi"     # default
        efi-x64 = "snponly.efi"           # default
        efi-arm32 = "snponly-arm32.efi"   # default
        efi-arm64 = "snponly-arm64.efi"   # default
        http-ia32 = "snponly-ia32.efi"    # default
        http-x64 = "snponly.efi"          # default
        http-arm32 = "snponly-arm32.efi"  # default
        http-arm64 = "snponly-arm64.efi"  # default

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
        name = "b"                   # more.toml:2
        sources = ["https://h/b?…"]  # more.toml:3
        sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # more.toml:4
        pin = false                  # default
    "#);
}

#[test]
fn shown_settings_parse_to_same_values() {
    let site =
        Site::new(&format!("[http.tls]\ncert = \"/c\"\nkey = \"/k\"\n[[origin]]\nmatch = \"s3://b/\"\n{}", asset("a")));
    let again = Site::new(&site.shown());
    let values = |site: &Site| -> Vec<_> {
        let sections = site.load().unwrap_or_else(|errors| panic!("{errors}")).show();
        sections.into_iter().flat_map(|section| section.settings).map(|s| (s.path, s.value)).collect()
    };
    assert_eq!(values(&again), values(&site));
}
