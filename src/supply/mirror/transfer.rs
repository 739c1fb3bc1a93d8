//! Streams a file from its upstream into an upload. The upload is sealed only if every proof holds, else it is aborted.

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::archive::{self, Unpacked};
use super::documents::{shown, source};
use super::download::Download;
use super::error::MirrorError;
use super::progress::{Observer, Progress};
use super::selection::PickedFile;
use crate::asset::{Digest, Verifier};
use crate::catalog::content_type;
use crate::origin::Origins;
use crate::proof::{BodyHasher, DetachedSignature, ProofError, TrustedKeys};
use crate::supply::recipes::UpstreamFile;
use crate::supply::{Hashed, ObjectHeaders, PartPlan, Store, Upload};
use crate::task::blocking;

/// Pieces of an archive, and of its members, that wait for the next step.
const QUEUED: usize = 8;

/// The state that the transfers of one mirror share.
pub(super) struct Transfers<'e> {
    pub(super) origins: &'e Origins,
    pub(super) store: &'e Store,
    pub(super) keys: &'e TrustedKeys,
    pub(super) now: jiff::Timestamp,
    pub(super) observer: &'e dyn Observer,
    pub(super) cancel: &'e CancellationToken,
}

/// Bytes that are proven and sent, but not visible.
pub(super) struct Sealed {
    pub(super) upload: Upload,
    /// The name of the file, or of the member of an archive.
    pub(super) name: String,
    pub(super) key: String,
    pub(super) hashed: Hashed,
}

