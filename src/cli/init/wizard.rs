//! The course of the questions: each answer is tried before the next question.

use std::path::PathBuf;

use super::args::{InitArgs, MirrorArgs};
use super::candidate::{Candidate, Shared, catalog_in};
use super::contents::{CATALOG_KEY, Contents};
use super::dialog::{Dialog, Question};
use super::firmware;
use super::machine::MachineAnswers;
use super::mirrors::MirrorAnswer;
use super::output::{self, Output, Written};
use super::report::{BucketReport, MirrorReport, Report, next_steps};
use super::settings::Answers;
use super::store::StoreAnswers;
use super::trials::{self, Trial, Trials};
use crate::cli::format::{bytes, count, plain};
use crate::config::ValueKind;
use crate::error_chain::error_chain;
use crate::origin::Origins;
use crate::supply::mirror::Plan;

const CATALOG_URL: Question = Question { flag: "--catalog-url", text: "Shared catalog" };

/// The file for a typed secret, beside the settings.
const SECRET_FILE: &str = "s3-secret-key";

/// The files to write, and the report.
pub(super) struct Prepared {
    /// `None`: nothing is to be written.
    output: Option<Output>,
    report: Report,
}

impl Prepared {
    /// Writes the files. Blocks.
    pub(super) fn write(self) -> anyhow::Result<Report> {
        let Some(output) = self.output else { return Ok(self.report) };
        let Written { files, old } = output.write()?;
        Ok(Report { files, old, ..self.report })
    }
}

/// Asks all questions, and prepares the files.
pub(super) struct Wizard<'a> {
    args: &'a InitArgs,
    settings: PathBuf,
    dialog: Dialog,
    notes: Vec<String>,
}

impl<'a> Wizard<'a> {
    /// A wizard for the settings file at `settings`, an absolute path.
    pub(super) fn new(args: &'a InitArgs, settings: PathBuf, dialog: Dialog) -> Self {
        Self { args, settings, dialog, notes: Vec::new() }
    }

    /// Asks and tries. Writes nothing.
    pub(super) async fn run(mut self) -> anyhow::Result<Prepared> {
        let mut machine = MachineAnswers::of_flags(&self.args.node)?;
        let secret_file = self.secret_file()?;
        let store = StoreAnswers::ask(&mut self.dialog, &self.args.store, &secret_file).await?;
        let mut answers = Answers::new(store, machine.clone());
        let (origins, contents) = self.prove_bucket(&mut answers).await?;
        self.choose_catalog(&mut answers, &contents).await?;
        let mirror = self.choose_mirror(&mut answers, &origins).await?;
        machine.ask_cache(&mut self.dialog, &self.args.node).await?;
        machine.ask_dhcp(&mut self.dialog, &self.args.node).await?;
        answers.machine = machine;
        answers.programs = firmware::ask(&mut self.dialog, &self.args.node).await?;
        let candidate = Candidate::new(&self.settings, &answers).await?;
        let shared = match &answers.catalog_url {
            Some(url) => Some(match Box::pin(candidate.shared_catalog(url)).await? {
                Shared::Unusable(reason) => {
                    anyhow::bail!("the shared catalog {url} does not go with these settings: {reason}")
                }
                Shared::Valid(_) => {
                    Ok(format!("the shared catalog {url}: it was read, and is valid with these settings"))
                }
                Shared::Missing => Err(format!("the shared catalog {url}: it does not exist yet")),
            }),
            None => None,
        };
        answers.trials = tried(&answers, &candidate, &contents, shared, mirror.as_ref());
        for phrase in answers.trials.unproven.clone() {
            self.note(format!("not proven: {phrase}"));
        }
        if let Some(sentence) = answers.store.credentials.note() {
            self.note(sentence);
        }
        // With what was tried.
        let candidate = Candidate::new(&self.settings, &answers).await?;
        self.prepare(&answers, candidate, contents, mirror).await
    }

