//! The map of `src/lib.rs` holds: imports go one way, and `unsafe` stays where Cargo.toml says.

use std::path::{Path, PathBuf};

/// The rooms in the order in which they may be used: a room knows those of the rows above its own, and no sibling.
const ROWS: [&[&str]; 11] = [
    &["asset", "error_chain", "sockets", "span", "threads", "trust"],
    &["secret", "transport"],
    &["catalog", "origin", "cache"],
    &["depot"],
    &["boot"],
    &["tftp", "http", "dhcp", "jobs"],
    &["admin"],
    &["config", "telemetry"],
    &["app"],
    &["cli"],
    &["main"],
];

/// The files that may hold `unsafe`, as the lints of Cargo.toml say.
const UNSAFE: [&str; 2] = ["src/cache/map.rs", "src/tftp/batch.rs"];

#[test]
fn no_room_imports_a_room_that_is_built_on_it() {
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        let room = room_of(&file);
        if room == "lib" {
            continue;
        }
        let row = row_of(&room).unwrap_or_else(|| panic!("{} is in no room of the map", file.display()));
        for (number, line) in code(&text) {
            for used in rooms_named_in(line) {
                if used != room && row_of(&used).is_none_or(|other| other >= row) {
                    wrong.push(format!("{}:{number}: {room} knows {used}", file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "imports against the map of src/lib.rs:\n{}", wrong.join("\n"));
}

#[test]
fn unsafe_code_stays_in_its_two_files() {
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        if UNSAFE.iter().any(|allowed| file.ends_with(allowed)) {
            continue;
        }
        for (number, line) in code(&text) {
            let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
            if words.any(|word| word == "unsafe" || word == "unsafe_code") {
                wrong.push(format!("{}:{number}: {}", file.display(), line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "unsafe code outside of {UNSAFE:?}:\n{}", wrong.join("\n"));
}

#[test]
fn the_reader_of_imports_sees_every_way_to_write_one() {
    let line = "use crate::asset::Digest; fn f(_: crate::depot::Depot) -> crate::{http, tftp::server} {}";
    assert_eq!(rooms_named_in(line), ["asset", "depot", "http", "tftp"]);
    assert_eq!(rooms_named_in("use crate::{asset::{ByteRange, Digest}, cache::Cache};"), ["asset", "cache"]);
    assert_eq!(rooms_named_in("use bootdepot::app; use super::Digest;"), ["app"]);
    assert!(rooms_named_in("info!(target: \"bootdepot::fill\")").is_empty());
}

/// Every Rust file below `src`, with its text.
fn sources() -> Vec<(PathBuf, String)> {
    fn walk(dir: &Path, found: &mut Vec<(PathBuf, String)>) {
        for entry in std::fs::read_dir(dir).expect("src can be listed") {
            let path = entry.expect("src can be listed").path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = std::fs::read_to_string(&path).expect("a source can be read");
                found.push((path, text));
            }
        }
    }
    let mut found = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    assert!(found.len() > 10, "only {} files were found", found.len());
    found
}

/// The room that a file belongs to: the first name below `src`.
fn room_of(file: &Path) -> String {
    let below = file.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).expect("it is below src");
    let first = below.components().next().expect("it has a name").as_os_str().to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

fn row_of(room: &str) -> Option<usize> {
    ROWS.iter().position(|row| row.contains(&room))
}

/// The lines that are no comments, with their numbers. A `use` of several lines is one line, at its first.
fn code(text: &str) -> Vec<(usize, &str)> {
    let mut lines = Vec::new();
    let mut offset = 0;
    let mut number = 1;
    while offset < text.len() {
        let rest = &text[offset..];
        let line = rest.lines().next().unwrap_or_default();
        let is_use = line.trim_start().trim_start_matches("pub ").starts_with("use ");
        let end = if is_use { rest.find(';').unwrap_or(line.len()).max(line.len()) } else { line.len() };
        let piece = &rest[..end];
        if !line.trim_start().starts_with("//") {
            lines.push((number, piece));
        }
        number += piece.matches('\n').count() + 1;
        offset += end + 1;
    }
    lines
}

/// The rooms that a piece of code names: `crate::ROOM`, `bootdepot::ROOM`, or in a `crate::{…}` group.
fn rooms_named_in(code: &str) -> Vec<String> {
    let mut rooms = Vec::new();
    for start in ["crate::", "bootdepot::"] {
        for (at, _) in code.match_indices(start) {
            let rest = &code[at + start.len()..];
            match rest.strip_prefix('{') {
                // Within a text, such as the target of a log line.
                _ if code[..at].matches('"').count() % 2 == 1 => {}
                Some(group) => rooms.extend(items(group)),
                None => rooms.push(identifier(rest)),
            }
        }
    }
    rooms.retain(|room| !room.is_empty());
    rooms
}

/// The name that each item of a group begins with, up to the group's end.
fn items(group: &str) -> Vec<String> {
    let (mut items, mut depth) = (vec![String::new()], 0);
    for character in group.chars() {
        match character {
            '}' if depth == 0 => break,
            ',' if depth == 0 => items.push(String::new()),
            '{' => depth += 1,
            '}' => depth -= 1,
            other => items.last_mut().expect("there is a first").push(other),
        }
    }
    items.iter().map(|item| identifier(item.trim())).collect()
}

fn identifier(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}
