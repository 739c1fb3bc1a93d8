//! Shell completions in bash, and manual pages in mandoc.

use std::process::Command;

use super::bootdepot;
use crate::support::{CommandExt, Tool};

/// Returns the program's output.
fn printed(args: &[&str]) -> String {
    let output = Command::new(bootdepot()).args(args).run_to_end();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn bash_completes_commands_and_options() {
    let Some(bash) = Tool::find("bash") else { return };
    let complete = |words: &str| {
        let program = bootdepot();
        let script = format!(
            "source <({program} completions bash)\n\
             COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))\n\
             _bootdepot bootdepot \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD - 1]}}\"\n\
             echo \"${{COMPREPLY[@]}}\""
        );
        bash.succeed(["--norc", "-c", &script]).trim().to_owned()
    };
    assert_eq!(complete("bootdepot act"), "activate");
    assert_eq!(complete("bootdepot config sch"), "schema");
    assert_eq!(complete("bootdepot serve --http-l"), "--http-listen");
}

#[test]
fn zsh_and_fish_get_completions() {
    assert!(printed(&["completions", "zsh"]).starts_with("#compdef bootdepot\n"));
    assert!(printed(&["completions", "fish"]).contains("complete -c bootdepot"));
}

#[test]
fn manual_pages_pass_mandoc_lint() {
    let Some(mandoc) = Tool::find("mandoc") else { return };
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(printed(&["man", "--out", dir.path().to_str().unwrap()]), "");
    let mut pages: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    pages.sort();
    let names: Vec<_> = pages.iter().map(|page| page.file_name().unwrap().to_str().unwrap()).collect();
    for wanted in ["bootdepot.1", "bootdepot-serve.1", "bootdepot-config-show.1", "bootdepot-man.1"] {
        assert!(names.contains(&wanted), "{names:?}");
    }
    for page in &pages {
        let report = mandoc.run(["-T", "lint", "-W", "warning", page.to_str().unwrap()]).stdout;
        let report = String::from_utf8_lossy(&report);
        // A generated page has no date, and clap_mangen breaks the paragraphs.
        let tolerated = ["missing date", "skipping paragraph macro"];
        let wrong =
            |line: &&str| !line.contains(" STYLE: ") && !tolerated.iter().any(|tolerated| line.contains(tolerated));
        assert_eq!(report.lines().filter(wrong).collect::<Vec<_>>(), Vec::<&str>::new());
    }
    let page = std::fs::read_to_string(&pages[names.iter().position(|name| *name == "bootdepot.1").unwrap()]).unwrap();
    assert_eq!(page, printed(&["man"]));
    let shown = mandoc.succeed(["-T", "ascii", dir.path().join("bootdepot.1").to_str().unwrap()]);
    let plain: String = without_overstrikes(&shown);
    for section in ["ENVIRONMENT", "FILES", "EXIT STATUS", "bootdepot-serve(1)"] {
        assert!(plain.contains(section), "{plain}");
    }
}

/// Returns a text without overstrikes, by which printers make letters bold: letter, backspace, letter.
fn without_overstrikes(text: &str) -> String {
    let mut plain = String::new();
    for character in text.chars() {
        if character == '\x08' {
            plain.pop();
        } else {
            plain.push(character);
        }
    }
    plain
}
