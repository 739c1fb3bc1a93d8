//! The recipes of `config/recipes`: each is included as its README shows, mirrors an upstream of the same form, and a machine
//! finds all that its script names. Debian's installer is booted.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use bootdepot_test_support::openpgp::{Signing, TestKey};
use serde_json::{Value, json};

use crate::mirror::{debian_archive, stream, tar_gz};
use crate::support::boot_network::{BootNetwork, Firmware, mac};
use crate::support::program::{bootdepot, root};
use crate::support::upstream::Upstream;
use crate::support::{Client, CommandExt, FakeOrigin, TestServer, TestSite, Tool, random_bytes};

/// The address of the host that each README shows.
const MAC: &str = "24:6e:96:00:00:01";

/// A site that includes a recipe, whose upstream and bucket are those of the test.
struct RecipeSite {
    name: String,
    /// The name of its mirror.
    mirror_name: String,
    site: TestSite,
    // The bucket is served until the end of the test.
    _origin: FakeOrigin,
}

impl RecipeSite {
    /// Includes the recipe `name` in `site` as its README shows, with the host at `mac`.
    fn new(name: &str, upstream: &Upstream, key: &TestKey, mac: &str) -> Self {
        let origin = FakeOrigin::start();
        let site = TestSite::new(&origin);
        Self::within(site, origin, name, upstream, key, mac)
    }

    fn within(site: TestSite, origin: FakeOrigin, name: &str, upstream: &Upstream, key: &TestKey, mac: &str) -> Self {
        let source = root().join("config/recipes").join(name);
        let copy = site.file(&format!("recipes/{name}"));
        for directory in [&copy, &site.file("catalog.d"), &site.file("machines.d")] {
            std::fs::create_dir_all(directory).expect("a directory can be made");
        }
        for file in std::fs::read_dir(&source).expect("the recipe can be read") {
            let file = file.expect("the recipe can be read").path();
            std::fs::copy(&file, copy.join(file.file_name().expect("a name"))).expect("a file can be copied");
        }
        let keyring = site.file("keyring.asc");
        std::fs::write(&keyring, key.certificate()).expect("the key can be written");
        let mut recipe: toml::Table = read(&copy.join("recipe.toml")).parse().expect("the recipe is TOML");
        let mirror = recipe["mirror"][0].as_table_mut().expect("a mirror");
        let url = mirror["url"].as_str().expect("a URL").to_owned();
        let path = url.strip_prefix("https://").and_then(|url| url.split_once('/')).expect("a path").1;
        mirror.insert("url".to_owned(), upstream.url(path).into());
        mirror.insert("to".to_owned(), format!("s3://assets/{name}").into());
        mirror.insert("catalog".to_owned(), site.file("catalog.d/mirrored.toml").display().to_string().into());
        if mirror.contains_key("keys") {
            mirror.insert("keys".to_owned(), vec![keyring.display().to_string()].into());
        }
        let mirror_name = mirror["name"].as_str().expect("a name").to_owned();
        // Secrets are the names of their variables.
        let recipe = recipe.to_string().replace("\"env:", "\"");
        std::fs::write(copy.join("recipe.toml"), recipe).expect("the recipe can be written");
        let readme = read(&source.join("README.md"));
        let shown = readme.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("settings");
        let site = site.tables(shown.replace(MAC, mac).parse().expect("the settings of README.md are TOML"));
        Self { name: name.to_owned(), mirror_name, site, _origin: origin }
    }

    /// Runs `bootdepot mirror NAME --activate`.
    fn mirror(&self) {
        let run = self.site.command_line(&["mirror", &self.mirror_name, "--activate"]).run_to_end();
        assert!(run.status.success(), "{}: {}", self.name, String::from_utf8_lossy(&run.stderr));
    }

    /// Mirrors a release, starts a server, and waits until the release is live.
    fn serve(&self) -> TestServer {
        self.mirror();
        let server = self.site.start();
        server.wait_for(|line| line.text("message") == "release live");
        server
    }

    /// Requests the script of the host.
    fn script(server: &TestServer) -> String {
        server.client().get(&format!("/ipxe?mac={MAC}")).text()
    }

    /// Mirrors a release, and requests what a machine requests.
    fn boot(&self, version: &str) -> BTreeSet<String> {
        self.requests(&self.serve(), version)
    }

