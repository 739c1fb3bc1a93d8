//! Traces: where spans go. The `OTEL_` variables of the OpenTelemetry specification say all there is to say.
//!
//! Spans are gathered and sent by a thread of the SDK's own, as protobuf over HTTP. While no collector takes them they are
//! dropped; nobody waits.

use std::env::var;
use std::path::Path;
use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::{info, warn};

use super::TelemetryError;
use crate::{span, trust};

/// How long the end of the process waits for the last spans to be taken.
const FLUSH: Duration = Duration::from_secs(2);
/// How long one export may take where `OTEL_EXPORTER_OTLP_TIMEOUT` says nothing: the specification's 10 seconds.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The way of spans to a collector. When it is dropped, what was gathered is sent, if anybody takes it.
///
/// Neither to be made nor dropped within a runtime: it waits.
#[derive(Debug)]
#[must_use = "when it is dropped, no more spans are sent"]
pub struct Traces {
    provider: SdkTracerProvider,
}

impl Traces {
    /// Begins to send spans where `OTEL_EXPORTER_OTLP_ENDPOINT` or `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` names a collector
    /// (and neither `OTEL_SDK_DISABLED=true` nor `OTEL_TRACES_EXPORTER=none` forbids it); once a process.
    pub fn start() -> Result<Option<Self>, TelemetryError> {
        let endpoint = setting("ENDPOINT");
        let disabled = var("OTEL_SDK_DISABLED").is_ok_and(|value| value.eq_ignore_ascii_case("true"))
            || var("OTEL_TRACES_EXPORTER").is_ok_and(|value| value == "none");
        let Some(endpoint) = endpoint.filter(|_| !disabled) else { return Ok(None) };
        if let Some(protocol) = setting("PROTOCOL").filter(|protocol| protocol != "http/protobuf") {
            return Err(TelemetryError::Traces(format!("the protocol {protocol} is not built in, http/protobuf is")));
        }
        let exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_http_client(client()?)
            .build()
            .map_err(|error| TelemetryError::Traces(error.to_string()))?;
        let mut resource = Resource::builder();
        // The variables go before: they are read by the builder itself.
        if var("OTEL_SERVICE_NAME").is_err()
            && !var("OTEL_RESOURCE_ATTRIBUTES").is_ok_and(|attributes| attributes.contains("service.name="))
        {
            resource = resource.with_service_name("bootdepot");
        }
        let resource =
            resource.with_attribute(opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
        let provider =
            SdkTracerProvider::builder().with_resource(resource.build()).with_batch_exporter(exporter).build();
        if !span::collect(provider.tracer("bootdepot")) {
            return Err(TelemetryError::Twice("spans are collected already".to_owned()));
        }
        info!(endpoint = without_secrets(&endpoint), "traces are exported");
        Ok(Some(Self { provider }))
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        if let Err(error) = self.provider.shutdown_with_timeout(FLUSH) {
            warn!(%error, "the last spans were not taken");
        }
    }
}

/// A collector's URL as the log may show it: without a name and password, and without a query.
fn without_secrets(endpoint: &str) -> String {
    let Some(mut url) = url::Url::parse(endpoint).ok().filter(url::Url::has_host) else {
        return "(no URL of a server)".to_owned();
    };
    // Refused only by URLs without a host.
    let _ = url.set_password(None);
    let _ = url.set_username("");
    url.set_query(None);
    url.into()
}

/// A variable of the exporter: that of traces, else that of all signals.
fn setting(name: &str) -> Option<String> {
    let one = |name: String| var(name).ok().filter(|value| !value.is_empty());
    one(format!("OTEL_EXPORTER_OTLP_TRACES_{name}")).or_else(|| one(format!("OTEL_EXPORTER_OTLP_{name}")))
}

/// A client with the process's own TLS: the system's certificates, and those that the variable names.
fn client() -> Result<reqwest::blocking::Client, TelemetryError> {
    let ca_file = setting("CERTIFICATE");
    let roots = trust::with_ca_file(&trust::system_roots(), ca_file.as_deref().map(Path::new));
    let tls = trust::config(roots.map_err(TelemetryError::Traces)?, false);
    let tls = tls.map_err(|error| TelemetryError::Traces(error.to_string()))?;
    let timeout = setting("TIMEOUT").and_then(|text| text.parse().ok()).map_or(TIMEOUT, Duration::from_millis);
    let client = reqwest::blocking::Client::builder().tls_backend_preconfigured(tls).timeout(timeout).build();
    client.map_err(|error| TelemetryError::Traces(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_shows_no_password_of_the_collector() {
        assert_eq!(without_secrets("https://me:secret@otel.lab:4318/v1?key=secret"), "https://otel.lab:4318/v1");
        assert_eq!(without_secrets("me:secret@otel.lab"), "(no URL of a server)");
    }
}
