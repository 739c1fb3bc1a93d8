//! The settings as people write them: the one source of the checks, the JSON Schema, the explanations and the defaults.
//!
//! The doc comments here are what `config explain` and the schema print, so they address the operator.

mod dhcp;
mod release;
mod roster;

use std::collections::BTreeMap;

pub(super) use roster::{Defaults, File, Host, Macs, OnlyFrom, Profile, Template};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(super) use self::dhcp::{Dhcp, Mode, Nbp};

use super::format::{
    Address, AddressOrOff, BaseUrl, CatalogUrl, Endpoint, FilePath, HostName, MediaType, Name, Proxy, SecretText,
    Sha256, Source, SourcePrefix, SpanOrOff, Timeout, VaultSecret,
};
use super::size::Size;
use super::span::Span;
use super::written::{Written, default};
use crate::depot::{self, FillSettings};
use crate::origin::Timeouts;
pub(super) use release::Release;

/// The settings of bootdepot: one TOML file, with environment variables and flags over it.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(title = "bootdepot settings")]
pub(super) struct Settings {
    /// More files with tables like these, relative to this file. The file name may hold `*` and `?`; files come in the
    /// order of their names. Lists of tables such as `[[asset]]` add up; any other key may be set in one file only.
    pub(super) include: Vec<String>,
    /// A file with more of the tables `[[asset]]`, `[[release]]`, `[[profile]]`, `[[host]]`, `[defaults]` and `[[template]]`,
    /// which many nodes share: an object in S3, a page of a web server, or a file of a mounted directory. Whoever may write
    /// it decides what machines boot; but it can neither say how origins are reached nor name this machine's files or
    /// secrets (but see `catalog_secrets`). The `[[origin]]` that matches it says how it is reached. A copy is kept in the
    /// cache's directory for when it cannot be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) catalog_url: Option<Written<CatalogUrl>>,
    /// How often to look whether the file at `catalog_url` has changed. Costs one small request where it has not.
    pub(super) catalog_poll: Written<Timeout>,
    /// Secrets of this machine that profiles and hosts of the file at `catalog_url` may name, as they write them:
    /// `env:NAME`, `file:/path` or `vault:MOUNT/PATH#FIELD`. A `*` at the end stands for any ending.
    pub(super) catalog_secrets: Vec<String>,
    /// The cache on disk.
    pub(super) cache: Cache,
    /// The HTTP server.
    pub(super) http: Http,
    /// The TFTP server.
    pub(super) tftp: Tftp,
    /// The listener for operators: API, dashboard, metrics and health checks.
    pub(super) admin: Admin,
    /// How assets are fetched into the cache.
    pub(super) fill: Fill,
    /// Telling firmware which file to boot.
    pub(super) dhcp: Dhcp,
    /// How to reach a family of source URLs. For each source the origin with the longest `match` is used; sources that
    /// none matches are reached plainly.
    pub(super) origin: Vec<Origin>,
    /// One asset: a name, the digest that its bytes must have, and where to fetch them.
    pub(super) asset: Vec<Asset>,
    /// Assets that go live, are kept and are dropped together: a kernel, its initramfs and its root file system.
    pub(super) release: Vec<Release>,
    /// One way to boot: a kernel with its initramfs, an ISO, another program, an iSCSI disk, the machine's own disks, or a
    /// script of your own.
    pub(super) profile: Vec<Profile>,
    /// One machine: what identifies it, and what it boots.
    pub(super) host: Vec<Host>,
    /// What holds for machines that are no host.
    pub(super) defaults: Defaults,
    /// A template that stands in the settings themselves, for profiles and hosts to name in the place of a file. Those of the
    /// file at `catalog_url` can name no others.
    pub(super) template: Vec<Template>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            catalog_poll: default("60s"),
            include: Vec::new(),
            catalog_url: None,
            catalog_secrets: Vec::new(),
            cache: Cache::default(),
            http: Http::default(),
            tftp: Tftp::default(),
            admin: Admin::default(),
            fill: Fill::default(),
            dhcp: Dhcp::default(),
            origin: Vec::new(),
            asset: Vec::new(),
            release: Vec::new(),
            profile: Vec::new(),
            host: Vec::new(),
            defaults: Defaults::default(),
            template: Vec::new(),
        }
    }
}

