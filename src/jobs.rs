//! Jobs: long work that operators start. A [`Selection`] says which assets, a [`Plan`] predicts the cost, and [`Jobs`] does
//! the work, with progress, cancellation and a history. It knows the depot and the boot configuration, and no protocol.

mod check;
mod check_row;
mod error;
mod item;
mod job;
mod limits;
mod plan;
mod registry;
mod runner;
mod selection;
mod status;
mod task;
#[cfg(test)]
mod tests;
mod work;

pub use check::{CheckProgress, CheckTask, Checker};
pub use check_row::{CheckResult, CheckRow, Finding};
pub use error::{CancelError, StartError};
pub use plan::{Cached, Missing, Plan, PlanItem, Room};
pub use registry::Jobs;
pub use selection::{SelectedKind, Selection, SelectionError, UnknownName, is_glob, matcher, select_assets};
pub use status::{
    AssetCounts, ByteCounts, ItemState, ItemStatus, JobEvent, JobKind, JobState, JobStatus, PlannedState,
};
pub use task::Task;
