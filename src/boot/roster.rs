//! The roster: hosts and profiles as the operator wrote them, checked as a whole. Immutable.

use std::sync::Arc;

use super::Machine;

/// One machine that the operator named.
#[derive(Debug, Clone)]
pub struct Host {
    /// Its name.
    pub name: String,
    /// The firmware file for this host, where it is not the one of its architecture.
    pub nbp: Option<String>,
    /// What it boots.
    pub profile: Arc<Profile>,
}

/// One way to boot.
#[derive(Debug, Clone)]
pub struct Profile {
    /// Its name.
    pub name: String,
}

/// All hosts and profiles.
#[derive(Debug, Default)]
pub struct Roster {
    hosts: Vec<Arc<Host>>,
}

impl Roster {
    /// The host that this machine is.
    pub fn find(&self, machine: &Machine) -> Option<Arc<Host>> {
        let _ = machine;
        None
    }

    /// All hosts, in the order of the settings.
    pub fn hosts(&self) -> &[Arc<Host>] {
        &self.hosts
    }
}
