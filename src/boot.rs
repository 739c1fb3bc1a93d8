//! Which machine boots what, and how far each boot has come. It uses the depot and knows no protocol: front ends pass what
//! a request says about a machine, and send the answer.
//!
//! | module | contents |
//! |---|---|
//! | `machine`, `mac`, `uuid` | what a request says about a machine |
//! | `settings` | hosts and profiles as configured |
//! | `host`, `roster` | hosts and profiles after the checks, and which machine is which host |
//! | `check` | builds a [`Roster`] from settings and reports all errors |
//! | `references`, `not_live` | which asset a reference names, and why it names none |
//! | `template`, `piece`, `escape` | compiled templates, and escaping for iPXE, GRUB and the kernel |
//! | `links`, `token` | URLs in scripts and files, with one-time tokens |
//! | `script`, `host_file`, `preview` | scripts for machines, files for hosts, and previews of both |
//! | `releases` | [`Releases`]: which release is live in each channel |
//! | `ledger` | [`Ledger`]: what each machine did in its last boots |
//! | `facade`, `dependencies` | [`Boot`], which combines all this |

mod check;
mod closest;
mod dependencies;
mod escape;
mod facade;
#[cfg(test)]
mod fixtures;
mod hex;
mod host;
mod host_file;
mod language;
mod ledger;
mod links;
mod mac;
mod machine;
mod not_live;
mod piece;
mod preview;
mod references;
mod releases;
mod request_context;
mod role;
mod roster;
mod script;
mod settings;
mod template;
#[cfg(test)]
mod tests;
mod token;
mod uuid;

pub(crate) use closest::closest;
pub use facade::{Boot, FileError, HostFile};
pub use host::{Host, Profile};
pub use language::Language;
pub use ledger::{BootStatus, Ledger, MachineStatus, State, StepStatus};
pub use mac::{Mac, MacError};
pub use machine::Machine;
pub use not_live::{NotLive, ReferenceError};
pub use releases::{ActivateError, RECORD_FILE, ReleaseState, ReleaseStatus, Releases};
pub use request_context::RequestContext;
pub use role::Role;
pub use roster::{Roster, RosterError, RosterProblem, Subject};
pub use script::{Script, ScriptError, entry_script};
pub use settings::{FileSettings, HostSettings, IscsiSettings, Keys, ProfileSettings, RosterSettings, TemplateText};
pub use uuid::{Uuid, UuidError};
