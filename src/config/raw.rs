//! The configuration as operators write it: the single source of validation, JSON Schema, explanations and defaults.
//!
//! `config explain` and the schema print these doc comments, so they address the operator.

mod bucket;
mod collection;
mod dhcp;
mod limits;
mod mirror;
mod origin;
mod release;
mod roster;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(super) use self::bucket::{Bucket, Encryption as BucketEncryption, Purpose};
pub(super) use self::collection::{Collection, DigestFrom, OnChange, OnMissingDigest};
pub(super) use self::dhcp::{Dhcp, Mode, NUMBERS, Nbp};
pub(super) use self::limits::Limits;
pub(super) use self::mirror::{Mirror, MirrorFile};
pub(super) use self::origin::{Addressing, Credentials, Origin};
pub(super) use self::release::Release;
pub(super) use self::roster::{Defaults, File, Host, Initrd, InitrdTable, Macs, OnlyFrom, Profile, Template};
use super::format::{
    Address, AddressOrOff, BaseUrl, CatalogUrl, Directory, FilePath, HostName, MediaType, Name, Sha256, Source,
    SpanOrOff, Timeout,
};
use super::size::Size;
use super::span::Span;
use super::written::{Written, default};
use crate::depot::{self, FillSettings};
use crate::origin::Timeouts;

/// The configuration of bootdepot: one TOML file, overridden by environment variables and flags.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(title = "bootdepot settings")]
pub(super) struct Settings {
    /// More files with tables like these, relative to this file. The file name may contain `*` and `?`; matching files
    /// are read in the order of their names. Lists of tables such as `[[asset]]` are concatenated; any other key may be
    /// set in one file only.
    pub(super) include: Vec<String>,
    /// A file with more `[[asset]]`, `[[release]]`, `[[profile]]`, `[[host]]`, `[defaults]` and `[[template]]` tables,
    /// shared by many nodes: an object in S3, a page of a web server, or a file in a mounted directory. Anyone who can
    /// write to it decides what machines boot. It cannot say how origins are reached, and it cannot name this machine's
    /// secrets (except `catalog_secrets`) or files (except `catalog_files`). The matching `[[origin]]` says how it is reached. A copy is kept in
    /// the cache directory for times when the file cannot be reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) catalog_url: Option<Written<CatalogUrl>>,
    /// How often to check whether the file at `catalog_url` has changed. Costs one small request if it has not.
    pub(super) catalog_poll: Written<Timeout>,
    /// Secrets of this machine that profiles and hosts of the file at `catalog_url` may use, written as there:
    /// `env:NAME`, `file:/path` or `vault:MOUNT/PATH#FIELD`. A `*` at the end matches any suffix.
    pub(super) catalog_secrets: Vec<String>,
    /// Directories of this machine below which assets of the file at `catalog_url` may have `file://` sources. Symbolic
    /// links that lead out of the directory are not followed.
    pub(super) catalog_files: Vec<Written<Directory>>,
    /// The disk cache.
    pub(super) cache: Cache,
    /// The HTTP server.
    pub(super) http: Http,
    /// The TFTP server.
    pub(super) tftp: Tftp,
    /// The admin listener: API, dashboard, metrics and health checks.
    pub(super) admin: Admin,
    /// How much of each limit one client may use.
    pub(super) limits: Limits,
    /// How assets are fetched into the cache.
    pub(super) fill: Fill,
    /// DHCP answers that name the network boot program.
    pub(super) dhcp: Dhcp,
    /// How to reach a family of source URLs. For each source, the origin with the longest `match` applies; sources that
    /// match no origin are fetched without credentials.
    pub(super) origin: Vec<Origin>,
    /// One bucket of yours and its wanted settings, for `bootdepot bucket`. The server itself does not use it. If there is none,
    /// `bootdepot bucket` manages four: `isos`, `binaries`, `temp` and `public`.
    pub(super) bucket: Vec<Bucket>,
    /// One asset: a name, the digest that its bytes must have, and where to fetch them.
    pub(super) asset: Vec<Asset>,
    /// A directory of a source whose objects are assets without `[[asset]]` tables.
    pub(super) collection: Vec<Collection>,
    /// Assets that go live, are kept and are removed together: a kernel, its initramfs and its root file system.
    pub(super) release: Vec<Release>,
    /// An upstream whose releases `bootdepot mirror` copies into a bucket.
    pub(super) mirror: Vec<Mirror>,
    /// One way to boot: a kernel with its initramfs, an ISO, another program, an iSCSI disk, the local disk, or your
    /// own script.
    pub(super) profile: Vec<Profile>,
    /// One machine: what identifies it, and what it boots.
    pub(super) host: Vec<Host>,
    /// Defaults for machines that match no host.
    pub(super) defaults: Defaults,
    /// An inline template, which profiles and hosts name instead of a file. Profiles and hosts of the file at
    /// `catalog_url` can use inline templates only.
    pub(super) template: Vec<Template>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            catalog_poll: default("60s"),
            include: Vec::new(),
            catalog_url: None,
            catalog_secrets: Vec::new(),
            catalog_files: Vec::new(),
            cache: Cache::default(),
            http: Http::default(),
            tftp: Tftp::default(),
            admin: Admin::default(),
            limits: Limits::default(),
            fill: Fill::default(),
            dhcp: Dhcp::default(),
            origin: Vec::new(),
            bucket: Vec::new(),
            asset: Vec::new(),
            collection: Vec::new(),
            release: Vec::new(),
            mirror: Vec::new(),
            profile: Vec::new(),
            host: Vec::new(),
            defaults: Defaults::default(),
            template: Vec::new(),
        }
    }
}

