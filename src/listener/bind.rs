//! Binds the address of a listener, one socket for each data-plane thread.
//!
//! In go an endpoint and a number of threads; out come as many sockets, among which the kernel spreads
//! new connections, or datagrams by their client (SO_REUSEPORT). What always holds: either all of them listen or
//! none does, and no other process listens on that address too. The data plane never calls this;
//! it is handed what comes out.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};

use crate::net::{Endpoint, Listening, Transport};

/// Connections that may wait to be accepted on one socket; the kernel cuts it to `somaxconn`.
const BACKLOG: i32 = 4096;

/// Binds an endpoint and listens, for `threads` threads (at least one). With port 0 the kernel
/// chooses one port for all of them. An address that this host does not have yet is bound all the
/// same (IP_FREEBIND): a VIP comes and goes. `[::]` takes no IPv4 (IPV6_V6ONLY).
///
/// The sockets do not block, and their connections have TCP_NODELAY; those of datagrams tell which address
/// each was sent to. `ours` are the endpoints that this process listens on: `0.0.0.0:80` may be bound
/// while `10.0.0.1:80` is still among them.
///
/// # Errors
/// The address and the cause. An address on which this process listens already is in use too.
pub fn bind(
    endpoint: Endpoint,
    threads: usize,
    ours: impl IntoIterator<Item = Endpoint>,
) -> Result<Vec<Listening>, BindFault> {
    let beside_ours = ours.into_iter().any(|other| overlap(endpoint, other));
    bind_all(endpoint, threads, beside_ours).map_err(|source| BindFault { endpoint, cause: Cause::of(&source), source })
}

/// As many sockets more for an endpoint that this process listens on already.
///
/// # Errors
/// [`BindFault`]
pub fn join(endpoint: Endpoint, sockets: usize) -> Result<Vec<Listening>, BindFault> {
    let joined = (0..sockets).map(|_| listening(endpoint.transport, bound(endpoint, Sharing::Allowed)?));
    joined.collect::<io::Result<_>>().map_err(|source| BindFault { endpoint, cause: Cause::of(&source), source })
}

/// Whether one of two different addresses takes the other in.
fn overlap(one: Endpoint, other: Endpoint) -> bool {
    if one.transport != other.transport {
        return false;
    }
    let (one, other) = (one.address, other.address);
    let takes_in = one.ip().is_unspecified() != other.ip().is_unspecified();
    one.port() == other.port() && one.is_ipv4() == other.is_ipv4() && takes_in
}

/// An endpoint cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("{endpoint} cannot be listened on: {cause}")]
pub struct BindFault {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// Why, in words of this room.
    pub cause: Cause,
    /// What the system said.
    pub source: io::Error,
}

/// Why an address cannot be listened on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// EADDRINUSE.
    #[error("a process listens there already")]
    InUse,
    /// EACCES or EPERM.
    #[error("ports below 1024 need root or CAP_NET_BIND_SERVICE")]
    NotPermitted,
    /// EAFNOSUPPORT or EADDRNOTAVAIL.
    #[error("this host cannot have such an address")]
    NoSuchAddress,
    /// EMFILE or ENFILE.
    #[error("too many open files; raise LimitNOFILE or use fewer workers")]
    TooManyFiles,
    /// Anything else; the source tells.
    #[error("the system refused")]
    Other,
}

impl Cause {
    fn of(fault: &io::Error) -> Self {
        use rustix::io::Errno;
        match Errno::from_io_error(fault) {
            Some(Errno::ADDRINUSE) => Self::InUse,
            Some(Errno::ACCESS | Errno::PERM) => Self::NotPermitted,
            Some(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL) => Self::NoSuchAddress,
            Some(Errno::MFILE | Errno::NFILE) => Self::TooManyFiles,
            _ => Self::Other,
        }
    }
}

fn bind_all(mut endpoint: Endpoint, threads: usize, beside_ours: bool) -> io::Result<Vec<Listening>> {
    // SO_REUSEPORT lets any process of this user join in without a word, and take its share of the
    // connections. A socket without it is refused where somebody listens; we ourselves, too, so
    // beside an address of our own there is no telling.
    if endpoint.address.port() != 0 && !beside_ours {
        bound(endpoint, Sharing::Refused)?;
    }
    let mut sockets = Vec::new();
    for _ in 0..threads.max(1) {
        let socket = bound(endpoint, Sharing::Allowed)?;
        if let Some(bound) = socket.local_addr()?.as_socket() {
            endpoint.address.set_port(bound.port());
        }
        sockets.push(socket);
    }
    sockets.into_iter().map(|socket| listening(endpoint.transport, socket)).collect()
}

