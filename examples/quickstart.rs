//! Everything on one machine, with nothing to install: an S3 server with sample assets, bootdepot in front of it, and
//! lines to copy that show what it does.
//!
//! `cargo run --release --example quickstart` serves until Ctrl-C; with `-- --check` it tries each line itself and ends.

#[path = "../tests/support/s3.rs"]
mod s3;

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::process::{ExitCode, Stdio};

use anyhow::Context as _;
use bootdepot::app::{Addresses, App};
use bootdepot::asset::Digest;
use bootdepot::config::{Config, Flags};
use bootdepot::sockets::Inherited;
use bootdepot::telemetry::{Logs, Metrics};
use s3::{ACCESS_KEY, BUCKET, S3Server, SECRET_KEY};

const SCRIPT: &str = "#!ipxe
echo
echo Hello from bootdepot: these lines came from S3, and their SHA-256 is proven.
echo This is a ${manufacturer} machine with the address ${net0/mac}.
sleep 3
reboot
";

/// An object in the bucket and the digest that the catalog names.
struct Sample {
    name: &'static str,
    digest: Digest,
}

/// A line to copy: what it is about, the command, and what the command shows, among other things.
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
    let app = App::start(config, Metrics::start(logs.as_ref().map(Logs::lost))?, Inherited::default()).await?;
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

/// Fills the bucket. The digest of the last sample is the one that it had before somebody altered it.
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
    // Written down, so that commands with these settings find the server.
    let any = "127.0.0.1:0";
    let (http, admin, tftp) = (TcpListener::bind(any)?, TcpListener::bind(any)?, UdpSocket::bind(any)?);
    let (http, admin, tftp) = (http.local_addr()?, admin.local_addr()?, tftp.local_addr()?);
    let mut text = format!(
        r#"# The settings of the quickstart.
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
    Ok(text)
}

fn tries(addresses: &Addresses, samples: &[Sample]) -> Option<Vec<Try>> {
    let (http, tftp, admin) = (addresses.http.first()?, addresses.tftp.first()?, addresses.admin?);
    let digest = |name: &str| Some(samples.iter().find(|s| s.name == name)?.digest.to_string());
    let rootfs = format!("http://{http}/assets/demo/rootfs.img");
    Some(vec![
        Try {
            about: "What is known of 64 MiB before a byte of them is here",
            command: format!("curl -sI {rootfs}"),
            shows: "Content-Length: 67108864".to_owned(),
        },
        Try {
            about: "The same bytes, fetched from S3 and proven on the way; once more, and they come from the cache",
            command: format!("curl -s {rootfs} | sha256sum"),
            shows: digest("demo/rootfs.img")?,
        },
        Try {
            about: "A range of them",
            command: format!("curl -s -r 1000-1999 -o /dev/null -D - {rootfs}"),
            shows: "Content-Range: bytes 1000-1999/67108864".to_owned(),
        },
        Try {
            about: "What firmware does: a kernel over TFTP",
            command: format!("curl -s --tftp-blksize 1432 tftp://{tftp}/demo/vmlinuz | sha256sum"),
            shows: digest("demo/vmlinuz")?,
        },
        Try {
            about: "Somebody altered a byte of this one in S3: nobody boots it",
            command: format!("curl -s -w '%{{http_code}}' http://{http}/assets/demo/altered.img"),
            shows: "502".to_owned(),
        },
        Try {
            about: "How it ended, counted",
            command: format!("curl -s http://{admin}/metrics | grep fills_total"),
            shows: "bootdepot_fills_total{outcome=\"digest-mismatch\"} 1".to_owned(),
        },
        Try {
            about: "A machine boots (QEMU; its network card asks, and 10.0.2.2 is this machine)",
            command: format!(
                "qemu-system-x86_64 -accel tcg -nographic -no-reboot -boot n -device virtio-net-pci,netdev=n \
                 -netdev user,id=n,bootfile=http://10.0.2.2:{}/assets/demo/boot.ipxe",
                http.port()
            ),
            shows: "Hello from bootdepot".to_owned(),
        },
    ])
}

fn print(s3: &S3Server, settings: &Path, admin: Option<SocketAddr>, tries: &[Try]) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\nbootdepot is up.")?;
    writeln!(out, "  S3        {} (in this process; bucket {BUCKET:?}, signatures are checked)", s3.endpoint())?;
    writeln!(out, "  settings  {}", settings.display())?;
    if let Some(admin) = admin {
        writeln!(out, "  dashboard http://{admin}/ (in a browser: what follows happens there)")?;
    }
    writeln!(out, "  commands  bootdepot status --config {}", settings.display())?;
    writeln!(out, "\nTry, in another terminal:")?;
    for Try { about, command, shows } in tries {
        writeln!(out, "\n# {about}.\n# It shows: {shows}\n{command}")?;
    }
    writeln!(out, "\nCtrl-C ends it and removes all of it.\n")?;
    Ok(())
}

/// Runs each line as a shell would, and says whether all of them show what they should. A line whose program is not
/// installed is passed over.
fn run_all(tries: &[Try]) -> anyhow::Result<bool> {
    let mut good = true;
    for Try { about, command, shows } in tries {
        let program = command.split(' ').next().unwrap_or_default();
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
