//! Which release is wanted and which is live in each channel, and what is kept for machines that began with an older
//! one. Pure: no IO and no clock; whether a release is proven it is told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::record::{Record, TrackRecord};
use crate::catalog::Release;
use crate::depot::{RetentionReason, timestamp};

/// How long a release that was live is kept after another took its place. A machine names all it boots within the
/// minutes after its script was made; an installer may come back for its root file system or more of an ISO for as long
/// as it runs, which on slow disks and links is well above an hour.
pub(super) const KEEP: Duration = Duration::from_hours(2);

/// The releases of one channel, or one that has none.
#[derive(Debug)]
struct Track {
    channel: Option<String>,
    members: Vec<Arc<Release>>,
    /// Which release the settings want; kept to see when they change their mind.
    said: Option<String>,
    /// Which is to be live: what the settings or, since then, a command said.
    wanted: Option<String>,
    /// Which new scripts name.
    live: Option<String>,
    /// That one itself, where the settings have it no more: it stays live until what took its place is proven.
    former: Option<Arc<Release>>,
}

/// The standing of all releases.
#[derive(Debug, Default)]
pub(super) struct Standing {
    tracks: Vec<Track>,
    /// Until when releases are kept that were live.
    kept: BTreeMap<String, SystemTime>,
    /// Those of the kept ones that the settings have no more.
    gone: Vec<Arc<Release>>,
    /// What was recorded of channels and releases that the settings do not have: not any more, or not yet, where a part of
    /// the catalog could not be read. It is there when they come back.
    unclaimed: Record,
}

/// How a channel stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct InChannel<'s> {
    /// The release that new scripts name.
    pub(super) live: Option<&'s Arc<Release>>,
    /// The one that is to be live.
    pub(super) wanted: Option<&'s Arc<Release>>,
}

impl Track {
    fn member(&self, name: &str) -> Option<&Arc<Release>> {
        self.members.iter().find(|release| release.name == name)
    }

    fn get(&self, name: Option<&String>) -> Option<&Arc<Release>> {
        self.member(name?)
    }

    fn live(&self) -> Option<&Arc<Release>> {
        self.former.as_ref().or_else(|| self.get(self.live.as_ref()))
    }

    /// Takes up what was recorded, as far as it still makes sense. Returns what was live and is not any more.
    fn resume(&mut self, record: &TrackRecord) -> Option<String> {
        let still = |name: &Option<String>| name.clone().filter(|name| self.member(name).is_some());
        let (wanted, live) = (still(&record.wanted), still(&record.live));
        // What a command said holds until the settings say something else than they did when it was given.
        if record.settings == self.said && wanted.is_some() {
            self.wanted = wanted;
        }
        // Where nothing is wanted any more, nothing is live.
        if self.wanted.is_none() {
            return live;
        }
        self.live = live;
        None
    }
}

impl Standing {
    /// The standing that the settings and the record of an earlier run make.
    pub(super) fn new(releases: Vec<Release>, mut record: Record, now: SystemTime) -> Self {
        let mut tracks: Vec<Track> = Vec::new();
        for release in releases {
            let release = Arc::new(release);
            let said = release.active.then(|| release.name.clone());
            let known = tracks.iter_mut().find(|track| track.channel.is_some() && track.channel == release.channel);
            match known {
                Some(track) => {
                    track.said = track.said.take().or(said);
                    track.members.push(release);
                }
                None => tracks.push(Track {
                    channel: release.channel.clone(),
                    members: vec![release],
                    said,
                    wanted: None,
                    live: None,
                    former: None,
                }),
            }
        }
        let mut kept = record.kept();
        for track in &mut tracks {
            track.wanted.clone_from(&track.said);
            let recorded = match (&track.channel, track.members.first()) {
                (Some(channel), _) => record.channels.remove(channel),
                (None, Some(release)) => record.alone.remove(&release.name),
                (None, None) => None,
            };
            if let Some(before) = recorded.and_then(|recorded| track.resume(&recorded)) {
                kept.insert(before, now + KEEP);
            }
        }
        // A clock that was wrong when this was recorded must not keep a release for years.
        for until in kept.values_mut() {
            *until = (*until).min(now + KEEP);
        }
        let has = |name: &String| tracks.iter().any(|track| track.member(name).is_some());
        let unclaimed = record.rest(kept.iter().filter(|(name, until)| !has(name) && **until > now));
        kept.retain(|name, _| has(name) && tracks.iter().all(|track| track.live.as_ref() != Some(name)));
        Self { tracks, kept, gone: Vec::new(), unclaimed }
    }

    /// Goes over to other releases, as a restart with them would; but for the machines that are about to boot, or began to,
    /// with what the settings have no more. What was live stays so until what is wanted in its channel is proven; where
    /// nothing is, it is let go as one that another took the place of.
    pub(super) fn replace(&mut self, releases: Vec<Release>, record: Record, now: SystemTime) {
        let before = std::mem::replace(self, Self::new(releases, record, now));
        for track in &before.tracks {
            let Some(live) = track.live().filter(|live| !self.is_live(live)) else { continue };
            let of_channel = |it: &&mut Track| it.channel.is_some() && it.channel == track.channel;
            let heir = if self.has(&live.name) { None } else { self.tracks.iter_mut().find(of_channel) };
            match heir.filter(|heir| heir.live.is_none() && heir.wanted.is_some()) {
                Some(heir) => (heir.live, heir.former) = (Some(live.name.clone()), Some(Arc::clone(live))),
                None => self.keep(live, now + KEEP),
            }
        }
        for release in before.all().chain(&before.gone) {
            if let Some(until) = before.kept.get(&release.name).filter(|_| !self.is_live(release)) {
                self.keep(release, *until);
            }
        }
    }

