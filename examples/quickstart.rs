//! A demonstration on one machine that needs nothing installed: an S3 server with sample assets, bootdepot in front of
//! it with a rack of machines, and commands to copy.
//!
//! `cargo run --release --example quickstart` serves until Ctrl-C; with `-- --check` it runs each command itself and exits.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::process::{ExitCode, Stdio};

use anyhow::Context as _;
use bootdepot::app::{Addresses, App};
use bootdepot::asset::Digest;
use bootdepot::config::{Config, Flags};
use bootdepot::sockets::InheritedSockets;
use bootdepot::telemetry::{Logs, Metrics};
use bootdepot_test_support::s3::{ACCESS_KEY, BUCKET, S3Server, SECRET_KEY};

const SCRIPT: &str = "#!ipxe
echo
echo Hello from bootdepot: these lines came from S3, and their SHA-256 is verified.
echo This is a ${manufacturer} machine with the address ${net0/mac}.
sleep 3
reboot
";

/// The MAC addresses of the rack's machines. The first is the one that QEMU gives its network card; the others end in 2, 3, …
const RACK: [&str; 4] = ["52:54:00:12:34:56", "52:54:00:00:00:02", "52:54:00:00:00:03", "52:54:00:00:00:04"];

/// The configuration of the machines: a release, profiles that refer to its assets through its channel.
const MACHINES: &str = r#"
[[release]]
name = "demo-1"
channel = "demo"
assets = ["demo/vmlinuz", "demo/initrd.img", "demo/boot.ipxe"]
active = true

# A machine without a disk image of its own: it shows a greeting and starts again.
[[profile]]
name = "hello"
chain = "demo:boot.ipxe"

[[profile]]
name = "installer"
kernel = "demo:vmlinuz"
initrd = ["demo:initrd.img"]
args = ["hostname={{ host.name }}", "rootfs={{ asset_url('demo/rootfs.img') }}"]
"#;

/// An object in the bucket and the digest that the catalog names.
struct Sample {
    name: &'static str,
    digest: Digest,
}

/// A command to copy: what it is about, the command, and a part of its output.
struct Try {
    about: &'static str,
    command: String,
    shows: String,
}

fn main() -> anyhow::Result<ExitCode> {
    let check = match std::env::args().nth(1).as_deref() {
        None => false,
        Some("--check") => true,
        Some(other) => anyhow::bail!("{other:?} is not known; there is only --check"),
    };
    tokio::runtime::Runtime::new()?.block_on(quickstart(check))
}

