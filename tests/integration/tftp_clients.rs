//! curl, atftp and tftp-hpa against the TFTP listener, directly and through a lossy network.

use std::net::SocketAddr;
use std::path::Path;

use crate::support::namespace::{self, run_stage};
use crate::support::relay::Relay;
use crate::support::{FakeOrigin, Fault, LogLine, Object, TestServer, TestSite, Tool, random_bytes, seed};

/// Not a multiple of any block size in use, and long enough that 1 % of the datagrams are several.
const LENGTH: usize = 700_001;

fn kernel() -> (FakeOrigin, Object, TestSite, TestServer) {
    let origin = FakeOrigin::start();
    let image = origin.put("boot/vmlinuz", random_bytes(60, LENGTH));
    let site = TestSite::new(&origin).asset(&image);
    let server = site.start();
    (origin, image, site, server)
}

/// A client that fetches `boot/vmlinuz` from an address into a file, with these arguments.
struct Fetch {
    tool: Tool,
    args: fn(SocketAddr, &str) -> Vec<String>,
    /// Whether the client survives the loss of a packet that opens the transfer.
    survives_lost_opening: bool,
}

impl Fetch {
    fn find(tool: &str, args: fn(SocketAddr, &str) -> Vec<String>) -> Option<Self> {
        Some(Self { tool: Tool::find(tool)?, args, survives_lost_opening: true })
    }

    fn curl(block_size: u16) -> Option<Self> {
        Self::find(
            "curl",
            match block_size {
                512 => |at, file| owned(&["-q", "-sS", "--tftp-no-options", "-o", file, &url(at)]),
                1024 => |at, file| owned(&["-q", "-sS", "--tftp-blksize", "1024", "-o", file, &url(at)]),
                _ => |at, file| owned(&["-q", "-sS", "--tftp-blksize", "1432", "-o", file, &url(at)]),
            },
        )
    }

    /// atftp 0.8.0 ends with "unexpected OACK" when its ACK of block 0 is lost and the OACK comes again, as RFC 2347 has it.
    fn atftp() -> Option<Self> {
        let fetch = Self::find("atftp", |at, file| {
            let (host, port) = (at.ip().to_string(), at.port().to_string());
            let options = ["--option", "blksize 1432", "--option", "windowsize 8", "--option", "tsize 0"];
            owned(&[&options[..], &["-g", "-r", "boot/vmlinuz", "-l", file, &host, &port]].concat())
        })?;
        Some(Self { survives_lost_opening: false, ..fetch })
    }

    fn tftp_hpa() -> Option<Self> {
        Self::find("tftp", |at, file| {
            let (host, port) = (at.ip().to_string(), at.port().to_string());
            owned(&["-m", "binary", &host, &port, "-c", "get", "boot/vmlinuz", file])
        })
    }

    /// Fetches the file and compares it.
    fn check(&self, from: SocketAddr, into: &Path, expected: &[u8]) {
        let _ = std::fs::remove_file(into);
        self.tool.succeed((self.args)(from, into.to_str().expect("a temporary path is UTF-8")));
        let bytes = std::fs::read(into).expect("the client wrote its file");
        assert_eq!(bytes.len(), expected.len(), "the length");
        assert!(bytes == expected, "the file is the object");
    }
}

fn owned(args: &[&str]) -> Vec<String> {
    args.iter().map(|&arg| arg.to_owned()).collect()
}

fn url(at: SocketAddr) -> String {
    format!("tftp://{at}/boot/vmlinuz")
}

