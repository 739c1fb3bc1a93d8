//! Looks at every origin that is in use: how it is reached, whether it takes our credentials, and whether it has the
//! assets as the catalog has them. A few at a time, each with an end to its patience; what an earlier trouble makes
//! pointless is skipped.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use futures_util::future::{join_all, select_ok};
use jiff::SignedDuration;
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::advice::{Scope, Step, Subject, Trouble};
use super::certificate::certificate;
use super::objects;
use super::outcome::Outcome;
use super::report::{Finding, Group, Verdict};
use crate::asset::{AssetName, Digest, SourcePrefix, SourceUrl};
use crate::catalog::Asset;
use crate::cli::format::{count, spread};
use crate::config::Config;
use crate::origin::{OriginError, OriginSettings, Origins, Route, StatReport, Timeouts};

/// Requests under way at a time, over all origins.
const AT_ONCE: usize = 16;
/// How long a name, a connection, or the first byte of an answer may take. An operator waits for it; a store that takes
/// longer is in trouble.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long it may take to get credentials: some come from services of their own.
const CREDENTIALS: Duration = Duration::from_secs(15);
/// S3 refuses requests that are signed by a clock that differs by more (`RequestTimeTooSkewed`).
const SKEW_REFUSED: SignedDuration = SignedDuration::from_mins(15);
/// A clock that differs by as much is not kept, and will differ by more.
const SKEW_NOTED: SignedDuration = SignedDuration::from_mins(1);

/// Findings about the origins.
pub(super) struct Found {
    pub(super) groups: Vec<Group>,
    /// How long the objects are, by the digest that their assets have.
    pub(super) sizes: HashMap<Digest, u64>,
}

/// One source of one asset.
pub(super) struct Item {
    pub(super) asset: Arc<Asset>,
    pub(super) source: SourceUrl,
    /// Whether it is that of the asset's block list.
    pub(super) blocks: bool,
}

/// The sources of one origin at one server.
struct Family {
    route: Route,
    items: Vec<Item>,
}

/// Findings about a family.
struct Looked {
    family: Family,
    steps: Vec<Finding>,
    /// The problem of the origin itself, and the step that found it.
    broken: Option<(Step, Trouble)>,
    /// A line about the origin.
    facts: Vec<String>,
    /// One for each item.
    outcomes: Vec<Outcome>,
}

/// Looks at the origins of these settings.
pub(super) async fn check(config: &Config) -> Found {
    let (usable, mut groups) = usable(config);
    let unusable: HashSet<&str> = config
        .origins
        .iter()
        .map(|origin| origin.prefix.as_str())
        .filter(|prefix| !usable.iter().any(|origin| origin.prefix.as_str() == *prefix))
        .collect();
    let patience = Timeouts { connect: PATIENCE, stall: config.timeouts.stall.min(PATIENCE) };
    let origins = match Origins::new(usable, patience) {
        Ok(origins) => origins,
        Err(error) => {
            let found = Finding::wrong(Verdict::Failed, "origins", "settings", error.to_string(), "correct [[origin]]");
            groups.push(Group { what: "origins", place: String::new(), summary: String::new(), findings: vec![found] });
            return Found { groups, sizes: HashMap::new() };
        }
    };
    let (families, lost) = families(config, &origins, &unusable);
    let permits = Semaphore::new(AT_ONCE);
    let looks = families.into_iter().map(|family| Look { config, origins: &origins, permits: &permits }.at(family));
    let looked = join_all(looks).await;

    let had: HashSet<(AssetName, bool)> = looked
        .iter()
        .flat_map(|looked| looked.family.items.iter().zip(&looked.outcomes))
        .filter(|(_, outcome)| matches!(outcome, Outcome::Good { .. }))
        .map(|(item, _)| (item.asset.name.clone(), item.blocks))
        .collect();
    let mut sizes = HashMap::new();
    for (item, outcome) in looked.iter().flat_map(|looked| looked.family.items.iter().zip(&looked.outcomes)) {
        if let (Outcome::Good { size, .. }, false) = (outcome, item.blocks) {
            sizes.insert(item.asset.digest, *size);
        }
    }
    for looked in looked {
        groups.extend(looked.groups(&had));
    }
    groups.extend(lost_group(lost));
    Found { groups, sizes }
}

