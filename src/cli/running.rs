//! Who runs with some settings: a server that can be asked, or nobody. A server that runs does so with the settings that it
//! took; what is wrong with those on the disk now keeps nobody from asking it.

use super::misuse::Misuse;
use super::say;
use super::server::{AskError, Server};
use super::words::count;
use crate::config::{Config, Flags, Inputs, process_environment};

/// Who runs with some settings.
pub(super) enum Running {
    /// A server, that listens.
    Server(Server),
    /// Nobody who could be asked.
    Nobody {
        /// The settings, which are good.
        config: Box<Config>,
        /// Why not.
        why: AskError,
    },
}

impl Running {
    /// The server that runs with these settings, as far as can be told. Says on standard error where they have errors and a
    /// server runs all the same; where none does, they are [`Misuse`]. Blocks.
    pub(super) fn with(flags: &Flags) -> anyhow::Result<Self> {
        let loaded = Config::load(flags, process_environment());
        let server = match &loaded {
            Ok(config) => Server::of(config.admin.as_ref()),
            Err(_) => legible_server(flags)?,
        };
        let found = server.and_then(|server| server.is_there().map(|()| server));
        match (found, loaded) {
            (Ok(server), Ok(_)) => Ok(Self::Server(server)),
            (Ok(server), Err(errors)) => {
                let errors = count(errors.iter().count(), "error");
                say(format_args!(
                    "bootdepot: the settings on the disk have {errors} (see `bootdepot check`); the running server is asked"
                ));
                Ok(Self::Server(server))
            }
            (Err(why), Ok(config)) if why.is_nobody() => Ok(Self::Nobody { config: Box::new(config), why }),
            (Err(why), Err(errors)) if why.is_nobody() => Err(Misuse::of(errors).into()),
            (Err(error), _) => Err(error.into()),
        }
    }

    /// The server, for what nobody else can do.
    pub(super) fn server(self) -> Result<Server, AskError> {
        match self {
            Self::Server(server) => Ok(server),
            Self::Nobody { why, .. } => Err(why),
        }
    }
}

/// The server whose admin listener these settings have, whatever else is in them.
pub(super) fn legible_server(flags: &Flags) -> Result<Result<Server, AskError>, Misuse> {
    let draft = Inputs::new(flags, process_environment()).read().map_err(Misuse::of)?;
    Ok(Server::of(draft.admin().map_err(Misuse::of)?.as_ref()))
}