    /// Lists the bucket. In a dialog, asks again for the answers that do not work.
    async fn prove_bucket(&mut self, answers: &mut Answers) -> anyhow::Result<(Origins, Contents)> {
        let secret_file = self.secret_file()?;
        loop {
            let candidate = Candidate::new(&self.settings, answers).await?;
            let bucket = answers.store.bucket.clone();
            let endpoint = answers.store.endpoint_shown().to_owned();
            let named = self.args.store.catalog_url.as_deref();
            let key = named.and_then(|url| url.strip_prefix(&format!("s3://{bucket}/"))).unwrap_or(CATALOG_KEY);
            match Box::pin(candidate.prove(&bucket, key)).await {
                Ok((origins, contents)) => {
                    self.dialog.say(contents.text(&bucket).trim_end());
                    if contents.exists || self.accepts_missing_bucket(&bucket, &endpoint).await? {
                        return Ok((origins, contents));
                    }
                    answers.store.ask_bucket(&mut self.dialog).await?;
                }
                Err(fault) => {
                    let text = plain(&format!("the bucket {bucket} at {endpoint} cannot be used: {}", fault.text));
                    if !self.dialog.asks() {
                        let flags = fault.subject.flags();
                        let flags = if flags.is_empty() { String::new() } else { format!(" (see {flags})") };
                        anyhow::bail!("{text}{flags}");
                    }
                    self.dialog.say(&format!("\n{text}\n"));
                    answers.store.mend(&mut self.dialog, &fault, &secret_file).await?;
                }
            }
        }
    }

    /// The file for a typed secret.
    fn secret_file(&self) -> std::io::Result<PathBuf> {
        let named = self.args.store.secret_file.as_ref();
        named.map_or_else(|| Ok(self.settings.with_file_name(SECRET_FILE)), std::path::absolute)
    }

    async fn accepts_missing_bucket(&mut self, bucket: &str, endpoint: &str) -> anyhow::Result<bool> {
        let is_accepted =
            self.dialog.confirm("Use it all the same? \"bootdepot bucket init\" creates it", true).await?;
        if is_accepted {
            self.note(format!(
                "the bucket {bucket} does not exist at {endpoint}; \"bootdepot bucket init\" creates it"
            ));
        }
        Ok(is_accepted)
    }

    /// Takes the shared catalog of the flag, else the one in the bucket, if it is valid.
    async fn choose_catalog(&mut self, answers: &mut Answers, contents: &Contents) -> anyhow::Result<()> {
        let read = |text: &str| match text {
            "none" => Ok(None),
            url => ValueKind::CatalogUrl.check(url).map(|()| Some(url.to_owned())),
        };
        let url = match self.args.store.catalog_url.as_deref() {
            Some(given) => self.dialog.answer(CATALOG_URL, Some(given), None, read).await?,
            None => contents.may_have_catalog().then(|| catalog_in(&answers.store.bucket)),
        };
        let Some(url) = url else { return Ok(()) };
        answers.catalog_url = Some(url.clone());
        let candidate = Candidate::new(&self.settings, answers).await?;
        let is_given = self.args.store.catalog_url.is_some();
        let is_used = match Box::pin(candidate.shared_catalog(&url)).await? {
            Shared::Valid(assets) => {
                answers.shared_assets = assets;
                let number = count(answers.shared_assets.len(), "asset");
                let question = format!("Use the shared catalog {} ({number})?", plain(&url));
                is_given || self.dialog.confirm(&question, true).await?
            }
            Shared::Missing if is_given => {
                self.note(format!(
                    "{url} does not exist yet; bootdepot mirror and bootdepot publish --catalog make it"
                ));
                true
            }
            Shared::Missing => false,
            Shared::Unusable(reason) if is_given => anyhow::bail!("the shared catalog cannot be used: {reason}"),
            Shared::Unusable(reason) => {
                self.note(format!("the catalog {url} is not used as the shared one: {reason}"));
                false
            }
        };
        if !is_used {
            answers.catalog_url = None;
            answers.shared_assets.clear();
        }
        Ok(())
    }

