//! The setting that decides whether blobs are sealed.

/// Whether blobs are sealed with fs-verity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum SealPolicy {
    /// If the file system can.
    Auto,
    /// No blob is sealed. Seals that exist are used.
    Off,
    /// All; a cache on a file system that cannot seal files is not opened.
    Require,
}

impl SealPolicy {
    /// Its name in the configuration.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}
