//! The built-in scripts: the entry script, the script of a profile, and the script that waits and retries.

use std::sync::{Arc, LazyLock};

use minijinja::{Value, context};
use url::{Host, Url};

use super::error::ScriptError;
use crate::boot::escape::{self, grub};
use crate::boot::language::Language;
use crate::boot::links::{Links, TokenIssuer};
use crate::boot::not_live::NotLive;
use crate::boot::request_context::RequestContext;
use crate::boot::template::Templates;

/// A built-in script.
#[derive(Debug, Clone, Copy)]
pub(super) enum Builtin {
    /// Sends a machine on to its own script, with everything that the boot loader knows about it.
    Entry,
    /// Boots a profile.
    Boot,
    /// Shows why there is nothing to boot, and requests the script again.
    Wait,
}

/// The end of a configuration for GRUB: starts the loader of a disk where the firmware continues with no other boot device.
const GRUB_LEAVE: &str = include_str!("grub.leave.cfg");

/// The compiled built-in scripts.
static TEMPLATES: LazyLock<Templates> = LazyLock::new(|| {
    let mut templates = Templates::default();
    for builtin in [Builtin::Entry, Builtin::Boot, Builtin::Wait] {
        for language in Language::ALL {
            let (name, text) = builtin.source(language);
            // They compile: every test of a script uses them.
            if let Err(error) = templates.add(name, text) {
                tracing::error!(template = error.template, %error, "a built-in script fails; please report it");
            }
        }
    }
    templates
});

impl Builtin {
    /// The name and the text of the template.
    fn source(self, language: Language) -> (&'static str, &'static str) {
        match (language, self) {
            (Language::Ipxe, Self::Entry) => ("the entry script", include_str!("ipxe.entry.j2")),
            (Language::Ipxe, Self::Boot) => ("the script of a profile", include_str!("ipxe.boot.j2")),
            (Language::Ipxe, Self::Wait) => ("the script that waits", include_str!("ipxe.wait.j2")),
            (Language::Grub, Self::Entry) => ("GRUB's entry", include_str!("grub.entry.j2")),
            (Language::Grub, Self::Boot) => ("GRUB's script of a profile", include_str!("grub.boot.j2")),
            (Language::Grub, Self::Wait) => ("GRUB's script that waits", include_str!("grub.wait.j2")),
            // A configuration cannot send more about the machine than its name has.
            (Language::Pxelinux, Self::Entry) => ("PXELINUX's entry", ""),
            (Language::Pxelinux, Self::Boot) => ("PXELINUX's script of a profile", include_str!("pxelinux.boot.j2")),
            (Language::Pxelinux, Self::Wait) => ("PXELINUX's script that waits", include_str!("pxelinux.wait.j2")),
        }
    }

    /// Renders the script. Fails if a value cannot be written in the language, such as an asset's name that contains `${`.
    pub(super) fn render(self, language: Language, context: Value) -> Result<String, ScriptError> {
        let (name, _) = self.source(language);
        let failed = |reason: String| ScriptError::Template { template: name.to_owned(), reason };
        let context = context! { leave => Value::from_safe_string(GRUB_LEAVE.to_owned()), ..context };
        let pieces = TEMPLATES.render(name, context).map_err(|error| failed(error.to_string()))?;
        escape::script(language, &pieces).map_err(|error| failed(error.to_string()))
    }

    /// Renders a script whose values can all be written, as the tests show.
    pub(super) fn render_safe(self, language: Language, context: Value) -> String {
        self.render(language, context).unwrap_or_else(|error| {
            tracing::error!(%error, "a built-in script fails; please report it");
            String::new()
        })
    }
}

/// Renders the entry script, which sends a machine on to its own script.
pub fn entry_script(request: &RequestContext, language: Language) -> String {
    let resolve = Arc::new(|name: &str| Err(NotLive::Unknown(name.to_owned())));
    let links = Links::new(request, None, resolve, TokenIssuer::Sample);
    // GRUB does not support HTTPS; the same host over HTTP is the best guess.
    let plain = links.base().replacen("https:", "http:", 1);
    // The command of iPXE that configures a device as this base requires, and the setting that it sets. DHCP alone is faster:
    // `ifconf` waits for router advertisements too.
    let (configure, address) = match Url::parse(links.base()).ok().as_ref().and_then(Url::host) {
        Some(Host::Ipv6(_)) => ("ifconf --configurator ipv6", "ip6"),
        Some(Host::Ipv4(_)) => ("dhcp", "ip"),
        Some(Host::Domain(_)) | None => ("ifconf", "ip"),
    };
    let context = context! {
        configure => Value::from_safe_string(configure.to_owned()),
        address => Value::from_safe_string(address.to_owned()),
        base => Value::from_safe_string(links.base().to_owned()),
        device => Value::from_safe_string(grub::path(&plain).unwrap_or_default().trim_end_matches('/').to_owned()),
    };
    Builtin::Entry.render_safe(language, context)
}