/// Fetches the asset cold, then warm, then through a lossy network.
fn check_cold_warm_and_lossy(fetch: Option<Fetch>) {
    let Some(fetch) = fetch else { return };
    let (origin, image, site, server) = kernel();
    let file = site.file("vmlinuz");
    fetch.check(server.tftp, &file, &image.bytes);
    fetch.check(server.tftp, &file, &image.bytes);
    assert_eq!(origin.sent(&image.key), image.size(), "the origin sent each byte once");
    let complete = |l: &LogLine| l.text("protocol") == "tftp" && l.text("outcome") == "complete";
    for line in server.wait_for_lines(2, complete) {
        assert_eq!((line.text("asset"), line.number("bytes")), ("boot/vmlinuz".to_owned(), image.size()));
    }

    let start = if fetch.survives_lost_opening { Relay::start } else { Relay::start_sparing_opening };
    let relay = start(server.tftp, seed());
    // One transfer through a network with 1 % loss may have no loss. Ten have some, whatever the seed.
    let mut transfers = 2;
    while relay.counters().dropped == 0 || relay.counters().reordered == 0 {
        assert!(transfers < 12, "the network lost and reordered too little: {:?}", relay.counters());
        fetch.check(relay.address, &file, &image.bytes);
        transfers += 1;
    }
    server.wait_for_lines(transfers, complete);
}

#[test]
fn curl_large_blocks_survive_loss() {
    check_cold_warm_and_lossy(Fetch::curl(1432));
}

#[test]
fn curl_grub_blocks_survive_loss() {
    check_cold_warm_and_lossy(Fetch::curl(1024));
}

#[test]
fn curl_without_options_survives_loss() {
    check_cold_warm_and_lossy(Fetch::curl(512));
}

#[test]
fn atftp_window_survives_loss() {
    check_cold_warm_and_lossy(Fetch::atftp());
}

#[test]
fn tftp_hpa_survives_loss() {
    check_cold_warm_and_lossy(Fetch::tftp_hpa());
}

#[test]
fn block_numbers_wrap_past_65535() {
    let Some(curl) = Tool::find("curl") else { return };
    let origin = FakeOrigin::start();
    // 65,600 blocks of the smallest size that RFC 2348 allows, and an empty last one.
    let image = origin.put("boot/vmlinuz", random_bytes(61, 65_600 * 8));
    let site = TestSite::new(&origin).asset(&image);
    let server = site.start();
    let file = site.file("vmlinuz");
    curl.succeed(["-q", "-sS", "--tftp-blksize", "8", "-o", file.to_str().unwrap(), &url(server.tftp)]);
    assert!(std::fs::read(&file).unwrap() == image.bytes, "the file is the object");
}

#[test]
fn slashes_and_backslashes_name_same_asset() {
    let Some(tftp) = Tool::find("tftp") else { return };
    let (_origin, image, site, server) = kernel();
    let port = server.tftp.port().to_string();
    for name in ["/boot/vmlinuz", "\\boot\\vmlinuz", "boot\\vmlinuz"] {
        let file = site.file("vmlinuz");
        tftp.succeed(["-m", "binary", "127.0.0.1", &port, "-c", "get", name, file.to_str().unwrap()]);
        assert!(std::fs::read(&file).unwrap() == image.bytes, "{name}");
        std::fs::remove_file(&file).unwrap();
    }
}

#[test]
fn firmware_name_maps_to_asset() {
    let Some(curl) = Tool::find("curl") else { return };
    let origin = FakeOrigin::start();
    let image = origin.put("boot/snponly.efi", random_bytes(62, 170_000));
    let files = toml::toml! { "snponly.efi" = "boot/snponly.efi" };
    let site = TestSite::new(&origin).asset(&image).set("tftp.files", files);
    let server = site.start();
    let (file, url) = (site.file("nbp"), format!("tftp://{}/snponly.efi", server.tftp));
    curl.succeed(["-q", "-sS", "-o", file.to_str().unwrap(), &url]);
    assert!(std::fs::read(&file).unwrap() == image.bytes);
}

