//! What of an answer counts for the role, whatever product gave it.

use std::fmt::Write;
use std::time::Duration;

use super::observation::{Answer, Channel, Identity, Observation, PostgresAnswer, RedisAnswer, RedisRole, Thread};
use crate::codec::gtid::GtidSet;

/// A server as one check saw it.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// Which server it is, whatever its address; empty: the product does not say.
    pub identity: Box<str>,
    /// Whether ordinary clients can write.
    pub writable: bool,
    /// From whom it takes transactions now, or tries to.
    pub sources: Vec<Source>,
    /// How well it follows them.
    pub following: Following,
    /// All that it has executed; `None`: the product has no global transaction ids.
    pub gtids: Option<GtidSet>,
    /// All of it, for people.
    pub told: Box<str>,
}

/// A server that another one replicates from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Host and port, as the replica has them.
    pub address: Box<str>,
    /// Its identity; `None`: the replica has not met it yet.
    pub identity: Option<Box<str>>,
}

/// How well a server follows its sources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Following {
    /// It has none.
    Nobody,
    /// Something does not run.
    Stopped(Box<str>),
    /// All runs. `None`: how far behind is not known, which is never "not at all".
    Running(Option<Duration>),
}

impl From<&Answer> for Seen {
    fn from(answer: &Answer) -> Self {
        match answer {
            Answer::MySql(observation) => of_mysql(observation),
            Answer::Postgres(answer) => of_postgres(answer),
            Answer::Redis(answer) => of_redis(answer),
        }
    }
}

fn of_mysql(observation: &Observation) -> Seen {
    let Observation { identity, writable, replication, gtids } = observation;
    let flags = [
        (writable.read_only, "read_only"),
        (writable.super_read_only, "super_read_only"),
        (writable.offline_mode, "offline_mode"),
    ];
    let flags: Vec<&str> = flags.iter().filter(|(set, _)| *set).map(|(_, name)| *name).collect();
    let flags = if flags.is_empty() { "writable".to_owned() } else { flags.join(", ") };
    let name = name_of(identity);
    let mut told = format!("{} {name}, {flags}", identity.version);
    for channel in replication {
        let Channel { source_host, source_port, io, sql, lag, .. } = channel;
        let lag = lag.map_or_else(|| "unknown".to_owned(), |lag| format!("{lag:?}"));
        let _ = write!(told, "; from {source_host}:{source_port}: io {io}, sql {sql}, lag {lag}");
        for error in [&channel.io_error, &channel.sql_error].into_iter().filter(|error| !error.is_empty()) {
            let _ = write!(told, " ({error})");
        }
    }
    let _ = write!(told, "; executed {gtids}");
    // A channel that was stopped for good, as after a promotion, takes nothing in.
    let runs = |channel: &&Channel| channel.io != Thread::Stopped || channel.sql != Thread::Stopped;
    Seen {
        identity: name.into(),
        writable: writable.is_writable(),
        sources: replication.iter().filter(runs).map(source).collect(),
        following: following(replication),
        gtids: Some(gtids.clone()),
        told: told.into(),
    }
}

fn name_of(identity: &Identity) -> String {
    match &identity.uuid {
        Some(uuid) => format!("uuid {uuid}"),
        None => format!("server_id {}", identity.server_id),
    }
}

fn source(channel: &Channel) -> Source {
    let uuid = channel.source_uuid.as_ref().map(|uuid| format!("uuid {uuid}"));
    let identity = uuid.or_else(|| channel.source_server_id.map(|id| format!("server_id {id}")));
    let address = format!("{}:{}", channel.source_host, channel.source_port);
    Source { address: address.into(), identity: identity.map(Into::into) }
}

fn following(replication: &[Channel]) -> Following {
    if replication.is_empty() {
        return Following::Nobody;
    }
    if let Some(stopped) = replication.iter().find(|channel| !channel.is_running()) {
        let Channel { source_host, source_port, io, sql, .. } = stopped;
        return Following::Stopped(format!("from {source_host}:{source_port}: io {io}, sql {sql}").into());
    }
    // The furthest behind counts, and one that does not know counts as further than any.
    let lags: Option<Vec<Duration>> = replication.iter().map(|channel| channel.lag).collect();
    Following::Running(lags.and_then(|lags| lags.into_iter().max()))
}

fn of_postgres(answer: &PostgresAnswer) -> Seen {
    let PostgresAnswer { version, in_recovery, read_only, streaming, lag } = answer;
    let following = match (in_recovery, streaming) {
        (false, _) => Following::Nobody,
        (true, Some(false)) => Following::Stopped("the WAL receiver is not connected".into()),
        (true, Some(true) | None) => Following::Running(*lag),
    };
    let state = match (in_recovery, read_only) {
        (true, _) => "in recovery",
        (false, true) => "read-only by default_transaction_read_only",
        (false, false) => "writable",
    };
    let lag = lag.map_or_else(String::new, |lag| format!(", lag {lag:?}"));
    Seen {
        identity: "".into(),
        writable: !in_recovery && !read_only,
        sources: Vec::new(),
        following,
        gtids: None,
        told: format!("PostgreSQL {version}, {state}{lag}").into(),
    }
}

fn of_redis(answer: &RedisAnswer) -> Seen {
    let RedisAnswer { role, offset, history } = answer;
    let (writable, sources, following, told) = match role {
        RedisRole::Primary => (true, Vec::new(), Following::Nobody, "primary".to_owned()),
        RedisRole::Replica { source_host, source_port, connected, last_heard, read_only } => {
            let address: Box<str> = format!("{source_host}:{source_port}").into();
            let link = if *connected { "connected" } else { "not connected" };
            let told = format!("replica of {address}, {link}{}", if *read_only { "" } else { ", writable" });
            let following = if *connected {
                Following::Running(*last_heard)
            } else {
                Following::Stopped(format!("not connected to {address}").into())
            };
            (!read_only, vec![Source { address, identity: None }], following, told)
        }
    };
    let told = format!("{told}; at {offset} of {history}").into();
    Seen { identity: "".into(), writable, sources, following, gtids: None, told }
}
