//! Logs, and the metrics' names. It knows what the rooms tell, not what they do.

use std::io::IsTerminal as _;

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram, gauge};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Seconds that a transfer or a fill may take: from a boot script out of memory to an ISO over a slow link.
const SECONDS: [f64; 14] = [0.001, 0.005, 0.025, 0.1, 0.25, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0];

/// Why logs or metrics could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// `BOOTDEPOT_LOG` is no filter.
    #[error("BOOTDEPOT_LOG={text:?} is no log filter: {reason}; try info, debug, or bootdepot::fill=debug")]
    Filter {
        /// What it holds.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// `BOOTDEPOT_LOG_FORMAT` is neither.
    #[error("BOOTDEPOT_LOG_FORMAT={0:?} is not known; use human or json")]
    Format(String),
    /// The process has a recorder or a subscriber already.
    #[error("{0}")]
    Twice(String),
}

/// Sends logs to standard error: `BOOTDEPOT_LOG` filters them (default `info`), `BOOTDEPOT_LOG_FORMAT` is `human`
/// (default) or `json`, one object a line.
pub fn start_logs() -> Result<(), TelemetryError> {
    let text = std::env::var("BOOTDEPOT_LOG").unwrap_or_else(|_| "info".to_owned());
    let filter = EnvFilter::builder().parse(&text);
    let filter = filter.map_err(|e| TelemetryError::Filter { text, reason: e.to_string() })?;
    let format = std::env::var("BOOTDEPOT_LOG_FORMAT").unwrap_or_else(|_| "human".to_owned());
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match format.as_str() {
        "json" => builder.json().flatten_event(true).with_current_span(false).with_span_list(false).finish().try_init(),
        "human" => builder.with_ansi(std::io::stderr().is_terminal()).with_target(false).finish().try_init(),
        _ => return Err(TelemetryError::Format(format)),
    };
    started.map_err(|e| TelemetryError::Twice(e.to_string()))
}

/// The process's metrics, from which `/metrics` is written.
#[derive(Clone)]
pub struct Metrics {
    handle: PrometheusHandle,
}

impl Metrics {
    /// Begins to record; once a process.
    pub fn start() -> Result<Self, TelemetryError> {
        let seconds = Matcher::Suffix("_seconds".to_owned());
        let builder = PrometheusBuilder::new().set_buckets_for_metric(seconds, &SECONDS);
        let handle = builder.and_then(PrometheusBuilder::install_recorder);
        let handle = handle.map_err(|e| TelemetryError::Twice(e.to_string()))?;
        describe();
        let revision = option_env!("BOOTDEPOT_REVISION").unwrap_or("unknown");
        gauge!("bootdepot_build_info", "version" => env!("CARGO_PKG_VERSION"), "revision" => revision).set(1.0);
        Ok(Self { handle })
    }

    /// All metrics in the Prometheus text format.
    pub fn render(&self) -> String {
        self.handle.render()
    }

    /// Folds what was recorded since the last time; to be called every few seconds, or histograms grow.
    pub fn upkeep(&self) {
        self.handle.run_upkeep();
    }
}

fn describe() {
    describe_counter!("bootdepot_transfers_total", "Transfers to clients that ended, by how");
    describe_counter!("bootdepot_sent_bytes_total", Unit::Bytes, "Payload sent to clients");
    describe_gauge!("bootdepot_transfers_active", "Transfers to clients under way");
    describe_histogram!("bootdepot_transfer_seconds", Unit::Seconds, "How long transfers took");
    describe_counter!("bootdepot_fills_total", "Fills that ended, by how");
    describe_gauge!("bootdepot_fills_active", "Fills under way or waiting for their turn");
    describe_histogram!("bootdepot_fill_seconds", Unit::Seconds, "How long fills took");
    describe_counter!("bootdepot_origin_requests_total", "Requests to origins, by answer");
    describe_counter!("bootdepot_origin_received_bytes_total", Unit::Bytes, "Bytes of bodies received from origins");
    describe_gauge!("bootdepot_cache_bytes", Unit::Bytes, "Bytes in the cache, by state");
    describe_gauge!("bootdepot_cache_entries", "Blobs in the cache, by state");
    describe_counter!("bootdepot_evictions_total", "Blobs evicted to make room");
    describe_counter!("bootdepot_scrub_blobs_total", "Blobs hashed again, by what was found");
    describe_counter!("bootdepot_tftp_retransmits_total", "TFTP packets sent again");
    describe_counter!("bootdepot_dhcp_answers_total", "Boot files named to firmware by DHCP, by architecture");
    describe_gauge!("bootdepot_catalog_assets", "Assets in the catalog");
    describe_gauge!("bootdepot_build_info", "Always 1; the labels tell the build");
}
