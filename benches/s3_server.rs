//! An S3 server in a process of its own, for cold fills: s3s over files, with real `SigV4` checks. Uploads the given files,
//! prints its endpoint, bucket and keys as one JSON object, and serves until it is killed.

use std::error::Error;
use std::path::PathBuf;

use bootdepot_test_support::s3;
use bytes::Bytes;
use clap::Parser;
use serde_json::json;

#[derive(Parser)]
#[command(about = "An S3 server for benchmarks")]
struct Cli {
    /// The files to upload, under their file names.
    files: Vec<PathBuf>,
    /// `cargo bench` passes this flag.
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let files = Cli::parse().files;
    if files.is_empty() {
        return Ok(()); // `cargo bench` and `cargo test --benches`: `benches/run` is the driver.
    }
    let server =
        s3::S3Server::start(|service, request| async move { service.call(request.map(Into::into)).await }).await?;
    for file in files {
        let key = file.file_name().ok_or("not a file")?.to_string_lossy().into_owned();
        server.put(&key, Bytes::from(std::fs::read(&file)?)).await?;
    }
    println!(
        "{}",
        json!({
            "endpoint": server.endpoint(), "bucket": s3::BUCKET,
            "access_key": s3::ACCESS_KEY, "secret_key": s3::SECRET_KEY,
        })
    );
    std::future::pending().await
}
