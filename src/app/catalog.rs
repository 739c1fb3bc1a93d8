//! Loads the configuration with the shared catalog: fetches it within bounds, or falls back to its last good copy.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use tracing::warn;

use crate::asset::SourceUrl;
use crate::clock;
use crate::config::{CatalogAccess, CatalogText, Config, ConfigErrors, Draft, Flags, Inputs, process_environment};
use crate::origin::{HtmlPage, OriginError, Origins, Validator};
use crate::task::blocking;

/// Maximum size of a shared catalog: some hundred thousand assets.
const MAX_SIZE: u64 = 64 << 20;
/// Timeout of fetching the catalog. A store that is up has answered many times within it; waiting longer for one that
/// is down would only delay the machines.
const FETCH_TIMEOUT: Duration = Duration::from_secs(15);

/// Why the shared catalog cannot be fetched.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CatalogError {
    /// Its origin failed.
    #[error(transparent)]
    Origin(#[from] OriginError),
    /// It exceeds the maximum size.
    #[error("{url} has {size} bytes; a catalog may have at most 64 MiB")]
    TooLong {
        /// Its URL.
        url: String,
        /// Its length in bytes.
        size: u64,
    },
    /// It is not UTF-8.
    #[error("{url} is not UTF-8")]
    NoText {
        /// Its URL.
        url: String,
    },
    /// A web page came in its place.
    #[error("{url} answered with {page} in place of the catalog; a proxy or a login page may be in the way")]
    Page {
        /// Its URL.
        url: String,
        /// The page.
        page: HtmlPage,
    },
    /// Its origin takes too long.
    #[error("{url} was not received within {} s", FETCH_TIMEOUT.as_secs())]
    Late {
        /// Its URL.
        url: String,
    },
}

/// Result of the last check of the shared catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogCheck {
    /// Time of the check.
    pub at: Timestamp,
    /// Why the catalog cannot be fetched or is not valid.
    pub error: Option<String>,
    /// The origin's validator of the version found.
    pub validator: Option<String>,
}

impl CatalogCheck {
    /// The catalog was found.
    pub(super) fn good(text: &CatalogText) -> Self {
        Self { at: clock::now(), error: None, validator: text.validator.clone() }
    }

    /// The check failed; the version read before has this `validator`.
    pub(super) fn failed(error: String, validator: Option<String>) -> Self {
        Self { at: clock::now(), error: Some(error), validator }
    }
}

/// A configuration, and whether its shared catalog is current.
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// Result of the check of the shared catalog, if there is one.
    pub check: Option<CatalogCheck>,
    /// Errors of the fetched catalog, one sentence each; its copy is used instead.
    pub errors: Vec<String>,
}

impl From<Config> for Loaded {
    fn from(config: Config) -> Self {
        Self { config, check: None, errors: Vec::new() }
    }
}

/// Fetches the catalog at `url` unless it still has the validator `known`. Takes at most 15 s, because reload requests
/// wait for it.
pub async fn fetch(
    origins: &Origins,
    url: &SourceUrl,
    known: Option<&str>,
) -> Result<Option<Arc<CatalogText>>, CatalogError> {
    fetch_within(FETCH_TIMEOUT, origins, url, known).await
}

async fn fetch_within(
    timeout: Duration,
    origins: &Origins,
    url: &SourceUrl,
    known: Option<&str>,
) -> Result<Option<Arc<CatalogText>>, CatalogError> {
    let late = |_| Err(CatalogError::Late { url: url.to_string() });
    // Boxed: the future is large and part of the futures of every start and reload.
    tokio::time::timeout(timeout, Box::pin(read_changed(origins, url, known))).await.unwrap_or_else(late)
}

async fn read_changed(
    origins: &Origins,
    url: &SourceUrl,
    known: Option<&str>,
) -> Result<Option<Arc<CatalogText>>, CatalogError> {
    let known = known.map(Validator::from_text);
    let Some(mut reply) = origins.read_if_changed(url, known.as_ref()).await? else { return Ok(None) };
    let too_long = |size| CatalogError::TooLong { url: url.to_string(), size };
    if let Some(size) = reply.total.filter(|size| *size > MAX_SIZE) {
        return Err(too_long(size));
    }
    let mut text = Vec::new();
    // Reads as many bytes as announced, or fails. Without a length, reads to the end.
    while let Some(piece) = reply.body.chunk().await? {
        text.extend_from_slice(&piece);
        if text.len() as u64 > MAX_SIZE {
            return Err(too_long(text.len() as u64));
        }
    }
    if let Some(page) = HtmlPage::parse(&text) {
        return Err(CatalogError::Page { url: url.to_string(), page });
    }
    let text = String::from_utf8(text).map_err(|_| CatalogError::NoText { url: url.to_string() })?;
    let since = reply.last_modified.unwrap_or(SystemTime::UNIX_EPOCH);
    let validator = reply.validator.map(|validator| validator.as_str().to_owned());
    Ok(Some(Arc::new(CatalogText::new(url, since, validator, text))))
}