    /// Requests the script of the host, and everything that it names. Returns the paths, without the version.
    fn requests(&self, server: &TestServer, version: &str) -> BTreeSet<String> {
        let script = Self::script(server);
        let base = server.url("/");
        let mut fetched = BTreeSet::new();
        for url in script.split_whitespace().filter_map(|word| Some(word.split_once(&base)?.1)) {
            // Programs complete these URLs by themselves: Anaconda, and cloud-init.
            let paths = match url {
                url if url.ends_with('/') => vec![format!("{url}meta-data"), format!("{url}user-data")],
                url if script.contains(&format!("inst.stage2={base}{url} ")) => {
                    vec![format!("{url}/images/install.img")]
                }
                url => vec![url.to_owned()],
            };
            for path in paths {
                let reply = server.client().get(&format!("/{path}"));
                assert_eq!(reply.status, 200, "{}: /{path}: {}\n{script}", self.name, reply.text());
                assert!(!reply.body.is_empty(), "{}: /{path}", self.name);
                let path =
                    path.split('?').next().expect("a path").split('/').filter(|segment| !segment.starts_with('~'));
                let path = path.collect::<Vec<_>>().join("/");
                fetched.insert(path.replacen(&format!("/{version}/"), "/VERSION/", 1));
            }
        }
        fetched
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Serves small files at these paths, and returns a line of digest and path for each.
fn put_files(upstream: &Upstream, directory: &str, files: &[&str]) -> Vec<(String, String)> {
    let put = |(number, file): (u64, &&str)| {
        (upstream.put(&format!("{directory}/{file}"), random_bytes(number, 20_000)), (*file).to_owned())
    };
    (100..).zip(files).map(put).collect()
}

fn paths<const N: usize>(expected: [&str; N]) -> BTreeSet<String> {
    expected.map(str::to_owned).into()
}

#[test]
fn alpine_recipe_names_served_files() {
    let upstream = Upstream::start();
    let members = ["vmlinuz-lts", "initramfs-lts", "modloop-lts", "config-lts"];
    let members = members.map(|name| (format!("boot/{name}"), random_bytes(1, 30_000)));
    let archive = tar_gz(&members.each_ref().map(|(path, bytes)| (path.as_str(), bytes.as_slice())));
    let size = archive.len();
    let directory = "alpine/v3.22/releases/x86_64";
    let digest = upstream.put(&format!("{directory}/alpine-netboot-3.22.1-x86_64.tar.gz"), archive);
    let list = format!(
        "- version: 3.22.1\n  flavor: alpine-netboot\n  file: alpine-netboot-3.22.1-x86_64.tar.gz\n  size: {size}\n  sha256: {digest}\n"
    );
    upstream.put(&format!("{directory}/latest-releases.yaml"), list);
    let site = RecipeSite::new("alpine", &upstream, &TestKey::new(), MAC);
    let expected = paths([
        "assets/alpine/VERSION/boot/vmlinuz-lts",
        "assets/alpine/VERSION/boot/initramfs-lts",
        "assets/alpine/VERSION/boot/modloop-lts",
        "hosts/alpine-1/authorized_keys",
    ]);
    assert_eq!(site.boot("3.22.1"), expected);
}

#[test]
fn debian_recipe_names_served_files() {
    let (upstream, key) = (Upstream::start(), TestKey::new());
    debian_archive(&upstream, &key, Signing::default(), &[random_bytes(1, 80_000), random_bytes(2, 200_000)]);
    let site = RecipeSite::new("debian", &upstream, &key, MAC);
    let expected = paths([
        "assets/debian/VERSION/netboot/debian-installer/amd64/linux",
        "assets/debian/VERSION/netboot/debian-installer/amd64/initrd.gz",
        "hosts/web-1/preseed.cfg",
    ]);
    assert_eq!(site.boot("20250803"), expected);
}

#[test]
fn machine_waits_for_first_release() {
    let (upstream, key) = (Upstream::start(), TestKey::new());
    debian_archive(&upstream, &key, Signing::default(), &[random_bytes(1, 80_000), random_bytes(2, 200_000)]);
    let recipe = RecipeSite::new("debian", &upstream, &key, MAC);
    let server = recipe.site.start();
    let script = RecipeSite::script(&server);
    assert!(script.contains("the channel debian has no release yet"), "{script}");
    let preload = recipe.site.run_command(server.admin, &["preload", "--host", "web-1"]);
    let error = String::from_utf8_lossy(&preload.stderr).into_owned();
    assert!(error.contains("the channel debian has no release yet; mirror or publish one"), "{error}");

    recipe.mirror();
    server.reload();
    server.wait_for(|line| line.text("message") == "release live");
    let script = RecipeSite::script(&server);
    assert!(script.contains("/assets/debian/20250803/netboot/debian-installer/amd64/linux "), "{script}");
}

/// The files of a CoreOS, whose stream metadata is at `path`.
fn coreos(upstream: &Upstream, path: &str) {
    let parts = [("kernel", 3), ("initramfs", 4), ("rootfs", 5)].map(|(part, seed)| (part, random_bytes(seed, 40_000)));
    let stream = stream(upstream, "42.20250901.3.0", &parts.each_ref().map(|(part, bytes)| (*part, bytes.as_slice())));
    upstream.put(path, stream);
}

#[test]
fn fcos_recipe_names_served_files() {
    let upstream = Upstream::start();
    coreos(&upstream, "streams/stable.json");
    let site = RecipeSite::new("fcos", &upstream, &TestKey::new(), MAC);
    let expected = paths([
        "assets/fcos/VERSION/kernel",
        "assets/fcos/VERSION/initramfs.img",
        "assets/fcos/VERSION/rootfs.img",
        "hosts/core-1/config.ign",
    ]);
    assert_eq!(site.boot("42.20250901.3.0"), expected);
}

#[test]
fn okd_recipe_names_served_files() {
    let upstream = Upstream::start();
    coreos(&upstream, "openshift/installer/release-4.20/data/data/coreos/scos.json");
    let site = RecipeSite::new("okd", &upstream, &TestKey::new(), MAC);
    let expected = paths([
        "assets/scos/VERSION/kernel",
        "assets/scos/VERSION/initramfs.img",
        "assets/scos/VERSION/rootfs.img",
        "hosts/worker-1.okd.lab/node.ign",
    ]);
    assert_eq!(site.boot("42.20250901.3.0"), expected);
}

#[test]
fn flatcar_recipe_names_served_files() {
    let upstream = Upstream::start();
    let version = "FLATCAR_BUILD=4230\nFLATCAR_VERSION=4230.2.3\n";
    upstream.put("amd64-usr/current/version.txt", version);
    for file in ["flatcar_production_pxe.vmlinuz", "flatcar_production_pxe_image.cpio.gz"] {
        let bytes = random_bytes(6, 50_000);
        let digest = sha512(&bytes);
        upstream.put(&format!("amd64-usr/4230.2.3/{file}"), bytes);
        upstream.put(&format!("amd64-usr/4230.2.3/{file}.DIGESTS"), format!("# SHA512 HASH\n{digest}  {file}\n"));
    }
    let site = RecipeSite::new("flatcar", &upstream, &TestKey::new(), MAC);
    let expected = paths([
        "assets/flatcar/VERSION/flatcar_production_pxe.vmlinuz",
        "assets/flatcar/VERSION/flatcar_production_pxe_image.cpio.gz",
        "hosts/flat-1/config.ign",
    ]);
    assert_eq!(site.boot("4230.2.3"), expected);
}

fn sha512(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    sha2::Sha512::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string can be written");
        text
    })
}

