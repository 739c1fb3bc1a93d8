//! `bootdepot completions`: what a shell completes after `bootdepot`.

use std::process::ExitCode;

use clap_complete::Shell;

use super::print;

/// Print a shell's completions of these commands
///
/// For one session: `source <(bootdepot completions bash)`. To stay: write them to
/// `/usr/share/bash-completion/completions/bootdepot`, `/usr/share/zsh/vendor-completions/_bootdepot` or
/// `/usr/share/fish/vendor_completions.d/bootdepot.fish`, where the Debian package has them.
#[derive(Debug, clap::Args)]
pub struct CompletionsCommand {
    /// The shell
    shell: Shell,
}

impl CompletionsCommand {
    /// Prints the completions of `command`.
    pub fn run(self, command: &mut clap::Command) -> anyhow::Result<ExitCode> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, command, "bootdepot", &mut script);
        print(&String::from_utf8(script)?)?;
        Ok(ExitCode::SUCCESS)
    }
}
