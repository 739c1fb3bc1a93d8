//! Prints the progress of a `publish`: bars on a terminal, lines elsewhere, or JSON.

use std::fmt::Write as _;
use std::time::Instant;

use jiff::Timestamp;
use serde::Serialize;

use super::plan::{Catalog, Plan, Planned};
use crate::api::{Assets, Bytes, ItemView, JobView};
use crate::cli::format::{bytes, count, plain, took};
use crate::cli::preload::bars::Bars;
use crate::cli::say;
use crate::jobs::{ItemState, JobKind, JobState};
use crate::supply::{Published, UploadProgress};

/// Prints the progress of a `publish`.
pub(super) struct Report {
    form: Form,
    began: Instant,
}

enum Form {
    Json,
    Bars(Bars),
    Lines,
}

/// A file, and how far it is.
pub(super) struct Item {
    name: String,
    size: Option<u64>,
    progress: UploadProgress,
    began: Instant,
    state: ItemState,
    outcome: Option<Outcome>,
}

/// The result of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, strum::IntoStaticStr)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub(super) enum Outcome {
    /// All its bytes were sent.
    Published,
    /// The store had some of them from an earlier run.
    Resumed,
    /// The object was there.
    Unchanged,
}

impl Outcome {
    /// The outcome of a publication with this progress.
    pub(super) fn of(published: &Published, progress: &UploadProgress) -> Self {
        match published {
            Published { was_there: true, .. } => Self::Unchanged,
            Published { entry, .. } if progress.sent() < entry.size => Self::Resumed,
            Published { .. } => Self::Published,
        }
    }
}

/// One event, a line of JSON.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Event<'e> {
    /// The plan.
    Plan { files: Vec<PlannedView<'e>>, catalog: Option<String>, release: Option<&'e str>, public: Option<String> },
    /// A file is published.
    Item {
        name: &'e str,
        url: &'e str,
        outcome: Outcome,
        size: u64,
        sha256: String,
        blocks_sha256: Option<String>,
        sent: u64,
        seconds: f64,
        public: Option<&'e str>,
    },
    /// The entries, as TOML.
    Catalog { toml: &'e str },
    /// The entries were merged into a catalog.
    Merged { catalog: &'e str, changed: bool },
}

#[derive(Serialize)]
struct PlannedView<'e> {
    input: String,
    name: &'e str,
    url: &'e str,
    size: Option<u64>,
}

impl Item {
    /// A file that waits.
    pub(super) fn new(planned: &Planned) -> Self {
        Self {
            name: planned.publication.name.to_string(),
            size: planned.size,
            progress: UploadProgress::default(),
            began: Instant::now(),
            state: ItemState::Waiting,
            outcome: None,
        }
    }

    /// Its publication begins.
    pub(super) fn begin(&mut self, progress: UploadProgress) {
        (self.progress, self.began, self.state) = (progress, Instant::now(), ItemState::Running);
    }

    /// It is published.
    pub(super) fn end(&mut self, outcome: Outcome) {
        (self.state, self.outcome) = (ItemState::Done, Some(outcome));
    }

    fn view(&self) -> ItemView {
        let (name, state, bytes) = (self.name.clone(), self.state, self.progress.stored());
        ItemView { name, state, bytes, size: self.size.or(Some(bytes)), error: None, rotted: false }
    }
}

impl Report {
    /// In JSON, or for people, on a terminal or not.
    pub(super) fn new(json: bool, terminal: bool) -> Self {
        let form = match (json, terminal) {
            (true, _) => Form::Json,
            (false, true) => Form::Bars(Bars::new()),
            (false, false) => Form::Lines,
        };
        Self { form, began: Instant::now() }
    }

