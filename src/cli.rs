//! The operator's commands, one file each. They talk to operators; the work is done in the rooms.

pub mod config;
