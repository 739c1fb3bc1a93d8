//! Where the API reads machines and their boots.

use std::collections::HashMap;

use axum::extract::FromRef;

use super::state::AdminState;
use crate::boot::{Boot, Ledger, MachineStatus};

/// Where machines are read.
#[derive(Clone)]
pub(super) enum Machines {
    /// In the running server.
    Live(Boot),
    /// In the ledger that the last server left.
    Kept(Ledger),
}

impl FromRef<AdminState> for Machines {
    fn from_ref(state: &AdminState) -> Self {
        Self::Live(state.boot.clone())
    }
}

impl Machines {
    /// All machines, without their boots.
    pub(super) fn list(&self) -> Vec<MachineStatus> {
        match self {
            Self::Live(boot) => boot.machines(),
            Self::Kept(ledger) => ledger.machines(&HashMap::new()),
        }
    }

    /// The machine of this name, MAC or address, with its boots.
    pub(super) fn find(&self, name: &str) -> Option<MachineStatus> {
        match self {
            Self::Live(boot) => boot.machine(name),
            Self::Kept(ledger) => ledger.machine(name, &HashMap::new()),
        }
    }
}