#[test]
fn rocky_recipe_names_served_files() {
    let upstream = Upstream::start();
    let tree = "pub/rocky/9/BaseOS/x86_64/os";
    let files = ["images/pxeboot/vmlinuz", "images/pxeboot/initrd.img", "images/install.img", "images/boot.iso"];
    let lines = put_files(&upstream, tree, &files);
    let mut checksums = String::new();
    for (digest, path) in lines {
        writeln!(checksums, "{path} = sha256:{digest}").expect("a string can be written");
    }
    let treeinfo =
        format!("[checksums]\n{checksums}\n[general]\nversion = 9.6\n\n[tree]\nbuild_timestamp = 1748000000\n");
    upstream.put(&format!("{tree}/.treeinfo"), treeinfo);
    let site = RecipeSite::new("rocky", &upstream, &TestKey::new(), MAC);
    let expected = paths([
        "assets/rocky/VERSION/images/pxeboot/vmlinuz",
        "assets/rocky/VERSION/images/pxeboot/initrd.img",
        "assets/rocky/VERSION/images/install.img",
        "hosts/web-1/ks.cfg",
    ]);
    assert_eq!(site.boot("9.6.1748000000"), expected);
}

#[test]
fn talos_recipe_names_served_files() {
    let upstream = Upstream::start();
    let directory = "siderolabs/talos/releases/download/v1.11.5";
    let lines = put_files(&upstream, directory, &["vmlinuz-amd64", "initramfs-amd64.xz", "metal-amd64.iso"]);
    let asset = |(digest, name): &(String, String)| {
        let url = upstream.url(&format!("{directory}/{name}"));
        json!({ "name": name, "size": 20_000, "digest": format!("sha256:{digest}"), "browser_download_url": url })
    };
    let assets: Vec<Value> = lines.iter().map(asset).collect();
    let preview = json!({ "tag_name": "v1.12.0-alpha.1", "prerelease": true, "assets": [] });
    let release = json!({ "tag_name": "v1.11.5", "assets": assets });
    upstream.put("repos/siderolabs/talos/releases", json!([preview, release]).to_string());
    let site = RecipeSite::new("talos", &upstream, &TestKey::new(), MAC);
    let expected = paths([
        "assets/talos/VERSION/vmlinuz-amd64",
        "assets/talos/VERSION/initramfs-amd64.xz",
        "hosts/talos-1/machine.yaml",
    ]);
    assert_eq!(site.boot("v1.11.5"), expected);
}

