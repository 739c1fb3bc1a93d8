//! The client of the admin API: one typed method for each endpoint. The server it talks to runs in another process or in this
//! one (see [`Transport`]). Pages, retries and errors are handled here; it knows no command.

mod error;
mod events;
mod reply;
mod tcp;
mod transport;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::{Method, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub(super) use self::error::ClientError;
pub(super) use self::events::{Event, EventStream, Topic};
use self::reply::Reply;
use self::tcp::Tcp;
use self::transport::Transport;
use crate::admin::AdminSettings;
use crate::api::{
    AssetList, AssetState, AssetView, CheckOrder, DirectoryView, Evicted, Forgotten, HostList, JobView, MachineView,
    Plan, PreloadOrder, Problem, ReleaseList, ReleaseView, Status,
};
use crate::boot::State;

/// How often a request is sent again that the server's rate limit refused.
const RETRIES: u32 = 3;
/// The longest pause before that.
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// A client of the admin API. Cheap to clone.
#[derive(Clone)]
pub(super) struct ApiClient {
    transport: Arc<Transport>,
}

impl ApiClient {
    /// A client of the server with this admin listener. Fails if the settings do not say where that is, or if nothing listens
    /// there.
    pub(super) async fn connect(admin: Option<&AdminSettings>) -> Result<Self, ClientError> {
        let tcp = Tcp::new(admin)?;
        tcp.probe().await?;
        Ok(Self { transport: Arc::new(Transport::Tcp(tcp)) })
    }

    /// A client of a router in this process.
    pub(super) fn in_process(router: Router) -> Self {
        Self { transport: Arc::new(Transport::InProcess(router)) }
    }

    /// Whether a running server does the work, rather than this process.
    pub(super) fn is_remote(&self) -> bool {
        matches!(*self.transport, Transport::Tcp(_))
    }

    /// The server as a whole.
    pub(super) async fn status(&self) -> Result<Status, ClientError> {
        self.get(&["status"]).await
    }

    /// The assets in this state whose names begin with `prefix`, sorted by name.
    pub(super) async fn assets(&self, prefix: &str, state: Option<AssetState>) -> Result<Vec<AssetView>, ClientError> {
        let mut query = vec![("prefix", prefix.to_owned())];
        query.extend(state.map(|state| ("state", state.as_str().to_owned())));
        let mut assets = Vec::new();
        let mut after = None;
        loop {
            let page: Vec<_> = query.iter().cloned().chain(after.take().map(|name| ("after", name))).collect();
            let list: AssetList = self.request(Method::GET, &with_query(&path(&["assets"]), &page), None).await?;
            assets.extend(list.assets);
            match list.next {
                Some(name) => after = Some(name),
                None => return Ok(assets),
            }
        }
    }

    /// The content of a directory of a collection, as its source says.
    pub(super) async fn directory(&self, path: &str) -> Result<DirectoryView, ClientError> {
        let query = [("path", path.to_owned())];
        self.request(Method::GET, &with_query(&self::path(&["directory"]), &query), None).await
    }

    /// The asset of this name.
    pub(super) async fn asset(&self, name: &str) -> Result<AssetView, ClientError> {
        self.get(&["assets", name]).await
    }

    /// Pins an asset in the cache.
    pub(super) async fn pin(&self, name: &str) -> Result<AssetView, ClientError> {
        self.post(&["assets", name, "pin"]).await
    }

    /// Removes an operator's pin.
    pub(super) async fn unpin(&self, name: &str) -> Result<AssetView, ClientError> {
        self.post(&["assets", name, "unpin"]).await
    }

    /// Removes an asset's bytes from the cache. Returns how many there were.
    pub(super) async fn evict(&self, name: &str) -> Result<u64, ClientError> {
        let evicted: Evicted = self.post(&["assets", name, "evict"]).await?;
        Ok(evicted.freed)
    }

    /// Accepts the bytes that an asset of a collection has now. `None` if its source does not have it any more.
    pub(super) async fn accept(&self, name: &str) -> Result<Option<AssetView>, ClientError> {
        // The server may read the whole object.
        self.exchange(Method::POST, &path(&["assets", name, "accept"]), None, true).await
    }

    /// Starts a job that hashes an asset's bytes again.
    pub(super) async fn verify(&self, name: &str) -> Result<JobView, ClientError> {
        self.post(&["assets", name, "verify"]).await
    }

    /// Starts a job that hashes every blob again.
    pub(super) async fn scrub(&self) -> Result<JobView, ClientError> {
        self.post(&["scrub"]).await
    }

    /// Starts a check.
    pub(super) async fn check(&self, order: &CheckOrder) -> Result<JobView, ClientError> {
        self.send(&["check"], order).await
    }

    /// The plan of a preload. Starts nothing.
    pub(super) async fn plan(&self, order: &PreloadOrder) -> Result<Plan, ClientError> {
        self.send(&["preload"], &PreloadOrder { dry_run: true, ..order.clone() }).await
    }

    /// Starts a preload.
    pub(super) async fn preload(&self, order: &PreloadOrder) -> Result<JobView, ClientError> {
        self.send(&["preload"], order).await
    }

