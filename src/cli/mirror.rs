//! `bootdepot mirror`: copies releases of upstreams into a bucket, and enters them into the catalog.

mod progress;
mod report;

use std::io::{IsTerminal as _, Read as _};
use std::process::ExitCode;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use self::progress::TransferProgress;
use self::report::{MirrorReport, Report};
use super::interrupt::Interrupts;
use super::usage_error::UsageError;
use super::{print, say};
use crate::app;
use crate::asset::{SourcePrefix, SourceTarget, SourceUrl};
use crate::clock;
use crate::config::{Config, Flags, Inputs, process_environment};
use crate::origin::{Addressing, CredentialSource, OriginSettings, Origins};
use crate::supply::mirror::{Known, Mirror, MirrorSettings, UpstreamUrl, Wanted, destination};
use crate::supply::{CatalogChange, CatalogTarget, ReleaseEntry, StateDir, Store};
use crate::task::blocking;

/// The exit status of --check if an upstream has something new.
const SOMETHING_NEW: u8 = 3;
/// The longest document on standard input in bytes.
const MOST_INPUT: u64 = 64 << 20;

/// Copy releases of upstreams into a bucket, and enter them into the catalog
///
/// Reads the `[[mirror]]` tables of the settings. Asks each upstream what it offers, and transfers the files of the release that are
/// not in the bucket yet. A file becomes visible in the bucket only when its digest and signature are verified. The release is
/// entered into the catalog, but not activated.
///
/// Exits with status 3 if --check finds something new.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  bootdepot mirror --check\n  bootdepot mirror scos --version 4.20.0-okd-scos.6 --activate\n  openshift-install coreos print-stream-json | bootdepot mirror rhcos"
)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line are independent of one another")]
pub struct MirrorCommand {
    /// Names of mirrors; all without it
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// The version to mirror, as the upstream writes it, or `latest`
    #[arg(long, value_name = "VERSION", default_value = "latest")]
    version: Wanted,
    /// List what is new, and change nothing; exits with status 3 if something is
    #[arg(long, conflicts_with_all = ["dry_run", "activate"])]
    check: bool,
    /// Continue with the next mirror after a failure
    #[arg(long)]
    keep_going: bool,
    /// Make the release the active one of its channel
    #[arg(long)]
    activate: bool,
    /// Print what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Enter the release into this catalog, a path or `s3://BUCKET/KEY`, instead of the one in the settings
    #[arg(long, value_name = "FILE|URL")]
    catalog: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    flags: Flags,
}

impl MirrorCommand {
    /// Runs it, printing to standard output.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let inputs = Inputs::new(&self.flags, process_environment());
        let draft = blocking(move || inputs.read()).await.map_err(UsageError::new)?;
        // The first release may be what makes the shared catalog.
        let config = app::complete_lenient(draft).await.map_err(UsageError::new)?;
        let mirrors = self.selected(&config.mirrors)?;
        let mut interrupts = Interrupts::listen().context("cannot listen for Ctrl-C")?;
        let cancel = CancellationToken::new();
        let work = self.mirror_all(&config, &mirrors, &cancel);
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = interrupts.first() => {
                    say(format_args!("cancelling; files that are complete are kept (Ctrl-C again quits at once)"));
                    cancel.cancel();
                }
            }
        }
    }

    /// The mirrors that the command line names.
    fn selected<'c>(&self, mirrors: &'c [MirrorSettings]) -> Result<Vec<&'c MirrorSettings>, UsageError> {
        let known = || mirrors.iter().map(|mirror| mirror.name.as_str()).collect::<Vec<_>>().join(", ");
        if mirrors.is_empty() {
            return Err(UsageError::new("the settings have no [[mirror]]; docs/mirror.md shows one for each upstream"));
        }
        let mut selected = Vec::new();
        for name in &self.names {
            let mirror = mirrors.iter().find(|mirror| mirror.name == *name);
            selected.push(
                mirror.ok_or_else(|| UsageError::new(format!("there is no mirror {name:?}; known: {}", known())))?,
            );
        }
        if selected.is_empty() {
            selected.extend(mirrors);
        }
        if selected.len() > 1 && self.version != Wanted::Latest {
            return Err(UsageError::new(format!("--version is for one mirror; name one of {}", known())));
        }
        if selected.iter().filter(|mirror| mirror.url == Some(UpstreamUrl::Stdin)).count() > 1 {
            return Err(UsageError::new("only one mirror can read standard input; name it"));
        }
        Ok(selected)
    }

    async fn mirror_all(
        &self,
        config: &Config,
        mirrors: &[&MirrorSettings],
        cancel: &CancellationToken,
    ) -> anyhow::Result<ExitCode> {
        let known = Known::new(&config.catalog, &config.releases);
        let mut report = Report::new(self.json);
        for warning in &config.warnings {
            say(format_args!("bootdepot: {warning}"));
        }
        for settings in mirrors {
            let done = Box::pin(self.mirror(config, settings, &known, cancel)).await;
            let failed = done.is_err();
            print(&report.add(&settings.name, done))?;
            if failed && (!self.keep_going || cancel.is_cancelled()) {
                break;
            }
        }
        print(&report.end()?)?;
        Ok(match (report.has_failed(), report.has_new()) {
            (true, _) => ExitCode::FAILURE,
            (false, true) if self.check => ExitCode::from(SOMETHING_NEW),
            _ => ExitCode::SUCCESS,
        })
    }

    /// Plans one mirror, and brings it up to date.
    async fn mirror(
        &self,
        config: &Config,
        settings: &MirrorSettings,
        known: &Known,
        cancel: &CancellationToken,
    ) -> anyhow::Result<MirrorReport> {
        let (upstream, store) = origins(config, settings).await?;
        let catalog = self.catalog_target(config, settings).await?;
        let mut known = known.clone();
        if let Some(catalog) = &catalog {
            let text = catalog.read().await?;
            known.add_catalog(&text).with_context(|| format!("the catalog {} cannot be used", catalog.shown()))?;
        }
        let stdin = match settings.url {
            Some(UpstreamUrl::Stdin) => Some(blocking(standard_input).await?),
            _ => None,
        };
        let mirror = Mirror::new(settings, &upstream, store, &known, stdin, clock::now())?;
        let plan = Box::pin(mirror.plan(&self.version)).await?;
        let mut report = MirrorReport::planned(settings, &plan);
        if self.check || self.dry_run || (!plan.is_new() && !self.activate) {
            return Ok(report);
        }
        let state = StateDir::of_user();
        let mirror = mirror.probed(state.as_ref()).await?;
        let progress = TransferProgress::new(std::io::stderr().is_terminal() && !self.json, self.json);
        let mirrored = Box::pin(mirror.run(&plan, &progress, cancel)).await;
        progress.close();
        let mirrored = mirrored?;
        report.mirrored(&mirrored);
        let (name, channel) = (plan.release.clone(), settings.channel.clone());
        let release = ReleaseEntry { name, channel, activate: self.activate, is_whole: true };
        let change = CatalogChange { assets: mirrored.assets, release: Some(release), replaces_digests: false };
        match catalog {
            Some(catalog) => {
                let catalog = catalog.probed(state.as_ref()).await?;
                catalog.merge(change).await?;
                report.entered_into(catalog.shown());
            }
            None => report.printed(change.text()?),
        }
        report.deleted(mirror.prune(&plan.version).await?);
        Ok(report)
    }
}