/// A small ISO image with these files in `casper`.
fn casper_iso(xorriso: &Tool, files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let (tree, image) = (dir.path().join("tree"), dir.path().join("image.iso"));
    std::fs::create_dir_all(tree.join("casper")).expect("a directory can be made");
    for (name, bytes) in files {
        std::fs::write(tree.join("casper").join(name), bytes).expect("a file can be written");
    }
    let shown = |path: &Path| path.display().to_string();
    xorriso.succeed(["-as", "mkisofs", "-quiet", "-R", "-o", &shown(&image), &shown(&tree)]);
    std::fs::read(image).expect("the image can be read")
}

/// Runs the commands of a recipe's README, with this server in place of the installed one.
fn run_readme_commands(recipe: &RecipeSite, upstream: &Upstream, server: &TestServer) {
    let readme = read(&root().join("config/recipes").join(&recipe.name).join("README.md"));
    let commands = readme.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next()).expect("commands");
    let catalog = recipe.site.file("catalog.d/mirrored.toml").display().to_string();
    let commands = commands
        .replace(&format!("/etc/bootdepot/catalog.d/{}.toml", recipe.name), &catalog)
        .replace("s3://boot/", "s3://assets/")
        .replace("https://releases.ubuntu.com/24.04", &upstream.url("24.04"));
    let (program, admin) = (bootdepot().display().to_string(), server.admin);
    let settings = recipe.site.file("bootdepot.toml").display().to_string();
    let script = format!(
        "set -eu
        bootdepot() {{
            case $1 in activate) set -- \"$@\" --admin-listen {admin} ;; esac
            '{program}' \"$@\" --config '{settings}'
        }}
        gpgv() {{ :; }}
        systemctl() {{ curl -fsS -X POST http://{admin}/api/v1/reload; }}
        {commands}"
    );
    // For its environment; it has written the settings.
    let environment = recipe.site.command_line(&[]);
    let mut shell = Command::new("sh");
    for (name, value) in environment.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let run = shell.args(["-c", &script]).current_dir(directory.path()).run_to_end();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(run.status.success(), "{}{}\n{script}", text(&run.stdout), text(&run.stderr));
}

