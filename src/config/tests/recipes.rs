//! The recipes of `config/recipes`, with the settings that their READMEs show.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use super::*;
use crate::boot::{Language, Machine, RequestContext, ScriptError};
use crate::supply::mirror::Selection;

/// The directory of the recipes.
fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config/recipes")
}

/// The names of all recipes, sorted.
fn names() -> Vec<String> {
    let entries = fs::read_dir(directory()).unwrap().map(|entry| entry.unwrap());
    let directories = entries.filter(|entry| entry.path().is_dir());
    let mut names: Vec<_> = directories.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The names of the files of a recipe. A template FILE.j2 is the file FILE of each host.
fn files(name: &str) -> Vec<String> {
    let entries = fs::read_dir(directory().join(name)).unwrap().map(|entry| entry.unwrap());
    entries.map(|entry| entry.file_name().into_string().unwrap()).collect()
}

/// The TOML that a page shows.
fn toml_of(page: &Path) -> String {
    let text = fs::read_to_string(page).unwrap();
    text.split("```toml\n").skip(1).filter_map(|block| block.split("```").next()).collect()
}

/// A site with a recipe, and with the settings that its README shows.
fn site(name: &str) -> Site {
    let recipe = directory().join(name);
    let mut site = Site::new(&toml_of(&recipe.join("README.md")));
    for file in files(name) {
        let text = fs::read_to_string(recipe.join(&file)).unwrap();
        site = site.file(&format!("recipes/{name}/{file}"), &text);
    }
    site.file("catalog.d/README", "").file("machines.d/README", "")
}

fn request() -> RequestContext {
    RequestContext { peer: Ipv4Addr::LOCALHOST.into(), base: "http://boot.lab:8080".to_owned(), is_probe: false }
}

#[test]
fn each_system_has_a_recipe() {
    let names = names();
    assert_eq!(names, ["alpine", "debian", "fcos", "flatcar", "okd", "rocky", "talos", "ubuntu"]);
    let overview = fs::read_to_string(directory().join("README.md")).unwrap();
    for name in names {
        assert!(overview.contains(&format!("[`{name}`]({name})")), "README.md does not list {name}");
        let readme = fs::read_to_string(directory().join(&name).join("README.md")).unwrap();
        assert!(readme.contains("ooted here"), "{name}/README.md does not say whether it was booted");
    }
}

#[test]
fn recipes_load_before_first_release() {
    for name in names() {
        let config = site(&name).load().unwrap_or_else(|errors| panic!("{name}: {errors}"));
        assert_eq!(config.warnings, Vec::<String>::new(), "{name}");
        let [mirror] = config.mirrors.as_slice() else { panic!("{name} has one mirror") };
        let channel = mirror.channel.as_deref().unwrap();
        assert!(mirror.keep.is_some(), "{name} keeps all versions for ever");
        assert_eq!(mirror.catalog.as_deref(), Some(&*format!("/etc/bootdepot/catalog.d/{channel}.toml")), "{name}");
        let selected = mirror.selected();
        assert!(!selected.is_empty() && Selection::new(&mirror.name, selected).is_ok(), "{name}");

        let [host] = config.roster.hosts() else { panic!("{name} shows one host") };
        let machine = Machine { mac: host.keys.macs.first().copied(), ..Machine::default() };
        for language in [Language::Ipxe, Language::Grub] {
            let script = config.roster.preview(&machine, &request(), language);
            let error = script.error.expect("there is no release yet");
            assert_eq!(error.to_string(), format!("the channel {channel} has no release yet; mirror or publish one"));
            assert!(
                matches!(error, ScriptError::NotLive(_)) && script.text.contains("bootdepot mirror"),
                "{}",
                script.text
            );
        }
        let files = files(&name);
        let templates: Vec<_> = files.iter().filter_map(|file| file.strip_suffix(".j2")).collect();
        assert!(!templates.is_empty(), "{name} has a file for each host");
        for file in templates {
            let text = config.roster.preview_file(host, file, &request());
            let text = text.unwrap_or_else(|reason| panic!("{name}, {file}: {reason}"));
            // JSON is checked when it is rendered.
            if matches!(file.rsplit_once('.'), Some((_, "yaml"))) || text.starts_with("#cloud-config\n") {
                let parsed: Result<Option<serde_json::Value>, _> = serde_saphyr::from_str(&text);
                assert!(parsed.is_ok(), "{name}, {file}: {parsed:?}\n{text}");
            }
        }
    }
}

#[test]
fn general_steps_fit_each_recipe() {
    let general = toml_of(&directory().join("README.md"));
    let site = site("debian").file("bootdepot.toml", &general);
    let config = site.load().unwrap_or_else(|errors| panic!("{errors}"));
    let to = format!("s3://{}/", config.mirrors[0].to.bucket);
    assert_eq!(config.origins[0].prefix.as_str(), to, "the store is the one of the recipes");
    for name in names() {
        let recipe = fs::read_to_string(directory().join(&name).join("recipe.toml")).unwrap();
        assert!(recipe.contains(&format!("\nto = \"{to}")), "{name} has the bucket that README.md replaces");
    }
}

#[test]
fn missing_variable_of_recipe_is_named() {
    let settings = toml_of(&directory().join("debian/README.md")).replace("ssh_key", "ssh_kye");
    let site = site("debian").file("bootdepot.toml", &settings);
    let errors = site.errors();
    assert!(errors.contains("recipes/debian/recipe.toml:") && errors.contains("host.vars.ssh_key"), "{errors}");
}

#[test]
fn recipe_users_can_be_added() {
    // Some of Subiquity's file reserved-usernames; useradd refuses names of users and groups that exist.
    const RESERVED: [&str; 12] =
        ["root", "admin", "adm", "sudo", "staff", "users", "operator", "nobody", "backup", "www-data", "ssh", "maas"];
    let mut found = 0;
    for name in names() {
        let recipe: toml::Table =
            fs::read_to_string(directory().join(&name).join("recipe.toml")).unwrap().parse().unwrap();
        let user = recipe["profile"][0].get("vars").and_then(|vars| vars.get("user"));
        let Some(user) = user.and_then(toml::Value::as_str) else { continue };
        assert!(!RESERVED.contains(&user), "{name}: {user}");
        found += 1;
    }
    assert!(found > 0);
}
