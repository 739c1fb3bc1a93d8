//! The ledger: what each machine did in its last boots, step by step. It only records.
//!
//! `index` holds the boots of all machines and is pure; `attempt`, `step`, `stage` and `trouble` are its entries. `sequence`
//! decides which events are one boot, and `status` how that ended: `tests/sequences.rs` has both for every way to boot.
//! `journal` stores boots across restarts, `neighbours` and `bindings` map addresses to MACs, `machine_status` is the report
//! for operators, `report` the one for the log, and `handle` combines them. `identity` is everything that a machine was seen
//! with, and `query` searches in it.

mod attempt;
mod bindings;
mod end_record;
mod handle;
mod host_cards;
mod identity;
mod index;
mod journal;
mod key;
mod line;
mod machine_status;
mod names;
mod neighbours;
mod query;
mod report;
mod reported;
mod script_kind;
mod sent_script;
mod sequence;
mod stage;
mod state;
mod status;
mod step;
#[cfg(test)]
mod tests;
mod trouble;
mod troubles;
mod way;
mod words;

pub use handle::Ledger;
pub use host_cards::HostCards;
pub use identity::Identity;
pub use machine_status::{BootStatus, MachineStatus, StepStatus};
pub(in crate::boot) use query::MachineQuery;
pub use script_kind::ScriptKind;
pub use sent_script::SentScript;
pub use state::State;
