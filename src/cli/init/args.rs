//! The command line of `init`.

use std::path::PathBuf;

/// Flags of one question each. A question without its flag is asked, or has a default.
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line are independent of one another")]
#[derive(Debug, Default, clap::Args)]
pub(super) struct InitArgs {
    /// The settings file to write (default: `BOOTDEPOT_CONFIG`, then `/etc/bootdepot/bootdepot.toml`)
    #[arg(long, value_name = "PATH")]
    pub(super) config: Option<PathBuf>,
    #[command(flatten)]
    pub(super) store: StoreArgs,
    #[command(flatten)]
    pub(super) node: NodeArgs,
    #[command(flatten)]
    pub(super) mirror: MirrorArgs,
    /// Take the default of each question that no flag answers
    #[arg(long)]
    pub(super) yes: bool,
    /// Replace existing files; the old ones are kept with `.old` appended to their names
    #[arg(long)]
    pub(super) force: bool,
    /// Prove the answers and print the settings file, and write nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Print the result as JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// Where the bucket is, and how it is reached.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Bucket")]
pub(super) struct StoreArgs {
    /// The S3 endpoint, such as `https://s3.lab:9000`, or `aws`
    #[arg(long, value_name = "URL")]
    pub(super) endpoint: Option<String>,
    /// The bucket
    #[arg(long, value_name = "NAME")]
    pub(super) bucket: Option<String>,
    /// The region for which requests are signed (default: `us-east-1`)
    #[arg(long, value_name = "REGION")]
    pub(super) region: Option<String>,
    /// Where the bucket's name goes in a URL: `path` or `virtual` (in the host)
    #[arg(long, value_name = "STYLE", value_parser = ["path", "virtual"], default_value = "path", hide_possible_values = true)]
    pub(super) addressing: String,
    /// Certificates (PEM) to trust for the endpoint, such as a private CA
    #[arg(long, value_name = "FILE")]
    pub(super) ca_file: Option<String>,
    /// Where credentials come from: `env`, `keys`, `profile[:NAME]`, `web-identity`, `instance`, `container`, `vault:MOUNT/PATH`,
    /// `default` (the AWS chain) or `anonymous`
    #[arg(long, value_name = "FROM")]
    pub(super) credentials: Option<String>,
    /// The access key ID, for the credentials `keys`
    #[arg(long, value_name = "ID")]
    pub(super) access_key_id: Option<String>,
    /// Where its secret is: `env:NAME`, `file:PATH` or `vault:MOUNT/PATH#FIELD`, or `-` for the first line of standard input
    #[arg(long, value_name = "REFERENCE")]
    pub(super) secret_key: Option<String>,
    /// The file, of mode 0600, for a secret that was typed or read from standard input (default: `s3-secret-key` beside the settings)
    #[arg(long, value_name = "FILE")]
    pub(super) secret_file: Option<PathBuf>,
    /// The shared catalog, or `none` (default: `catalog.toml` in the bucket, if it is there and valid)
    #[arg(long, value_name = "URL")]
    pub(super) catalog_url: Option<String>,
}

/// The settings of this machine.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "This machine")]
pub(super) struct NodeArgs {
    /// The cache directory
    #[arg(long, value_name = "DIR")]
    pub(super) cache_dir: Option<String>,
    /// The maximum size of the cache, such as `200 GiB` (default: that, or 80 % of the free space if that is less)
    #[arg(long, value_name = "SIZE")]
    pub(super) cache_size: Option<String>,
    /// An address of the HTTP listener; repeatable
    #[arg(long, value_name = "ADDRESS", default_value = "[::]:8080")]
    pub(super) http_listen: Vec<String>,
    /// An address of the TFTP listener; repeatable
    #[arg(long, value_name = "ADDRESS", default_value = "[::]:69")]
    pub(super) tftp_listen: Vec<String>,
    /// The address of the admin listener, or `off`
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8081")]
    pub(super) admin_listen: String,
    /// Whether to answer DHCP requests of firmware beside your DHCP server: `proxy` or `off`
    #[arg(long, value_name = "MODE")]
    pub(super) dhcp: Option<String>,
    /// The network interface for `--dhcp proxy`
    #[arg(long, value_name = "NAME")]
    pub(super) interface: Option<String>,
    /// The network boot programs to serve: `installed` (those of Debian's packages on this machine) or `none`
    #[arg(long, value_name = "WHICH")]
    pub(super) firmware: Option<String>,
    /// Where those packages are unpacked
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub(super) firmware_root: PathBuf,
}

/// The mirror of an operating system.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Mirror")]
pub(super) struct MirrorArgs {
    /// The operating system to mirror, such as `scos` or `debian`, a recipe of `[[mirror]]`, or `none`
    #[arg(long, value_name = "NAME")]
    pub(super) mirror: Option<String>,
    /// The upstream's document or directory, instead of the usual one
    #[arg(long, value_name = "URL", requires = "mirror")]
    pub(super) mirror_url: Option<String>,
    /// A glob of the files to mirror, instead of the usual ones; repeatable
    #[arg(long, value_name = "GLOB", requires = "mirror")]
    pub(super) mirror_select: Vec<String>,
}

impl InitArgs {
    /// The flags of the questions that have no default and no answer.
    pub(super) fn missing(&self) -> Vec<&'static str> {
        let store = &self.store;
        let has_keys = store.access_key_id.is_some() || store.credentials.as_deref() == Some("keys");
        let needed = [
            ("--endpoint", store.endpoint.is_none()),
            ("--bucket", store.bucket.is_none()),
            ("--credentials", store.credentials.is_none() && !has_keys),
            ("--access-key-id", has_keys && store.access_key_id.is_none()),
            ("--secret-key", has_keys && store.secret_key.is_none()),
            ("--interface", self.node.dhcp.as_deref() == Some("proxy") && self.node.interface.is_none()),
        ];
        needed.into_iter().filter(|(_, is_missing)| *is_missing).map(|(flag, _)| flag).collect()
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: InitArgs,
    }

    fn missing(line: &str) -> String {
        Line::parse_from(["init"].into_iter().chain(line.split_whitespace())).args.missing().join(" ")
    }

    #[test]
    fn missing_flags_are_named_together() {
        assert_eq!(missing(""), "--endpoint --bucket --credentials");
        assert_eq!(missing("--endpoint aws --bucket boot --credentials env"), "");
        assert_eq!(missing("--endpoint aws --bucket boot --access-key-id A"), "--secret-key");
        let keys = "--endpoint aws --bucket boot --credentials keys";
        assert_eq!(missing(keys), "--access-key-id --secret-key");
        assert_eq!(missing("--endpoint aws --bucket b --credentials env --dhcp proxy"), "--interface");
    }
}
