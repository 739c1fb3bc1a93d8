//! Shared by unit tests, integration tests, the quickstart and the benchmarks: an in-process S3 server, deadlines, OpenPGP keys,
//! seeds, child processes, and reports of skipped tests.

pub mod deadline;
pub mod openpgp;
pub mod process;
pub mod s3;
pub mod seed;
pub mod skip;
