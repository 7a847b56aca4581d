//! What an exchange is hashed by.

use std::net::IpAddr;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use super::Key;

/// By the client's address, or the leading bits of it.
///
/// IPv4 addresses that come mapped into IPv6 (RFC 4291 §2.5.5.2) count as IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpHash {
    /// Leading bits of an IPv4 address that count; nginx's `ip_hash` takes 24. More than 32 is 32.
    pub prefix_v4: u8,
    /// Leading bits of an IPv6 address that count. More than 128 is 128.
    pub prefix_v6: u8,
}

impl Default for IpHash {
    /// Whole addresses.
    fn default() -> Self {
        Self { prefix_v4: 32, prefix_v6: 128 }
    }
}

impl IpHash {
    pub(super) fn key(self, client: IpAddr) -> u64 {
        match client.to_canonical() {
            IpAddr::V4(address) => {
                let dropped = 32 - u32::from(self.prefix_v4.min(32));
                let mask = u32::MAX.checked_shl(dropped).unwrap_or(0);
                xxh3_64(&(address.to_bits() & mask).to_be_bytes())
            }
            IpAddr::V6(address) => {
                let dropped = 128 - u32::from(self.prefix_v6.min(128));
                let mask = u128::MAX.checked_shl(dropped).unwrap_or(0);
                xxh3_64(&(address.to_bits() & mask).to_be_bytes())
            }
        }
    }
}

/// Which part of a request is hashed; its value comes in [`Key::hashed`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashOn {
    /// The first header field with this name.
    Header(Arc<str>),
    /// The first cookie with this name.
    Cookie(Arc<str>),
}

/// The hash of the value, or of the client's whole address where the request has no value.
pub(super) fn key(key: &Key<'_>) -> u64 {
    key.hashed.map_or_else(|| IpHash::default().key(key.client), xxh3_64)
}