    /// The job of this number, with its items.
    pub(super) async fn job(&self, id: u64) -> Result<JobView, ClientError> {
        self.get(&["jobs", &id.to_string()]).await
    }

    /// Cancels a job. Does nothing if it has ended.
    pub(super) async fn cancel(&self, id: u64) -> Result<(), ClientError> {
        match self.request::<JobView>(Method::DELETE, &path(&["jobs", &id.to_string()]), None).await {
            Ok(_) | Err(ClientError::Refused { status: StatusCode::CONFLICT, .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The machines in one of these states (all, if there are none), without their boots; with `problems` only those that need
    /// attention.
    pub(super) async fn hosts(&self, states: &[State], problems: bool) -> Result<Vec<MachineView>, ClientError> {
        let words = states.iter().map(|state| state.as_str()).collect::<Vec<_>>().join(",");
        let mut query = Vec::new();
        query.extend((!states.is_empty()).then_some(("state", words)));
        query.extend(problems.then(|| ("problems", "true".to_owned())));
        let list: HostList = self.request(Method::GET, &with_query(&path(&["hosts"]), &query), None).await?;
        Ok(list.hosts)
    }

    /// Forgets the boots of a machine. Returns how many machines that were.
    pub(super) async fn forget(&self, name: &str) -> Result<usize, ClientError> {
        let forgotten: Forgotten = self.request(Method::DELETE, &path(&["hosts", name]), None).await?;
        Ok(forgotten.machines)
    }

    /// The machine of this name, MAC or address, with its boots.
    pub(super) async fn host(&self, name: &str) -> Result<MachineView, ClientError> {
        self.get(&["hosts", name]).await
    }

    /// All releases.
    pub(super) async fn releases(&self) -> Result<Vec<ReleaseView>, ClientError> {
        let list: ReleaseList = self.get(&["releases"]).await?;
        Ok(list.releases)
    }

    /// Makes a release the active one of its channel.
    pub(super) async fn activate(&self, name: &str) -> Result<ReleaseView, ClientError> {
        self.post(&["releases", name, "activate"]).await
    }

    /// The events of these topics from now on.
    pub(super) async fn events(&self, topics: &[Topic]) -> Result<EventStream, ClientError> {
        EventStream::open(Arc::clone(&self.transport), topics).await
    }

    /// Whether `path`, outside of the API, answers with 200, and the text of the answer.
    pub(super) async fn probe(&self, path: &str) -> Result<(bool, String), ClientError> {
        let reply = self.transport.send(Method::GET, path, None, false).await?;
        Ok((reply.status == StatusCode::OK, String::from_utf8_lossy(&reply.body).into_owned()))
    }

    async fn get<T: DeserializeOwned>(&self, segments: &[&str]) -> Result<T, ClientError> {
        self.request(Method::GET, &path(segments), None).await
    }

    async fn post<T: DeserializeOwned>(&self, segments: &[&str]) -> Result<T, ClientError> {
        self.request(Method::POST, &path(segments), None).await
    }

    async fn send<T: DeserializeOwned>(&self, segments: &[&str], body: &impl Serialize) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body).map_err(std::io::Error::from)?;
        self.request(Method::POST, &path(segments), Some(body)).await
    }

    async fn request<T: DeserializeOwned>(
        &self,
        method: Method,
        target: &str,
        body: Option<Vec<u8>>,
    ) -> Result<T, ClientError> {
        self.exchange(method, target, body, false).await
    }

    /// Sends a request, again if there are too many. `waits`: however long the server takes for it.
    async fn exchange<T: DeserializeOwned>(
        &self,
        method: Method,
        target: &str,
        body: Option<Vec<u8>>,
        waits: bool,
    ) -> Result<T, ClientError> {
        let mut tries = 0;
        loop {
            let reply = self.transport.send(method.clone(), target, body.clone(), waits).await?;
            // The request was not looked at, so that it can be sent again whatever it is.
            if reply.status == StatusCode::TOO_MANY_REQUESTS && tries < RETRIES {
                tries += 1;
                tokio::time::sleep(reply.retry_after.unwrap_or(MAX_PAUSE).min(MAX_PAUSE)).await;
                continue;
            }
            return self.parse(&reply);
        }
    }

    fn parse<T: DeserializeOwned>(&self, reply: &Reply) -> Result<T, ClientError> {
        if reply.status.is_success() {
            // 204 has no body.
            let body: &[u8] = if reply.body.is_empty() { b"null" } else { &reply.body };
            return serde_json::from_slice(body).map_err(|_| self.transport.bad_response());
        }
        match serde_json::from_slice::<Problem>(&reply.body) {
            Ok(problem) => Err(self.transport.refusal(reply.status, problem.detail)),
            Err(_) => Err(self.transport.bad_response()),
        }
    }
}

/// The path of the API with these segments.
fn path(segments: &[&str]) -> String {
    segments.iter().fold("/api/v1".to_owned(), |path, segment| {
        format!("{path}/{}", utf8_percent_encode(segment, NON_ALPHANUMERIC))
    })
}

fn with_query(path: &str, query: &[(&str, String)]) -> String {
    let encoded = query.iter().map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC)));
    format!("{path}?{}", encoded.collect::<Vec<_>>().join("&"))
}
