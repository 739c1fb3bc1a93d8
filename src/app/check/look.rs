//! The look at the sources of one origin at one server: the way to it, then each object as a fill reads it.

use std::net::IpAddr;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::advice::{Scope, Step, Subject, Trouble};
use super::connection::{PATIENCE, connect, resolve};
use super::families::Family;
use super::item::{Item, Role};
use super::objects;
use super::outcome::Outcome;
use super::shown::Shown;
use crate::catalog::Asset;
use crate::config::Config;
use crate::depot::{Rung, SourceProbe, SourceReads, hash_source, probe_source};
use crate::jobs::{CheckProgress, Finding};
use crate::origin::{OriginError, OriginSettings, Origins, Route, Stat, Timeouts};

/// Objects that are asked for at a time, over all origins.
const AT_ONCE: usize = 16;
/// Objects that are read and hashed at a time: few, because machines boot at the same time.
const HASHED_AT_ONCE: usize = 2;
/// Retries of a request for the ends of an object: an operator waits.
const PROBE_RETRIES: u32 = 1;
/// How long all requests for one object may take: one retry after the longest delay that a source may request (30 s), and as
/// long again.
const OBJECT: Duration = Duration::from_mins(1);
/// How long it may take to get credentials: some come from services of their own.
const CREDENTIALS: Duration = Duration::from_secs(15);

/// The context that all families of one check share.
pub(super) struct Looking<'a> {
    config: &'a Config,
    origins: &'a Origins,
    /// Whether every object is hashed.
    deep: bool,
    progress: &'a CheckProgress,
    asking: Semaphore,
    hashing: Semaphore,
    /// How long all requests for one object may take.
    limit: Duration,
}

/// Findings about a family.
pub(super) struct Looked {
    pub(super) family: Family,
    pub(super) steps: Vec<Finding>,
    /// The trouble of the origin itself, and the step that found it.
    pub(super) broken: Option<(Step, Trouble)>,
    /// A line about the origin.
    pub(super) facts: Vec<String>,
    /// One for each item.
    pub(super) outcomes: Vec<Outcome>,
}

/// The timeouts of the requests of a check.
pub(super) fn timeouts(config: &Config) -> Timeouts {
    Timeouts { connect: PATIENCE, stall: config.timeouts.stall.min(PATIENCE) }
}

impl<'a> Looking<'a> {
    pub(super) fn new(config: &'a Config, origins: &'a Origins, deep: bool, progress: &'a CheckProgress) -> Self {
        let (asking, hashing) = (Semaphore::new(AT_ONCE), Semaphore::new(HASHED_AT_ONCE));
        Self { config, origins, deep, progress, asking, hashing, limit: OBJECT }
    }

    /// Looks at a family.
    pub(super) async fn at(&self, family: Family) -> Looked {
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
        if let Some(reads) = outcomes.iter().filter_map(Outcome::seen).filter_map(|seen| seen.reads.as_ref()).max() {
            let (finding, fact) = describe(reads);
            steps.push(finding);
            facts.extend(fact);
        }
        Looked { family, steps, broken: shown.into_broken(), facts, outcomes }
    }

