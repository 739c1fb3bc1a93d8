//! `bootdepot serve`: runs the server until it is told to stop.

use std::process::ExitCode;

use anyhow::Context as _;
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info, warn};

use super::config::refuse;
use crate::app::{App, service};
use crate::config::{Config, Flags, process_environment};
use crate::sockets::Inherited;
#[cfg(feature = "otel")]
use crate::telemetry::Traces;
use crate::telemetry::{Logs, LostLines, Metrics};

/// Serve the catalog's assets over HTTP and TFTP
///
/// Runs in the foreground and logs to standard error: `BOOTDEPOT_LOG` sets the filter (`info`, `debug`,
/// `bootdepot::fill=debug`), `BOOTDEPOT_LOG_FORMAT=json` writes one object a line. SIGTERM or Ctrl-C lets running
/// transfers end within 25 seconds; a second one ends at once.
#[derive(Debug, clap::Args)]
pub struct ServeCommand {
    #[command(flatten)]
    flags: Flags,
}

impl ServeCommand {
    /// Runs the server until it is told to stop.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let config = match Config::load(&self.flags, process_environment()) {
            Ok(config) => config,
            Err(errors) => return Ok(refuse(&errors)),
        };
        let logs = match Logs::start() {
            Ok(logs) => logs,
            Err(error) => return Ok(refuse(&error)),
        };
        #[cfg(feature = "otel")]
        let _traces = match Traces::start() {
            Ok(traces) => traces,
            Err(error) => return Ok(refuse(&error)),
        };
        for warning in &config.warnings {
            warn!("{warning}");
        }
        raise_file_limit();
        let inherited = Inherited::from_environment()?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let served = runtime.block_on(serve(config, inherited, logs.lost()));
        // Every transfer has ended or had its time; a blocking read of a dead disk must not hold up the exit.
        runtime.shutdown_background();
        Ok(match served {
            Ok(()) => ExitCode::SUCCESS,
            // In the log: what it is printed to otherwise may be what nobody reads.
            Err(error) => {
                error!("{error:#}");
                ExitCode::FAILURE
            }
        })
    }
}

async fn serve(config: Config, inherited: Inherited, lost: LostLines) -> anyhow::Result<()> {
    let metrics = Metrics::start(Some(lost))?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for Ctrl-C")?;
    let mut told = async || {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    // A disk that hangs while the cache is opened must not keep the process from ending.
    let app = tokio::select! {
        app = App::start(config, metrics, inherited) => app?,
        () = told() => return Ok(()),
    };
    told().await;
    service::stopping();
    info!("stopping; running transfers may end, a second signal ends them");
    tokio::select! {
        () = app.stop() => info!("stopped"),
        () = told() => warn!("stopped at once; transfers were cut"),
    }
    Ok(())
}

/// Takes as many open files as the system allows: each connection and each open blob is one.
fn raise_file_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        warn!(%error, "the limit of open files stays as it is");
    }
}
