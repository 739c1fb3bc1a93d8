//! The operator's buckets: their wanted settings, what they hold, and what may be deleted from them.
//!
//! A [`BucketPlan`] is the wanted state. Each [`Setting`] compares its part of the plan with the document that the server has, and
//! decides which document to write; [`init_bucket`] does the requests. Rules and statements whose ID begins with [`OURS`] are
//! managed here. All others are kept.

mod access;
mod decision;
mod encryption;
mod init;
mod inventory;
mod lifecycle;
mod metadata;
mod plan;
mod policy;
mod prune;
mod public_access;
mod setting;
mod versioning;

#[cfg(test)]
mod tests;

pub use access::{AccessPolicies, partition};
pub use init::{InitOptions, Step, StepOutcome, init_bucket};
pub use inventory::{CatalogUse, Inventory, InventoryObject, MissingObject, ObjectState, read_inventory};
pub use metadata::ObjectNote;
pub use plan::{Archive, BucketPlan, BucketPurpose, Encryption, OURS};
pub use policy::public_policy;
pub use prune::{AssetUse, PruneObject, PruneVerdict, prune_plan};
pub use setting::Setting;