/// The cache on disk.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Cache {
    /// The directory of the cache. One process at a time uses it.
    pub(super) dir: Written<FilePath>,
    /// The most bytes that blobs and fills under way may take. What was not used for the longest time is evicted first.
    pub(super) max_size: Written<Size>,
    /// Bytes left free on the file system whatever `max_size` says.
    pub(super) min_free: Written<Size>,
    /// Every blob is hashed again once in this time, at idle priority; `off` never does.
    pub(super) scrub_interval: Written<SpanOrOff>,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            dir: default("/var/cache/bootdepot"),
            max_size: default("200 GiB"),
            min_free: default("5 GiB"),
            scrub_interval: default("7d"),
        }
    }
}

/// The HTTP server.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Http {
    /// Addresses of the plain listener. Old firmware speaks nothing but plain HTTP.
    #[schemars(length(min = 1))]
    pub(super) listen: Vec<Written<Address>>,
    /// The base of the URLs in scripts, such as `http://boot.lab:8080`. Without it, clients are sent back the way they came:
    /// by the name or the address that they used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) advertise: Option<Written<BaseUrl>>,
    /// How long a connection may be idle: between requests, within the head of a request, and when a client takes no byte.
    pub(super) idle_timeout: Written<Timeout>,
    /// Connections at a time, over all listeners. One more is answered 503.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(super) max_connections: u32,
    /// A second listener, with TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tls: Option<Tls>,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: vec![default("[::]:8080")],
            advertise: None,
            idle_timeout: default("60s"),
            max_connections: 20_000,
            tls: None,
        }
    }
}

/// A second listener, with TLS.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Tls {
    /// Its addresses.
    #[serde(default = "tls_listen")]
    #[schemars(length(min = 1))]
    pub(super) listen: Vec<Written<Address>>,
    /// The certificate chain (PEM), the server's own certificate first.
    pub(super) cert: Written<FilePath>,
    /// The private key of the certificate (PEM).
    pub(super) key: Written<FilePath>,
}

fn tls_listen() -> Vec<Written<Address>> {
    vec![default("[::]:8443")]
}

/// The TFTP server.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Tftp {
    /// Addresses to take requests on.
    #[schemars(length(min = 1))]
    pub(super) listen: Vec<Written<Address>>,
    /// The largest block granted, in bytes (RFC 2348). 1468 fills an Ethernet frame; blocks are cut to the route's MTU
    /// in any case.
    #[schemars(range(min = 8, max = 65464))]
    pub(super) max_blksize: u16,
    /// The largest window granted, in blocks (RFC 7440). `max_blksize` times this is at most 4 MiB.
    #[schemars(range(min = 1, max = 65535))]
    pub(super) max_windowsize: u16,
    /// Answer every packet from the port that was asked, for networks that let nothing else through: NAT, Kubernetes,
    /// and some firmware behind a router.
    pub(super) single_port: bool,
    /// Transfers at a time. One more is answered with an error.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(super) max_transfers: u32,
    /// The longest wait before the first resend, while the round trip to the client is not known yet.
    pub(super) timeout: Written<Timeout>,
    /// Resends without an answer before a client counts as gone.
    #[schemars(range(min = 1, max = 100))]
    pub(super) retries: u32,
    /// How long a request may wait for the first byte of an asset that is not in the cache.
    pub(super) first_byte_deadline: Written<Timeout>,
    /// Names that TFTP clients ask for and that are not names of assets, each with the asset it means.
    pub(super) files: BTreeMap<String, Written<Name>>,
}

