//! Checks a roster as a whole and reports all errors at once.
//!
//! After the settings themselves, every script and every file of every host is rendered once (`trial`), so that a template
//! that fails is reported at load, not when a machine boots.

#[cfg(test)]
mod tests;
mod trial;

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use minijinja::Value;
use minijinja::value::Serde;
use serde_json::Value as Json;

use super::closest::closest;
use super::escape::ipxe;
use super::host::{BootMethod, FileSpec, Host, Profile};
use super::host_file;
use super::initrd::{self, Loader};
use super::mac::Mac;
use super::references::References;
use super::roster::{MatchKey, Roster, RosterError, RosterProblem, Subject};
use super::settings::{FileSettings, HostSettings, Keys, ProfileSettings, RosterSettings, TemplateText};
use crate::asset::AssetName;
use crate::catalog::{Catalog, Release};

impl Roster {
    /// Builds the roster from its settings, or returns everything that is wrong with them.
    pub fn new(settings: RosterSettings, catalog: &Catalog, releases: &[Release]) -> Result<Self, Vec<RosterError>> {
        let references = References::new(catalog, releases, &settings.channels);
        build(settings, references)
    }
}

/// A checked profile, with the settings that its hosts inherit.
struct Draft {
    profile: Arc<Profile>,
    files: BTreeMap<String, FileSpec>,
    settings: ProfileSettings,
}

struct Checker {
    roster: Roster,
    /// Where the configuration names each template.
    origins: HashMap<String, (Subject, Vec<String>)>,
    errors: Vec<RosterError>,
    /// The names of all hosts, including invalid ones.
    names: Vec<String>,
}

fn build(settings: RosterSettings, references: References) -> Result<Roster, Vec<RosterError>> {
    let roster = Roster::with_references(references);
    let mut checker = Checker { roster, origins: HashMap::new(), errors: Vec::new(), names: Vec::new() };
    let mut profiles: HashMap<String, Draft> = HashMap::new();
    for (index, settings) in settings.profiles.into_iter().enumerate() {
        let name = settings.name.clone();
        let draft = checker.profile(index, settings);
        match profiles.entry(name) {
            Entry::Vacant(free) => {
                checker.roster.profiles.push(Arc::clone(&draft.profile));
                free.insert(draft);
            }
            Entry::Occupied(taken) => {
                let problem = RosterProblem::Taken(taken.key().clone());
                checker.error(Subject::Profile(index), ["name"], problem);
            }
        }
    }
    for (index, settings) in settings.hosts.into_iter().enumerate() {
        checker.host(index, settings, &profiles);
    }
    if let Some(name) = &settings.default_profile {
        match profiles.get(name) {
            Some(draft) => checker.roster.default_profile = Some(Arc::clone(&draft.profile)),
            None => checker.error(Subject::Defaults, ["profile"], no_profile(name, &profiles)),
        }
    }
    // Rendering with an invalid host or template would only report the same errors again.
    if checker.errors.is_empty() {
        checker.errors = trial::render_all(&checker.roster, &checker.origins);
    }
    if checker.errors.is_empty() { Ok(checker.roster) } else { Err(checker.errors) }
}

fn no_profile(name: &str, profiles: &HashMap<String, Draft>) -> RosterProblem {
    let closest = closest(name, profiles.keys().map(String::as_str));
    RosterProblem::NoProfile { name: name.to_owned(), closest }
}

impl Checker {
    fn error<const N: usize>(&mut self, subject: Subject, key: [&str; N], problem: RosterProblem) {
        self.errors.push(RosterError { subject, key: key.map(str::to_owned).to_vec(), problem });
    }

    fn profile(&mut self, index: usize, mut settings: ProfileSettings) -> Draft {
        let subject = Subject::Profile(index);
        // Every script shows the name, including the script that waits.
        if ipxe::value(&settings.name).is_err() {
            self.error(subject, ["name"], RosterProblem::ProfileName(settings.name.clone()));
        }
        let method = self.boot_method(subject, &settings);
        let args = std::mem::take(&mut settings.args);
        if settings.kernel.is_none() {
            for (key, given) in [("initrd", !settings.initrd.is_empty()), ("args", !args.is_empty())] {
                if given {
                    self.error(subject, [key], RosterProblem::NoKernel);
                }
            }
        }
        let args = self.args(subject, &format!("profile {}", settings.name), args);
        let grub_template = settings.grub_template.take();
        let grub_template = grub_template.map(|template| self.template_file(subject, &["grub_template"], &template));
        let files = std::mem::take(&mut settings.files);
        let files = self.files(subject, files);
        let vars = Value::from(Serde(&settings.vars));
        let profile = Arc::new(Profile { name: settings.name.clone(), method, args, grub_template, vars });
        Draft { profile, files, settings }
    }

