//! Files of hosts as machines fetch them: cloud-init's own code over HTTP, and a loader's requests over TFTP.

use crate::support::program::root;
use crate::support::{CommandExt, FakeOrigin, TestServer, TestSite, Tool, random_bytes};

/// Where tests/run unpacks cloud-init, and a Python with the modules that it needs.
const CLOUD_INIT: &str = "tests/.cache/tools/cloud-init/cloudinit/util.py";
const PYTHON: &str = "tests/.cache/tools/python/bin/python";

/// cloud-init's `NoCloud` reads its files from the base URL.
const READ: &str = "import json, sys
from cloudinit import util
meta, user, vendor = util.read_seeded(sys.argv[1], timeout=30, retries=0)
print(json.dumps([meta, user.decode(), vendor.decode()]))";

/// A server of a host whose files have secrets.
fn serve(origin: &FakeOrigin, settings: &str, templates: &[(&str, &str)]) -> (TestSite, TestServer) {
    let kernel = origin.put("linux", random_bytes(1, 5000));
    let site = TestSite::new(origin).asset(&kernel).tables(settings.parse().expect("the settings are TOML"));
    for (name, text) in templates {
        std::fs::write(site.file(name), text).expect("a template can be written");
    }
    let server = site.start();
    (site, server)
}

fn script(server: &TestServer) -> String {
    server.client().get("/ipxe?mac=24:6e:96:00:00:01").text()
}

#[test]
fn cloud_init_reads_protected_files() {
    let paths = [CLOUD_INIT, PYTHON].map(|path| root().join(path).display().to_string());
    let found = paths.each_ref().map(|path| Tool::file(path));
    let ([Some(module), Some(python)], Some(openssl)) = (found, Tool::find("openssl")) else { return };
    let settings = r#"
        [[profile]]
        name = "ubuntu"
        kernel = "linux"
        args = ["ds=nocloud;s={{ files_url() }}", "end"]
        [profile.files]
        user-data = { template = "user-data.j2", only_from = "host" }
        meta-data = { template = "meta-data.j2", only_from = "host" }
        vendor-data = { template = "vendor-data.j2", only_from = "host" }
        [[host]]
        name = "web-1"
        match = { mac = "24:6e:96:00:00:01" }
        profile = "ubuntu"
        secrets = { password = "it's \"secret\"" }
    "#;
    let user = "#cloud-config\npassword: {{ secrets.password | sha512_crypt }}\nchpasswd: { expire: false }\n";
    let templates = [
        ("user-data.j2", user),
        ("meta-data.j2", "instance-id: {{ host.name }}\nkey: {{ secrets.password }}\n"),
        ("vendor-data.j2", "#cloud-config\n"),
    ];
    let (_site, server) = serve(&FakeOrigin::start(), settings, &templates);
    let script = script(&server);
    let base = script.split("ds=nocloud;s=").nth(1).and_then(|rest| rest.split(' ').next()).expect("a base URL");
    assert!(base.contains("/hosts/web-1/~") && base.ends_with('/'), "{base}");

    let modules = module.parent().and_then(|it| it.parent()).expect("a directory");
    let mut reading = std::process::Command::new(python);
    reading.env("PYTHONPATH", modules).args(["-c", READ, base]);
    let output = reading.run_to_end();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(read[0], serde_json::json!({ "instance-id": "web-1", "key": "it's \"secret\"" }));
    let user = read[1].as_str().expect("user-data");
    let hash = user.lines().find_map(|line| line.strip_prefix("password: ")).expect("a password").trim_matches('"');
    let salt = hash.split('$').nth(2).expect("a salt");
    assert_eq!(openssl.succeed(["passwd", "-6", "-salt", salt, "it's \"secret\""]).trim_end(), hash);

    for file in ["meta-data", "user-data", "vendor-data"] {
        server.wait_for_transfer(&format!("hosts/web-1/{file}"), "complete");
    }
    // Newer releases ask for this file too, and take it as absent.
    let path = base.split_once("/hosts/").expect("a path").1;
    assert_eq!(server.client().get(&format!("/hosts/{path}network-config")).status, 404);
    let other = path.replace('~', "~0");
    assert_eq!(server.client().get(&format!("/hosts/{other}user-data")).status, 403);
    assert_eq!(server.client().get("/hosts/web-1/user-data").status, 403);
    let token = path.trim_start_matches("web-1/~").trim_end_matches('/');
    let leaks = server.lines(|line| line.names().iter().any(|name| line.text(name).contains(token)));
    assert!(leaks.is_empty(), "the log has the token");
}

#[test]
fn tftp_loader_gets_host_file() {
    let Some(curl) = Tool::find("curl") else { return };
    let settings = r#"
        [[profile]]
        name = "esxi"
        kernel = "linux"
        files = { "boot.cfg" = "boot.cfg.j2", "ks.cfg" = { template = "ks.cfg.j2", only_from = "host" } }
        [[host]]
        name = "esx-1"
        match = { mac = "24:6e:96:00:00:01" }
        profile = "esxi"
        secrets = { root = "hunter2" }
    "#;
    let boot = "title={{ host.name }}\nkernelopt=ks={{ file_url('ks.cfg') }}\nprefix={{ files_url() }}\n";
    let templates = [("boot.cfg.j2", boot), ("ks.cfg.j2", "rootpw {{ secrets.root }}\n")];
    let (_site, server) = serve(&FakeOrigin::start(), settings, &templates);
    let get = |name: &str| curl.run(["-q", "-sS", &format!("tftp://{}/{name}", server.tftp)]);

    // The loader has no script of this server: its file takes the place of one.
    let loaded = get("esxi/01-24-6e-96-00-00-01/boot.cfg");
    let text = String::from_utf8_lossy(&loaded.stdout).into_owned();
    assert!(text.starts_with("title=esx-1\nkernelopt=ks=http://127.0.0.1:"), "{text}{:?}", loaded.status);
    let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)).expect("a line").to_owned();
    let path = value("kernelopt=ks=").split_once("/hosts/").expect("a path").1.to_owned();
    assert_eq!(server.client().get(&format!("/hosts/{path}")).text(), "rootpw hunter2\n");
    server.wait_for_transfer("hosts/esx-1/boot.cfg", "complete");

    let named = get("hosts/esx-1/boot.cfg");
    assert!(named.status.success() && named.stdout.starts_with(b"title=esx-1\n"));
    // Without its token a protected file is refused (curl's 69), and with it the file comes over TFTP too.
    assert_eq!(get("hosts/esx-1/ks.cfg").status.code(), Some(69));
    let directory = value("prefix=").split_once("/hosts/").expect("a path").1.to_owned();
    assert_eq!(get(&format!("hosts/{directory}ks.cfg")).stdout, b"rootpw hunter2\n");
    // curl's 68: there is no such file.
    assert_eq!(get("01-24-6e-96-00-00-02/boot.cfg").status.code(), Some(68));
}