impl Transfers<'_> {
    /// Transfers one file to `key`.
    pub(super) async fn file(
        &self,
        file: &UpstreamFile,
        key: &str,
        signature: Option<&DetachedSignature>,
    ) -> Result<Sealed, MirrorError> {
        let mut hasher = self.hasher(file, signature)?;
        let mut download = Download::open(self.origins, &source(&file.url)?).await?;
        let size = announced_size(file, &download)?;
        let progress = Progress::begin(self.observer, &file.name, size);
        let mut upload = self.upload(key, &file.name, size, file.expected.sha256)?;
        let copy = async {
            while let Some(piece) = self.next(&mut download).await? {
                hasher.update(&piece);
                upload.write(&piece).await?;
                progress.add(piece.len());
            }
            let hashed = upload.seal().await?.clone();
            hasher.finish(hashed.digest, hashed.size, self.now).map_err(|error| not_proven(file, error))?;
            Ok(hashed)
        };
        let copied: Result<Hashed, MirrorError> = copy.await;
        match copied {
            Ok(hashed) => Ok(Sealed { upload, name: file.name.clone(), key: key.to_owned(), hashed }),
            Err(error) => {
                discard(upload).await;
                Err(error)
            }
        }
    }

    /// Transfers the selected members of an archive, each to the key that `key` gives it.
    pub(super) async fn archive(
        &self,
        picked: &PickedFile,
        key: impl Fn(&str) -> String,
        signature: Option<&DetachedSignature>,
    ) -> Result<Vec<Sealed>, MirrorError> {
        let file = &picked.file;
        let hasher = self.hasher(file, signature)?;
        let mut download = Download::open(self.origins, &source(&file.url)?).await?;
        let progress = Progress::begin(self.observer, &file.name, announced_size(file, &download)?);
        let (to_unpack, packed) = mpsc::channel(QUEUED);
        let (to_upload, unpacked) = mpsc::channel(QUEUED);
        let members = picked.clone();
        let unpack = blocking(move || archive::unpack(packed, &to_upload, |path| members.takes(path)));
        let feed = self.feed(file, &mut download, hasher, to_unpack, &progress);
        let mut uploads = Vec::new();
        let drain = self.drain(unpacked, &key, &mut uploads);
        let (fed, drained, whole) = tokio::join!(feed, drain, unpack);
        let unpacked = whole.map_err(|error| MirrorError::Archive { url: shown(&file.url), error });
        // A wrong archive often cannot be unpacked either: its proof is the better reason.
        let mut failed = fed.and(drained).and(unpacked).err();
        let mut sealed = Vec::new();
        for (name, mut upload) in uploads {
            if failed.is_none() {
                match upload.seal().await.cloned() {
                    Ok(hashed) => {
                        sealed.push(Sealed { upload, key: key(&name), name, hashed });
                        continue;
                    }
                    Err(error) => failed = Some(error.into()),
                }
            }
            discard(upload).await;
        }
        let Some(error) = failed else { return Ok(sealed) };
        for sealed in sealed {
            discard(sealed.upload).await;
        }
        Err(error)
    }

    /// Hands an archive on piece by piece, and proves it at its end.
    async fn feed(
        &self,
        file: &UpstreamFile,
        download: &mut Download,
        mut hasher: BodyHasher<'_>,
        to_unpack: mpsc::Sender<Bytes>,
        progress: &Progress<'_>,
    ) -> Result<(), MirrorError> {
        let mut whole = Verifier::new();
        while let Some(piece) = self.next(download).await? {
            hasher.update(&piece);
            whole.update(&piece);
            progress.add(piece.len());
            // An archive that cannot be unpacked is still read to its end: its digest shows why.
            let _ = to_unpack.send(piece).await;
        }
        let proven = hasher.finish(whole.digest(), whole.length(), self.now);
        proven.map(drop).map_err(|error| not_proven(file, error))
    }

    /// Uploads the members of an archive as they come.
    async fn drain(
        &self,
        mut unpacked: mpsc::Receiver<Unpacked>,
        key: &impl Fn(&str) -> String,
        uploads: &mut Vec<(String, Upload)>,
    ) -> Result<(), MirrorError> {
        while let Some(step) = unpacked.recv().await {
            match (step, uploads.last_mut()) {
                (Unpacked::Member { path, size }, _) => {
                    let upload = self.upload(&key(&path), &path, Some(size), None)?;
                    uploads.push((path, upload));
                }
                (Unpacked::Bytes(bytes), Some((_, upload))) => upload.write(&bytes).await?,
                (Unpacked::Bytes(_), None) => {}
            }
        }
        Ok(())
    }

    async fn next(&self, download: &mut Download) -> Result<Option<Bytes>, MirrorError> {
        tokio::select! {
            piece = download.chunk() => Ok(piece?),
            () = self.cancel.cancelled() => Err(MirrorError::Cancelled),
        }
    }

    fn hasher<'s>(
        &'s self,
        file: &UpstreamFile,
        signature: Option<&'s DetachedSignature>,
    ) -> Result<BodyHasher<'s>, MirrorError> {
        let hasher = BodyHasher::new(file.expected, signature.map(|signature| (signature, self.keys)));
        hasher.map_err(|error| not_proven(file, error.into()))
    }

    fn upload(&self, key: &str, name: &str, size: Option<u64>, digest: Option<Digest>) -> Result<Upload, MirrorError> {
        let plan = PartPlan::new(size).ok_or_else(|| MirrorError::TooLarge { name: name.to_owned() })?;
        let metadata = digest.map(|digest| ("sha256".to_owned(), digest.to_string())).into_iter().collect();
        let headers = ObjectHeaders { content_type: Some(content_type(name).to_owned()), metadata };
        Ok(Upload::new(self.store.clone(), key, headers, plan))
    }
}

/// The length of the file. A wrong one is known before its first byte.
fn announced_size(file: &UpstreamFile, download: &Download) -> Result<Option<u64>, MirrorError> {
    match (file.expected.size, download.total()) {
        (Some(expected), Some(found)) if expected != found => {
            Err(not_proven(file, ProofError::Size { expected, found }))
        }
        (expected, found) => Ok(found.or(expected)),
    }
}

/// Deletes what is at the store of an upload that failed. A store that does not answer keeps the parts until its rules expire
/// them.
async fn discard(upload: Upload) {
    let url = upload.url();
    if let Err(error) = upload.abort().await {
        tracing::warn!(url, %error, "upload not aborted");
    }
}

fn not_proven(file: &UpstreamFile, error: ProofError) -> MirrorError {
    MirrorError::NotProven { url: shown(&file.url), error }
}
