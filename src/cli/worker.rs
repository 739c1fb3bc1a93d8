//! Who does the work: the running server, or, where none runs, this process.

use std::io::ErrorKind;

use super::here::Here;
use super::misuse::Misuse;
use super::running::Running;
use super::say;
use super::server::{AskError, Server};
use super::words::plain;
use crate::api::{AssetList, AssetState, AssetView, Evicted};
use crate::api::{JobView, Plan, PreloadOrder};
use crate::app;
use crate::cache::CacheError;
use crate::config::{Config, Flags};

/// What came of a wish that concerns one asset; else why it was refused. An error besides is one that the next wish would
/// meet as well.
pub(super) type Granted<T> = anyhow::Result<Result<T, String>>;

/// Who does the work.
pub(super) enum Worker {
    /// The running server.
    Server(Server),
    /// This process, which holds the cache's lock.
    Here(Box<Here>),
}

impl Worker {
    /// The server that runs with these settings, else this process, with the shared catalog as it is now.
    pub(super) fn of(flags: &Flags) -> anyhow::Result<Self> {
        let unasked = match Running::with(flags)? {
            Running::Server(server) => return Ok(Self::Server(server)),
            Running::Nobody { why, .. } => why,
        };
        let config = app::load_at_hand(flags).map_err(Misuse::of)?;
        for warning in &config.warnings {
            say(format_args!("bootdepot: {}", plain(warning)));
        }
        Self::here(config, &unasked)
    }

    /// The same for a command that has nothing to do where there is no cache. Says on standard error that no server was
    /// asked, where none was.
    pub(super) fn of_what_is_there(flags: &Flags) -> anyhow::Result<Self> {
        let (config, unasked) = match Running::with(flags)? {
            Running::Server(server) => return Ok(Self::Server(server)),
            Running::Nobody { config, why } => (*config, why),
        };
        let dir = config.cache.dir.clone();
        if let Err(error) = std::fs::metadata(&dir)
            && error.kind() == ErrorKind::NotFound
        {
            anyhow::bail!("{unasked}; and there is no cache in {} (cache.dir)", dir.display());
        }
        let worker = Self::here(config, &unasked)?;
        let why = unasked.in_short();
        say(format_args!("bootdepot: {why}; this works on the cache in {} by itself", dir.display()));
        Ok(worker)
    }

    /// This process.
    fn here(config: Config, unasked: &AskError) -> anyhow::Result<Self> {
        // A cache that cannot be looked into is not an empty one.
        let dir = &config.cache.dir;
        if let Err(error) = std::fs::read_dir(dir)
            && error.kind() == ErrorKind::PermissionDenied
        {
            let dir = dir.display();
            anyhow::bail!(
                "{}; and the cache in {dir} cannot be read: {error}; run this as the user that runs the server",
                unasked.in_short()
            );
        }
        // Where the cache is taken, a server runs that could not be asked, and why is what the operator has to know.
        Here::open(config).map(|here| Self::Here(Box::new(here))).map_err(|error| match error.downcast_ref() {
            Some(CacheError::Locked { .. }) => anyhow::anyhow!("{error}; {unasked}"),
            _ => error,
        })
    }

    /// Assets in the order of their names: those whose names begin so, in this state.
    pub(super) fn assets(&self, prefix: &str, state: Option<AssetState>) -> anyhow::Result<Vec<AssetView>> {
        let server = match self {
            Self::Here(here) => return Ok(here.assets(prefix, state)),
            Self::Server(server) => server,
        };
        let mut query = vec![("prefix", prefix.to_owned())];
        query.extend(state.map(|state| ("state", state.as_str().to_owned())));
        let mut assets = Vec::new();
        let mut after = None;
        loop {
            let page = query.iter().cloned().chain(after.take().map(|name| ("after", name)));
            let list: AssetList = server.query(&["assets"], &page.collect::<Vec<_>>())?;
            assets.extend(list.assets);
            match list.next {
                Some(name) => after = Some(name),
                None => return Ok(assets),
            }
        }
    }

    /// The asset of this name, where the catalog has it.
    pub(super) fn asset(&self, name: &str) -> anyhow::Result<Option<AssetView>> {
        match self {
            Self::Server(server) => Ok(granted(server.get(&["assets", name]))?.ok()),
            Self::Here(here) => Ok(here.asset(name)),
        }
    }

    /// Holds an asset in the cache.
    pub(super) fn pin(&self, name: &str) -> Granted<AssetView> {
        match self {
            Self::Server(server) => granted(server.post(&["assets", name, "pin"])),
            Self::Here(here) => Ok(here.pin(name)),
        }
    }

    /// Lets go of an asset that an operator pinned.
    pub(super) fn unpin(&self, name: &str) -> Granted<AssetView> {
        match self {
            Self::Server(server) => granted(server.post(&["assets", name, "unpin"])),
            Self::Here(here) => Ok(here.unpin(name)),
        }
    }

    /// Removes an asset's bytes, and says how many.
    pub(super) fn evict(&self, name: &str) -> Granted<u64> {
        match self {
            Self::Server(server) => {
                let evicted: Result<Evicted, String> = granted(server.post(&["assets", name, "evict"]))?;
                Ok(evicted.map(|evicted| evicted.freed))
            }
            Self::Here(here) => Ok(here.evict(name)),
        }
    }

    /// Begins to hash an asset's bytes again.
    pub(super) fn verify(&self, name: &str) -> Granted<JobView> {
        match self {
            Self::Server(server) => granted(server.post(&["assets", name, "verify"])),
            Self::Here(here) => Ok(here.verify(name)),
        }
    }

    /// Begins to hash everything again.
    pub(super) fn scrub(&self) -> anyhow::Result<JobView> {
        match self {
            Self::Server(server) => Ok(server.post(&["scrub"])?),
            Self::Here(here) => here.scrub(),
        }
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

/// What a server grants, or why it refuses this one wish.
fn granted<T>(answer: Result<T, AskError>) -> Granted<T> {
    match answer {
        Ok(granted) => Ok(Ok(granted)),
        Err(AskError::Missing(reason)) => Ok(Err(reason)),
        Err(AskError::Refused { status, detail, .. }) if status != hyper::StatusCode::TOO_MANY_REQUESTS => {
            Ok(Err(detail))
        }
        Err(error) => Err(error.into()),
    }
}
