//! The command line: one file a command.

pub mod activate;
pub mod boots;
pub mod check;
pub mod completions;
pub mod config;
mod deeds;
pub mod dhcp_config;
pub mod evict;
pub mod health;
mod here;
pub mod hosts;
pub mod list;
mod live;
pub mod man;
mod misuse;
mod owner;
pub mod pin;
pub mod preload;
pub mod releases;
pub mod render;
mod running;
pub mod serve;
mod server;
pub mod status;
mod table;
pub mod unpin;
pub mod verify;
mod witness;
mod words;
mod worker;

use std::fmt;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::misuse::{Misuse, WRONG_USE};
use self::words::plain;
use crate::error_chain::error_chain;

/// What holds for all commands.
const AFTER_HELP: &str = "\
Exit status: 0 done, 1 failed, 2 wrong usage or settings.

Commands about the cache ask the running server (`admin.listen`), or, where none runs, work on the cache by themselves; a running \
server is asked whatever is wrong with the settings on the disk, as long as `admin.listen` can be made out. Where \
the server asks for tokens, a command sends the one in BOOTDEPOT_TOKEN, else the first that it can read in \
`admin.operator_token_file` or `admin.viewer_token_file`.";

/// A boot server: netboots machines from S3 over TFTP and HTTP, through a disk cache of proven bytes.
#[derive(Debug, Parser)]
#[command(name = "bootdepot", version, max_term_width = 100, after_help = AFTER_HELP)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

// What each does is said at its own type.
#[derive(Debug, Subcommand)]
enum Command {
    // The server and its settings.
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
    // What machines boot, and how far they are.
    Releases(releases::ReleasesCommand),
    Activate(activate::ActivateCommand),
    Hosts(hosts::HostsCommand),
    Boots(boots::BootsCommand),
    Render(render::RenderCommand),
    DhcpConfig(dhcp_config::DhcpConfigCommand),
    Health(health::HealthCommand),
    // The shell's.
    Completions(completions::CompletionsCommand),
    Man(man::ManCommand),
}

impl Cli {
    /// Carries the command out, and says on standard error why it failed. The exit status is 0 for done, 1 for failed and 2
    /// for wrong usage or settings.
    pub fn run(self) -> ExitCode {
        self.carry_out().unwrap_or_else(|error| {
            // It may hold what another program said.
            let text = error_chain(error.as_ref()).to_string().lines().map(plain).collect::<Vec<_>>().join("\n");
            say(format_args!("bootdepot: {text}"));
            if error.is::<Misuse>() { ExitCode::from(WRONG_USE) } else { ExitCode::FAILURE }
        })
    }

    fn carry_out(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Serve(command) => command.run(),
            Command::Check(command) => command.run(),
            Command::Config(command) => command.run(),
            Command::Preload(command) => command.run(),
            Command::List(command) => command.run(),
            Command::Status(command) => command.run(),
            Command::Verify(command) => command.run(),
            Command::Pin(command) => command.run(),
            Command::Unpin(command) => command.run(),
            Command::Evict(command) => command.run(),
            Command::Releases(command) => command.run(),
            Command::Activate(command) => command.run(),
            Command::Hosts(command) => command.run(),
            Command::Boots(command) => command.run(),
            Command::Render(command) => command.run(),
            Command::DhcpConfig(command) => command.run(),
            Command::Health(command) => command.run(),
            Command::Completions(command) => command.run(),
            Command::Man(command) => command.run(),
        }
    }
}

/// Prints to standard output.
fn print(text: &str) -> io::Result<()> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        // `config explain | head` is no failure.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(io::Error::new(error.kind(), format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Says a line on standard error.
fn say(line: fmt::Arguments<'_>) {
    // Where nobody reads it, nobody misses it; `eprintln!` would panic.
    let _ = writeln!(io::stderr().lock(), "{line}");
}
