//! A catalog that many nodes share: one more file, with its URL as its place, and with less to say.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use super::*;

const URL: &str = "s3://b/catalog.toml";

impl Site {
    /// A site whose settings say where a shared catalog is.
    fn sharing(settings: &str) -> Self {
        Self::new(&format!("catalog_url = \"{URL}\"\n{settings}"))
    }

    fn load_with(&self, text: Option<&str>) -> Result<Config, ConfigErrors> {
        let draft = Inputs::new(&self.flags, self.environment.clone()).read()?;
        draft.complete(text.map(shared).as_ref())
    }

    fn errors_with(&self, text: &str) -> String {
        let directory = format!("{}/", self.dir.path().display());
        self.load_with(Some(text)).expect_err("these are wrong").to_string().replace(&directory, "")
    }
}

fn shared(text: &str) -> Arc<CatalogText> {
    Arc::new(CatalogText::new(&URL.parse().unwrap(), UNIX_EPOCH + Duration::from_secs(7), None, text.to_owned()))
}

const HOST: &str = "[[host]]\nname = \"r1\"\nmatch = { mac = \"24:6e:96:00:00:01\" }\nprofile = \"linux\"\n";

#[test]
fn is_one_more_file_with_its_own_place() {
    let site = Site::sharing(&asset("a")).file("t.j2", "");
    let config = site
        .load_with(Some(&format!(
            "{}[defaults]\nprofile = \"p\"\n[[profile]]\nname = \"p\"\nkernel = \"a\"\n",
            asset("b")
        )))
        .unwrap();
    assert_eq!(config.catalog.len(), 2);
    assert_eq!(config.catalog.by_name("b").unwrap().last_modified, UNIX_EPOCH + Duration::from_secs(7));
    assert!(!config.partial && config.roster.default_profile().is_some());
    let shown: Vec<_> = config.show().iter().map(ToString::to_string).collect();
    assert!(shown.concat().contains("# s3://b/catalog.toml line 2\n"), "{shown:?}");
    assert_eq!(config.shared.unwrap().poll, Duration::from_mins(1));
}

