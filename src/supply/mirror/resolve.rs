//! Asks an upstream what it offers: fetches the documents of a recipe and reads them.

mod complete;

use super::documents::{Documents, Signed, shown};
use super::error::MirrorError;
use super::selection::Selection;
use super::settings::{MirrorSettings, RecipeKind, UpstreamUrl};
use super::upstream::{Offer, Pending};
use crate::asset::Digest;
use crate::proof::Document;
use crate::supply::recipes::{
    Release, Version, alpine, coreos_stream, debian_installer, flatcar, github_release, join, list, netbootxyz,
    ocp_mirror, parent, simplestreams, sums, treeinfo, ubuntu, version_in,
};

pub(super) use complete::complete;

/// Suffixes of detached signatures of a file of digests.
const SIGNATURES: [&str; 5] = [".gpg", ".sign", ".asc", ".sig", ".minisig"];

/// The releases that the upstream offers, the newest first.
pub(super) async fn offers(
    settings: &MirrorSettings,
    selection: &Selection,
    documents: &Documents<'_>,
) -> Result<Vec<Offer>, MirrorError> {
    let arch = settings.arch_or_default();
    let mut offers = match settings.recipe {
        RecipeKind::CoreosStream => coreos_stream(settings, arch, documents).await?,
        RecipeKind::OcpMirror => ocp_mirror(url(settings)?, documents).await?,
        RecipeKind::GithubRelease => github_release(url(settings)?, documents).await?,
        RecipeKind::DebianInstaller => debian_installer(url(settings)?, arch, documents).await?,
        RecipeKind::Ubuntu => ubuntu(url(settings)?, documents).await?,
        RecipeKind::Simplestreams => simplestreams(url(settings)?, arch, selection, documents).await?,
        RecipeKind::Treeinfo => treeinfo(url(settings)?, documents).await?,
        RecipeKind::Sums => sums(url(settings)?, documents).await?,
        RecipeKind::Alpine => alpine(url(settings)?, documents).await?,
        RecipeKind::Flatcar => flatcar(url(settings)?, documents).await?,
        RecipeKind::Netbootxyz => netbootxyz(url(settings)?, selection, documents).await?,
        RecipeKind::List => {
            let release = list::release(settings.version.as_deref().unwrap_or_default(), &settings.files);
            vec![Offer::complete(release, "the settings".to_owned(), None)]
        }
    };
    offers.sort_by(|one, other| other.release.version.cmp(&one.release.version));
    Ok(offers)
}

/// The URL of the settings.
fn url(settings: &MirrorSettings) -> Result<&str, MirrorError> {
    match &settings.url {
        Some(UpstreamUrl::Url(url)) => Ok(url.as_str()),
        // The rules of the settings require a URL.
        Some(UpstreamUrl::Stdin) | None => Err(MirrorError::Stdin { recipe: settings.recipe.into() }),
    }
}

async fn coreos_stream(
    settings: &MirrorSettings,
    arch: &str,
    documents: &Documents<'_>,
) -> Result<Vec<Offer>, MirrorError> {
    let document = match (&settings.url, documents.stdin) {
        (Some(UpstreamUrl::Stdin), Some(text)) => Document::new("standard input", text),
        _ => documents.plain(url(settings)?).await?,
    };
    let release = coreos_stream::parse(&document, arch)?;
    Ok(vec![Offer::complete(release, document.name, None)])
}

async fn ocp_mirror(directory: &str, documents: &Documents<'_>) -> Result<Vec<Offer>, MirrorError> {
    let Signed { document, signer } = documents.signed(&join(directory, ocp_mirror::SUMS), &[".gpg"]).await?;
    let lines = sums::parse(&document)?;
    let version = match documents.plain_if_there(&join(directory, ocp_mirror::RELEASE)).await? {
        Some(release) => ocp_mirror::version(&release)?,
        None => ocp_mirror::version_of_names(&document, &lines)?,
    };
    let files = sums::files(lines, &ocp_mirror::pinned(directory, &version));
    let release = Release { prerelease: version.is_preliminary(), version, files };
    Ok(vec![Offer::complete(release, document.name, signer)])
}

async fn github_release(url: &str, documents: &Documents<'_>) -> Result<Vec<Offer>, MirrorError> {
    let document = documents.plain(url).await?;
    let releases = github_release::parse(&document)?.into_iter();
    let offer = |release| Offer { release, index: document.name.clone(), signer: None, pending: Pending::GithubSums };
    Ok(releases.map(offer).collect())
}

async fn debian_installer(suite: &str, arch: &str, documents: &Documents<'_>) -> Result<Vec<Offer>, MirrorError> {
    let Signed { document, signer } = documents.signed(&join(suite, debian_installer::INDEX), &[]).await?;
    // Without a signature, it could say any date.
    if signer.is_some() {
        debian_installer::check_current(&document, documents.now)?;
    }
    let builds = debian_installer::builds(&document, arch)?.into_iter();
    let offer = |build: debian_installer::Build| Offer {
        release: Release { version: build.version, prerelease: false, files: Vec::new() },
        index: document.name.clone(),
        signer: signer.clone(),
        pending: Pending::Sums { directory: join(suite, &build.directory), announced: build.sums },
    };
    Ok(builds.map(offer).collect())
}

