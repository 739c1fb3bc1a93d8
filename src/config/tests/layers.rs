use super::*;

#[test]
fn flag_overrides_environment_overrides_file() {
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
fn text_values_stay_text() {
    // figment would panic on this one.
    let config = Site::new("").variable("BOOTDEPOT_CACHE__DIR", "\"/ₑ=\\ \"").load().unwrap();
    assert_eq!(config.cache.dir, Path::new("\"/ₑ=\\ \""));
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
        the configuration has an error
        --set tftp.files."a.efi": there is no asset "x"
    "#);
    site.flags.set.remove(0);
    let config = site.load().unwrap();
    assert_eq!(config.cache.dir, Path::new("/flag"));
    assert_eq!((config.http.listen.len(), config.tftp.listen.len(), config.admin), (2, 1, None));
    assert_eq!(config.http.max_connections, 5);
}

#[test]
fn flag_overrides_environment_for_file_path() {
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
fn include_warns_of_missing_directory() {
    let config =
        Site::new("include = [\"none.d/*.toml\", \"empty.d/*.toml\"]").file("empty.d/README", "").load().unwrap();
    let [warning] = config.warnings.as_slice() else { panic!("{:?}", config.warnings) };
    let expected = "bootdepot.toml:1: include: \"none.d/*.toml\" is in a directory that does not exist";
    assert!(warning.ends_with(expected), "{warning}");
}

#[test]
fn admin_section_parses_despite_other_errors() {
    let admin = |site: &Site| {
        let inputs = Inputs::new(&site.flags, site.environment.clone());
        inputs.read().unwrap().admin().map(|admin| admin.map(|admin| admin.listen.port()))
    };
    let listener = "[admin]\nlisten = \"127.0.0.1:1\"\noperator_token_file = \"/t\"\n";
    for (before, after) in [
        ("", "garbage = ["),
        ("[http\n", ""),
        ("x = \"\n", ""),
        ("", "[fill]\nconnections = \"many\"\n"),
        ("", "hosts = 7\nnonsense = 1\n"),
        ("include = [\"absent.toml\"]\n", ""),
    ] {
        let site = Site::new(&format!("{before}{listener}{after}"));
        assert!(site.load().is_err(), "{before}{after}");
        assert_eq!(admin(&site), Ok(Some(1)), "{before}{after}");
        assert_eq!(admin(&site.variable("BOOTDEPOT_ADMIN__LISTEN", "off")), Ok(None));
    }
    // Also where another file than the first has it, and that one is invalid_syntax, or the first is.
    let main = "include = [\"*.d/a.toml\", \"a.toml\"]\n";
    assert_eq!(admin(&Site::new(main).file("a.toml", &format!("{listener}garbage = ["))), Ok(Some(1)));
    assert_eq!(admin(&Site::new(&format!("{main}garbage = [")).file("a.toml", listener)), Ok(Some(1)));
    assert_eq!(admin(&Site::new("garbage = [")), Ok(Some(8081)), "the default");
    // The place is unknown.
    let wrong = Site::new("[admin]\nlisten = \"here\"\n");
    assert!(admin(&wrong).unwrap_err().to_string().contains("admin.listen"));
    assert_eq!(admin(&wrong.set("admin.listen=127.0.0.1:2")), Ok(Some(2)));
    let mut absent = Site::new("");
    absent.flags.config = Some("/nowhere/b.toml".into());
    assert!(admin(&absent).unwrap_err().to_string().contains("it does not exist"));
    assert_eq!(admin(&absent.set("admin.listen=127.0.0.1:2")), Ok(Some(2)));
}
