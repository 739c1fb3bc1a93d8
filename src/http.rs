//! The HTTP server. It knows nothing of TFTP, and nothing of where bytes come from but the depot.

mod settings;

pub use settings::{HttpSettings, TlsSettings};
