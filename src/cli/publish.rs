//! `bootdepot publish`: puts files into a bucket, with digests, sidecars and their entries in a catalog.

mod args;
mod plan;
mod report;

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use tokio::time::interval;

use self::args::PublishArgs;
use self::plan::Plan;
use self::report::{Item, Outcome, Report};
use super::interrupt::Interrupts;
use super::print;
use super::usage_error::UsageError;
use crate::config::{Flags, Inputs, process_environment};
use crate::origin::Origins;
use crate::supply::{
    CatalogChange, CatalogTarget, Labels, Published, Publisher, ReleaseEntry, StateDir, Store, UploadProgress,
};
use crate::task::blocking;

/// How often progress is shown.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);

/// Put files into a bucket, with their digests and their entries in a catalog
///
/// Reads each file once: hashes it, and uploads it through the origin of the settings that covers --to. Large files go in parts,
/// several at a time; after Ctrl-C, a crash or a reboot the same command sends only the parts that are missing. An object is
/// visible only when it is complete. Beside it go KEY.blocks (the block list), KEY.sha256 (a line for sha256sum -c) and an entry in
/// metadata.json.
///
/// At last the catalog: the `[[asset]]` tables are printed, or merged into the catalog that --catalog names, whose comments and order
/// stay. A key that holds other bytes is refused without --force; one that holds the same bytes costs no upload.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  bootdepot publish kernel initramfs.img rootfs.img --to s3://assets/okd --version 4.19 --release okd-4.19 \\\n      --catalog s3://assets/catalog.toml\n  bootdepot publish worker.iso --to s3://isos/ --category openshift --server-id r630-01 --meta ticket=OPS-7\n  curl -s https://mirror/x.img | bootdepot publish - --name x.img --to s3://assets/images"
)]
pub struct PublishCommand {
    #[command(flatten)]
    args: PublishArgs,
    #[command(flatten)]
    flags: Flags,
}

impl PublishCommand {
    /// Runs it, printing to standard output.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let plan = Plan::new(&self.args).map_err(UsageError::new)?;
        let labels = self.args.labels().map_err(UsageError::new)?;
        let mut report = Report::new(self.args.json, std::io::stderr().is_terminal());
        if self.args.dry_run {
            print(&report.plan(&plan)?)?;
            return Ok(ExitCode::SUCCESS);
        }
        // Before anything is started that an interrupt is to end.
        let mut interrupts = Interrupts::listen().context("cannot listen for Ctrl-C")?;
        let work = self.publish(&plan, labels, &mut report);
        tokio::select! {
            done = work => done,
            () = interrupts.first() => {
                anyhow::bail!("interrupted; the parts that were sent are kept: run the same command again to resume")
            }
        }
    }

    async fn publish(&self, plan: &Plan, labels: Labels, report: &mut Report) -> anyhow::Result<ExitCode> {
        let flags = self.flags.clone();
        let origins = blocking(move || Inputs::new(&flags, process_environment()).read()?.origins()).await;
        let (settings, timeouts) = origins.map_err(UsageError::new)?;
        let origins = blocking(move || Origins::new(settings, timeouts)).await.map_err(UsageError::new)?;
        let state = StateDir::of_user();
        let open = async |place: &plan::Place| {
            let store = Store::of(&origins, &place.source).filter(Store::is_configured);
            let store = store.ok_or_else(|| {
                UsageError::new(format!(
                    "no [[origin]] of the settings covers {}, so there are no credentials to write there; add one",
                    place.source
                ))
            })?;
            Ok::<_, anyhow::Error>(store.probed(&place.prefix, state.as_ref()).await?)
        };
        let store = open(&plan.to).await?;
        let public = match &plan.public {
            Some(place) => Some((open(place).await?, place.prefix.clone())),
            None => None,
        };
        let catalog = match &plan.catalog {
            Some(plan::Catalog::File(path)) => Some(CatalogTarget::File(path.clone())),
            Some(plan::Catalog::Object { place, key }) => {
                Some(CatalogTarget::Object { store: open(place).await?, key: key.clone() })
            }
            None => None,
        };
        let (force, verify) = (self.args.force, self.args.verify);
        let publisher =
            Publisher { origins: origins.clone(), store, public, state: state.clone(), force, verify, labels };
        let published = publish_all(&publisher, plan, report).await?;
        let assets = published.iter().map(|published| published.entry.clone()).collect();
        let release = self.args.release.clone().map(|name| ReleaseEntry {
            name,
            channel: None,
            activate: false,
            is_whole: false,
        });
        let change = CatalogChange { assets, release, replaces_digests: true };
        match catalog {
            None => print(&report.catalog(&change.text()?)?)?,
            Some(target) => {
                let changed = target.merge(change).await?;
                print(&report.merged(&target.shown(), changed)?)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Publishes one file after the other, and shows how far it is. The first that fails ends it.
async fn publish_all(publisher: &Publisher, plan: &Plan, report: &mut Report) -> anyhow::Result<Vec<Published>> {
    let mut items: Vec<Item> = plan.items.iter().map(Item::new).collect();
    let mut published = Vec::new();
    let mut ticks = interval(PROGRESS_INTERVAL);
    for (index, planned) in plan.items.iter().enumerate() {
        let progress = UploadProgress::default();
        items[index].begin(progress.clone());
        let done = {
            let mut work = std::pin::pin!(publisher.publish(&planned.publication, &progress));
            loop {
                tokio::select! {
                    done = &mut work => break done,
                    _ = ticks.tick() => report.progress(&items),
                }
            }
        };
        match done {
            Ok(done) => {
                items[index].end(Outcome::of(&done, &progress));
                print(&report.ended(&items[index], &done)?)?;
                published.push(done);
            }
            Err(error) => {
                report.close();
                let text = format!("{} was not published", planned.publication.input.shown());
                return Err(anyhow::Error::new(error).context(text));
            }
        }
    }
    report.progress(&items);
    report.close();
    Ok(published)
}
