//! What holds blobs in the cache, and who: so that a refusal to evict can say it.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use super::Depot;
use super::held::Held;
use crate::asset::{AssetName, Digest};
use crate::cache::{Cache, CacheError, EvictError};
use crate::catalog::Asset;
use crate::task::blocking;

/// Who holds a blob in the cache.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Holder {
    /// The settings: `pin = true`.
    Settings,
    /// An operator, by a pin.
    Operator,
    /// The release of this name, which is live or is to be.
    Release(String),
    /// A release that was live, for the machines that began with it.
    Kept {
        /// Its name.
        release: String,
        /// For how long.
        until: Timestamp,
    },
    /// The job of this number, until it ends.
    Job(u64),
}

impl fmt::Display for Holder {
    /// The API's word for it: `settings`, `operator`, `release okd-4.19`, `job 7`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Settings => f.write_str("settings"),
            Self::Operator => f.write_str("operator"),
            Self::Release(name) | Self::Kept { release: name, .. } => write!(f, "release {name}"),
            Self::Job(id) => write!(f, "job {id}"),
        }
    }
}

impl FromStr for Holder {
    type Err = UnknownHolder;

    /// Reads what `Display` wrote. A release that is only kept reads as [`Holder::Release`]: the text does not say until when.
    fn from_str(text: &str) -> Result<Self, UnknownHolder> {
        let unknown = || UnknownHolder(text.to_owned());
        match text.split_once(' ') {
            None if text == "settings" => Ok(Self::Settings),
            None if text == "operator" => Ok(Self::Operator),
            Some(("release", name)) => Ok(Self::Release(name.to_owned())),
            Some(("job", id)) => id.parse().map(Self::Job).map_err(|_| unknown()),
            _ => Err(unknown()),
        }
    }
}

/// A text that names no holder.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names nothing that holds assets")]
pub struct UnknownHolder(String);

impl Holder {
    /// Who it is and what lets go, in words.
    fn in_words(&self) -> String {
        match self {
            Self::Settings => "the settings pin it (pin = true)".to_owned(),
            Self::Operator => "an operator pinned it; unpin it first".to_owned(),
            Self::Release(name) => format!("the release {name} needs it; activate another"),
            Self::Kept { release, until } => {
                let until = until.strftime("%Y-%m-%dT%H:%M:%SZ");
                format!("the release {release} was live and is kept for machines that began with it, until {until}")
            }
            Self::Job(id) => format!("job {id} holds it until it ends; wait, or cancel it"),
        }
    }
}

/// Why an operator's wish to evict an asset is refused.
#[derive(Debug, thiserror::Error)]
pub enum EvictRefusal {
    /// It is not here.
    #[error("{0} is not in the cache")]
    Absent(AssetName),
    /// Its bytes are held, for this asset or another that has the same; the holders, each once.
    #[error("{name} stays: {}", in_words(.by))]
    Held {
        /// The asset.
        name: AssetName,
        /// Who holds it.
        by: Vec<Holder>,
    },
    /// It is being read.
    #[error("{0} stays: it is being read; try again when its transfers have ended")]
    InUse(AssetName),
    /// The disk would not remove it.
    #[error("{}", crate::error_chain::error_chain(.0))]
    Failed(#[from] CacheError),
}

fn in_words(by: &[Holder]) -> String {
    if by.is_empty() {
        // It was let go of just now.
        return "it was held a moment ago; try again".to_owned();
    }
    by.iter().map(Holder::in_words).collect::<Vec<_>>().join("; ")
}

/// Who holds which blob; one entry a hold.
#[derive(Debug, Default)]
pub(super) struct Holders(Mutex<HashMap<Digest, Vec<Holder>>>);

impl Holders {
    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, Vec<Holder>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who holds it, each once, in order.
    fn of(&self, digest: &Digest) -> Vec<Holder> {
        let mut holders = self.lock().get(digest).cloned().unwrap_or_default();
        holders.sort_unstable();
        holders.dedup();
        holders
    }
}

/// Holds an asset's blob, and its block list's, against eviction for as long as this lives, whether they are here
/// already or not. Its name leads to it all the while, unless the catalog says otherwise.
pub struct Hold {
    cache: Cache,
    holders: Arc<Holders>,
    digests: Vec<Digest>,
    holder: Holder,
    /// The asset that is found by its name, and where.
    named: Option<(Arc<Held>, Arc<Asset>)>,
}

impl Hold {
    /// Goes on in another name.
    pub fn rename(&mut self, holder: &Holder) {
        if self.holder == *holder {
            return;
        }
        let mut holders = self.holders.lock();
        for digest in &self.digests {
            let own = holders.get_mut(digest).and_then(|list| list.iter_mut().find(|it| **it == self.holder));
            if let Some(own) = own {
                *own = holder.clone();
            }
        }
        drop(holders);
        self.holder = holder.clone();
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some((held, asset)) = &self.named {
            held.remove(asset);
        }
        for digest in &self.digests {
            let mut holders = self.holders.lock();
            if let Some(list) = holders.get_mut(digest) {
                if let Some(index) = list.iter().position(|holder| *holder == self.holder) {
                    list.swap_remove(index);
                }
                if list.is_empty() {
                    holders.remove(digest);
                }
            }
            drop(holders);
            self.cache.unpin(digest);
        }
    }
}

impl Depot {
    /// Holds the asset's blob in the cache from now on, in this name.
    pub fn hold(&self, asset: &Arc<Asset>, holder: Holder) -> Hold {
        let blocks = asset.blocks.as_ref().map(|list| list.digest);
        let mut hold = self.hold_digests([asset.digest].into_iter().chain(blocks).collect(), holder);
        self.shared.held.add(asset);
        hold.named = Some((Arc::clone(&self.shared.held), Arc::clone(asset)));
        hold
    }

