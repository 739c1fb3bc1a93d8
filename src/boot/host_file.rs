//! Files that are rendered for one host: Ignition, kickstart, preseed, cloud-init. Only the templates of these files have
//! access to secrets.

use std::collections::BTreeMap;
use std::sync::Arc;

use minijinja::{Value, context};

use super::document::{self, DocumentError, Format};
use super::host::Host;
use super::links::{Links, Resolve, TokenIssuer};
use super::not_live::NotLive;
use super::request_context::RequestContext;
use super::template::{TemplateError, Templates};
use crate::catalog;
use crate::secret::Secret;

/// Why a file cannot be rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum RenderError {
    /// The host has no such file.
    #[error("the host has no file of this name")]
    Missing,
    /// Its template fails.
    #[error("{0}")]
    Template(TemplateError),
    /// A reference in it resolves to no live asset.
    #[error(transparent)]
    NotLive(NotLive),
    /// A value cannot stand in its place, or the result is not valid.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// It fails with the values of the secrets, and not with others. The reason may hold them.
    #[error("the template {0} fails with the values of the secrets; the reason is not shown, because it may hold them")]
    Secret(String),
}

impl RenderError {
    /// Whether it is about the template alone, and cannot hold a value.
    fn has_no_values(&self) -> bool {
        match self {
            Self::Missing | Self::Secret(_) | Self::Document(DocumentError::Structure | DocumentError::Value(_)) => {
                true
            }
            Self::Template(_) | Self::NotLive(_) | Self::Document(DocumentError::Invalid { .. }) => false,
        }
    }
}

/// Returns the media type of a file by its name.
///
/// The files of cloud-init have no suffix and are text (cloud-init, `NoCloud` data source).
pub(super) fn content_type(name: &str) -> &'static str {
    let last = name.rsplit('/').next().unwrap_or(name);
    match last.rsplit_once('.').map(|(_, suffix)| suffix.to_ascii_lowercase()).as_deref() {
        Some("seed" | "preseed" | "yaml" | "yml" | "toml" | "sh" | "conf") => "text/plain; charset=utf-8",
        None if matches!(last, "user-data" | "meta-data" | "vendor-data" | "network-config") => {
            "text/plain; charset=utf-8"
        }
        _ => catalog::content_type(name),
    }
}

/// Renders the file `file` of `host` with these secrets. An error holds none of them: a message of the engine or of a parser may
/// quote a value, in any form, so a file that fails is rendered again with placeholders and fails with that message.
pub(super) fn render(
    templates: &Templates,
    host: &Arc<Host>,
    file: &str,
    request: &RequestContext,
    resolve: Resolve,
    tokens: TokenIssuer,
    secrets: &BTreeMap<String, String>,
) -> Result<String, RenderError> {
    let again = Arc::clone(&resolve);
    render_once(templates, host, file, request, resolve, tokens, secrets).map_err(|error| {
        if error.has_no_values() || secrets.is_empty() {
            return error;
        }
        let placeholders = host.placeholder_secrets();
        let template = host.files.get(file).map(|spec| spec.template.clone()).unwrap_or_default();
        match render_once(templates, host, file, request, again, TokenIssuer::Sample, &placeholders) {
            Ok(_) => RenderError::Secret(template),
            Err(error) => error,
        }
    })
}

fn render_once(
    templates: &Templates,
    host: &Arc<Host>,
    file: &str,
    request: &RequestContext,
    resolve: Resolve,
    tokens: TokenIssuer,
    secrets: &BTreeMap<String, String>,
) -> Result<String, RenderError> {
    let spec = host.files.get(file).ok_or(RenderError::Missing)?;
    let links = Links::new(request, Some(Arc::clone(host)), resolve, tokens);
    let functions = Value::from_pairs(links.functions());
    let context = context! {
        host => host.template_vars.clone(),
        profile => context! { name => host.profile.name.as_str() },
        secrets,
        base => Value::from_safe_string(links.base().to_owned()),
        ..functions
    };
    let rendered = templates.render(&spec.template, context);
    let pieces = rendered.map_err(|error| match links.not_live() {
        Some(not_live @ NotLive::Fetching { .. }) => RenderError::NotLive(not_live),
        _ => RenderError::Template(error),
    })?;
    Ok(document::join(Format::of(file, &spec.content_type, &pieces), &pieces)?)
}

/// Reads the secrets of a host from where they are stored. Fails with the first that cannot be read.
pub(super) async fn reveal(secrets: &BTreeMap<String, Secret>) -> Result<BTreeMap<String, String>, String> {
    let mut revealed = BTreeMap::new();
    for (name, secret) in secrets {
        let text = secret.reveal().await.map_err(|error| format!("the secret {name}: {error}"))?;
        revealed.insert(name.clone(), text);
    }
    Ok(revealed)
}
