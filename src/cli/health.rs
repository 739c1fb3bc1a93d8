//! `bootdepot health`: whether the running server is alive or ready, for a container that has no other program to ask with.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};

use super::config::refuse;
use super::print;
use super::server::reachable;
use crate::config::{Config, Flags, process_environment};

/// How long a server that is alive may take, within what HEALTHCHECK and probes usually have.
const PATIENCE: Duration = Duration::from_secs(5);

/// Ask the running server whether it is alive
///
/// Asks the admin listener for /healthz or /readyz, which take no token. Exits with status 1 if it is not, or does not answer.
#[derive(Debug, clap::Args)]
pub struct HealthCommand {
    /// Whether it is ready: it listens, its cache can be written, and every live release is there
    #[arg(long)]
    ready: bool,
    #[command(flatten)]
    flags: Flags,
}

impl HealthCommand {
    /// Asks, and prints the answer.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let config = match Config::load(&self.flags, process_environment()) {
            Ok(config) => config,
            Err(errors) => return Ok(refuse(&errors)),
        };
        let Some(listener) = config.admin else {
            bail!("admin.listen is \"off\"; without it the server cannot be asked")
        };
        let address = reachable(listener.listen);
        let path = if self.ready { "/readyz" } else { "/healthz" };
        let answer = ask(address, path).with_context(|| format!("no server answers at {address} (admin.listen)"))?;
        let (head, body) = answer.split_once("\r\n\r\n").context("what answers there speaks no HTTP")?;
        print(&format!("{}\n", body.trim_end()))?;
        let status = head.split(' ').nth(1);
        Ok(if status == Some("200") { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// What is answered to a GET of `path`, head and body. HTTP/1.0, which ends with the connection.
fn ask(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut socket = TcpStream::connect_timeout(&address, PATIENCE)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    write!(socket, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer)?;
    Ok(answer)
}
