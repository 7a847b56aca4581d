//! Ports for what cannot bind to 0 itself, because a config must name them.
//!
//! Tests run side by side in several processes, and each origin and each client connection takes a port
//! of the kernel's choice. So these come from below the kernel's range, each held by a lock on a file of
//! its name for as long as this process lives, and proven free by a bind.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU16, Ordering};

const FIRST: u16 = 12_000;
const COUNT: u16 = 18_000;

static STEP: AtomicU16 = AtomicU16::new(0);
static HELD: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// A loopback address that nobody listens on and no other test will take.
pub fn free_port() -> SocketAddr {
    let folder = std::env::temp_dir().join("haechi-test-ports");
    fs::create_dir_all(&folder).expect("a folder for the locks of ports");
    let start = std::process::id().wrapping_mul(7919) % u32::from(COUNT);
    for _ in 0..COUNT {
        let step = u32::from(STEP.fetch_add(1, Ordering::Relaxed));
        let offset = (start + step) % u32::from(COUNT);
        let port = FIRST + u16::try_from(offset).expect("below the count");
        let lock = File::create(folder.join(port.to_string())).expect("a lock of a port");
        if lock.try_lock().is_err() {
            continue;
        }
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok() {
            HELD.lock().expect("held ports").push(lock);
            return address;
        }
    }
    panic!("no port is free")
}
