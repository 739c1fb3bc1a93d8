//! The files that are written. Existing ones are kept unless they may be replaced.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::cli::usage_error::UsageError;
use crate::durable_file::{DurableFile, read_regular};
use crate::secret::Secret;

/// The mode of the file with a secret.
const SECRET_MODE: u32 = 0o600;
/// The mode of the others, which hold no secrets.
const SETTINGS_MODE: u32 = 0o644;

/// The settings that packages install, which hold nothing of the operator.
const SAMPLE: &str = include_str!("../../../config/bootdepot.toml");
/// The catalog file at first.
pub(super) const ASSETS: &str =
    "# Assets and releases. bootdepot publish --catalog and bootdepot mirror add entries.\n";
/// The description of the directory of machines, as packages install it.
pub(super) const MACHINES: &str = include_str!("../../../config/machines.d/README");

/// The files to write.
pub(super) struct Output {
    pub(super) settings: PathBuf,
    pub(super) text: String,
    pub(super) secret: Option<(PathBuf, Secret)>,
    /// Files that are written only if they are missing, with their texts.
    pub(super) kept: Vec<(PathBuf, &'static str)>,
}

/// The files that were written.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) files: Vec<PathBuf>,
    /// The files that were replaced, under their new names.
    pub(super) old: Vec<PathBuf>,
}

impl Output {
    /// The files that would be written.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let secret = self.secret.iter().map(|(path, _)| path);
        let missing = self.missing().map(|(path, _)| path);
        secret.chain(missing).chain([&self.settings]).cloned().collect()
    }

    fn missing(&self) -> impl Iterator<Item = &(PathBuf, &'static str)> {
        self.kept.iter().filter(|(path, _)| !path.exists())
    }

    /// Fails if a file that would be replaced exists, and is not the sample that packages install.
    pub(super) fn refuse_existing(&self) -> anyhow::Result<()> {
        refuse_existing(&self.settings)?;
        if let Some((path, secret)) = &self.secret
            && !holds(path, secret)
        {
            refuse_existing(path)?;
        }
        Ok(())
    }

    /// Writes the files, the settings last. Files that it replaces are kept with `.old` appended to their names. Blocks.
    pub(super) fn write(&self) -> anyhow::Result<Written> {
        let mut written = Written::default();
        self.write_all(&mut written).map_err(|error| match written.files.as_slice() {
            [] => error.context("nothing was written"),
            files => {
                let files: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
                error.context(format!("only a part was written: {}", files.join(", ")))
            }
        })?;
        Ok(written)
    }

    fn write_all(&self, written: &mut Written) -> anyhow::Result<()> {
        if let Some((path, secret)) = &self.secret {
            anyhow::ensure!(*path != self.settings, "the secret needs a file of its own; give another --secret-file");
            written.put(path, (secret.reveal_local()? + "\n").as_bytes(), SECRET_MODE)?;
        }
        for (path, text) in self.missing() {
            written.put(path, text.as_bytes(), SETTINGS_MODE)?;
        }
        written.put(&self.settings, self.text.as_bytes(), SETTINGS_MODE)
    }
}

impl Written {
    /// Writes a file, and keeps the one that it replaces.
    fn put(&mut self, path: &Path, bytes: &[u8], mode: u32) -> anyhow::Result<()> {
        let directory = path.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
        let old = keep_old(path, bytes).with_context(|| format!("cannot keep the old {}", path.display()))?;
        self.old.extend(old);
        let file = DurableFile::new(path).with_mode(mode);
        file.replace(bytes).with_context(|| format!("cannot write {}", path.display()))?;
        self.files.push(path.to_owned());
        Ok(())
    }
}

