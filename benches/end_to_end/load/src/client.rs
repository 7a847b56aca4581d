//! The load: a fixed number of connections, each asks anew as soon as it is answered.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, ipproto};
use rustix::net::{bind, connect, recv, send, socket_with, sockopt};
use rustls::{ClientConfig, ClientConnection, HandshakeKind};
use serde::Serialize;

use crate::Outcome;
use crate::answer::{Answer, Progress};
use crate::certificates::host;
use crate::poll::{Event, Poll};
use crate::tls;

#[derive(clap::Args)]
pub struct Options {
    #[arg(long)]
    address: SocketAddrV4,
    #[arg(long)]
    path: String,
    /// The length that every answer must have.
    #[arg(long)]
    expect: usize,
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// When to stop.
    #[arg(long, value_parser = milliseconds)]
    milliseconds: Duration,
    /// Stop earlier, after so many answers.
    #[arg(long, default_value_t = u64::MAX)]
    requests: u64,
    /// Stop earlier, after so many faults.
    #[arg(long, default_value_t = 1000)]
    max_errors: u64,
    #[arg(long)]
    tls: bool,
    /// A new connection for every request.
    #[arg(long)]
    new_connection: bool,
    /// A new connection takes up a session where it has a ticket.
    #[arg(long)]
    resume: bool,
    /// Come from so many addresses, 127.0.1.1 and on, in turn; 0: from one.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=250))]
    sources: u8,
    /// Ask for so long again for each line on standard input, on the connections of before, and print the
    /// counts of each.
    #[arg(long)]
    paced: bool,
    /// Ask for so many names, at random.
    #[arg(long, default_value_t = 1)]
    hosts: usize,
}

fn milliseconds(text: &str) -> Result<Duration, std::num::ParseIntError> {
    text.parse().map(Duration::from_millis)
}

/// How long the last answers may take once no more is asked.
const PATIENCE: Duration = Duration::from_secs(3);

pub fn run(options: &Options) -> Outcome<()> {
    let mut load = Load {
        options,
        config: if options.tls { Some(tls::config(options.resume)?) } else { None },
        poll: Poll::new()?,
        connections: (0..options.connections).map(|_| None).collect(),
        vacant: (0..options.connections).collect(),
        opened: 0,
        random: 42,
        is_over: false,
        figures: Figures::default(),
        buffer: vec![0; 1 << 20],
    };
    if options.paced {
        for line in std::io::stdin().lines() {
            line?;
            load.ask_for_a_while()?;
        }
        return Ok(());
    }
    load.ask_for_a_while()
}

/// What is printed. Counts of a whole run, the last answers after its end included.
#[derive(Default, Serialize)]
struct Figures {
    /// Until no more was asked.
    seconds: f64,
    done: u64,
    done_in_time: u64,
    body_bytes: u64,
    connections: u64,
    full_handshakes: u64,
    resumed_handshakes: u64,
    connect_errors: u64,
    status_errors: u64,
    length_errors: u64,
    broken: u64,
    /// Asked on a kept connection that was closed without a byte of answer: a client may ask again.
    stale: u64,
    hung: u64,
}

impl Figures {
    fn errors(&self) -> u64 {
        self.connect_errors + self.status_errors + self.length_errors + self.broken
    }
}

struct Load<'a> {
    options: &'a Options,
    config: Option<Arc<ClientConfig>>,
    poll: Poll,
    connections: Vec<Option<Connection>>,
    /// Slots without a connection, to be opened after this turn's events.
    vacant: Vec<usize>,
    opened: usize,
    random: u64,
    is_over: bool,
    figures: Figures,
    buffer: Vec<u8>,
}

struct Connection {
    socket: OwnedFd,
    tls: Option<ClientConnection>,
    is_connected: bool,
    request: Arc<str>,
    requests: u64,
    /// The answer that is waited for.
    answer: Option<Answer>,
    /// A byte of it came.
    is_heard: bool,
}

/// How a turn of a connection ended.
enum Turn {
    /// There is nothing to read.
    Empty,
    Waiting,
    Answered,
    Broken,
}

