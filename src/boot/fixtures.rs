//! A catalog, releases and a roster for tests.

use std::time::SystemTime;

use super::request_context::RequestContext;
use super::roster::{Roster, RosterError};
use super::settings::{HostSettings, Keys, ProfileSettings, RosterSettings, TemplateText};
use crate::asset::{AssetName, Digest};
use crate::catalog::{Asset, Catalog, Release};

fn asset(name: &str) -> Asset {
    Asset {
        name: AssetName::parse(name).unwrap(),
        digest: Digest::of(name.as_bytes()),
        sources: vec!["s3://b/x".parse().unwrap()],
        size: None,
        content_type: "application/octet-stream".into(),
        pin: false,
        blocks: None,
        last_modified: SystemTime::UNIX_EPOCH,
    }
}

pub(super) fn catalog() -> Catalog {
    let names =
        ["kernel", "initrd.img", "rootfs.img"].map(|short| [format!("okd/4.18/{short}"), format!("okd/4.19/{short}")]);
    let others = ["isos/Fedora 42 (x86_64).iso", "boot/shell.efi", "boot/wimboot"].map(str::to_owned);
    Catalog::new(names.into_iter().flatten().chain(others).map(|name| asset(&name)).collect()).unwrap()
}

/// The releases 4.18 and 4.19 of the channel okd; the latter is active.
fn releases() -> Vec<Release> {
    let release = |version: &str, active| Release {
        name: format!("okd-{version}"),
        channel: Some("okd".to_owned()),
        assets: ["kernel", "initrd.img", "rootfs.img"]
            .map(|short| AssetName::parse(&format!("okd/{version}/{short}")).unwrap())
            .to_vec(),
        active,
    };
    vec![release("4.18", false), release("4.19", true)]
}

pub(super) fn roster(settings: RosterSettings) -> Result<Roster, Vec<RosterError>> {
    Roster::new(settings, &catalog(), &releases())
}

pub(super) fn request() -> RequestContext {
    RequestContext { peer: "10.0.0.7".parse().unwrap(), base: "http://10.0.0.1:8080".to_owned(), is_probe: false }
}

/// The settings of the host `r630-01` with this profile, after `change`.
pub(super) fn one_host(profile: ProfileSettings, change: impl FnOnce(&mut HostSettings)) -> RosterSettings {
    let mut host = HostSettings {
        name: "r630-01".to_owned(),
        keys: mac("24:6e:96:00:00:01"),
        profile: profile.name.clone(),
        ..HostSettings::default()
    };
    change(&mut host);
    RosterSettings { hosts: vec![host], profiles: vec![profile], ..RosterSettings::default() }
}

/// The settings of a host with the profile of [`okd`].
pub(super) fn host(name: &str, keys: Keys) -> HostSettings {
    HostSettings { name: name.to_owned(), keys, profile: "okd-worker".to_owned(), ..HostSettings::default() }
}

pub(super) fn mac(text: &str) -> Keys {
    Keys { macs: vec![text.parse().unwrap()], ..Keys::default() }
}

pub(super) fn template(text: &str) -> TemplateText {
    TemplateText { file: "a.j2".to_owned(), text: text.to_owned() }
}

pub(super) fn okd() -> ProfileSettings {
    ProfileSettings {
        name: "okd-worker".to_owned(),
        kernel: Some("okd/4.19/kernel".to_owned()),
        initrd: vec!["okd/4.19/initrd.img".to_owned().into()],
        args: ["coreos.live.rootfs_url={{ asset_url('okd/4.19/rootfs.img') }}", "ip=dhcp", "hostname={{ host.name }}"]
            .map(str::to_owned)
            .to_vec(),
        ..ProfileSettings::default()
    }
}
