//! `bootdepot man`: the manual pages, made from what `--help` says.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::print;

/// Print the manual page, or write those of all commands
#[derive(Debug, clap::Args)]
pub struct ManCommand {
    /// Write one page a command into this directory, such as `bootdepot-serve.1`
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Additional sections of the first page.
const SECTIONS: [(&str, &[(&str, &str)]); 3] = [
    (
        "ENVIRONMENT",
        &[
            ("BOOTDEPOT_CONFIG", "The settings file."),
            (
                "BOOTDEPOT_TABLE__KEY",
                "Any setting, over that of the file, such as BOOTDEPOT_CACHE__DIR; 'bootdepot config explain KEY' names it.",
            ),
            ("BOOTDEPOT_LOG", "Which log lines are written: info, debug, or a filter such as bootdepot::fill=debug."),
            ("BOOTDEPOT_TOKEN", "The token that commands send to the running server."),
            ("BOOTDEPOT_LOG_FORMAT", "human, or json for one object a line."),
        ],
    ),
    (
        "FILES",
        &[
            ("/etc/bootdepot/bootdepot.toml", "The settings, which may include others."),
            (
                "/var/cache/bootdepot",
                "The cache. All of it can be deleted while no server runs; what is pinned, which releases were activated and the machines' boots are forgotten then.",
            ),
        ],
    ),
    (
        "EXIT STATUS",
        &[("0", "Done."), ("1", "Failed; standard error says why."), ("2", "Wrong usage or wrong settings.")],
    ),
];

impl ManCommand {
    /// Prints or writes the pages of `command`.
    pub fn run(self, command: Command) -> anyhow::Result<ExitCode> {
        let mut command = command.disable_help_subcommand(true);
        command.build();
        match self.out {
            None => print(&String::from_utf8(page(&command, true)?)?)?,
            Some(dir) => {
                std::fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
                write(&command, true, &dir)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Writes the pages of `command` and its subcommands.
fn write(command: &Command, first: bool, dir: &Path) -> anyhow::Result<()> {
    let file = dir.join(Man::new(command.clone()).get_filename());
    std::fs::write(&file, page(command, first)?).with_context(|| format!("cannot write {}", file.display()))?;
    command
        .get_subcommands()
        .filter(|command| !command.is_hide_set())
        .try_for_each(|command| write(command, false, dir))
}

/// The page of `command`; the first has what all commands share.
fn page(command: &Command, first: bool) -> anyhow::Result<Vec<u8>> {
    let source = concat!("bootdepot ", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command.clone()).source(source).manual("bootdepot manual");
    let mut page = Vec::new();
    man.render(&mut page)?;
    // The empty date is written as nothing at all, which makes a date of what follows it.
    let mut page = String::from_utf8(page)?.replacen(" 1  \"", " 1 \"\" \"", 1).into_bytes();
    if first {
        let mut roff = Roff::default();
        for (heading, entries) in SECTIONS {
            roff.control("SH", [heading]);
            for (name, meaning) in entries {
                roff.control("TP", []);
                roff.text([bold(*name)]);
                roff.text([roman(*meaning)]);
            }
        }
        roff.to_writer(&mut page)?;
    }
    Ok(page)
}
