//! The settings file: the answers as commented TOML.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior, Value};
use serde::Serialize;

use super::firmware::BootProgram;
use super::machine::MachineAnswers;
use super::mirrors::MirrorAnswer;
use super::store::StoreAnswers;
use super::trials::Trials;
use crate::cli::format::plain;

const TEMPLATE: &str = include_str!("settings.toml.j2");

/// Where `publish` and `mirror` enter assets if there is no shared catalog, from the directory of the settings.
const ASSETS_FILE: &str = "catalog.d/assets.toml";
/// Beside it are the files of machines.
const MACHINES_FILE: &str = "machines.d/README";

/// All answers.
pub(super) struct Answers {
    pub(super) store: StoreAnswers,
    pub(super) machine: MachineAnswers,
    pub(super) catalog_url: Option<String>,
    /// Names of assets that the shared catalog has, which must not be in the settings too.
    pub(super) shared_assets: BTreeSet<String>,
    pub(super) programs: Vec<BootProgram>,
    pub(super) mirror: Option<MirrorAnswer>,
    /// The files of the release that the upstream of the mirror offers.
    pub(super) mirror_files: Vec<String>,
    /// The trials of these answers.
    pub(super) trials: Trials,
}

/// The values of the template.
#[derive(Serialize)]
struct Context<'a> {
    store: &'a StoreAnswers,
    machine: &'a MachineAnswers,
    catalog_url: Option<&'a str>,
    assets_file: Option<String>,
    programs: &'a [BootProgram],
    own_programs: Vec<&'a BootProgram>,
    mirror: Option<&'a MirrorAnswer>,
    mirror_files: Vec<String>,
    include: Vec<String>,
    trials: Trials,
}

impl Answers {
    /// The answers at first: how the bucket is reached.
    pub(super) fn new(store: StoreAnswers, machine: MachineAnswers) -> Self {
        Self {
            store,
            machine,
            catalog_url: None,
            shared_assets: BTreeSet::new(),
            programs: Vec::new(),
            mirror: None,
            mirror_files: Vec::new(),
            trials: Trials::default(),
        }
    }

    /// The files that the settings include, from their directory.
    fn include(&self) -> Vec<String> {
        let recipe = self.mirror.as_ref().and_then(MirrorAnswer::installed);
        // An installed recipe has a catalog of its own there.
        let assets = (self.catalog_url.is_none() || recipe.is_some()).then_some("catalog.d/*.toml");
        let directories = assets.into_iter().chain(["machines.d/*.toml"]).map(str::to_owned);
        directories.chain(recipe).collect()
    }

    /// The file that describes the directory of machines beside the settings at `path`.
    pub(super) fn machines_file(path: &Path) -> PathBuf {
        path.with_file_name(MACHINES_FILE)
    }

    /// The catalog file beside the settings at `path`. `None` if the catalog is shared.
    pub(super) fn assets_file(&self, path: &Path) -> Option<PathBuf> {
        self.catalog_url.is_none().then(|| path.with_file_name(ASSETS_FILE))
    }

    /// The text of the settings file at `path`, which is absolute.
    pub(super) fn text(&self, path: &Path) -> anyhow::Result<String> {
        let is_own = |program: &&BootProgram| !self.shared_assets.contains(&program.asset);
        let context = Context {
            store: &self.store,
            machine: &self.machine,
            catalog_url: self.catalog_url.as_deref(),
            assets_file: self.assets_file(path).map(|file| plain(&file.display().to_string())),
            programs: &self.programs,
            own_programs: self.programs.iter().filter(is_own).collect(),
            mirror: self.mirror.as_ref(),
            // They are the upstream's texts, and go into a comment.
            mirror_files: self.mirror_files.iter().map(|file| plain(file)).collect(),
            include: self.include(),
            trials: self.trials.in_comments(),
        };
        Ok(environment()?.render_str(TEMPLATE, Value::from(Serde(context)))?)
    }
}