async fn ubuntu(directory: &str, documents: &Documents<'_>) -> Result<Vec<Offer>, MirrorError> {
    let Signed { document, signer } = documents.signed(&join(directory, ubuntu::SUMS), &[".gpg"]).await?;
    let release = ubuntu::release(&document, sums::parse(&document)?, directory)?;
    Ok(vec![Offer::complete(release, document.name, signer)])
}

/// Only lists of products that may hold selected files are read.
async fn simplestreams(
    url: &str,
    arch: &str,
    selection: &Selection,
    documents: &Documents<'_>,
) -> Result<Vec<Offer>, MirrorError> {
    let index = documents.signed(url, &[".gpg"]).await?;
    let root = simplestreams::root(url);
    let mut offers: Vec<Offer> = Vec::new();
    for list in simplestreams::index(&index.document)? {
        let mut is_wanted = list.products.is_empty();
        for product in &list.products {
            is_wanted |= selection.matches_group(product)?;
        }
        if !is_wanted {
            continue;
        }
        let Signed { document, signer } = documents.signed(&join(root, &list.path), &[".gpg"]).await?;
        for mut release in simplestreams::products(&document, root, Some(arch))? {
            // Versions of other products are not versions of this mirror.
            let mut files = Vec::new();
            for file in release.files {
                if selection.matches(&file.label)? {
                    files.push(file);
                }
            }
            release.files = files;
            match offers.iter_mut().find(|offer| offer.release.version == release.version) {
                // With keys every list is signed, without keys none is checked.
                Some(offer) => offer.release.files.append(&mut release.files),
                None => offers.push(Offer::complete(release, document.name.clone(), signer.clone())),
            }
        }
    }
    offers.retain(|offer| !offer.release.files.is_empty());
    Ok(offers)
}

async fn treeinfo(tree: &str, documents: &Documents<'_>) -> Result<Vec<Offer>, MirrorError> {
    let document = documents.plain(&join(tree, treeinfo::TREEINFO)).await?;
    Ok(vec![Offer::complete(treeinfo::parse(&document, tree)?, document.name, None)])
}

/// One release for each version that occurs in the names. Files without a version are a release of their own, named after the
/// digest of the document.
async fn sums(url: &str, documents: &Documents<'_>) -> Result<Vec<Offer>, MirrorError> {
    let Signed { document, signer } = documents.signed(url, &SIGNATURES).await?;
    let unnamed = || {
        let digest = Digest::of(document.text.as_bytes()).to_string();
        Version::new(&digest[..12])
    };
    let mut releases: Vec<Release> = Vec::new();
    for file in sums::files(sums::parse(&document)?, parent(url)) {
        let version = version_in(&file.name).unwrap_or_else(unnamed);
        match releases.iter_mut().find(|release| release.version == version) {
            Some(release) => release.files.push(file),
            None => releases.push(Release { prerelease: version.is_preliminary(), version, files: vec![file] }),
        }
    }
    let offer = |release| Offer::complete(release, document.name.clone(), signer.clone());
    Ok(releases.into_iter().map(offer).collect())
}

async fn alpine(url: &str, documents: &Documents<'_>) -> Result<Vec<Offer>, MirrorError> {
    let names_list = url.strip_suffix(alpine::LIST).is_some();
    let directory = if names_list { parent(url) } else { url };
    let document = documents.plain(&join(directory, alpine::LIST)).await?;
    let releases = alpine::parse(&document, directory)?.into_iter();
    Ok(releases.map(|release| Offer::complete(release, document.name.clone(), None)).collect())
}

async fn flatcar(directory: &str, documents: &Documents<'_>) -> Result<Vec<Offer>, MirrorError> {
    let document = documents.plain(&join(directory, flatcar::VERSION)).await?;
    let version = flatcar::version(&document)?;
    let release = flatcar::release(version.clone(), &ocp_mirror::pinned(directory, &version));
    Ok(vec![Offer { release, index: document.name, signer: None, pending: Pending::FlatcarDigests }])
}

async fn netbootxyz(url: &str, selection: &Selection, documents: &Documents<'_>) -> Result<Vec<Offer>, MirrorError> {
    let document = documents.plain(url).await?;
    let mut offers = Vec::new();
    for endpoint in netbootxyz::parse(&document)? {
        if selection.matches_group(&endpoint.name)? {
            let pending = Pending::GithubApi { url: endpoint.api_url };
            offers.push(Offer { release: endpoint.release, index: document.name.clone(), signer: None, pending });
        }
    }
    if offers.is_empty() {
        let expected = "an endpoint that select names, such as debian-12-netboot/*";
        return Err(document.error(expected, format!("none in {}", shown(url))).into());
    }
    Ok(offers)
}
