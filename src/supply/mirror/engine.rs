//! Brings one mirror up to date: asks the upstream, compares with what is there, transfers what is missing, and returns the
//! assets for the catalog.

use tokio_util::sync::CancellationToken;

use super::documents::{Documents, shown, source};
use super::error::MirrorError;
use super::known::Known;
use super::plan::{self, Plan, PlannedFile, Wanted};
use super::progress::Observer;
use super::retention;
use super::selection::{PickedFile, Selection};
use super::settings::MirrorSettings;
use super::stored;
use super::transfer::{Sealed, Transfers};
use super::trust::Evidence;
use super::upstream::Offer;
use crate::asset::SourceUrl;
use crate::origin::Origins;
use crate::proof::{DetachedSignature, ProofError, Signer, TrustedKeys};
use crate::supply::recipes::{UpstreamFile, Version};
use crate::supply::{CatalogEntry, StateDir, Store, StoreError};

/// One mirror, ready to be planned and run.
pub struct Mirror<'e> {
    settings: &'e MirrorSettings,
    selection: Selection,
    keys: TrustedKeys,
    origins: &'e Origins,
    store: Store,
    known: &'e Known,
    stdin: Option<String>,
    now: jiff::Timestamp,
}

/// The result of a run.
#[derive(Debug, Clone)]
pub struct Mirrored {
    /// The assets of the release.
    pub assets: Vec<CatalogEntry>,
    /// Bytes that became visible.
    pub stored: u64,
    /// The key that signed the document with the digests. `None` if no signature of it was checked.
    pub signer: Option<Signer>,
}

impl<'e> Mirror<'e> {
    /// A mirror that reads its upstream through `origins` and writes to `store`. `stdin` is the document on standard input.
    /// Fails if a key or a glob cannot be used. Blocks: it reads the keys.
    pub fn new(
        settings: &'e MirrorSettings,
        origins: &'e Origins,
        store: Store,
        known: &'e Known,
        stdin: Option<String>,
        now: jiff::Timestamp,
    ) -> Result<Self, MirrorError> {
        let selection = Selection::new(&settings.name, settings.selected())?;
        let keys = TrustedKeys::read(&settings.keys)?;
        Ok(Self { settings, selection, keys, origins, store, known, stdin, now })
    }

    /// The same, after a probe of which header fields the destination takes. Writes there.
    pub async fn probed(self, state: Option<&StateDir>) -> Result<Self, StoreError> {
        let store = self.store.probed(&self.settings.to.directory(), state).await?;
        Ok(Self { store, ..self })
    }

    /// Compares what the upstream offers with what is there. Changes nothing.
    pub async fn plan(&self, wanted: &Wanted) -> Result<Plan, MirrorError> {
        let (offer, picked) = self.ask(wanted).await?;
        let version = offer.release.version.clone();
        let release = self.settings.release_name(version.as_str());
        let mut files = Vec::new();
        for picked in picked {
            files.push(self.compare(&version, &release, picked).await?);
        }
        Ok(Plan { version, release, files, offer })
    }

    /// Transfers what is missing. Every file becomes visible only after its proofs hold.
    pub async fn run(
        &self,
        plan: &Plan,
        observer: &dyn Observer,
        cancel: &CancellationToken,
    ) -> Result<Mirrored, MirrorError> {
        let (origins, store, keys, now) = (self.origins, &self.store, &self.keys, self.now);
        let transfers = Transfers { origins, store, keys, now, observer, cancel };
        let mut done = Mirrored { assets: Vec::new(), stored: 0, signer: plan.offer.signer.clone() };
        for planned in &plan.files {
            if !planned.is_missing() {
                done.assets.extend(planned.stored.iter().cloned());
                continue;
            }
            for sealed in self.transfer_or_ask_again(&transfers, plan, &planned.picked).await? {
                let name = plan::asset_name(self.settings, &plan.version, &sealed.name)?;
                let (asset, is_new) = stored::finish(store, sealed, name).await?;
                done.stored += if is_new { asset.size } else { 0 };
                observer.stored(asset.name.as_str(), asset.size);
                done.assets.push(asset);
            }
        }
        Ok(done)
    }

    /// Deletes the files of versions beyond the newest ones that the settings keep, unless a catalog names them. `current` and
    /// what is newer stays. Returns the deleted keys.
    pub async fn prune(&self, current: &Version) -> Result<Vec<String>, MirrorError> {
        let Some(keep) = self.settings.keep else { return Ok(Vec::new()) };
        let directory = self.settings.to.directory();
        let keys = self.store.list(&directory).await?.into_iter().map(|object| object.key);
        let is_named = |key: &str| self.known.names(&self.store.url(key));
        let mut deleted = Vec::new();
        for old in retention::outdated(keys, &directory, keep, current, is_named) {
            for key in old.keys {
                self.store.delete(&key).await?;
                deleted.push(key);
            }
        }
        Ok(deleted)
    }

