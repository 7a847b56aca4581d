//! Attacks at full tilt: each is bounded, a well-behaved client is served in under a second beside
//! it, and memory comes back.

mod crowd;
mod frames;
mod handshakes;
mod memory;
mod overload;
mod requests;

use crate::harness::haechi::PROXY;
use crate::harness::{Haechi, Origin};
use std::net::SocketAddr;

/// haechi before this origin, with these lines for its listener and `[process]`.
fn haechi(origin: &Origin, listener: &str, process: &str) -> (Haechi, SocketAddr) {
    let text = PROXY.replace("bind = [\"@http\"]", &format!("bind = [\"@http\"]\n{listener}"))
        + "\n[process]\nworkers = 2\n"
        + process
        + "\n[log]\nlevel = \"info\"\naccess = { format = \"off\" }\n";
    let haechi = Haechi::plan(&text).with("origin", origin.address).start();
    let http = haechi.at("http");
    (haechi, http)
}
