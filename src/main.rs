//! The `bootdepot` program: reads the command line and carries the command out.

use std::process::ExitCode;

use bootdepot::cli::Cli;
use clap::Parser as _;

fn main() -> ExitCode {
    Cli::parse().run()
}
