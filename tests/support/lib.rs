//! What unit tests, integration tests, the quickstart and the benchmarks share: an S3 server in the process, how long a
//! test waits, and how it says that it cannot run here.

pub mod deadline;
pub mod s3;
pub mod skip;
