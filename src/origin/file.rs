//! Local files as sources. All IO runs on blocking threads.

use std::fs::{Metadata, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use rustix::fs::OFlags;

use super::answer::Answer;
use super::body::Body;
use super::confined_file;
use super::denial::Denial;
use super::error::OriginError;
use super::file_reader::FileReader;
use super::reply::Reply;
use super::request::Request;
use super::stall::with_timeout;
use super::validator::Validator;
use crate::asset::ByteRange;
use crate::task;

/// Opens the file at `path` and returns a reply with the requested range. Counts the request.
pub(super) async fn read(
    request: &Request<'_>,
    path: &Path,
    label: &str,
    stall: Duration,
) -> Result<Reply, OriginError> {
    let reply = open(request, path, label, stall).await;
    let status = reply.as_ref().err().map_or("ok", OriginError::kind);
    counter!("bootdepot_origin_requests_total", "origin" => label.to_owned(), "status" => status).increment(1);
    reply
}

async fn open(request: &Request<'_>, path: &Path, label: &str, stall: Duration) -> Result<Reply, OriginError> {
    let source_url = request.source.to_string();
    let (path, directory) = (path.to_owned(), request.source.directory().map(Path::to_owned));
    let range = request.range;
    let opening = task::blocking(move || {
        let mut file = if let Some(directory) = directory {
            confined_file::open(&directory, &path)?
        } else {
            // O_NONBLOCK: opening a pipe without a writer must not block the thread forever.
            let nonblock = OFlags::NONBLOCK.bits().cast_signed();
            OpenOptions::new().read(true).custom_flags(nonblock).open(path)?
        };
        let metadata = file.metadata()?;
        let total = metadata.len();
        let range = range.map_or(ByteRange::whole(total), |range| {
            let start = range.start.min(total);
            ByteRange::new(start, range.end.min(total))
        });
        if metadata.is_file() {
            file.seek(SeekFrom::Start(range.start))?;
        }
        Ok((file, metadata, range))
    });
    let opened = with_timeout(stall, &source_url, opening).await?;
    let (file, metadata, range) =
        opened.map_err(|error| classify(error, &source_url, request.source.directory(), label))?;
    if !metadata.is_file() {
        return Err(OriginError::NotFile { source_url, reason: kind(&metadata) });
    }
    let validator = Validator::from_file(&metadata);
    if request.if_match.is_some_and(|expected| *expected != validator) {
        let seen = format!("{source_url} changed while it was read");
        return Err(OriginError::Changed { source_url, seen });
    }
    let reader = FileReader::new(file, range.len(), validator.clone());
    Ok(Reply {
        range,
        total: Some(metadata.len()),
        validator: Some(validator),
        last_modified: metadata.modified().ok(),
        ignored_range: false,
        checksums: Vec::new(),
        composite: None,
        body: Body::from_file(reader, source_url, range.len(), stall, label),
    })
}

pub(super) fn classify(error: io::Error, source_url: &str, directory: Option<&Path>, label: &str) -> OriginError {
    let source_url = source_url.to_owned();
    if let (Some(directory), true) = (directory, confined_file::is_outside(&error)) {
        return OriginError::OutsideDirectory { source_url, directory: directory.display().to_string() };
    }
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => OriginError::NotFound { source_url, answer: None },
        io::ErrorKind::PermissionDenied => OriginError::AccessDenied {
            source_url,
            origin: label.to_owned(),
            identity: format!("user id {}", rustix::process::geteuid().as_raw()),
            denial: Denial::File,
            answer: Answer::from_code("permission denied"),
            recent_success: false,
        },
        _ => OriginError::Io { source_url, reason: error.to_string(), source: Some(Arc::new(error)) },
    }
}

fn kind(metadata: &Metadata) -> &'static str {
    if metadata.is_dir() { "it is a directory" } else { "it is not a regular file" }
}

#[cfg(test)]
mod tests;
