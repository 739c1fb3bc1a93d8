//! Completions and manual pages, by those who read them.

use std::process::Command;

use super::bootdepot;
use crate::support::Tool;

/// What the program prints.
fn printed(args: &[&str]) -> String {
    let output = Command::new(bootdepot()).args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn bash_completes_commands_and_their_options() {
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
fn zsh_and_fish_get_completions_too() {
    assert!(printed(&["completions", "zsh"]).starts_with("#compdef bootdepot\n"));
    assert!(printed(&["completions", "fish"]).contains("complete -c bootdepot"));
}

#[test]
fn every_command_has_a_manual_page_that_mandoc_finds_nothing_wrong_with() {
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
        let said = mandoc.run(["-T", "lint", "-W", "warning", page.to_str().unwrap()]).stdout;
        let said = String::from_utf8_lossy(&said);
        // A page made anew at each build has no date; and how paragraphs are broken is that of clap_mangen.
        let tolerated = ["missing date", "skipping paragraph macro"];
        let wrong =
            |line: &&str| !line.contains(" STYLE: ") && !tolerated.iter().any(|tolerated| line.contains(tolerated));
        assert_eq!(said.lines().filter(wrong).collect::<Vec<_>>(), Vec::<&str>::new());
    }
    let page = std::fs::read_to_string(&pages[names.iter().position(|name| *name == "bootdepot.1").unwrap()]).unwrap();
    assert_eq!(page, printed(&["man"]));
    let shown = mandoc.succeed(["-T", "ascii", dir.path().join("bootdepot.1").to_str().unwrap()]);
    let plain: String = overstruck(&shown);
    for section in ["ENVIRONMENT", "FILES", "EXIT STATUS", "bootdepot-serve(1)"] {
        assert!(plain.contains(section), "{plain}");
    }
}

/// A text without what makes its letters bold on a printer: a letter, a step back, the letter again.
fn overstruck(text: &str) -> String {
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