/// The origins that can be set up, and what is wrong with the others.
fn usable(config: &Config) -> (Vec<OriginSettings>, Vec<Group>) {
    let (mut usable, mut groups) = (Vec::new(), Vec::new());
    for origin in &config.origins {
        match Origins::new(vec![origin.clone()], Timeouts::default()) {
            Ok(_) => usable.push(origin.clone()),
            Err(error) => {
                let reason = match error {
                    OriginError::Settings { reason, .. } => reason,
                    other => other.to_string(),
                };
                let prefix = origin.prefix.as_str();
                let place = config.place_in("origin", prefix, "match");
                let remedy = format!("correct [[origin]] match = {prefix:?} ({place})");
                let finding = Finding::wrong(Verdict::Failed, "settings", "it cannot be used", reason, remedy);
                let summary = "it cannot be used".to_owned();
                groups.push(Group { what: "origin", place: prefix.to_owned(), summary, findings: vec![finding] });
            }
        }
    }
    (usable, groups)
}

/// The sources by origin and server, in the order of their names; and those that cannot be asked for, each with the reason.
fn families(config: &Config, origins: &Origins, unusable: &HashSet<&str>) -> (Vec<Family>, Vec<Finding>) {
    let mut assets: Vec<_> = config.catalog.assets().collect();
    assets.sort_by(|a, b| a.name.as_str().cmp(b.name.as_str()));
    let mut families: BTreeMap<_, Family> = BTreeMap::new();
    let mut lost = Vec::new();
    for asset in assets {
        let bytes = asset.sources.iter().map(|source| (source, false));
        for (source, blocks) in bytes.chain(asset.blocks.iter().map(|list| (&list.source, true))) {
            let longest = SourcePrefix::longest(config.origins.iter().map(|origin| &origin.prefix), source);
            if let Some(prefix) = longest.filter(|prefix| unusable.contains(prefix.as_str())) {
                lost.push(Finding::skipped(asset.name.as_str(), format!("the origin {prefix} cannot be used")));
                continue;
            }
            let item = Item { asset: Arc::clone(asset), source: source.clone(), blocks };
            match origins.route(source) {
                Ok(route) => {
                    let server = route.server.as_ref().map(|server| server.url.clone());
                    let key = (route.label.clone(), server);
                    families.entry(key).or_insert_with(|| Family { route, items: Vec::new() }).items.push(item);
                }
                Err(error) => {
                    let key = if blocks { "blocks" } else { "sources" };
                    let name = asset.name.as_str();
                    let place = config.place_in("asset", name, key);
                    let remedy = format!("correct `{key}` of [[asset]] {name:?} ({place})");
                    lost.push(Finding::wrong(Verdict::Failed, name, "settings", error.to_string(), remedy));
                }
            }
        }
    }
    (families.into_values().collect(), lost)
}

fn lost_group(lost: Vec<Finding>) -> Option<Group> {
    let summary = format!("{} cannot be asked for", count(lost.len(), "source"));
    (!lost.is_empty()).then(|| Group { what: "objects", place: "-".to_owned(), summary, findings: lost })
}

/// One look at one family.
struct Look<'a> {
    config: &'a Config,
    origins: &'a Origins,
    permits: &'a Semaphore,
}

/// Facts about the origin of a family that its objects have shown so far.
#[derive(Default)]
struct Shown {
    broken: OnceLock<(Step, Trouble)>,
    /// Buckets in which nothing more is looked for.
    buckets: Mutex<HashSet<String>>,
    certificate: OnceLock<SystemTime>,
    clock: OnceLock<SignedDuration>,
}