    fn boot_method(&mut self, subject: Subject, settings: &ProfileSettings) -> BootMethod {
        let given = [
            ("kernel", settings.kernel.is_some()),
            ("iso", settings.iso.is_some()),
            ("chain", settings.chain.is_some()),
            ("iscsi", settings.iscsi.is_some()),
            ("local", settings.local),
            ("template", settings.template.is_some()),
        ];
        let given: Vec<_> = given.into_iter().filter(|(_, given)| *given).map(|(key, _)| key).collect();
        if given.len() != 1 {
            self.error(subject, ["name"], RosterProblem::BootMethods(given));
            return BootMethod::Local;
        }
        let name = &settings.name;
        if let Some(kernel) = &settings.kernel {
            self.reference(subject, "kernel", kernel);
            settings.initrd.iter().for_each(|initrd| self.reference(subject, "initrd", &initrd.asset));
            let loader = Loader::of(kernel);
            let initrds = initrd::initrds(loader, &settings.initrd).unwrap_or_else(|problems| {
                for problem in problems {
                    self.error(subject, ["initrd"], RosterProblem::Initrd(problem));
                }
                Vec::new()
            });
            return BootMethod::Kernel { kernel: kernel.clone(), loader, initrds };
        }
        if let Some(iso) = &settings.iso {
            self.reference(subject, "iso", iso);
            return BootMethod::Iso(iso.clone());
        }
        if let Some(chain) = &settings.chain {
            if !chain.contains("://") {
                self.reference(subject, "chain", chain);
                return BootMethod::Chain(chain.clone());
            }
            if !chain.bytes().all(|b| b.is_ascii_graphic()) || chain.contains("${") {
                let expected = "a URL without spaces, ${…} and non-ASCII characters";
                self.error(subject, ["chain"], RosterProblem::Invalid { found: chain.clone(), expected });
            }
            return BootMethod::ChainUrl(chain.clone());
        }
        if let Some(disk) = &settings.iscsi {
            let mut disk = disk.clone();
            let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-.:[]".contains(&b);
            if disk.portal.is_empty() || !disk.portal.bytes().all(allowed) {
                let expected = "a name or an address (an IPv6 address in brackets)";
                let found = disk.portal.clone();
                self.error(subject, ["iscsi", "portal"], RosterProblem::Invalid { found, expected });
            }
            disk.target =
                self.template(subject, &["iscsi", "target"], &format!("profile {name}, iscsi.target"), &disk.target);
            disk.initiator = disk.initiator.map(|text| {
                self.template(subject, &["iscsi", "initiator"], &format!("profile {name}, iscsi.initiator"), &text)
            });
            return BootMethod::Iscsi(disk);
        }
        match &settings.template {
            Some(template) => BootMethod::Template(self.template_file(subject, &["template"], template)),
            None => BootMethod::Local,
        }
    }

    fn reference(&mut self, subject: Subject, key: &str, reference: &str) {
        if let Err(error) = self.roster.references.check(reference) {
            self.error(subject, [key], error.into());
        }
    }

    fn args(&mut self, subject: Subject, whose: &str, args: Vec<String>) -> Vec<String> {
        let each = args.into_iter().enumerate();
        each.map(|(index, text)| self.template(subject, &["args"], &format!("{whose}, args[{index}]"), &text)).collect()
    }

    fn files(&mut self, subject: Subject, files: BTreeMap<String, FileSettings>) -> BTreeMap<String, FileSpec> {
        let mut specs = BTreeMap::new();
        for (name, file) in files {
            let key = ["files", name.as_str()];
            // A file's name is the end of a URL path, like an asset's name.
            if AssetName::parse(&name).is_err() || name.starts_with('~') {
                self.error(subject, key, RosterProblem::FileName(name.clone()));
            }
            let template = self.template_file(subject, &key, &file.template);
            let content_type = file.content_type.unwrap_or_else(|| host_file::content_type(&name).to_owned());
            specs.insert(name, FileSpec { template, only_from_host: file.only_from_host, content_type });
        }
        specs
    }

