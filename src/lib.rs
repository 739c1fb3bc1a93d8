//! bootdepot netboots machines straight from S3.
//!
//! Firmware requests boot files over TFTP, iPXE and installers over HTTP. Each asset is fetched once, on first demand, into a
//! disk cache that admits only bytes with the right SHA-256, and is served from there.
//!
//! # The map
//!
//! Every module is a room with one subject. Imports go one way: each room is used only by the rooms to its right.
//!
//! `{address_share, asset, backoff, clock, environment, error_chain, fault_points, memory, rate_limit, sockets, span, task, units} ← {durable_file, proof, trust, watched_file} ← {secret, transport} ← {catalog, origin, cache} ← collection ← depot ← boot ← {tftp, http, dhcp, jobs, supply} ← api ← admin ← {config, telemetry} ← app ← cli ← main`
//!
//! | room | contents |
//! |---|---|
//! | [`address_share`] | how much of a limit one client address, and one subnet, may use |
//! | [`asset`] | values without IO: names, digests, byte ranges, block lists, source URLs |
//! | [`backoff`] | exponential backoff: the delay before a retry |
//! | `clock` | the wall clock, whatever it says |
//! | `environment` | environment variables: blank ones count as not set |
//! | [`durable_file`] | small files that are replaced atomically and survive power loss |
//! | `fault_points` | points where tests inject disk errors |
//! | [`memory`] | the memory budget of response bodies, and the share of each connection |
//! | [`rate_limit`] | the token bucket |
//! | `error_chain` | formats an error with its sources on one line |
//! | `span` | OpenTelemetry spans; does nothing without the feature `otel` |
//! | [`task`] | tasks and blocking threads, and the one policy for panics in them |
//! | `units` | amounts with their units, as people read them |
//! | [`proof`] | proofs that bytes are those that were published: files of digests, OpenPGP and minisign signatures |
//! | `trust` | certificates that clients of remote services trust, and plain words for TLS failures |
//! | [`watched_file`] | files that are reloaded when they change |
//! | [`sockets`] | listening sockets inherited from a service manager |
//! | [`secret`] | secrets from the environment, files and Vault, which are never displayed |
//! | [`transport`] | the connection engine of the HTTP and admin listeners: accept, TLS, HTTP/1 and HTTP/2, idle timeout |
//! | [`catalog`] | asset names, their digests, their sources, and releases |
//! | [`origin`] | one ranged read of one URL: S3, HTTP or a file, and one request to a bucket; errors by meaning |
//! | [`cache`] | verified blobs on one disk: admit, open, evict, scrub, recover |
//! | [`collection`] | the digests of objects that no catalog names, and the record that binds them to names |
//! | [`depot`] | the service behind the front ends: opens an asset and streams its bytes; runs fills |
//! | [`boot`] | hosts, profiles, boot scripts and releases; the ledger of what each machine fetched |
//! | [`tftp`] | the TFTP server: packets, sans-IO transfers, batched sockets |
//! | [`http`] | the HTTP server: asset responses, ranges, conditional requests |
//! | [`dhcp`] | the proxyDHCP server: which firmware gets which network boot program |
//! | [`jobs`] | long-running work ordered by operators: preload, verify, scrub, check, and its progress |
//! | [`supply`] | bytes on their way into a store: requests to a bucket, uploads in parts, publish; mirrors of upstreams with their proofs |
//! | [`api`] | the JSON types of the admin API, made from the types of the rooms above |
//! | [`admin`] | the admin listener: API, dashboard, metrics and health checks |
//! | [`config`] | the configuration file and its layers, validated as a whole |
//! | [`telemetry`] | logs, metric names, traces |
//! | [`app`] | connects the rooms; starts, reloads and stops the server |
//! | [`cli`] | the commands, one file each |
//!
//! Siblings do not import each other, and no files of a room import each other in a circle. Only [`app`] and [`cli`] see the
//! whole [`config::Config`]. `tests/integration/architecture.rs` fails on an import that breaks these rules.
//!
//! # Where to look
//!
//! | question | file |
//! |---|---|
//! | How does a TFTP request become a transfer? | `tftp/dispatcher.rs`, then `tftp/pending_open.rs` and `tftp/transfer.rs`; timeouts in `tftp/rtt.rs` |
//! | How does an HTTP request become a response? | `http/service.rs`, then `http/asset_handler.rs` |
//! | Who decides between cache, fill and bypass? | `depot/reader.rs` |
//! | How does a fill fetch, verify and store an asset? | `depot/fill_task.rs`, `depot/fill_attempt.rs` and `depot/part_fetcher.rs`; `cache/partial.rs` |
//! | What happens when an origin stalls or breaks off? | `depot/resuming_read.rs` |
//! | What does a status or an S3 error code mean? | `origin/error_code.rs`, then `origin/error_status.rs` |
//! | When is a source requested in a plainer way, and when is it given up? | `depot/ladder.rs`, then `depot/source_queue.rs` |
//! | Which part is too slow, and which source makes no progress? | `depot/pace.rs`, then `depot/lanes.rs` |
//! | When is a cached blob trusted, and when is it hashed again? | `cache/identity.rs`, `cache/store.rs` (`get` and `confirm`), then `depot/verify_stored.rs` |
//! | Which bytes of a running fill may be sent, and which parts come first? | `depot/progress.rs`; around the cache, `depot/bypass.rs` |
//! | How is a bucket set up, and which objects are deleted from it? | `supply/bucket/init.rs` and `supply/bucket/setting.rs`; `supply/bucket/prune.rs` |
//! | How does an object of a collection become an asset? | `depot/resolve.rs`, then `collection/finder.rs`, `collection/verdict.rs` and `collection/bindings.rs` |
//! | How much memory may responses take, and who waits for it? | `memory.rs`; window by window in `transport/http2.rs` |
//! | When is a client too slow? | `transport/progress_timer.rs` |
//! | Which host is this machine? | `boot/roster.rs` and `boot/roster/key.rs` |
//! | How is an object uploaded, and when does it become visible? | `supply/upload.rs`, then `supply/multipart.rs` and `supply/store.rs` |
//! | When does a mirrored file become visible, and what proves it? | `supply/mirror/engine.rs`, then `supply/mirror/transfer.rs` and `proof` |
//! | How is a machine's script made? | `boot/facade.rs`, then `boot/script.rs`, `boot/template.rs` and `boot/escape` |
//! | When does a release go live? | `boot/releases/handle.rs` and `boot/releases/channels.rs` |
//! | How is the shared catalog polled, and how does a reload replace the configuration? | `app/catalog.rs` and `app/reload/task.rs` |
//! | Who may call the admin API? | `admin/guard.rs` and `admin/tokens.rs` |
//! | What does `bootdepot check` look at? | `app/check.rs` and the files of `app/check` |
//! | How does `bootdepot init` try an answer? | `cli/init/wizard.rs`, then `cli/init/candidate.rs` |
//! | How does a command reach the server, or work without one? | `cli/discover.rs` and `cli/backend.rs` |
//!
//! # Example
//!
//! A server with the configuration in `bootdepot.toml`:
//!
//! ```no_run
//! use bootdepot::app::App;
//! use bootdepot::config::{Config, Flags};
//! use bootdepot::sockets::InheritedSockets;
//! use bootdepot::telemetry::Metrics;
//!
//! # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
//! let flags = Flags { config: Some("bootdepot.toml".into()), ..Flags::default() };
//! let config = Config::load(&flags, std::env::vars())?;
//! let app = App::start(config, Metrics::start(None)?, InheritedSockets::default()).await?;
//! println!("HTTP on {:?}", app.addresses().http);
//! tokio::signal::ctrl_c().await?;
//! app.stop().await;
//! # Ok(())
//! # }
//! ```

pub mod address_share;
pub mod admin;
pub mod api;
pub mod app;
pub mod asset;
pub mod backoff;
pub mod boot;
pub mod cache;
pub mod catalog;
pub mod cli;
mod clock;
pub mod collection;
pub mod config;
pub mod depot;
pub mod dhcp;
pub mod durable_file;
mod environment;
mod error_chain;
mod fault_points;
pub mod http;
pub mod jobs;
pub mod memory;
pub mod origin;
pub mod proof;
pub mod rate_limit;
pub mod secret;
pub mod sockets;
mod span;
pub mod supply;
pub mod task;
pub mod telemetry;
pub mod tftp;
pub mod transport;
mod trust;
mod units;
pub mod watched_file;