impl Load<'_> {
    fn ask_for_a_while(&mut self) -> Outcome<()> {
        let options = self.options;
        self.figures = Figures::default();
        self.is_over = false;
        let begin = Instant::now();
        let end = begin + options.milliseconds;
        for slot in 0..self.connections.len() {
            if self.connections[slot].as_mut().is_some_and(|connection| connection.ask().is_err()) {
                self.fail(slot);
            }
        }
        loop {
            let now = Instant::now();
            let figures = &mut self.figures;
            if !self.is_over
                && (now >= end || figures.done >= options.requests || figures.errors() > options.max_errors)
            {
                self.is_over = true;
                figures.seconds = (now - begin).as_secs_f64();
                figures.done_in_time = figures.done;
            }
            if self.is_over && (self.busy() == 0 || now > end + PATIENCE) {
                break;
            }
            if !self.is_over {
                for slot in std::mem::take(&mut self.vacant) {
                    self.open(slot)?;
                }
            }
            let pause = Duration::from_millis(if self.vacant.is_empty() { 100 } else { 2 });
            let until_end = end.saturating_duration_since(now).max(Duration::from_millis(1));
            for event in self.poll.wait(Some(pause.min(until_end)))? {
                self.handle(event)?;
            }
        }
        self.figures.hung = self.busy() as u64;
        println!("{}", serde_json::to_string(&self.figures)?);
        Ok(())
    }

    fn busy(&self) -> usize {
        self.connections.iter().flatten().filter(|connection| connection.answer.is_some()).count()
    }

    fn open(&mut self, slot: usize) -> Outcome<()> {
        let options = self.options;
        self.opened += 1;
        let source = match options.sources {
            0 => None,
            count => Some(Ipv4Addr::new(127, 0, 1 + (self.opened % usize::from(count)) as u8, 1)),
        };
        let Ok(socket) = dial(options.address, source) else {
            self.figures.connect_errors += 1;
            self.vacant.push(slot);
            return Ok(());
        };
        self.figures.connections += 1;
        self.poll.add(&socket, slot)?;
        let k = self.next_host();
        let request =
            format!("GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: load\r\nAccept: */*\r\n\r\n", options.path, host(k));
        self.connections[slot] = Some(Connection {
            socket,
            tls: self.config.as_ref().map(|config| tls::connection(config, k)).transpose()?,
            is_connected: false,
            request: request.into(),
            requests: 0,
            answer: Some(Answer::default()),
            is_heard: false,
        });
        Ok(())
    }

    /// A linear congruence: the same names in every run.
    fn next_host(&mut self) -> usize {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) as usize % self.options.hosts
    }

    fn handle(&mut self, event: Event) -> Outcome<()> {
        let Some(connection) = &mut self.connections[event.key] else { return Ok(()) };
        if !connection.is_connected && (event.is_broken() || event.is_ending()) {
            self.figures.connect_errors += 1;
            self.close(event.key);
            return Ok(());
        }
        if event.is_broken() {
            self.fail(event.key);
            return Ok(());
        }
        if !connection.is_connected && event.is_writable() {
            connection.is_connected = true;
            if connection.start().is_err() {
                self.fail(event.key);
                return Ok(());
            }
        }
        while event.is_readable() {
            let Some(connection) = &mut self.connections[event.key] else { break };
            let (turn, is_drained) = connection.receive(&mut self.buffer, &mut self.figures);
            match turn {
                Turn::Empty => break,
                Turn::Waiting => {}
                Turn::Answered => self.finish(event.key),
                Turn::Broken => self.fail(event.key),
            }
            if is_drained && !event.is_ending() {
                break;
            }
        }
        Ok(())
    }

    fn finish(&mut self, slot: usize) {
        let Some(connection) = &mut self.connections[slot] else { return };
        let Some(answer) = connection.answer.take() else { return };
        self.figures.done += 1;
        self.figures.body_bytes += answer.length() as u64;
        self.figures.status_errors += u64::from(!answer.is_ok);
        self.figures.length_errors += u64::from(answer.is_ok && answer.length() != self.options.expect);
        if self.options.new_connection || answer.is_last {
            self.close(slot);
        } else if !self.is_over && connection.ask().is_err() {
            self.fail(slot);
        }
    }

    /// The connection ended before its answer did.
    fn fail(&mut self, slot: usize) {
        if let Some(connection) = &self.connections[slot]
            && connection.answer.is_some()
        {
            if connection.requests > 1 && !connection.is_heard {
                self.figures.stale += 1;
            } else {
                self.figures.broken += 1;
            }
        }
        self.close(slot);
    }

    fn close(&mut self, slot: usize) {
        if let Some(mut connection) = self.connections[slot].take() {
            if let Some(tls) = connection.tls.as_mut().filter(|tls| !tls.is_handshaking()) {
                tls.send_close_notify();
                // The peer may be gone already; nothing is lost then.
                let _ = connection.flush();
            }
            self.vacant.push(slot);
        }
    }
}

