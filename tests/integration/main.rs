//! The whole server, from the outside: the real binary, real clients, real faults, real machines.
//!
//! One binary, linked once. Every test has a server, an origin and a directory of its own, on ports that the system
//! chose, so all of them may run at once.

mod api;
mod architecture;
mod boot;
mod boots;
mod check;
mod commands;
mod crash;
mod dashboard;
mod deploy;
mod dhcp;
mod http_clients;
mod language;
mod ledger;
mod logs;
mod metrics;
mod monitoring;
mod origins;
mod preload;
mod releases;
mod reload;
mod schema;
mod serve;
mod stampede;
mod support;
mod tftp_clients;
mod vault;
