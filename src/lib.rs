//! bootdepot netboots machines straight from S3.
//!
//! Firmware asks over TFTP, iPXE and installers over HTTP. Each asset is fetched once, on first demand, into a disk
//! cache that holds nothing whose SHA-256 is not proven, and is served from there.
//!
//! # The map
//!
//! Every module is a room with one noun. Imports go one way, left to right a room is used by those after it:
//!
//! `{asset, backoff, error_chain, fault_points, rate_limit, sockets, span, task, trust} ← {durable_file, watched_file} ← {secret, transport} ← {catalog, origin, cache} ← depot ← boot ← {tftp, http, dhcp, jobs} ← api ← admin ← {config, telemetry} ← app ← cli ← main`
//!
//! | room | what it holds |
//! |---|---|
//! | [`asset`] | pure values: names, digests, byte ranges, block lists, source URLs |
//! | [`backoff`] | exponential backoff: how long to wait before a retry |
//! | [`durable_file`] | a small file that is replaced as a whole and survives power cuts |
//! | `fault_points` | where tests let the disk fail |
//! | [`rate_limit`] | the token bucket |
//! | `error_chain` | an error with its sources on one line |
//! | `span` | what took how long, for OpenTelemetry; nothing without the feature `otel` |
//! | [`task`] | tasks and blocking threads, and what a panic in them means |
//! | `trust` | which certificates clients of remote services trust |
//! | [`watched_file`] | files that are read again when they change |
//! | [`sockets`] | listening sockets that a service manager bound beforehand |
//! | [`secret`] | texts that are never shown, in the environment, in files, in Vault |
//! | [`transport`] | the connection engine of the HTTP and admin listeners: accept, TLS, HTTP/1 and HTTP/2, idle timeout |
//! | [`catalog`] | which name is which digest, and where it may be fetched |
//! | [`origin`] | one ranged read of one URL: S3, HTTP or a file; errors by meaning |
//! | [`cache`] | proven blobs on one disk: admit, open, evict, scrub, recover |
//! | [`depot`] | the one service the front ends know: open a name, stream its bytes; fills |
//! | [`boot`] | which host gets which script; what each machine has fetched |
//! | [`tftp`] | the TFTP server: packets, sans-IO transfers, batched sockets |
//! | [`http`] | the HTTP server: asset responses, ranges, conditionals |
//! | [`dhcp`] | the proxyDHCP server: which firmware gets which network boot program |
//! | [`jobs`] | long work that operators order: what to preload or verify, how far that is |
//! | [`api`] | the data types of the admin API: its JSON, made from the types of the rooms below |
//! | [`admin`] | the admin listener: the operators' API, the dashboard, metrics and health checks |
//! | [`config`] | the settings file and its layers, checked as a whole |
//! | [`telemetry`] | logs, the metrics' names, traces |
//! | [`app`] | wires the rooms together, runs and stops them |
//! | [`cli`] | one file a command |
//!
//! Siblings do not import each other, and only [`app`] and [`cli`] see the whole [`config::Config`]. A test reads the
//! `use crate::` lines and fails on an arrow that runs back up.

pub mod admin;
pub mod api;
pub mod app;
pub mod asset;
pub mod backoff;
pub mod boot;
pub mod cache;
pub mod catalog;
pub mod cli;
pub mod config;
pub mod depot;
pub mod dhcp;
pub mod durable_file;
mod error_chain;
mod fault_points;
pub mod http;
pub mod jobs;
pub mod origin;
pub mod rate_limit;
pub mod secret;
pub mod sockets;
mod span;
pub mod task;
pub mod telemetry;
pub mod tftp;
pub mod transport;
mod trust;
pub mod watched_file;