    fn subject<'s>(&'s self, route: &'s Route, item: &'s Item) -> Subject<'s> {
        Subject { config: self.config, route, role: &item.role }
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
            let _permit = self.asking.acquire().await;
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
            steps.push(Finding::warning("tls", "insecure", found, format!("set `ca_file` instead ({place})")));
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
        let asked = self.ask(family, item, shown).await;
        let outcome = match (&item.role, asked.object) {
            (Role::Asset(asset), Some(object)) if self.deep || item.source.as_file().is_some() => {
                self.hash(family, item, asset, asked.outcome, object).await
            }
            _ => asked.outcome,
        };
        if !matches!(item.role, Role::Catalog) {
            self.progress.end_object(matches!(outcome, Outcome::Bad(_)));
        }
        outcome
    }

    /// Asks for one object, unless what is known of its origin makes that pointless.
    async fn ask(&self, family: &Family, item: &Item, shown: &Shown) -> Asked {
        let subject = self.subject(&family.route, item);
        let bucket = objects::bucket(&item.source);
        let _permit = self.asking.acquire().await;
        if let Some(reason) = shown.reason(bucket) {
            return Asked { outcome: Outcome::NotAsked(reason), object: None };
        }
        let asked = timeout(self.limit, self.compare(&subject, item, shown)).await;
        let Asked { outcome, object } =
            asked.unwrap_or_else(|_| Asked { outcome: Outcome::Bad(self.too_slow(&subject, item)), object: None });
        let outcome = match outcome {
            Outcome::Bad(trouble) => match trouble.scope {
                Scope::Origin(_) => Outcome::NotAsked(shown.stop(trouble)),
                Scope::Bucket if !shown.stop_bucket(bucket) => Outcome::NotAsked(trouble.kind.to_owned()),
                _ => Outcome::Bad(trouble),
            },
            other => other,
        };
        Asked { outcome, object }
    }

    /// The trouble with a source that sends bytes, but not all that was requested in time. The ends of an object are so short that
    /// no other object of its origin needs to be asked for.
    fn too_slow(&self, subject: &Subject<'_>, item: &Item) -> Trouble {
        let reason = format!("its answers were not complete within {} s", self.limit.as_secs_f32());
        let trouble = subject.trouble(&OriginError::TooSlow { source_url: item.source.to_string(), reason });
        match item.role {
            Role::Asset(_) => Trouble { scope: Scope::Origin(Step::Http), ..trouble },
            Role::Blocks(_) | Role::Catalog => trouble,
        }
    }

    /// Reads the first and the last bytes, and compares what the source says with the catalog.
    async fn compare(&self, subject: &Subject<'_>, item: &Item, shown: &Shown) -> Asked {
        let report = self.origins.stat(&item.source).await;
        shown.note(&report);
        let storage = report.storage.as_ref();
        let mut object = None;
        let outcome = match &item.role {
            Role::Catalog => objects::catalog(subject, self.origins, &item.source).await,
            Role::Asset(asset) => match self.read_both_ends(asset, asset.size, item, report.stat).await {
                Ok((probe, stat)) => {
                    let has_size = |size| asset.size.is_none_or(|right| right == size);
                    object = probe.size.is_none_or(has_size).then(|| probe.clone());
                    objects::compare(subject, asset, probe, stat.as_ref(), storage)
                }
                Err(error) => Outcome::Bad(objects::unreadable(subject, &error, storage)),
            },
            Role::Blocks(asset) => match self.read_both_ends(asset, None, item, report.stat).await {
                Ok((probe, _)) => objects::block_list(subject, asset, self.origins, &item.source, probe).await,
                Err(error) => Outcome::Bad(objects::unreadable(subject, &error, storage)),
            },
        };
        Asked { outcome, object }
    }

    /// Reads the first and the last bytes as a fill does, unless the server cannot be asked at all. `size` is the length that the
    /// catalog has, `stat` the answer to the request for metadata.
    async fn read_both_ends(
        &self,
        asset: &Asset,
        size: Option<u64>,
        item: &Item,
        stat: Result<Stat, OriginError>,
    ) -> Result<(SourceProbe, Option<Stat>), OriginError> {
        let stat = match stat {
            Ok(stat) => Some(stat),
            // A store may refuse metadata and give the bytes.
            Err(error) if error.is_answer() => None,
            Err(error) => return Err(error),
        };
        let probe = probe_source(self.origins, &asset.name, &item.source, size, PROBE_RETRIES).await?;
        Ok((probe, stat))
    }

    /// Reads and hashes an object.
    async fn hash(&self, family: &Family, item: &Item, asset: &Asset, said: Outcome, object: SourceProbe) -> Outcome {
        let subject = self.subject(&family.route, item);
        let _permit = self.hashing.acquire().await;
        let count = |bytes| self.progress.add_hashed(bytes);
        let SourceProbe { size, reads, .. } = object;
        let retries = self.config.fill.retries;
        let mut plain = false;
        loop {
            self.progress.add_bytes(size.unwrap_or(0));
            let source = (&item.source, size);
            let hash = hash_source(self.origins, &asset.name, source, &asset.digest, (retries, plain), count).await;
            match hash {
                // Ranges may be at fault. A fill would try the same.
                Ok(found) if found.digest.is_err() && !plain && item.source.as_file().is_none() => plain = true,
                Ok(found) => return objects::hashed(&subject, asset, said, reads, &found),
                Err(error) => return Outcome::Bad(subject.trouble(&error)),
            }
        }
    }
}

