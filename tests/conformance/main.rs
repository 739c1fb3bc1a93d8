//! One table of features, tried with the real program against one real S3 server. `tests/compat` starts the servers and writes
//! `docs/compatibility.md` from what this prints: a line of JSON for each row.
//!
//! `conformance SERVER`: `moto` and `s3s-fs` are started from here; for any other server, `COMPAT_ENDPOINT`, `COMPAT_REGION`,
//! `COMPAT_ACCESS_KEY` and `COMPAT_SECRET_KEY` say where it is. `BOOTDEPOT` names the program. A second argument selects rows
//! whose names contain it. Exits with status 1 if the program failed in a row.

mod buckets;
mod collections;
mod gate;
mod mirrors;
mod outcome;
mod publishing;
mod row;
mod server;
mod serving;
#[expect(dead_code, unused_imports, reason = "the integration tests use the rest")]
#[path = "../integration/support/mod.rs"]
mod support;

use std::process::ExitCode;

use self::row::Row;
use self::server::Server;

/// All rows, in the order of the table.
const ROWS: [&[Row]; 5] = [serving::ROWS, publishing::ROWS, mirrors::ROWS, collections::ROWS, buckets::ROWS];

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let Some(name) = args.next() else {
        eprintln!("usage: conformance SERVER [ROW]");
        return ExitCode::from(2);
    };
    let filter = args.next().unwrap_or_default();
    let server = match Server::start(&name) {
        Ok(server) => server,
        Err(reason) => {
            eprintln!("{name}: {reason}");
            return ExitCode::from(2);
        }
    };
    let mut failed = false;
    for row in ROWS.into_iter().flatten().filter(|row| row.name.contains(&filter)) {
        let result = row.run(&server);
        failed |= result.is_failure();
        println!("{}", result.json(row.name));
    }
    ExitCode::from(u8::from(failed))
}