    /// The same of these blobs.
    pub(super) fn hold_digests(&self, digests: Vec<Digest>, holder: Holder) -> Hold {
        let (cache, holders) = (self.shared.cache.clone(), Arc::clone(&self.shared.holders));
        for digest in &digests {
            cache.pin(digest);
            holders.lock().entry(*digest).or_default().push(holder.clone());
        }
        Hold { cache, holders, digests, holder, named: None }
    }

    /// Who holds the blob of this digest, each once. Memory only.
    pub fn holders(&self, digest: &Digest) -> Vec<Holder> {
        self.shared.holders.of(digest)
    }

    /// Removes the asset's blob from the cache because an operator asked for it. Returns the bytes that this freed.
    pub async fn evict(&self, asset: &Asset) -> Result<u64, EvictRefusal> {
        let (cache, digest) = (self.shared.cache.clone(), asset.digest);
        let evicted = blocking(move || cache.evict(&digest)).await;
        evicted.inspect(|_| self.shared.hot.invalidate(&digest)).map_err(|error| match error {
            EvictError::Missing(_) => EvictRefusal::Absent(asset.name.clone()),
            EvictError::Pinned(_) => EvictRefusal::Held { name: asset.name.clone(), by: self.holders(&digest) },
            EvictError::Held(_) => EvictRefusal::InUse(asset.name.clone()),
            EvictError::Failed(error) => EvictRefusal::Failed(error),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_who_holds_it_and_what_lets_go() {
        let name = || AssetName::parse("okd/rootfs.img").unwrap();
        let by = vec![Holder::Settings, Holder::Operator, Holder::Release("okd-4.19".to_owned()), Holder::Job(7)];
        assert_eq!(
            by.iter().map(Holder::to_string).collect::<Vec<_>>(),
            ["settings", "operator", "release okd-4.19", "job 7"]
        );
        insta::assert_snapshot!(EvictRefusal::Held { name: name(), by }, @"okd/rootfs.img stays: the settings pin it (pin = true); an operator pinned it; unpin it first; the release okd-4.19 needs it; activate another; job 7 holds it until it ends; wait, or cancel it");
        let until = "2026-11-21T14:02:11.5Z".parse().unwrap();
        let by = vec![Holder::Kept { release: "okd-4.18".to_owned(), until }];
        assert_eq!(by[0].to_string(), "release okd-4.18");
        insta::assert_snapshot!(EvictRefusal::Held { name: name(), by }, @"okd/rootfs.img stays: the release okd-4.18 was live and is kept for machines that began with it, until 2026-11-21T14:02:11Z");
        insta::assert_snapshot!(EvictRefusal::Absent(name()), @"okd/rootfs.img is not in the cache");
        insta::assert_snapshot!(EvictRefusal::InUse(name()), @"okd/rootfs.img stays: it is being read; try again when its transfers have ended");
    }
}
