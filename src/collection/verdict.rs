//! Decides how a look at an object changes the asset of its name. Pure.

use super::binding::Binding;
use super::object_version::ObjectVersion;
use crate::asset::Digest;
use crate::catalog::DigestSource;

/// A look at an object.
#[derive(Debug)]
pub struct Look<'l> {
    /// The record of its name.
    pub known: Option<&'l Binding>,
    /// The object as it is now.
    pub now: &'l ObjectVersion,
    /// The digest that a place of the collection says, and the place.
    pub stated: Option<(Digest, DigestSource)>,
    /// Whether other bytes than the known ones are taken.
    pub follow: bool,
    /// Whether an operator takes what is stated now, also of an object that seems to be the known one.
    pub accept: bool,
    /// Whether an object whose digest nothing says is read to learn it.
    pub may_learn: bool,
}

/// The result of a [`Look`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The record is right.
    Unchanged,
    /// The name is bound to this digest from now on.
    Bind(Digest, DigestSource),
    /// The object is another one, and its digest is this one, if anything says it. The known bytes are served on.
    Hold(Option<Digest>),
    /// The object is another one, and the document beside it still says the digest of the known one: perhaps it is written next.
    /// The record keeps the old object, so that the document is read again.
    Wait,
    /// The object must be read to learn its digest.
    Learn,
    /// Nothing says the digest.
    Unknown,
}

