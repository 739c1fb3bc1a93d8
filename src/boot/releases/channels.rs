//! The state of all channels: which release is active, which is live, and which are kept for machines that began to boot
//! from them. Pure: no IO and no clock. The caller passes the time and whether a release is cached.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::record::{ChannelRecord, Record};
use crate::catalog::Release;
use crate::clock::timestamp;
use crate::depot::RetentionReason;

/// How long a release is kept after another replaced it. A machine fetches what its script names within minutes; an
/// installer may return for its root file system or more of an ISO for as long as it runs, which on slow disks and links is
/// well above an hour.
pub(super) const KEEP: Duration = Duration::from_hours(2);

/// The releases of one channel, or one release without a channel.
#[derive(Debug)]
struct Channel {
    /// `None` for a release without a channel.
    name: Option<String>,
    releases: Vec<Arc<Release>>,
    /// The release that the configuration activates. Stored to detect when the configuration changes.
    configured: Option<String>,
    /// The release that is live or goes live once it is cached: activated by the configuration or, later, by a command.
    active: Option<String>,
    /// The release that new scripts name.
    live: Option<String>,
    /// The live release, if it was removed from the configuration. It stays live until its successor is cached.
    former: Option<Arc<Release>>,
}

/// The state of all channels.
#[derive(Debug, Default)]
pub(super) struct Channels {
    list: Vec<Channel>,
    /// How long each replaced release is kept.
    kept: BTreeMap<String, SystemTime>,
    /// The kept releases that were removed from the configuration.
    removed: Vec<Arc<Release>>,
    /// The records of channels and releases that the configuration does not have, because they were removed or because a
    /// part of the catalog could not be read. They apply again when these come back.
    unclaimed: Record,
}

/// The releases of a channel that matter to scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ChannelStatus<'s> {
    /// The release that new scripts name.
    pub(super) live: Option<&'s Arc<Release>>,
    /// The active release, which goes live once it is cached.
    pub(super) active: Option<&'s Arc<Release>>,
}

impl Channel {
    fn by_name(&self, name: &str) -> Option<&Arc<Release>> {
        self.releases.iter().find(|release| release.name == name)
    }

    fn get(&self, name: Option<&String>) -> Option<&Arc<Release>> {
        self.by_name(name?)
    }

    fn live(&self) -> Option<&Arc<Release>> {
        self.former.as_ref().or_else(|| self.get(self.live.as_ref()))
    }

    /// Restores the recorded state as far as its releases still exist. Returns the release that was live and no longer is.
    fn resume(&mut self, record: &ChannelRecord) -> Option<String> {
        let existing = |name: &Option<String>| name.clone().filter(|name| self.by_name(name).is_some());
        let (active, live) = (existing(&record.active), existing(&record.live));
        // An activation by command lasts until the configuration activates another release than it did then.
        if record.configured == self.configured && active.is_some() {
            self.active = active;
        }
        // Without an active release, none is live.
        if self.active.is_none() {
            return live;
        }
        self.live = live;
        None
    }
}