    /// Takes the mirror of the flags, or asks for one, until its upstream offers a release.
    async fn choose_mirror(
        &mut self,
        answers: &mut Answers,
        origins: &Origins,
    ) -> anyhow::Result<Option<MirrorReport>> {
        let asked_again = MirrorArgs::default();
        let mut flags = &self.args.mirror;
        loop {
            let chosen = MirrorAnswer::ask(&mut self.dialog, flags, &self.settings).await?;
            let Some(mirror) = chosen else {
                answers.mirror = None;
                return Ok(None);
            };
            let upstream = mirror.installed().unwrap_or_else(|| mirror.url.clone());
            self.dialog.say(&format!("Asking {} for its newest release…", plain(&upstream)));
            let name = mirror.name.clone();
            answers.mirror = Some(mirror);
            let candidate = Candidate::new(&self.settings, answers).await?;
            match Box::pin(candidate.mirror_plan(&name, &answers.store.bucket, origins)).await {
                Ok(plan) => {
                    let report = MirrorReport::of(name, &plan);
                    self.dialog.say(&plain(&report.sentence()));
                    answers.mirror_files.clone_from(&report.files);
                    return Ok(Some(report));
                }
                Err(error) => {
                    let text = plain(&format!("{name} cannot be mirrored: {}", error_chain(error.as_ref())));
                    anyhow::ensure!(self.dialog.asks(), "{text} (see --mirror-url, --mirror-select)");
                    self.dialog.say(&format!("\n{text}\n"));
                    flags = &asked_again;
                }
            }
        }
    }

    /// Prepares the files, unless only the plan is wanted.
    async fn prepare(
        mut self,
        answers: &Answers,
        candidate: Candidate,
        contents: Contents,
        mirror: Option<MirrorReport>,
    ) -> anyhow::Result<Prepared> {
        let assets = answers.assets_file(&self.settings).map(|path| (path, output::ASSETS));
        let machines = (Answers::machines_file(&self.settings), output::MACHINES);
        let output = Output {
            settings: self.settings.clone(),
            text: candidate.text.clone(),
            secret: answers.store.credentials.unstored().map(|(path, secret)| (path.to_owned(), secret.clone())),
            kept: assets.into_iter().chain([machines]).collect(),
        };
        let is_allowed = if self.args.force { Ok(()) } else { output.refuse_existing() };
        let next = next_steps(&self.settings, answers, &contents);
        let files = output.files();
        if self.args.dry_run {
            if let Err(error) = is_allowed {
                self.note(error.to_string());
            }
            let shown: Vec<_> = files.iter().map(|file| format!("would write {}", file.display())).collect();
            self.dialog.say(&shown.join("\n"));
        } else {
            is_allowed?;
            let shown = self.settings.display().to_string();
            let question = format!("\nWrite {}?", plain(&shown));
            anyhow::ensure!(self.dialog.confirm(&question, true).await?, "nothing was written");
        }
        let report = Report {
            text: self.args.dry_run.then_some(candidate.text),
            files,
            old: Vec::new(),
            bucket: BucketReport {
                name: answers.store.bucket.clone(),
                endpoint: answers.store.endpoint_shown().to_owned(),
                catalog_url: answers.catalog_url.clone(),
                contents,
            },
            boot_programs: answers.programs.clone(),
            mirror,
            trials: answers.trials.clone(),
            notes: self.notes,
            next,
            settings: self.settings,
        };
        Ok(Prepared { output: (!self.args.dry_run).then_some(output), report })
    }

    fn note(&mut self, sentence: String) {
        self.dialog.say(&format!("note: {sentence}"));
        self.notes.push(sentence);
    }
}

/// The results of all trials.
fn tried(
    answers: &Answers,
    candidate: &Candidate,
    contents: &Contents,
    shared: Option<Trial>,
    mirror: Option<&MirrorReport>,
) -> Trials {
    let of_bucket = trials::of_bucket(&answers.store.bucket, answers.store.endpoint_shown(), contents);
    let of_mirror = mirror.map(|mirror| {
        Ok(format!("asking the upstream of the mirror {}: its newest release is {}", mirror.name, mirror.version))
    });
    let of_programs = (!answers.programs.is_empty())
        .then(|| Ok("the digests of the network boot programs: their files were read".to_owned()));
    let of_machine = trials::of_machine(&candidate.config);
    Trials::of(of_bucket.into_iter().chain(shared).chain(of_mirror).chain(of_programs).chain(of_machine))
}

impl MirrorReport {
    fn of(name: String, plan: &Plan) -> Self {
        let files = plan.files.iter().map(|file| file.picked.file.name.clone()).collect();
        Self { name, version: plan.version.to_string(), files, bytes: plan.bytes() }
    }

    fn sentence(&self) -> String {
        let size = self.bytes.filter(|bytes| *bytes > 0).map(|size| format!(", {}", bytes(size))).unwrap_or_default();
        format!("{} {}: {}{size}", self.name, self.version, count(self.files.len(), "file"))
    }
}