fn environment() -> Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    let mut syntax = environment.syntax().to_builder();
    syntax.trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true);
    environment.set_syntax(syntax.build()?);
    environment.add_filter("toml", |value: Value| {
        let value = toml::Value::try_from(&value);
        value.map(|value| value.to_string()).map_err(|e| Error::new(ErrorKind::InvalidOperation, e.to_string()))
    });
    Ok(environment)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::init::credentials::Credentials;
    use crate::cli::init::mirrors::Example;
    use crate::config::{Config, Flags, Inputs};
    use crate::secret::Secret;

    fn answers() -> Answers {
        let store = StoreAnswers {
            endpoint: Some("https://s3.lab:9000".to_owned()),
            bucket: "boot".to_owned(),
            region: "lab".to_owned(),
            addressing: "path".to_owned(),
            ca_file: None,
            credentials: Credentials::Plain("env".to_owned()),
        };
        let machine = MachineAnswers {
            cache_dir: "/srv/cache \"1\"".to_owned(),
            cache_size: "20 GiB".to_owned(),
            http_listen: vec!["[::]:8080".to_owned()],
            tftp_listen: vec!["[::]:69".to_owned(), "127.0.0.1:6969".to_owned()],
            admin_listen: "127.0.0.1:8081".to_owned(),
            interface: None,
        };
        Answers::new(store, machine)
    }

    fn program(asset: &str, names: &[&str]) -> BootProgram {
        BootProgram {
            asset: asset.to_owned(),
            names: names.iter().map(|&name| name.to_owned()).collect(),
            source: "file:///usr/lib/ipxe/snponly.efi".to_owned(),
            sha256: "a".repeat(64),
            purpose: "iPXE".to_owned(),
        }
    }

    fn load(answers: &Answers) -> Config {
        let path = Path::new("/nowhere/bootdepot.toml");
        let text = answers.text(path).unwrap();
        let flags = Flags { config: Some(path.to_owned()), ..Flags::default() };
        let draft = Inputs::new(&flags, []).read_text(&text).unwrap_or_else(|errors| panic!("{errors}:\n{text}"));
        draft.complete_offline().unwrap_or_else(|errors| panic!("{errors}:\n{text}"))
    }

    #[test]
    fn settings_text_is_commented() {
        let mut answers = answers();
        answers.programs = vec![program("firmware/snponly.efi", &["snponly.efi"])];
        answers.mirror = Some(MirrorAnswer {
            name: "talos".to_owned(),
            recipe: "github-release".to_owned(),
            url: "https://api.github.com/repos/siderolabs/talos/releases".to_owned(),
            select: vec!["vmlinuz-amd64".to_owned()],
            keys: Vec::new(),
            example: Some(Example { directory: "talos", is_installed: false }),
            is_bootable: true,
        });
        answers.trials = Trials {
            user: "root".to_owned(),
            tried: vec!["listing the bucket boot".to_owned()],
            unproven: vec!["writing to it".to_owned(), "evil\n[cache]".to_owned()],
        };
        answers.mirror_files = vec!["vmlinuz-amd64".to_owned(), "evil\n[cache]".to_owned()];
        insta::assert_snapshot!(answers.text(Path::new("/etc/bootdepot/bootdepot.toml")).unwrap());
    }

    #[test]
    fn all_answers_are_settings() {
        let mut answers = answers();
        let config = load(&answers);
        assert_eq!(config.cache.dir, Path::new("/srv/cache \"1\""));
        assert_eq!((config.cache.max_size, config.tftp.listen.len(), config.buckets.len()), (20 << 30, 2, 1));
        assert!(config.dhcp.is_none() && config.mirrors.is_empty());

        answers.store.endpoint = None;
        answers.store.ca_file = Some("/etc/ca.pem".to_owned());
        answers.store.addressing = "virtual".to_owned();
        let secret = Secret::new("hunter2");
        answers.store.credentials = Credentials::Keys { id: "AKIA".to_owned(), secret, file: "/k".into() };
        answers.machine.interface = Some("eno1".to_owned());
        answers.programs = vec![program("firmware/a.efi", &["a.efi"]), program("firmware/b.efi", &["b.efi", "c.efi"])];
        answers.mirror = Some(MirrorAnswer {
            name: "debian".to_owned(),
            recipe: "debian-installer".to_owned(),
            url: "https://deb.debian.org/debian/dists/trixie".to_owned(),
            select: Vec::new(),
            keys: vec!["/usr/share/keyrings/debian-archive-keyring.gpg".to_owned()],
            example: None,
            is_bootable: true,
        });
        let config = load(&answers);
        assert_eq!(config.origins[0].ca_file.as_deref(), Some(Path::new("/etc/ca.pem")));
        assert_eq!(config.dhcp.as_ref().map(|dhcp| dhcp.interface.as_str()), Some("eno1"));
        assert_eq!((config.catalog.len(), config.tftp.files.len()), (2, 3));
        assert_eq!(config.mirrors[0].catalog.as_deref(), Some("/nowhere/catalog.d/assets.toml"));
        let text = answers.text(Path::new("/nowhere/bootdepot.toml")).unwrap();
        assert!(!text.contains("hunter2") && text.contains("file:/k"), "{text}");
    }

    #[test]
    fn shared_assets_are_not_repeated() {
        let mut answers = answers();
        answers.programs = vec![program("firmware/a.efi", &["a.efi"]), program("firmware/b.efi", &["b.efi"])];
        answers.shared_assets = ["firmware/a.efi".to_owned()].into();
        answers.catalog_url = Some("s3://boot/catalog.toml".to_owned());
        let text = answers.text(Path::new("/nowhere/bootdepot.toml")).unwrap();
        let tables: toml::Table = text.parse().unwrap();
        assert_eq!(tables["asset"].as_array().unwrap().len(), 1, "{text}");
        assert_eq!(tables["tftp"]["files"].as_table().unwrap().len(), 2);
        assert_eq!(tables["include"].as_array().unwrap(), &[toml::Value::from("machines.d/*.toml")]);
        assert!(answers.assets_file(Path::new("/x")).is_none());
    }

    #[test]
    fn installed_recipe_is_included() {
        let mut answers = answers();
        answers.mirror = Some(MirrorAnswer {
            name: "fcos".to_owned(),
            recipe: "coreos-stream".to_owned(),
            url: "https://h/stable.json".to_owned(),
            select: Vec::new(),
            keys: Vec::new(),
            example: Some(Example { directory: "fcos", is_installed: true }),
            is_bootable: true,
        });
        let tables: toml::Table = answers.text(Path::new("/nowhere/bootdepot.toml")).unwrap().parse().unwrap();
        let include = ["catalog.d/*.toml", "machines.d/*.toml", "recipes/fcos/recipe.toml"].map(toml::Value::from);
        assert_eq!(tables["include"].as_array().unwrap(), &include);
        assert!(!tables.contains_key("mirror"), "the recipe has it");
    }
}