#[test]
fn ubuntu_recipe_names_served_files() {
    let (Some(xorriso), Some(_)) = (Tool::find("xorriso"), Tool::find("curl")) else { return };
    let (upstream, key) = (Upstream::start(), TestKey::new());
    let (kernel, initrd) = (random_bytes(7, 30_000), random_bytes(8, 90_000));
    let image = casper_iso(&xorriso, &[("vmlinuz", kernel.clone()), ("initrd", initrd.clone())]);
    let iso = upstream.put("24.04/ubuntu-24.04.4-live-server-amd64.iso", image);
    let sums = format!(
        "{iso} *ubuntu-24.04.3-live-server-amd64.iso\n{iso} *ubuntu-24.04.4-desktop-amd64.iso\n\
         {iso} *ubuntu-24.04.4-live-server-amd64.iso\n{iso} *ubuntu-24.04.4-wsl-amd64.wsl\n"
    );
    upstream.put("24.04/SHA256SUMS.gpg", key.sign(sums.as_bytes(), Signing::default()));
    upstream.put("24.04/SHA256SUMS", sums);
    let recipe = RecipeSite::new("ubuntu", &upstream, &key, MAC);
    let server = recipe.site.start();
    run_readme_commands(&recipe, &upstream, &server);
    let expected = paths([
        "assets/ubuntu/VERSION/vmlinuz",
        "assets/ubuntu/VERSION/initrd",
        "assets/ubuntu/VERSION/live-server-amd64.iso",
        "hosts/web-1/user-data",
        "hosts/web-1/meta-data",
    ]);
    assert_eq!(recipe.requests(&server, "24.04.4"), expected);
    assert!(server.client().compare("/assets/ubuntu/24.04.4/vmlinuz", &kernel));
    assert!(server.client().compare("/assets/ubuntu/24.04.4/initrd", &initrd));
    // A later run keeps what was added to the release.
    let again = recipe.site.command_line(&["mirror", "ubuntu"]).run_to_end();
    assert!(again.status.success());
    assert!(read(&recipe.site.file("catalog.d/mirrored.toml")).contains("\"ubuntu/24.04.4/vmlinuz\""));
}

/// Debian's installer is mirrored from a package, booted by the recipe's profile, and runs the preseed of its host.
#[test]
fn debian_recipe_boots_installer() {
    const FILES: &str = "/usr/lib/debian-installer/images/12/amd64/text/debian-installer/amd64";
    const RAN: &str = "bootdepot: the preseed has run";
    let files = ["linux", "initrd.gz"].map(|name| Tool::file(&format!("{FILES}/{name}")).map(PathBuf::from));
    let [Some(linux), Some(initrd)] = files else { return };
    // Without a name server the installer asks for one before it fetches the preseed.
    let dhcp = ["--dhcp-option=option:dns-server,10.77.0.2"];
    let Some(network) = BootNetwork::enter("recipes::debian_recipe_boots_installer", &dhcp) else { return };
    let (upstream, key, origin) = (Upstream::start(), TestKey::new(), FakeOrigin::start());
    let files = [linux, initrd].map(|file| std::fs::read(file).expect("the package can be read"));
    debian_archive(&upstream, &key, Signing::default(), &files);
    let site = network.site(TestSite::new(&origin));
    let recipe = RecipeSite::within(site, origin, "debian", &upstream, &key, &mac(9));
    // The recipe's own preseed, with a command that shows that the installer runs it.
    let preseed = recipe.site.file("recipes/debian/preseed.cfg.j2");
    let shown = format!("d-i preseed/early_command string echo '{RAN}' >/dev/console\n");
    std::fs::write(&preseed, read(&preseed) + &shown).expect("the preseed can be written");
    let server = recipe.serve();
    server.wait_for(|line| line.text("message") == "proxyDHCP listening");
    let Some(machine) = network.machine(&recipe.site, 9, Firmware::Bios) else { return };
    machine.wait_for(RAN);

    let fetched = server.wait_for_transfer("hosts/web-1/preseed.cfg", "complete");
    assert_eq!(fetched.text("protocol"), "http");
    let answer = Client::new(server.admin).get("/api/v1/hosts/web-1");
    let ledger: Value = serde_json::from_slice(&answer.body).expect("JSON");
    let steps = ledger["boots"][0]["steps"].as_array().expect("steps");
    let steps: Vec<_> = steps.iter().map(|step| [&step["role"], &step["name"], &step["outcome"]]).collect();
    let directory = "debian/20250803/netboot/debian-installer/amd64";
    for (role, name) in [
        ("kernel", format!("{directory}/linux")),
        ("initrd", format!("{directory}/initrd.gz")),
        ("file", "hosts/web-1/preseed.cfg".to_owned()),
    ] {
        assert!(steps.contains(&[&json!(role), &json!(name), &json!("complete")]), "{role} {name}: {steps:#?}");
    }
}