async fn quickstart(check: bool) -> anyhow::Result<ExitCode> {
    let s3 = S3Server::start(|s3, request| async move { s3.call(request.map(s3s::Body::from)).await }).await?;
    let samples = upload(&s3).await?;
    let dir = tempfile::tempdir()?;
    let settings = dir.path().join("bootdepot.toml");
    std::fs::write(&settings, settings_file(&s3, &samples, &dir.path().join("cache"))?)?;

    let logs = if check { None } else { Some(Logs::start()?) };
    let flags = Flags { config: Some(settings.clone()), ..Flags::default() };
    let config = Config::load(&flags, std::iter::empty::<(String, String)>()).context("the settings are wrong")?;
    let app = App::start(config, Metrics::start(logs.as_ref().map(Logs::lost))?, InheritedSockets::default()).await?;
    let tries = tries(app.addresses(), &samples).context("a listener has no address")?;

    let done = if check {
        tokio::task::spawn_blocking(move || run_all(&tries)).await??
    } else {
        print(&s3, &settings, app.addresses().admin, &tries)?;
        tokio::signal::ctrl_c().await?;
        true
    };
    app.stop().await;
    Ok(if done { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Fills the bucket. The last sample was altered after its digest was computed.
async fn upload(s3: &S3Server) -> anyhow::Result<Vec<Sample>> {
    let noise = |length: usize| {
        let mut bytes = vec![0; length];
        fastrand::Rng::with_seed(length as u64).fill(&mut bytes);
        bytes
    };
    let mut altered = noise(50_000);
    let before = Digest::of(&altered);
    altered[25_000] ^= 1;
    let mut samples = Vec::new();
    for (name, bytes) in [
        ("demo/boot.ipxe", SCRIPT.as_bytes().to_vec()),
        ("demo/vmlinuz", noise(8 << 20)),
        ("demo/initrd.img", noise(16 << 20)),
        ("demo/rootfs.img", noise(64 << 20)),
        ("demo/altered.img", altered),
    ] {
        let digest = if name == "demo/altered.img" { before } else { Digest::of(&bytes) };
        s3.put(name, bytes.into()).await?;
        samples.push(Sample { name, digest });
    }
    Ok(samples)
}

fn settings_file(s3: &S3Server, samples: &[Sample], cache: &Path) -> std::io::Result<String> {
    // Fixed ports in the file, so that commands with this file find the server.
    let any = "127.0.0.1:0";
    let (http, admin, tftp) = (TcpListener::bind(any)?, TcpListener::bind(any)?, UdpSocket::bind(any)?);
    let (http, admin, tftp) = (http.local_addr()?, admin.local_addr()?, tftp.local_addr()?);
    let mut text = format!(
        r#"# The configuration of the quickstart.
[cache]
dir = "{cache}"
max_size = "1 GiB"
min_free = 0

[http]
listen = ["{http}"]

[tftp]
listen = ["{tftp}"]

[admin]
listen = "{admin}"

[[origin]]
match = "s3://{BUCKET}/"
endpoint = "{endpoint}"
region = "us-east-1"
credentials = {{ from = "static", access_key_id = "{ACCESS_KEY}", secret_access_key = "{SECRET_KEY}" }}
"#,
        cache = cache.display(),
        endpoint = s3.endpoint(),
    );
    for Sample { name, digest } in samples {
        let sources = format!("[\"s3://{BUCKET}/{name}\"]");
        let _ = writeln!(text, "\n[[asset]]\nname = \"{name}\"\nsources = {sources}\nsha256 = \"{digest}\"");
    }
    text.push_str(MACHINES);
    for (index, mac) in RACK.iter().enumerate() {
        let profile = if index == 0 { "hello" } else { "installer" };
        let number = index + 1;
        let _ = write!(
            text,
            "\n[[host]]\nname = \"demo-{number}\"\nmatch = {{ mac = [\"{mac}\"] }}\nprofile = \"{profile}\"\n"
        );
    }
    Ok(text)
}

fn tries(addresses: &Addresses, samples: &[Sample]) -> Option<Vec<Try>> {
    let (http, tftp, admin) = (addresses.http.first()?, addresses.tftp.first()?, addresses.admin?);
    let digest = |name: &str| Some(samples.iter().find(|s| s.name == name)?.digest.to_string());
    let rootfs = format!("http://{http}/assets/demo/rootfs.img");
    Some(vec![
        Try {
            about: "The headers of a 64 MiB asset before any of it is cached",
            command: format!("curl -sI {rootfs}"),
            shows: "Content-Length: 67108864".to_owned(),
        },
        Try {
            about: "The same asset, fetched from S3 and verified on the way; a second run is served from the cache",
            command: format!("curl -s {rootfs} | sha256sum"),
            shows: digest("demo/rootfs.img")?,
        },
        Try {
            about: "A range of it",
            command: format!("curl -s -r 1000-1999 -o /dev/null -D - {rootfs}"),
            shows: "Content-Range: bytes 1000-1999/67108864".to_owned(),
        },
        Try {
            about: "What firmware does: a kernel over TFTP",
            command: format!("curl -s --tftp-blksize 1432 tftp://{tftp}/demo/vmlinuz | sha256sum"),
            shows: digest("demo/vmlinuz")?,
        },
        Try {
            about: "One byte of this object was altered in S3: it is not served",
            command: format!("curl -s -w '%{{http_code}}' http://{http}/assets/demo/altered.img"),
            shows: "502".to_owned(),
        },
        Try {
            about: "What iPXE on the machine demo-2 does: it asks for its script, then for kernel, initrd and root file system \
                    (watch the rack on the dashboard)",
            command: format!(
                "for url in $(curl -s 'http://{http}/ipxe?mac={}' | grep -o 'http://[^ ]*' | sort -u); do \
                 curl -s -o /dev/null -w '%{{http_code}} %{{url}}\\n' \"$url\"; done",
                RACK[1]
            ),
            shows: format!("200 http://{http}/assets/demo/initrd.img"),
        },
        Try {
            about: "The failed fill, as a metric",
            command: format!("curl -s http://{admin}/metrics | grep fills_total"),
            shows: "bootdepot_fills_total{outcome=\"digest-mismatch\"} 1".to_owned(),
        },
        Try {
            about: "The machine demo-1 boots (QEMU; its network card asks, and 10.0.2.2 is this machine)",
            command: format!(
                "qemu-system-x86_64 -accel tcg -nographic -no-reboot -boot n -device virtio-net-pci,netdev=n \
                 -netdev user,id=n,bootfile=http://10.0.2.2:{}/boot.ipxe",
                http.port()
            ),
            shows: "Hello from bootdepot".to_owned(),
        },
    ])
}

fn print(s3: &S3Server, settings: &Path, admin: Option<SocketAddr>, tries: &[Try]) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\nbootdepot is running.")?;
    writeln!(out, "  S3        {} (in this process; bucket {BUCKET:?}, signatures are checked)", s3.endpoint())?;
    writeln!(out, "  config    {}", settings.display())?;
    if let Some(admin) = admin {
        writeln!(out, "  dashboard http://{admin}/ (open it in a browser and watch)")?;
    }
    writeln!(out, "  commands  bootdepot status --config {}", settings.display())?;
    writeln!(out, "\nTry, in another terminal:")?;
    for Try { about, command, shows } in tries {
        writeln!(out, "\n# {about}.\n# It shows: {shows}\n{command}")?;
    }
    writeln!(out, "\nCtrl-C stops it and removes all its files.\n")?;
    Ok(())
}

/// Runs each command in a shell. Returns whether each printed what it should. Skips a command whose program is not
/// installed.
fn run_all(tries: &[Try]) -> anyhow::Result<bool> {
    let mut good = true;
    for Try { about, command, shows } in tries {
        let program = if command.starts_with("for ") { "curl" } else { command.split(' ').next().unwrap_or_default() };
        if !shell(&format!("command -v {program}"))?.status.success() {
            println!("skipped: {about} ({program} is not installed)");
            continue;
        }
        let output = shell(command)?;
        let shown = String::from_utf8_lossy(&output.stdout);
        if shown.contains(shows.as_str()) {
            println!("ok: {about}");
        } else {
            good = false;
            println!("FAILED: {about}\n  {command}\n  should show {shows:?}, but shows:\n{shown}");
        }
    }
    Ok(good)
}

fn shell(command: &str) -> std::io::Result<std::process::Output> {
    std::process::Command::new("sh").args(["-c", command]).stdin(Stdio::null()).output()
}
