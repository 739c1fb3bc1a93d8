//! The result of `init`: what was found and written, and the commands to run next.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::contents::Contents;
use super::firmware::BootProgram;
use super::settings::Answers;
use super::trials::Trials;
use crate::cli::format::plain;
use crate::config::DEFAULT_FILE;

/// The result.
#[derive(Serialize)]
pub(super) struct Report {
    pub(super) settings: PathBuf,
    /// The text of the settings, if nothing was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) text: Option<String>,
    /// The files that were written; those that would be, if nothing was.
    pub(super) files: Vec<PathBuf>,
    /// The files that were replaced, under their new names.
    pub(super) old: Vec<PathBuf>,
    pub(super) bucket: BucketReport,
    pub(super) boot_programs: Vec<BootProgram>,
    pub(super) mirror: Option<MirrorReport>,
    pub(super) trials: Trials,
    /// Sentences that the operator should read.
    pub(super) notes: Vec<String>,
    pub(super) next: Vec<Step>,
}

/// The bucket.
#[derive(Serialize)]
pub(super) struct BucketReport {
    pub(super) name: String,
    pub(super) endpoint: String,
    pub(super) catalog_url: Option<String>,
    #[serde(flatten)]
    pub(super) contents: Contents,
}

/// The release that the upstream of the mirror offers.
#[derive(Serialize)]
pub(super) struct MirrorReport {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) files: Vec<String>,
    /// Bytes to transfer, if the upstream says how many.
    pub(super) bytes: Option<u64>,
}

/// A command to run next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Step {
    pub(super) command: String,
    pub(super) purpose: &'static str,
}

impl Report {
    /// The text for standard output.
    pub(super) fn text(&self) -> String {
        if let Some(settings) = &self.text {
            return settings.clone();
        }
        let written = self.files.iter().map(|file| format!("wrote {}\n", plain(&file.display().to_string())));
        let old = self.old.iter().map(|file| format!("kept the old file as {}\n", plain(&file.display().to_string())));
        let written: String = written.chain(old).collect();
        format!("{written}\nNext:\n{}", self.steps())
    }

    /// The commands, one a line.
    fn steps(&self) -> String {
        let width = self.next.iter().map(|step| step.command.chars().count()).max().unwrap_or(0);
        let line = |step: &Step| format!("  {:<width$}  # {}\n", step.command, step.purpose);
        self.next.iter().map(line).collect()
    }
}

/// The commands to run after the settings at `path` are written.
pub(super) fn next_steps(path: &Path, answers: &Answers, contents: &Contents) -> Vec<Step> {
    let config = if path == Path::new(DEFAULT_FILE) {
        String::new()
    } else {
        format!(" --config {}", shell_word(&path.display().to_string()))
    };
    let mut steps = Vec::new();
    let mut add =
        |command: &str, purpose| steps.push(Step { command: format!("bootdepot {command}{config}"), purpose });
    if !contents.exists {
        add("bucket init", "create the bucket and set it up");
    }
    match &answers.mirror {
        Some(mirror) if mirror.is_bootable => {
            add(&format!("mirror {} --activate", mirror.name), "copy the newest release into the bucket");
        }
        Some(mirror) => add(
            &format!("mirror {}", mirror.name),
            "copy the newest release into the bucket; the README of its recipe shows how to make it bootable",
        ),
        None if answers.catalog_url.is_none() => {
            let catalog = answers.assets_file(path).unwrap_or_default();
            let catalog = shell_word(&catalog.display().to_string());
            let bucket = &answers.store.bucket;
            add(
                &format!("publish FILE… --to s3://{bucket}/ --catalog {catalog}"),
                "put your own files into the bucket and the catalog",
            );
        }
        None => {}
    }
    add("check", "test everything before machines do");
    add("serve", "run the server (the packaged service: systemctl enable --now bootdepot)");
    if answers.machine.interface.is_none() {
        add("dhcp-config dnsmasq", "settings for your DHCP server: dnsmasq, kea, isc or opnsense");
    }
    steps
}

/// A text as one word of a shell.
fn shell_word(text: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+:@%".contains(c);
    if text.chars().all(is_plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::init::credentials::Credentials;
    use crate::cli::init::machine::MachineAnswers;
    use crate::cli::init::mirrors::MirrorAnswer;
    use crate::cli::init::store::StoreAnswers;

    fn answers() -> Answers {
        let store = StoreAnswers {
            endpoint: None,
            bucket: "boot".to_owned(),
            region: "us-east-1".to_owned(),
            addressing: "path".to_owned(),
            ca_file: None,
            credentials: Credentials::Plain("env".to_owned()),
        };
        let machine = MachineAnswers {
            cache_dir: "/c".to_owned(),
            cache_size: "1 GiB".to_owned(),
            http_listen: Vec::new(),
            tftp_listen: Vec::new(),
            admin_listen: "off".to_owned(),
            interface: Some("eno1".to_owned()),
        };
        Answers::new(store, machine)
    }

    fn commands(path: &str, answers: &Answers, exists: bool) -> Vec<String> {
        let contents = Contents { exists, ..Contents::default() };
        next_steps(Path::new(path), answers, &contents).into_iter().map(|step| step.command).collect()
    }

    #[test]
    fn missing_bucket_is_made_first() {
        let mut answers = answers();
        answers.mirror = Some(MirrorAnswer {
            name: "scos".to_owned(),
            recipe: "coreos-stream".to_owned(),
            url: "https://h/scos.json".to_owned(),
            select: Vec::new(),
            keys: Vec::new(),
            example: None,
            is_bootable: true,
        });
        let expected =
            ["bootdepot bucket init", "bootdepot mirror scos --activate", "bootdepot check", "bootdepot serve"];
        assert_eq!(commands(DEFAULT_FILE, &answers, false), expected);
        if let Some(mirror) = &mut answers.mirror {
            mirror.is_bootable = false;
        }
        assert_eq!(commands(DEFAULT_FILE, &answers, true)[0], "bootdepot mirror scos", "it is not activated yet");
    }

    #[test]
    fn commands_name_other_settings_file() {
        let mut answers = answers();
        answers.machine.interface = None;
        let found = commands("/srv/a b/b.toml", &answers, true);
        assert_eq!(
            found[0],
            "bootdepot publish FILE… --to s3://boot/ --catalog '/srv/a b/catalog.d/assets.toml' --config '/srv/a b/b.toml'"
        );
        assert_eq!(
            found[1..3],
            ["bootdepot check --config '/srv/a b/b.toml'", "bootdepot serve --config '/srv/a b/b.toml'"]
        );
        assert!(found[3].starts_with("bootdepot dhcp-config dnsmasq --config"));
        answers.catalog_url = Some("s3://boot/catalog.toml".to_owned());
        assert!(!commands(DEFAULT_FILE, &answers, true)[0].contains("publish"), "the catalog has entries");
    }
}
