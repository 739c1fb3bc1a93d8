//! Which machine boots what, and how far each boot has come. It uses the depot and knows no protocol: front ends pass what
//! a request says about a machine, and send the answer.
//!
//! | module | contents |
//! |---|---|
//! | `machine`, `mac`, `uuid` | what a request says about a machine |
//! | `settings` | hosts and profiles as configured |
//! | `initrd` | programs in place of a kernel, and the files that a kernel gets |
//! | `host`, `roster` | hosts and profiles after the checks, and which machine is which host |
//! | `check` | builds a [`Roster`] from settings and reports all errors |
//! | `references`, `not_live` | which asset a reference names, and why it names none |
//! | `template`, `piece`, `syntax` | compiled templates, and values that filters have quoted |
//! | `escape`, `document` | escaping for iPXE, GRUB and the kernel, and for files by their suffix |
//! | `links`, `token` | URLs in scripts and files, with one-time tokens |
//! | `script`, `host_file`, `preview` | scripts for machines, files for hosts, and previews of both |
//! | `requested_script` | [`RequestedScript`]: the script that a requested name refers to |
//! | `named_file` | host files by the names that machines request over TFTP |
//! | `releases` | [`Releases`]: which release is live in each channel |
//! | `ledger` | [`Ledger`]: what each machine did in its last boots |
//! | `facade`, `dependencies` | [`Boot`], which combines all this |

mod check;
mod closest;
mod dependencies;
mod document;
mod escape;
mod facade;
#[cfg(test)]
mod fixtures;
mod hex;
mod host;
mod host_file;
mod initrd;
mod language;
mod ledger;
mod links;
mod mac;
mod machine;
mod named_file;
mod not_live;
mod piece;
mod preview;
mod references;
mod releases;
mod request_context;
mod requested_script;
mod role;
mod roster;
mod script;
mod settings;
mod syntax;
mod template;
#[cfg(test)]
mod tests;
mod token;
mod uuid;

pub(crate) use closest::closest;
pub use facade::{Boot, FileError, HostFile};
pub use host::{Host, Profile};
pub use language::Language;
pub use ledger::{BootStatus, HostCards, Identity, Ledger, MachineStatus, ScriptKind, SentScript, State, StepStatus};
pub use mac::{Mac, MacError};
pub use machine::Machine;
pub use named_file::{NamedFile, split_file_token, without_token};
pub use not_live::{NotLive, ReferenceError};
pub use releases::{ActivateError, RECORD_FILE, ReleaseState, ReleaseStatus, Releases};
pub use request_context::RequestContext;
pub use requested_script::RequestedScript;
pub use role::Role;
pub use roster::{Roster, RosterError, RosterProblem, Subject};
pub use script::{Script, ScriptError, entry_script};
pub use settings::{
    FileSettings, HostSettings, InitrdSettings, IscsiSettings, Keys, ProfileSettings, RosterSettings, TemplateText,
};
pub use uuid::{Uuid, UuidError};
