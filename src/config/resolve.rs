//! Converts the configuration as written into the settings of the rooms.

mod bucket;
mod collection;
mod dhcp;
mod mirror;
mod roster;
mod value;

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::UNIX_EPOCH;

use self::value::{value, values};
use super::access::CatalogAccess;
use super::error::{ConfigError, Problem};
use super::format::{AddressOrOff, FilePath};
use super::inputs::Inputs;
use super::key::KeyPath;
use super::layer::{self, Layer, Layers};
use super::place::Place;
use super::settings::Config;
use super::shared::{self, SharedCatalog};
use super::written::Written;
use super::{check, raw};
use crate::address_share::ShareSettings;
use crate::admin::AdminSettings;
use crate::asset::{AssetName, Digest, SourceUrl};
use crate::boot::Roster;
use crate::cache::{CacheSettings, SealPolicy};
use crate::catalog::{self, Asset, BlockListSource, Catalog, content_type};
use crate::depot::{FillSettings, Release};
use crate::http::{HttpSettings, TlsSettings};
use crate::memory::default_total;
use crate::origin::{Addressing, CredentialSource, OriginSettings, Timeouts};
use crate::secret::Secret;
use crate::tftp::TftpSettings;

/// Builds the settings of every room. `layers` must have passed validation.
///
/// With `partial`, the shared catalog is missing: releases that name assets outside of the local catalog are left out,
/// and so are hosts and profiles unless they are complete by themselves.
pub(super) fn resolve(layers: Layers, mut warnings: Vec<String>, partial: bool) -> Result<Config, Vec<ConfigError>> {
    let raw: raw::Settings = layers.extract().map_err(|problems| at_root(&layers, problems))?;
    let timeouts = Timeouts { stall: raw.fill.stall_timeout.value, ..Timeouts::default() };
    let mut errors: Vec<ConfigError> = Vec::new();
    let mut origins = Vec::new();
    for (index, raw) in raw.origin.into_iter().enumerate() {
        match origin(raw) {
            Ok(origin) => origins.push(origin),
            Err(reason) => errors.extend(unusable_key_id(&layers, index, reason)),
        }
    }
    let directories = shared::directories(&layers);
    let declared = layers.list("asset").iter().map(|asset| layers.layer(asset.tag()));
    let assets = raw.asset.into_iter().zip(declared);
    let mut assets: Vec<_> = assets.map(|(raw, layer)| asset(raw, layer, &directories)).collect();
    // The rules have reported duplicate names.
    let mut seen = HashSet::new();
    assets.retain(|asset| seen.insert(asset.name.clone()));
    let catalog = Catalog::new(assets).map_err(|taken| {
        at_root(&layers, taken.into_iter().map(|error| Problem::Internal(error.to_string())).collect())
    })?;
    let catalog = catalog.with_collections(raw.collection.into_iter().filter_map(collection::collection).collect());
    let mut releases: Vec<_> = raw.release.into_iter().map(release).collect();
    releases.retain(|it| !partial || it.assets.iter().all(|name| catalog.by_name(name.as_str()).is_some()));
    let excused = |wrong: &[ConfigError]| partial && wrong.iter().all(|it| matches!(it.problem, Problem::Roster(_)));
    let (hosts, profiles, templates) = (raw.host, raw.profile, raw.template);
    let read = roster::roster(&layers, hosts, profiles, raw.defaults, templates, &catalog, &releases);
    let roster = match read {
        Err(wrong) if excused(&wrong) => Ok((Roster::default(), Digest::of(b""))),
        Err(wrong) => {
            errors.extend(wrong);
            Err(())
        }
        Ok(roster) => Ok(roster),
    };
    let (true, Ok((roster, templates))) = (errors.is_empty(), roster) else { return Err(errors) };
    warnings.extend(roster.exposed_secrets().into_iter().map(|(template, (host, file))| {
        format!(
            "{template}: any client that requests /hosts/{host}/{file} receives its secrets; restrict it with only_from = \"host\""
        )
    }));
    warnings.extend(roster.hiding_comments());
    let limits = limits(raw.limits);
    let (http, tftp, admin) = (http(raw.http, &limits), tftp(raw.tftp, &limits), admin(raw.admin, &limits));
    warnings.extend(admin.as_ref().and_then(open_listener));
    let firmware = dhcp::firmware(&raw.dhcp.nbp, &tftp.files, &catalog);
    Ok(Config {
        dhcp: dhcp::settings(raw.dhcp, firmware.clone(), &tftp.files, &http),
        firmware,
        scrub_interval: raw.cache.scrub_interval.value,
        cache: CacheSettings {
            dir: raw.cache.dir.value,
            max_size: raw.cache.max_size.value.0,
            min_free: raw.cache.min_free.value.0,
            seal: match raw.cache.seal {
                raw::Seal::Auto => SealPolicy::Auto,
                raw::Seal::Off => SealPolicy::Off,
                raw::Seal::Require => SealPolicy::Require,
            },
        },
        http,
        tftp,
        admin,
        limits,
        fill: fill(&raw.fill),
        origins,
        buckets: raw.bucket.into_iter().map(bucket::plan).collect(),
        timeouts,
        shared: raw.catalog_url.map(|url| SharedCatalog { url: url.value, poll: raw.catalog_poll.value }),
        catalog,
        releases,
        mirrors: raw.mirror.into_iter().map(mirror::mirror).collect(),
        roster,
        warnings,
        partial,
        text: None,
        templates,
        inputs: Inputs::default(),
        layers,
    })
}

