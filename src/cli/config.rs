//! `bootdepot config`: the effective settings, their JSON Schema, and what each key means.

mod markdown;

use std::fmt::Write as _;
use std::process::ExitCode;

use super::format::wrapped;
use super::print;
use super::usage_error::UsageError;
use crate::app;
use crate::config::{Config, Explanation, Flags, schema};

/// Show and explain the settings
#[derive(Debug, clap::Args)]
pub struct ConfigCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Print the effective settings, each with where it was set; secrets are left out
    Show {
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        flags: Flags,
    },
    /// Print the JSON Schema of the settings file
    Schema,
    /// Print the type, default and meaning of every key, or of those under KEY
    Explain {
        /// A key or a table, such as `cache.dir`, `cache` or `asset.sha256`
        key: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Print all keys as a page of documentation
        #[arg(long, conflicts_with_all = ["json", "key"])]
        markdown: bool,
    },
}

impl ConfigCommand {
    /// Runs it, printing to standard output; says on standard error what is wrong with the settings.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let printed = match self.action {
            Action::Show { json, flags } => show(&app::load_strict(&flags).await.map_err(UsageError::new)?, json)?,
            Action::Schema => format!("{:#}\n", schema()),
            Action::Explain { markdown: true, .. } => markdown::page(&Explanation::all())?,
            Action::Explain { key, json, .. } => explain(key.as_deref(), json).map_err(UsageError::new)?,
        };
        print(&printed)?;
        Ok(ExitCode::SUCCESS)
    }
}

fn show(config: &Config, json: bool) -> anyhow::Result<String> {
    let sections = config.show();
    if json {
        let settings: Vec<_> = sections.iter().flat_map(|section| &section.settings).collect();
        return Ok(serde_json::to_string_pretty(&settings)? + "\n");
    }
    let mut text = String::new();
    for warning in &config.warnings {
        writeln!(text, "# Warning: {warning}")?;
    }
    for section in sections {
        if !text.is_empty() {
            text.push('\n');
        }
        write!(text, "{section}")?;
    }
    Ok(text)
}

fn explain(key: Option<&str>, json: bool) -> anyhow::Result<String> {
    let all = Explanation::all();
    let chosen: Vec<_> = match key {
        None => all.iter().collect(),
        Some(key) => {
            let wanted = plain(key);
            all.iter().filter(|one| is_or_lies_in(&plain(&one.key), &wanted)).collect()
        }
    };
    if let (true, Some(key)) = (chosen.is_empty(), key) {
        let names: Vec<String> = all.iter().map(|one| plain(&one.key)).collect();
        let nearest = names.iter().max_by(|a, b| alike(key, a).total_cmp(&alike(key, b)));
        anyhow::bail!("there is no key {key}; the nearest is {}", nearest.map_or("none", String::as_str));
    }
    if json {
        return Ok(serde_json::to_string_pretty(&chosen)? + "\n");
    }
    // One key is explained in full, several with their first paragraph.
    let whole = key.is_some();
    let mut text = String::new();
    for one in chosen {
        if !text.is_empty() {
            text.push('\n');
        }
        explained(&mut text, one, whole)?;
    }
    Ok(text)
}

fn explained(text: &mut String, one: &Explanation, whole: bool) -> std::fmt::Result {
    if one.table {
        let name =
            if one.key.ends_with("[]") { format!("[[{}]]", plain(&one.key)) } else { format!("[{}]", plain(&one.key)) };
        writeln!(text, "{name}")?;
    } else {
        writeln!(text, "{}", one.key)?;
        writeln!(text, "    takes    {}", one.takes)?;
        match &one.default {
            Some(default) => writeln!(text, "    default  {default}")?,
            None if one.required => writeln!(text, "    must be set")?,
            None => writeln!(text, "    default  none")?,
        }
        if let (true, Some(variable)) = (whole, one.variable()) {
            writeln!(text, "    variable {variable}")?;
        }
    }
    for (position, paragraph) in one.meaning.split("\n\n").enumerate() {
        if position > 0 && !whole {
            break;
        }
        for line in wrapped(paragraph, 100) {
            writeln!(text, "    {line}")?;
        }
    }
    Ok(())
}

