//! Collections: directories of a source whose objects are assets without an entry in the catalog.

use globset::{Glob, GlobBuilder, GlobSet, GlobSetBuilder};
use strum::{EnumString, IntoStaticStr};

use crate::asset::{AssetName, SourceDirectory, SourceUrl};
use crate::proof::KeySource;

/// A directory of a source. Each object in it is an asset once its digest is known.
#[derive(Debug, Clone)]
pub struct Collection {
    /// How the names of its assets begin. It ends with a slash.
    pub prefix: String,
    /// Where the objects are.
    pub source: SourceDirectory,
    /// Where digests are looked for, in this order.
    pub digest_from: Vec<DigestSource>,
    /// The keys that sign documents of digests.
    pub keys: Vec<KeySource>,
    /// The treatment of an object whose digest nothing says.
    pub on_missing_digest: MissingDigest,
    /// The treatment of an asset whose object has other bytes now.
    pub on_change: ChangePolicy,
    /// Which objects belong to it.
    pub filter: NameFilter,
    /// Whether HTTP clients may list its directories.
    pub listing: bool,
}

/// A place where the digest of an object may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumString, IntoStaticStr, strum::Display)]
#[strum(serialize_all = "kebab-case")]
pub enum DigestSource {
    /// `KEY.sha256`, signed.
    SignedSidecar,
    /// `SHA256SUMS` in the same directory, signed.
    SignedSums,
    /// `KEY.sha256`.
    Sidecar,
    /// `SHA256SUMS` in the same directory.
    Sums,
    /// The user metadata `sha256` of the object.
    Sha256Metadata,
    /// The store's own SHA-256 of the object, or of its parts.
    S3Checksum,
    /// `metadata.json` in the same directory.
    MetadataJson,
    /// The bytes themselves, when they were fetched first.
    FirstUse,
}

/// The treatment of an object whose digest nothing says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MissingDigest {
    /// It is no asset.
    #[default]
    Refuse,
    /// The digest of its first bytes is remembered.
    TrustFirstUse,
}

/// The treatment of an asset whose object has other bytes now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ChangePolicy {
    /// The known bytes are served until an operator accepts the new ones.
    #[default]
    Keep,
    /// The new bytes are served.
    Follow,
}

/// Which names below a prefix belong to a collection: globs, where `*` matches anything but a slash.
#[derive(Debug, Clone, Default)]
pub struct NameFilter {
    /// `None` includes all.
    include: Option<GlobSet>,
    exclude: GlobSet,
}

impl DigestSource {
    /// Whether it is a document beside the object, which is written at another time than the object.
    pub fn is_document(self) -> bool {
        matches!(self, Self::SignedSidecar | Self::SignedSums | Self::Sidecar | Self::Sums | Self::MetadataJson)
    }

    /// Whether only a signed document counts.
    pub fn is_signed(self) -> bool {
        matches!(self, Self::SignedSidecar | Self::SignedSums)
    }
}

impl NameFilter {
    /// The names that match a glob of `include`, or all if that is empty, and none of `exclude`. Fails with the first glob that
    /// is not valid.
    pub fn new(include: &[String], exclude: &[String]) -> Result<Self, globset::Error> {
        let include = if include.is_empty() { None } else { Some(set(include)?) };
        Ok(Self { include, exclude: set(exclude)? })
    }

    /// Whether the name at this path below the prefix belongs to the collection.
    pub fn takes(&self, path: &str) -> bool {
        self.include.as_ref().is_none_or(|include| include.is_match(path)) && !self.exclude.is_match(path)
    }
}

/// Compiles a glob of a [`NameFilter`].
pub fn name_glob(glob: &str) -> Result<Glob, globset::Error> {
    GlobBuilder::new(glob).literal_separator(true).build()
}

fn set(globs: &[String]) -> Result<GlobSet, globset::Error> {
    let mut set = GlobSetBuilder::new();
    for glob in globs {
        set.add(name_glob(glob)?);
    }
    set.build()
}

impl Collection {
    /// The source of the asset of this name. `None` if the name does not belong to the collection.
    pub fn source_of(&self, name: &AssetName) -> Option<SourceUrl> {
        let path = name.as_str().strip_prefix(&self.prefix)?;
        if self.filter.takes(path) { self.source.file(path) } else { None }
    }

    /// Whether a digest from this place counts.
    pub fn trusts(&self, place: DigestSource) -> bool {
        match place {
            DigestSource::FirstUse => self.on_missing_digest == MissingDigest::TrustFirstUse,
            place => self.digest_from.contains(&place),
        }
    }

    /// The name of the asset that an object of a bucket is. `None` if it does not belong to the collection.
    pub fn name_of(&self, bucket: &str, key: &str) -> Option<AssetName> {
        let path = self.source.path_of(bucket, key).filter(|path| self.filter.takes(path))?;
        AssetName::parse(&format!("{}{path}", self.prefix)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filter_decides_which_names_belong() {
        let collection = |include: &[&str], exclude: &[&str]| {
            let texts = |globs: &[&str]| globs.iter().map(ToString::to_string).collect::<Vec<_>>();
            Collection {
                prefix: "isos/".to_owned(),
                source: "s3://b/x/".parse().unwrap(),
                digest_from: Vec::new(),
                keys: Vec::new(),
                on_missing_digest: MissingDigest::Refuse,
                on_change: ChangePolicy::Keep,
                listing: false,
                filter: NameFilter::new(&texts(include), &texts(exclude)).unwrap(),
            }
        };
        let source = |collection: &Collection, name: &str| {
            collection.source_of(&AssetName::parse(name).unwrap()).map(|source| source.as_str().to_owned())
        };
        let all = collection(&[], &[]);
        assert_eq!(source(&all, "isos/a/b.iso").as_deref(), Some("s3://b/x/a/b.iso"));
        assert_eq!(source(&all, "other/b.iso"), None);
        assert_eq!(all.name_of("b", "x/a/b.iso"), AssetName::parse("isos/a/b.iso").ok());
        assert_eq!(
            (all.name_of("b", "y/b.iso"), all.name_of("c", "x/b.iso"), all.name_of("b", "x/")),
            (None, None, None)
        );
        let some = collection(&["*.iso", "debian/**"], &["*-old.iso"]);
        assert!(source(&some, "isos/b.iso").is_some() && source(&some, "isos/debian/x/y.img").is_some());
        assert_eq!(source(&some, "isos/b-old.iso"), None);
        assert_eq!(source(&some, "isos/sub/b.iso"), None, "an asterisk matches no slash");
    }
}
