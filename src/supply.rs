//! Supply: how bytes get into a store. Reads what upstreams publish and proves it before it becomes visible.
//!
//! The room does not know the cache or the server's listeners.

pub mod proof;
pub mod recipes;
