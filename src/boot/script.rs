//! Scripts for iPXE and GRUB: what a machine is told to do. Each is a template, ours or the operator's; none hangs without
//! a word.

pub(super) mod grub;
pub(super) mod ipxe;
pub(super) mod kernel;
#[cfg(test)]
pub(super) mod tests;

use std::sync::Arc;

use minijinja::{Value, context};

use super::host::{Host, Kind, Profile};
use super::links::{Links, Mint, Resolve};
use super::machine::Mac;
use super::roster::Roster;
use super::template::{Piece, TemplateError, Templates};
use super::{Machine, NotLive, Role, Visit};

/// Who reads a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// iPXE.
    Ipxe,
    /// GRUB 2.
    Grub,
}

/// A script for one machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// The script itself.
    pub text: String,
    /// The host that the machine is.
    pub host: Option<String>,
    /// The profile that it boots.
    pub profile: Option<String>,
    /// What the script names: assets by their names, files as `hosts/NAME/FILE`.
    pub named: Vec<(Role, String)>,
    /// Why it is not the profile's script: the machine is told, and asks again.
    pub trouble: Option<Trouble>,
}

/// Why there is no script of a profile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// Nobody named the machine, and there is no profile for unknown ones.
    #[error("no [[host]] matches this machine, and [defaults] has no profile")]
    Unknown,
    /// What it names is not live.
    #[error(transparent)]
    NotLive(#[from] NotLive),
    /// Its language has no words for it.
    #[error("GRUB cannot boot it: {0}")]
    Language(&'static str),
    /// A template fails.
    #[error("{template}: {reason}")]
    Template {
        /// Which.
        template: String,
        /// Why.
        reason: String,
    },
}

/// Why a value cannot stand in a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unspeakable {
    /// A control character: a line end would begin a command.
    #[error("a value holds the control character {0:?}; a script's line cannot")]
    Control(char),
    /// What iPXE would expand, and has no way to write otherwise.
    #[error("a value makes \"${{\", which iPXE would expand")]
    Expansion,
    /// A double quote in a kernel argument.
    #[error("a value holds a double quote; a kernel's arguments cannot")]
    Quote,
    /// A character that the kernel takes for a space.
    #[error("a value holds {0:?}, which the kernel takes for a space")]
    Space(char),
    /// A list, a table or nothing where a text should be.
    #[error("a list, a table or none was written out; write its elements one by one")]
    Structure,
    /// No iPXE script.
    #[error("a script for iPXE begins with the line #!ipxe")]
    Magic,
}

/// Refuses what no line of a script can hold.
fn speakable(value: &str) -> Result<(), Unspeakable> {
    value.chars().find(|c| c.is_control()).map_or(Ok(()), |c| Err(Unspeakable::Control(c)))
}

/// A number or a flag as text.
fn scalar(json: &str) -> Result<&str, Unspeakable> {
    if json.starts_with(['[', '{']) || json == "null" { Err(Unspeakable::Structure) } else { Ok(json) }
}

/// Refuses a `${` whose halves come from both sides of `at`.
fn no_expansion_across(text: &str, at: usize) -> Result<(), Unspeakable> {
    let across = text.get(..at).is_some_and(|before| before.ends_with('$'))
        && text.get(at..).is_some_and(|after| after.starts_with('{'));
    if across { Err(Unspeakable::Expansion) } else { Ok(()) }
}

/// Our own templates: their names, and what is in them.
const OURS: [(&str, &str); 6] = [
    (IPXE.entry, include_str!("script/ipxe.entry.j2")),
    (IPXE.boot, include_str!("script/ipxe.boot.j2")),
    (IPXE.wait, include_str!("script/ipxe.wait.j2")),
    (GRUB.entry, include_str!("script/grub.entry.j2")),
    (GRUB.boot, include_str!("script/grub.boot.j2")),
    (GRUB.wait, include_str!("script/grub.wait.j2")),
];

/// The names of a language's templates.
struct Ours {
    entry: &'static str,
    boot: &'static str,
    wait: &'static str,
}

