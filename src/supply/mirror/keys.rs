//! Reads the keys of a mirror from files.

use super::error::MirrorError;
use super::settings::KeySource;
use crate::proof::TrustedKeys;

/// Reads all keys. Blocks.
pub(super) fn load(sources: &[KeySource]) -> Result<TrustedKeys, MirrorError> {
    let mut keys = TrustedKeys::default();
    for source in sources {
        let (key, added) = match source {
            KeySource::File(path) => {
                let key = path.display().to_string();
                let bytes = std::fs::read(path).map_err(|error| MirrorError::KeyFile { path: key.clone(), error })?;
                (key, keys.add_file(&bytes))
            }
            KeySource::Minisign(text) => (text.clone(), keys.add_minisign(text)),
        };
        added.map_err(|error| MirrorError::Key { key, error })?;
    }
    Ok(keys)
}
