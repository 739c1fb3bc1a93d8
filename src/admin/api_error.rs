//! Error responses as problem details (RFC 9457). It knows no routes.

use axum::response::{IntoResponse, Response};
use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};

use crate::api::Problem;
use crate::transport::{RequestId, X_REQUEST_ID};

/// Why a request is not answered; becomes a [`Problem`].
#[derive(Debug)]
pub(super) struct ApiError {
    pub(super) status: StatusCode,
    pub(super) detail: String,
    errors: Vec<String>,
    /// Fields that the answer carries.
    fields: Vec<(HeaderName, HeaderValue)>,
}

impl ApiError {
    /// One with this status.
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), errors: Vec::new(), fields: Vec::new() }
    }

    /// The same, with each of the things that are wrong.
    pub(super) fn with_errors(self, errors: Vec<String>) -> Self {
        Self { errors, ..self }
    }

    /// The same, with one more field in the answer's head.
    pub(super) fn with_field(mut self, name: HeaderName, value: impl Into<HeaderValue>) -> Self {
        self.fields.push((name, value.into()));
        self
    }
}

impl IntoResponse for ApiError {
    /// The answer, with the problem among its extensions for who logs it.
    fn into_response(self) -> Response {
        let Self { status, detail, errors, fields } = self;
        let id = RequestId::new();
        let problem = Problem {
            kind: "about:blank".to_owned(),
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            detail,
            instance: format!("urn:request:{id}"),
            errors,
        };
        // A struct of texts and one number.
        let text = serde_json::to_string(&problem).unwrap_or_default();
        let mut response = (status, text).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(Problem::MEDIA_TYPE));
        if let Ok(id) = HeaderValue::try_from(id.to_string()) {
            headers.insert(X_REQUEST_ID, id);
        }
        headers.extend(fields);
        response.extensions_mut().insert(problem);
        response
    }
}
