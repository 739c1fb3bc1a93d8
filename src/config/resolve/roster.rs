//! Hosts and profiles: reads their templates, and maps each error to the place where the value was set.

use std::collections::BTreeMap;
use std::path::Path;

use figment::value::Value;

use super::value::{value, values};
use crate::asset::Digest;
use crate::boot::{
    FileSettings, HostSettings, InitrdSettings, IscsiSettings, Keys, ProfileSettings, Roster, RosterError,
    RosterSettings, Subject, TemplateText,
};
use crate::catalog::{Catalog, Release};
use crate::config::check::name_of;
use crate::config::error::{ConfigError, Problem};
use crate::config::key::KeyPath;
use crate::config::layer::{self, Layers};
use crate::config::place::Place;
use crate::config::raw;

/// The roster and a digest of all templates that it uses, or all its errors.
pub(super) fn roster(
    layers: &Layers,
    hosts: Vec<raw::Host>,
    profiles: Vec<raw::Profile>,
    defaults: raw::Defaults,
    templates: Vec<raw::Template>,
    catalog: &Catalog,
    releases: &[Release],
) -> Result<(Roster, Digest), Vec<ConfigError>> {
    let templates = templates.into_iter().map(|template| (template.name, template.text)).collect();
    let mut reader = Reader { layers, templates, read: String::new(), errors: Vec::new() };
    let settings = RosterSettings {
        profiles: reader.each("profile", profiles, Reader::profile),
        hosts: reader.each("host", hosts, Reader::host),
        default_profile: defaults.profile,
        channels: layers
            .list("mirror")
            .iter()
            .filter_map(|mirror| Some(mirror.find_ref("channel")?.as_str()?.to_owned()))
            .collect(),
    };
    let Reader { errors, read, .. } = reader;
    match Roster::new(settings, catalog, releases) {
        Ok(roster) if errors.is_empty() => Ok((roster, Digest::of(read.as_bytes()))),
        Ok(_) => Err(errors),
        // Errors that follow from an unreadable template are not reported.
        Err(wrong) => Err(errors.into_iter().chain(wrong.into_iter().map(|error| placed(layers, error))).collect()),
    }
}

/// An error of the roster with the place of the value.
fn placed(layers: &Layers, error: RosterError) -> ConfigError {
    let problem = Problem::Roster(error.problem);
    let below = |path: KeyPath| error.key.iter().fold(path, |path, key| path.key(key));
    let (list, index) = match error.subject {
        Subject::Host(index) => ("host", index),
        Subject::Profile(index) => ("profile", index),
        Subject::Defaults => {
            let key = below(KeyPath::of(["defaults"]));
            let tag = layers.values().find_ref("defaults.profile").map(Value::tag);
            let place = tag.map_or(Place::Default, |tag| layers.place(tag, &key));
            return ConfigError { place, key, of: None, problem };
        }
    };
    match layer::elements(&KeyPath::of([list]), layers.list(list)).nth(index) {
        Some((path, element)) => {
            let key = below(path);
            ConfigError { place: layers.place(element.tag(), &key), key, of: name_of(element), problem }
        }
        None => ConfigError { place: Place::Default, key: below(KeyPath::of([list])), of: None, problem },
    }
}

struct Reader<'l> {
    layers: &'l Layers,
    /// The text of each `[[template]]`.
    templates: BTreeMap<String, String>,
    /// The digests of all template files, concatenated.
    read: String,
    errors: Vec<ConfigError>,
}

fn initrd(raw: raw::Initrd) -> InitrdSettings {
    match raw {
        raw::Initrd::Asset(asset) => asset.into(),
        raw::Initrd::Table(raw::InitrdTable { asset, path, name }) => InitrdSettings { asset, path, name },
    }
}

/// Where a host or profile was written.
struct Written<'l> {
    element: &'l Value,
    path: KeyPath,
}

