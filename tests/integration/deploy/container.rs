//! The Containerfile: linted, and its last stage's layout run as a root directory, since no image can be built in a test.

use std::path::Path;
use std::process::{Command, Stdio};

use super::{bootdepot, project, text};
use crate::support::{Client, Site, Tool, namespace};

const FILE: &str = "deploy/container/Containerfile";

#[test]
fn hadolint_finds_nothing_wrong_with_the_containerfile() {
    let Some(hadolint) = Tool::find("hadolint") else { return };
    assert_eq!(hadolint.succeed([project(FILE)]), "");
}

/// The arguments of an instruction in the form of a list.
fn list(instruction: &str) -> Vec<String> {
    let text = text(FILE);
    let list =
        text.lines().find_map(|line| line.strip_prefix(instruction)).unwrap_or_else(|| panic!("no {instruction}"));
    // Options may stand before it.
    let list = list.find('[').map_or(list, |begin| &list[begin..]);
    serde_json::from_str(list).unwrap_or_else(|error| panic!("{list}: {error}"))
}

#[test]
fn what_the_image_holds_is_all_that_the_server_needs() {
    let [Some(ldd), Some(unshare)] = ["ldd", "unshare"].map(Tool::find) else { return };
    // Whoever may make a namespace of mounts may change its root.
    if !namespace::can_be_had(&unshare, &["--mount"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let copy = |from: &Path, to: &str| {
        let to = root.join(to.trim_start_matches('/'));
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(from, to).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
    };
    copy(Path::new(bootdepot()), "usr/bin/bootdepot");
    // Those of the C library and the compiler's own, which the last stage's image has. The loader is named without an arrow.
    let libraries = ldd.succeed([bootdepot()]);
    let known = ["libc.so.6", "libm.so.6", "libgcc_s.so.1", "ld-linux"];
    for library in libraries.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/'))) {
        assert!(known.iter().any(|known| library.contains(known)), "the image has no {library}");
        copy(Path::new(library), library);
    }
    // COPY config /etc/bootdepot
    std::fs::create_dir_all(root.join("etc")).unwrap();
    let copied = Command::new("cp").arg("-r").arg(project("config")).arg(root.join("etc/bootdepot")).status().unwrap();
    assert!(copied.success());
    let cache = root.join("var/cache/bootdepot");
    std::fs::create_dir_all(&cache).unwrap();
    std::os::unix::fs::chown(&cache, Some(65532), Some(65532)).unwrap();
    assert!(text(FILE).contains("\nUSER 65532:65532\n"));

    let inside = |program: &[String]| {
        let mut command = Command::new("chroot");
        command.arg("--userspec=65532:65532").arg(root).args(program).env_clear().env("PATH", "/usr/sbin:/usr/bin");
        for (name, value) in [
            ("BOOTDEPOT_LOG_FORMAT", "json"),
            ("BOOTDEPOT_HTTP__LISTEN", r#"["127.0.0.1:0"]"#),
            ("BOOTDEPOT_TFTP__LISTEN", r#"["127.0.0.1:0"]"#),
            ("BOOTDEPOT_ADMIN__LISTEN", "127.0.0.1:0"),
            ("BOOTDEPOT_CACHE__MIN_FREE", "0"),
        ] {
            command.env(name, value);
        }
        command.stdin(Stdio::null());
        command
    };
    let mut serve = inside(&[list("ENTRYPOINT "), list("CMD ")].concat());
    serve.stdout(Stdio::null());
    let server = Site::run(serve);
    assert_eq!(Client::of(server.http).get("/readyz").status, 200);

    let health = |args: &[&str]| {
        let mut command = inside(&list("HEALTHCHECK "));
        command.env("BOOTDEPOT_ADMIN__LISTEN", server.admin.to_string()).args(args).output().unwrap()
    };
    let healthy = health(&[]);
    assert!(healthy.status.success(), "{}", String::from_utf8_lossy(&healthy.stderr));
    let ready = health(&["--ready"]);
    assert_eq!((ready.status.code(), String::from_utf8_lossy(&ready.stdout).trim()), (Some(0), "ready"));
    let admin = server.admin;
    assert!(server.stop().success());
    let mut dead = inside(&list("HEALTHCHECK "));
    let dead = dead.env("BOOTDEPOT_ADMIN__LISTEN", admin.to_string()).output().unwrap();
    assert_eq!(dead.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&dead.stderr).contains(&format!("no server answers at {admin}")));
}