/// The disk cache.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Cache {
    /// The cache directory. Only one process may use it at a time.
    pub(super) dir: Written<FilePath>,
    /// Maximum bytes of blobs and running fills. The least recently used blobs are evicted first.
    pub(super) max_size: Written<Size>,
    /// Bytes to leave free on the file system, regardless of `max_size`.
    pub(super) min_free: Written<Size>,
    /// Interval in which every blob is hashed again, at idle priority; `off` disables it.
    pub(super) scrub_interval: Written<SpanOrOff>,
    /// Whether the kernel seals blobs with fs-verity: it then refuses every write to a blob, and verifies each page that
    /// it reads from the disk. Needs ext4 with the feature `verity`, btrfs or f2fs.
    pub(super) seal: Seal,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            dir: default("/var/cache/bootdepot"),
            max_size: default("200 GiB"),
            min_free: default("5 GiB"),
            scrub_interval: default("7d"),
            seal: Seal::Auto,
        }
    }
}

/// Whether the kernel seals blobs with fs-verity.
#[derive(Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Seal {
    /// If the file system can; otherwise blobs are cached without.
    Auto,
    /// No blob is sealed. Seals of earlier runs are still used.
    Off,
    /// If the file system cannot, the server does not start.
    Require,
}

/// The HTTP server.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Http {
    /// Addresses of the plain HTTP listener. Old firmware supports nothing else. A link-local address needs its interface:
    /// `[fe80::1%eth0]:8080`.
    #[schemars(length(min = 1))]
    pub(super) listen: Vec<Written<Address>>,
    /// Base of the URLs in scripts, such as `http://boot.lab:8080`. Default: the name or address that the client used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) advertise: Option<Written<BaseUrl>>,
    /// How long a connection may be idle: between requests, within a request head, and while a client takes bytes of a response
    /// more slowly than `min_rate`.
    pub(super) idle_timeout: Written<Timeout>,
    /// Bytes a second that a client has to take of each response, averaged over `idle_timeout`. Control frames of HTTP/2, and
    /// bytes that wait in a socket, do not count.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(super) min_rate: u32,
    /// Memory for bytes that are copied on their way to clients (TLS, HTTP/2, fills in progress), over all connections. When
    /// it is scarce, clients get smaller pieces, or wait. Default: an eighth of the memory of the machine or its control
    /// group, between 64 MiB and 1 GiB. Files in the cache that are sent by plain HTTP/1 need none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) memory: Option<Written<Size>>,
    /// Maximum number of connections on all listeners. Further ones are answered with 503, except for health checks. At
    /// most three quarters of the limit of open files, less 4,096; the log says at the start if that is less.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(super) max_connections: u32,
    /// An additional listener with TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tls: Option<Tls>,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: vec![default("[::]:8080")],
            advertise: None,
            idle_timeout: default("60s"),
            min_rate: 512,
            memory: None,
            max_connections: 20_000,
            tls: None,
        }
    }
}

