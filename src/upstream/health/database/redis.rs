//! The conversation with Redis, and what its answer means.

use std::time::Duration;

use super::{DatabaseFault, DatabaseQuestion, Line};
use crate::codec::redis::{Fault, parse_reply, write_command};
use crate::upstream::health::{Clock, Phase, Reason};
use crate::upstream::role::{Answer, RedisAnswer, RedisRole};

/// The user that every Redis has, and that one before 6 has no name for.
const DEFAULT: &str = "default";

pub(super) async fn ask(
    question: &DatabaseQuestion,
    mut line: Line,
    written: &str,
    clock: &Clock,
) -> Result<Option<Answer>, Reason> {
    // Redis has TLS from the first byte on.
    if let Some(tls) = &question.tls {
        line = line.begin_tls(tls, written, clock).await?;
    }
    let (user, password) = (&*question.user, &*question.password.0);
    let mut words: Vec<&[u8]> = vec![b"AUTH"];
    if user != DEFAULT {
        words.push(user.as_bytes());
    }
    words.push(password);
    let mut out = Vec::new();
    let logs_in = !password.is_empty() || user != DEFAULT;
    if logs_in {
        write_command(&mut out, &words);
    }
    write_command(&mut out, if question.observe { &[b"INFO", b"replication"] } else { &[b"PING"] });
    write_command(&mut out, &[b"QUIT"]);
    clock.within(Phase::Response, line.send(&out)).await?.map_err(Reason::Lost)?;
    let mut input = Input { bytes: Vec::new(), read: 0, most: question.max_answer };
    if logs_in {
        receive(&mut line, &mut input, clock, Phase::Login).await?.map_err(|fault| refused(fault, user))?;
    }
    let said = receive(&mut line, &mut input, clock, Phase::Response).await?.map_err(|fault| refused(fault, user))?;
    clock.within(Phase::Response, line.close()).await?;
    if question.observe { Ok(Some(Answer::Redis(read(&said)?))) } else { Ok(None) }
}

/// What the server sent.
struct Input {
    bytes: Vec<u8>,
    /// How much of it was understood.
    read: usize,
    /// How much there may be in all.
    most: usize,
}

/// The next answer.
async fn receive(
    line: &mut Line,
    input: &mut Input,
    clock: &Clock,
    phase: Phase,
) -> Result<Result<String, Fault>, Reason> {
    let mut space = [0; 4096];
    loop {
        if input.bytes.len() > input.most {
            return Err(DatabaseFault::Redis(Fault::TooMuch(input.most)).into());
        }
        if let Some(reply) = parse_reply(&input.bytes[input.read..], input.most).map_err(DatabaseFault::Redis)? {
            input.read += reply.length;
            return Ok(reply.said);
        }
        let read = clock.within(phase, line.receive(&mut space)).await?.map_err(Reason::Lost)?;
        input.bytes.extend_from_slice(&space[..read]);
    }
}

fn refused(fault: Fault, user: &str) -> DatabaseFault {
    match &fault {
        Fault::Server(words) if words.starts_with("NOPERM") => {
            DatabaseFault::Grant(format!("ACL SETUSER {user} +info +ping"))
        }
        _ => fault.into(),
    }
}

/// The lines of `INFO replication`.
fn read(text: &str) -> Result<RedisAnswer, DatabaseFault> {
    let value = |name: &str| {
        text.lines().find_map(|line| line.trim_end().split_once(':').filter(|(key, _)| *key == name)).map(|(_, v)| v)
    };
    let number = |name: &'static str| value(name).and_then(|number| number.parse::<u64>().ok());
    let (role, offset) = match value("role") {
        Some("master") => (RedisRole::Primary, number("master_repl_offset")),
        Some("slave") => {
            let role = RedisRole::Replica {
                source_host: value("master_host").unwrap_or_default().to_owned(),
                source_port: value("master_port").and_then(|port| port.parse().ok()).unwrap_or(0),
                connected: value("master_link_status") == Some("up"),
                // -1 while it is not connected.
                last_heard: number("master_last_io_seconds_ago").map(Duration::from_secs),
                read_only: value("slave_read_only") == Some("1"),
            };
            (role, number("slave_repl_offset"))
        }
        _ => return Err(DatabaseFault::Lacks("role")),
    };
    Ok(RedisAnswer {
        role,
        offset: offset.unwrap_or(0),
        history: value("master_replid").unwrap_or_default().to_owned(),
    })
}
