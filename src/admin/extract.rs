//! What handlers take of a request, refused where it is not what they take.

use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path};
use http::request::Parts;

use super::problem::Refusal;

/// The part of the path that is a name, decoded.
pub(super) struct Name(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let found: Result<Path<String>, PathRejection> = Path::from_request_parts(parts, state).await;
        match found {
            Ok(Path(name)) => Ok(Self(name)),
            Err(refusal) => Err(Refusal::new(refusal.status(), refusal.body_text())),
        }
    }
}
