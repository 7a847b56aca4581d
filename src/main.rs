//! The haechi binary: arguments in, exit code out.

use std::process::ExitCode;

use haechi::app::instance::Order;
use haechi::cli::Command;
use haechi::{app, demo};

fn main() -> ExitCode {
    match Command::from_arguments() {
        Command::Run { config } => app::run(&config),
        Command::Check { config, defaults } => app::check(&config, defaults),
        Command::Status { config } => app::ask(&config, Order::Status),
        Command::Reload { config } => app::ask(&config, Order::Reload),
        Command::Demo { config } => demo::run(&config),
        Command::Schema => app::print_schema(),
    }
}
