//! The haechi binary: arguments in, exit code out.

use std::process::ExitCode;

use haechi::cli::{Command, DbCommand, VrrpCommand};
use haechi::guard::instance::Order;
use haechi::{app, demo, guard};
use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    match Command::from_arguments() {
        Command::Run { config, adopt } => guard::run(&config, adopt),
        Command::Check { config, defaults, takes_over } => match takes_over.map_or(Ok(()), guard::takes_over) {
            Ok(()) => app::check(&config, defaults),
            Err(why) => {
                eprintln!("error: {why}");
                ExitCode::FAILURE
            }
        },
        Command::Status { config } => guard::ask(&config, &Order::Status),
        Command::Reload { config } => guard::ask(&config, &Order::Reload),
        Command::Upgrade { config } => guard::upgrade(&config),
        Command::Drain { config } => guard::ask(&config, &Order::Drain),
        Command::Undrain { config } => guard::ask(&config, &Order::Undrain),
        Command::Vrrp { command: VrrpCommand::Release { config } } => guard::release(&config),
        Command::Db { command: DbCommand::Explain { upstream, json, config } } => {
            guard::explain(&config, upstream, json)
        }
        Command::Db { command: DbCommand::Confirm { upstream, server, accept_data_loss, config } } => {
            guard::confirm(&config, upstream, server, accept_data_loss)
        }
        Command::Demo { config } => demo::run(&config),
        Command::Worker { identity } => app::work(identity.as_ref()),
        Command::Schema => app::print_schema(),
    }
}
