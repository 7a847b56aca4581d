//! Two hosts on one cable: network namespaces of their own, gone with the value.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use socket2::{Domain, Protocol, Socket, Type};

use super::tools::run;

/// Two namespaces whose `eth0`s are joined: 192.168.0.11 and .12, fe80::b and fe80::c, MACs that end alike.
pub struct Lan {
    pub one: Namespace,
    pub two: Namespace,
}

/// A network namespace.
pub struct Namespace {
    name: String,
}

impl Lan {
    /// `None`, and a loud line, where namespaces are impossible.
    pub fn new() -> Option<Self> {
        let lan = Self { one: Namespace::new()?, two: Namespace::new()? };
        lan.join();
        Some(lan)
    }

    /// Lays the cable: to be called again after an end of it was removed.
    pub fn join(&self) {
        let (one, two) = (&*self.one.name, &*self.two.name);
        self.one.ip(&format!("link add eth0 address 02:00:00:00:00:0b type veth peer name eth0 netns {two}"));
        self.two.ip("link set eth0 address 02:00:00:00:00:0c");
        for (host, last) in [(&self.one, "11"), (&self.two, "12")] {
            host.ip(&format!("addr add 192.168.0.{last}/24 dev eth0"));
        }
        for (host, last) in [(&self.one, "b"), (&self.two, "c")] {
            host.ip(&format!("addr add fe80::{last}/64 dev eth0 nodad"));
            host.ip("link set lo up");
            host.ip("link set eth0 up");
        }
        assert_ne!(one, two);
    }
}

impl Namespace {
    /// `None`, and a loud line, where namespaces are impossible.
    pub fn new() -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("haechi-{}-{}", process::id(), NUMBER.fetch_add(1, Relaxed));
        let said = run("ip", ["netns", "add", &name]);
        if said.code != 0 {
            eprintln!("SKIPPED: no network namespaces here: {}", said.err.trim());
            return None;
        }
        let made = Self { name };
        // No address but those of the test: the kernel's own would come after a while.
        made.enter(|| std::fs::write("/proc/sys/net/ipv6/conf/default/addr_gen_mode", "1").unwrap());
        Some(made)
    }

    /// Runs this in the namespace, on a thread of its own; sockets made there stay there.
    pub fn enter<T: Send>(&self, run: impl FnOnce() -> T + Send) -> T {
        let file = File::open(format!("/run/netns/{}", self.name)).unwrap();
        let inside = move || {
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            run()
        };
        thread::scope(|scope| scope.spawn(inside).join()).unwrap()
    }

    /// Its name, as `ip netns` has it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs `ip` in the namespace; what it said.
    pub fn ip(&self, arguments: &str) -> String {
        let said = run("ip", ["-n", &self.name].into_iter().chain(arguments.split_whitespace()));
        assert_eq!(said.code, 0, "ip {arguments}: {}", said.err);
        said.out
    }

    /// What comes in by any interface from now on.
    pub fn capture(&self) -> Capture {
        const ETH_P_ALL: u16 = 3;
        let protocol = Protocol::from(i32::from(ETH_P_ALL.to_be()));
        let open = || Socket::new(Domain::PACKET, Type::RAW.nonblocking().cloexec(), Some(protocol)).unwrap();
        Capture(self.enter(open))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let said = run("ip", ["netns", "del", &self.name]);
        if said.code != 0 {
            eprintln!("{}: {}", self.name, said.err);
        }
    }
}

/// Frames of a namespace.
pub struct Capture(Socket);

impl Capture {
    /// All frames that are there.
    pub fn all(&self) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| self.find(|_| true)).collect()
    }

    /// The next frame for which this holds, of those that are there.
    pub fn find(&self, wanted: impl Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
        let mut frame = [0; 2048];
        loop {
            match io::Read::read(&mut &self.0, &mut frame) {
                Ok(length) if wanted(&frame[..length]) => return Some(frame[..length].to_vec()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Err(error) => panic!("capture: {error}"),
            }
        }
    }
}
