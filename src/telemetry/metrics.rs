//! Metrics: names, help texts, and counters that start at zero. It knows no listener.

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use strum::VariantNames as _;

use super::error::TelemetryError;
use super::lost_lines::LostLines;
use crate::address_share::Scope;
use crate::cache::ScrubOutcome;
use crate::depot::{CacheState, FillOutcome, Outcome, Protocol, Rung};
use crate::transport::Refusal;

/// Histogram buckets in seconds: from a boot script in memory to an ISO over a slow link.
const SECONDS_BUCKETS: [f64; 14] =
    [0.001, 0.005, 0.025, 0.1, 0.25, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0];

/// The process's metrics, for `/metrics`.
#[derive(Clone)]
pub struct Metrics {
    handle: PrometheusHandle,
    lost: Option<LostLines>,
}

impl Metrics {
    /// Starts recording. Call it once per process. `lost` counts the log's lost lines.
    pub fn start(lost: Option<LostLines>) -> Result<Self, TelemetryError> {
        let seconds = Matcher::Suffix("_seconds".to_owned());
        let builder = PrometheusBuilder::new().set_buckets_for_metric(seconds, &SECONDS_BUCKETS);
        let handle = builder.and_then(PrometheusBuilder::install_recorder);
        let handle = handle.map_err(|e| TelemetryError::AlreadyStarted(e.to_string()))?;
        describe();
        register_zeros();
        Ok(Self { handle, lost })
    }

    /// Returns all metrics in the Prometheus text format.
    pub fn render(&self) -> String {
        if let Some(lost) = &self.lost {
            lost.update_counter();
        }
        self.handle.render()
    }

    /// Aggregates recent samples and logs lost log lines. Call it every few seconds, or histograms grow.
    pub fn upkeep(&self) {
        self.handle.run_upkeep();
        if let Some(lost) = &self.lost {
            lost.log_losses();
        }
    }
}

fn describe() {
    describe_counter!("bootdepot_transfers_total", "Transfers to clients that have ended, by outcome");
    describe_counter!("bootdepot_limit_refusals_total", "Clients refused by a limit, by limit and by what was full");
    describe_counter!("bootdepot_sent_bytes_total", Unit::Bytes, "Payload sent to clients");
    describe_gauge!("bootdepot_transfers_active", "Transfers to clients in progress");
    describe_histogram!("bootdepot_transfer_seconds", Unit::Seconds, "Duration of transfers");
    describe_counter!("bootdepot_collection_changes_total", "Changed objects of collections, by outcome");
    describe_counter!("bootdepot_fills_total", "Fills that have ended, by outcome");
    describe_gauge!("bootdepot_fills_active", "Fills in progress or queued");
    describe_histogram!("bootdepot_fill_seconds", Unit::Seconds, "Duration of fills");
    describe_counter!("bootdepot_source_fallbacks_total", "Sources requested in a plainer way, by the way");
    describe_counter!("bootdepot_slow_parts_total", "Slow parts of fills requested again, by occasion");
    describe_counter!("bootdepot_sources_joined_total", "Sources read beside others that made no progress");
    describe_counter!("bootdepot_origin_requests_total", "Requests to origins, by status");
    describe_counter!("bootdepot_origin_received_bytes_total", Unit::Bytes, "Body bytes received from origins");
    describe_gauge!("bootdepot_cache_bytes", Unit::Bytes, "Bytes in the cache, by state");
    describe_gauge!("bootdepot_cache_entries", "Blobs in the cache, by state");
    describe_gauge!("bootdepot_cache_limit_bytes", Unit::Bytes, "Size limit of the cache");
    describe_gauge!("bootdepot_cache_free_bytes", Unit::Bytes, "Free bytes on the cache's file system");
    describe_gauge!("bootdepot_cache_missing_free_bytes", Unit::Bytes, "Bytes short of min_free after evictions");
    describe_gauge!("bootdepot_cache_writable", "1 while blobs can be added to the cache, else 0");
    describe_gauge!("bootdepot_cache_sealed_entries", "Verified blobs that the kernel has sealed (fs-verity)");
    describe_gauge!("bootdepot_cache_seal_supported", "1 if the file system can seal blobs (fs-verity), else 0");
    describe_counter!("bootdepot_cache_seal_failures_total", "Blobs that could not be sealed");
    describe_counter!("bootdepot_evictions_total", "Blobs evicted to free space");
    describe_counter!("bootdepot_scrub_blobs_total", "Blobs verified by scrubs, by result");
    describe_gauge!("bootdepot_http_memory_bytes", Unit::Bytes, "Bytes of responses in memory");
    describe_gauge!("bootdepot_http_memory_limit_bytes", Unit::Bytes, "Budget for bytes of responses in memory");
    describe_gauge!("bootdepot_http_memory_waiting", "Responses that wait for memory");
    describe_counter!("bootdepot_http_refused_total", "Requests that were refused unread, by reason");
    describe_counter!("bootdepot_tftp_retransmits_total", "TFTP packets retransmitted");
    describe_gauge!("bootdepot_tftp_half_open_transfers", "TFTP transfers without an acknowledgement yet");
    describe_counter!("bootdepot_tftp_unrecorded_requests_total", "TFTP requests that are not recorded in a flood");
    describe_counter!("bootdepot_dhcp_answers_total", "Boot files offered to firmware by DHCP, by architecture");
    describe_gauge!("bootdepot_catalog_assets", "Assets in the catalog");
    describe_counter!("bootdepot_reload_total", "Reloads of the configuration and catalog, by outcome");
    describe_gauge!("bootdepot_boots", "Machines, by status of their last boot");
    describe_gauge!("bootdepot_releases", "Releases, by state");
    describe_gauge!("bootdepot_ready", "1 while /readyz answers 200, else 0");
    describe_counter!("bootdepot_log_lines_dropped_total", "Log lines lost because the log was not read");
    describe_gauge!("bootdepot_build_info", "Always 1; the labels identify the build");
}

