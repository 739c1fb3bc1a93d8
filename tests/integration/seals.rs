//! Blobs sealed by the kernel (fs-verity), in a virtual machine with a kernel that supports it: no write changes them, a
//! restart hashes nothing again, and a disk that returns other bytes costs one transfer at most. A disk with a bad sector, and
//! blobs without seals.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bootdepot::asset::Digest;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::Value;

use crate::support::guest_shell::{GuestShell, GuestSystem};
use crate::support::program::bootdepot;
use crate::support::{Tool, machine, random_bytes};

/// The disk's blocks, in bytes.
const BLOCK: usize = 4096;
/// The size of each asset in bytes: more than one frame of a response.
const SIZE: usize = 5 << 20;

/// The block of each blob that the disk returns with other bytes, or not at all: in the second frame of a response.
const BAD: u64 = 1100;

/// The assets, and the URLs that request them.
const ASSETS: [(&str, &str); 4] = [
    ("by-http", "http://127.0.0.1:8080/assets/by-http"),
    ("by-https", "https://127.0.0.1:8443/assets/by-https"),
    ("by-tftp", "tftp://127.0.0.1:6969/by-tftp"),
    ("last", "http://127.0.0.1:8080/assets/last"),
];
/// The assets whose blobs get a bad block: one for each way to send it.
const DAMAGED: std::ops::Range<usize> = 0..3;

/// A guest with a server, and a disk for its cache.
struct SealTest {
    system: GuestSystem,
    debugfs: Tool,
    disk: PathBuf,
    assets: Vec<Digest>,
    _dir: tempfile::TempDir,
}

impl SealTest {
    /// Prepares the guest, and a disk whose file system has these features besides the usual ones.
    fn new(features: &str) -> Option<Self> {
        let tools = ["curl", "debugfs", "mkfs.ext4"].map(Tool::find);
        let [Some(curl), Some(debugfs), Some(mkfs)] = tools else { return None };
        let contents: Vec<_> = (0..ASSETS.len() as u64).map(|seed| random_bytes(70 + seed, SIZE)).collect();
        let assets: Vec<_> = contents.iter().map(|bytes| Digest::of(bytes)).collect();
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate can be made");
        let names = ASSETS.map(|(name, _)| format!("origin/{name}"));
        let (cert, key, settings) = (cert.pem(), signing_key.serialize_pem(), settings(&assets));
        let mut files = vec![
            ("etc/bootdepot.toml", settings.as_bytes()),
            ("etc/cert.pem", cert.as_bytes()),
            ("etc/key.pem", key.as_bytes()),
            ("etc/passwd", b"root:x:0:0::/:/bin/sh\nboot:x:1000:1000::/:/bin/sh\n"),
        ];
        files.extend(names.iter().map(String::as_str).zip(contents.iter().map(Vec::as_slice)));
        let system = GuestSystem::new(&[bootdepot(), curl.path()], &files)?;

        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        let disk = dir.path().join("disk");
        File::create(&disk).and_then(|file| file.set_len(64 << 20)).expect("a disk can be made");
        let block = BLOCK.to_string();
        let format = ["-q", "-b", &block, "-E", "root_owner=1000:1000", "-O", features];
        mkfs.succeed(format.iter().map(Path::new).chain([disk.as_path()]));
        Some(Self { system, debugfs, disk, assets, _dir: dir })
    }

    /// Boots the guest, and mounts the disk.
    fn boot(&self) -> GuestShell {
        self.boot_with(&self.disk.display().to_string())
    }

    /// Boots the guest with a disk in QEMU's notation, and mounts it.
    fn boot_with(&self, disk: &str) -> GuestShell {
        let mut shell = self.system.boot(&[disk]);
        shell.succeed(&format!("mkdir /disk && {MOUNT}"));
        shell
    }

    /// Fills the cache with all assets.
    fn fill(&self, shell: &mut GuestShell) {
        for (asset, (name, _)) in ASSETS.iter().enumerate() {
            let received = Self::request(shell, asset);
            assert_eq!(received, (0, self.assets[asset].to_string()), "{name}: {}", shell.run("cat /tmp/log").1);
        }
    }

    /// The path of a blob on the disk.
    fn blob(&self, asset: usize) -> String {
        let name = self.assets[asset].to_string();
        format!("cache/blobs/sha256/{}/{name}", &name[..2])
    }

    /// Where the bad block of a blob is on the disk, in bytes. The file system must not be mounted.
    fn bad_block(&self, asset: usize) -> u64 {
        let command = format!("bmap /{} {BAD}", self.blob(asset));
        let block = self.debugfs.succeed([Path::new("-R"), Path::new(&command), &self.disk]);
        let block: u64 = block.trim().parse().unwrap_or_else(|_| panic!("no block: {block}"));
        block * BLOCK as u64
    }

