//! Tests of the admin server over loopback, with clients on plain sockets.

mod access;
mod assets;
mod document;
mod events;
mod jobs;
mod machines;
mod releases;

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::api::{
    AssetList, AssetState, AssetView, CatalogView, Evicted, FillList, JobList, Listener, Problem, Status, TransferList,
};
use crate::boot::Boot;
use crate::jobs::{CheckRow, Checker, Finding, Jobs};
use crate::sockets::InheritedSockets;
use crate::transport::testing::{TestConnection, TestResponse, within_deadline};

/// An admin server under test.
struct TestAdmin {
    address: SocketAddr,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

impl TestAdmin {
    /// Starts a server without tokens.
    async fn open(boot: Boot) -> Self {
        Self::with(AdminSettings::at("127.0.0.1:0".parse().unwrap()), boot).await
    }

    async fn with(settings: AdminSettings, boot: Boot) -> Self {
        let admin = AdminServer::bind(settings, &mut InheritedSockets::default()).await.unwrap();
        let (address, stop) = (admin.address(), CancellationToken::new());
        let parts = AdminParts {
            boot: boot.clone(),
            metrics: Arc::new(|| "# TYPE up gauge\nup 1\n".to_owned()),
            reloading: Reloading::never(standing()),
            jobs: Jobs::with_checks(boot.clone(), checker()),
            listeners: vec![Listener { protocol: "admin".to_owned(), address }],
            started: jiff::Timestamp::UNIX_EPOCH,
        };
        let serving = tokio::spawn(admin.serve(parts, stop.clone()));
        Self { address, stop, serving }
    }

    /// Sends one request on a new connection, with `Host: localhost`; `fields` are whole lines without their ends.
    async fn request(&self, method: &str, path: &str, fields: &[&str]) -> TestResponse {
        self.send(method, path, &[&["Host: localhost"], fields].concat(), "").await
    }

    /// Sends one request with exactly these fields, and with a body.
    async fn send(&self, method: &str, path: &str, fields: &[&str], content: &str) -> TestResponse {
        let mut connection = TestConnection::connect(self.address).await;
        let length = format!("Content-Length: {}", content.len());
        let length = (!content.is_empty()).then_some(length.as_str());
        let fields = [fields, length.as_slice(), &["", ""]].concat().join("\r\n");
        connection.send(&format!("{method} {path} HTTP/1.1\r\n{fields}{content}")).await;
        connection.read_response(method).await
    }

    async fn close(self) {
        self.stop.cancel();
        within_deadline("the end of the admin server", self.serving).await.unwrap();
    }
}

/// Parses a problem document and checks its form.
fn problem(response: &TestResponse) -> Problem {
    assert_eq!(response.field("Content-Type"), Some(Problem::MEDIA_TYPE), "{}", response.head);
    let problem: Problem = serde_json::from_slice(&response.body).unwrap();
    assert_eq!((problem.kind.as_str(), problem.status), ("about:blank", response.status()));
    assert_eq!(problem.instance, format!("urn:request:{}", response.field("X-Request-Id").unwrap()));
    problem
}

/// Asserts that a check has results, and that all are ok.
fn checker() -> Checker {
    Arc::new(|task, progress| {
        Box::pin(async move {
            let mut findings: Vec<_> = task.names.iter().map(|name| Finding::ok(name, "")).collect();
            if findings.is_empty() {
                findings.push(Finding::failed("names", "none", "", ""));
            }
            progress.add_row(CheckRow { check: "objects", place: "-".to_owned(), summary: String::new(), findings });
        })
    })
}

fn standing() -> CatalogView {
    CatalogView {
        assets: 0,
        releases: 0,
        hosts: 0,
        loaded: jiff::Timestamp::UNIX_EPOCH,
        generation: 1,
        sources: Vec::new(),
        last_reload: None,
    }
}