/// Loads the configuration of a server that starts. A shared catalog that cannot be fetched or is invalid does not
/// prevent the start: its copy is used, or without one [the local files alone](Config::partial).
pub async fn load(inputs: &Inputs) -> Result<Loaded, ConfigErrors> {
    let draft = Arc::new(read(inputs).await?);
    let Some(reach) = draft.catalog_access() else { return complete(&draft, None).await.map(Loaded::from) };
    let copy = copy(&reach).await;
    let (found, check) = check_catalog(&reach, copy.as_deref()).await;
    let url = &reach.catalog.url;
    let mut errors = Vec::new();
    let mut wrong = None;
    if let Some(text) = &found {
        match complete(&draft, Some(Arc::clone(text))).await {
            Ok(config) => {
                keep(&reach.dir, Arc::clone(text)).await;
                return Ok(Loaded { config, check: Some(check), errors });
            }
            Err(found) => {
                errors = found.iter().map(ToString::to_string).collect();
                wrong = Some(found);
            }
        }
    }
    let (config, copy) = match complete(&draft, copy.clone()).await {
        Ok(config) => (config, copy),
        // The copy may be one that this node's settings, or this version, do not allow.
        Err(with_copy) => match complete(&draft, None).await {
            Ok(config) => {
                if errors.is_empty() {
                    errors = with_copy.iter().map(ToString::to_string).collect();
                }
                (config, None)
            }
            // Errors of the local files exist with the copy as well.
            Err(_) => return Err(wrong.unwrap_or(with_copy)),
        },
    };
    if check.error.is_none() && errors.is_empty() {
        return Ok(Loaded { config, check: Some(check), errors });
    }
    let config = with_warning(config, stand_in(url, copy.as_deref(), &check, &errors));
    let error = check.error.or_else(|| (!errors.is_empty()).then(|| errors.join("\n")));
    Ok(Loaded { config, check: Some(CatalogCheck { error, ..check }), errors })
}

/// Loads the configuration of a command that uses it once. An invalid shared catalog is an error, like an invalid file; if it
/// cannot be fetched, its copy is used.
pub async fn load_strict(flags: &Flags) -> Result<Config, LoadError> {
    complete_strict(&Arc::new(read(&Inputs::new(flags, process_environment())).await?)).await
}

/// The same for a configuration that was read before, for work that is possible without the catalog too: if neither the catalog
/// nor a copy is available, returns the local files alone, with a warning.
pub async fn complete_lenient(draft: Draft) -> Result<Config, ConfigErrors> {
    let draft = Arc::new(draft);
    match complete_strict(&draft).await {
        Ok(config) => Ok(config),
        Err(LoadError::Settings(errors)) => Err(errors),
        Err(error @ LoadError::Catalog(_)) => {
            let config = complete(&draft, None).await?;
            Ok(with_warning(config, error.to_string()))
        }
    }
}

async fn complete_strict(draft: &Arc<Draft>) -> Result<Config, LoadError> {
    let Some(reach) = draft.catalog_access() else { return Ok(complete(draft, None).await?) };
    let copy = copy(&reach).await;
    let (found, check) = check_catalog(&reach, copy.as_deref()).await;
    let url = &reach.catalog.url;
    match (found, copy, check.error.as_deref()) {
        (Some(text), ..) => Ok(complete(draft, Some(text)).await?),
        (None, Some(copy), None) => Ok(complete(draft, Some(copy)).await?),
        (None, Some(copy), Some(_)) => {
            let warning = stand_in(url, Some(&copy), &check, &[]);
            Ok(with_warning(complete(draft, Some(copy)).await?, warning))
        }
        (None, None, error) => Err(LoadError::Catalog(error.unwrap_or("it does not exist").to_owned())),
    }
}

/// Why a command has no configuration.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The configuration is invalid.
    #[error(transparent)]
    Settings(#[from] ConfigErrors),
    /// The shared catalog cannot be fetched, and there is no copy of it.
    #[error("the shared catalog cannot be read, and the cache has no copy of it: {0}")]
    Catalog(String),
}

