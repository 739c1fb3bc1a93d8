//! The Containerfile: linted, and the file layout of its last stage run in a chroot, because a test cannot build an image.

use std::path::Path;
use std::process::{Command, Stdio};

use super::{bootdepot, project, text};
use crate::support::{Client, CommandExt, TestSite, Tool, namespace};

const FILE: &str = "deploy/container/Containerfile";

#[test]
fn hadolint_accepts_the_containerfile() {
    let Some(hadolint) = Tool::find("hadolint") else { return };
    assert_eq!(hadolint.succeed([project(FILE)]), "");
}

/// Returns the arguments of an instruction that has the form of a list.
fn list(instruction: &str) -> Vec<String> {
    let text = text(FILE);
    let list =
        text.lines().find_map(|line| line.strip_prefix(instruction)).unwrap_or_else(|| panic!("no {instruction}"));
    // Options may precede the list.
    let list = list.find('[').map_or(list, |begin| &list[begin..]);
    serde_json::from_str(list).unwrap_or_else(|error| panic!("{list}: {error}"))
}

#[test]
fn image_layout_runs_the_server() {
    let [Some(ldd), Some(unshare)] = ["ldd", "unshare"].map(Tool::find) else { return };
    // A user who may create a mount namespace may use chroot too.
    if !namespace::can_unshare(&unshare, &["--mount"]) {
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
    // The image of the last stage has the C library and the compiler's libraries. ldd prints the loader without an arrow.
    let libraries = ldd.succeed([bootdepot()]);
    let known = ["libc.so.6", "libm.so.6", "libgcc_s.so.1", "ld-linux"];
    for library in libraries.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/'))) {
        assert!(known.iter().any(|known| library.contains(known)), "the image has no {library}");
        copy(Path::new(library), library);
    }
    // A file goes into the directory, and a directory becomes it.
    let containerfile = text(FILE);
    let copies = containerfile.lines().filter_map(|line| line.strip_prefix("COPY config/")?.split_once(' '));
    for (from, to) in copies {
        let (from, to) = (project("config").join(from), root.join(to.trim_start_matches('/')));
        let directory = if from.is_dir() { to.parent().unwrap() } else { &*to };
        std::fs::create_dir_all(directory).unwrap();
        let copied = Command::new("cp").arg("-r").arg(from).arg(to).run_to_end();
        assert!(copied.status.success(), "{copied:?}");
    }
    assert!(root.join("usr/share/doc/bootdepot/examples/recipes/debian/preseed.cfg.j2").is_file());
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
    let server = TestSite::run(serve);
    assert_eq!(Client::new(server.http).get("/readyz").status, 200);

    let health = |args: &[&str]| {
        let mut command = inside(&list("HEALTHCHECK "));
        command.env("BOOTDEPOT_ADMIN__LISTEN", server.admin.to_string()).args(args).run_to_end()
    };
    let healthy = health(&[]);
    assert!(healthy.status.success(), "{}", String::from_utf8_lossy(&healthy.stderr));
    let ready = health(&["--ready"]);
    assert_eq!((ready.status.code(), String::from_utf8_lossy(&ready.stdout).trim()), (Some(0), "ready"));
    let admin = server.admin;
    assert!(server.stop().success());
    let mut dead = inside(&list("HEALTHCHECK "));
    let dead = dead.env("BOOTDEPOT_ADMIN__LISTEN", admin.to_string()).run_to_end();
    assert_eq!(dead.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&dead.stderr).contains(&format!("no server answers at {admin}")));
}
