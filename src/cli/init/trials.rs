//! The trials of the settings, done and not done: for the output, and for the text of the file.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use serde::Serialize;

use super::contents::Contents;
use crate::cli::format::plain;
use crate::config::Config;

/// Phrases about the settings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Trials {
    /// The user of this process.
    pub(super) user: String,
    /// The trials that succeeded.
    pub(super) tried: Vec<String>,
    /// The trials that failed or were not possible.
    pub(super) unproven: Vec<String>,
}

/// The result of a trial: a phrase either way.
pub(super) type Trial = Result<String, String>;

impl Trials {
    /// The results of all trials, by the user of this process.
    pub(super) fn of(all: impl IntoIterator<Item = Trial>) -> Self {
        let mut trials = Self { user: user(), ..Self::default() };
        for trial in all {
            match trial {
                Ok(tried) => trials.tried.push(tried),
                Err(unproven) => trials.unproven.push(unproven),
            }
        }
        trials
    }

    /// The same for comments: without control characters.
    pub(super) fn in_comments(&self) -> Self {
        let plain = |phrases: &[String]| phrases.iter().map(|phrase| plain(phrase)).collect();
        Self { user: self.user.clone(), tried: plain(&self.tried), unproven: plain(&self.unproven) }
    }
}

/// The user of this process.
fn user() -> String {
    let user = rustix::process::geteuid();
    if user.is_root() { "root".to_owned() } else { format!("the user with the ID {}", user.as_raw()) }
}

/// Judges the credentials by the content of the bucket.
pub(super) fn of_bucket(bucket: &str, endpoint: &str, contents: &Contents) -> Vec<Trial> {
    if !contents.exists {
        let reason = format!("the credentials: the bucket {bucket} does not exist yet");
        return vec![Err(reason), Err(writes(bucket))];
    }
    let list = if contents.is_listed {
        Ok(format!("listing the bucket {bucket} at {endpoint} with these credentials"))
    } else {
        Err(format!(
            "listing the bucket {bucket}: it is denied (s3:ListBucket); the server does not need it, bootdepot bucket list and mirrors \
             with keep do"
        ))
    };
    let read = match &contents.read_key {
        Some(key) => Ok(format!("reading the metadata of {key} in the bucket {bucket} with these credentials")),
        None => Err(format!("reading objects of the bucket {bucket}: none was found to read")),
    };
    vec![list, read, Err(writes(bucket))]
}

fn writes(bucket: &str) -> String {
    format!("writing to the bucket {bucket}, which bootdepot mirror and publish do, and the server does not")
}

/// Tries the cache directory and the listeners of this machine. Blocks.
pub(super) fn of_machine(config: &Config) -> Vec<Trial> {
    let mut all = vec![of_directory(&config.cache.dir)];
    all.extend(of_listeners(config));
    all.extend(
        config
            .dhcp
            .as_ref()
            .map(|dhcp| Err(format!("answers to DHCP requests on {} (ports 67 and 4011)", dhcp.interface.as_str()))),
    );
    all
}

/// Stores a file in the directory, or in the nearest one above that exists: the server makes the others.
fn of_directory(dir: &Path) -> Trial {
    let is_missing = |path: &Path| path.metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
    let existing = dir.ancestors().find(|path| !is_missing(path)).unwrap_or(Path::new("/"));
    let shown = existing.display();
    let missing = if existing == dir { String::new() } else { format!("; {} does not exist yet", dir.display()) };
    match store_file(existing) {
        Ok(()) => Ok(format!("the cache directory: a file was stored in {shown}{missing}")),
        Err(error) => Err(format!("the cache directory: this user cannot store a file in {shown}: {error}{missing}")),
    }
}

/// Stores a file, and leaves nothing.
fn store_file(dir: &Path) -> io::Result<()> {
    match rustix::fs::open(dir, OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR) {
        Ok(file) => File::from(file).write_all(b"x"),
        // The file system has no files without names (open(2)).
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => {
            let path = dir.join(format!(".bootdepot-init-{}", std::process::id()));
            let written = File::create_new(&path)?.write_all(b"x");
            fs::remove_file(path)?;
            written
        }
        Err(error) => Err(error.into()),
    }
}

/// Listens for a moment on each address.
fn of_listeners(config: &Config) -> Vec<Trial> {
    let tcp = |address: &SocketAddr| TcpListener::bind(address).map(drop);
    let udp = |address: &SocketAddr| UdpSocket::bind(address).map(drop);
    let http = config.http.listen.iter().map(|address| ("http.listen", address, tcp(address)));
    let tftp = config.tftp.listen.iter().map(|address| ("tftp.listen", address, udp(address)));
    let admin = config.admin.iter().map(|admin| ("admin.listen", &admin.listen, tcp(&admin.listen)));
    http.chain(tftp).chain(admin).map(|(key, address, bound)| of_listener(key, *address, bound)).collect()
}

fn of_listener(key: &str, address: SocketAddr, bound: io::Result<()>) -> Trial {
    match bound {
        Ok(()) => Ok(format!("{key}: listening on {address}")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            Err(format!("{key}: another program listens on {address}; stop it, or choose another address"))
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(format!(
            "{key}: this user may not listen on {address}; the packaged service gets its ports from systemd, other servers need root \
             or CAP_NET_BIND_SERVICE"
        )),
        Err(error) => Err(format!("{key}: cannot listen on {address}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_bucket_proves_no_credentials() {
        let found = Trials::of(of_bucket("boot", "AWS", &Contents::default()));
        assert!(found.tried.is_empty() && found.unproven[0].starts_with("the credentials: "), "{found:?}");
        let found = Trials::of(of_bucket("boot", "AWS", &Contents::unlisted(Some("catalog.toml".to_owned()))));
        assert_eq!(found.tried, ["reading the metadata of catalog.toml in the bucket boot with these credentials"]);
        assert!(found.unproven[0].contains("s3:ListBucket") && found.unproven[1].starts_with("writing"), "{found:?}");
    }

    #[test]
    fn occupied_address_is_unproven() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let text = of_listener("http.listen", address, TcpListener::bind(address).map(drop)).unwrap_err();
        assert!(text.contains("another program listens on 127.0.0.1:"), "{text}");
        drop(taken);
        assert!(of_listener("http.listen", address, Ok(())).unwrap().ends_with(&address.to_string()));
    }

    #[test]
    fn forbidden_port_is_unproven() {
        let denied = Err(io::ErrorKind::PermissionDenied.into());
        let text = of_listener("tftp.listen", "[::]:69".parse().unwrap(), denied).unwrap_err();
        assert!(text.starts_with("tftp.listen: this user may not listen on [::]:69"), "{text}");
    }

    #[test]
    fn cache_directory_is_written_to() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("a/b");
        let text = of_directory(&inner).unwrap();
        assert!(
            text.contains(&format!("stored in {}; ", dir.path().display())) && text.ends_with("does not exist yet")
        );
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "it leaves nothing");
        // Not even root can store a file in it.
        let text = of_directory(Path::new("/proc")).unwrap_err();
        assert!(text.starts_with("the cache directory: this user cannot store a file in /proc: "), "{text}");
    }
}