const IPXE: Ours = Ours { entry: "the entry script", boot: "the script of a profile", wait: "the script that waits" };
const GRUB: Ours = Ours { entry: "GRUB's entry", boot: "GRUB's script of a profile", wait: "GRUB's script that waits" };

impl Language {
    fn ours(self) -> &'static Ours {
        match self {
            Self::Ipxe => &IPXE,
            Self::Grub => &GRUB,
        }
    }

    fn script(self, pieces: &[Piece]) -> Result<String, Unspeakable> {
        match self {
            Self::Ipxe => ipxe::script(pieces),
            Self::Grub => grub::script(pieces),
        }
    }
}

/// Adds our own templates.
pub(super) fn add_ours(templates: &mut Templates) -> Result<(), TemplateError> {
    OURS.iter().try_for_each(|(name, text)| templates.add(name, text))
}

/// The script that sends a machine on to its own.
pub(super) fn entry(templates: &Templates, visit: &Visit, language: Language) -> String {
    let links = Links::new(visit, None, Arc::new(|name| Err(NotLive::Unknown(name.to_owned()))), Mint::Sample);
    // GRUB speaks no HTTPS; the same host over HTTP is the next best guess.
    let plain = links.base().replacen("https:", "http:", 1);
    let context = context! {
        base => Value::from_safe_string(links.base().to_owned()),
        device => Value::from_safe_string(grub::path(&plain).unwrap_or_default().trim_end_matches('/').to_owned()),
    };
    ours(templates, language.ours().entry, language, context)
}

/// Renders one of our own templates. They take whatever a context may hold, which the tests show.
fn ours(templates: &Templates, name: &str, language: Language, context: Value) -> String {
    let rendered = templates.render(name, context).map_err(|error| error.to_string());
    match rendered.and_then(|pieces| language.script(&pieces).map_err(|error| error.to_string())) {
        Ok(script) => script,
        Err(reason) => {
            tracing::error!(template = name, reason, "a built-in script fails; please report it");
            String::new()
        }
    }
}

/// One script in the making.
pub(super) struct Making<'r> {
    roster: &'r Roster,
    language: Language,
    host: Option<Arc<Host>>,
    profile: Option<Arc<Profile>>,
    links: Arc<Links>,
    request: Value,
    /// What scripts call the machine.
    title: String,
    about: Value,
}

impl<'r> Making<'r> {
    /// The script of `machine` for a client that made this visit.
    pub(super) fn new(
        roster: &'r Roster,
        machine: &Machine,
        visit: &Visit,
        language: Language,
        resolve: Resolve,
        mint: Mint,
    ) -> Self {
        let host = roster.find(machine);
        let profile = host.as_ref().map(|host| Arc::clone(&host.profile)).or_else(|| roster.default_profile().cloned());
        let title = host.as_ref().map_or_else(|| stranger(machine), |host| host.name.clone());
        let about = match (&host, &profile) {
            (Some(host), _) => host.about.clone(),
            (None, Some(profile)) => context! { name => title.as_str(), vars => profile.vars.clone() },
            (None, None) => context! { name => title.as_str() },
        };
        let links = Links::new(visit, host.clone(), resolve, mint);
        Self { roster, language, links, request: request(machine, visit), title, about, host, profile }
    }

    /// The same as if the machine booted this profile.
    pub(super) fn with_profile(mut self, profile: Arc<Profile>) -> Self {
        if self.host.is_none() {
            self.about = context! { name => self.title.as_str(), vars => profile.vars.clone() };
        }
        self.profile = Some(profile);
        self
    }

    /// The script: the profile's, or one that says why there is none and asks again.
    pub(super) fn make(self) -> Script {
        let (text, trouble) = match self.of_profile() {
            Ok(text) => (text, None),
            Err(trouble) => (self.waiting(&trouble), Some(trouble)),
        };
        let named = if trouble.is_none() { self.links.named() } else { Vec::new() };
        Script {
            text,
            named,
            trouble,
            host: self.host.as_ref().map(|host| host.name.clone()),
            profile: self.profile.as_ref().map(|profile| profile.name.clone()),
        }
    }

