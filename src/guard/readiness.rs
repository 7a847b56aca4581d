//! Tells the service manager how far haechi is (sd_notify(3)).
//!
//! Without `NOTIFY_SOCKET` in the environment every call does nothing. Nothing here ever fails:
//! a service manager that does not listen must not stop the service.

use std::io;
use std::time::Duration;

use sd_notify::NotifyState;

/// The config is served. `status` is one line for `systemctl status`.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// A reload begins; it ends with [`ready`], whether the new config was taken or not.
pub fn reloading() {
    // With Type=notify-reload systemd wants the time too.
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(fault) => unheard(&fault),
    }
}

/// The drain begins.
pub fn stopping(status: &str) {
    tell(&[NotifyState::Stopping, NotifyState::Status(status)]);
}

/// Says something new for `systemctl status`.
pub fn status(status: &str) {
    tell(&[NotifyState::Status(status)]);
}

/// Answers the watchdog for ever, twice in the time it gives. Belongs on the thread whose life is
/// to be proven. Pending where there is no watchdog.
pub async fn feed_watchdog() {
    let Some(patience) = sd_notify::watchdog_enabled().filter(|patience| *patience > Duration::ZERO) else {
        return std::future::pending().await;
    };
    let mut ticks = tokio::time::interval(patience / 2);
    loop {
        ticks.tick().await;
        tell(&[NotifyState::Watchdog]);
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(fault) = sd_notify::notify(state) {
        unheard(&fault);
    }
}

fn unheard(fault: &io::Error) {
    tracing::debug!(%fault, "the service manager was not told");
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;
    use std::process::{Command, Stdio};

    use super::*;

    /// Runs `spoken_by_a_child` in a process of its own, because the environment is for all threads.
    #[test]
    fn each_word_reaches_the_service_manager() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "guard::readiness::tests::spoken_by_a_child", "--ignored"])
            .env("NOTIFY_SOCKET", &path)
            .env("WATCHDOG_USEC", "20000")
            .env_remove("WATCHDOG_PID")
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let heard = || {
            let mut buffer = [0; 256];
            let n = socket.recv(&mut buffer).unwrap();
            String::from_utf8_lossy(&buffer[..n]).trim_end().to_owned()
        };
        assert_eq!(heard(), "READY=1\nSTATUS=serving");
        let reloading = heard();
        let (first, second) = reloading.split_once('\n').unwrap();
        assert_eq!(first, "RELOADING=1");
        second.strip_prefix("MONOTONIC_USEC=").unwrap().parse::<u64>().unwrap();
        assert_eq!(heard(), "STATUS=3 servers down");
        assert_eq!(heard(), "WATCHDOG=1");
        assert_eq!(heard(), "WATCHDOG=1");
        while heard() != "STOPPING=1\nSTATUS=draining" {}
        assert!(child.wait().unwrap().success());
    }

    #[tokio::test]
    #[ignore = "started by each_word_reaches_the_service_manager"]
    async fn spoken_by_a_child() {
        ready("serving");
        reloading();
        status("3 servers down");
        let _ = tokio::time::timeout(Duration::from_millis(100), feed_watchdog()).await;
        stopping("draining");
    }
}
