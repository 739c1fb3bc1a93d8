//! The output of `mirror`: a line for each mirror and its files, or JSON.

use serde::Serialize;

use crate::cli::format::{bytes, count, plain};
use crate::error_chain::error_chain;
use crate::supply::CatalogEntry;
use crate::supply::mirror::{MirrorSettings, Mirrored, Plan};

/// The results of all mirrors.
pub(super) struct Report {
    json: bool,
    mirrors: Vec<Outcome>,
}

/// The result for one mirror.
#[derive(Serialize)]
struct Outcome {
    mirror: String,
    error: Option<String>,
    #[serde(flatten)]
    report: Option<MirrorReport>,
}

/// The result of one mirror.
#[derive(Serialize)]
pub(super) struct MirrorReport {
    version: String,
    release: String,
    channel: Option<String>,
    /// Whether anything was not there before.
    new: bool,
    files: Vec<FileReport>,
    /// Bytes that were transferred. `None` if nothing was to be changed.
    transferred: Option<u64>,
    signed_by: Option<String>,
    assets: Vec<AssetReport>,
    /// Where the entries were written.
    catalog: Option<String>,
    /// Keys of old versions that were deleted.
    deleted: Vec<String>,
    #[serde(skip)]
    bytes: Option<u64>,
    /// The entries as TOML, if no catalog was written.
    #[serde(rename = "toml", skip_serializing_if = "Option::is_none")]
    printed: Option<String>,
}

/// A file of the upstream.
#[derive(Serialize)]
struct FileReport {
    name: String,
    url: String,
    size: Option<u64>,
    /// `new`, `stored` (in the bucket, but in no catalog) or `mirrored`.
    state: &'static str,
}

/// An entry of the catalog.
#[derive(Serialize)]
struct AssetReport {
    name: String,
    source: String,
    sha256: String,
    size: u64,
}

impl Report {
    pub(super) fn new(json: bool) -> Self {
        Self { json, mirrors: Vec::new() }
    }

    /// Adds the result of a mirror. Returns the text that is printed now.
    pub(super) fn add(&mut self, mirror: &str, done: anyhow::Result<MirrorReport>) -> String {
        let (report, error) = match done {
            Ok(report) => (Some(report), None),
            Err(error) => (None, Some(error_chain(error.as_ref()).to_string())),
        };
        let text = match (&report, &error) {
            (Some(report), _) => report.text(mirror),
            (None, Some(error)) if !self.json => {
                crate::cli::say(format_args!("bootdepot: mirror {mirror}: {}", plain(error)));
                String::new()
            }
            _ => String::new(),
        };
        self.mirrors.push(Outcome { mirror: mirror.to_owned(), error, report });
        if self.json { String::new() } else { text }
    }

    /// Returns the text that is printed at the end.
    pub(super) fn end(&self) -> anyhow::Result<String> {
        Ok(if self.json { serde_json::to_string_pretty(&self.mirrors)? + "\n" } else { String::new() })
    }

    pub(super) fn has_failed(&self) -> bool {
        self.mirrors.iter().any(|outcome| outcome.error.is_some())
    }

    pub(super) fn has_new(&self) -> bool {
        self.mirrors.iter().any(|outcome| outcome.report.as_ref().is_some_and(|report| report.new))
    }
}

impl MirrorReport {
    /// The report of a plan.
    pub(super) fn planned(settings: &MirrorSettings, plan: &Plan) -> Self {
        let files = plan.files.iter().map(|file| FileReport {
            name: file.picked.file.name.clone(),
            url: file.picked.file.url.split('?').next().unwrap_or_default().to_owned(),
            size: file.picked.file.expected.size,
            state: match (file.is_missing(), file.in_catalog) {
                (true, _) => "new",
                (false, false) => "stored",
                (false, true) => "mirrored",
            },
        });
        let entries = plan.files.iter().flat_map(|file| &file.stored);
        Self {
            version: plan.version.to_string(),
            release: plan.release.clone(),
            channel: settings.channel.clone(),
            new: plan.is_new(),
            files: files.collect(),
            transferred: None,
            signed_by: None,
            assets: entries.map(asset).collect(),
            catalog: None,
            deleted: Vec::new(),
            bytes: plan.bytes(),
            printed: None,
        }
    }

    /// Adds the result of the run.
    pub(super) fn mirrored(&mut self, mirrored: &Mirrored) {
        self.transferred = Some(mirrored.stored);
        self.signed_by = mirrored.signer.as_ref().map(ToString::to_string);
        self.assets = mirrored.assets.iter().map(asset).collect();
    }

    /// Adds where the entries were written.
    pub(super) fn entered_into(&mut self, catalog: String) {
        self.catalog = Some(catalog);
    }

    /// Adds the entries that are printed, because no catalog is written.
    pub(super) fn printed(&mut self, entries: String) {
        self.printed = Some(entries);
    }

    /// Adds the keys of old versions.
    pub(super) fn deleted(&mut self, keys: Vec<String>) {
        self.deleted = keys;
    }

    fn text(&self, mirror: &str) -> String {
        let head = format!("{mirror} {}", self.version);
        let mut lines = Vec::new();
        match self.transferred {
            None if !self.new => lines.push(format!("{head}: up to date")),
            None => {
                let new = self.files.iter().filter(|file| file.state == "new").count();
                let size = self.bytes.filter(|bytes| *bytes > 0).map(|size| format!(", {}", bytes(size)));
                lines.push(format!("{head}: new: {} to transfer{}", count(new, "file"), size.unwrap_or_default()));
                let files = self.files.iter().filter(|file| file.state != "mirrored");
                lines.extend(files.map(|file| format!("  {:8}  {}  {}", file.state, file.name, file.url)));
            }
            Some(transferred) => {
                let signed = self.signed_by.as_ref().map(|signer| format!("; signed by {signer}"));
                lines.push(format!(
                    "{head}: release {} with {}, {} transferred{}",
                    self.release,
                    count(self.assets.len(), "asset"),
                    bytes(transferred),
                    signed.unwrap_or_default()
                ));
                lines.extend(self.catalog.as_ref().map(|catalog| format!("  entered into {catalog}")));
                lines.extend(self.printed.iter().flat_map(|entries| entries.lines().map(str::to_owned)));
                lines.extend(self.deleted.iter().map(|key| format!("  deleted {key}")));
            }
        }
        lines.iter().map(|line| plain(line)).collect::<Vec<_>>().join("\n") + "\n"
    }
}

fn asset(entry: &CatalogEntry) -> AssetReport {
    AssetReport {
        name: entry.name.to_string(),
        source: entry.source.clone(),
        sha256: entry.sha256.to_string(),
        size: entry.size,
    }
}
