//! End-to-end tests of the server: the real program, real clients, injected faults, virtual machines.
//!
//! One binary, linked once. Every test has its own server, origin and directory, on ports that the system
//! chooses, so all tests may run at the same time.

mod api;
mod architecture;
mod boot;
mod boot_ends;
mod boot_programs;
mod boots;
mod buckets;
mod check;
mod collections;
mod commands;
mod crash;
mod dashboard;
mod deploy;
mod dhcp;
mod firmware;
mod host_files;
mod http_clients;
mod init;
mod isos;
mod language;
mod ledger;
mod logs;
mod metrics;
mod mirror;
mod monitoring;
mod moto;
mod origins;
mod preload;
mod publish;
mod recipes;
mod releases;
mod reload;
mod schema;
mod seals;
mod serve;
mod stampede;
mod storage;
mod support;
mod tftp_attacks;
mod tftp_clients;
mod tftp_sending;
mod unverified;
mod vault;