fn dial(address: SocketAddrV4, source: Option<Ipv4Addr>) -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, Some(ipproto::TCP))?;
    sockopt::set_tcp_nodelay(&socket, true)?;
    if let Some(source) = source {
        bind(&socket, &SocketAddrV4::new(source, 0))?;
    }
    match connect(&socket, &address) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(error) => Err(error),
    }
}

impl Connection {
    /// Connected: the first request, or the handshake before it.
    fn start(&mut self) -> Result<(), Errno> {
        if self.tls.is_some() { self.flush() } else { self.send_request() }
    }

    fn ask(&mut self) -> Result<(), Errno> {
        self.answer = Some(Answer::default());
        self.is_heard = false;
        self.send_request()
    }

    fn send_request(&mut self) -> Result<(), Errno> {
        self.requests += 1;
        match &mut self.tls {
            None => send_whole(&self.socket, self.request.as_bytes()),
            Some(tls) => {
                tls.writer().write_all(self.request.as_bytes()).map_err(|_| Errno::IO)?;
                self.flush()
            }
        }
    }

    fn flush(&mut self) -> Result<(), Errno> {
        let Some(tls) = &mut self.tls else { return Ok(()) };
        let mut records = Vec::with_capacity(1024);
        while tls.wants_write() {
            tls.write_tls(&mut records).map_err(|_| Errno::IO)?;
        }
        if records.is_empty() { Ok(()) } else { send_whole(&self.socket, &records) }
    }

    /// Reads once. The second value: there was less to read than there was room.
    fn receive(&mut self, buffer: &mut [u8], figures: &mut Figures) -> (Turn, bool) {
        // A large plain body is dropped by the kernel, so that the client stays cheap.
        let left = self.answer.as_ref().map_or(0, Answer::left);
        let is_dropped = self.tls.is_none() && left > 64 << 10;
        let (flags, room) =
            if is_dropped { (RecvFlags::TRUNC, left.min(buffer.len())) } else { (RecvFlags::empty(), buffer.len()) };
        let count = match recv(&self.socket, &mut buffer[..room], flags) {
            Ok((_, 0)) => return (Turn::Broken, true),
            Ok((_, count)) => count,
            Err(Errno::AGAIN) => return (Turn::Empty, true),
            Err(_) => return (Turn::Broken, true),
        };
        let turn = match &mut self.answer {
            Some(answer) if is_dropped => turn(answer.skip(count)),
            _ if self.tls.is_some() => self.decrypt(&buffer[..count], figures),
            _ => self.read(&buffer[..count]),
        };
        (turn, count < room)
    }

    fn read(&mut self, bytes: &[u8]) -> Turn {
        let Some(answer) = &mut self.answer else { return Turn::Broken };
        self.is_heard = true;
        turn(answer.read(bytes))
    }

    fn decrypt(&mut self, mut records: &[u8], figures: &mut Figures) -> Turn {
        let mut plain = [0; 32 << 10];
        let mut latest = Turn::Waiting;
        while !records.is_empty() {
            let Some(tls) = &mut self.tls else { return Turn::Broken };
            let was_handshaking = tls.is_handshaking();
            if tls.read_tls(&mut records).is_err() {
                return Turn::Broken;
            }
            let Ok(state) = tls.process_new_packets() else { return Turn::Broken };
            let mut available = state.plaintext_bytes_to_read();
            let is_established = was_handshaking && !tls.is_handshaking();
            if is_established {
                match tls.handshake_kind() {
                    Some(HandshakeKind::Resumed) => figures.resumed_handshakes += 1,
                    _ => figures.full_handshakes += 1,
                }
            }
            if self.flush().is_err() || (is_established && self.send_request().is_err()) {
                return Turn::Broken;
            }
            while available > 0 {
                let Some(Ok(count)) = self.tls.as_mut().map(|tls| tls.reader().read(&mut plain)) else {
                    return Turn::Broken;
                };
                available -= count;
                latest = match (latest, self.read(&plain[..count])) {
                    (Turn::Waiting, next) => next,
                    _ => return Turn::Broken,
                };
            }
        }
        latest
    }
}

fn turn(progress: Progress) -> Turn {
    match progress {
        Progress::More => Turn::Waiting,
        Progress::Done => Turn::Answered,
        Progress::Broken => Turn::Broken,
    }
}

/// A request fits a socket's buffer: a part of it is a fault.
fn send_whole(socket: &OwnedFd, bytes: &[u8]) -> Result<(), Errno> {
    if send(socket, bytes, SendFlags::NOSIGNAL)? == bytes.len() { Ok(()) } else { Err(Errno::IO) }
}
