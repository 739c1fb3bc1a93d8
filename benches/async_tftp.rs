//! The async-tftp crate as a TFTP server to compare with. It serves files from memory, its fastest mode. Prints its address
//! and serves until it is killed.

use std::collections::HashMap;
use std::error::Error;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use async_tftp::packet;
use async_tftp::server::{Handler, TftpServerBuilder};
use bytes::Bytes;
use clap::Parser;
use futures_util::io::{Cursor, Sink};

#[derive(Parser)]
#[command(about = "Serves files from memory with async-tftp")]
struct Cli {
    /// The files to serve, under their file names.
    files: Vec<PathBuf>,
    /// `cargo bench` passes this flag.
    #[arg(long, hide = true)]
    bench: bool,
}

struct Files(HashMap<PathBuf, Bytes>);

impl Handler for Files {
    type Reader = Cursor<Bytes>;
    type Writer = Sink;

    async fn read_req_open(
        &mut self,
        _: &SocketAddr,
        path: &Path,
    ) -> Result<(Self::Reader, Option<u64>), packet::Error> {
        let name = path.strip_prefix("/").unwrap_or(path);
        let bytes = self.0.get(name).cloned().ok_or(packet::Error::FileNotFound)?;
        let length = bytes.len() as u64;
        Ok((Cursor::new(bytes), Some(length)))
    }

    async fn write_req_open(&mut self, _: &SocketAddr, _: &Path, _: Option<u64>) -> Result<Sink, packet::Error> {
        Err(packet::Error::IllegalOperation)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut files = HashMap::new();
    for file in Cli::parse().files {
        files.insert(PathBuf::from(file.file_name().ok_or("not a file")?), Bytes::from(std::fs::read(&file)?));
    }
    if files.is_empty() {
        return Ok(()); // `cargo bench` and `cargo test --benches`: `benches/run` is the driver.
    }
    let server = TftpServerBuilder::with_handler(Files(files)).bind("127.0.0.1:0".parse()?).build().await?;
    println!("{}", server.listen_addr()?);
    server.serve().await?;
    Ok(())
}