/// Problems of the configuration as a whole.
fn at_root(layers: &Layers, problems: Vec<Problem>) -> Vec<ConfigError> {
    let place = layers.layers().first().map_or(Place::Default, |layer| layer.whole.clone());
    let error = |problem| ConfigError { place: place.clone(), key: KeyPath::root(), of: None, problem };
    problems.into_iter().map(error).collect()
}

fn unusable_key_id(layers: &Layers, index: usize, reason: String) -> Option<ConfigError> {
    let (path, origin) = layer::elements(&KeyPath::of(["origin"]), layers.list("origin")).nth(index)?;
    let key = path.key("credentials").key("access_key_id");
    let place = layers.place(origin.tag(), &key);
    Some(ConfigError { place, key, of: check::name_of(origin), problem: Problem::Absent(reason) })
}

fn http(raw: raw::Http, limits: &ShareSettings) -> HttpSettings {
    HttpSettings {
        listen: values(raw.listen),
        tls: raw.tls.map(|tls| TlsSettings { listen: values(tls.listen), cert: tls.cert.value, key: tls.key.value }),
        advertise: raw.advertise.map(value),
        idle_timeout: raw.idle_timeout.value,
        min_rate: raw.min_rate.into(),
        memory: raw.memory.map_or_else(default_total, |size| usize::try_from(size.value.0).unwrap_or(usize::MAX)),
        max_connections: size(raw.max_connections),
        shares: limits.clone(),
    }
}

fn admin(raw: raw::Admin, limits: &ShareSettings) -> Option<AdminSettings> {
    Some(AdminSettings {
        listen: raw.listen.value?,
        operator_token_file: raw.operator_token_file.map(value),
        viewer_token_file: raw.viewer_token_file.map(value),
        hosts: values(raw.hosts),
        shares: limits.clone(),
    })
}

/// A value of `[admin]` that cannot be parsed.
pub(super) struct UnreadableAdmin;

/// The admin listener of layers that are not validated.
pub(super) fn admin_section(layers: &Layers) -> Result<Option<AdminSettings>, UnreadableAdmin> {
    let set = layers.get::<Written<AddressOrOff>>("admin.listen").transpose().map_err(|_| UnreadableAdmin)?;
    let file = |key: &str| layers.get::<Written<FilePath>>(key)?.ok().map(value);
    Ok(set.unwrap_or(raw::Admin::default().listen).value.map(|listen| AdminSettings {
        listen,
        operator_token_file: file("admin.operator_token_file"),
        viewer_token_file: file("admin.viewer_token_file"),
        hosts: Vec::new(),
        shares: ShareSettings::default(),
    }))
}

/// The warning for a listener that is reachable from outside and has no tokens. It is no error: metrics and health
/// checks are meant for others, and the API refuses them.
fn open_listener(admin: &AdminSettings) -> Option<String> {
    let open = !admin.has_tokens() && !admin.listen.ip().to_canonical().is_loopback();
    open.then(|| {
        format!(
            "admin.listen: anyone who can reach {} may read the metrics; the API answers only this machine, because neither \
             admin.operator_token_file nor admin.viewer_token_file is set",
            admin.listen
        )
    })
}

fn tftp(raw: raw::Tftp, limits: &ShareSettings) -> TftpSettings {
    TftpSettings {
        listen: values(raw.listen),
        max_blksize: raw.max_blksize,
        max_windowsize: raw.max_windowsize,
        single_port: raw.single_port,
        max_transfers: size(raw.max_transfers),
        timeout: raw.timeout.value,
        retries: raw.retries,
        first_byte_deadline: raw.first_byte_deadline.value,
        files: raw.files.into_iter().map(|(file, name)| (file, name.value.to_string())).collect(),
        shares: limits.clone(),
    }
}

fn limits(raw: raw::Limits) -> ShareSettings {
    ShareSettings { per_address: raw.per_address, per_prefix: raw.per_prefix, trusted: values(raw.trusted) }
}

