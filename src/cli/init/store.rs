//! Where the bucket is: its endpoint, its name, and how it is reached.

use std::path::Path;

use serde::Serialize;

use super::args::StoreArgs;
use super::credentials::Credentials;
use super::dialog::{Dialog, Question};
use super::fault::{Fault, Subject};
use crate::config::ValueKind;

const ENDPOINT: Question = Question { flag: "--endpoint", text: "S3 endpoint, such as https://s3.lab:9000, or aws" };
const BUCKET: Question = Question { flag: "--bucket", text: "Bucket" };
const REGION: Question = Question { flag: "--region", text: "Region" };
const CA_FILE: Question = Question {
    flag: "--ca-file",
    text: "File with the certificate (PEM) of the endpoint's CA; nothing, to correct the endpoint",
};

/// The answer that stands for AWS.
const AWS: &str = "aws";
const DEFAULT_REGION: &str = "us-east-1";

/// How the bucket is reached.
#[derive(Debug, Clone, Serialize)]
pub(super) struct StoreAnswers {
    /// The endpoint. `None`: AWS's endpoint in the region.
    pub(super) endpoint: Option<String>,
    pub(super) bucket: String,
    pub(super) region: String,
    pub(super) addressing: String,
    pub(super) ca_file: Option<String>,
    pub(super) credentials: Credentials,
}

impl StoreAnswers {
    /// Takes the answers from the flags, or asks. A typed secret goes into `secret_file`.
    pub(super) async fn ask(dialog: &mut Dialog, flags: &StoreArgs, secret_file: &Path) -> anyhow::Result<Self> {
        let endpoint = dialog.answer(ENDPOINT, flags.endpoint.as_deref(), None, read_endpoint).await?;
        let bucket = dialog.answer(BUCKET, flags.bucket.as_deref(), None, read_bucket).await?;
        // Both are asked for only where the defaults do not work.
        let region = flags.region.clone().unwrap_or_else(|| DEFAULT_REGION.to_owned());
        let ca_file = flags.ca_file.as_deref().map(read_path).transpose();
        let ca_file = ca_file.map_err(crate::cli::usage_error::UsageError::new)?;
        let credentials = Credentials::ask(dialog, flags, secret_file).await?;
        Ok(Self { endpoint, bucket, region, addressing: flags.addressing.clone(), ca_file, credentials })
    }

    /// Asks again for the answers that a fault is about.
    pub(super) async fn mend(&mut self, dialog: &mut Dialog, fault: &Fault, secret_file: &Path) -> anyhow::Result<()> {
        let flags = StoreArgs::default();
        match &fault.subject {
            Subject::Endpoint => self.ask_endpoint(dialog).await?,
            Subject::Region(named) => {
                let named = named.clone().unwrap_or_else(|| self.region.clone());
                let read = |text: &str| if text.is_empty() { Err(String::new()) } else { Ok(text.to_owned()) };
                self.region = dialog.answer(REGION, None, Some(&named), read).await?;
            }
            Subject::CaFile => {
                let read = |text: &str| if text.is_empty() { Ok(None) } else { read_pem(text).map(Some) };
                match dialog.answer(CA_FILE, None, None, read).await? {
                    Some(path) => self.ca_file = Some(path),
                    None => self.ask_endpoint(dialog).await?,
                }
            }
            Subject::Credentials => self.credentials = Credentials::ask(dialog, &flags, secret_file).await?,
            Subject::Access => {
                self.ask_bucket(dialog).await?;
                self.credentials = Credentials::ask(dialog, &flags, secret_file).await?;
            }
            Subject::Machine => {
                anyhow::ensure!(dialog.confirm("Try again?", true).await?, "nothing was written");
            }
        }
        Ok(())
    }

    /// Asks for another endpoint.
    async fn ask_endpoint(&mut self, dialog: &mut Dialog) -> anyhow::Result<()> {
        let old = self.endpoint.clone().unwrap_or_else(|| AWS.to_owned());
        self.endpoint = dialog.answer(ENDPOINT, None, Some(&old), read_endpoint).await?;
        Ok(())
    }

