//! The descriptions of objects in the `metadata.json` of their directory: `{"files": {"FILE": {"version": …, "server_id": …}}}`.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The description of one object in `metadata.json`. Anything that it leaves out is `None`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct ObjectNote {
    /// Its version.
    pub version: Option<String>,
    /// The server that it is for.
    pub server_id: Option<String>,
}

#[derive(Deserialize)]
struct Document {
    files: BTreeMap<String, ObjectNote>,
}

/// The notes of the `metadata.json` with the key `key`, by the keys of the objects. Empty if it has another form: it may be a file
/// of others.
pub(super) fn notes_of(key: &str, text: &[u8]) -> BTreeMap<String, ObjectNote> {
    let directory = key.rfind('/').map_or("", |slash| &key[..=slash]);
    let Ok(document) = serde_json::from_slice::<Document>(text) else { return BTreeMap::new() };
    document.files.into_iter().map(|(file, note)| (format!("{directory}{file}"), note)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_found_by_key() {
        let text = r#"{"owner":"ops","files":{"kernel":{"version":"4.20","size":7,"server_id":"r630-01"},"x":{}}}"#;
        let notes = notes_of("okd/4.20/metadata.json", text.as_bytes());
        let kernel = &notes["okd/4.20/kernel"];
        assert_eq!((kernel.version.as_deref(), kernel.server_id.as_deref()), (Some("4.20"), Some("r630-01")));
        assert_eq!(notes["okd/4.20/x"], ObjectNote::default());
        assert!(notes_of("metadata.json", text.as_bytes()).contains_key("kernel"));
        for foreign in ["", "[]", r#"{"files":[]}"#, "text"] {
            assert!(notes_of("metadata.json", foreign.as_bytes()).is_empty(), "{foreign}");
        }
    }
}
