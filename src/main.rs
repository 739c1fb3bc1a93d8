//! The `bootdepot` program: reads the command line and carries the command out.

use std::io::Write as _;
use std::process::ExitCode;

use bootdepot::cli::Cli;
use clap::Parser as _;

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(status) => status,
        Err(error) => {
            // A standard error that nobody reads must not change the exit status.
            let _ = writeln!(std::io::stderr(), "bootdepot: {error:#}");
            ExitCode::FAILURE
        }
    }
}
