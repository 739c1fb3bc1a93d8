//! `bootdepot mirror`: from an upstream's documents to a machine that is served by the written catalog. Nothing becomes visible
//! without its proof.

use std::fmt::Write as _;
use std::process::Stdio;

use bootdepot_test_support::openpgp::{CREATED, DAY, Signing, TestKey};
use serde_json::Value;

use crate::support::upstream::Upstream;
use crate::support::{CommandExt, FakeOrigin, TestSite, random_bytes};

/// A site with one mirror.
struct MirrorSite {
    origin: FakeOrigin,
    upstream: Upstream,
    site: TestSite,
}

/// The output of a command, and its exit status.
struct Run {
    status: Option<i32>,
    out: String,
    err: String,
}

impl MirrorSite {
    /// `table` are the keys of the mirror `os`, in which `{up}` stands for the upstream.
    fn new(upstream: Upstream, table: &str) -> Self {
        let origin = FakeOrigin::start();
        let site = TestSite::new(&origin);
        let catalog = site.file("mirrored.toml");
        std::fs::write(&catalog, "# Kept by hand.\n").expect("the catalog can be written");
        let table = table.replace("{up}", upstream.url("").trim_end_matches('/'));
        let table = format!(
            "include = [\"mirrored.toml\"]\n[[mirror]]\nname = \"os\"\nto = \"s3://assets/os\"\ncatalog = \"{}\"\n{table}",
            catalog.display()
        );
        let site = site.tables(table.parse().expect("the tables are TOML"));
        Self { origin, upstream, site }
    }

    fn mirror(&self, args: &[&str]) -> Run {
        self.mirror_with(args, None)
    }

    fn mirror_with(&self, args: &[&str], stdin: Option<&str>) -> Run {
        let mut command = self.site.command_line(&["mirror"]);
        command.args(args);
        match stdin {
            None => command.stdin(Stdio::null()),
            Some(text) => {
                let file = self.site.file("stdin");
                std::fs::write(&file, text).expect("the input can be written");
                command.stdin(std::fs::File::open(file).expect("the input can be read"))
            }
        };
        let output = command.run_to_end();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Run { status: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// The keys in the bucket.
    fn keys(&self) -> Vec<String> {
        self.origin.keys()
    }

    fn catalog(&self) -> String {
        std::fs::read_to_string(self.site.file("mirrored.toml")).expect("the catalog can be read")
    }

    /// Runs it, and checks that it fails with this text and that nothing became visible.
    fn fails_unseen(&self, expected: &str) {
        let run = self.mirror(&[]);
        assert_eq!(run.status, Some(1), "{}{}", run.out, run.err);
        assert!(run.err.contains(expected), "{}", run.err);
        assert_eq!(self.keys(), Vec::<String>::new());
        assert_eq!(self.catalog(), "# Kept by hand.\n");
    }
}

fn succeeds(run: &Run) {
    assert_eq!(run.status, Some(0), "{}{}", run.out, run.err);
}

/// Stream metadata with these parts of `pxe`, each served at its name.
pub(crate) fn stream(upstream: &Upstream, version: &str, parts: &[(&str, &[u8])]) -> String {
    let parts: Vec<_> = parts
        .iter()
        .map(|(part, bytes)| {
            let path = format!("builds/{version}/live-{part}");
            let sha256 = upstream.put(&path, bytes.to_vec());
            format!(r#""{part}": {{ "location": "{}", "sha256": "{sha256}" }}"#, upstream.url(&path))
        })
        .collect();
    format!(
        r#"{{ "architectures": {{ "x86_64": {{ "artifacts": {{ "metal": {{ "release": "{version}",
            "formats": {{ "pxe": {{ {} }} }} }} }} }} }} }}"#,
        parts.join(", ")
    )
}

