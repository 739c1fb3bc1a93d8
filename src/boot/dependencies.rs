//! The assets that a host or profile boots from, for preloading.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;

use parking_lot::Mutex;

use super::facade::Boot;
use super::host::{Host, Profile};
use super::host_file;
use super::language::Language;
use super::links::{Resolve, TokenIssuer};
use super::machine::Machine;
use super::not_live::NotLive;
use super::request_context::RequestContext;
use super::roster::Roster;
use super::script::{ScriptBuilder, ScriptError};
use crate::asset::AssetName;

impl Boot {
    /// Returns the names of all profiles.
    pub fn profile_names(&self) -> Vec<String> {
        self.roster().profiles().map(|profile| profile.name.clone()).collect()
    }

    /// Returns the names of all hosts, in the order of the configuration.
    pub fn host_names(&self) -> Vec<String> {
        self.roster().hosts().iter().map(|host| host.name.clone()).collect()
    }

    /// Returns the assets that a host's script and files name once every active release is live, and its network boot
    /// program if that is an asset. `None` if there is no such host.
    pub fn host_dependencies(&self, name: &str) -> Option<Result<BTreeSet<AssetName>, ScriptError>> {
        let roster = &self.roster();
        let host = roster.host(name)?;
        Some(self.of_host(roster, host))
    }

    /// Returns the assets that a profile's script names by itself and for each of its hosts. `None` if there is no such
    /// profile.
    pub fn profile_dependencies(&self, name: &str) -> Option<Result<BTreeSet<AssetName>, ScriptError>> {
        let roster = &self.roster();
        let profile = Arc::clone(roster.profiles().find(|profile| profile.name == name)?);
        let hosts: Vec<_> = roster.hosts().iter().filter(|host| host.profile.name == name).collect();
        let mut assets = match self.of_script(roster, &Machine::default(), Some(&profile)) {
            Ok(assets) => assets,
            // A template may use variables that only hosts have.
            Err(_) if !hosts.is_empty() => BTreeSet::new(),
            Err(error) => return Some(Err(error)),
        };
        for host in hosts {
            match self.of_host(roster, host) {
                Ok(more) => assets.extend(more),
                Err(error) => return Some(Err(error)),
            }
        }
        Some(Ok(assets))
    }

    fn of_host(&self, roster: &Roster, host: &Arc<Host>) -> Result<BTreeSet<AssetName>, ScriptError> {
        let mut assets = self.of_script(roster, &host.sample_machine(), None)?;
        let (resolve, named) = self.recording_resolve(roster);
        let secrets = host.placeholder_secrets();
        for name in host.files.keys() {
            let (resolve, tokens) = (Arc::clone(&resolve), TokenIssuer::Sample);
            let rendered = host_file::render(&roster.templates, host, name, &request(), resolve, tokens, &secrets);
            // A placeholder for a secret may make rendering fail; the assets named before that are recorded.
            if let Err(error) = rendered {
                tracing::debug!(host = host.name, file = name, %error, "host file failed while collecting assets");
            }
        }
        assets.append(&mut named.lock());
        assets.extend(host.nbp.as_deref().and_then(|nbp| self.depot().find(nbp)).map(|asset| asset.name.clone()));
        Ok(assets)
    }

    /// Returns the assets that the script of `machine` names in any language; of `profile`, if given.
    fn of_script(
        &self,
        roster: &Roster,
        machine: &Machine,
        profile: Option<&Arc<Profile>>,
    ) -> Result<BTreeSet<AssetName>, ScriptError> {
        let (resolve, named) = self.recording_resolve(roster);
        let mut errors = Vec::new();
        for language in Language::ALL {
            let (resolve, tokens) = (Arc::clone(&resolve), TokenIssuer::Sample);
            let builder = ScriptBuilder::new(roster, machine, &request(), language, resolve, tokens);
            let builder = match profile {
                Some(profile) => builder.with_profile(Arc::clone(profile)),
                None => builder,
            };
            errors.extend(builder.build().error);
        }
        let assets = std::mem::take(&mut *named.lock());
        // A language that does not support the profile is no error: the other may.
        let serious = |error: &ScriptError| match error {
            ScriptError::NotLive(_) => true,
            ScriptError::Unsupported(..) => false,
            ScriptError::UnknownMachine | ScriptError::Template { .. } => assets.is_empty(),
        };
        match errors.into_iter().find(serious) {
            Some(error) => Err(error),
            None => Ok(assets),
        }
    }

    /// Resolves references as if every active release were live, and records each asset in the returned set.
    fn recording_resolve(&self, roster: &Roster) -> (Resolve, Arc<Mutex<BTreeSet<AssetName>>>) {
        let named = Arc::new(Mutex::new(BTreeSet::new()));
        let (recorded, releases) = (Arc::clone(&named), self.releases().clone());
        let references = Arc::clone(&roster.references);
        let resolve = move |reference: &str| -> Result<AssetName, NotLive> {
            let name = releases.resolve_planned(reference).map_err(|error| references.explain(reference, error))?;
            recorded.lock().insert(name.clone());
            Ok(name)
        };
        (Arc::new(resolve), named)
    }
}

/// The context of a request that no client made.
fn request() -> RequestContext {
    RequestContext { peer: Ipv4Addr::LOCALHOST.into(), base: "http://127.0.0.1".to_owned(), is_probe: false }
}
