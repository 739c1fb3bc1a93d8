//! The project's language: the field's terms in short sentences. Counts phrases that hide who does what, in comments, test
//! names and documentation.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::support::program::root;

/// The most phrases of `PHRASES` and `HEADS` together, for each 1,000 lines of comments or documentation.
const MOST_PER_THOUSAND: usize = 1;

/// A test's name is its subject, the condition and the result; this many words are enough for that.
const MOST_WORDS: usize = 8;

/// Phrases with a plainer equivalent: the actor's name, "again", "returns", "reports", "request", "while", "cached".
const PHRASES: [&str; 22] = [
    "whoever",
    "whomever",
    "nobody",
    "anew",
    "let go",
    "lets go",
    "is none",
    "are none",
    "wish",
    "wishes",
    "meanwhile",
    "tell",
    "tells",
    "told",
    "who asks",
    "who reads",
    "who waits",
    "who wants",
    "who comes",
    "all the while",
    "is here",
    "are here",
];

/// Words that begin no sentence, unless it is a question: what follows them has no subject.
const HEADS: [&str; 4] = ["of", "what", "who", "whoever"];

#[test]
fn comments_use_plain_words() {
    let mut text = Vec::new();
    for folder in ["src", "tests", "benches", "examples", "fuzz/fuzz_targets"] {
        for file in files(&root().join(folder), &["rs", "js"]) {
            let source = std::fs::read_to_string(&file).expect("a source can be read");
            text.extend(comments(&source).into_iter().map(|(line, comment)| (file.clone(), line, comment)));
        }
    }
    demand_plain_words(&text);
}

#[test]
fn documentation_uses_plain_words() {
    let mut text = Vec::new();
    let mut pages = files(&root().join("docs"), &["md"]);
    pages.extend(files(&root().join("deploy"), &["md"]));
    pages.extend(files(&root().join("config"), &["toml"]));
    pages.extend(["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"].map(|name| root().join(name)));
    for file in pages {
        let page = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        text.extend((1..).zip(page.lines()).map(|(line, content)| (file.clone(), line, content.to_owned())));
    }
    demand_plain_words(&text);
}

#[test]
fn test_names_are_short() {
    let mut long = String::new();
    for folder in ["src", "tests"] {
        for file in files(&root().join(folder), &["rs"]) {
            let source = std::fs::read_to_string(&file).expect("a source can be read");
            for name in test_names(&source).into_iter().filter(|name| name.split('_').count() > MOST_WORDS) {
                let _ = writeln!(long, "{}: {name}", file.display());
            }
        }
    }
    assert!(long.is_empty(), "names of more than {MOST_WORDS} words:\n{long}");
}

#[test]
fn phrases_are_found_in_sentences() {
    let found = |text| phrases(text).join(", ");
    assert_eq!(found("Tells whoever asks; nobody else is told anew."), "tells, whoever, nobody, told, anew");
    assert_eq!(found("Returns the digest. Of the rest nothing. Who knows"), "of …, who …");
    assert_eq!(found("What does it do? It lets go of `nobody`, \"told\" and `is here`."), "lets go");
    assert_eq!(found("The first is none of ours. `None` if there is none."), "is none");
    assert_eq!(found("Retells a letter: the wishbone is hereby untold"), "");
    let source = "let a = \"// tell\"; // is here\n/// Who\nfn f() {}\n#[test]\nfn a_b() {}\n";
    assert_eq!(comments(source), [(1, "is here".to_owned()), (2, "Who".to_owned())]);
    assert_eq!(test_names("#[tokio::test]\n#[ignore]\nasync fn a_b_c() {}\nfn no() {}"), ["a_b_c"]);
}

/// Fails where the text has more phrases than it may, and shows them.
fn demand_plain_words(text: &[(PathBuf, usize, String)]) {
    let mut found = Vec::new();
    let mut shown = String::new();
    for (file, line, content) in text {
        for phrase in phrases(content) {
            let _ = writeln!(shown, "{}:{line}: {phrase}: {}", file.display(), content.trim());
            found.push(phrase);
        }
    }
    let most = text.len() * MOST_PER_THOUSAND / 1000;
    assert!(found.len() <= most, "{} phrases in {} lines, at most {most} may stay:\n{shown}", found.len(), text.len());
}

/// The phrases in a line, in order. Text in backquotes or double quotes does not count: it is code, or quoted.
fn phrases(line: &str) -> Vec<String> {
    let plain: String = ['`', '"'].iter().fold(line.to_owned(), |text, quote| {
        let pieces: Vec<&str> = text.split(*quote).collect();
        // Every second piece is quoted; a quotation that does not end in this line counts.
        let quoted = |index: usize| index % 2 == 1 && index + 1 < pieces.len();
        pieces.iter().enumerate().map(|(index, piece)| if quoted(index) { " _ " } else { piece }).collect()
    });
    let mut found = Vec::new();
    for sentence in plain.split_inclusive(['.', '?', ':', ';', '!']) {
        let lower = sentence.to_lowercase();
        let words: Vec<&str> =
            lower.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|w| !w.is_empty()).collect();
        let starts = sentence.trim_start().starts_with(char::is_uppercase) && !sentence.ends_with('?');
        if let Some(head) = words.first().filter(|first| starts && HEADS.contains(first)) {
            found.push(format!("{head} …"));
        }
        for at in 0..words.len() {
            let here = |phrase: &&str| {
                let mut wanted = phrase.split(' ');
                words[at..].iter().zip(wanted.by_ref()).all(|(word, part)| *word == part) && wanted.next().is_none()
            };
            // "If there is none" is plain English.
            let after_there = at > 0 && words[at - 1] == "there";
            let counts = |phrase: &&&str| here(phrase) && !(after_there && phrase.ends_with("none"));
            found.extend(PHRASES.iter().filter(counts).map(|phrase| (*phrase).to_owned()));
        }
    }
    found
}

/// The comments of a source, each line with its number.
fn comments(source: &str) -> Vec<(usize, String)> {
    let comment = |line: &str| {
        let mut from = 0;
        // The first `//` outside of a text.
        while let Some(at) = line[from..].find("//").map(|at| from + at) {
            if line[..at].matches('"').count().is_multiple_of(2) && !line[..at].ends_with(':') {
                return Some(line[at..].trim_start_matches(['/', '!']).trim().to_owned());
            }
            from = at + 2;
        }
        None
    };
    (1..).zip(source.lines()).filter_map(|(number, line)| Some((number, comment(line)?))).collect()
}

/// The names of a source's tests.
fn test_names(source: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut is_test = false;
    for line in source.lines().map(str::trim) {
        is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
        if let Some((_, rest)) = line.split_once("fn ").filter(|_| is_test && !line.starts_with("//")) {
            names.extend(rest.split(['(', '<']).next());
            is_test = false;
        }
    }
    names
}

/// The files below a folder whose names end so, but for those that tools keep there.
fn files(folder: &Path, endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.expect("a folder can be listed").path();
        // Packages of the dashboard's tests are not ours.
        if path.file_name().is_some_and(|name| name == "node_modules") {
            continue;
        }
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != ".cache") {
                found.extend(files(&path, endings));
            }
        } else if path.extension().is_some_and(|ending| endings.iter().any(|wanted| ending == *wanted)) {
            found.push(path);
        }
    }
    found.sort();
    found
}
