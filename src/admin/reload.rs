//! Loading settings and catalog again, as far as the API is concerned: who does it is handed in. It knows no files.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::api::{CatalogView, ReloadView};

/// How to load settings and catalog again, and how they stand.
#[derive(Clone)]
pub struct Reloading {
    /// Loads them again. A failure changes nothing.
    pub reload: Arc<dyn Fn() -> BoxFuture<'static, Result<ReloadView, ReloadFailure>> + Send + Sync>,
    /// How they stand. Asked often: from memory alone.
    pub standing: Arc<dyn Fn() -> CatalogView + Send + Sync>,
}

impl Reloading {
    /// A catalog that stays as it is for as long as the server runs.
    pub fn never(standing: CatalogView) -> Self {
        let errors = vec!["this server takes new settings when it starts again".to_owned()];
        Self {
            reload: Arc::new(move || {
                let failure = ReloadFailure { errors: errors.clone() };
                Box::pin(std::future::ready(Err(failure)))
            }),
            standing: Arc::new(move || standing.clone()),
        }
    }
}

/// Why settings and catalog stay as they were.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .errors.join("\n"))]
pub struct ReloadFailure {
    /// What is wrong, a sentence each, with its place.
    pub errors: Vec<String>,
}
