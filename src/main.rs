//! The haechi binary: arguments in, exit code out.

use std::process::ExitCode;

use haechi::cli::Command;
use haechi::guard::instance::Order;
use haechi::{app, demo, guard};

fn main() -> ExitCode {
    match Command::from_arguments() {
        Command::Run { config } => guard::run(&config),
        Command::Check { config, defaults } => app::check(&config, defaults),
        Command::Status { config } => guard::ask(&config, Order::Status),
        Command::Reload { config } => guard::ask(&config, Order::Reload),
        Command::Demo { config } => demo::run(&config),
        Command::Worker { identity } => app::work(identity.as_ref()),
        Command::Schema => app::print_schema(),
    }
}