impl Channels {
    /// Builds the state from the configured releases and the record of an earlier run.
    pub(super) fn new(releases: Vec<Release>, mut record: Record, now: SystemTime) -> Self {
        let mut channels: Vec<Channel> = Vec::new();
        for release in releases {
            let release = Arc::new(release);
            let configured = release.active.then(|| release.name.clone());
            let known = channels.iter_mut().find(|channel| channel.name.is_some() && channel.name == release.channel);
            match known {
                Some(channel) => {
                    channel.configured = channel.configured.take().or(configured);
                    channel.releases.push(release);
                }
                None => channels.push(Channel {
                    name: release.channel.clone(),
                    releases: vec![release],
                    configured,
                    active: None,
                    live: None,
                    former: None,
                }),
            }
        }
        let mut kept = record.kept();
        for channel in &mut channels {
            channel.active.clone_from(&channel.configured);
            let recorded = match (&channel.name, channel.releases.first()) {
                (Some(name), _) => record.channels.remove(name),
                (None, Some(release)) => record.alone.remove(&release.name),
                (None, None) => None,
            };
            if let Some(before) = recorded.and_then(|recorded| channel.resume(&recorded)) {
                kept.insert(before, now + KEEP);
            }
        }
        // If the clock was wrong when this was recorded, it must not keep a release for years.
        for until in kept.values_mut() {
            *until = (*until).min(now + KEEP);
        }
        let has = |name: &String| channels.iter().any(|channel| channel.by_name(name).is_some());
        let unclaimed = record.rest(kept.iter().filter(|(name, until)| !has(name) && **until > now));
        kept.retain(|name, _| has(name) && channels.iter().all(|channel| channel.live.as_ref() != Some(name)));
        Self { list: channels, kept, removed: Vec::new(), unclaimed }
    }

    /// Replaces the releases, as a restart would, but also serves machines that boot from removed releases: a live release
    /// stays live until the active release of its channel is cached. Without one, it is kept like a replaced release.
    pub(super) fn replace(&mut self, releases: Vec<Release>, record: Record, now: SystemTime) {
        let before = std::mem::replace(self, Self::new(releases, record, now));
        for channel in &before.list {
            let Some(live) = channel.live().filter(|live| !self.is_live(live)) else { continue };
            let same = |new: &&mut Channel| new.name.is_some() && new.name == channel.name;
            let successor = if self.has(&live.name) { None } else { self.list.iter_mut().find(same) };
            match successor.filter(|new| new.live.is_none() && new.active.is_some()) {
                Some(new) => (new.live, new.former) = (Some(live.name.clone()), Some(Arc::clone(live))),
                None => self.keep(live, now + KEEP),
            }
        }
        for release in before.all().chain(&before.removed) {
            if let Some(until) = before.kept.get(&release.name).filter(|_| !self.is_live(release)) {
                self.keep(release, *until);
            }
        }
    }

    /// Keeps a release that is no longer live.
    fn keep(&mut self, release: &Arc<Release>, until: SystemTime) {
        if !self.has(&release.name) && self.removed.iter().all(|removed| removed.name != release.name) {
            self.removed.push(Arc::clone(release));
        }
        self.kept.insert(release.name.clone(), until);
    }

