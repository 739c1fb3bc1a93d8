//! The settings of this machine: its cache, its listeners, and whether it answers DHCP requests.

use std::path::Path;

use serde::Serialize;

use super::args::NodeArgs;
use super::dialog::{Choice, Dialog, Question};
use crate::cli::format::bytes;
use crate::cli::usage_error::UsageError;
use crate::config::{ValueKind, parse_size};
use crate::dhcp::interfaces_with_ipv4;

const CACHE_DIR: Question = Question { flag: "--cache-dir", text: "Cache directory" };
const CACHE_SIZE: Question = Question { flag: "--cache-size", text: "Maximum size of the cache" };
const DHCP: Question = Question { flag: "--dhcp", text: "DHCP" };
const INTERFACE: Question = Question { flag: "--interface", text: "Network interface of the machines" };

const DEFAULT_CACHE_DIR: &str = "/var/cache/bootdepot";
/// The default of `cache.max_size`.
const DEFAULT_CACHE_SIZE: u64 = 200 << 30;
/// The default of `cache.min_free`, which stays free beside the cache.
const MIN_FREE: u64 = 5 << 30;

/// The settings of this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct MachineAnswers {
    pub(super) cache_dir: String,
    pub(super) cache_size: String,
    pub(super) http_listen: Vec<String>,
    pub(super) tftp_listen: Vec<String>,
    pub(super) admin_listen: String,
    /// The interface on which DHCP requests are answered. `None`: they are not.
    pub(super) interface: Option<String>,
}

/// The space of a file system, in bytes.
#[derive(Debug, Clone, Copy)]
struct Space {
    total: u64,
    free: u64,
}

impl MachineAnswers {
    /// The settings before anything is asked. Fails if an address cannot be one.
    pub(super) fn of_flags(flags: &NodeArgs) -> anyhow::Result<Self> {
        let wrong = |flag: &str, text: &str, reason: String| UsageError::new(format!("{flag} {text:?}: {reason}"));
        for (flag, listen) in [("--http-listen", &flags.http_listen), ("--tftp-listen", &flags.tftp_listen)] {
            for text in listen {
                ValueKind::Address.check(text).map_err(|reason| wrong(flag, text, reason))?;
            }
        }
        let admin = &flags.admin_listen;
        ValueKind::AddressOrOff.check(admin).map_err(|reason| wrong("--admin-listen", admin, reason))?;
        Ok(Self {
            cache_dir: DEFAULT_CACHE_DIR.to_owned(),
            cache_size: size_text(DEFAULT_CACHE_SIZE),
            http_listen: flags.http_listen.clone(),
            tftp_listen: flags.tftp_listen.clone(),
            admin_listen: admin.clone(),
            interface: None,
        })
    }

    /// Takes directory and size of the cache from the flags, or asks.
    pub(super) async fn ask_cache(&mut self, dialog: &mut Dialog, flags: &NodeArgs) -> anyhow::Result<()> {
        let given = flags.cache_dir.as_deref();
        let (dir, space) = dialog.answer(CACHE_DIR, given, Some(DEFAULT_CACHE_DIR), read_dir).await?;
        let default = size_text(default_size(space.free));
        let read = |text: &str| read_size(text, space, &dir);
        self.cache_size = dialog.answer(CACHE_SIZE, flags.cache_size.as_deref(), Some(&default), read).await?;
        self.cache_dir = dir;
        Ok(())
    }

    /// Takes the DHCP mode and its interface from the flags, or asks.
    pub(super) async fn ask_dhcp(&mut self, dialog: &mut Dialog, flags: &NodeArgs) -> anyhow::Result<()> {
        let choices = [
            Choice::new("off", "your DHCP server names the boot program (bootdepot dhcp-config prints its settings)"),
            Choice::new("proxy", "bootdepot names it, beside a DHCP server that gives out the addresses"),
        ];
        // An interface is for nothing else.
        let given = flags.dhcp.as_deref().or(flags.interface.as_ref().map(|_| "proxy"));
        let mode = dialog.choose(DHCP, given, "off", &choices).await?;
        if mode == "proxy" {
            let names = interfaces_with_ipv4();
            let default = names.iter().find(|name| *name != "lo").map(String::as_str);
            let read = |text: &str| read_interface(text, &names);
            let interface = dialog.answer(INTERFACE, flags.interface.as_deref(), default, read).await?;
            self.interface = Some(interface);
        }
        Ok(())
    }
}

/// The absolute path, and the space of its file system.
fn read_dir(text: &str) -> Result<(String, Space), String> {
    ValueKind::Path.check(text)?;
    let path = std::path::absolute(text).map_err(|error| error.to_string())?;
    // The server makes directories that are missing.
    let existing = path.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    if !existing.is_dir() {
        return Err(format!("{} is no directory", existing.display()));
    }
    let stat = rustix::fs::statvfs(existing).map_err(|error| format!("{}: {error}", existing.display()))?;
    let space =
        Space { total: stat.f_blocks.saturating_mul(stat.f_frsize), free: stat.f_bavail.saturating_mul(stat.f_frsize) };
    Ok((path.display().to_string(), space))
}

fn read_size(text: &str, space: Space, dir: &str) -> Result<String, String> {
    let size = parse_size(text)?;
    if size > space.total {
        return Err(format!("the file system of {dir} has {} in all", bytes(space.total)));
    }
    Ok(text.to_owned())
}

/// The default size, or four fifths of what is free, in whole GiB and at least one.
fn default_size(free: u64) -> u64 {
    if free >= DEFAULT_CACHE_SIZE + MIN_FREE {
        return DEFAULT_CACHE_SIZE;
    }
    ((free / 5 * 4) >> 30).max(1) << 30
}

fn size_text(size: u64) -> String {
    format!("{} GiB", size >> 30)
}

fn read_interface(text: &str, names: &[String]) -> Result<String, String> {
    match names.iter().find(|name| *name == text) {
        Some(name) => Ok(name.clone()),
        None => Err(format!("expected an interface with an IPv4 address: {}", names.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_size_fits_the_disk() {
        let sizes = [1000 << 30, 205 << 30, 204 << 30, 10 << 30, 1 << 20].map(default_size).map(|size| size >> 30);
        assert_eq!(sizes, [200, 200, 163, 8, 1]);
    }

    #[test]
    fn cache_must_fit_its_file_system() {
        let dir = tempfile::tempdir().unwrap();
        let (path, space) = read_dir(&dir.path().join("a/b").display().to_string()).unwrap();
        assert!(path.ends_with("/a/b") && space.total >= space.free);
        assert!(read_size("1 EiB", space, &path).unwrap_err().contains("in all"));
        assert_eq!(read_size("1 MiB", space, &path), Ok("1 MiB".to_owned()));
        let file = dir.path().join("file");
        std::fs::write(&file, b"").unwrap();
        assert!(read_dir(&file.join("x").display().to_string()).unwrap_err().ends_with("is no directory"));
    }

    #[tokio::test]
    async fn interface_must_have_an_address() {
        let flags = |interface: &str| NodeArgs {
            admin_listen: "off".to_owned(),
            interface: Some(interface.to_owned()),
            ..NodeArgs::default()
        };
        let mut answers = MachineAnswers::of_flags(&flags("lo")).unwrap();
        answers.ask_dhcp(&mut Dialog::new(None), &flags("lo")).await.unwrap();
        assert_eq!(answers.interface.as_deref(), Some("lo"));
        let error = answers.ask_dhcp(&mut Dialog::new(None), &flags("no-such-one")).await.unwrap_err().to_string();
        assert!(error.contains("--interface \"no-such-one\": expected an interface"), "{error}");
    }
}
