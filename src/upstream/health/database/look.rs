//! What MySQL and MariaDB are asked, and what their answers mean. No I/O.

#[cfg(test)]
mod tests;

use std::time::Duration;

use super::DatabaseFault;
use crate::codec::gtid::{Dialect, GtidSet};
use crate::codec::mysql::{Fault, Greeting, ResultSet, ServerError};
use crate::upstream::role::{Answer, Channel, Identity, Observation, Thread, Writable};

/// A question in the words of one server's version.
///
/// `SELECT` and `SHOW` go out as one query of two statements: variables cannot be shown, and the
/// state of replication cannot be selected. The flags are read before the transaction ids, so that
/// ids beside `read_only` are final.
pub(super) struct Look {
    greeting: Greeting,
    observe: bool,
}

impl Look {
    pub(super) fn new(greeting: Greeting, observe: bool) -> Self {
        Self { greeting, observe }
    }

    pub(super) fn query(&self) -> String {
        if !self.observe {
            return "SELECT 1".to_owned();
        }
        let variables = match self.greeting.dialect {
            Dialect::MySql => {
                "@@GLOBAL.super_read_only AS super_read_only, @@GLOBAL.offline_mode AS offline_mode, \
                 @@GLOBAL.server_uuid AS server_uuid, @@GLOBAL.gtid_executed AS gtid_executed"
            }
            Dialect::MariaDb => {
                "@@GLOBAL.gtid_domain_id AS gtid_domain_id, @@GLOBAL.gtid_binlog_state AS gtid_binlog_state, \
                 @@GLOBAL.gtid_slave_pos AS gtid_slave_pos"
            }
        };
        format!(
            "SELECT CURRENT_USER() AS account, @@GLOBAL.server_id AS server_id, @@GLOBAL.read_only AS read_only, \
             {variables}; {}",
            self.show()
        )
    }

    fn show(&self) -> &'static str {
        match self.greeting.dialect {
            Dialect::MariaDb => "SHOW ALL SLAVES STATUS",
            // The old word is gone since 8.4.
            Dialect::MySql if self.greeting.numbers() >= (8, 0, 22) => "SHOW REPLICA STATUS",
            Dialect::MySql => "SHOW SLAVE STATUS",
        }
    }

    /// What `SHOW` needs.
    fn privilege(&self) -> &'static str {
        match self.greeting.dialect {
            Dialect::MariaDb if self.greeting.numbers() >= (10, 5, 9) => "REPLICA MONITOR",
            Dialect::MariaDb if self.greeting.numbers() >= (10, 5, 2) => "REPLICATION SLAVE ADMIN",
            Dialect::MariaDb | Dialect::MySql => "REPLICATION CLIENT",
        }
    }

    pub(super) fn read(&self, sets: &[ResultSet], error: Option<ServerError>) -> Result<Option<Answer>, DatabaseFault> {
        let variables = sets.first();
        if let Some(error) = error {
            return Err(match variables {
                Some(variables) if error.code == ACCESS_DENIED => DatabaseFault::Grant(self.grant(variables)),
                _ => Fault::Server(error).into(),
            });
        }
        if !self.observe {
            return Ok(None);
        }
        let (Some(variables), Some(status)) = (variables, sets.get(1)) else {
            return Err(DatabaseFault::Lacks("a result"));
        };
        let flag = |name: &'static str| truth(variables, name);
        let dialect = self.greeting.dialect;
        let observation = Observation {
            identity: Identity {
                dialect,
                version: self.greeting.version.clone(),
                server_id: number(variables, "server_id").ok_or(DatabaseFault::Lacks("server_id"))?,
                uuid: variables.value(0, "server_uuid").and_then(|uuid| uuid.parse().ok()),
                domain: number(variables, "gtid_domain_id"),
            },
            writable: match dialect {
                Dialect::MariaDb => Writable { read_only: flag("read_only")?, ..Writable::default() },
                Dialect::MySql => Writable {
                    read_only: flag("read_only")?,
                    super_read_only: flag("super_read_only")?,
                    offline_mode: flag("offline_mode")?,
                },
            },
            replication: (0..status.rows.len()).map(|row| channel(status, row)).collect(),
            gtids: gtids(dialect, variables)?,
        };
        Ok(Some(Answer::MySql(Box::new(observation))))
    }

    /// The line that lets the account see the state of replication.
    fn grant(&self, variables: &ResultSet) -> String {
        let account = variables.value(0, "account").unwrap_or_default();
        let (user, host) = account.rsplit_once('@').unwrap_or((account, "%"));
        format!("GRANT {} ON *.* TO '{user}'@'{host}'", self.privilege())
    }
}

