//! `bootdepot init`: asks for what a first settings file needs, tries each answer, and writes the file.
//!
//! `dialog` takes answers from flags, an operator or defaults, and knows no question. `store`, `credentials`, `mirrors`, `machine` and
//! `firmware` have the questions, and `wizard` their order. `candidate` loads the settings of the answers so far as the server would,
//! and tries them; `trials` lists the trials. `output` writes the files.

mod args;
mod candidate;
mod console;
mod contents;
mod credentials;
mod dialog;
mod fault;
mod firmware;
mod machine;
mod mirrors;
mod output;
mod report;
mod settings;
mod store;
mod trials;
mod wizard;

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;

use self::args::InitArgs;
use self::console::Console;
use self::dialog::Dialog;
use self::wizard::Wizard;
use super::interrupt::Interrupts;
use super::print;
use super::usage_error::UsageError;
use crate::config::DEFAULT_FILE;
use crate::environment;
use crate::task::blocking;

/// Ask for a bucket and the rest of a first settings file, try each answer, and write the file
///
/// Asks for endpoint, bucket and credentials, lists the bucket with them, and shows what it holds. Then offers to mirror an operating
/// system, to serve the network boot programs that are installed here, and to answer DHCP requests of firmware. Each answer is tried
/// before the next question; a wrong one is asked for again. At the end it writes a commented settings file, and prints the commands
/// to run next.
///
/// A flag answers its question. Without a terminal, or with --yes, nothing is asked: --endpoint, --bucket and --credentials are then
/// required, and everything else has a default. A secret that is typed goes into a file of mode 0600, to which the settings refer;
/// it is never printed. Existing files are kept unless --force is given; the settings that a package installed may be replaced as long as
/// they are unchanged.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  bootdepot init\n  bootdepot init --endpoint https://s3.lab:9000 --bucket boot --credentials env --dry-run\n  bootdepot init --yes --endpoint https://s3.lab:9000 --ca-file /etc/ssl/lab-ca.pem --bucket boot \\\n      --access-key-id BOOT --secret-key file:/run/secrets/s3 --mirror scos --dhcp proxy --interface eno1\n  pass show s3/boot | bootdepot init --endpoint aws --region eu-central-1 --bucket boot --access-key-id AKIA… --secret-key -"
)]
pub struct InitCommand {
    #[command(flatten)]
    args: InitArgs,
}

impl InitCommand {
    /// Runs it: questions and remarks go to standard error, the result to standard output.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let has_terminal = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        let asks = has_terminal && !self.args.yes;
        let missing = self.args.missing();
        if !asks && !missing.is_empty() {
            let reason = if has_terminal { "--yes asks nothing" } else { "there is no terminal to ask on" };
            return Err(UsageError::new(format!("these flags are missing ({reason}): {}", missing.join(", "))).into());
        }
        let settings = self.settings_file()?;
        if !self.args.dry_run && !self.args.force {
            output::refuse_existing(&settings)?;
        }
        // Before anything is started that an interrupt is to end.
        let mut interrupts = Interrupts::listen().context("cannot listen for Ctrl-C")?;
        let dialog = Dialog::new(asks.then(Console::of_terminal));
        let work = Wizard::new(&self.args, settings, dialog).run();
        let prepared = tokio::select! {
            done = Box::pin(work) => done?,
            () = interrupts.first() => anyhow::bail!("interrupted; nothing was written"),
        };
        // From here on the first interrupt ends nothing: either all files are written, or the error names those that were.
        let report = blocking(move || prepared.write()).await?;
        let printed = if self.args.json { serde_json::to_string_pretty(&report)? + "\n" } else { report.text() };
        print(&printed)?;
        Ok(ExitCode::SUCCESS)
    }

    /// The absolute path of the file to write.
    fn settings_file(&self) -> anyhow::Result<PathBuf> {
        let named = self.args.config.clone().or_else(|| environment::variable("BOOTDEPOT_CONFIG").map(PathBuf::from));
        let path = named.unwrap_or_else(|| DEFAULT_FILE.into());
        anyhow::ensure!(path.file_name().is_some(), UsageError::new(format!("{} is no file", path.display())));
        Ok(std::path::absolute(path)?)
    }
}