impl MirrorCommand {
    /// The catalog that receives the releases of a mirror: the command line's, the mirror's, else the shared one.
    async fn catalog_target(
        &self,
        config: &Config,
        settings: &MirrorSettings,
    ) -> anyhow::Result<Option<CatalogTarget>> {
        let shared = config.shared.as_ref().map(|shared| shared.url.as_str());
        let Some(named) = self.catalog.as_deref().or(settings.catalog.as_deref()).or(shared) else { return Ok(None) };
        let Ok(source) = named.parse::<SourceUrl>() else { return Ok(Some(CatalogTarget::File(named.into()))) };
        match source.target() {
            SourceTarget::File(path) => Ok(Some(CatalogTarget::File(path.clone()))),
            SourceTarget::S3 { key, version: None, .. } => {
                let (own, timeouts) = (config.origins.clone(), config.timeouts);
                let origins = blocking(move || Origins::new(own, timeouts)).await?;
                let store = Store::of(&origins, &source).with_context(|| format!("{source} is not in S3"))?;
                Ok(Some(CatalogTarget::Object { store, key: key.clone() }))
            }
            // A catalog on a web server, or a version of an object, cannot be written.
            _ => Ok(None),
        }
    }
}

/// The origins through which the upstream is read, and the store of the destination.
async fn origins(config: &Config, settings: &MirrorSettings) -> anyhow::Result<(Origins, Store)> {
    let (own, timeouts) = (config.origins.clone(), config.timeouts);
    let (name, skips) = (settings.name.clone(), settings.skip_tls_verify);
    let (origins, upstream) = blocking(move || {
        let origins = Origins::new(own.clone(), timeouts)?;
        let upstream = if skips { Origins::new(without_verification(own), timeouts)? } else { origins.clone() };
        Ok::<_, anyhow::Error>((origins, upstream))
    })
    .await?;
    if skips {
        say(format_args!(
            "bootdepot: WARNING: mirror {name} does not verify TLS certificates (skip_tls_verify): anyone on the way can answer in \
             place of the upstream, and only signatures protect what machines boot"
        ));
    }
    let source = destination(settings)?;
    let store = Store::of(&origins, &source).with_context(|| format!("{source} is not in S3"))?;
    Ok((upstream, store))
}

/// The same origins, all of whose https servers may have any certificate.
fn without_verification(mut origins: Vec<OriginSettings>) -> Vec<OriginSettings> {
    let any_server: Result<SourcePrefix, _> = "https://".parse();
    for origin in &mut origins {
        origin.insecure_skip_verify |= origin.prefix.as_str().starts_with("https://");
    }
    if let Ok(prefix) = any_server
        && origins.iter().all(|origin| origin.prefix.canonical() != prefix.canonical())
    {
        origins.push(OriginSettings {
            prefix,
            endpoint: None,
            region: String::new(),
            addressing: Addressing::Path,
            credentials: CredentialSource::Anonymous,
            ca_file: None,
            insecure_skip_verify: true,
            proxy: None,
            headers: Vec::new(),
        });
    }
    origins
}

/// The document on standard input. Blocks.
fn standard_input() -> anyhow::Result<String> {
    let mut text = String::new();
    let read = std::io::stdin().lock().take(MOST_INPUT).read_to_string(&mut text);
    read.context("cannot read the document from standard input")?;
    anyhow::ensure!(!text.trim().is_empty(), "standard input is empty; pipe the document in, or give the mirror a url");
    Ok(text)
}
