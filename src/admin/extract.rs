//! What handlers take of a request, refused where it is not what they take.

use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use http::request::Parts;
use hyper::StatusCode;
use serde::de::DeserializeOwned;

use super::api_error::ApiError;

/// A request's content, as JSON.
pub(super) struct Content<T>(pub(super) T);

/// The fields of a request's query.
pub(super) struct Query<T>(pub(super) T);

/// The part of the path that is a name or a number, decoded.
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

    /// A text that cannot be a name or a number of the kind is that of nothing.
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(name)) => Ok(Self(name)),
            Err(refusal) => Err(ApiError::new(StatusCode::NOT_FOUND, refusal.body_text())),
        }
    }
}
