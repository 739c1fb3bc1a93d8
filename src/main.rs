//! The `bootdepot` program: reads the command line and carries the command out.

use std::process::ExitCode;

use bootdepot::cli::Cli;
use clap::Parser as _;

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(status) => status,
        Err(error) => {
            eprintln!("bootdepot: {error:#}");
            ExitCode::FAILURE
        }
    }
}
