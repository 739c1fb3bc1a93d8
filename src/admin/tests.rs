//! The admin listener over loopback, byte by byte.

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
use crate::http::tests::{Reply, Wire};
use crate::jobs::Jobs;
use crate::sockets::InheritedSockets;

/// An admin listener under test.
struct Desk {
    address: SocketAddr,
    stop: CancellationToken,
    running: JoinHandle<()>,
}

impl Desk {
    /// One without tokens.
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
            jobs: Jobs::new(boot.clone()),
            listeners: vec![Listener { protocol: "admin".to_owned(), address }],
            started: jiff::Timestamp::UNIX_EPOCH,
        };
        let running = tokio::spawn(admin.serve(parts, stop.clone()));
        Self { address, stop, running }
    }

    /// One request on a connection of its own, from this machine; `fields` are whole lines without their ends.
    async fn ask(&self, method: &str, path: &str, fields: &[&str]) -> Reply {
        self.send(method, path, &[&["Host: localhost"], fields].concat(), "").await
    }

    /// The same with no field but these, and with content.
    async fn send(&self, method: &str, path: &str, fields: &[&str], content: &str) -> Reply {
        let mut wire = Wire::connect(self.address).await;
        let length = format!("Content-Length: {}", content.len());
        let length = (!content.is_empty()).then_some(length.as_str());
        let fields = [fields, length.as_slice(), &["", ""]].concat().join("\r\n");
        wire.send(&format!("{method} {path} HTTP/1.1\r\n{fields}{content}")).await;
        wire.reply(method).await
    }

    async fn close(self) {
        self.stop.cancel();
        self.running.await.unwrap();
    }
}

/// A problem, after a look at its form.
fn problem(reply: &Reply) -> Problem {
    assert_eq!(reply.field("Content-Type"), Some(Problem::MEDIA_TYPE), "{}", reply.head);
    let problem: Problem = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!((problem.kind.as_str(), problem.status), ("about:blank", reply.status()));
    assert_eq!(problem.instance, format!("urn:request:{}", reply.field("X-Request-Id").unwrap()));
    problem
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
