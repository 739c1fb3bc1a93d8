//! Builds the script for one machine from the roster.

use std::sync::Arc;

use minijinja::{Value, context};

use super::builtin::Builtin;
use super::error::ScriptError;
use super::text::Script;
use crate::asset::AssetName;
use crate::boot::escape::{self, grub, ipxe, kernel, pxelinux};
use crate::boot::host::{BootMethod, Host, Profile};
use crate::boot::initrd::{Initrd, Loader};
use crate::boot::language::Language;
use crate::boot::links::{Links, Resolve, TokenIssuer};
use crate::boot::mac::Mac;
use crate::boot::machine::Machine;
use crate::boot::not_live::NotLive;
use crate::boot::piece::Piece;
use crate::boot::request_context::RequestContext;
use crate::boot::role::Role;
use crate::boot::roster::Roster;

/// The end of the operator's script for iPXE, where it has not left or booted before.
const IPXE_LEAVE: &str = "
# bootdepot: UEFI continues with the next boot device only after a failure, a BIOS after both.
exit 1
";

/// Builds the script for one machine.
pub(in crate::boot) struct ScriptBuilder<'r> {
    roster: &'r Roster,
    language: Language,
    host: Option<Arc<Host>>,
    profile: Option<Arc<Profile>>,
    links: Arc<Links>,
    /// For names of assets relative to this many directories, instead of URLs.
    depth: Option<usize>,
    /// The file of its configuration for PXELINUX.
    file: String,
    /// The host that a machine which is no host nearly is.
    near_miss: Option<String>,
    request: Value,
    /// The machine's name in messages.
    title: String,
    /// The variable `host` of templates.
    host_vars: Value,
}

impl<'r> ScriptBuilder<'r> {
    /// A builder for the script of `machine`.
    pub(in crate::boot) fn new(
        roster: &'r Roster,
        machine: &Machine,
        request: &RequestContext,
        language: Language,
        resolve: Resolve,
        tokens: TokenIssuer,
    ) -> Self {
        let host = roster.find(machine);
        let profile = host.as_ref().map(|host| Arc::clone(&host.profile)).or_else(|| roster.default_profile().cloned());
        let title = host.as_ref().map_or_else(|| machine_title(machine), |host| host.name.clone());
        let host_vars = match (&host, &profile) {
            (Some(host), _) => host.template_vars.clone(),
            (None, Some(profile)) => context! { name => title.as_str(), vars => profile.vars.clone() },
            (None, None) => context! { name => title.as_str() },
        };
        let near_miss = if host.is_none() { roster.near_miss(machine) } else { None };
        let links = Links::new(request, host.clone(), resolve, tokens);
        let request = request_vars(machine, request);
        let mac = machine.mac.map(|mac| format!("01-{}", mac.to_string().replace(':', "-")));
        let by_uuid = || machine.uuid.map(|uuid| uuid.to_string());
        let file = mac.or_else(by_uuid).unwrap_or_else(|| "default".to_owned());
        Self { roster, language, links, depth: None, file, near_miss, request, title, host_vars, host, profile }
    }

    /// Names assets relative to this many directories below the root, if any: for PXELINUX over TFTP.
    pub(in crate::boot) fn with_depth(self, depth: Option<usize>) -> Self {
        Self { depth, ..self }
    }

    /// Replaces the profile that the machine boots.
    pub(in crate::boot) fn with_profile(mut self, profile: Arc<Profile>) -> Self {
        if self.host.is_none() {
            self.host_vars = context! { name => self.title.as_str(), vars => profile.vars.clone() };
        }
        self.profile = Some(profile);
        self
    }

    /// Builds the script of the profile. If that fails, builds a script that shows the reason and retries.
    pub(in crate::boot) fn build(self) -> Script {
        let (text, error) = match self.profile_script() {
            Ok(text) => (text, None),
            Err(error) => (self.wait_script(&error), Some(error)),
        };
        let text = match self.language {
            Language::Ipxe | Language::Pxelinux => text,
            Language::Grub => received(&text) + &text,
        };
        let named = if error.is_none() { self.links.named() } else { Vec::new() };
        Script {
            text,
            named,
            error,
            near_miss: self.near_miss,
            host: self.host.as_ref().map(|host| host.name.clone()),
            profile: self.profile.as_ref().map(|profile| profile.name.clone()),
        }
    }