#[test]
fn coreos_release_is_served_by_written_catalog() {
    let upstream = Upstream::start();
    let (kernel, rootfs) = (random_bytes(1, 50_000), random_bytes(2, 9 << 20));
    let stream = stream(&upstream, "4.20.1", &[("kernel", &kernel), ("rootfs", &rootfs)]);
    upstream.put("stream.json", stream);
    let site = MirrorSite::new(upstream, "recipe = \"coreos-stream\"\nurl = \"{up}/stream.json\"\nchannel = \"scos\"");

    let check = site.mirror(&["--check"]);
    assert_eq!(check.status, Some(3), "{}", check.err);
    assert!(check.out.starts_with("os 4.20.1: new: 2 files to transfer\n"), "{}", check.out);
    succeeds(&site.mirror(&["--dry-run"]));
    assert_eq!(site.keys(), Vec::<String>::new());

    let run = site.mirror(&["--activate"]);
    succeeds(&run);
    let keys = site.keys();
    for key in ["os/4.20.1/kernel", "os/4.20.1/kernel.blocks", "os/4.20.1/kernel.sha256", "os/4.20.1/rootfs.img"] {
        assert!(keys.iter().any(|it| it == key), "{key} is missing: {keys:?}");
    }
    let catalog = site.catalog();
    assert!(catalog.starts_with("# Kept by hand.\n") && catalog.contains("os-4.20.1"), "{catalog}");

    let server = site.site.start();
    server.wait_for_fill("os/4.20.1/rootfs.img", "complete");
    assert_eq!(server.client().get("/assets/os/4.20.1/kernel").body, kernel);
    assert!(server.client().compare("/assets/os/4.20.1/rootfs.img", &rootfs));

    // Nothing is new: the files are not requested again.
    let requests = site.upstream.seen("builds/4.20.1/live-rootfs").len();
    let again = site.mirror(&["--json"]);
    succeeds(&again);
    let report: Value = serde_json::from_str(&again.out).expect("JSON");
    assert_eq!((&report[0]["new"], &report[0]["transferred"]), (&Value::from(false), &Value::Null), "{report:#}");
    assert_eq!(site.upstream.seen("builds/4.20.1/live-rootfs").len(), requests);
    assert_eq!(site.mirror(&["--check"]).status, Some(0));
}

#[test]
fn stream_on_standard_input_is_mirrored() {
    let upstream = Upstream::start();
    let stream = stream(&upstream, "4.20.1", &[("kernel", b"kernel")]);
    let site = MirrorSite::new(upstream, "recipe = \"coreos-stream\"\nurl = \"-\"\nskip_tls_verify = true");
    let run = site.mirror_with(&[], Some(&stream));
    succeeds(&run);
    assert!(run.err.contains("WARNING: mirror os does not verify TLS certificates"), "{}", run.err);
    assert!(site.keys().contains(&"os/4.20.1/kernel".to_owned()));
    let empty = site.mirror_with(&[], Some(""));
    assert!(empty.err.contains("standard input is empty"), "{}", empty.err);
}

#[test]
fn altered_file_stays_invisible() {
    let upstream = Upstream::start();
    // Large enough for an upload in parts.
    let mut rootfs = random_bytes(3, 17 << 20);
    let stream = stream(&upstream, "4.20.1", &[("rootfs", &rootfs)]);
    upstream.put("stream.json", stream);
    rootfs[16 << 20] ^= 1;
    let altered = upstream.put("builds/4.20.1/live-rootfs", rootfs);
    let site = MirrorSite::new(upstream, "recipe = \"coreos-stream\"\nurl = \"{up}/stream.json\"");
    site.fails_unseen(&format!("is not what the upstream announced: SHA-256 is {altered}, and "));
}

#[test]
fn broken_download_resumes_by_range() {
    let upstream = Upstream::start();
    let rootfs = random_bytes(4, 3 << 20);
    let stream = stream(&upstream, "4.20.1", &[("rootfs", &rootfs)]);
    upstream.put("stream.json", stream);
    upstream.cut("builds/4.20.1/live-rootfs", 1 << 20);
    let site = MirrorSite::new(upstream, "recipe = \"coreos-stream\"\nurl = \"{up}/stream.json\"");
    succeeds(&site.mirror(&[]));
    let seen = site.upstream.seen("builds/4.20.1/live-rootfs");
    let [first, second] = seen.as_slice() else { panic!("{seen:?}") };
    assert_eq!(first, "GET");
    assert!(second.starts_with("GET bytes=") && !second.starts_with("GET bytes=0-"), "{seen:?}");
}

