//! Shared by unit tests, integration tests, the quickstart and the benchmarks: an in-process S3 server, deadlines, and
//! reports of skipped tests.

pub mod deadline;
pub mod s3;
pub mod skip;
