//! The command line: what is asked of this process.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::app::Identity;

/// Where the config is if nobody says otherwise.
pub const DEFAULT_CONFIG: &str = "/etc/haechi/haechi.toml";

/// What `haechi demo` serves, from the root of the source tree.
pub const DEMO_CONFIG: &str = "config/quickstart.toml";

/// One binary and one file in place of keepalived, HAProxy and nginx.
///
/// The config is TOML and is taken anew whenever it is edited. SIGHUP takes it anew too, SIGTERM
/// drains and ends (a second one ends at once), SIGUSR1 opens the log files anew, SIGUSR2 upgrades.
#[derive(Debug, Parser)]
#[command(name = "haechi", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Serve.
    Run {
        /// The config file.
        #[arg(long, short, value_name = "FILE", default_value = DEFAULT_CONFIG)]
        config: PathBuf,
        /// Another program has run in this process until now.
        #[arg(long, hide = true)]
        adopt: bool,
    },
    /// Check a config: exit status 0, or 1 with every fault at once.
    Check {
        /// The config file.
        #[arg(long, short, value_name = "FILE", default_value = DEFAULT_CONFIG)]
        config: PathBuf,
        /// Print the whole config with every default filled in.
        #[arg(long)]
        defaults: bool,
        /// Check also whether what runs can be followed, by the form of what it leaves.
        #[arg(long, hide = true, value_name = "FORM")]
        takes_over: Option<u32>,
    },
    /// Print how the haechi that serves this config is, as JSON.
    Status {
        /// The config file that it was started with.
        #[arg(long, short, value_name = "FILE", default_value = DEFAULT_CONFIG)]
        config: PathBuf,
    },
    /// Have the config taken anew by the haechi that serves it: exit status 1 with its faults where
    /// it is refused.
    Reload {
        /// The config file that it was started with.
        #[arg(long, short, value_name = "FILE", default_value = DEFAULT_CONFIG)]
        config: PathBuf,
    },
    /// Have the haechi that serves this config become the binary that lies where it was started
    /// from: exit status 1 where that one does not take the config. No connection is refused or cut.
    Upgrade {
        /// The config file that it was started with.
        #[arg(long, short, value_name = "FILE", default_value = DEFAULT_CONFIG)]
        config: PathBuf,
    },
    /// Give the virtual addresses of this host to the other one, and take no part until `undrain`.
    Drain {
        /// The config file that it was started with.
        #[arg(long, short, value_name = "FILE", default_value = DEFAULT_CONFIG)]
        config: PathBuf,
    },
    /// Take part again, as a backup, after a `drain`.
    Undrain {
        /// The config file that it was started with.
        #[arg(long, short, value_name = "FILE", default_value = DEFAULT_CONFIG)]
        config: PathBuf,
    },
    /// What can be done about virtual addresses without a haechi that serves.
    Vrrp {
        /// What.
        #[command(subcommand)]
        command: VrrpCommand,
    },
    /// Pools of database servers: who is the primary and why, and the operator's word on it.
    Db {
        /// What.
        #[command(subcommand)]
        command: DbCommand,
    },
    /// Serve an example with three small origins, to see it work.
    Demo {
        /// The config file; its upstreams name the origins on 127.0.0.1:8091 to 8093.
        #[arg(long, short, value_name = "FILE", default_value = DEMO_CONFIG)]
        config: PathBuf,
    },
    /// Print the JSON Schema of the config, for editors.
    Schema,
    /// Started by `run`: serves by what it is handed.
    #[command(hide = true)]
    Worker {
        /// The numbers of its user and groups.
        #[arg(long)]
        identity: Option<Identity>,
    },
}

/// What is to be done about virtual addresses.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum VrrpCommand {
    /// Take the virtual addresses of a config off this host's interfaces, by hand.
    Release {
        /// The config file.
        #[arg(long, short, value_name = "FILE", default_value = DEFAULT_CONFIG)]
        config: PathBuf,
    },
}

/// What is to be done about pools of database servers.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum DbCommand {
    /// Print who gets writes and reads, why, and what was decided lately with what it was decided on.
    Explain {
        /// One upstream; left out: all whose check has a role.
        upstream: Option<String>,
        /// As JSON.
        #[arg(long)]
        json: bool,
        /// The config file that haechi was started with.
        #[arg(long, short, value_name = "FILE", default_value = DEFAULT_CONFIG)]
        config: PathBuf,
    },
    /// Say that this server is the primary: where two are writable, or what was known of the last one
    /// stands against it. Exit status 1 where it cannot be.
    Confirm {
        /// The upstream.
        upstream: String,
        /// The server, as `explain` names it. It must answer and be writable.
        server: String,
        /// Give up the transactions of the last primary that it lacks; they are printed.
        #[arg(long)]
        accept_data_loss: bool,
        /// The config file that haechi was started with.
        #[arg(long, short, value_name = "FILE", default_value = DEFAULT_CONFIG)]
        config: PathBuf,
    },
}

impl Command {
    /// Reads the arguments of this process. Where they make no sense, or ask for help or the
    /// version, it says so and ends the process.
    #[must_use]
    pub fn from_arguments() -> Self {
        Arguments::parse().command
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use clap::error::ErrorKind;

    use super::*;

    fn command(arguments: &[&str]) -> Result<Command, ErrorKind> {
        let all = ["haechi"].iter().chain(arguments);
        Arguments::try_parse_from(all).map(|arguments| arguments.command).map_err(|fault| fault.kind())
    }

    #[test]
    fn the_definition_holds_together() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn run_has_a_config_where_a_service_expects_it() {
        assert_eq!(command(&["run"]), Ok(Command::Run { config: "/etc/haechi/haechi.toml".into(), adopt: false }));
        assert_eq!(command(&["run", "--config", "a.toml"]), Ok(Command::Run { config: "a.toml".into(), adopt: false }));
    }

    #[test]
    fn check_can_print_the_defaults() {
        let expected = Command::Check { config: "a.toml".into(), defaults: true, takes_over: None };
        assert_eq!(command(&["check", "--defaults", "--config=a.toml"]), Ok(expected));
    }

    #[test]
    fn demo_and_schema_need_nothing() {
        assert_eq!(command(&["demo"]), Ok(Command::Demo { config: DEMO_CONFIG.into() }));
        assert_eq!(command(&["schema"]), Ok(Command::Schema));
    }

    #[test]
    fn the_version_is_told_and_nonsense_is_refused() {
        assert_eq!(command(&["--version"]), Err(ErrorKind::DisplayVersion));
        assert_eq!(command(&["serve"]), Err(ErrorKind::InvalidSubcommand));
        assert_eq!(command(&["run", "a.toml"]), Err(ErrorKind::UnknownArgument));
    }
}