    fn of_profile(&self) -> Result<String, Trouble> {
        let profile = self.profile.as_ref().ok_or(Trouble::Unknown)?;
        if let (Language::Grub, Some(template)) = (self.language, &profile.grub) {
            return self.script(template, self.context());
        }
        let shown = |name: &crate::asset::AssetName| {
            let url = self.links.asset_url(name);
            let path = grub::path(&url).map(|path| Value::from_safe_string(grub::word(&path)));
            context! { name => name.as_str(), url => Value::from_safe_string(url), path }
        };
        let asset = |role, reference: &str| Ok::<_, Trouble>(shown(&self.links.asset(role, reference)?));
        let about = |kind: &str| context! { kind, profile => profile.name.as_str(), host => self.title.as_str() };
        let context = match (&profile.kind, self.language) {
            (Kind::Kernel { kernel, initrds }, _) => {
                let kernel = asset(Role::Kernel, kernel)?;
                let initrds = initrds.iter().enumerate().map(|(index, reference)| {
                    Ok(context! { label => format!("initrd{index}"), ..asset(Role::Initrd, reference)? })
                });
                let initrds = initrds.collect::<Result<Vec<_>, Trouble>>()?;
                context! { kernel, initrds, words => self.words(profile)?, ..about("kernel") }
            }
            (Kind::Local, _) => about("local"),
            (Kind::Template(template), Language::Ipxe) => return self.script(template, self.context()),
            (Kind::Iso(iso), Language::Ipxe) => context! { iso => asset(Role::Asset, iso)?, ..about("iso") },
            (Kind::Chain(reference), language) => {
                let url = self.links.asset_url(&self.links.asset(Role::Asset, reference)?);
                context! { target => target(&url, language)?, ..about("chain") }
            }
            (Kind::ChainUrl(url), language) => context! { target => target(url, language)?, ..about("chain") },
            (Kind::Iscsi(disk), Language::Ipxe) => {
                let port = disk.port.map(|port| port.to_string()).unwrap_or_default();
                let path = format!("iscsi:{}::{port}:{:x}:{}", disk.portal, disk.lun, self.text(&disk.target)?);
                let initiator = disk.initiator.as_deref().map(|template| self.text(template)).transpose()?;
                let initiator = initiator.map(|name| Value::from_safe_string(ipxe::word(&name)));
                context! { target => Value::from_safe_string(ipxe::word(&path)), initiator, ..about("iscsi") }
            }
            (Kind::Template(_), Language::Grub) => {
                return Err(Trouble::Language("it has a template for iPXE and no grub_template"));
            }
            (Kind::Iso(_), Language::Grub) => return Err(Trouble::Language("it cannot boot an ISO image over HTTP")),
            (Kind::Iscsi(_), Language::Grub) => return Err(Trouble::Language("it speaks no iSCSI")),
        };
        if self.language == Language::Grub && grub::path(self.links.base()).is_none() {
            return Err(Trouble::Language("it speaks no HTTPS"));
        }
        self.script(self.language.ours().boot, context)
    }

    /// What templates of the operator see.
    fn context(&self) -> Value {
        let profile = self.profile.as_ref().map(|profile| context! { name => profile.name.as_str() });
        let functions = Value::from_pairs(self.links.functions());
        context! {
            host => self.about.clone(),
            profile,
            request => self.request.clone(),
            base => Value::from_safe_string(self.links.base().to_owned()),
            ..functions
        }
    }

    /// The words of the kernel's command line, each as its language writes it.
    fn words(&self, profile: &Profile) -> Result<Vec<Value>, Trouble> {
        let args = self.host.as_ref().map_or(&profile.args, |host| &host.args);
        let mut words = Vec::new();
        for template in args {
            let found = kernel::words(&self.pieces(template, self.context())?);
            for word in found.map_err(|error| broken(template, &error))? {
                words.push(Value::from_safe_string(match self.language {
                    Language::Ipxe => ipxe::word(&word),
                    Language::Grub if word.contains("${") => {
                        return Err(Trouble::Language("its arguments hold a setting of iPXE, ${…}"));
                    }
                    Language::Grub => grub::word(&word),
                }));
            }
        }
        Ok(words)
    }

