//! Finds the running server by the settings. A server runs with the settings that it read at its start: errors in the files
//! as they are now do not keep a command from it, as long as `[admin]` can be read.

use super::client::{ApiClient, ClientError};
use super::format::count;
use super::say;
use super::usage_error::UsageError;
use crate::config::{Config, Draft, Flags, Inputs, process_environment};

/// The running server, or why there is none.
pub(super) enum Discovery {
    /// A server listens.
    Server(ApiClient),
    /// No server can be found.
    NoServer {
        /// The settings, which may have errors.
        settings: Box<Draft>,
        /// Why.
        reason: ClientError,
    },
}

/// Looks for the running server. Says on standard error if one runs although the settings have errors. Blocks for reading the
/// settings.
pub(super) async fn discover(flags: &Flags) -> anyhow::Result<Discovery> {
    let settings = read(flags)?;
    match connect(&settings).await? {
        Ok(client) => {
            if let Err(errors) = settings.complete_offline() {
                let errors = count(errors.iter().count(), "error");
                say(format_args!(
                    "bootdepot: the settings on the disk have {errors} (see `bootdepot check`); the running server is asked"
                ));
            }
            Ok(Discovery::Server(client))
        }
        Err(reason) if reason.is_no_server() => Ok(Discovery::NoServer { settings: Box::new(settings), reason }),
        Err(error) => Err(error.into()),
    }
}

/// The running server of these settings, which must be valid. `None` if no server runs.
pub(super) async fn running(settings: &Draft) -> anyhow::Result<Option<ApiClient>> {
    match connect(settings).await? {
        Ok(client) => Ok(Some(client)),
        Err(reason) if reason.is_no_server() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The running server, for commands that need one. Fails if there is none.
pub(super) async fn server(flags: &Flags) -> anyhow::Result<ApiClient> {
    match discover(flags).await? {
        Discovery::Server(client) => Ok(client),
        Discovery::NoServer { settings, reason } => {
            complete(&settings)?;
            Err(reason.into())
        }
    }
}

/// The running server, whatever else is in the settings than `[admin]`.
pub(super) async fn server_by_admin_section(flags: &Flags) -> anyhow::Result<ApiClient> {
    Ok(connect(&read(flags)?).await??)
}

/// The settings, with the copy of the shared catalog if there is one.
pub(super) fn complete(settings: &Draft) -> Result<Config, UsageError> {
    settings.complete_offline().map_err(UsageError::new)
}

fn read(flags: &Flags) -> Result<Draft, UsageError> {
    Inputs::new(flags, process_environment()).read().map_err(UsageError::new)
}

async fn connect(settings: &Draft) -> Result<Result<ApiClient, ClientError>, UsageError> {
    let admin = settings.admin().map_err(UsageError::new)?;
    Ok(ApiClient::connect(admin.as_ref()).await)
}
