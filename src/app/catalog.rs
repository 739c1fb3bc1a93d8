//! The settings with the catalog that other nodes share: fetched, bounded, and where it cannot be had, its last good copy.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use tracing::warn;

use crate::asset::SourceUrl;
use crate::config::{CatalogAccess, CatalogText, Config, ConfigErrors, Draft, Flags, Inputs, process_environment};
use crate::origin::{OriginError, Origins, Validator};
use crate::task::blocking;

/// The longest catalog that is read: some hundred thousand assets.
const LONGEST: u64 = 64 << 20;
/// How long to wait for the catalog. Within it a store that is up has answered many times; and a server
/// that waited longer for one that is down would only answer its machines later.
const PATIENCE: Duration = Duration::from_secs(15);

/// Why the shared catalog cannot be had.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CatalogError {
    /// Its origin does not give it.
    #[error(transparent)]
    Origin(#[from] OriginError),
    /// It is larger than any catalog.
    #[error("{url} is {size} bytes long, and a catalog has at most 64 MiB")]
    TooLong {
        /// Where it is.
        url: String,
        /// Its length in bytes.
        size: u64,
    },
    /// It is no text.
    #[error("{url} is not UTF-8")]
    NoText {
        /// Where it is.
        url: String,
    },
    /// Its origin takes too long.
    #[error("{url} did not come within {} s", PATIENCE.as_secs())]
    Late {
        /// Where it is.
        url: String,
    },
}

/// What the last look at the shared catalog found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// When it was.
    pub at: Timestamp,
    /// What is wrong: it cannot be had, or it cannot be taken.
    pub error: Option<String>,
    /// What its origin called the state in which it was.
    pub validator: Option<String>,
}

impl Look {
    /// This was found.
    pub(super) fn good(text: &CatalogText) -> Self {
        Self { at: Timestamp::now(), error: None, validator: text.validator.clone() }
    }

    /// Something is wrong; the state that was read before was `validator`.
    pub(super) fn failed(error: String, validator: Option<String>) -> Self {
        Self { at: Timestamp::now(), error: Some(error), validator }
    }
}

/// Settings, and how far they may be trusted to be all.
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// What the look at the shared catalog found, where there is one.
    pub look: Option<Look>,
    /// What is wrong with the catalog that was found, a sentence each: the copy stands in for it.
    pub errors: Vec<String>,
}

impl From<Config> for Loaded {
    fn from(config: Config) -> Self {
        Self { config, look: None, errors: Vec::new() }
    }
}

/// Reads the catalog at `url`, unless it is still in the state that `known` names. Takes 15 s at most: who wants settings
/// loaded again waits for it, whoever began it.
pub async fn fetch(
    origins: &Origins,
    url: &SourceUrl,
    known: Option<&str>,
) -> Result<Option<Arc<CatalogText>>, CatalogError> {
    fetch_within(PATIENCE, origins, url, known).await
}

async fn fetch_within(
    patience: Duration,
    origins: &Origins,
    url: &SourceUrl,
    known: Option<&str>,
) -> Result<Option<Arc<CatalogText>>, CatalogError> {
    let late = |_| Err(CatalogError::Late { url: url.to_string() });
    // Boxed: it is a large future, and part of those of every start and reload.
    tokio::time::timeout(patience, Box::pin(read_changed(origins, url, known))).await.unwrap_or_else(late)
}

async fn read_changed(
    origins: &Origins,
    url: &SourceUrl,
    known: Option<&str>,
) -> Result<Option<Arc<CatalogText>>, CatalogError> {
    let known = known.map(Validator::from_text);
    let Some(mut reply) = origins.read_if_changed(url, known.as_ref()).await? else { return Ok(None) };
    if reply.total > LONGEST {
        return Err(CatalogError::TooLong { url: url.to_string(), size: reply.total });
    }
    let mut text = Vec::new();
    // As many bytes as were promised, or an error.
    while let Some(piece) = reply.body.chunk().await? {
        text.extend_from_slice(&piece);
    }
    let text = String::from_utf8(text).map_err(|_| CatalogError::NoText { url: url.to_string() })?;
    let since = reply.last_modified.unwrap_or(SystemTime::UNIX_EPOCH);
    let validator = reply.validator.map(|validator| validator.as_str().to_owned());
    Ok(Some(Arc::new(CatalogText::new(url, since, validator, text))))
}

/// The settings for a server that is to start. A shared catalog that cannot be had or taken keeps none from starting: its
/// copy stands in for it, and where there is none, [what the files have](Config::partial).
pub async fn load(inputs: &Inputs) -> Result<Loaded, ConfigErrors> {
    let draft = Arc::new(read(inputs).await?);
    let Some(reach) = draft.reach() else { return complete(&draft, None).await.map(Loaded::from) };
    let copy = copy(&reach).await;
    let (found, look) = look(&reach, copy.as_deref()).await;
    let url = &reach.catalog.url;
    let mut errors = Vec::new();
    let mut wrong = None;
    if let Some(text) = &found {
        match complete(&draft, Some(Arc::clone(text))).await {
            Ok(config) => {
                keep(&reach.dir, Arc::clone(text)).await;
                return Ok(Loaded { config, look: Some(look), errors });
            }
            Err(found) => {
                errors = found.iter().map(ToString::to_string).collect();
                wrong = Some(found);
            }
        }
    }
    // What is wrong with the files alone is wrong with whatever stands in.
    let config = complete(&draft, copy.clone()).await.map_err(|errors| wrong.unwrap_or(errors))?;
    if look.error.is_none() && errors.is_empty() {
        return Ok(Loaded { config, look: Some(look), errors });
    }
    let config = with_warning(config, stand_in(url, copy.as_deref(), &look, &errors));
    let error = look.error.or_else(|| (!errors.is_empty()).then(|| errors.join("\n")));
    Ok(Loaded { config, look: Some(Look { error, ..look }), errors })
}

