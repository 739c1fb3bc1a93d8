//! The record of one blob: when it was used, and the proof that its file has its bytes.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::identity::Identity;
use crate::asset::Digest;

/// The record of one blob. The last record of a digest counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    #[serde(rename = "blob", with = "hex")]
    pub(super) digest: Digest,
    /// When the blob was last used.
    #[serde(with = "nanoseconds")]
    pub(super) used: SystemTime,
    /// `None` if the blob was found to be corrupt.
    pub(super) proof: Option<Proof>,
}

/// The proof that a file has the bytes of its digest. It holds for as long as the file has the same identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Proof {
    /// The identity of the file when its bytes were hashed.
    pub(super) file: Identity,
    /// When they were hashed.
    #[serde(with = "nanoseconds")]
    pub(super) at: SystemTime,
    /// The fs-verity digest (SHA-256) that the kernel reports for the file. `None` if the kernel does not protect it.
    #[serde(default, with = "hex::optional", skip_serializing_if = "Option::is_none")]
    pub(super) verity: Option<Digest>,
}

impl Record {
    /// The record as JSON on one line.
    pub(super) fn to_text(self) -> String {
        // Numbers and text only, so that this cannot fail.
        serde_json::to_string(&self).unwrap_or_default()
    }

    /// Parses the text of a record. `None` if it is not one.
    pub(super) fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

#[cfg(test)]
impl Proof {
    /// A proof of a file of this length.
    pub(super) fn of_size(size: u64) -> Self {
        Self { file: Identity::of_size(size), at: SystemTime::UNIX_EPOCH, verity: None }
    }
}

/// Digests as hexadecimal digits.
mod hex {
    use std::borrow::Cow;

    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::asset::Digest;

    pub(super) fn serialize<S: Serializer>(digest: &Digest, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(digest)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Digest, D::Error> {
        Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }

    pub(super) mod optional {
        use serde::{Deserialize, Deserializer, Serializer};

        use crate::asset::Digest;

        #[expect(clippy::ref_option, reason = "serde passes a reference to the field")]
        pub(in super::super) fn serialize<S: Serializer>(
            digest: &Option<Digest>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            match digest {
                Some(digest) => serializer.collect_str(digest),
                None => serializer.serialize_none(),
            }
        }

        pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<Digest>, D::Error> {
            use serde::de::Error as _;
            let text = Option::<String>::deserialize(deserializer)?;
            text.map(|text| text.parse().map_err(D::Error::custom)).transpose()
        }
    }
}

/// Times as nanoseconds since 1970.
mod nanoseconds {
    use std::time::{Duration, SystemTime};

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        serializer.serialize_u64(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SystemTime, D::Error> {
        Ok(SystemTime::UNIX_EPOCH + Duration::from_nanos(u64::deserialize(deserializer)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_is_restored_from_text() {
        let file = tempfile::tempfile().unwrap();
        let now = SystemTime::now();
        let proof = Proof { file: Identity::of(&file).unwrap(), at: now, verity: None };
        let sealed = Proof { verity: Some(Digest::of(b"tree")), ..proof };
        for proof in [None, Some(proof), Some(sealed)] {
            let record = Record { digest: Digest::of(b"x"), used: now, proof };
            let text = record.to_text();
            assert_eq!(Record::parse(&text), Some(record), "{text}");
            assert!(!text.contains('\n'));
        }
        assert_eq!(Record::parse("{}"), None);
    }

    #[test]
    fn record_with_unknown_field_is_read() {
        let record = Record { digest: Digest::of(b"x"), used: SystemTime::UNIX_EPOCH, proof: None };
        let newer = record.to_text().replacen('{', "{\"added\":[1,2],", 1);
        assert_eq!(Record::parse(&newer), Some(record));
    }
}