/// A Debian archive with one build of the installer, whose index `key` signs.
fn debian(upstream: &Upstream, key: &TestKey, signing: Signing) -> [Vec<u8>; 2] {
    let files = [random_bytes(5, 80_000), random_bytes(6, 200_000)];
    debian_archive(upstream, key, signing, &files);
    files
}

/// A Debian archive with one build of the installer: this kernel and initrd. `key` signs its index.
pub(crate) fn debian_archive(upstream: &Upstream, key: &TestKey, signing: Signing, files: &[Vec<u8>; 2]) {
    let directory = "debian/dists/trixie/main/installer-amd64/20250803/images";
    let mut sums = String::new();
    for (name, bytes) in ["linux", "initrd.gz"].iter().zip(files) {
        let path = format!("netboot/debian-installer/amd64/{name}");
        let digest = upstream.put(&format!("{directory}/{path}"), bytes.clone());
        writeln!(sums, "{digest}  ./{path}").expect("a string can be written");
    }
    let (size, digest) = (sums.len(), upstream.put(&format!("{directory}/SHA256SUMS"), sums));
    let line = |build: &str| format!(" {digest} {size} main/installer-amd64/{build}/images/SHA256SUMS\n");
    let index = format!("Origin: Debian\nSuite: stable\nSHA256:\n{}{}", line("20250803"), line("current"));
    upstream.put("debian/dists/trixie/InRelease", key.clear_sign(&index, signing));
}

/// The mirror of that archive, which trusts `key`.
fn debian_site(upstream: Upstream, key: &TestKey) -> MirrorSite {
    let keyring = std::env::temp_dir().join(format!("bootdepot-{}-{}.asc", std::process::id(), key.fingerprint()));
    std::fs::write(&keyring, key.certificate()).expect("the key can be written");
    let keys = format!("keys = [\"{}\"]", keyring.display());
    MirrorSite::new(upstream, &format!("recipe = \"debian-installer\"\nurl = \"{{up}}/debian/dists/trixie\"\n{keys}"))
}

#[test]
fn debian_installer_is_proven_by_signature() {
    let (upstream, key) = (Upstream::start(), TestKey::new());
    let [linux, initrd] = debian(&upstream, &key, Signing::default());
    let site = debian_site(upstream, &key);
    let run = site.mirror(&["--json"]);
    succeeds(&run);
    let report: Value = serde_json::from_str(&run.out).expect("JSON");
    assert_eq!(report[0]["version"], "20250803");
    assert_eq!(report[0]["transferred"], (linux.len() + initrd.len()) as u64);
    assert!(report[0]["signed_by"].as_str().is_some_and(|signer| signer.contains(&key.fingerprint())), "{report:#}");
    let server = site.site.start();
    let name = "os/20250803/netboot/debian-installer/amd64/initrd.gz";
    assert_eq!(server.client().get(&format!("/assets/{name}")).body, initrd);
}

#[test]
fn altered_index_stays_invisible() {
    let (upstream, key) = (Upstream::start(), TestKey::new());
    debian(&upstream, &key, Signing::default());
    // The digests are right, but not those that were signed.
    let other = TestKey::new();
    let forged = Upstream::start();
    debian(&forged, &other, Signing::default());
    let site = debian_site(forged, &key);
    site.fails_unseen(&format!("it is signed by {}, which is not among the trusted keys", other.fingerprint()));

    let sums = "debian/dists/trixie/main/installer-amd64/20250803/images/SHA256SUMS";
    upstream.put(sums, format!("{}  ./netboot/debian-installer/amd64/linux\n", "0".repeat(64)));
    let site = debian_site(upstream, &key);
    site.fails_unseen("contradict each other, also after reading both again");
}

#[test]
fn expired_key_stays_invisible() {
    let (upstream, key) = (Upstream::start(), TestKey::expiring(5 * DAY));
    debian(&upstream, &key, Signing { at: CREATED + DAY, lifetime: 0 });
    debian_site(upstream, &key).fails_unseen("expired on 2026-01-06T00:00:00Z");
}

