//! From what is written to a roster: everything that is wrong is found at once.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use minijinja::Value;
use minijinja::value::Serde;
use serde_json::Value as Json;

use super::{Key, Roster, RosterError, RosterProblem, Subject, about, is_host_name};
use crate::asset::AssetName;
use crate::boot::host::{FileSpec, Host, Kind, Profile};
use crate::boot::machine::can_identify;
use crate::boot::references::{References, most_alike};
use crate::boot::script::{Language, Trouble, ipxe};
use crate::boot::settings::{FileSettings, HostSettings, ProfileSettings, RosterSettings, TemplateText};
use crate::boot::{Machine, Visit, file};

/// Vars, args, files: what a host has from its profile.
struct Draft {
    profile: Arc<Profile>,
    files: BTreeMap<String, FileSpec>,
    settings: ProfileSettings,
}

struct Checker {
    roster: Roster,
    /// Where each template was written.
    origins: HashMap<String, (Subject, Vec<String>)>,
    errors: Vec<RosterError>,
    /// The hosts' names, broken ones included.
    names: Vec<String>,
}

/// The roster that `settings` make.
pub(super) fn build(settings: RosterSettings, references: References) -> Result<Roster, Vec<RosterError>> {
    let roster = Roster { references: Arc::new(references), ..Roster::default() };
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
    // What a broken host or template would make of others is no news.
    if checker.errors.is_empty() {
        checker.rehearse();
    }
    if checker.errors.is_empty() { Ok(checker.roster) } else { Err(checker.errors) }
}

fn no_profile(name: &str, profiles: &HashMap<String, Draft>) -> RosterProblem {
    let nearest = most_alike(name, profiles.keys().map(String::as_str));
    RosterProblem::NoProfile { name: name.to_owned(), nearest }
}

impl Checker {
    fn error<const N: usize>(&mut self, subject: Subject, key: [&str; N], problem: RosterProblem) {
        self.errors.push(RosterError { subject, key: key.map(str::to_owned).to_vec(), problem });
    }

    fn profile(&mut self, index: usize, mut settings: ProfileSettings) -> Draft {
        let subject = Subject::Profile(index);
        // Every script names it, the one that waits as well.
        if ipxe::value(&settings.name).is_err() {
            self.error(subject, ["name"], RosterProblem::ProfileName(settings.name.clone()));
        }
        let kind = self.kind(subject, &settings);
        let args = std::mem::take(&mut settings.args);
        if settings.kernel.is_none() {
            for (key, given) in [("initrd", !settings.initrd.is_empty()), ("args", !args.is_empty())] {
                if given {
                    self.error(subject, [key], RosterProblem::NoKernel);
                }
            }
        }
        let args = self.args(subject, &format!("profile {}", settings.name), args);
        let grub = settings.grub_template.take();
        let grub = grub.map(|template| self.template_file(subject, &["grub_template"], &template));
        let files = std::mem::take(&mut settings.files);
        let files = self.files(subject, files);
        let vars = Value::from(Serde(&settings.vars));
        let profile = Arc::new(Profile { name: settings.name.clone(), kind, args, grub, vars });
        Draft { profile, files, settings }
    }

