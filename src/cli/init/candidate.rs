//! Settings that are not written yet: loaded from their text as a server loads its file, and tried.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;

use super::contents::{CATALOG_KEY, Contents};
use super::fault::{Fault, Subject};
use super::settings::Answers;
use crate::app::{CatalogError, fetch};
use crate::asset::SourceUrl;
use crate::cli::usage_error::UsageError;
use crate::clock;
use crate::config::{Config, Draft, Flags, Inputs};
use crate::origin::{Denial, OriginError, Origins};
use crate::supply::mirror::{Known, Mirror, Plan, Wanted, destination};
use crate::supply::{Store, StoreError};
use crate::task::blocking;

/// Settings that are not written yet.
pub(super) struct Candidate {
    /// The text of the file.
    pub(super) text: String,
    pub(super) config: Config,
    draft: Arc<Draft>,
}

/// The state of the shared catalog.
pub(super) enum Shared {
    /// It is valid, and has assets of these names.
    Valid(BTreeSet<String>),
    /// It does not exist.
    Missing,
    /// It cannot be read or used, for this reason.
    Unusable(String),
}

impl Candidate {
    /// Loads the settings of these answers, for a file at `path`. Environment variables do not override them.
    pub(super) async fn new(path: &Path, answers: &Answers) -> anyhow::Result<Self> {
        let text = answers.text(path)?;
        let flags = Flags { config: Some(path.to_owned()), ..Flags::default() };
        let source = answers.store.credentials.unstored_source();
        blocking(move || {
            let draft = Inputs::new(&flags, []).read_text(&text).map_err(UsageError::new)?;
            let mut config = draft.complete_offline().map_err(UsageError::new)?;
            if let (Some(source), Some(origin)) = (source, config.origins.first_mut()) {
                origin.credentials = source;
            }
            Ok(Self { text, config, draft: Arc::new(draft) })
        })
        .await
    }

    /// The origins of the settings.
    pub(super) async fn origins(&self) -> Result<Origins, OriginError> {
        let (settings, timeouts) = (self.config.origins.clone(), self.config.timeouts);
        blocking(move || Origins::new(settings, timeouts)).await
    }

    /// Lists the bucket, and reads the metadata of one object. Credentials that may not list suffice if they may ask for the
    /// object `key`: the server lists nothing.
    pub(super) async fn prove(&self, bucket: &str, key: &str) -> Result<(Origins, Contents), Fault> {
        let origins = self.origins().await.map_err(|error| Fault::from(&error))?;
        let wrong = |reason: String| Fault { subject: Subject::Access, text: reason };
        let probe = SourceUrl::s3(bucket, key).map_err(|error| wrong(error.to_string()))?;
        let store = Store::of(&origins, &probe).ok_or_else(|| wrong(format!("{probe} is not in S3")))?;
        let page = match store.without_retries().list_page("", None, None).await {
            Ok(page) => page,
            Err(StoreError::Origin { error, .. }) if matches!(*error, OriginError::NoSuchBucket { .. }) => {
                return Ok((origins, Contents::default()));
            }
            Err(StoreError::Origin { error, .. }) if is_policy(&error) => {
                return match origins.stat(&probe).await.stat {
                    Ok(_) => Ok((origins, Contents::unlisted(Some(key.to_owned())))),
                    // Only credentials that may read it learn that an object is missing.
                    Err(missing) if missing.is_not_found() => Ok((origins, Contents::unlisted(None))),
                    Err(denied) if is_policy(&denied) => Err(Fault::neither_list_nor_read(&error, &probe)),
                    Err(error) => Err(Fault::from(&error)),
                };
            }
            Err(error) => return Err(Fault::from(&error)),
        };
        let mut contents = Contents::of(&page);
        if let Some(object) = page.objects.iter().find(|object| object.size > 0)
            && let Ok(source) = SourceUrl::s3(bucket, &object.key)
        {
            match origins.stat(&source).await.stat {
                Ok(_) => contents.read_key = Some(object.key.clone()),
                Err(error) if is_policy(&error) => return Err(Fault::from(&error)),
                // An archived object, say.
                Err(_) => {}
            }
        }
        Ok((origins, contents))
    }

    /// Reads the shared catalog, and validates it with the settings.
    pub(super) async fn shared_catalog(&self, url: &str) -> anyhow::Result<Shared> {
        let source: SourceUrl = url.parse().map_err(UsageError::new)?;
        let text = match fetch(&self.origins().await?, &source, None).await {
            Ok(text) => text.context("the catalog was not sent")?,
            Err(CatalogError::Origin(error)) if error.is_not_found() => return Ok(Shared::Missing),
            Err(CatalogError::Origin(OriginError::NoSuchBucket { .. })) => return Ok(Shared::Missing),
            Err(error) => return Ok(Shared::Unusable(error.to_string())),
        };
        let draft = Arc::clone(&self.draft);
        Ok(match blocking(move || draft.complete(Some(&text))).await {
            Ok(config) => {
                let own: BTreeSet<_> = self.config.catalog.assets().map(|asset| asset.name.to_string()).collect();
                let all = config.catalog.assets().map(|asset| asset.name.to_string());
                Shared::Valid(all.filter(|name| !own.contains(name)).collect())
            }
            Err(errors) => Shared::Unusable(errors.to_string()),
        })
    }

    /// Asks the upstream of the mirror `name` for its newest release, which goes into `bucket`.
    pub(super) async fn mirror_plan(&self, name: &str, bucket: &str, origins: &Origins) -> anyhow::Result<Plan> {
        let settings = self.config.mirrors.iter().find(|mirror| mirror.name == name);
        let settings = settings.with_context(|| format!("the settings have no mirror {name}"))?;
        let to = &settings.to.bucket;
        anyhow::ensure!(to == bucket, "it copies into the bucket {to}; change its key \"to\" to s3://{bucket}/{name}");
        let source = destination(settings)?;
        let store = Store::of(origins, &source).with_context(|| format!("{source} is not in S3"))?;
        let known = Known::new(&self.config.catalog, &self.config.releases);
        let mirror = Mirror::new(settings, origins, store, &known, None, clock::now())?;
        Ok(Box::pin(mirror.plan(&Wanted::Latest)).await?)
    }
}

/// Whether the credentials are good, and may not do this.
fn is_policy(error: &OriginError) -> bool {
    matches!(error, OriginError::AccessDenied { denial: Denial::Policy, .. })
}

/// The URL of the shared catalog in a bucket.
pub(super) fn catalog_in(bucket: &str) -> String {
    format!("s3://{bucket}/{CATALOG_KEY}")
}
