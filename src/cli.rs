//! The command line: one file a command.

pub mod accept;
pub mod activate;
mod backend;
mod batch;
pub mod boots;
pub mod bucket;
pub mod check;
mod client;
pub mod completions;
pub mod config;
pub mod dhcp_config;
mod discover;
mod empty_catalog;
pub mod evict;
pub mod forget;
mod format;
pub mod health;
pub mod hosts;
pub mod init;
mod interrupt;
mod job_watch;
pub mod list;
mod local;
pub mod man;
pub mod mirror;
mod output;
mod owner;
pub mod pin;
pub mod preload;
pub mod publish;
pub mod releases;
pub mod render;
pub mod serve;
pub mod status;
mod status_line;
mod table;
pub mod unpin;
mod usage_error;
pub mod verify;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use self::format::plain;
use self::output::{print, say};
use self::usage_error::{USAGE_ERROR, UsageError};
use crate::error_chain::error_chain;

/// The help that all commands share.
const AFTER_HELP: &str = "\
Exit status: 0 done, 1 failed, 2 wrong usage or settings.

Commands for the cache ask the running server (`admin.listen`). If none runs, they open the cache themselves. Errors in the \
settings on the disk do not keep a command from a running server, as long as `admin.listen` can be read. If the server \
requires a token, a command sends the one in BOOTDEPOT_TOKEN, else the first that it can read in \
`admin.operator_token_file` or `admin.viewer_token_file`.";

/// A boot server: netboots machines from S3 over TFTP and HTTP, through a disk cache of verified files.
#[derive(Debug, Parser)]
#[command(name = "bootdepot", version, max_term_width = 100, after_help = AFTER_HELP)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

// Each command's help is at its own type.
#[derive(Debug, Subcommand)]
enum Command {
    // The server and its settings.
    Init(init::InitCommand),
    Serve(serve::ServeCommand),
    Check(check::CheckCommand),
    Config(config::ConfigCommand),
    // The cache.
    Preload(preload::PreloadCommand),
    List(list::ListCommand),
    Status(status::StatusCommand),
    Verify(verify::VerifyCommand),
    Pin(pin::PinCommand),
    Unpin(unpin::UnpinCommand),
    Evict(evict::EvictCommand),
    Accept(accept::AcceptCommand),
    // The buckets.
    Publish(publish::PublishCommand),
    Mirror(mirror::MirrorCommand),
    // Releases, machines and their boots.
    Releases(releases::ReleasesCommand),
    Activate(activate::ActivateCommand),
    Hosts(hosts::HostsCommand),
    Boots(boots::BootsCommand),
    Forget(forget::ForgetCommand),
    Render(render::RenderCommand),
    DhcpConfig(dhcp_config::DhcpConfigCommand),
    Health(health::HealthCommand),
    // The buckets.
    Bucket(bucket::BucketCommand),
    // The shell's.
    Completions(completions::CompletionsCommand),
    Man(man::ManCommand),
}

impl Cli {
    /// Runs the command, and prints its error to standard error. The exit status is 0 if done, 1 if failed and 2 after wrong
    /// usage or settings.
    pub fn run(self) -> ExitCode {
        self.carry_out().unwrap_or_else(|error| {
            // It may quote what another program sent.
            let text = error_chain(error.as_ref()).to_string().lines().map(plain).collect::<Vec<_>>().join("\n");
            say(format_args!("bootdepot: {text}"));
            if error.is::<UsageError>() { ExitCode::from(USAGE_ERROR) } else { ExitCode::FAILURE }
        })
    }

    fn carry_out(self) -> anyhow::Result<ExitCode> {
        match self.command {
            // It keeps its runtime to itself: it has to do things before the runtime and after it.
            Command::Serve(command) => command.run(),
            Command::Init(command) => block_on(command.run()),
            Command::Check(command) => block_on(command.run()),
            Command::Config(command) => block_on(command.run()),
            Command::Preload(command) => block_on(command.run()),
            Command::Mirror(command) => block_on(command.run()),
            Command::List(command) => block_on(command.run()),
            Command::Status(command) => block_on(command.run()),
            Command::Verify(command) => block_on(command.run()),
            Command::Pin(command) => block_on(command.run()),
            Command::Unpin(command) => block_on(command.run()),
            Command::Evict(command) => block_on(command.run()),
            Command::Accept(command) => block_on(command.run()),
            Command::Publish(command) => block_on(command.run()),
            Command::Releases(command) => block_on(command.run()),
            Command::Activate(command) => block_on(command.run()),
            Command::Hosts(command) => block_on(command.run()),
            Command::Boots(command) => block_on(command.run()),
            Command::Forget(command) => block_on(command.run()),
            Command::Render(command) => block_on(command.run()),
            Command::DhcpConfig(command) => block_on(command.run()),
            Command::Health(command) => block_on(command.run()),
            Command::Bucket(command) => block_on(command.run()),
            Command::Completions(command) => command.run(&mut Self::command()),
            Command::Man(command) => command.run(Self::command()),
        }
    }
}

/// Runs a command on the one runtime of this process.
fn block_on(command: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let done = runtime.block_on(command);
    // A resolver or a disk that does not answer must not hold up the exit.
    runtime.shutdown_background();
    done
}
