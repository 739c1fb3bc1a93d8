//! Checks what booting depends on: settings, files, ports, secrets, origins, objects and the cache. The server runs it as a job,
//! a command in its own process; both find the same.

mod advice;
mod certificate;
mod checked_by;
mod collections;
mod connection;
mod disk;
mod families;
mod files;
mod iso9660;
mod isos;
mod item;
mod look;
mod objects;
mod origins;
mod outcome;
mod placeholder;
mod ports;
mod seals;
mod secrets;
mod shown;

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;

pub use self::checked_by::CheckedBy;
use super::catalog;
use crate::cache;
use crate::config::{Config, ConfigErrors, Inputs, Summary};
use crate::jobs::{CheckProgress, CheckRow, CheckTask, Checker, Finding, SelectionError, select_assets};
use crate::task::blocking;
use crate::units::count;

/// Reads the settings, and checks them and all that they depend on. Adds what it finds to the progress. Fails if the settings
/// have errors: then nothing else can be looked at.
pub async fn check(
    inputs: &Inputs,
    task: &CheckTask,
    progress: &CheckProgress,
    checked_by: CheckedBy,
) -> Result<(), ConfigErrors> {
    let draft = catalog::read(inputs).await?;
    let config = Arc::new(catalog::complete_lenient(draft).await?);
    look(&config, task, progress, checked_by, None).await;
    Ok(())
}

/// The check of the running server. It reads the settings again, as a reload would; `in_force` is what the server has loaded.
pub(super) fn checker(inputs: Inputs, in_force: Arc<ArcSwap<Summary>>) -> Checker {
    Arc::new(move |task, progress| {
        let (inputs, in_force) = (inputs.clone(), Arc::clone(&in_force));
        Box::pin(async move {
            let loaded = match catalog::read(&inputs).await {
                Ok(draft) => catalog::complete_lenient(draft).await,
                Err(errors) => Err(errors),
            };
            match loaded {
                Ok(config) => {
                    let loaded = Some(in_force.load_full());
                    look(&Arc::new(config), &task, &progress, CheckedBy::Server, loaded).await;
                }
                Err(errors) => progress.add_row(wrong_settings(&errors)),
            }
        })
    })
}

/// Configuration errors as a row.
pub fn wrong_settings(errors: &ConfigErrors) -> CheckRow {
    let findings: Vec<_> = errors
        .iter()
        .map(|error| {
            let remedy = "correct it; nothing else was looked at";
            Finding::failed(error.place.to_string(), "settings", error.to_string(), remedy)
        })
        .collect();
    let summary = count(findings.len(), "error");
    CheckRow { check: "settings", place: "-".to_owned(), summary, findings }
}

async fn look(
    config: &Arc<Config>,
    task: &CheckTask,
    progress: &CheckProgress,
    checked_by: CheckedBy,
    in_force: Option<Arc<Summary>>,
) {
    let on = Arc::clone(config);
    progress.add_row(blocking(move || files::settings(&on, in_force.as_deref())).await);
    let mut assets: Vec<_> = config.catalog.assets().collect();
    assets.sort_by(|a, b| a.name.as_str().cmp(b.name.as_str()));
    if !task.names.is_empty() {
        match select_assets(&config.catalog, &task.names) {
            Ok(selected) => assets = selected,
            Err(error) => return progress.add_row(unknown_names(&error)),
        }
    }
    let everything = task.names.is_empty();
    let mut survey = None;
    if everything {
        let on = Arc::clone(config);
        let looking = move || {
            let survey = cache::inspect(&on.cache.dir);
            let rows =
                [files::tls(&on), files::tokens(&on), Some(ports::check(&on, &survey)), Some(files::firmware(&on))];
            (survey, rows)
        };
        let (found, rows) = blocking(looking).await;
        rows.into_iter().flatten().for_each(|row| progress.add_row(row));
        survey = Some(found);
        if let Some(row) = secrets::check(config).await {
            progress.add_row(row);
        }
    }
    if let Some(row) = placeholder::check(config, &assets) {
        progress.add_row(row);
    }
    let found = origins::check(config, &assets, task, progress).await;
    found.rows.into_iter().for_each(|row| progress.add_row(row));
    if let Some(origins) = found.origins.filter(|_| everything) {
        let rows = [collections::check(config, &origins).await, isos::check(config, &origins).await];
        rows.into_iter().flatten().for_each(|row| progress.add_row(row));
    }
    if let Some(survey) = survey {
        let (on, sizes): (_, HashMap<_, _>) = (Arc::clone(config), found.sizes);
        progress.add_row(blocking(move || disk::check(&on, &survey, &sizes, checked_by)).await);
    }
}

fn unknown_names(error: &SelectionError) -> CheckRow {
    let sentences: Vec<_> = match error {
        SelectionError::Unknown(unknown) => unknown.iter().map(|name| (name.name.clone(), name.to_string())).collect(),
        other => vec![("names".to_owned(), other.to_string())],
    };
    let remedy = "correct the name; nothing else was looked at";
    let findings: Vec<_> =
        sentences.into_iter().map(|(name, sentence)| Finding::failed(name, "unknown name", sentence, remedy)).collect();
    let summary = format!("{} unknown", count(findings.len(), "name"));
    CheckRow { check: "names", place: "[[asset]]".to_owned(), summary, findings }
}
