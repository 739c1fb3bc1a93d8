//! Disks that fill up, fail, turn read-only or have foreign files in them: real file systems, real clients. Every client gets
//! the right bytes.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::support::{
    ChildExt, Client, FakeOrigin, Object, TestServer, TestSite, Tool, note_skipped, random_bytes, wait_until,
};

/// A mounted file system. Unmounted when dropped.
struct Disk {
    dir: tempfile::TempDir,
    /// The loop device, and the directory of its image.
    device: Option<(PathBuf, tempfile::TempDir)>,
}

impl Disk {
    /// A tmpfs with these options. `None`, and the test is reported as skipped, if nothing can be mounted here.
    fn tmpfs(options: &str) -> Option<Self> {
        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        let options = std::ffi::CString::new(options).expect("no NUL");
        match mount("tmpfs", dir.path(), "tmpfs", MountFlags::empty(), options.as_c_str()) {
            Ok(()) => Some(Self { dir, device: None }),
            Err(error) => {
                note_skipped(&format!("no tmpfs can be mounted here: {error}"));
                None
            }
        }
    }

    /// An ext4 file system on a loop device.
    fn ext4(mebibytes: u64) -> Option<Self> {
        let (losetup, mkfs) = (Tool::find("losetup")?, Tool::find("mkfs.ext4")?);
        let home = tempfile::tempdir().expect("a temporary directory can be made");
        let image = home.path().join("image");
        let file = std::fs::File::create(&image).expect("an image can be made");
        file.set_len(mebibytes << 20).expect("an image can be made");
        let image = image.to_str().expect("a temporary path is UTF-8");
        mkfs.succeed(["-q", "-F", image]);
        let attached = losetup.run(["--find", "--show", image]);
        if !attached.status.success() {
            note_skipped("no loop device can be attached here");
            return None;
        }
        let device = PathBuf::from(String::from_utf8_lossy(&attached.stdout).trim());
        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        let mounted = mount(&device, dir.path(), "ext4", MountFlags::empty(), c"");
        let disk = Self { dir, device: Some((device, home)) };
        if let Err(error) = mounted {
            note_skipped(&format!("no ext4 can be mounted here: {error}"));
            return None;
        }
        Some(disk)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Makes every later write fail with EIO, as a disk that is lost.
    fn shut_down(&self) {
        let python = Tool::find("python3").expect("the test looked for it");
        // EXT4_IOC_SHUTDOWN of <linux/ext4.h>, which is _IOR('X', 125, __u32), with EXT4_GOING_FLAGS_NOLOGFLUSH (2).
        let program = "import fcntl, os, struct, sys\n\
            fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587d, struct.pack('I', 2))";
        python.succeed(["-c", program, self.dir.path().to_str().expect("a temporary path is UTF-8")]);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = unmount(self.dir.path(), UnmountFlags::DETACH);
        if let Some((device, _)) = &self.device {
            let _ = std::process::Command::new("losetup").arg("--detach").arg(device).status();
        }
    }
}

/// A site with its cache on `disk`.
fn site_on(disk: &Disk, origin: &FakeOrigin) -> TestSite {
    TestSite::new(origin).set("cache.dir", disk.path("cache").display().to_string())
}

/// curl that fetches an asset into a file.
struct Curl {
    child: Child,
    file: PathBuf,
}

impl Curl {
    fn http(tool: &Tool, server: &TestServer, object: &Object, file: PathBuf) -> Self {
        Self::start(tool, &server.url(&format!("/assets/{}", object.key)), file)
    }

    fn tftp(tool: &Tool, server: &TestServer, object: &Object, file: PathBuf) -> Self {
        Self::start(tool, &format!("tftp://{}/{}", server.tftp, object.key), file)
    }

    fn start(tool: &Tool, url: &str, file: PathBuf) -> Self {
        let mut command = tool.command();
        command.args(["-q", "--silent", "--show-error", "--fail", "--tftp-blksize", "1432", "-o"]);
        command.arg(&file).arg(url).stdin(Stdio::null());
        Self { child: command.spawn().expect("curl starts"), file }
    }