fn fill(raw: &raw::Fill) -> FillSettings {
    FillSettings {
        part_size: raw.part_size.value.0,
        connections: size(raw.connections),
        max_fills: size(raw.max_fills),
        retries: raw.retries,
        negative_ttl: raw.negative_ttl.value,
        release: match raw.release {
            raw::ReleaseWhen::HoldTail => Release::HoldTail,
            raw::ReleaseWhen::Whole => Release::Whole,
        },
    }
}

/// How the shared catalog is reached. `layers` must have passed validation. Skips unusable origins; [`resolve`] reports
/// them.
pub(super) fn catalog_access(layers: &Layers) -> Option<CatalogAccess> {
    let raw: raw::Settings = layers.extract().ok()?;
    Some(CatalogAccess {
        catalog: SharedCatalog { url: raw.catalog_url?.value, poll: raw.catalog_poll.value },
        timeouts: Timeouts { stall: raw.fill.stall_timeout.value, ..Timeouts::default() },
        origins: raw.origin.into_iter().filter_map(|raw| origin(raw).ok()).collect(),
        dir: raw.cache.dir.value,
    })
}

/// The origins alone, and the timeouts of requests to them. `layers` must have passed validation. `None` if one of them cannot be
/// used; [`resolve`] reports why.
pub(super) fn origins(layers: &Layers) -> Option<(Vec<OriginSettings>, Timeouts)> {
    let raw: raw::Settings = layers.extract().ok()?;
    let timeouts = Timeouts { stall: raw.fill.stall_timeout.value, ..Timeouts::default() };
    let origins: Result<_, _> = raw.origin.into_iter().map(origin).collect();
    Some((origins.ok()?, timeouts))
}

fn origin(raw: raw::Origin) -> Result<OriginSettings, String> {
    Ok(OriginSettings {
        prefix: raw.r#match.value,
        endpoint: raw.endpoint.map(value),
        region: raw.region,
        addressing: match raw.addressing {
            raw::Addressing::Path => Addressing::Path,
            raw::Addressing::Virtual => Addressing::Virtual,
        },
        credentials: credentials(raw.credentials)?,
        ca_file: raw.ca_file.map(value),
        insecure_skip_verify: raw.insecure_skip_verify,
        proxy: raw.proxy.map(value),
        headers: raw.headers.into_iter().map(|(name, secret)| (name, secret.value)).collect(),
    })
}

fn credentials(raw: raw::Credentials) -> Result<CredentialSource, String> {
    Ok(match raw {
        raw::Credentials::Default {} => CredentialSource::Default,
        raw::Credentials::Env {} => CredentialSource::Env,
        raw::Credentials::Static { access_key_id, secret_access_key, session_token } => CredentialSource::Static {
            // A key ID is not secret, but operators keep it beside the secret.
            access_key_id: Secret::new(access_key_id).reveal_local().map_err(|error| error.to_string())?,
            secret_access_key: secret_access_key.value,
            session_token: session_token.map(value),
        },
        raw::Credentials::Profile { name, file } => CredentialSource::Profile { name, file: file.map(value) },
        raw::Credentials::WebIdentity {} => CredentialSource::WebIdentity,
        raw::Credentials::Vault { path } => CredentialSource::Vault { path: path.value },
        raw::Credentials::Instance {} => CredentialSource::Instance,
        raw::Credentials::Container {} => CredentialSource::Container,
        raw::Credentials::Anonymous {} => CredentialSource::Anonymous,
    })
}

/// An asset that `layer` declares. Files that a shared catalog names are read only below `directories`.
fn asset(raw: raw::Asset, layer: Option<&Layer>, directories: &[PathBuf]) -> Asset {
    let name: AssetName = raw.name.value;
    let is_shared = layer.is_some_and(|layer| matches!(layer.whole, Place::Url { .. }));
    let confined = |source: SourceUrl| match shared::directory_of(&source, directories) {
        Ok(Some(directory)) if is_shared => source.confined_to(directory),
        // Files below no directory were reported.
        _ => source,
    };
    Asset {
        digest: raw.sha256.value,
        sources: values(raw.sources).into_iter().map(confined).collect(),
        size: raw.size.map(|size| size.value.0),
        content_type: raw.content_type.map_or_else(|| content_type(name.as_str()).into(), value),
        pin: raw.pin,
        blocks: raw
            .blocks
            .zip(raw.blocks_sha256)
            .map(|(source, digest)| BlockListSource { source: confined(source.value), digest: digest.value }),
        last_modified: layer.map_or(UNIX_EPOCH, |layer| layer.since),
        name,
    }
}

fn release(raw: raw::Release) -> catalog::Release {
    catalog::Release {
        name: raw.name.value,
        channel: raw.channel.map(value),
        assets: values(raw.assets),
        active: raw.active,
    }
}

/// A count, which the schema limits to 2^20.
fn size(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}
