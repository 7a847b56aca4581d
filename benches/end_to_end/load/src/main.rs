//! The load side of the end-to-end benchmark: what asks, what answers behind the proxy, and the
//! certificates of both. Figures go to standard output as one JSON object.

mod answer;
mod certificates;
mod client;
mod hold;
mod origin;
mod poll;
mod tls;

use std::error::Error;
use std::net::SocketAddrV4;
use std::path::PathBuf;

use clap::Parser;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

type Outcome<T> = Result<T, Box<dyn Error>>;

#[derive(Parser)]
enum Command {
    /// Answers `GET /b/N` with N bytes, until it is killed.
    Origin {
        /// Where it listens.
        #[arg(long, value_delimiter = ',', required = true)]
        listen: Vec<SocketAddrV4>,
    },
    /// Asks as fast as answers come, and counts.
    Http(client::Options),
    /// Opens connections, asks once on each, and holds them until standard input ends.
    Hold(hold::Options),
    /// Writes hK.crt, hK.key and hK.pem (both) for K below `count`: self-signed, ECDSA P-256.
    Certificates {
        #[arg(long)]
        directory: PathBuf,
        #[arg(long, default_value_t = 1)]
        count: usize,
    },
}

fn main() -> Outcome<()> {
    raise_open_files()?;
    match Command::parse() {
        Command::Origin { listen } => origin::run(&listen),
        Command::Http(options) => client::run(&options),
        Command::Hold(options) => hold::run(&options),
        Command::Certificates { directory, count } => certificates::write(&directory, count),
    }
}

fn raise_open_files() -> Outcome<()> {
    let limit = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?)
}