    /// The printed form of the plan.
    pub(super) fn plan(&self, plan: &Plan) -> serde_json::Result<String> {
        let catalog = plan.catalog.as_ref().map(|catalog| match catalog {
            Catalog::File(path) => path.display().to_string(),
            Catalog::Object { place, .. } => place.source.to_string(),
        });
        let public = plan.public.as_ref().map(|place| format!("s3://{}/{}", place.bucket, place.prefix));
        if self.is_json() {
            let files = plan.items.iter().map(|planned| PlannedView {
                input: planned.publication.input.shown(),
                name: planned.publication.name.as_str(),
                url: &planned.url,
                size: planned.size,
            });
            let release = plan.release.as_deref();
            return line(&Event::Plan { files: files.collect(), catalog, release, public });
        }
        let mut text = format!("{} to publish:\n", count(plan.items.len(), "file"));
        // Writing to a string does not fail.
        for planned in &plan.items {
            let size = planned.size.map_or_else(|| "?".to_owned(), bytes);
            let input = planned.publication.input.shown();
            let _ = writeln!(text, "  {size:>10}  {} -> {}", plain(&input), plain(&planned.url));
        }
        text += "beside each: KEY.blocks, KEY.sha256 and an entry in metadata.json\n";
        if let Some(public) = public {
            let _ = writeln!(text, "copies in {}", plain(&public));
        }
        let entries =
            catalog.map_or_else(|| "printed".to_owned(), |catalog| format!("merged into {}", plain(&catalog)));
        let _ = writeln!(text, "catalog entries: {entries}");
        if let Some(release) = &plan.release {
            let _ = writeln!(text, "release: {}", plain(release));
        }
        Ok(text)
    }

    /// Shows how far the files are.
    pub(super) fn progress(&mut self, items: &[Item]) {
        let elapsed = self.began.elapsed();
        let Form::Bars(bars) = &mut self.form else { return };
        let views: Vec<ItemView> = items.iter().map(Item::view).collect();
        let done: u64 = views.iter().map(|item| item.bytes).sum();
        let sent: u64 = items.iter().map(|item| item.progress.sent()).sum();
        let ended = views.iter().filter(|item| item.state == ItemState::Done).count();
        // The bars show jobs.
        bars.show(&JobView {
            id: 0,
            kind: JobKind::Preload,
            what: String::new(),
            state: JobState::Running,
            began: Timestamp::UNIX_EPOCH,
            ended: None,
            assets: Assets { total: views.len(), done: ended, failed: 0 },
            bytes: Bytes { total: items.iter().map(|item| item.size).sum(), done },
            rate: sent.checked_div(elapsed.as_secs()).unwrap_or_default(),
            items: views,
            checks: Vec::new(),
        });
    }

    /// A file is published. Returns what is to be printed.
    pub(super) fn ended(&self, item: &Item, published: &Published) -> serde_json::Result<String> {
        let Some(outcome) = item.outcome else { return Ok(String::new()) };
        let (entry, seconds) = (&published.entry, item.began.elapsed());
        if self.is_json() {
            return line(&Event::Item {
                name: entry.name.as_str(),
                url: &entry.source,
                outcome,
                size: entry.size,
                sha256: entry.sha256.to_string(),
                blocks_sha256: entry.blocks.as_ref().map(|(_, digest)| digest.to_string()),
                sent: item.progress.sent(),
                seconds: seconds.as_secs_f64(),
                public: published.public.as_deref(),
            });
        }
        let word: &str = outcome.into();
        let how = match outcome {
            Outcome::Published => format!("{} in {}", bytes(entry.size), took(seconds)),
            Outcome::Resumed => {
                format!("{}, {} of them sent now, in {}", bytes(entry.size), bytes(item.progress.sent()), took(seconds))
            }
            Outcome::Unchanged => format!("{}, the object has these bytes", bytes(entry.size)),
        };
        self.say(&format!("{word:<9}  {} ({how})", plain(&entry.source)));
        if let Some(public) = &published.public {
            self.say(&format!("copied     {}", plain(public)));
        }
        Ok(String::new())
    }

    /// The entries, for standard output.
    pub(super) fn catalog(&self, toml: &str) -> serde_json::Result<String> {
        if self.is_json() { line(&Event::Catalog { toml }) } else { Ok(toml.to_owned()) }
    }

    /// The entries were merged into a catalog.
    pub(super) fn merged(&self, catalog: &str, changed: bool) -> serde_json::Result<String> {
        if self.is_json() {
            return line(&Event::Merged { catalog, changed });
        }
        self.say(&format!("{:<9}  {}", if changed { "merged" } else { "unchanged" }, plain(catalog)));
        Ok(String::new())
    }

    /// Takes the bars away.
    pub(super) fn close(&self) {
        if let Form::Bars(bars) = &self.form {
            bars.close();
        }
    }

    fn is_json(&self) -> bool {
        matches!(self.form, Form::Json)
    }

    fn say(&self, text: &str) {
        match &self.form {
            Form::Bars(bars) => bars.say(text),
            Form::Json | Form::Lines => say(format_args!("{text}")),
        }
    }
}

fn line(event: &Event<'_>) -> serde_json::Result<String> {
    Ok(serde_json::to_string(event)? + "\n")
}
