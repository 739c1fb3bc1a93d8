//! Why a release cannot be activated.

/// Why a release cannot be activated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ActivateError {
    /// There is no release of this name.
    #[error("there is no release {name:?}; {}", list(.known))]
    Unknown {
        /// The name.
        name: String,
        /// The names of all releases.
        known: Vec<String>,
    },
}

fn list(known: &[String]) -> String {
    if known.is_empty() { "the configuration has none".to_owned() } else { format!("there are {}", known.join(", ")) }
}