#[test]
fn index_that_changes_is_read_again() {
    let (upstream, key) = (Upstream::start(), TestKey::new());
    // The index of before, and all other files of now.
    let old = key.clear_sign(
        &format!("Suite: stable\nSHA256:\n {} 10 main/installer-amd64/20250803/images/SHA256SUMS\n", "1".repeat(64)),
        Signing::default(),
    );
    debian(&upstream, &key, Signing::default());
    let signed = upstream.bytes("debian/dists/trixie/InRelease");
    upstream.put("debian/dists/trixie/InRelease", old);
    upstream.put_after(1, "debian/dists/trixie/InRelease", signed);
    let site = debian_site(upstream, &key);
    succeeds(&site.mirror(&[]));
    assert_eq!(site.upstream.seen("debian/dists/trixie/InRelease").len(), 2);
}

#[test]
fn file_that_moves_is_read_again() {
    let upstream = Upstream::start();
    let (old, new) = (random_bytes(7, 40_000), random_bytes(8, 40_000));
    let first = stream(&upstream, "4.20.1", &[("kernel", &old)]);
    let second = stream(&upstream, "4.20.1", &[("kernel", &new)]);
    upstream.put("stream.json", first);
    upstream.put_after(1, "stream.json", second);
    let site = MirrorSite::new(upstream, "recipe = \"coreos-stream\"\nurl = \"{up}/stream.json\"");
    let run = site.mirror(&[]);
    succeeds(&run);
    assert!(run.err.contains("the upstream has changed since it was read; it is read again"), "{}", run.err);
}

#[test]
fn signed_sums_are_selected_by_version() {
    let (upstream, key) = (Upstream::start(), TestKey::new());
    let iso = random_bytes(9, 100_000);
    let digest = upstream.put("iso/proxmox-ve_8.3-1.iso", iso);
    let old = upstream.put("iso/proxmox-ve_8.2-1.iso", "old");
    let sums = format!("{old}  proxmox-ve_8.2-1.iso\n{digest} *./proxmox-ve_8.3-1.iso\n");
    upstream.put("iso/SHA256SUMS.asc", key.sign(sums.as_bytes(), Signing::default()));
    upstream.put("iso/SHA256SUMS", sums);
    let keyring = std::env::temp_dir().join(format!("bootdepot-{}-{}.asc", std::process::id(), key.fingerprint()));
    std::fs::write(&keyring, key.certificate()).expect("the key can be written");
    let table = format!(
        "recipe = \"sums\"\nurl = \"{{up}}/iso/SHA256SUMS\"\nselect = [\"*.iso\"]\nkeys = [\"{}\"]",
        keyring.display()
    );
    let site = MirrorSite::new(upstream, &table);
    succeeds(&site.mirror(&[]));
    assert!(site.keys().contains(&"os/8.3-1/proxmox-ve_8.3-1.iso".to_owned()), "{:?}", site.keys());
    succeeds(&site.mirror(&["--version", "8.2-1"]));
    assert!(site.keys().contains(&"os/8.2-1/proxmox-ve_8.2-1.iso".to_owned()), "{:?}", site.keys());
    let unknown = site.mirror(&["--version", "7.4-1"]);
    assert!(unknown.err.contains("os has no version 7.4-1; the upstream offers: 8.3-1, 8.2-1"), "{}", unknown.err);

    let unsigned = Upstream::start();
    let digest = unsigned.put("iso/a-1.0.iso", "x");
    unsigned.put("iso/SHA256SUMS", format!("{digest}  a-1.0.iso\n"));
    MirrorSite::new(unsigned, &table).fails_unseen("has no signature by a key of this mirror");
}

/// A gzipped tar archive of these members.
pub(crate) fn tar_gz(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    for (path, bytes) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, path, *bytes).expect("a member can be added");
    }
    builder.into_inner().and_then(flate2::write::GzEncoder::finish).expect("the archive can be written")
}