fn listening(transport: Transport, socket: Socket) -> io::Result<Listening> {
    if transport == Transport::Tcp {
        socket.listen(BACKLOG)?;
    }
    Ok(Listening::received(transport, socket.into()))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sharing {
    Allowed,
    Refused,
}

fn bound(Endpoint { transport, address }: Endpoint, sharing: Sharing) -> io::Result<Socket> {
    let domain = Domain::for_address(address);
    let socket = match transport {
        Transport::Tcp => {
            let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
            // Connections of the last run in TIME_WAIT are no hindrance.
            socket.set_reuse_address(true)?;
            // Accepted connections inherit it.
            socket.set_tcp_nodelay(true)?;
            socket
        }
        Transport::Udp => {
            let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
            // Which address of ours a datagram was sent to, and how many found no room in the queue.
            if address.is_ipv4() {
                setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
            } else {
                setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
            }
            setsockopt(&socket, sockopt::RxqOvfl, &1)?;
            socket
        }
    };
    socket.set_nonblocking(true)?;
    socket.set_reuse_port(sharing == Sharing::Allowed)?;
    match address {
        SocketAddr::V4(address) if *address.ip() != Ipv4Addr::UNSPECIFIED => socket.set_freebind_v4(true)?,
        SocketAddr::V4(_) => {}
        SocketAddr::V6(address) => {
            socket.set_only_v6(true)?;
            if *address.ip() != Ipv6Addr::UNSPECIFIED {
                socket.set_freebind_v6(true)?;
            }
        }
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream, UdpSocket};

    use super::*;

    const NONE: [SocketAddr; 0] = [];
    const ANY_PORT: &str = "127.0.0.1:0";

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn bind(
        address: SocketAddr,
        threads: usize,
        ours: impl IntoIterator<Item = SocketAddr>,
    ) -> Result<Vec<TcpListener>, BindFault> {
        let sockets = super::bind(Endpoint::tcp(address), threads, ours.into_iter().map(Endpoint::tcp))?;
        Ok(sockets.into_iter().map(tcp).collect())
    }

    fn tcp(socket: Listening) -> TcpListener {
        let Listening::Tcp(socket) = socket else { panic!("{socket:?}") };
        socket
    }

    fn udp(socket: Listening) -> UdpSocket {
        let Listening::Udp(socket) = socket else { panic!("{socket:?}") };
        socket
    }

    #[test]
    fn each_thread_has_a_socket_of_the_same_port_that_does_not_block() {
        let sockets = bind(address(ANY_PORT), 3, NONE).unwrap();
        let ports: Vec<_> = sockets.iter().map(|socket| socket.local_addr().unwrap().port()).collect();
        assert_eq!(ports, [ports[0]; 3]);
        for socket in &sockets {
            assert_eq!(socket.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        }
    }

    #[test]
    fn an_address_may_get_more_sockets() {
        let mine = bind(address(ANY_PORT), 1, NONE).unwrap();
        let at = mine[0].local_addr().unwrap();
        let more: Vec<_> = join(Endpoint::tcp(at), 2).unwrap().into_iter().map(tcp).collect();
        drop(mine);
        assert_eq!(more.iter().map(|socket| socket.local_addr().unwrap()).collect::<Vec<_>>(), [at; 2]);
        TcpStream::connect(at).unwrap();
    }

    #[test]
    fn a_connection_is_accepted_by_one_of_them_with_nodelay() {
        let sockets = bind(address(ANY_PORT), 2, NONE).unwrap();
        let mut client = TcpStream::connect(sockets[0].local_addr().unwrap()).unwrap();
        let accepted: Vec<_> = sockets.iter().filter_map(|socket| socket.accept().ok()).collect();
        let [(stream, _)] = &accepted[..] else { panic!("accepted {} times", accepted.len()) };
        assert!(stream.nodelay().unwrap());
        client.write_all(b"x").unwrap();
        stream.set_nonblocking(false).unwrap();
        let mut byte = [0];
        (&mut &*stream).read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"x");
    }

    #[test]
    fn a_port_that_another_listens_on_is_refused_even_where_it_would_be_shared() {
        let mine = bind(address(ANY_PORT), 1, NONE).unwrap();
        let taken = mine[0].local_addr().unwrap();
        let fault = bind(taken, 2, NONE).unwrap_err();
        assert_eq!(fault.cause, Cause::InUse);
        assert_eq!(fault.to_string(), format!("{taken} cannot be listened on: a process listens there already"));
        drop(mine);
        bind(taken, 2, NONE).unwrap();
    }

    #[test]
    fn an_address_may_be_widened_and_narrowed_while_it_is_ours() {
        // A port that is free here may be somebody's at another address of loopback.
        let (narrow, ours, any, wide) = (0..20)
            .find_map(|_| {
                let narrow = bind(address(ANY_PORT), 2, NONE).unwrap();
                let ours = narrow[0].local_addr().unwrap();
                let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, ours.port()));
                assert_eq!(bind(any, 2, NONE).unwrap_err().cause, Cause::InUse);
                let wide = bind(any, 2, [ours]).ok()?;
                Some((narrow, ours, any, wide))
            })
            .expect("one of twenty ports is free everywhere");
        drop(narrow);
        TcpStream::connect(ours).unwrap();
        bind(ours, 2, [any]).unwrap();
        assert_eq!(bind(ours, 2, NONE).unwrap_err().cause, Cause::InUse);
        drop(wide);
    }

    #[test]
    fn a_port_is_bound_again_while_its_old_connections_linger() {
        let sockets = bind(address(ANY_PORT), 1, NONE).unwrap();
        let taken = sockets[0].local_addr().unwrap();
        let mut client = TcpStream::connect(taken).unwrap();
        let (stream, _) = sockets[0].accept().unwrap();
        // The side that closes first is the one that lingers.
        drop(stream);
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
        drop((sockets, client));
        bind(taken, 1, NONE).unwrap();
    }

    #[test]
    fn an_address_that_is_not_here_yet_is_bound() {
        // RFC 5737 §3 and RFC 3849: addresses that no host has.
        for vip in ["192.0.2.1:0", "[2001:db8::1]:0"] {
            match bind(address(vip), 2, NONE) {
                Ok(sockets) => assert_eq!(sockets.len(), 2),
                Err(fault) => assert!(vip.starts_with('[') && fault.cause == Cause::NoSuchAddress, "{fault}"),
            }
        }
    }

    #[test]
    fn both_families_share_a_port() {
        let v4 = bind(address("0.0.0.0:0"), 1, NONE).unwrap();
        let port = v4[0].local_addr().unwrap().port();
        match bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)), 1, NONE) {
            Ok(v6) => assert_eq!(v6[0].local_addr().unwrap().port(), port),
            Err(fault) => assert_eq!(fault.cause, Cause::NoSuchAddress, "{fault}"),
        }
    }

    #[test]
    fn datagrams_of_one_client_come_to_one_of_the_sockets_and_a_port_is_had_alone() {
        let sockets = super::bind(Endpoint::udp(address(ANY_PORT)), 2, []).unwrap();
        let sockets: Vec<_> = sockets.into_iter().map(udp).collect();
        let at = sockets[0].local_addr().unwrap();
        assert_eq!(sockets[1].local_addr().unwrap(), at);
        let fault = super::bind(Endpoint::udp(at), 2, []).unwrap_err();
        assert_eq!(fault.cause, Cause::InUse);
        assert_eq!(fault.to_string(), format!("{at} of udp cannot be listened on: a process listens there already"));

        let client = UdpSocket::bind(ANY_PORT).unwrap();
        for _ in 0..3 {
            client.send_to(b"x", at).unwrap();
        }
        let mut counts: Vec<_> =
            sockets.iter().map(|socket| (0..4).filter(|_| socket.recv(&mut [0; 8]).is_ok()).count()).collect();
        counts.sort_unstable();
        assert_eq!(counts, [0, 3]);
        drop(sockets);
        super::bind(Endpoint::udp(at), 2, []).unwrap();
    }

    #[test]
    fn the_same_port_of_both_transports_is_two() {
        let mine = bind(address(ANY_PORT), 1, NONE).unwrap();
        let at = mine[0].local_addr().unwrap();
        // Somebody else may have it of UDP, then nothing is shown.
        if UdpSocket::bind(at).is_ok() {
            super::bind(Endpoint::udp(at), 1, [Endpoint::tcp(at)]).unwrap();
        }
    }
}
