//! The command line of `publish`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::supply::{DEFAULT_SCHEME, Labels};

// Its help is at the command.
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line are independent of one another")]
#[derive(Debug, clap::Args)]
pub(super) struct PublishArgs {
    /// Files, or `-` for standard input
    #[arg(value_name = "FILE", required = true)]
    pub(super) files: Vec<PathBuf>,
    /// The bucket, and the prefix of the keys: `s3://BUCKET/PREFIX`
    #[arg(long, value_name = "URL")]
    pub(super) to: String,
    /// The file name of the object, instead of that of the file; needed for standard input
    #[arg(long, value_name = "NAME")]
    pub(super) name: Option<String>,
    /// The `{category}` of the key
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    pub(super) category: String,
    /// The `{version}` of the key, and the version in metadata.json
    #[arg(long, value_name = "VERSION")]
    pub(super) version: Option<String>,
    /// The key below the prefix; segments that are empty are left out
    #[arg(long, value_name = "SCHEME", default_value = DEFAULT_SCHEME)]
    pub(super) key: String,
    /// Add the assets to this release of the catalog; a new one is not active
    #[arg(long, value_name = "NAME")]
    pub(super) release: Option<String>,
    /// Merge the entries into this catalog, a file or `s3://BUCKET/KEY`, instead of printing them
    #[arg(long, value_name = "FILE|URL")]
    pub(super) catalog: Option<String>,
    /// Also put a copy, made by the store, into this public bucket: `s3://BUCKET/PREFIX`
    #[arg(long, value_name = "URL")]
    pub(super) public: Option<String>,
    /// Replace objects that have other bytes
    #[arg(long)]
    pub(super) force: bool,
    /// Read the objects back and compare their digests
    #[arg(long)]
    pub(super) verify: bool,
    /// A value for metadata.json; may be given several times
    #[arg(long, value_name = "KEY=VALUE")]
    pub(super) meta: Vec<String>,
    /// The server that the files are for, for metadata.json
    #[arg(long, value_name = "ID")]
    pub(super) server_id: Option<String>,
    /// The name of that server, for metadata.json
    #[arg(long, value_name = "NAME")]
    pub(super) hostname: Option<String>,
    /// Print what would be done, and send nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Print JSON, one event per line
    #[arg(long)]
    pub(super) json: bool,
}

impl PublishArgs {
    /// The values for `metadata.json`. Fails with a sentence if one is wrong.
    pub(super) fn labels(&self) -> Result<Labels, String> {
        let mut meta = BTreeMap::new();
        for pair in &self.meta {
            let (name, value) = pair.split_once('=').ok_or_else(|| format!("--meta has {pair:?}; write KEY=VALUE"))?;
            meta.insert(name.to_owned(), value.to_owned());
        }
        Ok(Labels {
            version: self.version.clone(),
            server_id: self.server_id.clone(),
            hostname: self.hostname.clone(),
            meta,
        })
    }
}
