//! What the service manager (systemd) is told: that the server is ready, loads its settings again or stops, how it is in
//! one line, and that it is alive. Where nobody listens (`NOTIFY_SOCKET` is not set), nothing is told.

use std::sync::Once;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::addresses::Addresses;
use crate::boot::Boot;
use crate::tftp::LivenessCheck;

/// How often the line of status is looked at.
const STATUS_EVERY: Duration = Duration::from_secs(5);

/// Settings and catalog are being loaded again, until this is dropped.
#[must_use = "the reload is over when this is dropped"]
pub struct Reloading(());

/// Begins a reload: the service manager waits for its end, and lets nobody depend on the service until then.
pub fn reloading() -> Reloading {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => warn!(%error, "the service manager is not told of the reload"),
    }
    Reloading(())
}

impl Drop for Reloading {
    fn drop(&mut self) {
        tell(&[NotifyState::Ready]);
    }
}

/// Says that the server stops: no request is taken any more.
pub fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("stopping; running transfers may end")]);
}

/// Says that the server is ready: its listeners are up and its cache is open.
pub(super) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// Keeps the service manager informed until `end`: of what stands in the way of serving, and, where it has a watchdog, that
/// the server is alive. That is said when the runtime turns and every TFTP worker has answered, and not otherwise.
pub(super) async fn keep(
    boot: Boot,
    addresses: Addresses,
    tftp: LivenessCheck,
    stop: CancellationToken,
    end: CancellationToken,
) {
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        return;
    }
    let watchdog = async {
        let Some(limit) = sd_notify::watchdog_enabled() else { return };
        // Half of it, as sd_watchdog_enabled(3) recommends.
        let mut every = tokio::time::interval(limit / 2);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            every.tick().await;
            // Workers end before the last transfer over HTTP does.
            stop.run_until_cancelled(tftp.passed()).await;
            tell(&[NotifyState::Watchdog]);
        }
    };
    let status = async {
        let mut every = tokio::time::interval(STATUS_EVERY);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told = String::new();
        loop {
            every.tick().await;
            let line = status(&addresses, &boot.problems());
            if line != told {
                tell(&[NotifyState::Status(&line)]);
                told = line;
            }
        }
    };
    let both = async { tokio::join!(watchdog, stop.run_until_cancelled(status)) };
    end.run_until_cancelled(both).await;
}

/// One line on how the server is.
fn status(addresses: &Addresses, troubles: &[String]) -> String {
    if !troubles.is_empty() {
        // A line break would begin another message.
        return format!("not ready: {}", troubles.join("; ")).replace(char::is_control, " ");
    }
    let listeners = addresses.by_protocol().into_iter().filter(|(_, addresses)| !addresses.is_empty());
    let listeners = listeners.map(|(protocol, addresses)| {
        let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
        format!("{protocol} on {}", addresses.join(", "))
    });
    format!("ready; {}", listeners.collect::<Vec<_>>().join("; "))
}

fn tell(what: &[NotifyState<'_>]) {
    static FAILED: Once = Once::new();
    if let Err(error) = sd_notify::notify(what) {
        FAILED.call_once(|| warn!(%error, "the service manager cannot be told how the server is (NOTIFY_SOCKET)"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_one_line() {
        let addresses = Addresses {
            http: vec!["[::]:80".parse().unwrap(), "[::]:8080".parse().unwrap()],
            tftp: vec!["[::]:69".parse().unwrap()],
            ..Addresses::default()
        };
        assert_eq!(status(&addresses, &[]), "ready; http on [::]:80, [::]:8080; tftp on [::]:69");
        let troubles = ["the release okd-4.20 is not here yet".to_owned(), "the disk\nis full".to_owned()];
        assert_eq!(status(&addresses, &troubles), "not ready: the release okd-4.20 is not here yet; the disk is full");
    }
}