impl<'l> Reader<'l> {
    fn each<R, S>(&mut self, list: &str, raw: Vec<R>, one: impl Fn(&mut Self, R, &Written<'l>) -> S) -> Vec<S> {
        let path = KeyPath::of([list]);
        let written = layer::elements(&path, self.layers.list(list));
        raw.into_iter().zip(written).map(|(raw, (path, element))| one(self, raw, &Written { element, path })).collect()
    }

    fn profile(&mut self, raw: raw::Profile, written: &Written<'l>) -> ProfileSettings {
        ProfileSettings {
            name: raw.name,
            kernel: raw.kernel,
            initrd: raw.initrd.into_iter().map(initrd).collect(),
            args: raw.args,
            iso: raw.iso,
            chain: raw.chain,
            iscsi: raw.iscsi.map(|raw| IscsiSettings {
                portal: raw.portal,
                port: raw.port,
                target: raw.target,
                lun: raw.lun,
                initiator: raw.initiator,
            }),
            local: raw.local,
            template: raw.template.map(|path| self.template(&path.value, written, &["template"])),
            grub_template: raw.grub_template.map(|path| self.template(&path.value, written, &["grub_template"])),
            vars: raw.vars,
            files: self.files(raw.files, written),
            secrets: raw.secrets.into_iter().map(|(name, secret)| (name, secret.value)).collect(),
        }
    }

    fn host(&mut self, raw: raw::Host, written: &Written<'l>) -> HostSettings {
        let keys = Keys {
            macs: match raw.r#match.mac {
                None => Vec::new(),
                Some(raw::Macs::One(mac)) => vec![mac.value],
                Some(raw::Macs::Several(macs)) => values(macs),
            },
            uuid: raw.r#match.uuid.map(value),
            serial: raw.r#match.serial,
            asset_tag: raw.r#match.asset_tag,
        };
        HostSettings {
            name: raw.name,
            keys,
            profile: raw.profile,
            vars: raw.vars,
            nbp: raw.nbp,
            args: raw.args,
            files: self.files(raw.files, written),
            secrets: raw.secrets.into_iter().map(|(name, secret)| (name, secret.value)).collect(),
        }
    }

    fn files(&mut self, raw: BTreeMap<String, raw::File>, written: &Written<'l>) -> BTreeMap<String, FileSettings> {
        let mut files = BTreeMap::new();
        for (name, file) in raw {
            let file = match file {
                raw::File::Template(path) => FileSettings {
                    template: self.template(&path.value, written, &["files", &name]),
                    ..FileSettings::default()
                },
                raw::File::Table(table) => FileSettings {
                    template: self.template(&table.template.value, written, &["files", &name, "template"]),
                    only_from_host: matches!(table.only_from, Some(raw::OnlyFrom::Host)),
                    content_type: table.content_type.map(|text| text.value.into()),
                },
            };
            files.insert(name, file);
        }
        files
    }

    /// The `[[template]]` named `path`, else the file at `path`, relative to the file that names it. Blocks: reads the
    /// file.
    fn template(&mut self, path: &Path, written: &Written<'l>, key: &[&str]) -> TemplateText {
        if let Some((name, text)) = path.to_str().and_then(|name| self.templates.get_key_value(name)) {
            return TemplateText { file: format!("[[template]] {name}"), text: text.clone() };
        }
        let file = match self.layers.layer(written.element.tag()).map(|layer| &layer.whole) {
            Some(Place::File { file, .. }) => file.parent().unwrap_or(Path::new("")).join(path),
            Some(Place::Url { .. }) => {
                let problem = Problem::NoTemplate { name: path.display().to_string() };
                self.wrong(written, key, name_of(written.element), problem);
                return TemplateText::default();
            }
            _ => path.to_owned(),
        };
        let text = std::fs::read_to_string(&file).unwrap_or_else(|error| {
            self.wrong(written, key, Some(file.display().to_string()), Problem::unreadable(&error));
            String::new()
        });
        self.read.push_str(&Digest::of(text.as_bytes()).to_string());
        TemplateText { file: file.display().to_string(), text }
    }

    fn wrong(&mut self, written: &Written<'l>, key: &[&str], of: Option<String>, problem: Problem) {
        let key = key.iter().fold(written.path.clone(), |path, key| path.key(key));
        let place = self.layers.place(written.element.tag(), &key);
        self.errors.push(ConfigError { place, key, of, problem });
    }
}