    /// Asks for another bucket.
    pub(super) async fn ask_bucket(&mut self, dialog: &mut Dialog) -> anyhow::Result<()> {
        let old = self.bucket.clone();
        self.bucket = dialog.answer(BUCKET, None, Some(&old), read_bucket).await?;
        Ok(())
    }

    /// The endpoint, as shown.
    pub(super) fn endpoint_shown(&self) -> &str {
        self.endpoint.as_deref().unwrap_or("AWS")
    }
}

fn read_endpoint(text: &str) -> Result<Option<String>, String> {
    if text == AWS {
        return Ok(None);
    }
    ValueKind::Endpoint.check(text).map(|()| Some(text.to_owned()))
}

fn read_bucket(text: &str) -> Result<String, String> {
    // Operators copy it as a URL.
    let name = text.strip_prefix("s3://").unwrap_or(text).trim_end_matches('/');
    ValueKind::BucketName.check(name).map(|()| name.to_owned())
}

fn read_path(text: &str) -> Result<String, String> {
    ValueKind::Path.check(text)?;
    let path = std::path::absolute(text).map_err(|error| error.to_string())?;
    Ok(path.display().to_string())
}

fn read_pem(text: &str) -> Result<String, String> {
    let path = read_path(text)?;
    match std::fs::read(&path) {
        Ok(_) => Ok(path),
        Err(error) => Err(format!("{path} cannot be read: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::init::console::Console;

    fn flags() -> StoreArgs {
        let given = |text: &str| Some(text.to_owned());
        StoreArgs { endpoint: given("aws"), credentials: given("env"), ..StoreArgs::default() }
    }

    #[tokio::test]
    async fn only_missing_answers_are_asked() {
        let mut dialog = Dialog::new(Some(Console::scripted("Boot\ns3://boot/\n", std::io::sink())));
        let answers = StoreAnswers::ask(&mut dialog, &flags(), Path::new("/x")).await.unwrap();
        assert_eq!((answers.endpoint, answers.bucket.as_str(), answers.region.as_str()), (None, "boot", "us-east-1"));
    }

    #[tokio::test]
    async fn fault_asks_for_its_answer_again() {
        let lines = "boot\nhttp://s3.lab\n\nlab-1\n\n2\nAKIA\nhunter2\n";
        let mut dialog = Dialog::new(Some(Console::scripted(lines, std::io::sink())));
        let file = Path::new("/x");
        let mut answers = StoreAnswers::ask(&mut dialog, &flags(), file).await.unwrap();
        let named = Some("lab-2".to_owned());
        for subject in [Subject::Endpoint, Subject::Region(named.clone()), Subject::Region(named), Subject::Access] {
            let fault = Fault { subject, text: String::new() };
            answers.mend(&mut dialog, &fault, file).await.unwrap();
        }
        assert_eq!(answers.endpoint.as_deref(), Some("http://s3.lab"));
        assert_eq!((answers.region.as_str(), answers.bucket.as_str()), ("lab-1", "boot"));
        assert!(matches!(answers.credentials, Credentials::Keys { .. }), "{:?}", answers.credentials);
    }

    #[tokio::test]
    async fn mistyped_endpoint_needs_no_certificate() {
        let mut dialog = Dialog::new(Some(Console::scripted("boot\n\nhttps://s3.lab\n", std::io::sink())));
        let mut answers = StoreAnswers::ask(&mut dialog, &flags(), Path::new("/x")).await.unwrap();
        let fault = Fault { subject: Subject::CaFile, text: String::new() };
        answers.mend(&mut dialog, &fault, Path::new("/x")).await.unwrap();
        assert_eq!((answers.endpoint.as_deref(), answers.ca_file), (Some("https://s3.lab"), None));
    }
}