    /// A text without spaces or quotes that a template makes.
    fn text(&self, template: &str) -> Result<String, Trouble> {
        let words = kernel::words(&self.pieces(template, self.context())?);
        match words.map_err(|error| broken(template, &error))?.as_slice() {
            [word] if !word.contains(' ') => Ok(word.clone()),
            _ => Err(broken(template, &"this must come to one word")),
        }
    }

    fn script(&self, template: &str, context: Value) -> Result<String, Trouble> {
        let pieces = self.pieces(template, context)?;
        self.language.script(&pieces).map_err(|error| broken(template, &error))
    }

    fn pieces(&self, template: &str, context: Value) -> Result<Vec<Piece>, Trouble> {
        self.roster.templates().render(template, context).map_err(|error| match self.links.missing() {
            Some(missing @ (NotLive::Fetching { .. } | NotLive::Inactive(_))) => Trouble::NotLive(missing),
            _ => broken(template, &error),
        })
    }

    /// The script for a machine that has none now.
    fn waiting(&self, trouble: &Trouble) -> String {
        let why = match trouble {
            Trouble::Unknown => context! { why => "unknown" },
            Trouble::NotLive(NotLive::Fetching { release, proven, total }) => {
                context! { why => "fetching", release, proven, total }
            }
            Trouble::NotLive(NotLive::Inactive(channel)) => context! { why => "inactive", channel },
            Trouble::Language(reason) => context! { why => "language", reason => *reason },
            Trouble::NotLive(NotLive::Unknown(_) | NotLive::Meaningless(_)) | Trouble::Template { .. } => {
                context! { why => "broken" }
            }
        };
        let profile = self.profile.as_ref().map(|profile| profile.name.as_str());
        let context = context! {
            request => self.request.clone(),
            host => self.title.as_str(),
            profile,
            base => Value::from_safe_string(self.links.base().to_owned()),
            ..why
        };
        ours(self.roster.templates(), self.language.ours().wait, self.language, context)
    }
}

fn broken(template: &str, reason: &dyn std::fmt::Display) -> Trouble {
    Trouble::Template { template: template.to_owned(), reason: reason.to_string() }
}

/// A URL as the language names it.
fn target(url: &str, language: Language) -> Result<Value, Trouble> {
    match language {
        Language::Ipxe => Ok(Value::from_safe_string(ipxe::word(url))),
        Language::Grub => {
            let path = grub::path(url).ok_or(Trouble::Language("it fetches nothing but HTTP"))?;
            Ok(Value::from_safe_string(grub::word(&path)))
        }
    }
}

/// What templates see as `request`: every key, empty where the client did not say.
fn request(machine: &Machine, visit: &Visit) -> Value {
    let text = |text: &Option<String>| text.as_deref().map(tame).unwrap_or_default();
    context! {
        mac => machine.mac.map(|mac| mac.to_string()).unwrap_or_default(),
        uuid => machine.uuid.map(|uuid| uuid.to_string()).unwrap_or_default(),
        serial => text(&machine.serial),
        asset => text(&machine.asset_tag),
        hostname => text(&machine.hostname),
        buildarch => text(&machine.buildarch),
        platform => text(&machine.platform),
        address => visit.peer.to_canonical().to_string(),
    }
}

/// A text of a request, with an underscore for each character that means anything in any of the languages that templates
/// make: whatever a template does with it, it stays a text.
fn tame(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() || " ._:/+@,=-".contains(c) { c } else { '_' }).collect()
}

/// What a machine is called that nobody named: the name that DHCP gave it, else its address.
fn stranger(machine: &Machine) -> String {
    let named = machine.hostname.as_deref().filter(|name| super::roster::is_host_name(name));
    let address = |mac: Mac| mac.to_string().replace(':', "-");
    named.map(str::to_owned).or_else(|| machine.mac.map(address)).unwrap_or_else(|| "unknown".to_owned())
}
