//! Reloads as the API sees them: the caller supplies the function that reloads. It knows no files.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::api::{CatalogView, ReloadView};

/// How to reload settings and catalog, and the current catalog.
#[derive(Clone)]
pub struct Reloading {
    /// Reloads them. A failure changes nothing.
    pub reload: Arc<dyn Fn() -> BoxFuture<'static, Result<ReloadView, ReloadFailure>> + Send + Sync>,
    /// The current catalog. Called often, so it must answer from memory.
    pub standing: Arc<dyn Fn() -> CatalogView + Send + Sync>,
}

impl Reloading {
    /// For a server that cannot reload.
    pub fn never(standing: CatalogView) -> Self {
        let errors = vec!["this server reads new settings only when it starts".to_owned()];
        Self {
            reload: Arc::new(move || {
                let failure = ReloadFailure { errors: errors.clone() };
                Box::pin(std::future::ready(Err(failure)))
            }),
            standing: Arc::new(move || standing.clone()),
        }
    }
}

/// Why a reload failed and nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .errors.join("\n"))]
pub struct ReloadFailure {
    /// The errors, a sentence each, with their places.
    pub errors: Vec<String>,
}