impl Default for Tftp {
    fn default() -> Self {
        Self {
            listen: vec![default("[::]:69")],
            max_blksize: 1468,
            max_windowsize: 64,
            single_port: false,
            max_transfers: 4096,
            timeout: default("1s"),
            retries: 6,
            first_byte_deadline: default("30s"),
            files: BTreeMap::new(),
        }
    }
}

/// The listener for operators: API, dashboard, metrics and health checks.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Admin {
    /// Its address; `off` for none. Whoever reaches it may read the metrics. The API answers this machine alone, unless there
    /// is a token file.
    pub(super) listen: Written<AddressOrOff>,
    /// The tokens of those who may change things: a token a line, or `sha256:` and its digest. Read again when it changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) operator_token_file: Option<Written<FilePath>>,
    /// The tokens of those who may look, in the same way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) viewer_token_file: Option<Written<FilePath>>,
    /// Names that this listener is reached by, besides addresses and `localhost`. The API refuses requests by other names,
    /// which may come of web pages whose names were made to point here.
    pub(super) hosts: Vec<Written<HostName>>,
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            listen: default("127.0.0.1:8081"),
            operator_token_file: None,
            viewer_token_file: None,
            hosts: Vec::new(),
        }
    }
}

/// How assets are fetched into the cache.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Fill {
    /// Bytes of one ranged request to an origin.
    #[schemars(range(min = 4096, max = 1_073_741_824))]
    pub(super) part_size: Written<Size>,
    /// Connections of one fill.
    #[schemars(range(min = 1, max = 256))]
    pub(super) connections: u32,
    /// Fills at a time; others wait.
    #[schemars(range(min = 1, max = 1024))]
    pub(super) max_fills: u32,
    /// How often a part is asked for again before its source is given up.
    #[schemars(range(min = 0, max = 100))]
    pub(super) retries: u32,
    /// How long an origin may send nothing before a part is asked for again. An idle time, not a total one. The
    /// head of an answer has the time for a connection besides: as long again, at most 10 seconds.
    pub(super) stall_timeout: Written<Timeout>,
    /// How long a missing object, or one with wrong bytes, is remembered before its origin is asked again.
    pub(super) negative_ttl: Written<Span>,
    /// When bytes of a fill under way may go out to clients.
    pub(super) release: ReleaseWhen,
}

impl Default for Fill {
    fn default() -> Self {
        let fill = FillSettings::default();
        Self {
            part_size: default(&Size(fill.part_size).to_string()),
            connections: u32::try_from(fill.connections).unwrap_or(u32::MAX),
            max_fills: u32::try_from(fill.max_fills).unwrap_or(u32::MAX),
            retries: fill.retries,
            stall_timeout: default(&Span(Timeouts::default().stall).to_string()),
            negative_ttl: default(&Span(fill.negative_ttl).to_string()),
            release: match fill.release {
                depot::Release::HoldTail => ReleaseWhen::HoldTail,
                depot::Release::Whole => ReleaseWhen::Whole,
            },
        }
    }
}

/// When bytes of a fill under way may go out to clients.
#[derive(Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum ReleaseWhen {
    /// As they come, but the last piece of what was asked for only when the bytes are proven.
    HoldTail,
    /// No byte before the whole is proven.
    Whole,
}

