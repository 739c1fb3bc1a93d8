//! The mirrors that are offered: operating systems with the usual place of their upstream, and the recipes that need a URL.

use std::path::Path;

use serde::Serialize;

use super::args::MirrorArgs;
use super::dialog::{Choice, Dialog, Question};
use crate::cli::usage_error::UsageError;
use crate::config::ValueKind;

const MIRROR: Question = Question { flag: "--mirror", text: "Mirror an operating system into the bucket" };
const URL: Question = Question { flag: "--mirror-url", text: "URL of the upstream" };
const SELECT: Question = Question { flag: "--mirror-select", text: "Files (globs, separated by spaces)" };

/// The answer for no mirror.
const NONE: &str = "none";

/// A mirror that is offered.
struct Offer {
    name: &'static str,
    recipe: &'static str,
    title: &'static str,
    /// `None`: there is no usual one.
    url: Option<&'static str>,
    /// Globs. Empty: the recipe knows them, or there are no usual ones.
    select: &'static [&'static str],
    /// The keys of the publisher, if the machine has them.
    keyring: Option<&'static str>,
    /// The directory in config/recipes with the same mirror, and a profile.
    example: Option<&'static str>,
    /// Whether a machine can boot from the files alone.
    is_bootable: bool,
}

const fn offer(name: &'static str, recipe: &'static str, title: &'static str, url: &'static str) -> Offer {
    Offer { name, recipe, title, url: Some(url), select: &[], keyring: None, example: Some(name), is_bootable: true }
}

/// A recipe without a usual upstream.
const fn recipe(name: &'static str, title: &'static str) -> Offer {
    Offer { name, recipe: name, title, url: None, select: &[], keyring: None, example: None, is_bootable: true }
}

/// The offers. docs/mirror.md and config/recipes have the same URLs.
const OFFERS: [Offer; 15] = [
    Offer {
        example: Some("okd"),
        ..offer(
            "scos",
            "coreos-stream",
            "CoreOS of OKD 4.20",
            "https://raw.githubusercontent.com/openshift/installer/release-4.20/data/data/coreos/scos.json",
        )
    },
    Offer {
        example: None,
        ..offer(
            "rhcos",
            "coreos-stream",
            "CoreOS of OpenShift 4.20",
            "https://raw.githubusercontent.com/openshift/installer/release-4.20/data/data/coreos/rhcos.json",
        )
    },
    offer(
        "fcos",
        "coreos-stream",
        "Fedora CoreOS, stable",
        "https://builds.coreos.fedoraproject.org/streams/stable.json",
    ),
    Offer {
        keyring: Some("/usr/share/keyrings/debian-archive-keyring.gpg"),
        ..offer("debian", "debian-installer", "Debian 13 installer", "https://deb.debian.org/debian/dists/trixie")
    },
    Offer {
        select: &["ubuntu-*-live-server-amd64.iso"],
        is_bootable: false,
        keyring: Some("/usr/share/keyrings/ubuntu-archive-keyring.gpg"),
        ..offer(
            "ubuntu",
            "ubuntu",
            "Ubuntu 24.04 server ISO; its recipe shows how to take the kernel out of it",
            "https://releases.ubuntu.com/24.04",
        )
    },
    offer("rocky", "treeinfo", "Rocky Linux 9 installer", "https://dl.rockylinux.org/pub/rocky/9/BaseOS/x86_64/os"),
    Offer {
        select: &["vmlinuz-amd64", "initramfs-amd64.xz"],
        ..offer("talos", "github-release", "Talos Linux", "https://api.github.com/repos/siderolabs/talos/releases")
    },
    offer("flatcar", "flatcar", "Flatcar, stable", "https://stable.release.flatcar-linux.net/amd64-usr/current"),
    offer("alpine", "alpine", "Alpine Linux 3.22", "https://dl-cdn.alpinelinux.org/alpine/v3.22/releases/x86_64"),
    recipe("ocp-mirror", "a directory of mirror.openshift.com"),
    recipe("github-release", "releases of a GitHub repository"),
    recipe("simplestreams", "an image stream of Ubuntu or MAAS"),
    recipe("treeinfo", "an installation tree with .treeinfo"),
    recipe("sums", "a file of digests, such as SHA256SUMS"),
    recipe("netbootxyz", "endpoints.yml of netboot.xyz"),
];

