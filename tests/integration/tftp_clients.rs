//! curl, atftp and tftp-hpa against the TFTP listener, on a good network and through a bad one.

use std::net::SocketAddr;
use std::path::Path;

use crate::support::relay::Relay;
use crate::support::{Fault, Line, Object, Origin, Server, Site, Tool, noise};

/// Not a multiple of any block size in use, and long enough for some losses at 1 %.
const LENGTH: usize = 700_001;

fn kernel() -> (Origin, Object, Site, Server) {
    let origin = Origin::start();
    let image = origin.put("boot/vmlinuz", noise(60, LENGTH));
    let site = Site::new(&origin).asset(&image);
    let server = site.start();
    (origin, image, site, server)
}

/// A client's way to fetch `boot/vmlinuz` from an address into a file, with its options written out.
struct Fetch {
    tool: Tool,
    args: fn(SocketAddr, &str) -> Vec<String>,
}

impl Fetch {
    fn find(tool: &str, args: fn(SocketAddr, &str) -> Vec<String>) -> Option<Self> {
        Some(Self { tool: Tool::find(tool)?, args })
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

    fn atftp() -> Option<Self> {
        Self::find("atftp", |at, file| {
            let (host, port) = (at.ip().to_string(), at.port().to_string());
            let options = ["--option", "blksize 1432", "--option", "windowsize 8", "--option", "tsize 0"];
            owned(&[&options[..], &["-g", "-r", "boot/vmlinuz", "-l", file, &host, &port]].concat())
        })
    }

    fn tftp_hpa() -> Option<Self> {
        Self::find("tftp", |at, file| {
            let (host, port) = (at.ip().to_string(), at.port().to_string());
            owned(&["-m", "binary", &host, &port, "-c", "get", "boot/vmlinuz", file])
        })
    }

    /// Fetches it, and compares.
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

/// Fetches cold, then warm, then through the bad network.
fn in_all_weathers(fetch: Option<Fetch>) {
    let Some(fetch) = fetch else { return };
    let (origin, image, site, server) = kernel();
    let file = site.file("vmlinuz");
    fetch.check(server.tftp, &file, &image.bytes);
    fetch.check(server.tftp, &file, &image.bytes);
    assert_eq!(origin.sent(&image.key), image.size(), "every byte crossed the origin once");
    let complete = |l: &Line| l.text("protocol") == "tftp" && l.text("outcome") == "complete";
    for line in server.wait_for_lines(2, complete) {
        assert_eq!((line.text("asset"), line.number("bytes")), ("boot/vmlinuz".to_owned(), image.size()));
    }

    let seed = fastrand::u64(..);
    println!("the network's seed: {seed}");
    let relay = Relay::start(server.tftp, seed);
    fetch.check(relay.address, &file, &image.bytes);
    let tally = relay.tally();
    assert!(tally.dropped > 0 && tally.overtaken > 0, "the network was bad: {tally:?}");
    server.wait_for_lines(3, complete);
}

#[test]
fn curl_with_large_blocks_fetches_in_all_weathers() {
    in_all_weathers(Fetch::curl(1432));
}

#[test]
fn curl_with_the_blocks_of_grub_fetches_in_all_weathers() {
    in_all_weathers(Fetch::curl(1024));
}

#[test]
fn curl_without_options_fetches_in_all_weathers() {
    in_all_weathers(Fetch::curl(512));
}

#[test]
fn atftp_with_a_window_fetches_in_all_weathers() {
    in_all_weathers(Fetch::atftp());
}

#[test]
fn tftp_hpa_fetches_in_all_weathers() {
    in_all_weathers(Fetch::tftp_hpa());
}

#[test]
fn block_numbers_roll_over_past_65535_blocks() {
    let Some(curl) = Tool::find("curl") else { return };
    let origin = Origin::start();
    // 65,600 blocks of the smallest size that RFC 2348 allows, and an empty last one.
    let image = origin.put("boot/vmlinuz", noise(61, 65_600 * 8));
    let site = Site::new(&origin).asset(&image);
    let server = site.start();
    let file = site.file("vmlinuz");
    curl.succeed(["-q", "-sS", "--tftp-blksize", "8", "-o", file.to_str().unwrap(), &url(server.tftp)]);
    assert!(std::fs::read(&file).unwrap() == image.bytes, "the file is the object");
}

#[test]
fn a_leading_slash_and_backslashes_name_the_same_asset() {
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
fn a_firmware_name_is_served_as_the_asset_that_the_settings_say() {
    let Some(curl) = Tool::find("curl") else { return };
    let origin = Origin::start();
    let image = origin.put("boot/snponly.efi", noise(62, 170_000));
    let files = toml::toml! { "snponly.efi" = "boot/snponly.efi" };
    let site = Site::new(&origin).asset(&image).set("tftp.files", files);
    let server = site.start();
    let (file, url) = (site.file("nbp"), format!("tftp://{}/snponly.efi", server.tftp));
    curl.succeed(["-q", "-sS", "-o", file.to_str().unwrap(), &url]);
    assert!(std::fs::read(&file).unwrap() == image.bytes);
}

#[test]
fn what_is_not_in_the_catalog_is_error_1_to_curl() {
    let Some(curl) = Tool::find("curl") else { return };
    let (_origin, _image, site, server) = kernel();
    let (file, url) = (site.file("nothing"), format!("tftp://{}/nothing", server.tftp));
    // 68: "TFTP: file not found" in curl's manual.
    assert_eq!(curl.run(["-q", "-sS", "-o", file.to_str().unwrap(), &url]).status.code(), Some(68));
    server.wait_for_transfer("nothing", "not-found");
}

#[test]
fn writing_is_refused() {
    let Some(curl) = Tool::find("curl") else { return };
    let (_origin, _image, site, server) = kernel();
    let file = site.file("upload");
    std::fs::write(&file, "bytes").unwrap();
    // 69: "TFTP: permission problem" (ERROR 2).
    let output = curl.run(["-q", "-sS", "-T", file.to_str().unwrap(), &url(server.tftp)]);
    assert_eq!(output.status.code(), Some(69), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn wrong_bytes_end_in_an_error_and_never_in_a_last_block() {
    let Some(curl) = Tool::find("curl") else { return };
    let (origin, image, site, server) = kernel();
    origin.always(&image.key, Fault::Flip(600_000));
    let file = site.file("vmlinuz");
    let output = curl.run(["-q", "-sS", "--tftp-blksize", "1432", "-o", file.to_str().unwrap(), &url(server.tftp)]);
    assert!(!output.status.success(), "curl was told that all is well");
    server.wait_for_transfer(&image.key, "digest-mismatch");
    assert!(site.blobs().is_empty());
}

#[test]
fn a_single_port_serves_through_a_network_that_lets_nothing_else_pass() {
    let Some(fetch) = Fetch::curl(1432) else { return };
    let origin = Origin::start();
    let image = origin.put("boot/vmlinuz", noise(63, LENGTH));
    let site = Site::new(&origin).asset(&image).set("tftp.single_port", true);
    let server = site.start();
    fetch.check(server.tftp, &site.file("vmlinuz"), &image.bytes);
    let relay = Relay::start(server.tftp, 1);
    fetch.check(relay.address, &site.file("vmlinuz"), &image.bytes);
    assert_eq!(relay.tally().ports, 1, "all came from the port that was asked");
}