    async fn ask(&self, wanted: &Wanted) -> Result<(Offer, Vec<PickedFile>), MirrorError> {
        // Boxed: the future of all recipes is large.
        Box::pin(plan::ask(self.settings, &self.selection, &self.documents(), wanted)).await
    }

    fn documents(&self) -> Documents<'_> {
        let (origins, keys, require) = (self.origins, &self.keys, self.settings.require);
        Documents { origins, keys, require, now: self.now, stdin: self.stdin.as_deref() }
    }

    /// Transfers a file. If it is not the announced one, the upstream may have changed since it was asked: it is asked once
    /// more, and if it announces another file now, that one is transferred.
    async fn transfer_or_ask_again(
        &self,
        transfers: &Transfers<'_>,
        plan: &Plan,
        picked: &PickedFile,
    ) -> Result<Vec<Sealed>, MirrorError> {
        let first = self.transfer(transfers, &plan.version, picked, plan.offer.signer.as_ref()).await;
        let Err(MirrorError::NotProven { error: ProofError::Digest { .. } | ProofError::Size { .. }, .. }) = &first
        else {
            return first;
        };
        let (offer, again) = self.ask(&Wanted::Version(plan.version.to_string())).await?;
        let now = again.into_iter().find(|now| now.file.label == picked.file.label && now.file != picked.file);
        let Some(now) = now else { return first };
        let note = format!("{}: the upstream has changed since it was read; it is read again", picked.file.name);
        transfers.observer.note(&note);
        self.transfer(transfers, &plan.version, &now, offer.signer.as_ref()).await
    }

    async fn transfer(
        &self,
        transfers: &Transfers<'_>,
        version: &Version,
        picked: &PickedFile,
        index_signer: Option<&Signer>,
    ) -> Result<Vec<Sealed>, MirrorError> {
        let file = &picked.file;
        let signature = self.signature(file).await?;
        let is_verified_connection = self.is_verified_connection(&file.url);
        let evidence = Evidence { index_signer, has_signature: signature.is_some(), is_verified_connection };
        evidence.check(self.settings.require, file, &shown(&file.url))?;
        let key = |name: &str| self.settings.to.key(version.as_str(), name);
        if !file.is_archive {
            return Ok(vec![Box::pin(transfers.file(file, &key(&file.name), signature.as_ref())).await?]);
        }
        let sealed = Box::pin(transfers.archive(picked, key, signature.as_ref())).await?;
        if sealed.is_empty() { Err(MirrorError::NoMember { url: shown(&file.url) }) } else { Ok(sealed) }
    }

    /// The detached signature of a file, if there are keys to check it and the upstream has one.
    async fn signature(&self, file: &UpstreamFile) -> Result<Option<DetachedSignature>, MirrorError> {
        match &file.signature_url {
            Some(url) if !self.keys.is_empty() => self.documents().signature(url, &[""]).await,
            _ => Ok(None),
        }
    }

    fn is_verified_connection(&self, url: &str) -> bool {
        let is_plain = url.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("http://"));
        !is_plain && !self.settings.skip_tls_verify
    }

    /// Compares a selected file with the store and the catalogs.
    async fn compare(&self, version: &Version, release: &str, picked: PickedFile) -> Result<PlannedFile, MirrorError> {
        let listed = self.known.release(release);
        if !picked.file.is_archive {
            let name = plan::asset_name(self.settings, version, &picked.file.name)?;
            let key = self.settings.to.key(version.as_str(), &picked.file.name);
            let expected = picked.file.expected.sha256;
            let known = self.known.asset(&name, &self.store.url(&key), expected);
            let known = known.filter(|known| listed.iter().any(|it| it == known.name.as_str()));
            let in_catalog = known.is_some();
            let stored = stored::find(&self.store, &key, name, known, expected).await?;
            return Ok(PlannedFile { picked, stored: stored.into_iter().collect(), in_catalog });
        }
        // Which members the archive has is known only from the catalog.
        let mut members = Vec::new();
        for name in listed {
            let member = self.settings.file_of_asset(version.as_str(), name).filter(|member| picked.takes(member));
            let Some(member) = member else { continue };
            let name = plan::asset_name(self.settings, version, &member)?;
            let key = self.settings.to.key(version.as_str(), &member);
            let known = self.known.asset(&name, &self.store.url(&key), None);
            members.push(stored::find(&self.store, &key, name, known, None).await?);
        }
        let stored: Option<Vec<CatalogEntry>> = members.into_iter().collect();
        Ok(PlannedFile { picked, stored: stored.unwrap_or_default(), in_catalog: true })
    }
}

/// The URL of an object below the destination of a mirror, by which its bucket is found.
pub fn destination(settings: &MirrorSettings) -> Result<SourceUrl, MirrorError> {
    source(&format!("s3://{}/{}", settings.to.bucket, settings.to.key("version", "file")))
}