/// An additional listener with TLS.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Tls {
    /// Addresses of the listener.
    #[serde(default = "tls_listen")]
    #[schemars(length(min = 1))]
    pub(super) listen: Vec<Written<Address>>,
    /// The certificate chain (PEM), leaf certificate first.
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
    /// Addresses on which requests are received.
    #[schemars(length(min = 1))]
    pub(super) listen: Vec<Written<Address>>,
    /// Largest block size granted, in bytes (RFC 2348). 1468 fills an Ethernet frame; blocks never exceed the MTU of
    /// the route.
    #[schemars(range(min = 8, max = 65464))]
    pub(super) max_blksize: u16,
    /// Largest window granted, in blocks (RFC 7440). `max_blksize` times this value is at most 4 MiB.
    #[schemars(range(min = 1, max = 65535))]
    pub(super) max_windowsize: u16,
    /// Send every packet from the port of the request, for networks that block other ports: NAT, Kubernetes, and some
    /// firmware behind a router.
    pub(super) single_port: bool,
    /// Maximum number of transfers. Further ones are answered with an error.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(super) max_transfers: u32,
    /// Longest wait before the first retransmission, while the round trip to the client is unknown.
    pub(super) timeout: Written<Timeout>,
    /// Retransmissions without an answer before the client counts as gone.
    #[schemars(range(min = 1, max = 100))]
    pub(super) retries: u32,
    /// How long a request may wait for the first byte of an asset that is not cached.
    pub(super) first_byte_deadline: Written<Timeout>,
    /// File names that TFTP clients request and that are not asset names, each with the asset it stands for.
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

/// The admin listener: API, dashboard, metrics and health checks.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Admin {
    /// Address of the listener, or `off`. Anyone who can reach it may read the metrics. Without a token file the API
    /// answers only this machine.
    pub(super) listen: Written<AddressOrOff>,
    /// File with the tokens of operators: one per line, in plain text or as `sha256:` and the digest. Reloaded when it
    /// changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) operator_token_file: Option<Written<FilePath>>,
    /// File with the tokens of viewers, in the same form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) viewer_token_file: Option<Written<FilePath>>,
    /// Names under which this listener is reached, in addition to addresses and `localhost`. The API refuses requests
    /// with other names (protection against DNS rebinding).
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
    /// Bytes per ranged request to an origin.
    #[schemars(range(min = 4096, max = 1_073_741_824))]
    pub(super) part_size: Written<Size>,
    /// Connections per fill.
    #[schemars(range(min = 1, max = 256))]
    pub(super) connections: u32,
    /// Maximum number of fills; further ones wait.
    #[schemars(range(min = 1, max = 1024))]
    pub(super) max_fills: u32,
    /// Retries of a part before its source is given up.
    #[schemars(range(min = 0, max = 100))]
    pub(super) retries: u32,
    /// How long an origin may send nothing, or less than 8 KiB/s, before a part is requested again and the next source is
    /// read too. An idle timeout, not a total one. The response head may take this long in addition, at most 10 seconds,
    /// for connecting.
    pub(super) stall_timeout: Written<Timeout>,
    /// How long a source without the object, or with wrong bytes, is remembered before it is asked again. A source that could
    /// not be read (a timeout, 503) is asked again at the next request.
    pub(super) negative_ttl: Written<Span>,
    /// When clients receive bytes of a running fill.
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

/// When clients receive bytes of a running fill.
#[derive(Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum ReleaseWhen {
    /// As they arrive, but the last piece of the requested bytes only when they are verified.
    HoldTail,
    /// No byte before the whole asset is verified.
    Whole,
}

/// One asset.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("dependentRequired" = { "blocks": ["blocks_sha256"], "blocks_sha256": ["blocks"] }))]
pub(super) struct Asset {
    /// Name under which it is served: `/assets/NAME` over HTTP, NAME over TFTP.
    pub(super) name: Written<Name>,
    /// Where to fetch it, in the order of preference. A question mark in an S3 key is written `%3F`.
    #[schemars(length(min = 1))]
    pub(super) sources: Vec<Written<Source>>,
    /// SHA-256 of its bytes. Nothing else is ever served under the name.
    pub(super) sha256: Written<Sha256>,
    /// Its length in bytes. If set, a source with another length is an error. If not, the first request to an origin
    /// determines it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) size: Option<Written<Size>>,
    /// Media type. By default the suffix of the name decides: `.efi` is `application/efi`, `.iso` is
    /// `application/vnd.efi-iso`; `.img` and unknown suffixes are `application/octet-stream`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) content_type: Option<Written<MediaType>>,
    /// Keep it in the cache: it is never evicted.
    #[serde(default)]
    pub(super) pin: bool,
    /// URL of its block list. With a block list, ranges of an asset that is not cached are verified block by block.
    /// Requires `blocks_sha256`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) blocks: Option<Written<Source>>,
    /// SHA-256 of the block list, which makes it trustworthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) blocks_sha256: Option<Written<Sha256>>,
}
