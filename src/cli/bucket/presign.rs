//! `bootdepot bucket presign`: a URL with which anyone may fetch or store one object for a while.

use std::process::ExitCode;
use std::time::Duration;

use http::Method;
use serde_json::json;

use super::load;
use crate::asset::{SourceTarget, SourceUrl};
use crate::cli::usage_error::UsageError;
use crate::cli::{print, say};
use crate::config::{Flags, parse_span};

/// The longest time that a presigned URL is valid: AWS, "Sharing objects with presigned URLs"; other servers have the same limit.
const LONGEST: Duration = Duration::from_hours(7 * 24);

/// Print a URL with which anyone can fetch one object, until it expires
///
/// The URL is a secret: it carries the permission itself. Nothing is requested, so the object need not exist. The URL ends earlier
/// if the credentials that signed it are withdrawn or expire.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  bootdepot bucket presign s3://isos/okd/4.20/agent.iso --expires 24h\n  curl -T image.iso \"$(bootdepot bucket presign --put s3://temp/image.iso)\""
)]
pub(super) struct PresignCommand {
    /// The object: `s3://BUCKET/KEY`, for GET also with `?versionId=`
    #[arg(value_name = "URL")]
    object: SourceUrl,
    /// Sign a PUT, which stores the object, instead of a GET
    #[arg(long)]
    put: bool,
    /// How long the URL is valid, from 1s to 7d
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = expiry)]
    expires: Duration,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    flags: Flags,
}

fn expiry(text: &str) -> Result<Duration, String> {
    let span = parse_span(text)?;
    if span > LONGEST || span < Duration::from_secs(1) {
        return Err("a URL is valid for at least 1s and at most 7d".to_owned());
    }
    // The query has whole seconds.
    Ok(Duration::from_secs(span.as_secs()))
}

impl PresignCommand {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let SourceTarget::S3 { bucket, key, version } = self.object.target() else {
            return Err(UsageError::new(format!("{} is not in S3; use s3://BUCKET/KEY", self.object)).into());
        };
        if self.put && version.is_some() {
            return Err(UsageError::new("a version cannot be stored; leave ?versionId= out").into());
        }
        let config = load::settings(&self.flags)?;
        let store = load::store(&load::origins(&config)?, bucket)?;
        let method = if self.put { Method::PUT } else { Method::GET };
        let url = store.presign(&method, key, version.as_deref(), self.expires).await?;
        if url.contains("X-Amz-Security-Token=") {
            say(format_args!("bootdepot: the credentials are temporary; the URL ends with them"));
        }
        let expires = self.expires.as_secs();
        let printed = if self.json {
            let object = json!({ "url": url, "method": method.as_str(), "expires_seconds": expires });
            serde_json::to_string_pretty(&object)?
        } else {
            url
        };
        print(&(printed + "\n"))?;
        Ok(ExitCode::SUCCESS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expiry_is_at_most_a_week() {
        assert_eq!(expiry("7d"), Ok(LONGEST));
        assert_eq!(expiry("1500ms"), Ok(Duration::from_secs(1)));
        for bad in ["8d", "7d1s", "0s", "999ms", "1 hour"] {
            assert!(expiry(bad).is_err(), "{bad}");
        }
    }
}
