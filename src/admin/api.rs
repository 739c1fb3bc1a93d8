//! The API: its routes, and the `OpenAPI` document that describes them. Each file below has the handlers of one resource.

mod assets;
mod collections;
mod events;
mod hosts;
mod jobs;
mod refusals;
mod releases;
mod reload;
mod status;
mod traffic;

use axum::Router;
use hyper::{Method, Uri};
use utoipa::OpenApi;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::refusals::Refusals;
use super::machines::Machines;
use super::state::AdminState;

/// The `OpenAPI` document without its paths.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "bootdepot",
        description = "The admin API of a bootdepot server: what is in its cache, which machines boot from it, and how \
            operators act on both. Every refusal is a problem document (RFC 9457). Without token files in its settings the \
            server asks for no token and answers only the machine that it runs on.",
    ),
    modifiers(&Schemes, &Refusals),
    tags(
        (name = "assets", description = "What may be served, and what of it is in the cache"),
        (name = "jobs", description = "Long work that operators order"),
        (name = "traffic", description = "What comes into the cache and goes out of it"),
        (name = "hosts", description = "Machines and their boots"),
        (name = "releases", description = "Assets that go live together"),
        (name = "server", description = "The server as a whole"),
    )
)]
struct Document;

/// The security schemes: the two kinds of tokens.
struct Schemes;

impl utoipa::Modify for Schemes {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        for (name, description) in [
            ("viewer", "A token of admin.viewer_token_file: may look."),
            ("operator", "A token of admin.operator_token_file: may look and change."),
        ] {
            let mut scheme = Http::new(HttpAuthScheme::Bearer);
            scheme.description = Some(description.to_owned());
            components.add_security_scheme(name, SecurityScheme::Http(scheme));
        }
    }
}

/// The prefix of all paths of the API.
pub(super) const PREFIX: &str = "/api/v1";

/// The actions on an asset: the last segment of a path.
const ACTIONS: [&str; 6] = ["preload", "verify", "pin", "unpin", "evict", "accept"];

/// Returns all routes of the API, with their documentation.
pub(super) fn routes() -> OpenApiRouter<AdminState> {
    let nested = OpenApiRouter::new()
        .routes(routes!(status::status))
        .routes(routes!(events::follow))
        .routes(routes!(assets::list))
        .routes(routes!(assets::one))
        .routes(routes!(assets::preload))
        .routes(routes!(assets::verify))
        .routes(routes!(assets::pin))
        .routes(routes!(assets::unpin))
        .routes(routes!(assets::evict))
        .routes(routes!(assets::accept))
        .routes(routes!(collections::list))
        .routes(routes!(collections::directory))
        .routes(routes!(jobs::preload))
        .routes(routes!(jobs::scrub))
        .routes(routes!(jobs::check))
        .routes(routes!(jobs::list))
        .routes(routes!(jobs::one, jobs::cancel))
        .routes(routes!(traffic::fills))
        .routes(routes!(traffic::transfers))
        .routes(routes!(hosts::list))
        .routes(routes!(hosts::one, hosts::forget))
        .routes(routes!(releases::list))
        .routes(routes!(releases::activate))
        .routes(routes!(reload::reload));
    OpenApiRouter::with_openapi(Document::openapi()).nest(PREFIX, nested)
}

/// Returns the routes of machines alone.
pub(super) fn machine_routes() -> Router<Machines> {
    let nested = OpenApiRouter::new().routes(routes!(hosts::list)).routes(routes!(hosts::one));
    OpenApiRouter::new().nest(PREFIX, nested).into()
}

/// Returns the `OpenAPI` document.
#[cfg(test)]
pub(super) fn document() -> utoipa::openapi::OpenApi {
    routes().into_openapi()
}

/// Percent-encodes the slashes of the asset name in a request target, because asset names contain slashes but the routes expect
/// a name as one segment. Except in a GET, the last segment is an action if it is one of [`ACTIONS`] or the request is a POST.
/// Returns `None` if there is nothing to encode.
pub(super) fn encode_asset_name(method: &Method, uri: &Uri) -> Option<Uri> {
    let rest = uri.path().strip_prefix(PREFIX)?.strip_prefix("/assets/")?;
    let (name, action) = match rest.rsplit_once('/') {
        Some((name, action)) if takes_action(method, action) => (name, format!("/{action}")),
        _ => (rest, String::new()),
    };
    if !name.contains('/') {
        return None;
    }
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    format!("{PREFIX}/assets/{}{action}{query}", name.replace('/', "%2F")).parse().ok()
}

fn takes_action(method: &Method, last: &str) -> bool {
    match *method {
        Method::GET | Method::HEAD => false,
        Method::POST => true,
        _ => ACTIONS.contains(&last),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asset_name_slashes_are_encoded_except_action() {
        for (method, target, whole) in [
            ("GET", "/api/v1/assets/okd/4.19/kernel", Some("/api/v1/assets/okd%2F4.19%2Fkernel")),
            ("GET", "/api/v1/assets/okd/pin?x=/", Some("/api/v1/assets/okd%2Fpin?x=/")),
            ("POST", "/api/v1/assets/okd/4.19/kernel/pin", Some("/api/v1/assets/okd%2F4.19%2Fkernel/pin")),
            ("POST", "/api/v1/assets/okd/pin/pin", Some("/api/v1/assets/okd%2Fpin/pin")),
            ("OPTIONS", "/api/v1/assets/okd/kernel/pin", Some("/api/v1/assets/okd%2Fkernel/pin")),
            ("DELETE", "/api/v1/assets/okd/kernel", Some("/api/v1/assets/okd%2Fkernel")),
            ("PUT", "/api/v1/assets/kernel/pin", None),
            ("POST", "/api/v1/assets/okd%2Fkernel/pin", None),
            ("GET", "/api/v1/assets/kernel", None),
            ("GET", "/api/v1/assets", None),
            ("GET", "/api/v1/hosts/a/b", None),
            ("GET", "/assets/a/b", None),
        ] {
            let found = encode_asset_name(&method.parse().unwrap(), &target.parse().unwrap());
            assert_eq!(found.map(|uri| uri.to_string()).as_deref(), whole, "{method} {target}");
        }
    }
}