impl Look<'_> {
    async fn at(self, family: Family) -> Looked {
        let (mut steps, mut facts) = (Vec::new(), Vec::new());
        facts.push(family.route.server.as_ref().map_or("files of this machine".to_owned(), |it| it.url.clone()));
        let shown = Shown::default();
        if let Err(error) = self.approach(&family, &mut steps, &mut facts).await {
            let trouble = self.subject(&family.route, &family.items[0]).trouble(&error);
            shown.stop(trouble);
        }
        // The first alone: what it learns of the origin spares the others.
        let mut outcomes = vec![self.one(&family, 0, &shown).await];
        outcomes.extend(join_all((1..family.items.len()).map(|index| self.one(&family, index, &shown))).await);
        let signed = family.route.bucket.is_some() && !family.route.anonymous;
        shown.tell(signed, &mut steps, &mut facts);
        let broken = shown.broken.into_inner();
        Looked { family, steps, broken, facts, outcomes }
    }

    fn subject<'s>(&'s self, route: &'s Route, item: &'s Item) -> Subject<'s> {
        Subject { config: self.config, route, asset: &item.asset, blocks: item.blocks }
    }

    /// Up to the first request: name, connection, credentials.
    async fn approach(
        &self,
        family: &Family,
        steps: &mut Vec<Finding>,
        facts: &mut Vec<String>,
    ) -> Result<(), OriginError> {
        let Some(server) = &family.route.server else { return Ok(()) };
        if let Some((host, port)) = &server.peer {
            let _permit = self.permits.acquire().await;
            let addresses = resolve(host, *port).await?;
            if host.parse::<IpAddr>().is_err() {
                let list: Vec<_> = addresses.iter().map(|address| address.ip().to_string()).collect();
                steps.push(Finding::ok("dns", format!("{host} is {}", list.join(", "))));
            }
            let address = connect(host, *port, &addresses).await?;
            steps.push(Finding::ok("tcp", format!("{address} takes connections")));
        }
        let insecure = |origin: &&OriginSettings| {
            Some(origin.prefix.as_str()) == family.route.origin.as_deref() && origin.insecure_skip_verify && server.tls
        };
        if let Some(origin) = self.config.origins.iter().find(insecure) {
            let place = self.config.place_in("origin", origin.prefix.as_str(), "insecure_skip_verify");
            let found = "insecure_skip_verify is set: anyone on the way can pose as this origin";
            let remedy = format!("set `ca_file` instead ({place})");
            steps.push(Finding::wrong(Verdict::Warning, "tls", "insecure", found, remedy));
        }
        facts.extend(server.proxy.as_ref().map(|proxy| format!("through the proxy {proxy}")));
        let loading = timeout(CREDENTIALS, self.origins.identity(&family.items[0].source));
        let identity = loading.await.unwrap_or_else(|_| {
            let reason = format!("they did not come within {} s", CREDENTIALS.as_secs());
            Err(OriginError::Credentials { origin: family.route.label.clone(), reason, source: None })
        })?;
        if family.route.bucket.is_some() {
            steps.push(Finding::ok("credentials", identity.clone()));
            facts.push(identity);
        }
        Ok(())
    }

    async fn one(&self, family: &Family, index: usize, shown: &Shown) -> Outcome {
        let item = &family.items[index];
        let subject = self.subject(&family.route, item);
        let bucket = objects::bucket(&item.source);
        let _permit = self.permits.acquire().await;
        if let Some(reason) = shown.reason(bucket) {
            return Outcome::Skipped(reason);
        }
        let answer = self.origins.stat(&item.source).await;
        shown.note(&answer);
        let outcome = match answer.stat {
            Err(error) => Outcome::Bad(subject.trouble(&error)),
            Ok(stat) if item.blocks => objects::block_list(&subject, self.origins, &item.source, &stat).await,
            Ok(stat) => objects::compare(&subject, &stat),
        };
        match outcome {
            Outcome::Bad(trouble) => match trouble.scope {
                Scope::Origin(_) => Outcome::Skipped(shown.stop(trouble)),
                Scope::Bucket if !shown.stop_bucket(bucket) => Outcome::Skipped(trouble.kind.to_owned()),
                _ => Outcome::Bad(trouble),
            },
            other => other,
        }
    }
}

impl Shown {
    /// Why an object in this bucket need not be asked for.
    fn reason(&self, bucket: &str) -> Option<String> {
        if let Some((step, trouble)) = self.broken.get() {
            return Some(because(*step, trouble));
        }
        self.buckets().contains(bucket).then(|| format!("there is no bucket {bucket}, or it is elsewhere"))
    }

    /// Keeps a trouble of the origin itself, the first of them, and says why nothing more is asked.
    fn stop(&self, trouble: Trouble) -> String {
        let Scope::Origin(step) = trouble.scope else { return trouble.kind.to_owned() };
        let (step, trouble) = self.broken.get_or_init(|| (step, trouble));
        because(*step, trouble)
    }

    /// Keeps in mind that nothing is in this bucket; whether that is news.
    fn stop_bucket(&self, bucket: &str) -> bool {
        self.buckets().insert(bucket.to_owned())
    }

    fn buckets(&self) -> MutexGuard<'_, HashSet<String>> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of what an answer shows of the server, whatever it says of the object.
    fn note(&self, answer: &StatReport) {
        if let Some(until) = answer.certificate_expiry {
            self.certificate.get_or_init(|| until);
        }
        if let Some(ahead) = answer.clock_offset {
            self.clock.get_or_init(|| ahead);
        }
    }