/// A mirror for the settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct MirrorAnswer {
    pub(super) name: String,
    pub(super) recipe: String,
    pub(super) url: String,
    pub(super) select: Vec<String>,
    pub(super) keys: Vec<String>,
    pub(super) example: Option<Example>,
    /// Whether a machine can boot from the files alone. If not, the README of the example has more steps.
    pub(super) is_bootable: bool,
}

/// The recipe of config/recipes that has a mirror of the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Example {
    pub(super) directory: &'static str,
    /// Whether it was copied beside the settings. Then they include it, and have no mirror of their own.
    pub(super) is_installed: bool,
}

impl Example {
    /// Looks for it beside the settings at this path.
    fn of(directory: &'static str, settings: &Path) -> Self {
        let is_installed = settings.with_file_name(recipe_file(directory)).is_file();
        Self { directory, is_installed }
    }
}

/// The file of an installed recipe, from the directory of the settings.
fn recipe_file(directory: &str) -> String {
    format!("recipes/{directory}/recipe.toml")
}

impl MirrorAnswer {
    /// The file of the recipe that has this mirror, from the directory of the settings, if it is installed.
    pub(super) fn installed(&self) -> Option<String> {
        self.example.filter(|example| example.is_installed).map(|example| recipe_file(example.directory))
    }

