//! Formats of values of `[[collection]]`.

use super::written::Format;
use crate::asset::{AssetName, SourceDirectory};

/// How the names of a collection's assets begin.
pub(super) enum NamePrefix {}

impl Format for NamePrefix {
    type Value = String;
    const NAME: &'static str = "name-prefix";
    const EXPECTED: &'static str = "how the names begin, with a slash at the end, such as \"isos/\"";

    fn read(text: &str) -> Result<String, String> {
        let Some(name) = text.strip_suffix('/') else { return Err("it does not end with '/'".to_owned()) };
        AssetName::parse(name).map(|_| text.to_owned()).map_err(|error| error.to_string())
    }
}

/// Where the objects of a collection are.
pub(super) enum SourceFolder {}

impl Format for SourceFolder {
    type Value = SourceDirectory;
    const NAME: &'static str = "source-directory";
    const EXPECTED: &'static str = "a directory such as \"s3://harmony-isos/openshift/\", with a slash at the end";

    fn read(text: &str) -> Result<SourceDirectory, String> {
        text.parse().map_err(|error: crate::asset::SourceDirectoryError| error.to_string())
    }
}
