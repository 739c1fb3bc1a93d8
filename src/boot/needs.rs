//! Which assets a host or a profile boots from: for whoever wants them in the cache before it does.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use super::host::{Host, Profile};
use super::links::{Mint, Resolve};
use super::roster::Roster;
use super::script::{Making, Trouble};
use super::settings::Keys;
use super::{Boot, Language, Machine, NotLive, Visit, file};
use crate::asset::AssetName;

/// The languages in which a machine may ask; scripts of both may name different assets.
const LANGUAGES: [Language; 2] = [Language::Ipxe, Language::Grub];

impl Boot {
    /// The names of all profiles.
    pub fn profile_names(&self) -> Vec<String> {
        self.roster().profiles().map(|profile| profile.name.clone()).collect()
    }

    /// The names of all hosts, in the order of the settings.
    pub fn host_names(&self) -> Vec<String> {
        self.roster().hosts().iter().map(|host| host.name.clone()).collect()
    }

    /// The assets that the host's script and files name once everything active is live, and its firmware file where that is
    /// one; `None` where there is no such host.
    pub fn needs_of_host(&self, name: &str) -> Option<Result<BTreeSet<AssetName>, Trouble>> {
        let roster = &self.roster();
        let host = roster.host(name)?;
        Some(self.of_host(roster, host))
    }

    /// The assets that the profile's script names by itself and for each of its hosts; `None` where there is no such
    /// profile.
    pub fn needs_of_profile(&self, name: &str) -> Option<Result<BTreeSet<AssetName>, Trouble>> {
        let roster = &self.roster();
        let profile = Arc::clone(roster.profiles().find(|profile| profile.name == name)?);
        let hosts: Vec<_> = roster.hosts().iter().filter(|host| host.profile.name == name).collect();
        let alone = self.of_script(roster, &Machine::default(), Some(&profile));
        // A template may need what only hosts have.
        let mut needs = match alone {
            Ok(needs) => needs,
            Err(_) if !hosts.is_empty() => BTreeSet::new(),
            Err(trouble) => return Some(Err(trouble)),
        };
        for host in hosts {
            match self.of_host(roster, host) {
                Ok(more) => needs.extend(more),
                Err(trouble) => return Some(Err(trouble)),
            }
        }
        Some(Ok(needs))
    }

    fn of_host(&self, roster: &Roster, host: &Arc<Host>) -> Result<BTreeSet<AssetName>, Trouble> {
        let mut needs = self.of_script(roster, &machine_of(&host.keys), None)?;
        let (resolve, named) = self.noting();
        let secrets = host.secrets.keys().map(|name| (name.clone(), "(secret)".to_owned())).collect();
        for name in host.files.keys() {
            let made = file::render(roster, host, name, &visit(), Arc::clone(&resolve), Mint::Sample, &secrets);
            // What a stand-in for a secret spoils is no news: what the file names was named before.
            if let Err(error) = made {
                tracing::debug!(host = host.name, file = name, %error, "a file could not be made to see what it names");
            }
        }
        needs.append(&mut named.lock().unwrap_or_else(PoisonError::into_inner));
        needs.extend(host.nbp.as_deref().and_then(|nbp| self.depot().find(nbp)).map(|asset| asset.name.clone()));
        Ok(needs)
    }

    /// What the script of `machine` names, in either language; of `profile`, where one is given.
    fn of_script(
        &self,
        roster: &Roster,
        machine: &Machine,
        profile: Option<&Arc<Profile>>,
    ) -> Result<BTreeSet<AssetName>, Trouble> {
        let (resolve, named) = self.noting();
        let mut troubles = Vec::new();
        for language in LANGUAGES {
            let making = Making::new(roster, machine, &visit(), language, Arc::clone(&resolve), Mint::Sample);
            let making = match profile {
                Some(profile) => making.with_profile(Arc::clone(profile)),
                None => making,
            };
            troubles.extend(making.make().trouble);
        }
        let needs = std::mem::take(&mut *named.lock().unwrap_or_else(PoisonError::into_inner));
        // That one language has no words for it is no trouble.
        let serious = |trouble: &Trouble| match trouble {
            Trouble::NotLive(_) => true,
            Trouble::Language(_) => false,
            Trouble::Unknown | Trouble::Template { .. } => needs.is_empty(),
        };
        match troubles.into_iter().find(serious) {
            Some(trouble) => Err(trouble),
            None => Ok(needs),
        }
    }

    /// What references mean once everything active is live, and the list in which each that was asked for is noted.
    fn noting(&self) -> (Resolve, Arc<Mutex<BTreeSet<AssetName>>>) {
        let named = Arc::new(Mutex::new(BTreeSet::new()));
        let (noted, releases) = (Arc::clone(&named), self.releases().clone());
        let resolve = move |reference: &str| -> Result<AssetName, NotLive> {
            let asset = releases.find_coming(reference)?;
            noted.lock().unwrap_or_else(PoisonError::into_inner).insert(asset.name.clone());
            Ok(asset.name.clone())
        };
        (Arc::new(resolve), named)
    }
}

/// A machine that fits these keys.
fn machine_of(keys: &Keys) -> Machine {
    Machine {
        mac: keys.macs.first().copied(),
        uuid: keys.uuid,
        serial: keys.serial.clone(),
        asset_tag: keys.asset_tag.clone(),
        ..Machine::default()
    }
}

/// A visit of nobody.
fn visit() -> Visit {
    Visit { peer: Ipv4Addr::LOCALHOST.into(), base: "http://127.0.0.1".to_owned() }
}