    /// Adds a template from a file, which several settings may share.
    fn template_file(&mut self, subject: Subject, key: &[&str], template: &TemplateText) -> String {
        if self.roster.templates.has(&template.file) {
            return template.file.clone();
        }
        self.template(subject, key, &template.file, &template.text)
    }

    fn template(&mut self, subject: Subject, key: &[&str], name: &str, text: &str) -> String {
        let key: Vec<String> = key.iter().map(|&key| key.to_owned()).collect();
        if let Err(error) = self.roster.templates.add(name, text) {
            let problem = RosterProblem::Template(error.to_string());
            self.errors.push(RosterError { subject, key: key.clone(), problem });
        }
        self.origins.entry(name.to_owned()).or_insert((subject, key));
        name.to_owned()
    }

    fn host(&mut self, index: usize, settings: HostSettings, profiles: &HashMap<String, Draft>) {
        let subject = Subject::Host(index);
        let (name, keys) = (&settings.name, &settings.keys);
        if !Host::is_valid_name(name) {
            self.error(subject, ["name"], RosterProblem::HostName(name.clone()));
        }
        if self.roster.by_name.contains_key(name) {
            self.error(subject, ["name"], RosterProblem::Taken(name.clone()));
        }
        if *keys == Keys::default() {
            self.error(subject, ["match"], RosterProblem::Anonymous);
        }
        self.names.push(name.clone());
        for (key, field) in MatchKey::of_host(keys) {
            if !key.can_match() {
                self.error(subject, ["match", field], RosterProblem::Unmatchable(key.to_string()));
                continue;
            }
            match self.roster.by_key.entry(key) {
                Entry::Occupied(taken) if *taken.get() != index => {
                    let other = self.names[*taken.get()].clone();
                    let key = taken.key().to_string();
                    self.error(subject, ["match", field], RosterProblem::Claimed { key, other });
                }
                Entry::Occupied(_) => {}
                Entry::Vacant(free) => drop(free.insert(index)),
            }
        }
        let args = self.args(subject, &format!("host {name}"), settings.args.clone());
        let own_files = self.files(subject, settings.files);
        let Some(draft) = profiles.get(&settings.profile) else {
            return self.error(subject, ["profile"], no_profile(&settings.profile, profiles));
        };
        let mut vars: BTreeMap<String, Json> = draft.settings.vars.clone();
        vars.extend(settings.vars);
        let mut files = draft.files.clone();
        files.extend(own_files);
        let mut secrets = draft.settings.secrets.clone();
        secrets.extend(settings.secrets);
        let template_vars = template_vars(name, keys, settings.nbp.as_deref(), Value::from(Serde(&vars)));
        let host = Host {
            template_vars,
            profile: Arc::clone(&draft.profile),
            args: draft.profile.args.iter().cloned().chain(args).collect(),
            name: settings.name,
            keys: settings.keys,
            nbp: settings.nbp,
            files,
            secrets,
        };
        self.roster.by_name.insert(host.name.clone(), index);
        self.roster.hosts.push(Arc::new(host));
    }
}

/// The variable `host` of templates: what the configuration says about a host. Values that it does not have are undefined.
fn template_vars(name: &str, keys: &Keys, nbp: Option<&str>, vars: Value) -> Value {
    let text = |name: &'static str, text: Option<String>| text.map(|text| (name, Value::from(text)));
    let known = [
        text("name", Some(name.to_owned())),
        text("mac", keys.macs.first().map(Mac::to_string)),
        text("uuid", keys.uuid.map(|uuid| uuid.to_string())),
        text("serial", keys.serial.clone()),
        text("asset_tag", keys.asset_tag.clone()),
        text("nbp", nbp.map(str::to_owned)),
        Some(("macs", keys.macs.iter().map(|mac| Value::from(mac.to_string())).collect::<Value>())),
        Some(("vars", vars)),
    ];
    Value::from_pairs(known.into_iter().flatten())
}