#[test]
fn members_of_proven_archive_are_mirrored() {
    let (kernel, modloop) = (random_bytes(10, 60_000), random_bytes(11, 300_000));
    let archive = tar_gz(&[("./boot/vmlinuz-lts", &kernel), ("boot/config-lts", b"x"), ("boot/modloop-lts", &modloop)]);
    let list = |digest: &str| {
        format!(
            "- version: 3.22.1\n  flavor: alpine-netboot\n  file: netboot.tar.gz\n  size: {}\n  sha256: {digest}\n",
            archive.len()
        )
    };
    let upstream = Upstream::start();
    let digest = upstream.put("v3.22/netboot.tar.gz", archive.clone());
    upstream.put("v3.22/latest-releases.yaml", list(&digest));
    let table = "recipe = \"alpine\"\nurl = \"{up}/v3.22\"";
    let site = MirrorSite::new(upstream, table);
    succeeds(&site.mirror(&[]));
    let keys: Vec<_> =
        site.keys().into_iter().filter(|key| !key.ends_with(".blocks") && !key.ends_with(".sha256")).collect();
    assert_eq!(keys, ["os/3.22.1/boot/modloop-lts", "os/3.22.1/boot/vmlinuz-lts"]);
    let again = site.mirror(&[]);
    assert_eq!(again.out, "os 3.22.1: up to date\n", "{}", again.err);

    // An archive with another digest unpacks well, and no member of it becomes visible.
    let wrong = Upstream::start();
    wrong.put("v3.22/netboot.tar.gz", archive.clone());
    wrong.put("v3.22/latest-releases.yaml", list(&"0".repeat(64)));
    MirrorSite::new(wrong, table).fails_unseen("is not what the upstream announced: SHA-256 is ");
}

#[test]
fn missing_proof_is_refused_before_transfer() {
    let upstream = Upstream::start();
    upstream.put("a.iso", "bytes");
    let table = |require: &str| {
        format!("recipe = \"list\"\nversion = \"1\"\nrequire = \"{require}\"\nfiles = [{{ url = \"{{up}}/a.iso\" }}]")
    };
    let site = MirrorSite::new(upstream, &table("digest"));
    site.fails_unseen("has no digest (require = \"digest\")");
    assert_eq!(site.upstream.seen("a.iso"), Vec::<String>::new());
    let site = MirrorSite::new(site.upstream, &table("tls"));
    site.fails_unseen("it comes over a connection that anyone on the way can change");
}

#[test]
fn failed_mirror_ends_run_unless_kept_going() {
    let upstream = Upstream::start();
    let stream = stream(&upstream, "1.0", &[("kernel", b"kernel")]);
    upstream.put("stream.json", stream);
    let second = format!(
        "[[mirror]]\nname = \"second\"\nrecipe = \"coreos-stream\"\nto = \"s3://assets/second\"\nurl = \"{}\"",
        upstream.url("stream.json")
    );
    let site = MirrorSite::new(upstream, &format!("recipe = \"treeinfo\"\nurl = \"{{up}}/tree\"\n{second}"));
    let run = site.mirror(&[]);
    assert_eq!((run.status, site.keys().len()), (Some(1), 0), "{}", run.err);
    let run = site.mirror(&["--keep-going"]);
    assert_eq!(run.status, Some(1), "{}", run.err);
    assert!(site.keys().contains(&"second/1.0/kernel".to_owned()), "{}", run.err);
    let unknown = site.mirror(&["thrid"]);
    assert_eq!(unknown.status, Some(2));
    assert!(unknown.err.contains("there is no mirror \"thrid\"; known: os, second"), "{}", unknown.err);
}

#[test]
fn old_versions_stay_while_catalog_names_them() {
    let upstream = Upstream::start();
    let stream = stream(&upstream, "1.2", &[("kernel", b"kernel")]);
    upstream.put("stream.json", stream);
    let site = MirrorSite::new(upstream, "recipe = \"coreos-stream\"\nurl = \"{up}/stream.json\"\nkeep = 1");
    site.origin.put("os/1.0/kernel", "forgotten");
    site.origin.put("os/notes/kernel", "no version");
    let named = site.origin.put("os/1.1/kernel", "named");
    let catalog = format!(
        "[[asset]]\nname = \"named\"\nsources = [\"s3://assets/os/1.1/kernel\"]\nsha256 = \"{}\"\n",
        named.sha256()
    );
    std::fs::write(site.site.file("mirrored.toml"), catalog).expect("the catalog can be written");
    let run = site.mirror(&[]);
    succeeds(&run);
    assert!(run.out.ends_with("  deleted os/1.0/kernel\n"), "{}", run.out);
    let kernels: Vec<_> = site.keys().into_iter().filter(|key| key.ends_with("kernel")).collect();
    assert_eq!(kernels, ["os/1.1/kernel", "os/1.2/kernel", "os/notes/kernel"]);
}
