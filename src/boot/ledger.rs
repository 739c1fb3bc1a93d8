//! The ledger: what each machine did in its last boots, step by step. It only records.
//!
//! `index` holds the boots of all machines and is pure; `attempt`, `step` and `stage` are its entries. `status` derives the
//! state of a boot, `journal` stores boots across restarts, `arp` maps addresses to MACs, `machine_status` is the report for operators, and
//! `handle` combines them.

mod arp;
mod attempt;
mod handle;
mod index;
mod journal;
mod key;
mod line;
mod machine_status;
mod stage;
mod state;
mod status;
mod step;
#[cfg(test)]
mod tests;

pub use handle::Ledger;
pub use machine_status::{BootStatus, MachineStatus, StepStatus};
pub use state::State;
