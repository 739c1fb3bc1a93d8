//! Files that are made for one host: Ignition, kickstart, preseed, cloud-init. Templates of these, and of nothing else, see
//! secrets.

use std::collections::BTreeMap;
use std::sync::Arc;

use minijinja::{Value, context};

use super::host::Host;
use super::links::{Links, Mint, Resolve};
use super::roster::Roster;
use super::template::{Piece, TemplateError};
use super::{NotLive, Visit};
use crate::catalog;
use crate::secret::Secret;

/// Why a file cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum MakeError {
    /// The host has no such file.
    #[error("the host has no file of this name")]
    Missing,
    /// Its template fails.
    #[error("{0}")]
    Template(TemplateError),
    /// What it names is not live.
    #[error(transparent)]
    NotLive(NotLive),
    /// A value stands where none can.
    #[error("a list or a table stands within a text; write {{{{ value | json }}}} outside of quotes")]
    Structure,
    /// It is to be JSON and is not.
    #[error("this makes no JSON: {0}; values are escaped where they stand within quotes, and quoted elsewhere")]
    Json(String),
}

/// The media type of a host's file by its name.
///
/// cloud-init's files have no suffix and are text to whoever fetches them (cloud-init, `NoCloud` data source).
pub(super) fn content_type(name: &str) -> &'static str {
    let last = name.rsplit('/').next().unwrap_or(name);
    match last.rsplit_once('.').map(|(_, suffix)| suffix.to_ascii_lowercase()).as_deref() {
        Some("seed" | "preseed" | "yaml" | "yml" | "sh" | "conf") => "text/plain; charset=utf-8",
        None if matches!(last, "user-data" | "meta-data" | "vendor-data" | "network-config") => {
            "text/plain; charset=utf-8"
        }
        _ => catalog::content_type(name),
    }
}

/// The file `file` of `host`, with these secrets.
pub(super) fn render(
    roster: &Roster,
    host: &Arc<Host>,
    file: &str,
    visit: &Visit,
    resolve: Resolve,
    mint: Mint,
    secrets: &BTreeMap<String, String>,
) -> Result<String, MakeError> {
    let spec = host.files.get(file).ok_or(MakeError::Missing)?;
    let links = Links::new(visit, Some(Arc::clone(host)), resolve, mint);
    let functions = Value::from_pairs(links.functions());
    let context = context! {
        host => host.about.clone(),
        profile => context! { name => host.profile.name.as_str() },
        secrets,
        base => Value::from_safe_string(links.base().to_owned()),
        ..functions
    };
    let rendered = roster.templates().render(&spec.template, context);
    let pieces = rendered.map_err(|error| match links.missing() {
        Some(missing @ NotLive::Fetching { .. }) => MakeError::NotLive(missing),
        _ => MakeError::Template(error),
    })?;
    if is_json(&spec.content_type, file) { json(&pieces) } else { text(&pieces) }
}

fn is_json(content_type: &str, file: &str) -> bool {
    let suffix = file.rsplit_once('.').map(|(_, suffix)| suffix);
    matches!(suffix, Some("ign" | "json")) || content_type.starts_with("application/json")
}

/// Text in no language that is known here: values stand as they are, lists and tables as JSON, which YAML reads too.
fn text(pieces: &[Piece]) -> Result<String, MakeError> {
    let mut text = String::new();
    for piece in pieces {
        match piece {
            Piece::Data(json) if json == "null" => return Err(MakeError::Structure),
            Piece::Literal(piece) | Piece::Value(piece) | Piece::Data(piece) => text.push_str(piece),
        }
    }
    Ok(text)
}

/// JSON: a value within quotes is escaped, one outside of them is written out whole.
fn json(pieces: &[Piece]) -> Result<String, MakeError> {
    let mut json = String::new();
    let mut in_text = false;
    for piece in pieces {
        match piece {
            Piece::Literal(text) => {
                let mut characters = text.chars();
                while let Some(character) = characters.next() {
                    match character {
                        '"' => in_text = !in_text,
                        '\\' if in_text => drop(characters.next()),
                        _ => {}
                    }
                }
                json.push_str(text);
            }
            Piece::Value(value) => {
                let quoted = serde_json::to_string(value).map_err(|error| MakeError::Json(error.to_string()))?;
                json.push_str(if in_text { &quoted[1..quoted.len() - 1] } else { &quoted });
            }
            Piece::Data(data) if in_text && (data.starts_with(['[', '{']) || data == "null") => {
                return Err(MakeError::Structure);
            }
            Piece::Data(data) => json.push_str(data),
        }
    }
    match serde_json::from_str::<serde::de::IgnoredAny>(&json) {
        Ok(_) => Ok(json),
        Err(error) => Err(MakeError::Json(error.to_string())),
    }
}

/// The secrets of a host, asked for now.
pub(super) async fn reveal(secrets: &BTreeMap<String, Secret>) -> Result<BTreeMap<String, String>, String> {
    let mut revealed = BTreeMap::new();
    for (name, secret) in secrets {
        let text = secret.reveal().await.map_err(|error| format!("the secret {name}: {error}"))?;
        revealed.insert(name.clone(), text);
    }
    Ok(revealed)
}
