//! Connections that were used once and then are held: what does an idle one cost the other side?

use std::io::{self, Read, Write};
use std::net::{SocketAddrV4, TcpStream};

use rustix::net::{RecvFlags, recv};
use rustls::{ClientConnection, Stream};

use crate::Outcome;
use crate::answer::{Answer, Progress};
use crate::certificates::host;
use crate::tls;

#[derive(clap::Args)]
pub struct Options {
    #[arg(long)]
    address: SocketAddrV4,
    #[arg(long)]
    connections: usize,
    #[arg(long)]
    path: String,
    #[arg(long)]
    tls: bool,
}

/// Says `held N` once all are open; at the end of standard input, how many of them still are.
pub fn run(options: &Options) -> Outcome<()> {
    let config = if options.tls { Some(tls::config(false)?) } else { None };
    let request = format!("GET {} HTTP/1.1\r\nHost: {}\r\n\r\n", options.path, host(0));
    let mut held: Vec<(TcpStream, Option<ClientConnection>)> = Vec::with_capacity(options.connections);
    for _ in 0..options.connections {
        let mut socket = TcpStream::connect(options.address)?;
        socket.set_nodelay(true)?;
        let session = match &config {
            None => {
                ask(&mut socket, &request)?;
                None
            }
            Some(config) => {
                let mut session = tls::connection(config, 0)?;
                ask(&mut Stream::new(&mut session, &mut socket), &request)?;
                Some(session)
            }
        };
        held.push((socket, session));
    }
    println!("held {}", held.len());
    io::copy(&mut io::stdin(), &mut io::sink())?;
    let open = held.iter().filter(|(socket, _)| is_open(socket)).count();
    println!("{open}");
    Ok(())
}

fn ask(stream: &mut (impl Read + Write), request: &str) -> Outcome<()> {
    stream.write_all(request.as_bytes())?;
    let mut answer = Answer::default();
    let mut buffer = [0; 16 << 10];
    loop {
        let count = stream.read(&mut buffer)?;
        match answer.read(&buffer[..count]) {
            Progress::Done if answer.is_ok => return Ok(()),
            Progress::More if count > 0 => {}
            _ => return Err("an answer was broken".into()),
        }
    }
}

fn is_open(socket: &TcpStream) -> bool {
    let mut byte = [0];
    match recv(socket, &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT) {
        Ok((_, count)) => count > 0,
        Err(error) => error == rustix::io::Errno::AGAIN,
    }
}