    /// Says what was shown of the server.
    fn tell(&self, signed: bool, steps: &mut Vec<Finding>, facts: &mut Vec<String>) {
        if let Some(until) = self.certificate.get() {
            let (finding, fact) = certificate("tls", *until, "renew the store's certificate");
            steps.push(finding);
            facts.push(fact);
        }
        let Some(ahead) = self.clock.get() else { return };
        let found = format!("the store's clock is {} this machine's", spread(*ahead));
        let remedy = "set this machine's clock, or the store's: `timedatectl` says whether this one is kept by NTP";
        let wrong = |result, why: &str| Finding::wrong(result, "clock", "clock", format!("{found}{why}"), remedy);
        steps.push(match ahead.abs() {
            apart if apart >= SKEW_REFUSED && signed => wrong(Verdict::Failed, "; S3 refuses from 15 minutes on"),
            apart if apart >= SKEW_NOTED => wrong(Verdict::Warning, ""),
            _ => Finding::ok("clock", found),
        });
    }
}

fn because(step: Step, trouble: &Trouble) -> String {
    format!("{} failed: {}", step.name(), trouble.kind)
}

async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, OriginError> {
    let failed = |reason: String| OriginError::Dns { host: host.to_owned(), reason, source: None };
    let found = timeout(PATIENCE, lookup_host((host, port))).await;
    let found = found.map_err(|_| failed(format!("no answer within {} s", PATIENCE.as_secs())))?;
    let found: Vec<_> = found.map_err(|error| failed(error.to_string()))?.collect();
    if found.is_empty() { Err(failed("it has no address".to_owned())) } else { Ok(found) }
}

/// The address that took a connection first.
async fn connect(host: &str, port: u16, addresses: &[SocketAddr]) -> Result<SocketAddr, OriginError> {
    let tries = addresses.iter().map(|address| {
        Box::pin(async move {
            let trying = timeout(PATIENCE, TcpStream::connect(address)).await;
            let taken = trying.map_err(|_| format!("no connection within {} s", PATIENCE.as_secs()))?;
            taken.map(|_| *address).map_err(|error| error.to_string())
        })
    });
    let taken = select_ok(tries).await;
    taken.map(|(address, _)| address).map_err(|reason| OriginError::Connect {
        host: format!("{host}:{port}"),
        reason,
        source: None,
    })
}

impl Looked {
    /// The findings about the family; `had` are the assets (and block lists) that at least one source has.
    fn groups(self, had: &HashSet<(AssetName, bool)>) -> [Group; 2] {
        let is_had = |item: &Item| had.contains(&(item.asset.name.clone(), item.blocks));
        let worst = |had: bool| if had { Verdict::Warning } else { Verdict::Failed };
        let mut steps = self.steps;
        if let Some((step, trouble)) = self.broken {
            let result = worst(self.family.items.iter().all(is_had));
            steps.retain(|finding| finding.what != step.name());
            steps.push(Finding::wrong(result, step.name(), trouble.kind, trouble.found, trouble.remedy));
        }
        let place = self.family.route.label;
        let origin = Group { what: "origin", place: place.clone(), summary: self.facts.join(", "), findings: steps };

        let (mut good, mut agreed, mut skipped) = (0, 0, None);
        let mut findings = Vec::new();
        let all = self.outcomes.len();
        for (item, outcome) in self.family.items.iter().zip(self.outcomes) {
            let name =
                if item.blocks { format!("{} (block list)", item.asset.name) } else { item.asset.name.to_string() };
            findings.push(match outcome {
                Outcome::Good { found, checksum, .. } => {
                    good += 1;
                    agreed += usize::from(checksum);
                    Finding::ok(name, found)
                }
                Outcome::Bad(trouble) => {
                    let also = if is_had(item) { "; another source has it" } else { "" };
                    let found = trouble.found + also;
                    Finding::wrong(worst(is_had(item)), name, trouble.kind, found, trouble.remedy)
                }
                Outcome::Skipped(reason) => {
                    skipped = Some(reason.clone());
                    Finding::skipped(name, reason)
                }
            });
        }
        let summary = match (good, skipped) {
            (0, Some(reason)) => format!("{}: {reason}", count(all, "object")),
            _ if good < all => format!("{good} of {} as the catalog says", count(all, "object")),
            _ if agreed == 0 => format!("{}; no checksum is told", count(all, "object")),
            _ if agreed < all => format!("{}; {agreed} with a checksum, which agrees", count(all, "object")),
            _ => format!("{}, each with a checksum that agrees", count(all, "object")),
        };
        [origin, Group { what: "objects", place, summary, findings }]
    }
}
