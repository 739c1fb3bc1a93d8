//! Traces: exports spans to a collector. Configured by the `OTEL_` variables of the OpenTelemetry specification.
//!
//! A thread of the SDK batches spans and sends them as protobuf over HTTP. If no collector accepts them, they are dropped.
//! No transfer waits for them.

use std::path::Path;
use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::{info, warn};

use super::error::TelemetryError;
use crate::environment::variable;
use crate::{span, trust};

/// How long process exit waits for the export of the last spans.
const FLUSH: Duration = Duration::from_secs(2);
/// The timeout of one export if `OTEL_EXPORTER_OTLP_TIMEOUT` is not set: the specification's 10 seconds.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Exports spans to a collector. Dropping it sends the last batch.
///
/// Create and drop it outside a runtime: both block.
#[derive(Debug)]
#[must_use = "dropping it ends the export of spans"]
pub struct Traces {
    provider: SdkTracerProvider,
}

impl Traces {
    /// Starts the export if `OTEL_EXPORTER_OTLP_ENDPOINT` or `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` names a collector.
    /// Returns `None` if neither does, or if `OTEL_SDK_DISABLED=true` or `OTEL_TRACES_EXPORTER=none` disables it. Call it
    /// once per process.
    pub fn start() -> Result<Option<Self>, TelemetryError> {
        let endpoint = setting("ENDPOINT");
        let disabled = variable("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"))
            || variable("OTEL_TRACES_EXPORTER").is_some_and(|value| value == "none");
        let Some(endpoint) = endpoint.filter(|_| !disabled) else { return Ok(None) };
        if let Some(protocol) = setting("PROTOCOL").filter(|protocol| protocol != "http/protobuf") {
            return Err(TelemetryError::Traces(format!("the protocol {protocol} is not supported; use http/protobuf")));
        }
        let exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_http_client(client()?)
            .build()
            .map_err(|error| TelemetryError::Traces(error.to_string()))?;
        let mut resource = Resource::builder();
        // The builder reads these variables itself, and they take precedence.
        if variable("OTEL_SERVICE_NAME").is_none()
            && !variable("OTEL_RESOURCE_ATTRIBUTES").is_some_and(|attributes| attributes.contains("service.name="))
        {
            resource = resource.with_service_name("bootdepot");
        }
        let resource =
            resource.with_attribute(opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
        let provider =
            SdkTracerProvider::builder().with_resource(resource.build()).with_batch_exporter(exporter).build();
        if !span::collect(provider.tracer("bootdepot")) {
            return Err(TelemetryError::AlreadyStarted("span collection has already started".to_owned()));
        }
        info!(endpoint = without_secrets(&endpoint), "trace export started");
        Ok(Some(Self { provider }))
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        if let Err(error) = self.provider.shutdown_with_timeout(FLUSH) {
            warn!(%error, "last spans not exported");
        }
    }
}

/// Returns a collector's URL for the log: without user, password and query.
fn without_secrets(endpoint: &str) -> String {
    let Some(mut url) = url::Url::parse(endpoint).ok().filter(url::Url::has_host) else {
        return "(invalid URL)".to_owned();
    };
    // Fails only for URLs without a host.
    let _ = url.set_password(None);
    let _ = url.set_username("");
    url.set_query(None);
    url.into()
}

/// Returns a variable of the exporter: the one for traces, else the one for all signals.
fn setting(name: &str) -> Option<String> {
    variable(&format!("OTEL_EXPORTER_OTLP_TRACES_{name}")).or_else(|| variable(&format!("OTEL_EXPORTER_OTLP_{name}")))
}

/// Builds a client that trusts the system's certificates and those that the variable names.
fn client() -> Result<reqwest::blocking::Client, TelemetryError> {
    let ca_file = setting("CERTIFICATE");
    let roots = trust::with_ca_file(&trust::system_roots(), ca_file.as_deref().map(Path::new));
    let tls = trust::client_config(roots.map_err(TelemetryError::Traces)?, false);
    let tls = tls.map_err(|error| TelemetryError::Traces(error.to_string()))?;
    let timeout = setting("TIMEOUT").and_then(|text| text.parse().ok()).map_or(TIMEOUT, Duration::from_millis);
    let client = reqwest::blocking::Client::builder().tls_backend_preconfigured(tls).timeout(timeout).build();
    client.map_err(|error| TelemetryError::Traces(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logged_collector_url_has_no_secrets() {
        assert_eq!(without_secrets("https://me:secret@otel.lab:4318/v1?key=secret"), "https://otel.lab:4318/v1");
        assert_eq!(without_secrets("me:secret@otel.lab"), "(invalid URL)");
    }
}