    /// Changes one byte in the bad block of a blob. The file system must not be mounted.
    fn alter(&self, asset: usize) {
        let at = self.bad_block(asset) + 7;
        let (disk, mut byte) = (File::options().read(true).write(true).open(&self.disk).expect("the disk"), [0]);
        disk.read_exact_at(&mut byte, at).expect("the disk can be read");
        disk.write_all_at(&[byte[0] ^ 1], at).expect("the disk can be written");
    }

    /// Requests the blobs with a bad block. Each costs one transfer at most, and is fetched again.
    fn request_damaged(&self, shell: &mut GuestShell) {
        for (asset, quarantined) in DAMAGED.zip(1..) {
            let (name, digest) = (ASSETS[asset].0, self.assets[asset].to_string());
            // The transfer is cut off, or goes on with bytes of the source.
            let (status, received) = Self::request(shell, asset);
            let log = |shell: &mut GuestShell| shell.run("cat /tmp/log").1;
            assert!(status != 0 || received == digest, "{name}: wrong bytes are complete: {}", log(shell));
            wait_for_metric(shell, "bootdepot_cache_entries{state=\"quarantined\"}", quarantined);
            let warned = format!("grep -c 'blob not readable.*{name}.*{digest}' /tmp/log");
            assert_eq!(shell.run(&warned).1.trim(), "1", "{name}: {}", log(shell));
            assert_eq!(Self::request(shell, asset), (0, digest), "{name}: {}", log(shell));
            let filled = format!("[ $(grep '\"fill\"' /tmp/log | grep {name} | grep -c complete) = 1 ]");
            assert_eq!(shell.run(&filled).0, 0, "{name} is filled again: {}", log(shell));
        }
        wait_for_metric(shell, "bootdepot_scrub_blobs_total{outcome=\"unreadable\"}", 3);
        // They have other places on the disk now.
        self.fill(shell);
    }

    /// Requests an asset. Returns the exit status of curl, and the digest of what it has received.
    fn request(shell: &mut GuestShell, asset: usize) -> (i32, String) {
        let url = ASSETS[asset].1;
        let curl = "curl -sf --max-time 100 --tftp-blksize 1400 --cacert /etc/cert.pem -o /tmp/received";
        let (status, _) = shell.run(&format!("rm -f /tmp/received; {curl} {url}"));
        (status, shell.run("sha256sum /tmp/received").1.split(' ').next().unwrap_or_default().to_owned())
    }
}

