//! `bootdepot serve`: runs the server until SIGTERM or Ctrl-C.

use std::process::ExitCode;

use anyhow::Context as _;
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info, warn};

use super::empty_catalog::NEXT_STEPS;
use super::usage_error::UsageError;
use crate::api::ReloadTrigger;
use crate::app::{self, App, Loaded, Reloader, service};
use crate::config::{Flags, Inputs, process_environment};
use crate::error_chain::error_chain;
use crate::sockets::InheritedSockets;
#[cfg(feature = "otel")]
use crate::telemetry::Traces;
use crate::telemetry::{Logs, LostLines, Metrics};

/// Serve the catalog's assets over HTTP and TFTP
///
/// Runs in the foreground and logs to standard error: `BOOTDEPOT_LOG` sets the filter (`info`, `debug`,
/// `bootdepot::fill=debug`), `BOOTDEPOT_LOG_FORMAT=json` writes one object a line. SIGTERM or Ctrl-C lets running
/// transfers end within 25 seconds; a second one ends at once. SIGHUP loads settings and catalog again: all of it if
/// nothing is wrong with it, else nothing.
#[derive(Debug, clap::Args)]
pub struct ServeCommand {
    #[command(flatten)]
    flags: Flags,
}

impl ServeCommand {
    /// Runs the server until SIGTERM or Ctrl-C.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        // Before anything that takes its time: it would end a process that does not listen for it. One that comes too soon is
        // followed as soon as the server runs.
        let hangup = {
            let _within = runtime.enter();
            signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?
        };
        let inputs = Inputs::new(&self.flags, process_environment());
        let logs = Logs::start().map_err(UsageError::new)?;
        let loaded = runtime.block_on(app::load(&inputs)).map_err(UsageError::new)?;
        #[cfg(feature = "otel")]
        let _traces = Traces::start().map_err(UsageError::new)?;
        for warning in &loaded.config.warnings {
            warn!("{warning}");
        }
        if loaded.config.catalog.is_empty() && loaded.config.shared.is_none() {
            info!(next = NEXT_STEPS, "catalog empty");
        }
        raise_file_limit();
        let inherited = InheritedSockets::from_environment()?;
        let served = runtime.block_on(serve(loaded, inherited, logs.lost(), hangup));
        // Every transfer has ended or had its time; a blocking read of a dead disk must not hold up the exit.
        runtime.shutdown_background();
        Ok(match served {
            Ok(()) => ExitCode::SUCCESS,
            // To the log, which is what operators read of a service.
            Err(error) => {
                error!("{}", error_chain(error.as_ref()));
                ExitCode::FAILURE
            }
        })
    }
}

async fn serve(loaded: Loaded, inherited: InheritedSockets, lost: LostLines, hangup: Signal) -> anyhow::Result<()> {
    let metrics = Metrics::start(Some(lost))?;
    // A file that exceeds RLIMIT_FSIZE is an error of one fill. Without a handler the signal ends the process.
    let _file_size = signal(SignalKind::from_raw(libc::SIGXFSZ)).context("cannot listen for SIGXFSZ")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for Ctrl-C")?;
    let mut stop_signal = async || {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    // A disk that hangs while the cache is opened must not keep the process from ending.
    let app = tokio::select! {
        app = App::start(loaded, metrics, inherited) => app?,
        () = stop_signal() => return Ok(()),
    };
    let reloading = tokio::spawn(reload_on(hangup, app.reloader().clone()));
    stop_signal().await;
    reloading.abort();
    service::stopping();
    info!("stopping; running transfers may end, a second signal ends them");
    tokio::select! {
        () = app.stop() => info!("stopped"),
        () = stop_signal() => warn!("stopped at once; transfers were cut"),
    }
    Ok(())
}

/// Loads settings and catalog again at each SIGHUP.
async fn reload_on(mut hangup: Signal, reloader: Reloader) {
    while hangup.recv().await.is_some() {
        // The log says how it went.
        let _ = reloader.reload(ReloadTrigger::Signal).await;
    }
}

/// Takes as many open files as the system allows: each connection and each open blob is one.
fn raise_file_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        warn!(%error, "the limit of open files stays as it is");
    }
}
