//! The map of `src/lib.rs` holds: imports go one way, and `unsafe` stays where Cargo.toml says.

mod modules;

use std::path::{Path, PathBuf};

use self::modules::Modules;
use crate::support::program::root;

/// The rooms in the order in which they may be used: a room knows those of the rows above its own, and no sibling.
const ROWS: [&[&str]; 14] = [
    &[
        "address_share",
        "asset",
        "backoff",
        "clock",
        "environment",
        "error_chain",
        "fault_points",
        "memory",
        "rate_limit",
        "sockets",
        "span",
        "task",
        "units",
    ],
    &["durable_file", "proof", "trust", "watched_file"],
    &["secret", "transport"],
    &["catalog", "origin", "cache"],
    &["collection"],
    &["depot"],
    &["boot"],
    &["tftp", "http", "dhcp", "jobs", "supply"],
    &["api"],
    &["admin"],
    &["config", "telemetry"],
    &["app"],
    &["cli"],
    &["main"],
];

/// The modules that may hold `unsafe`, as the lints of Cargo.toml say.
const UNSAFE: [&str; 4] = ["src/cache/map", "src/memory/trim", "src/tftp/batch", "src/transport/send_queue"];

#[test]
fn imports_follow_room_order() {
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
fn unsafe_code_stays_in_its_modules() {
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        // The module's file, and those below it.
        if UNSAFE.iter().any(|allowed| file.with_extension("").ancestors().any(|path| path.ends_with(allowed))) {
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
fn source_files_form_no_circle() {
    let circles = Modules::read(&root().join("src/lib.rs")).circles();
    assert!(circles.is_empty(), "{} circles of files: {circles:#?}", circles.len());
}

#[test]
fn circles_are_found_through_reexports() {
    fn circles(files: &[(&str, &str)]) -> Vec<usize> {
        Modules::of(files).circles().iter().map(Vec::len).collect()
    }
    assert_eq!(circles(&[("", "mod a; mod b;"), ("a", "use crate::b::B;"), ("b", "pub struct B;")]), [0; 0]);
    assert_eq!(circles(&[("", "mod a; mod b;"), ("a", "use crate::b::B;"), ("b", "fn f() { crate::a::g() }")]), [2]);
    // a::x takes T from its parent, which takes it from a::y: no circle with the parent.
    let parent = "mod x; mod y; pub use self::x::X; pub use self::y::T;";
    assert_eq!(circles(&[("", "mod a;"), ("a", parent), ("a::x", "use super::T;"), ("a::y", "pub struct T;")]), [0; 0]);
    let parent = "mod x; pub use x::X; pub struct T;";
    assert_eq!(circles(&[("", "mod a;"), ("a", parent), ("a::x", "use super::T;")]), [2]);
    let test = "#[cfg(test)] mod tests { use crate::a::A; }";
    assert_eq!(circles(&[("", "mod a; mod b;"), ("a", "use crate::b::B;"), ("b", test)]), [0; 0]);
}

#[test]
fn import_reader_finds_every_form() {
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
    walk(&root().join("src"), &mut found);
    assert!(found.len() > 10, "only {} files were found", found.len());
    found
}

/// The room that a file belongs to: the first name below `src`.
fn room_of(file: &Path) -> String {
    let below = file.strip_prefix(root().join("src")).expect("it is below src");
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
