//! The URLs that scripts and hosts' files may name, and a note of which they did.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use minijinja::{Error, ErrorKind, Value};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::host::Host;
use super::script::grub;
use super::token::Tokens;
use super::{NotLive, Role, Visit};
use crate::asset::AssetName;

/// What of a path must be encoded: all but RFC 3986's unreserved characters (2.3) and the slash.
const IN_PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// What a reference names now.
pub(super) type Resolve = Arc<dyn Fn(&str) -> Result<AssetName, NotLive> + Send + Sync>;

/// Where one-time tokens come from, and for whom.
#[derive(Clone)]
pub(super) enum Mint {
    /// Real ones, for the client at this address.
    For(Arc<Tokens>, IpAddr),
    /// None: nobody is going to use the URL.
    Sample,
}

/// The links of one script or file.
pub(super) struct Links {
    base: String,
    host: Option<Arc<Host>>,
    resolve: Resolve,
    mint: Mint,
    noted: Mutex<Noted>,
}

#[derive(Default)]
struct Noted {
    named: Vec<(Role, String)>,
    missing: Option<NotLive>,
}

impl Noted {
    fn name(&mut self, role: Role, name: &str) {
        if !self.named.iter().any(|(_, named)| named == name) {
            self.named.push((role, name.to_owned()));
        }
    }
}

impl Links {
    /// Links for `host`, where it is one, and for a client that made this visit.
    pub(super) fn new(visit: &Visit, host: Option<Arc<Host>>, resolve: Resolve, mint: Mint) -> Arc<Self> {
        Arc::new(Self { base: base(&visit.base), host, resolve, mint, noted: Mutex::default() })
    }

    /// The base of all URLs.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// The asset that `reference` names now; noted as `role`.
    pub(super) fn asset(&self, role: Role, reference: &str) -> Result<AssetName, NotLive> {
        let found = (self.resolve)(reference);
        match &found {
            Ok(name) => self.noted().name(role, name.as_str()),
            Err(error) => self.noted().missing = Some(error.clone()),
        }
        found
    }

    /// The URL of an asset.
    pub(super) fn asset_url(&self, name: &AssetName) -> String {
        format!("{}/assets/{}", self.base, utf8_percent_encode(name.as_str(), IN_PATH))
    }

    /// The URL of a file of the host; noted. Where only the host may have the file, it carries a token.
    fn file_url(&self, file: &str) -> Result<String, String> {
        let Some(host) = &self.host else {
            return Err(format!("file_url({file:?}): only machines that are a [[host]] have files"));
        };
        let Some(found) = host.files.get(file) else {
            return Err(format!("the host {} has no file {file:?}; files = {{ … }} names them", host.name));
        };
        let path = format!("hosts/{}/{}", host.name, utf8_percent_encode(file, IN_PATH));
        let token = match &self.mint {
            _ if !found.only_from_host => String::new(),
            Mint::For(tokens, peer) => format!("?token={}", tokens.mint(&host.name, file, *peer)?),
            Mint::Sample => "?token=made-for-each-script".to_owned(),
        };
        self.noted().name(Role::File, &format!("hosts/{}/{file}", host.name));
        Ok(format!("{}/{path}{token}", self.base))
    }

    /// What was named so far, each asset and each file once.
    pub(super) fn named(&self) -> Vec<(Role, String)> {
        self.noted().named.clone()
    }

    /// Why a reference named nothing, if one did.
    pub(super) fn missing(&self) -> Option<NotLive> {
        self.noted().missing.clone()
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The functions that templates have: `asset_url()`, `asset_path()` (GRUB's way to name it) and `file_url()`.
    pub(super) fn functions(self: &Arc<Self>) -> [(&'static str, Value); 3] {
        let failed = |reason: String| Error::new(ErrorKind::InvalidOperation, reason);
        let (urls, paths, files) = (Arc::clone(self), Arc::clone(self), Arc::clone(self));
        let asset_url = move |reference: String| match urls.asset(Role::Asset, &reference) {
            Ok(name) => Ok(Value::from_safe_string(urls.asset_url(&name))),
            Err(error) => Err(failed(error.to_string())),
        };
        let asset_path = move |reference: String| {
            let name = paths.asset(Role::Asset, &reference).map_err(|error| failed(error.to_string()))?;
            let url = paths.asset_url(&name);
            grub::path(&url).map(Value::from_safe_string).ok_or_else(|| failed(format!("GRUB cannot fetch {url}")))
        };
        let file_url = move |file: String| files.file_url(&file).map(Value::from_safe_string).map_err(failed);
        [
            ("asset_url", Value::from_function(asset_url)),
            ("asset_path", Value::from_function(asset_path)),
            ("file_url", Value::from_function(file_url)),
        ]
    }
}

/// A base of URLs in which nothing is a command. It may be what a client called this server (its `Host` field), so what no
/// such URL holds is left out.
fn base(text: &str) -> String {
    let of_a_url =
        |c: &char| c.is_ascii_alphanumeric() || matches!(c, ':' | '/' | '.' | '-' | '_' | '~' | '[' | ']' | '%');
    let kept: String = text.chars().filter(of_a_url).collect();
    kept.trim_end_matches('/').to_owned()
}