#[test]
fn catalog_errors_have_url_and_line() {
    let site = Site::sharing(&asset("a"));
    assert_snapshot!(site.errors_with(&format!("{}[defaults]\nprofil = \"x\"\n", asset("a"))), @r#"
        the configuration has 2 errors
        s3://b/catalog.toml line 2: asset[0].name (a): a is already used in bootdepot.toml:3; names must be unique
        s3://b/catalog.toml line 6: defaults.profil: there is no such key; the nearest is profile
    "#);
    assert_snapshot!(site.errors_with("[[asset]]\nname = 7\n[release\n"), @r#"
        the configuration has an error
        s3://b/catalog.toml line 3: invalid TOML: column 9: unclosed table, expected `]`
            [release
                    ^
    "#);
    assert_snapshot!(site.errors_with(HOST), @r#"
        the configuration has an error
        s3://b/catalog.toml line 4: host[0].profile (r1): there is no profile "linux"
    "#);
}

#[test]
fn what_is_each_nodes_own_is_not_shared() {
    let text = "include = [\"/etc/*\"]\ncatalog_poll = \"1s\"\n[cache]\ndir = \"/\"\n[[origin]]\nmatch = \"s3://b/\"\nendpoint = \"https://evil\"\n[admin]\nlisten = \"[::]:1\"\n[assets]\nx = 1\n";
    assert_snapshot!(Site::sharing("").errors_with(text), @r#"
        the configuration has 6 errors
        s3://b/catalog.toml line 1: include: not allowed in a shared catalog: only a node itself says where its settings are; set it in the configuration of each node
        s3://b/catalog.toml line 2: catalog_poll: not allowed in a shared catalog: only a node itself says where its settings are; set it in the configuration of each node
        s3://b/catalog.toml line 3: cache: not allowed in a shared catalog: each node has its own; set it in the configuration of each node
        s3://b/catalog.toml line 5: origin: not allowed in a shared catalog: an origin says which secrets are sent where; set it in the configuration of each node
        s3://b/catalog.toml line 8: admin: not allowed in a shared catalog: each node has its own; set it in the configuration of each node
        s3://b/catalog.toml line 10: assets: there is no such key; the nearest is asset
    "#);
}

#[test]
fn catalog_cannot_use_node_files_or_secrets() {
    let text = format!(
        "{}[[profile]]\nname = \"linux\"\nkernel = \"a\"\nfiles = {{ \"x\" = \"/etc/shadow\", y = {{ template = \"t.j2\" }} }}\n\
         secrets = {{ a = \"env:HOME\", b = \"file:/etc/shadow\", c = \"vault:kv/x#y\", d = \"plain\" }}\n{HOST}secrets = {{ e = \"env:BOOT_1\" }}\n",
        asset("a").replace("s3://b/a", "file:///etc/shadow")
    );
    let site = Site::sharing("catalog_secrets = [\"env:BOOT_*\"]\n").file("t.j2", "the node's");
    assert_snapshot!(site.errors_with(&text), @r#"
        the configuration has 6 errors
        s3://b/catalog.toml line 3: asset[0].sources[0] (a): a shared catalog may not read this file of the node; to allow it, add "/etc" to catalog_files
        s3://b/catalog.toml line 8: profile[0].files.x (linux): a shared catalog cannot name files of the node, and there is no [[template]] of the name "/etc/shadow"; add one with its text
        s3://b/catalog.toml line 8: profile[0].files.y.template (linux): a shared catalog cannot name files of the node, and there is no [[template]] of the name "t.j2"; add one with its text
        s3://b/catalog.toml line 9: profile[0].secrets.a (linux): a shared catalog may not use this secret of the node; to allow it, add "env:HOME" to catalog_secrets
        s3://b/catalog.toml line 9: profile[0].secrets.b (linux): a shared catalog may not use this secret of the node; to allow it, add "file:/etc/shadow" to catalog_secrets
        s3://b/catalog.toml line 9: profile[0].secrets.c (linux): a shared catalog may not use this secret of the node; to allow it, add "vault:kv/x#y" to catalog_secrets
    "#);
}

#[test]
fn catalog_may_use_allowed_secrets() {
    let text = format!(
        "[[profile]]\nname = \"linux\"\nlocal = true\nsecrets = {{ a = \"env:BOOT_1\", b = \"vault:kv/x#y\" }}\n{HOST}"
    );
    let site = Site::sharing("catalog_secrets = [\"env:BOOT_*\", \"vault:kv/x#y\"]\n");
    assert_eq!(site.load_with(Some(&text)).unwrap().roster.hosts().len(), 1);
}

#[test]
fn its_templates_stand_in_it() {
    let text = format!(
        "[[template]]\nname = \"ks.j2\"\ntext = '''\nurl={{{{ base }}}}\n'''\n\
         [[profile]]\nname = \"linux\"\nlocal = true\nfiles = {{ \"ks.cfg\" = \"ks.j2\" }}\n{HOST}"
    );
    let site = Site::sharing("").file("ks.j2", "the node's");
    let config = site.load_with(Some(&text)).unwrap();
    let visit = crate::boot::RequestContext {
        peer: [127, 0, 0, 1].into(),
        base: "http://boot.lab".to_owned(),
        is_probe: false,
    };
    let host = &config.roster.hosts()[0];
    assert_eq!(config.roster.preview_file(host, "ks.cfg", &visit).unwrap(), "url=http://boot.lab\n");
    let broken = text.replace("{{ base }}", "{{ bas }}");
    assert_snapshot!(site.errors_with(&broken), @r#"
        the configuration has an error
        s3://b/catalog.toml line 9: profile[0].files."ks.cfg" (linux): the file ks.cfg for r1 fails: line 1: undefined value: `bas` is undefined; the nearest is "base"; there are asset_path, asset_url, base, file_url, files_url, host, profile and secrets
    "#);
}

#[test]
fn catalog_reads_listed_directories_only() {
    let sources = |paths: &[&str]| {
        let asset = asset("a") + &format!("blocks = \"FILE:///etc/shadow\"\nblocks_sha256 = \"{DIGEST}\"\n");
        let list: Vec<_> = paths.iter().map(|path| format!("\"{path}\"")).collect();
        asset.replace("\"s3://b/a\"", &list.join(", "))
    };
    // The place of the catalog makes no difference.
    for url in ["s3://b/catalog.toml", "file:///mnt/catalog.toml"] {
        let load = |catalog: &str| {
            let site =
                Site::new(&format!("catalog_url = \"{url}\"\ncatalog_files = [\"/srv/assets/\", \"/srv/assets/x\"]\n"));
            let draft = Inputs::new(&site.flags, []).read().unwrap();
            let text = CatalogText::new(&url.parse().unwrap(), UNIX_EPOCH, None, catalog.to_owned());
            draft.complete(Some(&Arc::new(text)))
        };
        let paths = [
            "file:///srv/assets/x/a",
            "file:///srv/assets-else/a",
            "FILE:///srv/assets/../secret",
            "file:////mnt/a",
            "s3://b/a",
        ];
        let errors = load(&sources(&paths)).unwrap_err().to_string().replace(url, "CATALOG");
        insta::allow_duplicates! { assert_snapshot!(errors, @r#"
            the configuration has 4 errors
            CATALOG line 3: asset[0].sources[1] (a): a shared catalog may not read this file of the node; to allow it, add "/srv/assets-else" to catalog_files
            CATALOG line 3: asset[0].sources[2] (a): a shared catalog may not name a file by a path with '..'; write the plain path
            CATALOG line 3: asset[0].sources[3] (a): a shared catalog may not read this file of the node; to allow it, add "/mnt" to catalog_files
            CATALOG line 5: asset[0].blocks (a): a shared catalog may not read this file of the node; to allow it, add "/etc" to catalog_files
        "#) };
        let good = load(&asset("a").replace("s3://b/a", "file:///srv/assets/x/a")).unwrap();
        let source = &good.catalog.by_name("a").unwrap().sources[0];
        assert_eq!(source.directory(), Some(std::path::Path::new("/srv/assets")), "the outermost directory");
    }
    let local = Site::new(&asset("a").replace("s3://b/a", "file:///etc/a")).load().unwrap();
    assert_eq!(local.catalog.by_name("a").unwrap().sources[0].directory(), None);
}

#[test]
fn secret_wildcard_does_not_climb() {
    let text = format!(
        "[[profile]]\nname = \"linux\"\nlocal = true\nsecrets = {{ a = \"file:/run/boot/../../etc/shadow\", b = \"file:/run/boot/x\" }}\n{HOST}"
    );
    assert_snapshot!(Site::sharing("catalog_secrets = [\"file:/run/boot/*\"]\n").errors_with(&text), @r#"
        the configuration has an error
        s3://b/catalog.toml line 4: profile[0].secrets.a (linux): a shared catalog may not use this secret of the node; to allow it, add "file:/run/boot/../../etc/shadow" to catalog_secrets
    "#);
}

#[test]
fn without_it_what_stands_by_itself_is_known() {
    let releases = "[[release]]\nname = \"here\"\nassets = [\"a\"]\nactive = true\n[[release]]\nname = \"there\"\nassets = [\"a\", \"b\"]\n";
    let site = Site::sharing(&format!("{}{releases}{HOST}[tftp.files]\n\"x.efi\" = \"b\"\n", asset("a")));
    let config = site.load_with(None).unwrap();
    assert!(config.partial && config.roster.hosts().is_empty());
    assert_eq!(config.releases.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["here"]);
    let wrong = Site::sharing(&format!("{}sice = 7\n{HOST}", asset("a")));
    assert!(wrong.load_with(None).is_err(), "what is wrong whatever it says is told");
    let found =
        site.load_with(Some(&format!("{}[[profile]]\nname = \"linux\"\nkernel = \"b\"\n", asset("b")))).unwrap();
    assert_eq!((found.releases.len(), found.roster.hosts().len(), found.partial), (2, 1, false));
}

#[test]
fn its_copy_is_what_commands_know() {
    let cache = tempfile::tempdir().unwrap();
    let site = Site::sharing(&format!("[cache]\ndir = \"{}\"\n", cache.path().display()));
    assert!(site.load().unwrap().partial);
    shared(&asset("b")).write(cache.path()).unwrap();
    let config = site.load().unwrap();
    assert!(!config.partial && config.catalog.by_name("b").is_some());
    let names: Vec<_> = fs::read_dir(cache.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["catalog.json"], "nothing is left beside it");
    fs::write(copy_path(cache.path()), "{").unwrap();
    assert!(site.load().unwrap().partial, "what cannot be read is no copy");
    let other =
        Site::new(&format!("catalog_url = \"s3://b/other.toml\"\n[cache]\ndir = \"{}\"\n", cache.path().display()));
    shared(&asset("b")).write(cache.path()).unwrap();
    assert!(other.load().unwrap().partial, "it is of another URL");
}

#[test]
fn plain_http_is_no_way_for_it() {
    assert_snapshot!(Site::new("catalog_url = \"http://b/catalog.toml\"\n").errors(), @r#"
        the configuration has an error
        bootdepot.toml:1: catalog_url: found "http://b/catalog.toml", expected the URL of the shared catalog: s3://BUCKET/KEY, https://… or file:///PATH (anyone on the network path can change it over http://; use https://)
    "#);
}

#[test]
fn what_is_new_is_told_by_name() {
    let summary = |text: &str| {
        let site = Site::new(text).file("t.j2", "text");
        Summary::of(&site.load().unwrap_or_else(|errors| panic!("{errors}")))
    };
    let before = summary(&format!("{}{}[tftp]\nretries = 5\n", asset("a"), asset("b")));
    assert!(before.is_same(&summary(&format!("# a remark\n{}{}[tftp]\nretries = 5\n", asset("a"), asset("b")))));
    let after =
        summary(&format!("{}pin = true\n{}[cache]\ndir = \"/c\"\n[fill]\nretries = 9\n", asset("b"), asset("c")));
    let changes = before.changes(&after, "asset");
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    assert_eq!(changes, Changes { added: names(&["c"]), removed: names(&["a"]), changed: names(&["b"]) });
    assert_eq!(before.waiting(&after), ["cache.dir", "tftp.retries"]);
    assert!(before.waiting(&before).is_empty() && !before.is_same(&after));
}