    /// Whether the configuration has a release of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.list.iter().any(|channel| channel.by_name(name).is_some())
    }

    /// Whether the configuration has no releases.
    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Returns the record of this state.
    pub(super) fn record(&self) -> Record {
        let mut record = self.unclaimed.clone();
        record.keep(&self.kept);
        for channel in &self.list {
            let recorded = ChannelRecord {
                active: channel.active.clone(),
                live: channel.live.clone(),
                configured: channel.configured.clone(),
            };
            match (&channel.name, channel.releases.first()) {
                (Some(name), _) => drop(record.channels.insert(name.clone(), recorded)),
                (None, Some(release)) => drop(record.alone.insert(release.name.clone(), recorded)),
                (None, None) => {}
            }
        }
        record
    }

    /// Activates the release of this name; `None` if there is none.
    pub(super) fn activate(&mut self, name: &str) -> Option<Arc<Release>> {
        let channel = self.list.iter_mut().find(|channel| channel.by_name(name).is_some())?;
        channel.active = Some(name.to_owned());
        channel.by_name(name).cloned()
    }

    /// Makes active releases live that are cached, and drops kept releases whose time is over. Returns the releases that
    /// went live.
    pub(super) fn advance(&mut self, is_cached: impl Fn(&Release) -> bool, now: SystemTime) -> Vec<Arc<Release>> {
        let mut switched = Vec::new();
        for channel in &mut self.list {
            let Some(active) = channel.get(channel.active.as_ref()).cloned() else { continue };
            if channel.live.as_ref() == Some(&active.name) || !is_cached(&active) {
                continue;
            }
            if let Some(before) = channel.live.replace(active.name.clone()) {
                self.kept.insert(before, now + KEEP);
            }
            self.removed.extend(channel.former.take());
            self.kept.remove(&active.name);
            switched.push(active);
        }
        self.kept.retain(|_, until| *until > now);
        self.removed.retain(|release| self.kept.contains_key(&release.name));
        switched
    }

    /// Returns all releases by channel, otherwise in the order of the configuration.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Release>> {
        self.list.iter().flat_map(|channel| &channel.releases)
    }

    /// Returns the active releases.
    pub(super) fn active(&self) -> impl Iterator<Item = &Arc<Release>> {
        self.list.iter().filter_map(|channel| channel.get(channel.active.as_ref()))
    }

    /// Returns the releases that machines boot from now: the live ones, and the active one of a channel where none is live.
    pub(super) fn serving(&self) -> impl Iterator<Item = &Arc<Release>> {
        self.list.iter().filter_map(|channel| channel.live().or_else(|| channel.get(channel.active.as_ref())))
    }

    /// Returns the active releases that are to replace a live one, each with the live one.
    pub(super) fn coming(&self) -> impl Iterator<Item = (&Arc<Release>, &Arc<Release>)> {
        let pairs = self.list.iter().filter_map(|channel| channel.get(channel.active.as_ref()).zip(channel.live()));
        pairs.filter(|(active, live)| active.name != live.name)
    }

    /// Returns the releases that are active, live, or both.
    pub(super) fn active_or_live(&self) -> impl Iterator<Item = &Arc<Release>> {
        let live = self.list.iter().filter(|channel| channel.live != channel.active);
        self.active().chain(live.filter_map(Channel::live))
    }

    /// Returns the releases whose assets must stay in the cache.
    pub(super) fn held(&self) -> impl Iterator<Item = &Arc<Release>> {
        let kept = self.all().chain(&self.removed).filter(|release| self.kept.contains_key(&release.name));
        self.active_or_live().chain(kept)
    }

    /// Returns the live releases that were removed from the configuration.
    pub(super) fn former(&self) -> impl Iterator<Item = &Arc<Release>> {
        self.list.iter().filter_map(|channel| channel.former.as_ref())
    }

    /// Whether a release is active.
    pub(super) fn is_active(&self, release: &Release) -> bool {
        self.list.iter().any(|channel| channel.active.as_ref() == Some(&release.name))
    }

    /// Whether a release is live.
    pub(super) fn is_live(&self, release: &Release) -> bool {
        self.list.iter().any(|channel| channel.live.as_ref() == Some(&release.name))
    }

    /// Returns when a replaced release is no longer kept; `None` if it is not kept.
    pub(super) fn kept_until(&self, release: &Release) -> Option<SystemTime> {
        self.kept.get(&release.name).copied()
    }

    /// Returns the holder for the assets of a held release.
    pub(super) fn holder(&self, release: &Release) -> RetentionReason {
        let name = release.name.clone();
        let in_use = self.is_active(release) || self.is_live(release);
        match self.kept_until(release).filter(|_| !in_use) {
            Some(until) => RetentionReason::PreviousRelease { release: name, until: timestamp(until) },
            None => RetentionReason::Release(name),
        }
    }

    /// Returns when the next kept release expires.
    pub(super) fn next_expiry(&self) -> Option<SystemTime> {
        self.kept.values().min().copied()
    }

    /// Returns the live and active release of a channel; `None` if there is no such channel.
    pub(super) fn channel(&self, name: &str) -> Option<ChannelStatus<'_>> {
        let channel = self.list.iter().find(|channel| channel.name.as_deref() == Some(name))?;
        Some(ChannelStatus { live: channel.live(), active: channel.get(channel.active.as_ref()) })
    }
}

#[cfg(test)]
mod tests;
