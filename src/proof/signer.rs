//! The maker of a signature, and the result of several signatures of the same bytes.

use std::fmt;

use super::error::SignatureError;

/// The key that made a good signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    /// The key's fingerprint or ID.
    pub key: String,
    /// The owner's name in the key, which the key itself states.
    pub name: Option<String>,
}

impl fmt::Display for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name} ({})", self.key),
            None => f.write_str(&self.key),
        }
    }
}

/// The first good result, else the first reason that is not just an unknown key.
pub(super) fn best(results: impl Iterator<Item = Result<Signer, SignatureError>>) -> Result<Signer, SignatureError> {
    let mut worst: Option<SignatureError> = None;
    for result in results {
        match result {
            Ok(signer) => return Ok(signer),
            Err(error) => {
                let is_better = matches!(worst, None | Some(SignatureError::UnknownKey { .. }));
                if is_better {
                    worst = Some(error);
                }
            }
        }
    }
    Err(worst.unwrap_or_else(|| SignatureError::Malformed { reason: "it is empty".to_owned() }))
}
