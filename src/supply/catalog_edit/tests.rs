use super::*;
use crate::asset::AssetName;

fn asset(name: &str, content: &[u8]) -> CatalogEntry {
    CatalogEntry {
        name: AssetName::parse(name).unwrap(),
        source: format!("s3://b/{name}"),
        sha256: Digest::of(content),
        size: content.len() as u64,
        blocks: Some((format!("s3://b/{name}.blocks"), Digest::of(b"list"))),
    }
}

/// The change that `publish` makes.
fn published(assets: &[CatalogEntry], release: Option<&str>) -> CatalogChange {
    let release =
        release.map(|name| ReleaseEntry { name: name.to_owned(), channel: None, activate: false, is_whole: false });
    CatalogChange { assets: assets.to_vec(), release, replaces_digests: true }
}

/// The change that `mirror` makes.
fn mirrored(assets: &[CatalogEntry], release: &str, activate: bool) -> CatalogChange {
    let (name, channel) = (release.to_owned(), Some("os".to_owned()));
    let release = Some(ReleaseEntry { name, channel, activate, is_whole: true });
    CatalogChange { assets: assets.to_vec(), release, replaces_digests: false }
}

#[test]
fn empty_catalog_gets_assets_and_release() {
    let kernel = asset("os/1/kernel", b"abc");
    let change = mirrored(std::slice::from_ref(&kernel), "os-1", false);
    let text = change.text().unwrap();
    insta::assert_snapshot!(text, @r#"
    [[asset]]
    name = "os/1/kernel"
    sources = ["s3://b/os/1/kernel"]
    sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    size = 3
    blocks = "s3://b/os/1/kernel.blocks"
    blocks_sha256 = "a330395cc0a53ad1207736546afff4735940937564bbf75ce1edad40780d9139"

    [[release]]
    name = "os-1"
    channel = "os"
    assets = [
        "os/1/kernel",
    ]
    "#);
    assert_eq!(change.apply(&text).unwrap(), text, "a second time nothing changes");
    let (assets, releases) = read_catalog(&text).unwrap();
    assert_eq!((assets[0].name.as_str(), assets[0].sha256, assets[0].size), ("os/1/kernel", kernel.sha256, Some(3)));
    assert_eq!((&assets[0].sources[..], &assets[0].blocks), (&[kernel.source][..], &kernel.blocks));
    assert_eq!((releases[0].name.as_str(), &releases[0].assets[..]), ("os-1", &["os/1/kernel".to_owned()][..]));
}

#[test]
fn comments_and_order_are_kept() {
    let old = format!(
        "# The catalog of the lab.\n\n[[release]] # live\nname = \"r\"\nactive = true\nassets = [\n  \"okd/initrd\", # first\n]\n\n\
         # The kernel.\n[[asset]]\nsize = 9 # bytes\npin = true\nname = \"okd/kernel\"\nsha256 = \"{}\"\n\
         sources = [\"https://mirror/kernel\"]\n\n# The last one.\n[[asset]]\nname = \"z\"\n",
        Digest::of(b"old")
    );
    let change = published(&[asset("okd/kernel", b"abc"), asset("new", b"x")], Some("r"));
    let text = change.apply(&old).unwrap();
    let places: Vec<_> = [
        "# The catalog of the lab.",
        "[[release]] # live",
        "\"okd/initrd\", # first",
        "\n  \"okd/kernel\",\n  \"new\",\n]",
        "# The kernel.",
        "size = 3 # bytes\npin = true\n",
        "sources = [\"s3://b/okd/kernel\"]",
        "# The last one.",
        "name = \"z\"\n\n[[asset]]\nname = \"new\"",
    ]
    .into_iter()
    .map(|part| text.find(part).unwrap_or_else(|| panic!("no {part:?} in {text}")))
    .collect();
    assert!(places.is_sorted(), "{text}");
    assert!(!text.contains("mirror"), "it has the old bytes");
    assert_eq!(change.apply(&text).unwrap(), text);
}

#[test]
fn comment_without_tables_stays_above() {
    let text = published(&[asset("k", b"abc")], None).apply("# By hand.\n").unwrap();
    assert!(text.starts_with("# By hand.\n\n[[asset]]\n"), "{text}");
}

#[test]
fn other_sources_of_same_bytes_stay() {
    let catalog =
        |sources: &str| format!("[[asset]]\nname = \"k\"\nsources = {sources}\nsha256 = \"{}\"\n", Digest::of(b"abc"));
    let change = published(&[asset("k", b"abc")], None);
    for (old, new) in [
        ("[\"https://m/k\"]", "[\"s3://b/k\", \"https://m/k\"]"),
        ("[ \"https://m/k\" ]", "[ \"s3://b/k\", \"https://m/k\" ]"),
        (
            "[ # two\n  # the web\n  \"https://m/k\", # slow\n]",
            "[ # two\n  \"s3://b/k\",\n  # the web\n  \"https://m/k\", # slow\n]",
        ),
        ("[\"https://m/k\", \"s3://b/k\"]", "[\"https://m/k\", \"s3://b/k\"]"),
    ] {
        let text = change.apply(&catalog(old)).unwrap();
        assert!(text.contains(&format!("sources = {new}\n")), "{text}");
    }
}

#[test]
fn list_of_other_bytes_goes() {
    let old = published(&[asset("k", b"old")], None).text().unwrap();
    let new = CatalogEntry { blocks: None, ..asset("k", b"abc") };
    let text = published(&[new], None).apply(&old).unwrap();
    assert!(!text.contains("blocks"), "{text}");
}

#[test]
fn release_of_mirror_has_its_assets_only() {
    let text = mirrored(&[asset("os/1/kernel", b"abc"), asset("os/1/initrd", b"x")], "os-1", false).text().unwrap();
    let text = mirrored(&[asset("os/1/kernel", b"abc")], "os-1", false).apply(&text).unwrap();
    assert!(text.contains("assets = [\n    \"os/1/kernel\",\n]"), "{text}");
    let text = published(&[asset("notes", b"x")], Some("os-1")).apply(&text).unwrap();
    assert!(text.contains("channel = \"os\"\nassets = [\n    \"os/1/kernel\",\n    \"notes\",\n]"), "{text}");
}

#[test]
fn only_one_release_of_channel_is_active() {
    let old = "[[release]]\nname = \"os-0\"\nchannel = \"os\"\nassets = [\"memtest\"]\nactive = true # until spring\n\n\
               [[release]]\nname = \"other\"\nchannel = \"net\"\nassets = []\nactive = true\n";
    let text = mirrored(&[asset("os/1/kernel", b"abc")], "os-1", true).apply(old).unwrap();
    assert!(text.contains("active = false # until spring\n"), "{text}");
    let releases: Vec<_> = text.split("[[release]]").filter(|release| release.contains("active = true")).collect();
    assert!(releases.len() == 2 && releases.iter().any(|release| release.contains("\"os-1\"")), "{text}");
}

#[test]
fn other_digest_is_conflict_for_mirror() {
    let text = mirrored(&[asset("os/1/kernel", b"abc")], "os-1", false).text().unwrap();
    let error = mirrored(&[asset("os/1/kernel", b"abd")], "os-1", false).apply(&text).unwrap_err();
    assert!(error.to_string().starts_with("it has an asset os/1/kernel already, with SHA-256 ba78"), "{error}");
}

#[test]
fn unknown_forms_are_refused() {
    let change = published(&[asset("k", b"")], Some("r"));
    let form = |list| Err(EditError::Form(list));
    assert_eq!(change.apply("asset = 7"), form("asset"));
    assert_eq!(change.apply("asset = [{ name = \"x\" }]"), form("asset"));
    assert_eq!(change.apply("[[release]]\nname = \"r\"\nassets = 7\n"), form("release"));
    assert!(change.apply("asset = []\n").unwrap().contains("[[asset]]"));
    assert!(matches!(change.apply("a ="), Err(EditError::Syntax(_))));
}