impl Look<'_> {
    /// Decides.
    pub fn verdict(&self) -> Verdict {
        let Some(known) = self.known else {
            return match self.stated {
                Some((digest, from)) => Verdict::Bind(digest, from),
                None if self.may_learn => Verdict::Learn,
                None => Verdict::Unknown,
            };
        };
        let is_same = known.object == *self.now;
        match self.stated {
            // Bytes with the known digest were seen, and they are those of this object.
            _ if is_same && known.verified && !self.accept => Verdict::Unchanged,
            Some((digest, _)) if digest == known.sha256 && is_same => Verdict::Unchanged,
            // It is of the known bytes, which were seen. If they were not, it may have been written before its object.
            Some((digest, from)) if digest == known.sha256 && from.is_document() && known.verified => Verdict::Wait,
            Some((digest, from)) if digest == known.sha256 => Verdict::Bind(digest, from),
            // The document was of another object when it was read: no bytes with its digest were ever seen.
            Some((digest, from)) if self.follow || !known.verified => Verdict::Bind(digest, from),
            Some((digest, _)) => Verdict::Hold(Some(digest)),
            None if is_same => Verdict::Unchanged,
            None if self.may_learn => Verdict::Learn,
            None if self.follow => Verdict::Unknown,
            None => Verdict::Hold(None),
        }
    }

    /// Decides when the digest was learned by reading the object: `from` says what else speaks for it.
    pub fn learned(&self, digest: Digest, from: DigestSource) -> Verdict {
        match self.known {
            // Other bytes than those that were served.
            Some(known) if known.sha256 != digest && !self.follow => Verdict::Hold(Some(digest)),
            _ => Verdict::Bind(digest, from),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asset::AssetName;

    fn version(etag: &str) -> ObjectVersion {
        ObjectVersion { size: 3, validator: Some(etag.to_owned()), modified: None }
    }

    fn known(from: DigestSource, verified: bool) -> Binding {
        Binding {
            name: AssetName::parse("os/kernel").unwrap(),
            source: "s3://b/kernel".parse().unwrap(),
            sha256: Digest::of(b"old"),
            object: version("\"1\""),
            from,
            verified,
        }
    }

    fn verdict(
        known: Option<&Binding>,
        etag: &str,
        stated: Option<(&[u8], DigestSource)>,
        follow: bool,
        trust: bool,
    ) -> Verdict {
        let stated = stated.map(|(bytes, from)| (Digest::of(bytes), from));
        Look { known, now: &version(etag), stated, follow, accept: false, may_learn: trust }.verdict()
    }

    #[test]
    fn first_look_binds_what_is_stated() {
        let stated = Some((&b"old"[..], DigestSource::Sums));
        assert_eq!(verdict(None, "\"1\"", stated, false, true), Verdict::Bind(Digest::of(b"old"), DigestSource::Sums));
        assert_eq!(verdict(None, "\"1\"", None, false, true), Verdict::Learn);
        assert_eq!(verdict(None, "\"1\"", None, false, false), Verdict::Unknown);
    }

    #[test]
    fn same_verified_object_is_unchanged() {
        let known = known(DigestSource::Sidecar, true);
        for stated in [None, Some((&b"old"[..], DigestSource::Sidecar)), Some((&b"new"[..], DigestSource::Sums))] {
            for follow in [false, true] {
                assert_eq!(verdict(Some(&known), "\"1\"", stated, follow, false), Verdict::Unchanged, "{stated:?}");
            }
        }
    }

    #[test]
    fn unverified_document_may_be_replaced() {
        let known = known(DigestSource::Sidecar, false);
        let stated = Some((&b"new"[..], DigestSource::Sidecar));
        for etag in ["\"1\"", "\"2\""] {
            let bind = Verdict::Bind(Digest::of(b"new"), DigestSource::Sidecar);
            assert_eq!(verdict(Some(&known), etag, stated, false, false), bind);
        }
        assert_eq!(verdict(Some(&known), "\"1\"", None, false, false), Verdict::Unchanged, "the document was removed");
        let early = Some((&b"old"[..], DigestSource::Sidecar));
        let bind = Verdict::Bind(Digest::of(b"old"), DigestSource::Sidecar);
        assert_eq!(verdict(Some(&known), "\"2\"", early, false, false), bind, "the object came after its document");
    }

    #[test]
    fn changed_object_is_held_or_followed() {
        let known = known(DigestSource::Sidecar, true);
        let look = |stated, follow| verdict(Some(&known), "\"2\"", stated, follow, false);
        let new = Some((&b"new"[..], DigestSource::Sidecar));
        assert_eq!(look(new, false), Verdict::Hold(Some(Digest::of(b"new"))));
        assert_eq!(look(new, true), Verdict::Bind(Digest::of(b"new"), DigestSource::Sidecar));
        assert_eq!(look(None, false), Verdict::Hold(None));
        assert_eq!(look(None, true), Verdict::Unknown);
        let old = |from| Some((&b"old"[..], from));
        assert_eq!(look(old(DigestSource::Sums), false), Verdict::Wait, "the document may be late");
        let bind = Verdict::Bind(Digest::of(b"old"), DigestSource::S3Checksum);
        assert_eq!(look(old(DigestSource::S3Checksum), false), bind, "it is of this object");
    }

    #[test]
    fn accepted_document_counts_for_same_object() {
        let known = known(DigestSource::Sidecar, true);
        let look = |etag, bytes: &[u8]| {
            let stated = Some((Digest::of(bytes), DigestSource::Sidecar));
            Look { known: Some(&known), now: &version(etag), stated, follow: true, accept: true, may_learn: false }
                .verdict()
        };
        assert_eq!(look("\"1\"", b"new"), Verdict::Bind(Digest::of(b"new"), DigestSource::Sidecar));
        assert_eq!(look("\"1\"", b"old"), Verdict::Unchanged);
        assert_eq!(look("\"2\"", b"old"), Verdict::Wait);
    }

    #[test]
    fn changed_first_use_is_learned_again() {
        let known = known(DigestSource::FirstUse, true);
        let now = version("\"2\"");
        let look =
            |follow| Look { known: Some(&known), now: &now, stated: None, follow, accept: false, may_learn: true };
        assert_eq!(look(false).verdict(), Verdict::Learn);
        let (old, new) = (Digest::of(b"old"), Digest::of(b"new"));
        assert_eq!(
            look(false).learned(old, DigestSource::FirstUse),
            Verdict::Bind(old, DigestSource::FirstUse),
            "only its date has changed"
        );
        assert_eq!(look(false).learned(new, DigestSource::FirstUse), Verdict::Hold(Some(new)));
        assert_eq!(look(true).learned(new, DigestSource::FirstUse), Verdict::Bind(new, DigestSource::FirstUse));
    }
}
