//! The running server: wires the rooms together, starts them in the right order, and stops them.

mod addresses;
mod catalog;
pub mod check;
mod error;
mod reload;
mod server;
pub mod service;

pub use addresses::Addresses;
pub use catalog::{CatalogCheck, CatalogError, LoadError, Loaded, complete_lenient, fetch, load, load_strict};
pub use error::AppError;
pub use reload::Reloader;
pub use server::App;