#[test]
fn unknown_file_is_error_1() {
    let Some(curl) = Tool::find("curl") else { return };
    let (_origin, _image, site, server) = kernel();
    let (file, url) = (site.file("nothing"), format!("tftp://{}/nothing", server.tftp));
    // 68: "TFTP: file not found" in curl's manual.
    assert_eq!(curl.run(["-q", "-sS", "-o", file.to_str().unwrap(), &url]).status.code(), Some(68));
    server.wait_for_transfer("nothing", "not-found");
}

#[test]
fn write_request_is_refused() {
    let Some(curl) = Tool::find("curl") else { return };
    let (_origin, _image, site, server) = kernel();
    let file = site.file("upload");
    std::fs::write(&file, "bytes").unwrap();
    // 69: "TFTP: permission problem" (ERROR 2).
    let output = curl.run(["-q", "-sS", "-T", file.to_str().unwrap(), &url(server.tftp)]);
    assert_eq!(output.status.code(), Some(69), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn wrong_bytes_end_in_error() {
    let Some(curl) = Tool::find("curl") else { return };
    let (origin, image, site, server) = kernel();
    origin.always(&image.key, Fault::Flip(600_000));
    let file = site.file("vmlinuz");
    let output = curl.run(["-q", "-sS", "--tftp-blksize", "1432", "-o", file.to_str().unwrap(), &url(server.tftp)]);
    assert!(!output.status.success(), "curl reported success");
    let length = std::fs::metadata(&file).map_or(0, |file| file.len());
    assert!(length < image.size(), "curl got {length} bytes, which is the whole file");
    server.wait_for_transfer(&image.key, "digest-mismatch");
    assert!(site.blobs().is_empty());
}

#[test]
fn single_port_answers_from_one_port() {
    let Some(fetch) = Fetch::curl(1432) else { return };
    let origin = FakeOrigin::start();
    let image = origin.put("boot/vmlinuz", random_bytes(63, LENGTH));
    let site = TestSite::new(&origin).asset(&image).set("tftp.single_port", true);
    let server = site.start();
    fetch.check(server.tftp, &site.file("vmlinuz"), &image.bytes);
    let relay = Relay::start(server.tftp, seed());
    fetch.check(relay.address, &site.file("vmlinuz"), &image.bytes);
    assert_eq!(relay.counters().ports, 1, "all replies came from the requested port");
}

/// In a network namespace of its own, where the interface has a link-local address that is known.
#[test]
fn link_local_listeners_serve_both_protocols() {
    let [Some(unshare), Some(ip), Some(curl)] = ["unshare", "ip", "curl"].map(Tool::find) else { return };
    if namespace::stage().is_none() {
        if namespace::can_unshare(&unshare, &["--net"]) {
            run_stage(&unshare, &["--net"], "tftp_clients::link_local_listeners_serve_both_protocols", "inside");
        }
        return;
    }
    for command in [
        "link set lo up",
        "link add zone0 type veth peer name zone1",
        "link set zone0 up",
        "link set zone1 up",
        "address add fe80::77/64 dev zone0 nodad",
    ] {
        ip.succeed(command.split(' '));
    }
    let origin = FakeOrigin::start();
    let image = origin.put("boot/vmlinuz", random_bytes(61, LENGTH));
    let listen = vec!["[fe80::77%zone0]:0"];
    let site = TestSite::new(&origin).asset(&image).set("http.listen", listen.clone()).set("tftp.listen", listen);
    let server = site.set("admin.listen", "[fe80::77%25zone0]:0").start();
    let file = tempfile::NamedTempFile::new().expect("a temporary file can be made");
    for (scheme, path, port) in
        [("http", "assets/boot/vmlinuz", server.http.port()), ("tftp", "boot/vmlinuz", server.tftp.port())]
    {
        let url = format!("{scheme}://[fe80::77%25zone0]:{port}/{path}");
        curl.succeed(["-q", "-sSg", "-o", file.path().to_str().expect("a temporary path is UTF-8"), &url]);
        assert!(std::fs::read(file.path()).expect("curl wrote it") == image.bytes, "{url}");
    }
}
