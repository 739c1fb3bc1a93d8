//! The plan of a `publish`, from its command line alone.

use std::collections::HashSet;
use std::path::PathBuf;

use super::args::PublishArgs;
use crate::asset::{AssetName, SourceTarget, SourceUrl};
use crate::supply::{Input, KeyScheme, Publication};

/// The files, and where they and their entries go.
pub(super) struct Plan {
    pub(super) to: Place,
    pub(super) public: Option<Place>,
    pub(super) catalog: Option<Catalog>,
    pub(super) release: Option<String>,
    pub(super) items: Vec<Planned>,
}

/// One file.
pub(super) struct Planned {
    pub(super) publication: Publication,
    /// The URL of its object.
    pub(super) url: String,
    /// Its length in bytes. `None` for standard input.
    pub(super) size: Option<u64>,
}

/// A prefix in a bucket.
pub(super) struct Place {
    pub(super) bucket: String,
    /// Empty, or ends with a slash.
    pub(super) prefix: String,
    /// A URL below it, which selects the origin.
    pub(super) source: SourceUrl,
}

/// Where the entries go.
pub(super) enum Catalog {
    File(PathBuf),
    Object { place: Place, key: String },
}

impl Plan {
    /// The plan of a command. Fails with a sentence if the command line is wrong.
    pub(super) fn new(command: &PublishArgs) -> Result<Self, String> {
        let to = Place::parse("--to", &command.to)?;
        let scheme: KeyScheme = command.key.parse().map_err(|error| format!("--key: {error}"))?;
        if command.name.is_some() && command.files.len() > 1 {
            return Err("--name is for one file; several keep their own names".to_owned());
        }
        let version = command.version.as_deref().unwrap_or_default();
        let mut items = Vec::new();
        let mut keys = HashSet::new();
        for path in &command.files {
            let input = if path.as_os_str() == "-" { Input::Stdin } else { Input::File(path.clone()) };
            let own = || path.file_name().map(|name| name.to_string_lossy().into_owned());
            let file = match (&command.name, &input) {
                (Some(name), _) => name.clone(),
                (None, Input::Stdin) => return Err("standard input has no name; say it with --name".to_owned()),
                (None, Input::File(_)) => own().ok_or_else(|| format!("{} has no file name", path.display()))?,
            };
            let key = scheme.key(&to.prefix, &command.category, version, &file);
            let name = AssetName::parse(&key).map_err(|error| format!("the key {key:?} is no asset name: {error}"))?;
            if !keys.insert(key.clone()) {
                return Err(format!(
                    "two files have the key {key:?}; rename one, or publish them with different --version"
                ));
            }
            let url = SourceUrl::s3(&to.bucket, &key).map_err(|error| error.to_string())?.to_string();
            let size = input.size().map_err(|error| error.to_string())?;
            items.push(Planned { publication: Publication { input, key, name }, url, size });
        }
        let catalog = match command.catalog.as_deref() {
            Some(text) if text.contains("://") => {
                let source: SourceUrl = text.parse().map_err(|error| format!("--catalog: {error}"))?;
                let SourceTarget::S3 { bucket, key, version: None } = source.target().clone() else {
                    return Err("--catalog is a file or s3://BUCKET/KEY".to_owned());
                };
                let prefix = key.rsplit_once('/').map_or_else(String::new, |(directory, _)| format!("{directory}/"));
                Some(Catalog::Object { place: Place { bucket, prefix, source }, key })
            }
            Some(text) => Some(Catalog::File(text.into())),
            None => None,
        };
        let public = command.public.as_deref().map(|text| Place::parse("--public", text)).transpose()?;
        if public.as_ref().is_some_and(|public| public.bucket == to.bucket && public.prefix.is_empty()) {
            return Err("--public names the bucket of --to; name another bucket, or a prefix".to_owned());
        }
        Ok(Self { to, public, catalog, release: command.release.clone(), items })
    }
}

impl Place {
    /// Parses `s3://BUCKET[/PREFIX]`.
    fn parse(flag: &str, text: &str) -> Result<Self, String> {
        let form = || format!("{flag} has {text:?}; write s3://BUCKET/PREFIX");
        let rest = text.strip_prefix("s3://").ok_or_else(form)?;
        if rest.contains('?') {
            return Err(form());
        }
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.trim_matches('/');
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        let source = SourceUrl::s3(bucket, &format!("{prefix}object")).map_err(|_| form())?;
        Ok(Self { bucket: bucket.to_owned(), prefix, source })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        command: PublishArgs,
    }

    fn plan(args: &[&str]) -> Result<Plan, String> {
        Plan::new(&Line::parse_from([&["publish"], args].concat()).command)
    }

    #[test]
    fn keys_follow_scheme() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("kernel");
        std::fs::write(&file, b"abc").unwrap();
        let file = file.to_str().unwrap();
        let keys = |args: &[&str]| plan(&[&[file, "--to"], args].concat()).unwrap().items[0].url.clone();
        assert_eq!(keys(&["s3://b"]), "s3://b/kernel");
        assert_eq!(keys(&["s3://b/okd/", "--version", "4.19"]), "s3://b/okd/4.19/kernel");
        assert_eq!(keys(&["s3://b", "--category", "okd", "--version", "4", "--name", "k"]), "s3://b/okd/4/k");
        assert_eq!(keys(&["s3://b", "--key", "x/{file}"]), "s3://b/x/kernel");
        let planned = &plan(&[file, "--to", "s3://b/okd"]).unwrap().items[0];
        assert_eq!((planned.size, planned.publication.name.as_str()), (Some(3), "okd/kernel"));
    }

    #[test]
    fn wrong_command_lines_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("kernel");
        std::fs::write(&file, b"abc").unwrap();
        let file = file.to_str().unwrap();
        for (args, part) in [
            (vec!["-", "--to", "s3://b"], "--name"),
            (vec![file, "--to", "https://b/x"], "s3://BUCKET/PREFIX"),
            (vec![file, file, "--to", "s3://b"], "two files have the key"),
            (vec![file, "-", "--to", "s3://b", "--name", "x"], "--name is for one file"),
            (vec![file, "--to", "s3://b", "--key", "{arch}/{file}"], "{arch}"),
            (vec![file, "--to", "s3://b", "--catalog", "https://h/c.toml"], "--catalog is a file or s3://"),
            (vec![file, "--to", "s3://b", "--public", "s3://b"], "--public"),
            (vec![file, "--to", "s3://b", "--name", "../x"], "no asset name"),
            (vec!["/nonexistent/x", "--to", "s3://b"], "cannot be read"),
        ] {
            let error = plan(&args).err().unwrap_or_else(|| panic!("{args:?} is wrong"));
            assert!(error.contains(part), "{args:?}: {error}");
        }
    }
}