    /// Takes it from the flags, or asks. `None`: no mirror. Recipes may be installed beside `settings`.
    pub(super) async fn ask(dialog: &mut Dialog, flags: &MirrorArgs, settings: &Path) -> anyhow::Result<Option<Self>> {
        let mut choices = vec![Choice::new(NONE, "no mirror now")];
        choices.extend(OFFERS.iter().map(|offer| Choice::new(offer.name, offer.title)));
        let name = dialog.choose(MIRROR, flags.mirror.as_deref(), NONE, &choices).await?;
        let details = flags.mirror_url.is_some() || !flags.mirror_select.is_empty();
        let Some(offer) = OFFERS.iter().find(|offer| offer.name == name) else {
            let reason = "--mirror none takes no --mirror-url and no --mirror-select";
            return if details { Err(UsageError::new(reason).into()) } else { Ok(None) };
        };
        let is_bootable = offer.is_bootable;
        let example = offer.example.map(|directory| Example::of(directory, settings));
        if example.is_some_and(|example| example.is_installed) {
            let file = recipe_file(offer.example.unwrap_or_default());
            anyhow::ensure!(
                !details,
                UsageError::new(format!("{file} has the mirror {name}: change its url and select there"))
            );
            dialog.say(&format!("The mirror {name} is in {file}, which is included."));
            let (recipe, url) = (offer.recipe.to_owned(), offer.url.unwrap_or_default().to_owned());
            return Ok(Some(Self { name, recipe, url, select: Vec::new(), keys: Vec::new(), example, is_bootable }));
        }
        let read = |text: &str| ValueKind::UpstreamUrl.check(text).map(|()| text.to_owned());
        let url = match (&flags.mirror, &flags.mirror_url, offer.url) {
            // The flag names the offer: its URL goes without saying.
            (Some(_), None, Some(url)) => url.to_owned(),
            (_, given, default) => dialog.answer(URL, given.as_deref(), default, read).await?,
        };
        let mut select: Vec<String> = offer.select.iter().map(|&glob| glob.to_owned()).collect();
        if !flags.mirror_select.is_empty() {
            select.clone_from(&flags.mirror_select);
        } else if offer.url.is_none() && dialog.asks() && flags.mirror.is_none() {
            let globs = |text: &str| Ok(text.split_whitespace().map(str::to_owned).collect());
            select = dialog.answer(SELECT, None, Some("*"), globs).await?;
        }
        let keys = offer.keyring.filter(|path| Path::new(path).is_file());
        let keys = keys.map(str::to_owned).into_iter().collect();
        Ok(Some(Self { name, recipe: offer.recipe.to_owned(), url, select, keys, example, is_bootable }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::init::console::Console;

    async fn ask(lines: Option<&'static str>, flags: MirrorArgs) -> anyhow::Result<Option<MirrorAnswer>> {
        let console = lines.map(|lines| Console::scripted(lines, std::io::sink()));
        MirrorAnswer::ask(&mut Dialog::new(console), &flags, Path::new("/nowhere/bootdepot.toml")).await
    }

    #[test]
    fn offers_agree_with_recipes() {
        let recipes = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/recipes");
        for entry in std::fs::read_dir(&recipes).unwrap() {
            let directory = entry.unwrap().file_name().into_string().unwrap();
            let Ok(text) = std::fs::read_to_string(recipes.join(recipe_file(&directory).replace("recipes/", "")))
            else {
                continue;
            };
            let tables: toml::Table = text.parse().unwrap();
            let mirror = &tables["mirror"][0];
            let offer = OFFERS.iter().find(|offer| offer.example == Some(directory.as_str()));
            let offer = offer.unwrap_or_else(|| panic!("{directory} is not offered"));
            for (key, value) in [("name", offer.name), ("recipe", offer.recipe), ("url", offer.url.unwrap())] {
                assert_eq!(mirror[key].as_str(), Some(value), "{directory}");
            }
            let texts = |key: &str| {
                let list = mirror.get(key).and_then(toml::Value::as_array).into_iter().flatten();
                list.filter_map(toml::Value::as_str).collect::<Vec<_>>()
            };
            assert_eq!(texts("select"), offer.select, "{directory}");
            assert_eq!(texts("keys"), offer.keyring.into_iter().collect::<Vec<_>>(), "{directory}");
        }
    }

    #[tokio::test]
    async fn installed_recipe_has_its_mirror() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("recipes/okd")).unwrap();
        std::fs::write(dir.path().join("recipes/okd/recipe.toml"), "").unwrap();
        let settings = dir.path().join("bootdepot.toml");
        let mut flags = MirrorArgs { mirror: Some("scos".to_owned()), ..MirrorArgs::default() };
        let found = MirrorAnswer::ask(&mut Dialog::new(None), &flags, &settings).await.unwrap().unwrap();
        assert_eq!(found.installed().as_deref(), Some("recipes/okd/recipe.toml"));
        flags.mirror_url = Some("https://h/scos.json".to_owned());
        let error = MirrorAnswer::ask(&mut Dialog::new(None), &flags, &settings).await.unwrap_err();
        assert!(error.is::<UsageError>() && error.to_string().contains("recipes/okd/recipe.toml"), "{error}");
    }

    /// The words of the list in a JSON Schema that has this word.
    fn siblings<'s>(schema: &'s serde_json::Value, word: &str) -> Option<Vec<&'s str>> {
        if let Some(list) = schema.as_array() {
            let words: Vec<&str> = list.iter().filter_map(|it| it.as_str().or(it["const"].as_str())).collect();
            if words.contains(&word) {
                return Some(words);
            }
        }
        let fields = schema.as_object().into_iter().flat_map(|fields| fields.values());
        fields.chain(schema.as_array().into_iter().flatten()).find_map(|inner| siblings(inner, word))
    }

    #[test]
    fn every_recipe_with_url_is_offered() {
        let words = siblings(crate::config::schema(), "coreos-stream").unwrap();
        assert!(words.len() > 5, "{words:?}");
        for word in &words {
            assert!(*word == "list" || OFFERS.iter().any(|offer| offer.recipe == *word), "{word}");
        }
        assert!(OFFERS.iter().all(|offer| words.contains(&offer.recipe)));
    }

    #[tokio::test]
    async fn flag_takes_usual_upstream() {
        let mirror = |name: &str| MirrorArgs { mirror: Some(name.to_owned()), ..MirrorArgs::default() };
        let found = ask(None, mirror("talos")).await.unwrap().unwrap();
        assert_eq!((found.recipe.as_str(), found.select.len()), ("github-release", 2));
        assert_eq!(ask(None, mirror("none")).await.unwrap(), None);
        let url = MirrorArgs { mirror_url: Some("https://h/".to_owned()), ..mirror("none") };
        assert!(ask(None, url).await.unwrap_err().is::<UsageError>());
        assert_eq!(ask(None, MirrorArgs::default()).await.unwrap(), None);
        let error = ask(None, mirror("sums")).await.unwrap_err().to_string();
        assert_eq!(error, "--mirror-url is missing");
        assert!(ask(None, mirror("windows")).await.is_err());
    }

    #[tokio::test]
    async fn dialog_asks_for_url_and_files() {
        let found = ask(Some("fcos\n\n"), MirrorArgs::default()).await.unwrap().unwrap();
        assert!(found.url.ends_with("/streams/stable.json"), "{}", found.url);
        let found = ask(Some("sums\nh\nhttps://h/SHA256SUMS\na* b\n"), MirrorArgs::default()).await.unwrap().unwrap();
        assert_eq!((found.url.as_str(), found.select), ("https://h/SHA256SUMS", vec!["a*".to_owned(), "b".to_owned()]));
        assert_eq!(ask(Some("\n"), MirrorArgs::default()).await.unwrap(), None);
    }
}