    /// Keeps a release that was live.
    fn keep(&mut self, release: &Arc<Release>, until: SystemTime) {
        if !self.has(&release.name) && self.gone.iter().all(|gone| gone.name != release.name) {
            self.gone.push(Arc::clone(release));
        }
        self.kept.insert(release.name.clone(), until);
    }

    /// Whether the settings have a release of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.tracks.iter().any(|track| track.member(name).is_some())
    }

    /// Whether the settings have no release.
    pub(super) fn is_empty(&self) -> bool {
        self.tracks.is_empty()
    }

    /// What to record of it.
    pub(super) fn record(&self) -> Record {
        let mut record = self.unclaimed.clone();
        record.keep(&self.kept);
        for track in &self.tracks {
            let recorded =
                TrackRecord { wanted: track.wanted.clone(), live: track.live.clone(), settings: track.said.clone() };
            match (&track.channel, track.members.first()) {
                (Some(channel), _) => drop(record.channels.insert(channel.clone(), recorded)),
                (None, Some(release)) => drop(record.alone.insert(release.name.clone(), recorded)),
                (None, None) => {}
            }
        }
        record
    }

    /// Wants the release of this name live from now on; `None` where there is none of this name.
    pub(super) fn activate(&mut self, name: &str) -> Option<Arc<Release>> {
        let track = self.tracks.iter_mut().find(|track| track.member(name).is_some())?;
        track.wanted = Some(name.to_owned());
        track.member(name).cloned()
    }

    /// Makes live what is wanted and `is_proven`, and forgets what was kept long enough. Returns what went live just now.
    pub(super) fn advance(&mut self, is_proven: impl Fn(&Release) -> bool, now: SystemTime) -> Vec<Arc<Release>> {
        let mut switched = Vec::new();
        for track in &mut self.tracks {
            let Some(wanted) = track.get(track.wanted.as_ref()).cloned() else { continue };
            if track.live.as_ref() == Some(&wanted.name) || !is_proven(&wanted) {
                continue;
            }
            if let Some(before) = track.live.replace(wanted.name.clone()) {
                self.kept.insert(before, now + KEEP);
            }
            self.gone.extend(track.former.take());
            self.kept.remove(&wanted.name);
            switched.push(wanted);
        }
        self.kept.retain(|_, until| *until > now);
        self.gone.retain(|release| self.kept.contains_key(&release.name));
        switched
    }

    /// All releases, in the order of the settings as far as channels let them be.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Release>> {
        self.tracks.iter().flat_map(|track| &track.members)
    }

    /// The releases that are to be live.
    pub(super) fn wanted(&self) -> impl Iterator<Item = &Arc<Release>> {
        self.tracks.iter().filter_map(|track| track.get(track.wanted.as_ref()))
    }

    /// The releases that are live or to be live.
    pub(super) fn active(&self) -> impl Iterator<Item = &Arc<Release>> {
        let live = self.tracks.iter().filter(|track| track.live != track.wanted);
        self.wanted().chain(live.filter_map(Track::live))
    }

    /// The releases that must stay in the cache.
    pub(super) fn held(&self) -> impl Iterator<Item = &Arc<Release>> {
        let kept = self.all().chain(&self.gone).filter(|release| self.kept.contains_key(&release.name));
        self.active().chain(kept)
    }

    /// The releases that the settings have no more, and that are still live.
    pub(super) fn former(&self) -> impl Iterator<Item = &Arc<Release>> {
        self.tracks.iter().filter_map(|track| track.former.as_ref())
    }

    pub(super) fn is_wanted(&self, release: &Release) -> bool {
        self.tracks.iter().any(|track| track.wanted.as_ref() == Some(&release.name))
    }

    pub(super) fn is_live(&self, release: &Release) -> bool {
        self.tracks.iter().any(|track| track.live.as_ref() == Some(&release.name))
    }

    /// Until when a release is kept that was live.
    pub(super) fn kept_until(&self, release: &Release) -> Option<SystemTime> {
        self.kept.get(&release.name).copied()
    }

    /// In whose name the assets of a held release are held.
    pub(super) fn holder(&self, release: &Release) -> RetentionReason {
        let name = release.name.clone();
        let is_active = self.is_wanted(release) || self.is_live(release);
        match self.kept_until(release).filter(|_| !is_active) {
            Some(until) => RetentionReason::PreviousRelease { release: name, until: timestamp(until) },
            None => RetentionReason::Release(name),
        }
    }

    /// When the next release is kept no longer.
    pub(super) fn next_end(&self) -> Option<SystemTime> {
        self.kept.values().min().copied()
    }

    /// What is live in a channel and what is to be; `None` where there is no such channel.
    pub(super) fn channel(&self, channel: &str) -> Option<InChannel<'_>> {
        let track = self.tracks.iter().find(|track| track.channel.as_deref() == Some(channel))?;
        Some(InChannel { live: track.live(), wanted: track.get(track.wanted.as_ref()) })
    }
}

#[cfg(test)]
mod tests;
