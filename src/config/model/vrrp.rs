//! `[vrrp.NAME]`

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::diagnostic::Spanned;

/// `[vrrp.NAME]`: virtual addresses that this host shares with another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vrrp {
    /// Its name in the file, in logs and in metrics.
    pub name: Spanned<String>,
    /// The interface that the addresses live on.
    pub interface: Spanned<String>,
    /// 1 to 255.
    pub virtual_router_id: Spanned<u8>,
    /// What is spoken.
    pub version: VrrpVersion,
    /// 1 to 255.
    pub priority: u8,
    /// From one advert to the next: whole seconds with version 2, else whole hundredths of one, in range.
    pub advert_interval: Duration,
    /// The addresses: never empty, of one family, an IPv6 list with a link-local one in front.
    pub addresses: Vec<Spanned<IpNet>>,
    /// How an active host of lower priority is treated.
    pub preempt: Preempt,
    /// After the interface came back: how long nothing is taken from a host that is active.
    pub hold_down: Duration,
    /// The other hosts, of the addresses' family; empty: multicast.
    pub peers: Vec<Spanned<IpAddr>>,
    /// Unicast adverts that came through a router are refused.
    pub check_ttl: bool,
    /// Keepalived's proof of a secret.
    pub auth_hmac: Option<AuthHmac>,
    /// What happens where adverts are lost and the other host serves.
    pub on_partition: OnPartition,
    /// The addresses live on an interface with the virtual router's MAC.
    pub virtual_mac: bool,
    /// How the addresses are announced.
    pub announce: Announce,
    /// Instances of the same group move together.
    pub group: Option<Spanned<String>>,
    /// What must be well.
    pub track: Track,
    /// What is run on a change.
    pub hooks: Option<Hooks>,
}

/// `version`, and what only one of the two has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VrrpVersion {
    /// RFC 3768, IPv4 alone.
    V2 {
        /// The password in clear, 1 to 8 bytes; `None`: adverts without one.
        auth_pass: Option<String>,
    },
    /// RFC 9568.
    V3 {
        /// What the checksum of adverts that are sent covers.
        checksum: VrrpChecksum,
        /// Where an `auth_pass` is written all the same: it does nothing.
        idle_pass: Option<Spanned<()>>,
    },
}

/// `checksum`, for IPv4: with IPv6 the pseudo-header always counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VrrpChecksum {
    /// Pseudo-header and message.
    Keepalived,
    /// The message alone.
    Rfc9568,
}

/// `preempt` and `preempt_delay`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Preempt {
    /// Whoever is active stays so.
    Never,
    /// A host of lower priority is relieved after this time.
    After(Duration),
}

/// `vrrp.NAME.auth_hmac`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthHmac {
    /// The secrets, never empty, each number once; the first signs.
    pub keys: Vec<HmacKey>,
    /// What is done with unsigned adverts.
    pub mode: HmacMode,
    /// How old a signed advert may be.
    pub window: Duration,
}

/// One secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HmacKey {
    /// Its number.
    pub id: u8,
    /// 32 to 64 bytes.
    pub secret: String,
}

/// `auth_hmac.mode`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HmacMode {
    /// Signs nothing; checks what is signed, believes what is not.
    ReceiveOnly,
    /// Signs; checks what is signed, believes what is not.
    Permissive,
    /// Signs; refuses what is not signed.
    Enforce,
}

/// `on_partition`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnPartition {
    /// Both may serve: for what has no state.
    Serve,
    /// This host does not: for what must be in one place.
    Stop,
}

/// `vrrp.NAME.announce`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announce {
    /// How often at once, 1 to 100.
    pub repeat: u8,
    /// When they are announced as often again.
    pub delay: Duration,
    /// From then on, one each; `None`: never.
    pub refresh: Option<Duration>,
}

/// `[vrrp.NAME.track]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Track {
    /// Upstreams, each with the servers that must be healthy.
    pub upstreams: Vec<(Tracked, u32)>,
    /// Interfaces that must be up.
    pub interfaces: Vec<Tracked>,
    /// Listeners that must be bound; `None`: all.
    pub listeners: Option<Vec<Tracked>>,
    /// Programs that must end with 0.
    pub exec: Vec<TrackedExec>,
}

/// Something that must be well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tracked {
    /// Its name.
    pub name: Spanned<String>,
    /// What happens while it is not well.
    pub effect: TrackEffect,
}

/// What happens while something is not well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TrackEffect {
    /// This host is not active.
    Fault,
    /// Its priority is lower by this, 1 to 253.
    Lower(u8),
}

/// One of `vrrp.NAME.track.exec`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackedExec {
    /// Its name in logs and metrics, and what happens while it is not well.
    pub tracked: Tracked,
    /// What is run.
    pub command: Command,
    /// From one run to the next.
    pub interval: Duration,
    /// How long one run may take.
    pub timeout: Duration,
    /// Runs in a row that must pass.
    pub rise: u32,
    /// Runs in a row that must fail.
    pub fall: u32,
}

/// A program of the operator's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// Its absolute path.
    pub program: Spanned<PathBuf>,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// The user that it runs as; `None`: the worker's.
    pub user: Option<Spanned<String>>,
}

/// `[vrrp.NAME.hooks]`: a program, a URL, or both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hooks {
    /// What is run.
    pub command: Option<Command>,
    /// What is posted to: `http://` or `https://`.
    pub post: Option<Spanned<String>>,
    /// How long each may take.
    pub timeout: Duration,
    /// The states whose beginning is told; never empty.
    pub on: Vec<HookState>,
}

/// A state whose beginning hooks tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum HookState {
    Active,
    Backup,
    Fault,
}
