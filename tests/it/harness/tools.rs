//! Programs of others: they speak the protocols as the world does.

use std::ffi::OsStr;
use std::process::{Command, Stdio};

/// What a program said before it ended.
#[derive(Debug)]
pub struct Said {
    /// Exit status, -1 for a signal.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

/// Runs a program to its end, at most for a minute, with nothing to read.
pub fn run<A: AsRef<OsStr>>(program: &str, arguments: impl IntoIterator<Item = A>) -> Said {
    let mut command = Command::new("timeout");
    command.arg("60").arg(program).args(arguments).stdin(Stdio::null());
    let output = command.output().unwrap_or_else(|error| panic!("{program}: {error}"));
    Said {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// curl, quiet but for errors; a failure is a panic with what it said.
pub fn curl<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> String {
    let quiet = ["-sS", "--max-time", "30"].iter().map(|flag| OsStr::new(flag).to_owned());
    let said = run("curl", quiet.chain(arguments.into_iter().map(|argument| argument.as_ref().to_owned())));
    assert_eq!(said.code, 0, "curl: {}{}", said.err, said.out);
    said.out
}
