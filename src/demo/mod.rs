//! `haechi demo`: an example config, and three small origins that stand in for Tomcat.
//!
//! In goes the path of the config; what comes out is a running haechi, and words on the terminal
//! about what to try. The origins live on a thread of their own and know nothing of haechi, and
//! haechi knows nothing of them but their addresses in the config.

mod answer;
mod origin;
mod page;
mod switch;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{fs, thread};

use self::origin::Origin;

/// Where the origins listen; config/quickstart.toml names the same.
const ORIGINS: [u16; 3] = [8091, 8092, 8093];

/// Where they are stopped and started.
const SWITCH: u16 = 8090;

/// Starts the origins and runs haechi on `config` until it ends. The certificate that the example
/// names, `../certs/localhost.crt` from the folder of the config, is made where it is missing.
#[must_use]
pub fn run(config: &Path) -> ExitCode {
    match prepare(config) {
        Ok(()) => {
            println!("{}", guide(config));
            crate::guard::run(config, false)
        }
        Err(fault) => {
            eprintln!("error: {fault}");
            let mut cause = std::error::Error::source(&fault);
            while let Some(fault) = cause {
                eprintln!("  because: {fault}");
                cause = fault.source();
            }
            ExitCode::FAILURE
        }
    }
}

/// Why the demo cannot start.
#[derive(Debug, thiserror::Error)]
enum DemoFault {
    #[error("{} cannot be read; start the demo in the root of the source tree, or name a config", path.display())]
    Config { path: PathBuf, source: io::Error },
    #[error("{} cannot be made", path.display())]
    Folder { path: PathBuf, source: io::Error },
    #[error("no development certificate could be made")]
    Certificate(#[from] crate::tls::MintFault),
    #[error("{address} cannot be listened on")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("the thread of the origins cannot be started")]
    Thread(#[source] io::Error),
}

fn prepare(config: &Path) -> Result<(), DemoFault> {
    let config = config.canonicalize().map_err(|source| DemoFault::Config { path: config.into(), source })?;
    let root = config.parent().and_then(Path::parent).unwrap_or(Path::new("/"));
    mint(&root.join("certs"))?;
    start_origins(ORIGINS.map(local), local(SWITCH))?;
    Ok(())
}

fn mint(folder: &Path) -> Result<(), DemoFault> {
    let (cert, key) = (folder.join("localhost.crt"), folder.join("localhost.key"));
    if cert.exists() && key.exists() {
        return Ok(());
    }
    fs::create_dir_all(folder).map_err(|source| DemoFault::Folder { path: folder.into(), source })?;
    Ok(crate::tls::mint(&cert, &key)?)
}

/// Listens on all addresses, then serves them from a thread of its own for as long as the process
/// lives. The addresses that were bound, the origins' first, the switch's last.
fn start_origins(origins: [SocketAddr; 3], switch: SocketAddr) -> Result<Vec<SocketAddr>, DemoFault> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(DemoFault::Thread)?;
    let listen = |address| async move {
        let listener = tokio::net::TcpListener::bind(address).await?;
        Ok((listener.local_addr()?, listener))
    };
    let listen =
        |address| runtime.block_on(listen(address)).map_err(|source: io::Error| DemoFault::Listen { address, source });
    let mut bound = Vec::new();
    let mut running = Vec::new();
    for (address, number) in origins.into_iter().zip(1..) {
        let (address, listener) = listen(address)?;
        bound.push(address);
        running.push((Origin::new(number, address), listener));
    }
    let (address, switch) = listen(switch)?;
    bound.push(address);
    let serve = async move {
        let origins = running.into_iter().map(|(mut origin, listener)| {
            origin.serve(listener);
            origin
        });
        switch::serve(switch, origins.collect()).await;
    };
    thread::Builder::new().name("demo".into()).spawn(move || runtime.block_on(serve)).map_err(DemoFault::Thread)?;
    Ok(bound)
}

fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn guide(config: &Path) -> String {
    let config = config.display();
    format!(
        "
haechi demo: one gate, a static site, three origins that stand in for Tomcat

  Open
    http://127.0.0.1:8080/           the static site
    https://127.0.0.1:8443/          the same by TLS and HTTP/2 (curl -k: the certificate was made here)
    http://127.0.0.1:8080/app        a session that stays on its node: ip_hash
    http://127.0.0.1:8080/spread     every node in its turn, node1 twice: round_robin, for each thread
    http://127.0.0.1:9900/status     what haechi thinks of it all

  Try
    edit the config while it runs    {config}: the text of /hello, a weight, or break it
    stop the node you are on         curl http://127.0.0.1:{SWITCH}/stop/1    and load /app again
    and start it                     curl http://127.0.0.1:{SWITCH}/start/1
    a slow answer, a big one         curl 'http://127.0.0.1:8080/app/slow?ms=800'
                                     curl -o /dev/null 'http://127.0.0.1:8080/app/big?bytes=100000000'
    read the metrics                 curl http://127.0.0.1:9900/metrics

  Ctrl-C drains and ends, a second one ends at once.
"
    )
}

#[cfg(test)]
mod tests;