    /// Waits until it has written bytes to its file.
    fn wait_for_bytes(&self) {
        let has_bytes = || std::fs::metadata(&self.file).is_ok_and(|meta| meta.len() > 0).then_some(());
        wait_until(has_bytes, || "curl got no byte".to_owned());
    }

    /// Waits for its end, and compares the file.
    fn finish(mut self, object: &Object) {
        let status = self.child.wait_for_exit();
        assert!(status.success(), "curl of {} ended with {status}", object.key);
        assert!(std::fs::read(&self.file).expect("curl wrote its file") == object.bytes, "{} is right", object.key);
    }
}

fn fetch_both_ways(server: &TestServer, site: &TestSite, object: &Object, curl: &Tool) {
    Curl::http(curl, server, object, site.file("by-http")).finish(object);
    Curl::tftp(curl, server, object, site.file("by-tftp")).finish(object);
}

fn ready(server: &TestServer) -> (u16, String) {
    let reply = Client::new(server.admin).get("/readyz");
    (reply.status, reply.text())
}

/// The text of `/readyz` once a line of it contains `wanted`.
fn wait_ready_text(server: &TestServer, wanted: &str) -> (u16, String) {
    let found = || Some(ready(server)).filter(|(_, text)| text.contains(wanted));
    wait_until(found, || format!("/readyz does not say {wanted:?}: {:?}", ready(server)))
}

#[test]
fn obstructed_blobs_are_served_and_stored() {
    let Some(curl) = Tool::find("curl") else { return };
    let origin = FakeOrigin::start();
    let objects: Vec<_> = (0..4).map(|n| origin.put(&format!("image-{n}"), random_bytes(n, 3 << 20))).collect();
    let site = objects.iter().fold(TestSite::new(&origin), TestSite::asset);
    let cache = site.cache_dir();
    let blob = |object: &Object| {
        let hex = object.sha256();
        cache.join("blobs/sha256").join(&hex[..2]).join(hex)
    };
    let in_the_way = |path: &Path| {
        std::fs::create_dir_all(path).unwrap();
        std::fs::write(path.join("notes"), "an operator's").unwrap();
    };
    let server = site.start();
    in_the_way(&blob(&objects[0]));
    in_the_way(&cache.join("partial").join(objects[1].sha256()));
    std::fs::create_dir_all(blob(&objects[2])).unwrap();
    let shard = blob(&objects[3]).parent().unwrap().to_owned();
    let _ = std::fs::remove_dir(&shard);
    let shard_is_file = std::fs::write(&shard, "a file in the place of a directory").is_ok();
    for object in &objects {
        fetch_both_ways(&server, &site, object, &curl);
        server.wait_for_fill(&object.key, "complete");
        assert!(blob(object).is_file(), "{} is stored", object.key);
    }
    let kept: Vec<_> = std::fs::read_dir(cache.join("quarantine")).unwrap().map(|it| it.unwrap().path()).collect();
    assert_eq!(kept.iter().filter(|path| path.join("notes").exists()).count(), 2, "{kept:?}");
    assert_eq!(kept.len(), 2 + usize::from(shard_is_file), "{kept:?}");
    let moved = server.lines(|line| line.text("message") == "foreign file in the cache moved aside");
    assert_eq!(moved.len(), kept.len());
    assert_eq!(ready(&server), (200, "ready\n".to_owned()), "bad paths are no bad cache");
}

#[test]
fn full_inodes_serve_through_origin() {
    let Some(curl) = Tool::find("curl") else { return };
    let Some(disk) = Disk::tmpfs("size=64m,nr_inodes=40") else { return };
    let origin = FakeOrigin::start();
    let object = origin.put("image", random_bytes(1, 5 << 20));
    let site = site_on(&disk, &origin).asset(&object);
    let server = site.start();
    let taken = (0..).map(|n| disk.path(&n.to_string())).take_while(|path| std::fs::write(path, "").is_ok());
    let taken: Vec<_> = taken.collect();
    fetch_both_ways(&server, &site, &object, &curl);
    let (status, text) = wait_ready_text(&server, "is full");
    assert_eq!((status, text.lines().next()), (200, Some("ready")), "assets stream through");
    for path in &taken {
        std::fs::remove_file(path).unwrap();
    }
    wait_until(|| (ready(&server).1 == "ready\n").then_some(()), || format!("{:?}", ready(&server)));
}

#[test]
fn min_free_evicts_and_shortage_is_reported() {
    let Some(curl) = Tool::find("curl") else { return };
    let Some(disk) = Disk::tmpfs("size=32m") else { return };
    let origin = FakeOrigin::start();
    let objects: Vec<_> = (0..3).map(|n| origin.put(&format!("image-{n}"), random_bytes(n, 4 << 20))).collect();
    let site = site_on(&disk, &origin).set("cache.min_free", "12 MiB");
    let site = objects.iter().fold(site, TestSite::asset);
    let server = site.start();
    for object in &objects {
        fetch_both_ways(&server, &site, object, &curl);
        server.wait_for_fill(&object.key, "complete");
    }
    std::fs::write(disk.path("others"), vec![0; 12 << 20]).unwrap();
    let evicting = |server: &TestServer| {
        ready(server);
        server.lines(|line| line.text("message").starts_with("evicting: other files")).pop()
    };
    let line = wait_until(|| evicting(&server), || "nothing is evicted".to_owned());
    assert_eq!(line.number("min_free"), 12 << 20);
    assert!(line.number("free") < 12 << 20);
    assert_eq!(ready(&server), (200, "ready\n".to_owned()));

    std::fs::write(disk.path("more"), vec![0; 16 << 20]).unwrap_err();
    let (status, text) = wait_ready_text(&server, "min_free keeps 12582912 of them free");
    assert_eq!((status, text.lines().next()), (200, Some("ready")));
    let shown = site.run_command(server.admin, &["status"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("min_free keeps 12582912 of them free"), "{shown}");
    let status: serde_json::Value =
        serde_json::from_str(&Client::new(server.admin).get("/api/v1/status").text()).unwrap();
    assert_eq!(status["ready"], true);
    assert!(status["cache"]["trouble"].as_str().unwrap().contains("min_free"), "{status}");
    let metrics = Client::new(server.admin).get("/metrics").text();
    let missing = metrics.lines().find_map(|line| line.strip_prefix("bootdepot_cache_missing_free_bytes ")).unwrap();
    assert!(missing.parse::<f64>().unwrap() > 0.0, "{missing}");
    fetch_both_ways(&server, &site, &objects[0], &curl);
}

/// Starts downloads over HTTP and TFTP, lets the disk fail in the middle of the fill, and compares what the clients get.
fn fail_in_the_middle(disk: &Disk, fail: impl FnOnce(&Disk)) -> TestServer {
    let curl = Tool::find("curl").expect("the test looked for it");
    let origin = FakeOrigin::start();
    let object = origin.put("image", random_bytes(7, 24 << 20));
    let site = site_on(disk, &origin).asset(&object).set("tftp.retries", 30);
    let server = site.start();
    origin.allow(&object.key, 12 << 20);
    let clients: Vec<_> =
        (0..6).map(|n| Curl::http(&curl, &server, &object, site.file(&format!("by-http-{n}")))).collect();
    let tftp = Curl::tftp(&curl, &server, &object, site.file("by-tftp"));
    clients.iter().for_each(Curl::wait_for_bytes);
    fail(disk);
    origin.allow(&object.key, u64::MAX);
    for client in clients {
        client.finish(&object);
    }
    tftp.finish(&object);
    server.wait_for_fill(&object.key, "no-space");
    let sent = origin.sent(&object.key);
    assert!(sent <= 4 * object.size(), "{sent} bytes of {} were fetched for seven clients", object.size());
    server
}

#[test]
fn lost_disk_mid_fill_costs_no_client() {
    let (Some(_), Some(_)) = (Tool::find("curl"), Tool::find("python3")) else { return };
    let Some(disk) = Disk::ext4(128) else { return };
    let server = fail_in_the_middle(&disk, Disk::shut_down);
    let (status, text) = wait_ready_text(&server, "cannot be written: Input/output error");
    assert_eq!(status, 503, "{text}");
}

#[test]
fn immutable_blobs_serve_whole_asset() {
    let (Some(curl), Some(chattr)) = (Tool::find("curl"), Tool::find("chattr")) else { return };
    let Some(disk) = Disk::ext4(128) else { return };
    let origin = FakeOrigin::start();
    let object = origin.put("image", random_bytes(7, 24 << 20));
    let site = site_on(&disk, &origin).asset(&object);
    let server = site.start();
    let shard = disk.path("cache/blobs/sha256").join(&object.sha256()[..2]);
    std::fs::create_dir(&shard).unwrap();
    chattr.succeed(["+i", shard.to_str().unwrap()]);
    origin.allow(&object.key, 12 << 20);
    let clients: Vec<_> =
        (0..6).map(|n| Curl::http(&curl, &server, &object, site.file(&format!("by-http-{n}")))).collect();
    let tftp = Curl::tftp(&curl, &server, &object, site.file("by-tftp"));
    clients.iter().for_each(Curl::wait_for_bytes);
    origin.allow(&object.key, u64::MAX);
    for client in clients {
        client.finish(&object);
    }
    tftp.finish(&object);
    let fill = server.wait_for_fill(&object.key, "no-space");
    assert!(fill.text("detail").contains("Operation not permitted"), "{fill:?}");
    assert_eq!(origin.sent(&object.key), object.size(), "each byte was fetched once");
    assert_eq!(ready(&server), (200, "ready\n".to_owned()), "one bad directory is no bad cache");
    fetch_both_ways(&server, &site, &object, &curl);
    chattr.succeed(["-i", shard.to_str().unwrap()]);
}

#[test]
fn unmounted_cache_mid_fill_costs_no_client() {
    let Some(_) = Tool::find("curl") else { return };
    let Some(disk) = Disk::tmpfs("size=64m") else { return };
    fail_in_the_middle(&disk, |disk| unmount(disk.dir.path(), UnmountFlags::DETACH).unwrap());
}

#[test]
fn deleted_cache_mid_fill_costs_no_client() {
    let Some(_) = Tool::find("curl") else { return };
    let Some(disk) = Disk::tmpfs("size=64m") else { return };
    fail_in_the_middle(&disk, |disk| std::fs::remove_dir_all(disk.path("cache")).unwrap());
}

/// `RLIMIT_FSIZE` makes writes of large files fail with EFBIG, and would kill a process that does not ignore SIGXFSZ.
#[test]
fn file_size_limit_streams_large_assets() {
    let Some(curl) = Tool::find("curl") else { return };
    let origin = FakeOrigin::start();
    let (small, large) = (origin.put("small", random_bytes(1, 1 << 20)), origin.put("large", random_bytes(2, 9 << 20)));
    let site = TestSite::new(&origin).asset(&small).asset(&large);
    let mut limited = std::process::Command::new("prlimit");
    let command = site.command();
    limited.arg("--fsize=4194304").arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => limited.env(name, value),
            None => limited.env_remove(name),
        };
    }
    limited.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let server = TestSite::run(limited);
    fetch_both_ways(&server, &site, &large, &curl);
    fetch_both_ways(&server, &site, &small, &curl);
    server.wait_for_fill(&small.key, "complete");
    assert_eq!(ready(&server), (200, "ready\n".to_owned()));
}
