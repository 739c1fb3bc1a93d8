//! Reads what a recipe leaves out until a release is wanted: the digests of its files.

use crate::asset::Digest;
use crate::proof::Document;
use crate::proof::{Expected, ProofError};
use crate::supply::mirror::documents::{Documents, document, shown};
use crate::supply::mirror::error::MirrorError;
use crate::supply::mirror::selection::Selection;
use crate::supply::mirror::upstream::{Offer, Pending};
use crate::supply::recipes::sums::{self, Line};
use crate::supply::recipes::{Release, flatcar, github_release, join};

/// Adds the files and digests that are still missing. Fails with [`MirrorError::Contradiction`] if a document is not the one
/// that another announces.
pub(in crate::supply::mirror) async fn complete(
    mut offer: Offer,
    selection: &Selection,
    documents: &Documents<'_>,
) -> Result<Offer, MirrorError> {
    match std::mem::replace(&mut offer.pending, Pending::Nothing) {
        Pending::Nothing => {}
        Pending::Sums { directory, announced } => {
            let url = join(&directory, "SHA256SUMS");
            let document = announced_document(&offer.index, &url, &announced, documents).await?;
            offer.release.files = sums::files(sums::parse(&document)?, &directory);
        }
        Pending::GithubSums => github_sums(&mut offer, selection, documents).await?,
        Pending::FlatcarDigests => {
            for index in 0..offer.release.files.len() {
                let file = &offer.release.files[index];
                if selection.matches(&file.label)? {
                    let document = documents.plain(&flatcar::digests_url(file)).await?;
                    add_digests(&mut offer.release, &sums::parse(&document)?, &document)?;
                }
            }
        }
        Pending::GithubApi { url } => {
            let document = documents.plain(&url).await?;
            let described = github_release::parse(&document)?;
            let files = described.iter().flat_map(|release| &release.files);
            let lines: Vec<_> = files.map(|file| Line { path: file.name.clone(), expected: file.expected }).collect();
            add_digests(&mut offer.release, &lines, &document)?;
        }
    }
    Ok(offer)
}

/// Adds the digests that an asset of the release lists, if GitHub has no digests of selected files, or if the list may be
/// signed.
async fn github_sums(offer: &mut Offer, selection: &Selection, documents: &Documents<'_>) -> Result<(), MirrorError> {
    let Some(url) = github_release::sums_file(&offer.release).map(|file| file.url.clone()) else { return Ok(()) };
    let mut is_needed = !documents.keys.is_empty();
    for file in &offer.release.files {
        is_needed |= file.expected.sha256.is_none() && selection.matches(&file.label)?;
    }
    if !is_needed {
        return Ok(());
    }
    let bytes = documents.bytes(&url).await?;
    let signature = if documents.keys.is_empty() {
        None
    } else {
        documents.signature(&url, &[".asc", ".sig", ".gpg", ".minisig"]).await?
    };
    // Without a signature of the list, the files may have signatures of their own.
    if let Some(signature) = signature {
        let signer = documents.keys.verify(&bytes, &signature, documents.now);
        offer.signer = Some(signer.map_err(|error| MirrorError::Signature { url: shown(&url), error })?);
    }
    let document = document(&url, bytes)?;
    let lines = sums::parse(&document)?;
    add_digests(&mut offer.release, &lines, &document)?;
    if offer.signer.is_some() {
        // The signature covers only files that the signed list names.
        offer.release.files.retain(|file| lines.iter().any(|line| line.path == file.name));
    }
    Ok(())
}

/// Adds what the lines say of files of the same names.
fn add_digests(release: &mut Release, lines: &[Line], document: &Document) -> Result<(), MirrorError> {
    for file in &mut release.files {
        let Some(line) = lines.iter().find(|line| line.path == file.name) else { continue };
        file.expected = file.expected.and(line.expected).ok_or_else(|| {
            document.error(format!("the digest and size of {} that the release announces", file.name), "others")
        })?;
    }
    Ok(())
}

/// Reads a document that `index` announces with a digest.
async fn announced_document(
    index: &str,
    url: &str,
    announced: &Expected,
    documents: &Documents<'_>,
) -> Result<Document, MirrorError> {
    let bytes = documents.bytes(url).await?;
    let (found, size) = (Digest::of(&bytes), bytes.len() as u64);
    let error = match (announced.size, announced.sha256) {
        (Some(expected), _) if expected != size => ProofError::Size { expected, found: size },
        (_, Some(expected)) if expected != found => {
            let (expected, found) = (expected.to_string(), found.to_string());
            ProofError::Digest { algorithm: "SHA-256", expected, found }
        }
        _ => return document(url, bytes),
    };
    Err(MirrorError::Contradiction { index: index.to_owned(), url: shown(url), error })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supply::recipes::{UpstreamFile, Version};

    #[test]
    fn contradicting_digests_are_error() {
        let expected = |bytes: &[u8]| Expected { sha256: Some(Digest::of(bytes)), ..Expected::default() };
        let file = UpstreamFile::new("kernel", "https://h/kernel", expected(b"a"));
        let mut release = Release { version: Version::new("1"), prerelease: false, files: vec![file] };
        let document = Document::new("sha256sum.txt", "");
        let line = |bytes: &[u8]| [Line { path: "kernel".to_owned(), expected: expected(bytes) }];
        add_digests(&mut release, &line(b"a"), &document).unwrap();
        let error = add_digests(&mut release, &line(b"b"), &document).unwrap_err();
        assert!(error.to_string().starts_with("sha256sum.txt: expected the digest and size of kernel"), "{error}");
    }
}
