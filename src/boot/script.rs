//! Scripts for iPXE and GRUB. Each is rendered from a template, built-in or the operator's. A machine that cannot boot
//! always gets a script that shows the reason on its screen and retries.

mod builder;
mod builtin;
mod error;
#[cfg(test)]
mod tests;
mod text;

pub(super) use builder::ScriptBuilder;
pub use builtin::entry_script;
pub use error::ScriptError;
pub use text::Script;
