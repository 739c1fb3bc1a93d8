//! The URLs in scripts and host files, and a record of the assets and files that they name.

use std::net::IpAddr;
use std::sync::Arc;

use minijinja::{Error, ErrorKind, Value};
use parking_lot::Mutex;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::escape::grub;
use super::host::Host;
use super::not_live::NotLive;
use super::request_context::RequestContext;
use super::role::Role;
use super::token::{TOKEN_LENGTH, TokenStore};
use crate::asset::AssetName;

/// The characters to encode in a path: all but RFC 3986's unreserved ones (2.3) and the slash.
const IN_PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// Resolves a reference to the name of an asset.
pub(super) type Resolve = Arc<dyn Fn(&str) -> Result<AssetName, NotLive> + Send + Sync>;

/// Issues one-time tokens for the URLs of files.
#[derive(Clone)]
pub(super) enum TokenIssuer {
    /// Issues valid tokens to the client at this address.
    Client(Arc<TokenStore>, IpAddr),
    /// Writes a text as long as a token, for a client that asks only for the size.
    Probe,
    /// Writes a placeholder, for previews.
    Sample,
}

impl TokenIssuer {
    /// Returns a token for `file` of `host`, or for each of its files if `None`.
    fn token(&self, host: &str, file: Option<&str>) -> Result<String, String> {
        match self {
            Self::Client(tokens, peer) => tokens.issue(host, file, *peer),
            Self::Probe => Ok("0".repeat(TOKEN_LENGTH)),
            Self::Sample => Ok("made-for-each-script".to_owned()),
        }
    }
}

/// The links of one script or file.
pub(super) struct Links {
    base: String,
    host: Option<Arc<Host>>,
    resolve: Resolve,
    tokens: TokenIssuer,
    usage: Mutex<Usage>,
}

#[derive(Default)]
struct Usage {
    named: Vec<(Role, String)>,
    not_live: Option<NotLive>,
}

impl Usage {
    fn add(&mut self, role: Role, name: &str) {
        if !self.named.iter().any(|(_, named)| named == name) {
            self.named.push((role, name.to_owned()));
        }
    }
}

impl Links {
    /// Links for a client, and for `host` if the client is a host.
    pub(super) fn new(
        request: &RequestContext,
        host: Option<Arc<Host>>,
        resolve: Resolve,
        tokens: TokenIssuer,
    ) -> Arc<Self> {
        Arc::new(Self { base: clean_base(&request.base), host, resolve, tokens, usage: Mutex::default() })
    }

    /// The base of all URLs.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// Resolves `reference`, and records the asset under `role` or the failure.
    pub(super) fn asset(&self, role: Role, reference: &str) -> Result<AssetName, NotLive> {
        let found = (self.resolve)(reference);
        match &found {
            Ok(name) => self.usage.lock().add(role, name.as_str()),
            Err(error) => self.usage.lock().not_live = Some(error.clone()),
        }
        found
    }

    /// Returns the URL of an asset.
    pub(super) fn asset_url(&self, name: &AssetName) -> String {
        format!("{}/assets/{}", self.base, utf8_percent_encode(name.as_str(), IN_PATH))
    }

    /// Returns the URL of a file of the host, and records the file. If only the host may fetch it, the URL has a token.
    fn file_url(&self, file: &str) -> Result<String, String> {
        let Some(host) = &self.host else {
            return Err(format!("file_url({file:?}): only a machine that matches a [[host]] has files"));
        };
        let Some(found) = host.files.get(file) else {
            let known = match host.files.keys().map(String::as_str).collect::<Vec<_>>().as_slice() {
                [] => "it has no files".to_owned(),
                names => format!("it has {}", names.join(", ")),
            };
            return Err(format!("the host {} has no file {file:?}; {known}", host.name));
        };
        let path = format!("hosts/{}/{}", host.name, utf8_percent_encode(file, IN_PATH));
        let token = if found.only_from_host {
            format!("?token={}", self.tokens.token(&host.name, Some(file))?)
        } else {
            String::new()
        };
        self.usage.lock().add(Role::File, &format!("hosts/{}/{file}", host.name));
        Ok(format!("{}/{path}{token}", self.base))
    }

    /// Returns the URL of the directory of the host's files, to which an installer appends their names. If only the host may
    /// fetch one of them, the path has a token: nothing can follow a query.
    fn files_url(&self) -> Result<String, String> {
        let Some(host) = &self.host else {
            return Err("files_url(): only a machine that matches a [[host]] has files".to_owned());
        };
        let token = if host.files.values().any(|file| file.only_from_host) {
            format!("~{}/", self.tokens.token(&host.name, None)?)
        } else {
            String::new()
        };
        Ok(format!("{}/hosts/{}/{token}", self.base, host.name))
    }

    /// Returns the assets and files named so far, each once.
    pub(super) fn named(&self) -> Vec<(Role, String)> {
        self.usage.lock().named.clone()
    }

    /// Returns why the last unresolved reference failed; `None` if all resolved.
    pub(super) fn not_live(&self) -> Option<NotLive> {
        self.usage.lock().not_live.clone()
    }

    /// Returns the functions for templates: `asset_url()`, `asset_path()` (a GRUB path), `file_url()` and `files_url()`.
    pub(super) fn functions(self: &Arc<Self>) -> [(&'static str, Value); 4] {
        let failed = |reason: String| Error::new(ErrorKind::InvalidOperation, reason);
        let (urls, paths, files, directory) = (Arc::clone(self), Arc::clone(self), Arc::clone(self), Arc::clone(self));
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
        let files_url = move || directory.files_url().map(Value::from_safe_string).map_err(failed);
        [
            ("asset_url", Value::from_function(asset_url)),
            ("asset_path", Value::from_function(asset_path)),
            ("file_url", Value::from_function(file_url)),
            ("files_url", Value::from_function(files_url)),
        ]
    }
}

/// Removes characters that no base URL contains. The base may come from a client's `Host` field, and must not add commands
/// to a script.
fn clean_base(text: &str) -> String {
    let allowed =
        |c: &char| c.is_ascii_alphanumeric() || matches!(c, ':' | '/' | '.' | '-' | '_' | '~' | '[' | ']' | '%');
    let kept: String = text.chars().filter(allowed).collect();
    kept.trim_end_matches('/').to_owned()
}
