//! Paths of values in the configuration: `cache.dir`, `asset[3].sha256`, `tftp.files."snponly.efi"`.

use std::fmt;

/// The path from the root of the configuration to one value.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct KeyPath(Vec<Step>);

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Step {
    Key(String),
    Index(usize),
}

impl KeyPath {
    /// The path of the whole configuration.
    pub fn root() -> Self {
        Self::default()
    }

    /// The path of these keys, each below the one before.
    pub fn of<K: Into<String>>(keys: impl IntoIterator<Item = K>) -> Self {
        Self(keys.into_iter().map(|key| Step::Key(key.into())).collect())
    }

    /// The path of `key` in the table at this path.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        let mut below = self.clone();
        below.0.push(Step::Key(key.to_owned()));
        below
    }

    /// The path of element `index`, counted from 0, of the list at this path.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        let mut below = self.clone();
        below.0.push(Step::Index(index));
        below
    }

    /// The enclosing table or list; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        let (_, above) = self.0.split_last()?;
        Some(Self(above.to_vec()))
    }

    /// The keys along the path, without list indices.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|step| match step {
            Step::Key(key) => Some(key.as_str()),
            Step::Index(_) => None,
        })
    }

    /// Whether it is the path of the whole configuration.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }
}

/// `key` as TOML writes it: quoted unless it is a bare key (TOML 1.0, "Keys").
pub(super) fn toml_key(key: &str) -> String {
    let bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    if bare { key.to_owned() } else { format!("{key:?}") }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if position == 0 => f.write_str(&toml_key(key))?,
                Step::Key(key) => write!(f, ".{}", toml_key(key))?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_written_as_people_would() {
        let path = KeyPath::of(["asset"]).index(3).key("sha256");
        assert_eq!(path.to_string(), "asset[3].sha256");
        assert_eq!(KeyPath::of(["tftp", "files", "a b.efi"]).to_string(), "tftp.files.\"a b.efi\"");
        assert_eq!(path.parent().and_then(|p| p.parent()), Some(KeyPath::of(["asset"])));
        assert_eq!(path.keys().collect::<Vec<_>>(), ["asset", "sha256"]);
    }
}
