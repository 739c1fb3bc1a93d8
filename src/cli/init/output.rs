//! The files that are written. Existing ones are kept unless they may be replaced.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::cli::usage_error::UsageError;
use crate::durable_file::{DurableFile, read_regular};
use crate::secret::Secret;

/// The mode of the file with a secret.
const SECRET_MODE: u32 = 0o600;
/// The mode of the others, which hold no secrets.
const SETTINGS_MODE: u32 = 0o644;

/// The catalog file at first.
const ASSETS: &str = "# Assets and releases. bootdepot publish --catalog and bootdepot mirror add entries.\n";

/// The files to write.
pub(super) struct Output<'o> {
    pub(super) settings: &'o Path,
    pub(super) text: &'o str,
    pub(super) secret: Option<(&'o Path, &'o Secret)>,
    /// A catalog file. An existing one is kept.
    pub(super) assets: Option<&'o Path>,
}

impl Output<'_> {
    /// The files that would be written.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let secret = self.secret.map(|(path, _)| path);
        let assets = self.assets.filter(|path| !path.exists());
        [secret, assets, Some(self.settings)].into_iter().flatten().map(Path::to_owned).collect()
    }

    /// Fails if a file that would be replaced exists.
    pub(super) fn refuse_existing(&self) -> anyhow::Result<()> {
        refuse_existing(self.settings)?;
        if let Some((path, secret)) = self.secret
            && !holds(path, secret)
        {
            refuse_existing(path)?;
        }
        Ok(())
    }

    /// Writes the files, the settings last, and returns their paths. Blocks.
    pub(super) fn write(&self) -> anyhow::Result<Vec<PathBuf>> {
        let mut written = Vec::new();
        let mut put = |path: &Path, bytes: &[u8], mode: u32| {
            let directory = path.parent().unwrap_or(Path::new("/"));
            fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
            let file = DurableFile::new(path).with_mode(mode);
            file.replace(bytes).with_context(|| format!("cannot write {}", path.display()))?;
            written.push(path.to_owned());
            Ok::<_, anyhow::Error>(())
        };
        if let Some((path, secret)) = self.secret {
            anyhow::ensure!(path != self.settings, "the secret needs a file of its own; give another --secret-file");
            put(path, (secret.reveal_local()? + "\n").as_bytes(), SECRET_MODE)?;
        }
        if let Some(path) = self.assets.filter(|path| !path.exists()) {
            put(path, ASSETS.as_bytes(), SETTINGS_MODE)?;
        }
        put(self.settings, self.text.as_bytes(), SETTINGS_MODE)?;
        Ok(written)
    }
}

/// Fails if there is a file at `path`, also a link that leads nowhere.
pub(super) fn refuse_existing(path: &Path) -> anyhow::Result<()> {
    if fs::symlink_metadata(path).is_err() {
        return Ok(());
    }
    let reason =
        format!("{} exists; add --force to replace it, or name another file (--config, --secret-file)", path.display());
    Err(UsageError::new(reason).into())
}

/// Whether a file has this secret and nothing else.
fn holds(path: &Path, secret: &Secret) -> bool {
    let text = read_regular(path).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    text.is_some_and(|text| secret.reveal_local().is_ok_and(|secret| secret == text.trim()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn secret_file_is_private_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let (settings, key, assets) = (at("etc/b.toml"), at("etc/key"), at("etc/catalog.d/assets.toml"));
        let secret = Secret::new("hunter2");
        let output =
            Output { settings: &settings, text: "x = 1\n", secret: Some((&key, &secret)), assets: Some(&assets) };
        output.refuse_existing().unwrap();
        assert_eq!(output.write().unwrap(), [key.clone(), assets.clone(), settings.clone()]);
        assert_eq!(fs::read_to_string(&key).unwrap(), "hunter2\n");
        assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(&settings).unwrap().permissions().mode() & 0o777, 0o644);

        let error = output.refuse_existing().unwrap_err();
        assert!(error.is::<UsageError>() && error.to_string().contains("b.toml exists; add --force"), "{error}");
        fs::remove_file(&settings).unwrap();
        output.refuse_existing().unwrap();
        let other = Secret::new("hunter3");
        let other = Output { secret: Some((&key, &other)), ..output };
        assert!(other.refuse_existing().unwrap_err().to_string().contains("key exists"));

        fs::write(&assets, "# Mine.\n").unwrap();
        assert_eq!(other.write().unwrap(), [key, settings]);
        assert_eq!(fs::read_to_string(&assets).unwrap(), "# Mine.\n");
    }
}
