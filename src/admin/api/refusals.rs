//! Errors that every request to the API may get, for the `OpenAPI` document.

use std::collections::BTreeMap;

use utoipa::openapi::{ContentBuilder, OpenApi, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{IntoResponses, Modify, PartialSchema as _, ToSchema as _};

use crate::api::Problem;

/// Refusals that come before a request is looked at: status, name and meaning of each.
const ALWAYS: [(&str, &str, &str); 8] = [
    ("400", "Malformed", "The request cannot be read."),
    ("401", "Unauthorised", "There is no token, or none that is good."),
    ("403", "Forbidden", "The token, the place or the page that the request comes from does not allow it."),
    ("405", "OtherMethod", "The path does not take the method; `Allow` says which it takes."),
    ("408", "Slow", "The request's content did not come in time."),
    ("413", "Large", "The request's content has more than 64 KiB."),
    ("429", "TooMany", "Too many requests; `Retry-After` says when to come back."),
    (
        "503",
        "Busy",
        "It takes too long, too much is under way, or the server stops; `Retry-After` says when to come back.",
    ),
];

/// Those, as the document refers to them.
pub(super) struct Refusals;

impl IntoResponses for Refusals {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let refer = |(status, name, _): (&str, &str, &str)| (status.to_owned(), Ref::from_response_name(name).into());
        ALWAYS.into_iter().map(refer).collect()
    }
}

/// The refusal of a name that the catalog does not have.
pub(super) struct NoAsset;

impl IntoResponses for NoAsset {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        not_found("There is no such asset")
    }
}

/// The refusal of a number that no job has.
pub(super) struct NoJob;

impl IntoResponses for NoJob {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        not_found("There is no such job, or it has been forgotten")
    }
}

fn not_found(meaning: &str) -> BTreeMap<String, RefOr<Response>> {
    BTreeMap::from([("404".to_owned(), problem(meaning).into())])
}

/// A response with a [`Problem`].
fn problem(meaning: &str) -> Response {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(Problem::name())));
    ResponseBuilder::new().description(meaning).content(Problem::MEDIA_TYPE, content.build()).build()
}

impl Modify for Refusals {
    /// Says what they are, once.
    fn modify(&self, document: &mut OpenApi) {
        let components = document.components.get_or_insert_default();
        components.schemas.insert(Problem::name().into_owned(), Problem::schema());
        for (_, name, meaning) in ALWAYS {
            components.responses.insert(name.to_owned(), problem(meaning).into());
        }
    }
}