    fn kind(&mut self, subject: Subject, settings: &ProfileSettings) -> Kind {
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
            self.error(subject, ["name"], RosterProblem::Kind(given));
            return Kind::Local;
        }
        let name = &settings.name;
        if let Some(kernel) = &settings.kernel {
            self.reference(subject, "kernel", kernel);
            settings.initrd.iter().for_each(|initrd| self.reference(subject, "initrd", initrd));
            return Kind::Kernel { kernel: kernel.clone(), initrds: settings.initrd.clone() };
        }
        if let Some(iso) = &settings.iso {
            self.reference(subject, "iso", iso);
            return Kind::Iso(iso.clone());
        }
        if let Some(chain) = &settings.chain {
            if !chain.contains("://") {
                self.reference(subject, "chain", chain);
                return Kind::Chain(chain.clone());
            }
            if !chain.bytes().all(|b| b.is_ascii_graphic()) || chain.contains("${") {
                let expected = "a URL: it has no spaces, no ${…} and nothing but ASCII";
                self.error(subject, ["chain"], RosterProblem::Wrong { found: chain.clone(), expected });
            }
            return Kind::ChainUrl(chain.clone());
        }
        if let Some(disk) = &settings.iscsi {
            let mut disk = disk.clone();
            let of_a_name = |b: u8| b.is_ascii_alphanumeric() || b"-.:[]".contains(&b);
            if disk.portal.is_empty() || !disk.portal.bytes().all(of_a_name) {
                let expected = "a name or an address, an IPv6 address in brackets";
                let found = disk.portal.clone();
                self.error(subject, ["iscsi", "portal"], RosterProblem::Wrong { found, expected });
            }
            disk.target =
                self.template(subject, &["iscsi", "target"], &format!("profile {name}, iscsi.target"), &disk.target);
            disk.initiator = disk.initiator.map(|text| {
                self.template(subject, &["iscsi", "initiator"], &format!("profile {name}, iscsi.initiator"), &text)
            });
            return Kind::Iscsi(disk);
        }
        match &settings.template {
            Some(template) => Kind::Template(self.template_file(subject, &["template"], template)),
            None => Kind::Local,
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
            // A file's name is the end of a path, as an asset's is.
            if AssetName::parse(&name).is_err() {
                self.error(subject, key, RosterProblem::FileName(name.clone()));
            }
            let template = self.template_file(subject, &key, &file.template);
            let content_type = file.content_type.unwrap_or_else(|| file::content_type(&name).to_owned());
            specs.insert(name, FileSpec { template, only_from_host: file.only_from_host, content_type });
        }
        specs
    }

    /// A template that is a file of its own: several may use it.
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
        if !is_host_name(name) {
            self.error(subject, ["name"], RosterProblem::HostName(name.clone()));
        }
        if self.roster.by_name.contains_key(name) {
            self.error(subject, ["name"], RosterProblem::Taken(name.clone()));
        }
        if *keys == super::Keys::default() {
            self.error(subject, ["match"], RosterProblem::Anonymous);
        }
        self.names.push(name.clone());
        for (key, field) in Key::of_host(keys) {
            if !key.can_be_shown() {
                self.error(subject, ["match", field], RosterProblem::Filler(key.to_string()));
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
        let about = about(name, keys, settings.nbp.as_deref(), Value::from(Serde(&vars)));
        let host = Host {
            about,
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

    /// Makes every script and every file once.
    fn rehearse(&mut self) {
        let visit = Visit { peer: std::net::Ipv4Addr::LOCALHOST.into(), base: "http://boot.example:8080".to_owned() };
        let mut failed: Vec<Failure> = Vec::new();
        let mut note = |template: String, what: &str, whom: &str, reason: String| {
            let same =
                failed.iter_mut().find(|one| one.template == template && one.reason == reason && one.what == what);
            match same {
                // One host has a script in each language.
                Some(same) if same.last == whom => {}
                Some(same) => (same.others, same.last) = (same.others + 1, whom.to_owned()),
                None => {
                    let (whom, what) = (whom.to_owned(), what.to_owned());
                    failed.push(Failure { template, what, last: whom.clone(), whom, reason, others: 0 });
                }
            }
        };
        let machines = self.roster.hosts.iter().map(|host| (host.name.as_str(), sample(host)));
        let strangers = self.roster.default_profile.iter().map(|_| ("a machine that nobody named", Machine::default()));
        for (whom, machine) in machines.chain(strangers) {
            for language in [Language::Ipxe, Language::Grub] {
                // That GRUB cannot boot it is nothing wrong, and every reference was checked.
                if let Some(Trouble::Template { template, reason }) =
                    self.roster.preview(&machine, &visit, language).trouble
                {
                    note(template, "the script", whom, reason);
                }
            }
        }
        for host in &self.roster.hosts {
            for (name, file) in &host.files {
                if let Err(reason) = self.roster.preview_file(host, name, &visit) {
                    note(file.template.clone(), &format!("the file {name}"), &host.name, reason);
                }
            }
        }
        for failure in failed {
            let origin = self.origins.get(&failure.template).cloned();
            let (subject, key) = origin.unwrap_or_else(|| self.place_of(&failure.whom));
            let whom = match failure.others {
                0 => failure.whom,
                others => format!("{} and {others} more", failure.whom),
            };
            let problem = RosterProblem::Render { what: failure.what, whom, reason: failure.reason };
            self.errors.push(RosterError { subject, key, problem });
        }
    }

    fn place_of(&self, whom: &str) -> (Subject, Vec<String>) {
        let subject = self.roster.by_name.get(whom).map_or(Subject::Defaults, |index| Subject::Host(*index));
        (subject, vec!["profile".to_owned()])
    }
}

/// What fails for one or more hosts.
struct Failure {
    template: String,
    what: String,
    whom: String,
    reason: String,
    /// How many others fail in the same way, and the last of them.
    others: usize,
    last: String,
}

/// A machine that is `host`.
fn sample(host: &Host) -> Machine {
    Machine {
        mac: host.keys.macs.first().copied(),
        uuid: host.keys.uuid,
        serial: host.keys.serial.clone(),
        asset_tag: host.keys.asset_tag.clone(),
        ..Machine::default()
    }
}

impl Key {
    /// Whether a machine can have it: not what stands for none, or what makers leave in every board.
    fn can_be_shown(&self) -> bool {
        match self {
            Self::Mac(mac) => mac.is_of_a_card(),
            Self::Uuid(uuid) => uuid.is_of_a_machine(),
            Self::Serial(text) | Self::AssetTag(text) => can_identify(text),
        }
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Mac(mac) => write!(f, "the MAC address {mac}"),
            Self::Uuid(uuid) => write!(f, "the UUID {uuid}"),
            Self::Serial(serial) => write!(f, "the serial number {serial:?}"),
            Self::AssetTag(tag) => write!(f, "the asset tag {tag:?}"),
        }
    }
}