    fn profile_script(&self) -> Result<String, ScriptError> {
        let profile = self.profile.as_ref().ok_or(ScriptError::UnknownMachine)?;
        if let (Language::Grub, Some(template)) = (self.language, &profile.grub_template) {
            return self.render(template, self.context());
        }
        let asset = |role, reference: &str| self.asset_vars(&self.links.asset(role, reference)?);
        let common = |kind: &str| context! { kind, profile => profile.name.as_str(), host => self.title.as_str() };
        let context = match (&profile.method, self.language) {
            (BootMethod::Kernel { loader, .. }, Language::Grub) if loader.unsupported_by_grub().is_some() => {
                return Err(self.unsupported(loader.unsupported_by_grub().unwrap_or_default()));
            }
            (BootMethod::Kernel { loader: Loader::Wimboot, .. }, Language::Pxelinux) => {
                return Err(self.unsupported("wimboot gets its files by name from iPXE alone"));
            }
            (BootMethod::Kernel { initrds, .. }, Language::Pxelinux) if initrds.iter().any(|it| it.path.is_some()) => {
                return Err(self.unsupported("it cannot give a file a place in the initramfs"));
            }
            (BootMethod::Kernel { kernel, loader, initrds }, _) => {
                let kernel = asset(Role::Kernel, kernel)?;
                let names = loader.initrd_args(initrds);
                let initrds = initrds.iter().map(|Initrd { asset: reference, label, path }| {
                    let nested = path.as_deref().is_some_and(|path| path.matches('/').count() > 1);
                    Ok(context! { label, inside => path, nested, ..asset(Role::Initrd, reference)? })
                });
                let initrds = initrds.collect::<Result<Vec<_>, ScriptError>>()?;
                context! { kernel, names, initrds, words => self.kernel_args(profile)?, ..common("kernel") }
            }
            (BootMethod::Local, _) => common("local"),
            (BootMethod::Template(template), Language::Ipxe) => {
                return Ok(self.render(template, self.context())? + IPXE_LEAVE);
            }
            (BootMethod::Iso(iso), Language::Ipxe) => context! { iso => asset(Role::Asset, iso)?, ..common("iso") },
            (BootMethod::Chain(reference), Language::Ipxe | Language::Grub) => {
                let url = self.links.asset_url(&self.links.asset(Role::Asset, reference)?);
                context! { target => self.target(&url)?, ..common("chain") }
            }
            (BootMethod::ChainUrl(url), Language::Ipxe | Language::Grub) => {
                context! { target => self.target(url)?, ..common("chain") }
            }
            (BootMethod::Iscsi(disk), Language::Ipxe) => {
                let port = disk.port.map(|port| port.to_string()).unwrap_or_default();
                let path = format!("iscsi:{}::{port}:{:x}:{}", disk.portal, disk.lun, self.one_word(&disk.target)?);
                let initiator = disk.initiator.as_deref().map(|template| self.one_word(template)).transpose()?;
                let initiator = initiator.map(|name| Value::from_safe_string(ipxe::word(&name)));
                context! { target => Value::from_safe_string(ipxe::word(&path)), initiator, ..common("iscsi") }
            }
            (BootMethod::Template(_), Language::Grub) => {
                return Err(self.unsupported("it has a template for iPXE and no grub_template"));
            }
            (BootMethod::Template(_), Language::Pxelinux) => return Err(self.unsupported("it has a template for iPXE")),
            (BootMethod::Iso(_), Language::Grub | Language::Pxelinux) => {
                return Err(self.unsupported("it cannot boot an ISO image over HTTP"));
            }
            (BootMethod::Iscsi(_), Language::Grub | Language::Pxelinux) => {
                return Err(self.unsupported("it does not support iSCSI"));
            }
            (BootMethod::Chain(_) | BootMethod::ChainUrl(_), Language::Pxelinux) => {
                return Err(self.unsupported("it starts kernels only"));
            }
        };
        if self.language == Language::Grub && grub::path(self.links.base()).is_none() {
            return Err(self.unsupported("it does not support HTTPS"));
        }
        Builtin::Boot.render(self.language, context)
    }

    /// The variables and functions of the operator's templates.
    fn context(&self) -> Value {
        let profile = self.profile.as_ref().map(|profile| context! { name => profile.name.as_str() });
        let functions = Value::from_pairs(self.links.functions());
        context! {
            host => self.host_vars.clone(),
            profile,
            request => self.request.clone(),
            base => Value::from_safe_string(self.links.base().to_owned()),
            ..functions
        }
    }

    /// The variables of an asset in built-in scripts: its name, its URL, its path for GRUB, and its place for PXELINUX.
    fn asset_vars(&self, name: &AssetName) -> Result<Value, ScriptError> {
        let url = self.links.asset_url(name);
        let path = grub::path(&url).map(|path| Value::from_safe_string(grub::word(&path)));
        let place = self.depth.map_or_else(|| url.clone(), |depth| "../".repeat(depth) + name.as_str());
        if self.language == Language::Pxelinux && !pxelinux::is_file_name(&place) {
            return Err(self.unsupported("the name of an asset has a space or a comma"));
        }
        Ok(context! { name => name.as_str(), url => Value::from_safe_string(url), path, place })
    }

    /// A URL in the form of the language.
    fn target(&self, url: &str) -> Result<Value, ScriptError> {
        let word = match self.language {
            Language::Ipxe => ipxe::word(url),
            Language::Grub | Language::Pxelinux => {
                let path = grub::path(url).ok_or_else(|| self.unsupported("it can fetch only from HTTP URLs"))?;
                grub::word(&path)
            }
        };
        Ok(Value::from_safe_string(word))
    }

    fn unsupported(&self, reason: &'static str) -> ScriptError {
        ScriptError::Unsupported(self.language.loader(), reason)
    }