/// Registers counters at zero, so that alerts on a rate see the first event: a rate has no increase from a missing series.
fn register_zeros() {
    for &protocol in Protocol::VARIANTS {
        gauge!("bootdepot_transfers_active", "protocol" => protocol).set(0.0);
        counter!("bootdepot_sent_bytes_total", "protocol" => protocol).absolute(0);
        // A registered histogram is rendered even if it is empty.
        drop(histogram!("bootdepot_transfer_seconds", "protocol" => protocol));
        let register = |outcome: &'static str, cache: &'static str| {
            counter!("bootdepot_transfers_total", "protocol" => protocol, "outcome" => outcome, "cache" => cache)
                .absolute(0);
        };
        for &cache in CacheState::VARIANTS {
            register(Outcome::Complete.as_str(), cache);
        }
        for &outcome in Outcome::VARIANTS {
            register(outcome, "none");
        }
    }
    for &outcome in FillOutcome::VARIANTS {
        counter!("bootdepot_fills_total", "outcome" => outcome).absolute(0);
    }
    for &requests in Rung::VARIANTS.iter().filter(|&&requests| requests != <&str>::from(Rung::Conditional)) {
        counter!("bootdepot_source_fallbacks_total", "requests" => requests).absolute(0);
    }
    for outcome in ["held", "taken"] {
        counter!("bootdepot_collection_changes_total", "outcome" => outcome).absolute(0);
    }
    for action in ["asked-again", "raced"] {
        counter!("bootdepot_slow_parts_total", "action" => action).absolute(0);
    }
    counter!("bootdepot_sources_joined_total").absolute(0);
    gauge!("bootdepot_fills_active").set(0.0);
    drop(histogram!("bootdepot_fill_seconds"));
    counter!("bootdepot_evictions_total").absolute(0);
    counter!("bootdepot_cache_seal_failures_total").absolute(0);
    let stopped = ScrubOutcome::Stopped.as_str();
    for &outcome in ScrubOutcome::VARIANTS.iter().filter(|&&outcome| outcome != stopped) {
        counter!("bootdepot_scrub_blobs_total", "outcome" => outcome).absolute(0);
    }
    for &reason in Refusal::VARIANTS {
        counter!("bootdepot_http_refused_total", "reason" => reason).absolute(0);
    }
    counter!("bootdepot_tftp_retransmits_total").absolute(0);
    counter!("bootdepot_tftp_unrecorded_requests_total").absolute(0);
    for outcome in ["ok", "unchanged", "failed"] {
        counter!("bootdepot_reload_total", "outcome" => outcome).absolute(0);
    }
    for limit in ["http-connections", "admin-connections", "dhcp-answers"] {
        for scope in [Scope::Address, Scope::Prefix, Scope::Server] {
            counter!("bootdepot_limit_refusals_total", "limit" => limit, "scope" => scope.as_str()).absolute(0);
        }
    }
    counter!("bootdepot_log_lines_dropped_total").absolute(0);
    let revision = option_env!("BOOTDEPOT_REVISION").unwrap_or("unknown");
    gauge!("bootdepot_build_info", "version" => env!("CARGO_PKG_VERSION"), "revision" => revision).set(1.0);
}
