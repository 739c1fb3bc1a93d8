//! Extractors for handlers: body, query and path. A request that they cannot parse gets a problem document.

use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use http::request::Parts;
use hyper::StatusCode;
use serde::de::DeserializeOwned;

use super::api_error::ApiError;

/// The request body, parsed as JSON.
pub(super) struct Content<T>(pub(super) T);

/// The fields of the query.
pub(super) struct Query<T>(pub(super) T);

/// A path segment, percent-decoded and parsed: a name or a number.
pub(super) struct Name<T = String>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Content<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        match axum::Json::from_request(request, state).await {
            Ok(axum::Json(content)) => Ok(Self(content)),
            Err(refusal) => Err(ApiError::new(refusal.status(), refusal.body_text())),
        }
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match axum::extract::Query::from_request_parts(parts, state).await {
            Ok(axum::extract::Query(fields)) => Ok(Self(fields)),
            Err(refusal) => Err(ApiError::new(refusal.status(), refusal.body_text())),
        }
    }
}

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Name<T> {
    type Rejection = ApiError;

    /// A segment that cannot be parsed cannot name an existing resource: 404.
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(name)) => Ok(Self(name)),
            Err(refusal) => Err(ApiError::new(StatusCode::NOT_FOUND, refusal.body_text())),
        }
    }
}