/// Copies the file at `path`, which `bytes` replace, and returns the path of the copy. `None` if there is nothing to keep.
fn keep_old(path: &Path, bytes: &[u8]) -> io::Result<Option<PathBuf>> {
    let old = match fs::read(path) {
        Ok(old) => old,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if old == bytes || old == SAMPLE.as_bytes() {
        return Ok(None);
    }
    let mode = fs::metadata(path)?.permissions().mode() & 0o777;
    let mut copy = path.to_owned().into_os_string();
    copy.push(".old");
    let copy = PathBuf::from(copy);
    DurableFile::new(&copy).with_mode(mode).replace(&old)?;
    Ok(Some(copy))
}

/// Fails if there is a file at `path`, also a link that leads nowhere. The sample that packages install may be replaced.
pub(super) fn refuse_existing(path: &Path) -> anyhow::Result<()> {
    let is_sample = read_regular(path).is_ok_and(|bytes| bytes == SAMPLE.as_bytes());
    if is_sample || fs::symlink_metadata(path).is_err() {
        return Ok(());
    }
    let reason = format!(
        "{} exists; add --force to replace it and keep it as {0}.old, or name another file (--config, --secret-file)",
        path.display()
    );
    Err(UsageError::new(reason).into())
}

/// Whether a file has this secret and nothing else.
fn holds(path: &Path, secret: &Secret) -> bool {
    let text = read_regular(path).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    text.is_some_and(|text| secret.reveal_local().is_ok_and(|secret| secret == text.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn output(dir: &Path, secret: &str) -> Output {
        Output {
            settings: dir.join("etc/b.toml"),
            text: "x = 1\n".to_owned(),
            secret: Some((dir.join("etc/key"), Secret::new(secret))),
            kept: vec![(dir.join("etc/catalog.d/assets.toml"), ASSETS)],
        }
    }

    #[test]
    fn secret_file_is_private_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let (settings, key, assets) = (at("etc/b.toml"), at("etc/key"), at("etc/catalog.d/assets.toml"));
        let output = output(dir.path(), "hunter2");
        output.refuse_existing().unwrap();
        let all = [key.clone(), assets.clone(), settings.clone()];
        assert_eq!(output.files(), all);
        assert_eq!(output.write().unwrap(), Written { files: all.into(), old: Vec::new() });
        assert_eq!(fs::read_to_string(&key).unwrap(), "hunter2\n");
        assert_eq!((mode(&key), mode(&settings)), (0o600, 0o644));

        let error = output.refuse_existing().unwrap_err();
        assert!(error.is::<UsageError>() && error.to_string().contains("b.toml exists; add --force"), "{error}");
        fs::remove_file(&settings).unwrap();
        output.refuse_existing().unwrap();
        let other = Output { secret: Some((key.clone(), Secret::new("hunter3"))), ..output };
        assert!(other.refuse_existing().unwrap_err().to_string().contains("key exists"));

        fs::write(&assets, "# Mine.\n").unwrap();
        assert_eq!(other.write().unwrap().files, [key, settings]);
        assert_eq!(fs::read_to_string(&assets).unwrap(), "# Mine.\n");
    }

    #[test]
    fn replaced_files_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        output(dir.path(), "hunter2").write().unwrap();
        let again = Output { text: "x = 2\n".to_owned(), ..output(dir.path(), "hunter3") };
        let old = ["key.old", "b.toml.old"].map(|name| dir.path().join("etc").join(name));
        assert_eq!(again.write().unwrap().old, old);
        assert_eq!(fs::read_to_string(&old[0]).unwrap(), "hunter2\n");
        assert_eq!(fs::read_to_string(&old[1]).unwrap(), "x = 1\n");
        assert_eq!((mode(&old[0]), mode(&old[1])), (0o600, 0o644));
        assert!(again.write().unwrap().old.is_empty(), "nothing changes");
    }

    #[test]
    fn installed_sample_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let output = Output { secret: None, ..output(dir.path(), "") };
        fs::create_dir(dir.path().join("etc")).unwrap();
        fs::write(&output.settings, SAMPLE).unwrap();
        output.refuse_existing().unwrap();
        assert!(output.write().unwrap().old.is_empty());
        fs::write(&output.settings, format!("{SAMPLE}# Mine.\n")).unwrap();
        assert!(output.refuse_existing().is_err(), "a changed one is the operator's");
    }

    #[test]
    fn failed_write_names_written_files() {
        let dir = tempfile::tempdir().unwrap();
        let output = output(dir.path(), "hunter2");
        fs::create_dir_all(&output.settings).unwrap();
        let error = format!("{:#}", output.write().unwrap_err());
        assert!(error.starts_with("only a part was written: ") && error.contains("etc/key, "), "{error}");
        fs::write(dir.path().join("file"), "").unwrap();
        let nowhere = Output { secret: None, kept: Vec::new(), settings: dir.path().join("file/b.toml"), ..output };
        assert!(format!("{:#}", nowhere.write().unwrap_err()).starts_with("nothing was written: "));
    }
}