    /// The words of the kernel's command line, escaped for the language.
    fn kernel_args(&self, profile: &Profile) -> Result<Vec<Value>, ScriptError> {
        let args = self.host.as_ref().map_or(&profile.args, |host| &host.args);
        let mut words = Vec::new();
        for template in args {
            let found = kernel::words(&self.pieces(template, self.context())?);
            for word in found.map_err(|error| broken(template, &error))? {
                words.push(Value::from_safe_string(match self.language {
                    Language::Ipxe => ipxe::word(&word),
                    Language::Grub | Language::Pxelinux if word.contains("${") => {
                        return Err(self.unsupported("its arguments contain an iPXE setting, ${…}"));
                    }
                    Language::Grub => grub::word(&word),
                    Language::Pxelinux => kernel::quoted_word(&word),
                }));
            }
        }
        Ok(words)
    }

    /// Renders a template that must produce one word without spaces or quotes.
    fn one_word(&self, template: &str) -> Result<String, ScriptError> {
        let words = kernel::words(&self.pieces(template, self.context())?);
        match words.map_err(|error| broken(template, &error))?.as_slice() {
            [word] if !word.contains(' ') => Ok(word.clone()),
            _ => Err(broken(template, &"this must render to one word")),
        }
    }

    fn render(&self, template: &str, context: Value) -> Result<String, ScriptError> {
        let pieces = self.pieces(template, context)?;
        escape::script(self.language, &pieces).map_err(|error| broken(template, &error))
    }

    fn pieces(&self, template: &str, context: Value) -> Result<Vec<Piece>, ScriptError> {
        self.roster.templates.render(template, context).map_err(|error| match self.links.not_live() {
            Some(not_live @ (NotLive::Fetching { .. } | NotLive::Inactive(_) | NotLive::NoRelease(_))) => {
                ScriptError::NotLive(not_live)
            }
            _ => broken(template, &error),
        })
    }

    /// The script for a machine that has nothing to boot now: shows the reason and retries.
    fn wait_script(&self, error: &ScriptError) -> String {
        let why = match error {
            ScriptError::UnknownMachine => context! { why => "unknown", near => self.near_miss.as_deref() },
            ScriptError::NotLive(NotLive::Fetching { release, cached, total }) => {
                context! { why => "fetching", release, cached, total }
            }
            ScriptError::NotLive(NotLive::Inactive(channel)) => context! { why => "inactive", channel },
            ScriptError::NotLive(NotLive::NoRelease(channel)) => context! { why => "no-release", channel },
            ScriptError::Unsupported(_, reason) => context! { why => "language", reason => *reason },
            ScriptError::NotLive(NotLive::Unknown(_) | NotLive::Invalid(_)) | ScriptError::Template { .. } => {
                context! { why => "broken" }
            }
        };
        let profile = self.profile.as_ref().map(|profile| profile.name.as_str());
        let context = context! {
            request => self.request.clone(),
            file => self.file.as_str(),
            host => self.title.as_str(),
            profile,
            base => Value::from_safe_string(self.links.base().to_owned()),
            ..why
        };
        Builtin::Wait.render_safe(self.language, context)
    }
}

/// The first line of a configuration for GRUB, by which the entry configuration knows that it was received, and whether GRUB
/// shows a menu at its end.
fn received(text: &str) -> String {
    let is_entry = |line: &str| matches!(line.split_whitespace().next(), Some("menuentry" | "submenu"));
    let what = if text.lines().any(is_entry) { "menu" } else { "script" };
    format!("set received={what}\n")
}

fn broken(template: &str, reason: &dyn std::fmt::Display) -> ScriptError {
    ScriptError::Template { template: template.to_owned(), reason: reason.to_string() }
}

/// The variable `request` of templates: every key, empty if the client did not send it.
fn request_vars(machine: &Machine, request: &RequestContext) -> Value {
    let text = |text: &Option<String>| text.as_deref().map(sanitize).unwrap_or_default();
    context! {
        mac => machine.mac.map(|mac| mac.to_string()).unwrap_or_default(),
        uuid => machine.uuid.map(|uuid| uuid.to_string()).unwrap_or_default(),
        serial => text(&machine.serial),
        asset => text(&machine.asset_tag),
        hostname => text(&machine.hostname),
        buildarch => text(&machine.buildarch),
        platform => text(&machine.platform),
        address => request.peer.to_canonical().to_string(),
    }
}

/// Replaces each character of a client's text that is special in any language of templates with an underscore: it stays
/// plain text however a template uses it.
fn sanitize(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() || " ._:/+@,=-".contains(c) { c } else { '_' }).collect()
}

/// The title of a machine that is not a host: its DHCP host name, else its MAC address.
fn machine_title(machine: &Machine) -> String {
    let named = machine.hostname.as_deref().filter(|name| Host::is_valid_name(name));
    let address = |mac: Mac| mac.to_string().replace(':', "-");
    named.map(str::to_owned).or_else(|| machine.mac.map(address)).unwrap_or_else(|| "unknown".to_owned())
}