fn stand_in(url: &SourceUrl, copy: Option<&CatalogText>, check: &CatalogCheck, errors: &[String]) -> String {
    let why = match &check.error {
        Some(error) => format!("the shared catalog cannot be read: {error}"),
        None => format!("the shared catalog {url} is invalid: {}", errors.join("; ")),
    };
    let instead = match copy {
        Some(copy) => {
            let since = Timestamp::try_from(copy.since).unwrap_or_default();
            format!("using the copy last modified at {since}")
        }
        None => "there is no usable copy, so only the local files are used".to_owned(),
    };
    format!("{why}; {instead}")
}

fn with_warning(mut config: Config, warning: String) -> Config {
    config.warnings.push(warning);
    config
}

/// Checks the catalog; the validator of the copy is known.
async fn check_catalog(reach: &CatalogAccess, copy: Option<&CatalogText>) -> (Option<Arc<CatalogText>>, CatalogCheck) {
    let url = &reach.catalog.url;
    let known = copy.and_then(|copy| copy.validator.as_deref());
    let found = match origins_of(reach).await {
        Ok(origins) => fetch(&origins, url, known).await,
        Err(error) => Err(error.into()),
    };
    let known = known.map(str::to_owned);
    match found {
        Ok(None) => (None, CatalogCheck { at: clock::now(), error: None, validator: known }),
        Ok(Some(text)) => (Some(Arc::clone(&text)), CatalogCheck::good(&text)),
        Err(error) => (None, CatalogCheck::failed(error.to_string(), known)),
    }
}

/// The origins of the configuration.
pub(super) async fn origins_of(reach: &CatalogAccess) -> Result<Origins, OriginError> {
    let (settings, timeouts) = (reach.origins.clone(), reach.timeouts);
    blocking(move || Origins::new(settings, timeouts)).await
}

/// The copy in the cache directory.
pub(super) async fn copy(reach: &CatalogAccess) -> Option<Arc<CatalogText>> {
    let (dir, url) = (reach.dir.clone(), reach.catalog.url.clone());
    let shown = dir.display().to_string();
    let read = blocking(move || CatalogText::read(&dir, &url)).await;
    let copy = read.inspect_err(|error| warn!(dir = shown, %error, "shared catalog copy unreadable"));
    copy.ok().flatten().map(Arc::new)
}

/// Keeps a copy of a valid catalog, for a start without its origin.
pub(super) async fn keep(dir: &Path, text: Arc<CatalogText>) {
    let dir = dir.to_owned();
    let shown = dir.display().to_string();
    // The directory may not exist before the cache is opened.
    let kept = blocking(move || std::fs::create_dir_all(&dir).and_then(|()| text.write(&dir))).await;
    if let Err(error) = kept {
        warn!(dir = shown, %error, "shared catalog copy not written");
    }
}

pub(super) async fn read(inputs: &Inputs) -> Result<Draft, ConfigErrors> {
    let inputs = inputs.clone();
    blocking(move || inputs.read()).await
}

pub(super) async fn complete(draft: &Arc<Draft>, text: Option<Arc<CatalogText>>) -> Result<Config, ConfigErrors> {
    let draft = Arc::clone(draft);
    blocking(move || draft.complete(text.as_ref())).await
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;
    use crate::origin::Timeouts;

    /// A body that always sends something before the stall timeout, and never ends.
    #[tokio::test]
    async fn slow_catalog_body_times_out() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/catalog.toml", listener.local_addr().unwrap()).parse().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 4096]).unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\nETag: \"1\"\r\n\r\n").unwrap();
            while stream.write_all(b"#").is_ok() {
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        let origins = Origins::new(Vec::new(), Timeouts::default()).unwrap();
        let error = fetch_within(Duration::from_millis(300), &origins, &url, None).await.unwrap_err();
        assert_eq!(error.to_string(), format!("{url} was not received within 15 s"));
    }

    #[tokio::test]
    async fn web_page_is_no_catalog() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/catalog.toml", listener.local_addr().unwrap()).parse().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 4096]).unwrap();
            let page = "<html><title>Sign in</title></html>";
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{page}", page.len()).unwrap();
        });
        let origins = Origins::new(Vec::new(), Timeouts::default()).unwrap();
        let error = fetch(&origins, &url, None).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "{url} answered with an HTML page with the title \"Sign in\" in place of the catalog; a proxy or a login page \
                 may be in the way"
            )
        );
    }
}
