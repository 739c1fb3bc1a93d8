use super::*;
use crate::proof::KeySource;
use crate::supply::mirror::{RecipeKind, Require, UpstreamUrl};

#[test]
fn mirror_has_documented_defaults() {
    let text = "[[mirror]]\nname = \"scos\"\nrecipe = \"coreos-stream\"\nurl = \"-\"\nto = \"s3://harmony-assets/scos/\"\n\
        [[mirror]]\nname = \"debian\"\nrecipe = \"debian-installer\"\nurl = \"https://deb.debian.org/debian/dists/trixie\"\n\
        to = \"s3://harmony-assets\"\nkeys = [\"/usr/share/keyrings/debian-archive-keyring.gpg\", \
        \"RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3\"]\n";
    let config = Site::new(text).load().unwrap();
    let [scos, debian] = config.mirrors.as_slice() else { panic!("{:?}", config.mirrors) };
    assert_eq!(
        (scos.recipe, scos.require, &scos.url),
        (RecipeKind::CoreosStream, Require::Digest, &Some(UpstreamUrl::Stdin))
    );
    assert_eq!((scos.to.key("1", "kernel"), debian.to.key("1", "k")), ("scos/1/kernel".to_owned(), "1/k".to_owned()));
    assert_eq!(scos.asset, "{mirror}/{version}/{file}");
    assert_eq!(debian.require, Require::Signature, "keys are meant to be used");
    assert!(matches!(debian.keys.as_slice(), [KeySource::File(_), KeySource::Minisign(_)]));
}

#[test]
fn all_errors_of_mirrors_are_reported() {
    let site = Site::new(
        "[[mirror]]\nname = \"a\"\nrecipe = \"list\"\nto = \"s3://b/a\"\nrequire = \"signature\"\n\
        [[mirror]]\nname = \"a\"\nrecipe = \"sums\"\nto = \"s3://b\"\nkeep = 2\nversion = \"1\"\nselect = [\"[z-a]\"]\n\
        [[mirror]]\nname = \"c\"\nrecipe = \"treeinfo\"\nurl = \"-\"\nto = \"https://h/x\"\nasset = \"{name}/{file}\"\n\
        [[mirror]]\nname = \"d\"\nrecipe = \"floppy\"\nurl = \"ftp://h\"\nto = \"s3://b/d\"\nrequire = \"tls\"\nskip_tls_verify = true\n\
        catalog = \"https://h/catalog.toml\"\n",
    );
    assert_snapshot!(site.errors(), @r#"
        the configuration has 15 errors
        bootdepot.toml:1: mirror[0].files (a): this is missing; expected the files, each with its url and digest (recipe "list")
        bootdepot.toml:1: mirror[0].version (a): this is missing; expected the version of the files (recipe "list")
        bootdepot.toml:5: mirror[0].require (a): this requires keys
        bootdepot.toml:6: mirror[1].url (a): this is missing; expected the URL of the upstream's document or directory
        bootdepot.toml:7: mirror[1].name (a): a is already used in bootdepot.toml:2; names must be unique
        bootdepot.toml:9: mirror[1].to (a): found "s3://b", expected a bucket and a prefix such as "s3://harmony-assets/scos" (keep deletes old versions below it, and may only delete below a prefix of this mirror)
        bootdepot.toml:11: mirror[1].version (a): found this key, expected none (recipe "sums" reads it from url)
        bootdepot.toml:12: mirror[1].select[0] (a): found "[z-a]", expected a glob such as "pxe/*"
        bootdepot.toml:16: mirror[2].url (c): found "-", expected a URL (only coreos-stream is read from standard input)
        bootdepot.toml:17: mirror[2].to (c): found "https://h/x", expected a bucket and a prefix such as "s3://harmony-assets/scos"
        bootdepot.toml:18: mirror[2].asset (c): found "{name}/{file}", expected a name with {version} and {file}, and {mirror} if you like (without them, files of different releases would have the same name)
        bootdepot.toml:21: mirror[3].recipe (d): found "floppy", expected "coreos-stream", "ocp-mirror", "github-release", "debian-installer", "ubuntu", "simplestreams", "treeinfo", "sums", "alpine", "flatcar", "netbootxyz" or "list"
        bootdepot.toml:22: mirror[3].url (d): found "ftp://h", expected a URL: https://…, http://…, s3://BUCKET/KEY or file:///PATH, or "-" for standard input (the scheme "ftp" is not supported; use s3, https, http or file)
        bootdepot.toml:24: mirror[3].require (d): found "tls", expected "digest" or "signature" (with skip_tls_verify nothing would prove the files)
        bootdepot.toml:26: mirror[3].catalog (d): found "https://h/catalog.toml", expected s3://BUCKET/KEY, or the path of a file (a catalog cannot be written over https://)
    "#);
}
