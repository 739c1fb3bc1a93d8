//! The reference of the settings as a page: what `docs/settings.md` is.

use std::fmt::{self, Write as _};

use crate::config::Explanation;

/// The text above the keys. The schema supplies everything else.
const PREFACE: &str = "\
# Settings

<!-- Made by `bootdepot config explain --markdown`; change the doc comments in src/config/raw.rs instead. -->

One TOML file, named by `--config`; overridden by environment variables, overridden by flags. `bootdepot config show` prints what
the effective values and where each was set; `bootdepot config schema` prints a JSON Schema for editors. An unknown key is an error
that names the nearest known one, and all errors of a file are reported together.

A variable is `BOOTDEPOT_` and the key in capitals, with `__` for each dot: `BOOTDEPOT_CACHE__DIR`. Keys within lists of tables
have none. Sizes are `\"8 MiB\"`, `\"200 GB\"` or a number of bytes, durations `\"30s\"`, `\"5m\"`, `\"1h\"`, `\"7d\"`.
";

/// All keys: those of no table, and then a heading for each table, with its own keys under it.
pub(super) fn page(all: &[Explanation]) -> Result<String, fmt::Error> {
    let mut text = PREFACE.to_owned();
    keys(&mut text, all, None)?;
    for table in all.iter().filter(|one| one.table) {
        let name = name(&table.key);
        let heading = if table.key.ends_with("[]") { format!("[[{name}]]") } else { format!("[{name}]") };
        write!(text, "\n## `{heading}`\n\n")?;
        meaning(&mut text, &table.meaning)?;
        keys(&mut text, all, Some(table))?;
    }
    Ok(text)
}

/// The keys that lie in `table`, and in none within it.
fn keys(text: &mut String, all: &[Explanation], table: Option<&Explanation>) -> fmt::Result {
    for one in all.iter().filter(|one| !one.table) {
        let around = all.iter().filter(|table| table.table && lies_in(&one.key, &table.key));
        if around.max_by_key(|table| table.key.len()) == table {
            write!(text, "\n### `{}`\n\n", name(&one.key))?;
            takes(text, one)?;
            meaning(text, &one.meaning)?;
        }
    }
    Ok(())
}

/// A key without the marks of lists.
fn name(key: &str) -> String {
    key.replace("[]", "")
}

fn lies_in(key: &str, table: &str) -> bool {
    key.strip_prefix(table).is_some_and(|rest| rest.starts_with('.'))
}

fn takes(text: &mut String, one: &Explanation) -> fmt::Result {
    write!(text, "*Takes {}.", one.takes)?;
    match &one.default {
        Some(default) => write!(text, " Default: `{default}`.")?,
        None if one.required => write!(text, " Must be set.")?,
        None => {}
    }
    if let Some(variable) = one.variable() {
        write!(text, " Variable: `{variable}`.")?;
    }
    text.push_str("*\n\n");
    Ok(())
}

/// A paragraph each; those that explain one choice of several are a list.
fn meaning(text: &mut String, meaning: &str) -> fmt::Result {
    let mut listed = false;
    for (position, paragraph) in meaning.split("\n\n").enumerate() {
        let choice = paragraph.starts_with('`') && paragraph.split_once('`').is_some() && paragraph.contains("`: ");
        if position > 0 && !(listed && choice) {
            text.push('\n');
        }
        let mark = if choice { "- " } else { "" };
        writeln!(text, "{mark}{paragraph}")?;
        listed = choice;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_in_the_documentation_is_this_one() {
        let kept = include_str!("../../../docs/settings.md");
        let now = page(&Explanation::all()).unwrap();
        let line = now.lines().zip(kept.lines()).find(|(now, kept)| now != kept);
        assert!(
            now == kept,
            "docs/settings.md is stale, first at {line:?}; write it again:\n\
             cargo run -- config explain --markdown > docs/settings.md"
        );
    }

    #[test]
    fn tables_are_headings_and_choices_are_lists() {
        let text = page(&Explanation::all()).unwrap();
        for part in [
            "\n## `[http.tls]`\n\nAn additional listener with TLS.\n\n### `http.tls.listen`\n\n*Takes a list",
            "\n## `[[asset]]`\n",
            // Behind a table within it.
            "\n### `origin.ca_file`\n",
            "Variable: `BOOTDEPOT_CACHE__DIR`.*\n\nThe cache directory.",
            "of a running fill.\n\n- `hold-tail`: As they arrive",
            ".\n- `whole`: No byte",
        ] {
            assert!(text.contains(part), "{part:?} is not in:\n{text}");
        }
    }
}
