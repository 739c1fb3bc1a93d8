//! The small objects beside a published one: its digest as a line of coreutils, and `metadata.json`.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::asset::Digest;

/// The file of a directory that describes the objects in it.
pub const METADATA_FILE: &str = "metadata.json";

/// The entry of one object in `metadata.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ObjectMetadata {
    /// The asset's name.
    pub name: String,
    /// Its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Its length in bytes.
    pub size: u64,
    /// Its SHA-256.
    pub sha256: String,
    /// When it was published (RFC 3339).
    pub published_at: String,
    /// The program and its version.
    pub published_by: String,
    /// The server that it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_id: Option<String>,
    /// The name of that server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Other values.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub meta: BTreeMap<String, String>,
}

/// `KEY.sha256`: a line that `sha256sum -c` reads in the directory of the file.
pub fn sha256_line(digest: &Digest, file: &str) -> String {
    format!("{digest}  {file}\n")
}

/// The digest in a line of `sha256sum`, if it is for `file`.
pub(super) fn parse_sha256_line(text: &str, file: &str) -> Option<Digest> {
    let (digest, name) = text.lines().next()?.split_once([' ', '\t'])?;
    let name = name.trim_start().trim_start_matches('*');
    digest.parse().ok().filter(|_| name.rsplit('/').next() == Some(file))
}

/// Adds an object to `metadata.json`: `{"files": {"FILE": {…}}}`. All else in it is kept. `when` and the program's version of an
/// object that has not changed are kept too. Fails with a sentence if `old` has another form.
pub(super) fn merge_metadata(old: Option<&str>, file: &str, object: &ObjectMetadata) -> Result<String, String> {
    let form = || "it is not a JSON object with an object \"files\"; move it out of the way".to_owned();
    let mut document: Map<String, Value> = match old {
        Some(text) => serde_json::from_str(text).map_err(|_| form())?,
        None => Map::new(),
    };
    let files = document.entry("files").or_insert_with(|| Value::Object(Map::new()));
    let files = files.as_object_mut().ok_or_else(form)?;
    let mut new = serde_json::to_value(object).map_err(|error| error.to_string())?;
    if let (Some(Value::Object(old)), Value::Object(new)) = (files.get(file), &mut new) {
        let stamps = ["published_at", "published_by"];
        let is_same =
            |(name, value): (&String, &Value)| stamps.contains(&name.as_str()) || old.get(name) == Some(value);
        if old.len() == new.len() && new.iter().all(is_same) {
            new.clone_from(old);
        }
    }
    files.insert(file.to_owned(), new);
    Ok(serde_json::to_string_pretty(&document).map_err(|error| error.to_string())? + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(published_at: &str) -> ObjectMetadata {
        ObjectMetadata {
            name: "okd/4.19/kernel".to_owned(),
            version: Some("4.19".to_owned()),
            size: 3,
            sha256: Digest::of(b"abc").to_string(),
            published_at: published_at.to_owned(),
            published_by: "bootdepot 0.1.0".to_owned(),
            server_id: None,
            hostname: None,
            meta: BTreeMap::from([("ticket".to_owned(), "7".to_owned())]),
        }
    }

    #[test]
    fn digest_line_is_read_back() {
        let digest = Digest::of(b"abc");
        let line = sha256_line(&digest, "kernel");
        assert_eq!(line, format!("{digest}  kernel\n"));
        assert_eq!(parse_sha256_line(&line, "kernel"), Some(digest));
        assert_eq!(parse_sha256_line(&format!("{digest} *./kernel"), "kernel"), Some(digest));
        assert_eq!(parse_sha256_line(&line, "other"), None);
        assert_eq!(parse_sha256_line("", "kernel"), None);
    }

    #[test]
    fn metadata_keeps_other_files_and_fields() {
        let old = r#"{"owner": "ops", "files": {"rootfs.img": {"size": 7}}}"#;
        let text = merge_metadata(Some(old), "kernel", &object("2026-01-01T00:00:00Z")).unwrap();
        let document: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&document["owner"], &document["files"]["rootfs.img"]["size"]), (&"ops".into(), &7.into()));
        assert_eq!(document["files"]["kernel"]["meta"]["ticket"], "7");
        assert_eq!(
            merge_metadata(Some(&text), "kernel", &object("2027-01-01T00:00:00Z")).unwrap(),
            text,
            "the same object"
        );
        let other = ObjectMetadata { size: 4, ..object("2027-01-01T00:00:00Z") };
        assert!(merge_metadata(Some(&text), "kernel", &other).unwrap().contains("2027"));
    }

    #[test]
    fn foreign_metadata_is_refused() {
        for old in ["[]", "text", r#"{"files": 7}"#] {
            assert!(merge_metadata(Some(old), "kernel", &object("")).is_err(), "{old}");
        }
    }
}