/// The answer of a source.
struct Asked {
    outcome: Outcome,
    /// An asset's object that can be hashed.
    object: Option<SourceProbe>,
}

/// How the objects of a family can be read: the finding, and if it is not the usual way, a few words.
fn describe(reads: &SourceReads) -> (Finding, Option<String>) {
    let reason = reads.reason.as_deref().map_or_else(String::new, |reason| format!(" ({reason})"));
    match reads.rung {
        Rung::Conditional => {
            (Finding::ok("reads", "ranges work, each on condition that the object is unchanged"), None)
        }
        Rung::Ranges => {
            let words = "ranges work, conditions do not: fills run without them";
            (Finding::ok("reads", format!("{words}{reason}")), Some(words.to_owned()))
        }
        Rung::Stream | Rung::Measured => (
            Finding::warning(
                "reads",
                "no ranges",
                format!("ranges do not work: fills read each object as one stream{reason}"),
                "nothing, if that is fast enough; else serve the objects from a server with range requests",
            ),
            Some("ranges do not work: fills read one stream".to_owned()),
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use bootdepot_test_support::deadline::stretch;

    use super::super::families::families;
    use super::*;
    use crate::asset::Digest;
    use crate::config::Flags;
    use crate::depot::tests::origin::{FakeOrigin, Fault};

    #[tokio::test]
    async fn dripping_source_is_too_slow() {
        let origin = FakeOrigin::start(vec![7; 1_000_000], &[Fault::Drip { at: 0, times: usize::MAX }]).await;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("b.toml");
        let asset = |name: &str| {
            let (url, digest) = (origin.url("disk.img"), Digest::of(b""));
            format!("[[asset]]\nname = \"{name}\"\nsha256 = \"{digest}\"\nsources = [\"{url}\"]\n")
        };
        std::fs::write(&path, format!("[cache]\ndir = \"/c\"\n{}{}", asset("a"), asset("b"))).unwrap();
        let config = Config::load(&Flags { config: Some(path), ..Flags::default() }, []).unwrap();
        let origins = Origins::new(Vec::new(), timeouts(&config)).unwrap();
        let assets: Vec<_> = config.catalog.assets().collect();
        let (mut families, _) = families(&config, &assets, true, &origins, &HashSet::new());
        let progress = CheckProgress::default();
        let mut looking = Looking::new(&config, &origins, false, &progress);
        // Long enough for a HEAD, and 20 s short of what 1024 single bytes take.
        looking.limit = Duration::from_millis(500);
        let looked =
            tokio::time::timeout(stretch(Duration::from_secs(15)), looking.at(families.remove(0))).await.unwrap();
        let (step, trouble) = looked.broken.unwrap();
        assert_eq!((step, trouble.kind), (Step::Http, "too slow"));
        assert_eq!(trouble.found, "its answers were not complete within 0.5 s");
        assert!(looked.outcomes.iter().all(|outcome| matches!(outcome, Outcome::NotAsked(_))), "one is enough");
    }
}
