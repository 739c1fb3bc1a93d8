//! Host files by the names that machines request over TFTP, where a loader cannot be given a URL.

use std::net::IpAddr;
use std::sync::Arc;

use super::facade::{Boot, FileError, HostFile};
use super::host::Host;
use super::mac::Mac;
use super::machine::Machine;
use super::request_context::RequestContext;
use super::roster::Roster;

/// A file of a host that a request names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedFile {
    /// The host.
    pub host: String,
    /// The file.
    pub file: String,
    /// The token in the name.
    pub token: Option<String>,
}

/// Splits a path below the directory of a host into the token, if it begins with `~TOKEN/`, and the name of the file.
pub fn split_file_token(path: &str) -> (Option<&str>, &str) {
    let split = path.strip_prefix('~').map(|rest| rest.split_once('/').unwrap_or((rest, "")));
    split.map_or((None, path), |(token, file)| (Some(token), file))
}

/// A requested name without the token that it may hold, for logs.
pub fn without_token(name: &str) -> String {
    let shown = |segment| if str::starts_with(segment, '~') { "~" } else { segment };
    name.split('/').map(shown).collect::<Vec<_>>().join("/")
}

impl Boot {
    /// Returns the file that a client at `peer` names: `hosts/HOST/FILE` with the host's name or a key of it, `01-MAC/FILE`
    /// in any directory (the loader of `ESXi` requests its `boot.cfg` so), or in any directory the name of a file of the host that
    /// booted last at this address.
    pub fn named_file(&self, name: &str, peer: IpAddr) -> Option<NamedFile> {
        let roster = self.roster();
        let named = |host: &Arc<Host>, path: &str| {
            let (token, file) = split_file_token(path);
            let token = token.map(str::to_owned);
            host.files.contains_key(file).then(|| NamedFile { host: host.name.clone(), file: file.to_owned(), token })
        };
        let by_host = || {
            let (host, path) = name.strip_prefix("hosts/")?.split_once('/')?;
            named(&known_as(&roster, host)?, path)
        };
        let by_mac = || tails(name).find_map(|(segment, path)| named(&with_mac(&roster, segment)?, path));
        let by_address = || {
            let host = self.ledger().hosts_at([peer]).into_values().next()?;
            let host = roster.host(&host)?;
            std::iter::once(name).chain(tails(name).map(|(_, path)| path)).find_map(|path| named(host, path))
        };
        by_host().or_else(by_mac).or_else(by_address)
    }

    /// Renders a file that a loader requested by its name. The URLs in it are valid for this client, like those of a script.
    pub async fn open_named_file(&self, named: &NamedFile, request: &RequestContext) -> Result<HostFile, FileError> {
        self.file(&named.host, &named.file, named.token.as_deref(), request).await
    }
}

/// Each segment of a path but the last, with the path after it.
fn tails(path: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = path;
    std::iter::from_fn(move || {
        let (segment, after) = rest.split_once('/')?;
        rest = after;
        Some((segment, after))
    })
}

/// The host with the MAC address of a segment `01-MAC`, the hardware type of Ethernet and the address (as PXELINUX writes it).
fn with_mac(roster: &Roster, segment: &str) -> Option<Arc<Host>> {
    let mac: Mac = segment.strip_prefix("01-")?.parse().ok()?;
    roster.find(&Machine { mac: Some(mac), ..Machine::default() })
}

/// The host of this name, MAC address, UUID, serial number or asset tag.
fn known_as(roster: &Roster, text: &str) -> Option<Arc<Host>> {
    let by_key = || {
        let text = text.to_owned();
        let keys = Machine {
            mac: text.parse().ok(),
            uuid: text.parse().ok(),
            serial: Some(text.clone()),
            asset_tag: Some(text),
            ..Machine::default()
        };
        roster.find(&keys)
    };
    roster.host(text).cloned().or_else(|| with_mac(roster, text)).or_else(by_key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_stay_out_of_names() {
        assert_eq!(split_file_token("~abc/user-data"), (Some("abc"), "user-data"));
        assert_eq!(split_file_token("~abc"), (Some("abc"), ""));
        assert_eq!(split_file_token("user-data"), (None, "user-data"));
        assert_eq!(without_token("hosts/a/~abc/vendor-data"), "hosts/a/~/vendor-data");
        assert_eq!(without_token("boot/kernel"), "boot/kernel");
    }
}
