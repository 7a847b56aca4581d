//! The conversation with PostgreSQL, and what its answer means.

use std::time::Duration;

use super::{DatabaseFault, DatabaseQuestion, Line};
use crate::codec::postgres::{Conversation, Fault, Login, Output};
use crate::upstream::health::{Clock, Phase, Reason};
use crate::upstream::role::{Answer, PostgresAnswer};

/// No grant is needed; who may not see `status` of the receiver sees NULL there.
const LOOK: &str = "SELECT current_setting('server_version'), pg_is_in_recovery(), \
     current_setting('default_transaction_read_only'), \
     CASE WHEN pg_is_in_recovery() THEN \
       COALESCE((SELECT COALESCE(status, 'unknown') FROM pg_stat_wal_receiver), 'none') END, \
     CASE WHEN NOT pg_is_in_recovery() THEN NULL \
       WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0 \
       ELSE round(extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) * 1000) END";

pub(super) async fn ask(
    question: &DatabaseQuestion,
    database: &str,
    mut line: Line,
    written: &str,
    clock: &Clock,
) -> Result<Option<Answer>, Reason> {
    let login = Login {
        user: question.user.to_string(),
        password: question.password.0.to_vec(),
        database: database.to_owned(),
        tls: question.tls.is_some(),
        query: if question.observe { LOOK } else { "SELECT 1" }.to_owned(),
    };
    let mut talk = Conversation::new(login, question.max_answer);
    let mut space = [0; 4096];
    loop {
        let phase = if talk.is_logged_in() { Phase::Response } else { Phase::Login };
        while let Some(output) = talk.poll_output() {
            match output {
                Output::Send(bytes) => clock.within(phase, line.send(&bytes)).await?.map_err(Reason::Lost)?,
                Output::BeginTls => {
                    if let Some(tls) = &question.tls {
                        line = line.begin_tls(tls, written, clock).await?;
                        talk.tls_began();
                    }
                }
                Output::Answered(row) => {
                    clock.within(phase, line.close()).await?;
                    return if question.observe {
                        read(&row).map(|seen| Some(Answer::Postgres(seen))).map_err(Reason::Database)
                    } else {
                        Ok(None)
                    };
                }
            }
        }
        // The answer to the question for TLS is one byte, and nothing behind it may be taken with it.
        let read = clock.within(phase, line.receive(&mut space)).await?.map_err(Reason::Lost)?;
        talk.handle(&space[..read]).map_err(|fault| Reason::Database(remedy(fault, &question.user)))?;
    }
}

fn remedy(fault: Fault, user: &str) -> DatabaseFault {
    match &fault {
        Fault::Server { code, .. } => match code.as_str() {
            "28P01" => DatabaseFault::PostgresLogin(fault, format!("the right password for \"{user}\"")),
            "28000" => DatabaseFault::PostgresLogin(
                fault,
                format!("a role \"{user}\" that may log in, and a line for it in pg_hba.conf"),
            ),
            "42501" => DatabaseFault::Grant("GRANT CONNECT ON DATABASE, and EXECUTE on what was revoked".to_owned()),
            _ => fault.into(),
        },
        _ => fault.into(),
    }
}

fn read(row: &[Option<String>]) -> Result<PostgresAnswer, DatabaseFault> {
    let [Some(version), Some(in_recovery), Some(read_only), receiver, lag] = row else {
        return Err(DatabaseFault::Lacks("a column"));
    };
    Ok(PostgresAnswer {
        version: version.clone(),
        in_recovery: in_recovery == "t",
        read_only: read_only == "on",
        streaming: match receiver.as_deref() {
            Some("streaming") => Some(true),
            None | Some("unknown") => None,
            Some(_) => Some(false),
        },
        lag: lag
            .as_deref()
            .and_then(|lag| lag.parse::<f64>().ok())
            .filter(|lag| lag.is_finite())
            // Clocks of two hosts differ: what was written in the future is not late.
            .and_then(|lag| Duration::try_from_secs_f64(lag.max(0.0) / 1000.0).ok()),
    })
}
