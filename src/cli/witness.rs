//! Where commands learn what machines did: the running server; where none runs, the file that the last one left.

use std::collections::HashMap;

use anyhow::Context as _;

use super::running::Running;
use super::say;
use super::server::{AskError, Server};
use crate::api::HostList;
use crate::api::MachineView;
use crate::boot::Ledger;
use crate::config::Flags;

/// Who tells what machines did.
pub(super) enum Witness {
    /// A running server.
    Server(Server),
    /// The file that the last one left.
    File(Ledger),
}

impl Witness {
    /// The server that runs with these settings; where none answers, its file, which standard error is told of. Blocks.
    pub(super) fn of(flags: &Flags) -> anyhow::Result<Self> {
        let (config, why) = match Running::with(flags)? {
            Running::Server(server) => return Ok(Self::Server(server)),
            Running::Nobody { config, why } => (config, why.in_short()),
        };
        let dir = &config.cache.dir;
        say(format_args!("bootdepot: {why}; this is what the ledger in {} says", dir.display()));
        let ledger = Ledger::read(dir).with_context(|| format!("cannot read the ledger in {}", dir.display()))?;
        Ok(Self::File(ledger))
    }

    /// Every machine.
    pub(super) fn machines(&self) -> anyhow::Result<Vec<MachineView>> {
        match self {
            Self::File(ledger) => Ok(ledger.machines(&HashMap::new()).into_iter().map(Into::into).collect()),
            Self::Server(server) => Ok(server.get::<HostList>(&["hosts"])?.hosts),
        }
    }

    /// The machine of this name, MAC or address, with its boots; else why there is none.
    pub(super) fn machine(&self, who: &str) -> anyhow::Result<Result<MachineView, String>> {
        match self {
            Self::File(ledger) => {
                let none = || "no machine with this name, MAC or address is in the ledger".to_owned();
                Ok(ledger.machine(who, &HashMap::new()).map(Into::into).ok_or_else(none))
            }
            Self::Server(server) => match server.get(&["hosts", who]) {
                Ok(machine) => Ok(Ok(machine)),
                Err(AskError::Missing(reason)) => Ok(Err(reason)),
                Err(error) => Err(error.into()),
            },
        }
    }
}
