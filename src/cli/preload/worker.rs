//! Who does the work: the running server, or, where none runs, this process.

use crate::cli::server::{AskError, Server};
use crate::config::Config;
use crate::jobs::{JobView, Plan, PreloadOrder};

use super::here::Here;

/// Who does the work.
pub(super) enum Worker {
    /// The running server.
    Server(Server),
    /// This process, which holds the cache's lock.
    Here(Box<Here>),
}

impl Worker {
    /// The server that runs with these settings, else this process.
    pub(super) fn of(config: Config) -> anyhow::Result<Self> {
        let unasked = match Server::of(&config) {
            Ok(server) => match server.is_there() {
                Ok(()) => return Ok(Self::Server(server)),
                Err(error @ AskError::Silent { .. }) => error,
                Err(error) => return Err(error.into()),
            },
            Err(error @ (AskError::Off | AskError::AnyPort)) => error,
            Err(error) => return Err(error.into()),
        };
        // Where the cache is taken, a server runs that could not be asked, and why is what the operator has to know.
        Here::open(config).map(|here| Self::Here(Box::new(here))).map_err(|error| match error.downcast_ref() {
            Some(crate::cache::CacheError::Locked { .. }) => anyhow::anyhow!("{error}; {unasked}"),
            _ => error,
        })
    }

    /// Who it is, for whoever reads the report.
    pub(super) fn by(&self) -> &'static str {
        match self {
            Self::Server(_) => "server",
            Self::Here(_) => "command",
        }
    }

    /// What the order would mean.
    pub(super) fn plan(&self, order: &PreloadOrder) -> anyhow::Result<Plan> {
        let order = PreloadOrder { dry_run: true, ..order.clone() };
        match self {
            Self::Server(server) => Ok(server.send(&["preload"], &order)?),
            Self::Here(here) => here.plan(&order),
        }
    }

    /// Begins it.
    pub(super) fn start(&self, order: &PreloadOrder) -> anyhow::Result<JobView> {
        match self {
            Self::Server(server) => Ok(server.send(&["preload"], order)?),
            Self::Here(here) => here.start(order),
        }
    }

    /// How far the job is.
    pub(super) fn job(&self, id: u64) -> anyhow::Result<JobView> {
        match self {
            Self::Server(server) => Ok(server.get(&["jobs", &id.to_string()])?),
            Self::Here(here) => here.job(id),
        }
    }

    /// Ends the job; one that has ended meanwhile is no trouble.
    pub(super) fn cancel(&self, id: u64) -> anyhow::Result<()> {
        match self {
            Self::Server(server) => match server.delete::<JobView>(&["jobs", &id.to_string()]) {
                Ok(_) => Ok(()),
                Err(AskError::Refused { status, .. }) if status == hyper::StatusCode::CONFLICT => Ok(()),
                Err(error) => Err(error.into()),
            },
            Self::Here(here) => {
                here.cancel(id);
                Ok(())
            }
        }
    }
}