/// A key without the marks of lists, so that `asset.sha256`, `asset[].sha256` and `asset[3].sha256` are one.
fn plain(key: &str) -> String {
    let mut within = false;
    key.trim()
        .to_ascii_lowercase()
        .chars()
        .filter(|c| {
            within = (within && *c != ']') || *c == '[';
            !within && *c != ']'
        })
        .collect()
}

fn is_or_lies_in(key: &str, wanted: &str) -> bool {
    key.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn alike(a: &str, b: &str) -> f64 {
    // A name without its table is still a good hint.
    let last = b.rsplit('.').next().unwrap_or(b);
    strsim::jaro_winkler(a, b).max(strsim::jaro_winkler(a, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_key_is_explained_in_full() {
        insta::assert_snapshot!(explain(Some("fill.release"), false).unwrap(), @r#"
            fill.release
                takes    "hold-tail" or "whole"
                default  "hold-tail"
                variable BOOTDEPOT_FILL__RELEASE
                When clients receive bytes of a running fill.
                `hold-tail`: As they arrive, but the last piece of the requested bytes only when they are verified.
                `whole`: No byte before the whole asset is verified.
        "#);
        insta::assert_snapshot!(explain(Some("asset[3].sha256"), false).unwrap(), @r#"
            asset[].sha256
                takes    64 hexadecimal digits, as sha256sum prints them
                must be set
                SHA-256 of its bytes. Nothing else is ever served under the name.
        "#);
    }

    #[test]
    fn effective_settings_print_as_toml_and_json() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("b.toml");
        std::fs::write(&path, "include = [\"none/*.toml\"]\n[cache]\ndir = \"/c\"\n").unwrap();
        let config = Config::load(&Flags { config: Some(path.clone()), ..Flags::default() }, []).unwrap();

        let text = show(&config, false).unwrap();
        assert!(
            text.starts_with("# Warning: ")
                && text.contains("include: \"none/*.toml\" is in a directory that does not exist"),
            "{text}"
        );
        assert!(text.contains(&format!("\ndir = \"/c\"             # {}:3\n", path.display())), "{text}");

        let json: serde_json::Value = serde_json::from_str(&show(&config, true).unwrap()).unwrap();
        let find = |key: &str| json.as_array().unwrap().iter().find(|one| one["path"] == key).unwrap().clone();
        let place = serde_json::json!({ "from": "file", "file": path, "line": 3 });
        assert_eq!((&find("cache.dir")["value"], &find("cache.dir")["place"]), (&"/c".into(), &place));
        assert_eq!(find("tftp.retries")["place"], serde_json::json!({ "from": "default" }));
    }

    #[test]
    fn explanations_are_printed_as_json() {
        let json: serde_json::Value = serde_json::from_str(&explain(Some("cache.dir"), true).unwrap()).unwrap();
        assert_eq!(json[0]["key"], "cache.dir");
        assert_eq!(json[0]["default"], "\"/var/cache/bootdepot\"");
    }

    #[test]
    fn table_is_explained_with_its_keys() {
        let text = explain(Some("http.tls"), false).unwrap();
        assert!(text.starts_with("[http.tls]\n"), "{text}");
        for key in ["http.tls.listen", "http.tls.cert", "http.tls.key"] {
            assert!(text.contains(key), "{text}");
        }
        assert!(!text.contains("max_connections"), "{text}");
    }

    #[test]
    fn an_unknown_key_names_the_nearest() {
        let error = explain(Some("blksize"), false).unwrap_err();
        assert_eq!(error.to_string(), "there is no key blksize; the nearest is tftp.max_blksize");
    }

    #[test]
    fn every_key_has_a_meaning() {
        for one in Explanation::all() {
            assert!(!one.meaning.is_empty(), "{} has no meaning", one.key);
            assert!(!one.takes.is_empty(), "{} takes nothing", one.key);
        }
    }
}