/// How to reach a family of source URLs.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Origin {
    /// What the source URLs begin with, such as `s3://harmony-assets/`. The longest match wins.
    pub(super) r#match: Written<SourcePrefix>,
    /// The S3 endpoint. Without it, AWS's own for the region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) endpoint: Option<Written<Endpoint>>,
    /// The region that S3 requests are signed for.
    #[serde(default = "region")]
    #[schemars(length(min = 1))]
    pub(super) region: String,
    /// Where the bucket's name goes in an S3 URL.
    #[serde(default)]
    pub(super) addressing: Addressing,
    /// Who we are to the origin (S3 sources).
    #[serde(default)]
    pub(super) credentials: Credentials,
    /// Certificates (PEM) to trust besides the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ca_file: Option<Written<FilePath>>,
    /// Accept any certificate. For a laboratory; digests still guard the bytes, but nothing guards the credentials.
    #[serde(default)]
    pub(super) insecure_skip_verify: bool,
    /// An HTTP or SOCKS proxy on the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) proxy: Option<Written<Proxy>>,
    /// Header fields to send along (`https` and `http` sources), such as `Authorization`. Each value is a secret.
    #[serde(default)]
    pub(super) headers: BTreeMap<String, Written<SecretText>>,
}

fn region() -> String {
    "us-east-1".to_owned()
}

/// Where the bucket's name goes in an S3 URL.
#[derive(Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Addressing {
    /// In the path: `https://endpoint/bucket/key`.
    #[default]
    Path,
    /// In the host: `https://bucket.endpoint/key`.
    Virtual,
}

/// Who we are to an S3 origin.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(tag = "from", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Credentials {
    /// The AWS chain: environment, profile files, web identity, container, instance.
    Default {},
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN` of the environment.
    Env {},
    /// The keys given here.
    Static {
        /// The access key's id.
        #[schemars(length(min = 1))]
        access_key_id: String,
        /// The access key's secret.
        secret_access_key: Written<SecretText>,
        /// The token of temporary credentials.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        session_token: Option<Written<SecretText>>,
    },
    /// A profile of the AWS configuration files.
    Profile {
        /// The profile's name. Without it, `AWS_PROFILE`, else `default`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// The credentials file. Without it, `AWS_SHARED_CREDENTIALS_FILE`, else `~/.aws/credentials`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        file: Option<Written<FilePath>>,
    },
    /// `AWS_WEB_IDENTITY_TOKEN_FILE` and `AWS_ROLE_ARN`, as Kubernetes service accounts have them.
    WebIdentity {},
    /// The role of the EC2 instance.
    Instance {},
    /// The role of the ECS or EKS container.
    Container {},
    /// A secret in Vault (the key-value engine, version 2) with the fields `access_key_id`, `secret_access_key` and, for
    /// temporary credentials, `session_token`. `VAULT_ADDR` and the like say how Vault is reached.
    Vault {
        /// Where the secret is: MOUNT/PATH.
        path: Written<VaultSecret>,
    },
    /// Unsigned requests.
    Anonymous {},
}

impl Default for Credentials {
    fn default() -> Self {
        Self::Default {}
    }
}

/// One asset.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("dependentRequired" = { "blocks": ["blocks_sha256"], "blocks_sha256": ["blocks"] }))]
pub(super) struct Asset {
    /// The name it is served under: `/assets/NAME` over HTTP, NAME over TFTP.
    pub(super) name: Written<Name>,
    /// Where to fetch it, in the order to try.
    #[schemars(length(min = 1))]
    pub(super) sources: Vec<Written<Source>>,
    /// The SHA-256 of its bytes. Nothing else is ever served under the name.
    pub(super) sha256: Written<Sha256>,
    /// Its length. When given, a source with another length is in error; without it the first request to an origin
    /// finds out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) size: Option<Written<Size>>,
    /// Its media type. Without it, the suffix of the name decides: `.efi` is `application/efi`, `.iso` is
    /// `application/vnd.efi-iso`, `.img` is `application/octet-stream`, and what has no known suffix is that too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) content_type: Option<Written<MediaType>>,
    /// Keep it in the cache against eviction.
    #[serde(default)]
    pub(super) pin: bool,
    /// Where its block list is. With one, ranges of an asset that is not in the cache are proven block by block. Needs
    /// `blocks_sha256`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) blocks: Option<Written<Source>>,
    /// The SHA-256 of the block list itself, which makes the list trustworthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) blocks_sha256: Option<Written<Sha256>>,
}