/// The configuration of the guest's server.
fn settings(assets: &[Digest]) -> String {
    let mut text = "
        [cache]
        dir = \"/disk/cache\"
        max_size = \"50 MiB\"
        min_free = 0
        [http]
        listen = [\"127.0.0.1:8080\"]
        [http.tls]
        listen = [\"127.0.0.1:8443\"]
        cert = \"/etc/cert.pem\"
        key = \"/etc/key.pem\"
        [tftp]
        listen = [\"127.0.0.1:6969\"]
        [admin]
        listen = \"127.0.0.1:8081\"
    "
    .to_owned();
    for ((name, _), digest) in ASSETS.iter().zip(assets) {
        let sources = format!("sources = [\"file:///origin/{name}\"]");
        text.extend(["\n[[asset]]\n".to_owned(), format!("name = \"{name}\"\nsha256 = \"{digest}\"\n{sources}\n")]);
    }
    text
}

/// Mounts the disk.
const MOUNT: &str = "mount -t ext4 /dev/vda /disk";

/// Starts a server as a user without privileges, and waits until it serves.
fn start(shell: &mut GuestShell) {
    let serve = format!("BOOTDEPOT_LOG_FORMAT=json {} serve --config /etc/bootdepot.toml", bootdepot().display());
    shell.succeed(&format!("su boot -c '{serve} >/tmp/log 2>&1 &'"));
    shell.wait_until("curl -sf http://127.0.0.1:8080/healthz");
}

fn stop(shell: &mut GuestShell) {
    shell.succeed("kill $(pidof bootdepot)");
    shell.wait_until("! pidof bootdepot");
}

/// The value of a metric with these labels; 0 if it has none yet.
fn metric(shell: &mut GuestShell, name: &str) -> u64 {
    let metrics = shell.succeed("curl -sf http://127.0.0.1:8081/metrics");
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(0, |value| value.trim().parse().unwrap_or_else(|_| panic!("{name} is {value}")))
}

/// Waits until a metric has this value.
fn wait_for_metric(shell: &mut GuestShell, name: &str, value: u64) {
    shell.wait_until(&format!("curl -sf http://127.0.0.1:8081/metrics | grep '^{name} {value}$'"));
}

fn status(shell: &mut GuestShell) -> Value {
    serde_json::from_str(&shell.succeed("curl -sf http://127.0.0.1:8081/api/v1/status")).expect("JSON")
}

#[test]
fn sealed_blobs_refuse_writes_and_survive_restart() {
    let Some(test) = SealTest::new("verity") else { return };
    let _lock = machine::boot_lock();

    let mut shell = test.boot();
    start(&mut shell);
    test.fill(&mut shell);
    wait_for_metric(&mut shell, "bootdepot_cache_sealed_entries", 4);
    let cut = "grep -e 'file changed' -e 'file was changed' /tmp/log";
    assert_eq!(shell.run(cut), (1, String::new()), "a seal is no change to readers");
    // The kernel refuses root, whatever the permissions are.
    let blob = format!("/disk/{}", test.blob(0));
    shell.succeed(&format!("chmod 666 {blob}"));
    for write in ["echo more >>", "echo other >", "dd if=/dev/zero conv=notrunc count=1 of="] {
        let (status, output) = shell.run(&format!("{write}{blob}"));
        assert!(status != 0 && output.contains("Operation not permitted"), "{write}: {output}");
    }
    stop(&mut shell);
    shell.switch_off();

    let mut shell = test.boot();
    // The metadata of all blobs change; their bytes are as they were sealed.
    let blobs = "/disk/cache/blobs/sha256/*/*";
    shell.succeed(&format!("touch -a {blobs}; chmod 400 {blobs}; ln /disk/{} /disk/linked", test.blob(3)));
    start(&mut shell);
    assert_eq!(SealTest::request(&mut shell, 3), (0, test.assets[3].to_string()));
    let hit = "bootdepot_transfers_total{protocol=\"http\",outcome=\"complete\",cache=\"hit\"}";
    wait_for_metric(&mut shell, hit, 1);
    wait_for_metric(&mut shell, "bootdepot_cache_sealed_entries", 4);
    for outcome in ["proven", "rotted", "unreadable"] {
        let scrubbed = format!("bootdepot_scrub_blobs_total{{outcome=\"{outcome}\"}}");
        assert_eq!(metric(&mut shell, &scrubbed), 0, "no blob is hashed again: {outcome}");
    }
    assert_eq!(status(&mut shell)["cache"]["seal"]["sealed"], 4);

    stop(&mut shell);
    shell.switch_off();
}

#[test]
fn sealed_blobs_on_altered_disk_refill() {
    let Some(test) = SealTest::new("verity") else { return };
    let _lock = machine::boot_lock();
    let mut shell = test.boot();
    start(&mut shell);
    test.fill(&mut shell);
    wait_for_metric(&mut shell, "bootdepot_cache_sealed_entries", 4);
    stop(&mut shell);
    shell.succeed("umount /disk");
    DAMAGED.for_each(|asset| test.alter(asset));
    shell.succeed(MOUNT);
    start(&mut shell);
    test.request_damaged(&mut shell);
    wait_for_metric(&mut shell, "bootdepot_cache_sealed_entries", 4);
    stop(&mut shell);
    shell.switch_off();
}

#[test]
fn unsealed_blobs_on_bad_sectors_refill() {
    let Some(test) = SealTest::new("^verity") else { return };
    let _lock = machine::boot_lock();
    let mut shell = test.boot();
    start(&mut shell);
    test.fill(&mut shell);
    stop(&mut shell);
    shell.switch_off();

    // QEMU fails every read of these sectors with EIO.
    let sectors = DAMAGED.flat_map(|asset| (0..BLOCK as u64 / 512).map(move |n| (asset, n)));
    let rules = sectors.map(|(asset, n)| {
        let sector = test.bad_block(asset) / 512 + n;
        format!("[inject-error]\nevent = \"none\"\niotype = \"read\"\nerrno = \"5\"\nsector = \"{sector}\"\n")
    });
    let config = test.disk.with_extension("blkdebug");
    std::fs::write(&config, rules.collect::<String>()).expect("the rules can be written");
    let mut shell = test.boot_with(&format!("blkdebug:{}:{}", config.display(), test.disk.display()));
    start(&mut shell);
    test.request_damaged(&mut shell);
    stop(&mut shell);
    shell.switch_off();
}

#[test]
fn disk_without_seals_serves_unless_required() {
    let Some(test) = SealTest::new("^verity") else { return };
    let _lock = machine::boot_lock();
    let mut shell = test.boot();
    start(&mut shell);
    assert_eq!(SealTest::request(&mut shell, 0), (0, test.assets[0].to_string()));
    let seal = &status(&mut shell)["cache"]["seal"];
    assert_eq!((seal["sealed"].as_u64(), seal["supported"].as_bool()), (Some(0), Some(false)), "{seal}");
    assert!(seal["reason"].as_str().is_some_and(|reason| reason.contains("tune2fs -O verity /dev/vda")), "{seal}");
    stop(&mut shell);

    let program = bootdepot().display();
    let required = format!("BOOTDEPOT_CACHE__SEAL=require {program}");
    for command in ["serve", "check"] {
        let (status, output) =
            shell.run(&format!("su boot -c '{required} {command} --config /etc/bootdepot.toml' 2>&1"));
        assert!(status == 1 && output.contains("tune2fs -O verity /dev/vda"), "{command}: {status}: {output}");
    }
    shell.switch_off();
}