/// The settings for a command that looks at them once. A catalog that cannot be taken is an error, as it is within files; for
/// one that cannot be had its copy stands in, if there is one.
pub async fn load_now(flags: &Flags) -> Result<Config, LoadError> {
    complete_now(&Arc::new(read(&Inputs::new(flags, process_environment())).await?)).await
}

/// The same for a command that has something to do without the catalog, too: where neither it nor its copy can be had, what
/// the files have, and a warning.
pub async fn load_at_hand(flags: &Flags) -> Result<Config, ConfigErrors> {
    complete_at_hand(read(&Inputs::new(flags, process_environment())).await?).await
}

/// The same for settings that were read before.
pub async fn complete_at_hand(draft: Draft) -> Result<Config, ConfigErrors> {
    let draft = Arc::new(draft);
    match complete_now(&draft).await {
        Ok(config) => Ok(config),
        Err(LoadError::Settings(errors)) => Err(errors),
        Err(error @ LoadError::Catalog(_)) => {
            let config = complete(&draft, None).await?;
            Ok(with_warning(config, error.to_string()))
        }
    }
}

async fn complete_now(draft: &Arc<Draft>) -> Result<Config, LoadError> {
    let Some(reach) = draft.reach() else { return Ok(complete(draft, None).await?) };
    let copy = copy(&reach).await;
    let (found, look) = look(&reach, copy.as_deref()).await;
    let url = &reach.catalog.url;
    match (found, copy, look.error.as_deref()) {
        (Some(text), ..) => Ok(complete(draft, Some(text)).await?),
        (None, Some(copy), None) => Ok(complete(draft, Some(copy)).await?),
        (None, Some(copy), Some(_)) => {
            let warning = stand_in(url, Some(&copy), &look, &[]);
            Ok(with_warning(complete(draft, Some(copy)).await?, warning))
        }
        (None, None, error) => Err(LoadError::Catalog(error.unwrap_or("it is not there").to_owned())),
    }
}

/// Why a command has no settings.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Something is wrong with them.
    #[error(transparent)]
    Settings(#[from] ConfigErrors),
    /// The shared catalog cannot be had, and there is no copy of it.
    #[error("the shared catalog cannot be read, and the cache has no copy of it: {0}")]
    Catalog(String),
}

fn stand_in(url: &SourceUrl, copy: Option<&CatalogText>, look: &Look, errors: &[String]) -> String {
    let why = match &look.error {
        Some(error) => format!("the shared catalog cannot be read: {error}"),
        None => format!("the shared catalog {url} cannot be taken: {}", errors.join("; ")),
    };
    let instead = match copy {
        Some(copy) => {
            let since = Timestamp::try_from(copy.since).unwrap_or_default();
            format!("the copy of it that was last changed at {since} stands in for it")
        }
        None => "there is no copy of it, so only what the files have is known".to_owned(),
    };
    format!("{why}; {instead}")
}

fn with_warning(mut config: Config, warning: String) -> Config {
    config.warnings.push(warning);
    config
}

/// Looks for the catalog; the copy's state is known already.
async fn look(reach: &CatalogAccess, copy: Option<&CatalogText>) -> (Option<Arc<CatalogText>>, Look) {
    let url = &reach.catalog.url;
    let known = copy.and_then(|copy| copy.validator.as_deref());
    let found = match origins_of(reach).await {
        Ok(origins) => fetch(&origins, url, known).await,
        Err(error) => Err(error.into()),
    };
    let known = known.map(str::to_owned);
    match found {
        Ok(None) => (None, Look { at: Timestamp::now(), error: None, validator: known }),
        Ok(Some(text)) => (Some(Arc::clone(&text)), Look::good(&text)),
        Err(error) => (None, Look::failed(error.to_string(), known)),
    }
}

/// The origins that these settings have.
pub(super) async fn origins_of(reach: &CatalogAccess) -> Result<Origins, OriginError> {
    let (settings, timeouts) = (reach.origins.clone(), reach.timeouts);
    blocking(move || Origins::new(settings, timeouts)).await
}

/// The copy in the cache's directory.
pub(super) async fn copy(reach: &CatalogAccess) -> Option<Arc<CatalogText>> {
    let (dir, url) = (reach.dir.clone(), reach.catalog.url.clone());
    let shown = dir.display().to_string();
    let read = blocking(move || CatalogText::read(&dir, &url)).await;
    let copy = read.inspect_err(|error| warn!(dir = shown, %error, "the copy of the shared catalog cannot be read"));
    copy.ok().flatten().map(Arc::new)
}

/// Keeps a copy of a text that was taken, for a start without its origin.
pub(super) async fn keep(dir: &Path, text: Arc<CatalogText>) {
    let dir = dir.to_owned();
    let shown = dir.display().to_string();
    // The directory may not be there before the cache is opened.
    let kept = blocking(move || std::fs::create_dir_all(&dir).and_then(|()| text.write(&dir))).await;
    if let Err(error) = kept {
        warn!(dir = shown, %error, "no copy of the shared catalog can be kept; a start without its origin would lack it");
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

    /// Never silent for long enough to be given up, and never at the end.
    #[tokio::test]
    async fn a_catalog_that_comes_drop_by_drop_is_not_waited_for() {
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
        assert_eq!(error.to_string(), format!("{url} did not come within 15 s"));
    }
}