/// `ER_SPECIFIC_ACCESS_DENIED_ERROR`
const ACCESS_DENIED: u16 = 1227;

/// What a refused login needs, for those refusals that have a remedy.
pub(super) fn login_fault(fault: Fault, user: &str, in_login: bool) -> DatabaseFault {
    let remedy = match &fault {
        Fault::Server(error) if in_login => match error.code {
            1045 => format!("the right password for '{user}', or an account '{user}' for this host"),
            1129 => "FLUSH HOSTS on the server, which blocked this host".to_owned(),
            1130 => format!("an account '{user}' that may come from this host"),
            1040 => "a free connection; the server has max_connections".to_owned(),
            1820 | 1862 => "a password that has not expired".to_owned(),
            3118 | 4151 => "ACCOUNT UNLOCK".to_owned(),
            3159 | 3032 => "TLS, or a server that is not in offline_mode".to_owned(),
            _ => return fault.into(),
        },
        _ => return fault.into(),
    };
    match fault {
        Fault::Server(error) => DatabaseFault::Login(error, remedy),
        fault => fault.into(),
    }
}

fn number(set: &ResultSet, column: &str) -> Option<u32> {
    set.value(0, column)?.parse().ok()
}

/// A switch. MariaDB 12 has more words for `read_only` than on; whatever is not off is on.
fn truth(set: &ResultSet, column: &'static str) -> Result<bool, DatabaseFault> {
    let value = set.value(0, column).ok_or(DatabaseFault::Lacks(column))?;
    Ok(!matches!(value, "0" | "OFF"))
}

fn gtids(dialect: Dialect, variables: &ResultSet) -> Result<GtidSet, DatabaseFault> {
    let mut gtids = GtidSet::empty(dialect);
    let columns: &[&'static str] = match dialect {
        Dialect::MySql => &["gtid_executed"],
        Dialect::MariaDb => &["gtid_binlog_state", "gtid_slave_pos"],
    };
    for column in columns {
        let text = variables.value(0, column).ok_or(DatabaseFault::Lacks(column))?;
        // One dialect on both sides.
        let _united = gtids.unite(&GtidSet::parse(dialect, text)?);
    }
    Ok(gtids)
}

/// A row of the state of replication, in the words of either age: `Source_Host` was `Master_Host`.
fn channel(status: &ResultSet, row: usize) -> Channel {
    let either = |new: &str, old: &str| status.value(row, new).or_else(|| status.value(row, old));
    let text = |new, old| either(new, old).unwrap_or_default().to_owned();
    let thread = |new, old| match either(new, old) {
        Some("Yes") => Thread::Running,
        Some("Connecting" | "Preparing") => Thread::Connecting,
        _ => Thread::Stopped,
    };
    Channel {
        name: text("Channel_Name", "Connection_name"),
        source_host: text("Source_Host", "Master_Host"),
        source_port: either("Source_Port", "Master_Port").and_then(|port| port.parse().ok()).unwrap_or(0),
        source_server_id: either("Source_Server_Id", "Master_Server_Id")
            .and_then(|id| id.parse().ok())
            .filter(|id| *id != 0),
        source_uuid: either("Source_UUID", "Master_UUID").and_then(|uuid| uuid.parse().ok()),
        io: thread("Replica_IO_Running", "Slave_IO_Running"),
        sql: thread("Replica_SQL_Running", "Slave_SQL_Running"),
        lag: either("Seconds_Behind_Source", "Seconds_Behind_Master")
            .and_then(|seconds| seconds.parse().ok())
            .map(Duration::from_secs),
        io_error: text("Last_IO_Error", "Last_IO_Error"),
        sql_error: text("Last_SQL_Error", "Last_SQL_Error"),
    }
}
