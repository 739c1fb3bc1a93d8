//! Notifies the service manager (systemd): readiness, reload, stop, a status line and the watchdog. Does nothing if
//! `NOTIFY_SOCKET` is not set.

use std::sync::Once;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::addresses::Addresses;
use crate::boot::Boot;
use crate::environment;
use crate::tftp::LivenessCheck;

/// How often the status line is updated.
const STATUS_EVERY: Duration = Duration::from_secs(5);

/// A reload in progress, until it is dropped.
#[must_use = "the reload is over when this is dropped"]
pub struct Reloading(());

/// Notifies the begin of a reload: the service manager waits for its end.
pub fn reloading() -> Reloading {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => warn!(%error, "service manager not notified of reload"),
    }
    Reloading(())
}

impl Drop for Reloading {
    fn drop(&mut self) {
        tell(&[NotifyState::Ready]);
    }
}

/// Notifies the stop: no further requests are accepted.
pub fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("stopping; running transfers may end")]);
}

/// Notifies readiness: the listeners are bound and the cache is open.
pub(super) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// Sends the status line and, if the service has a watchdog, its notifications until `end`. The watchdog is notified
/// only when the runtime makes progress and every TFTP worker has answered.
pub(super) async fn keep(
    boot: Boot,
    addresses: Addresses,
    tftp: LivenessCheck,
    stop: CancellationToken,
    end: CancellationToken,
) {
    if environment::variable("NOTIFY_SOCKET").is_none() {
        return;
    }
    let watchdog = async {
        let Some(limit) = sd_notify::watchdog_enabled() else { return };
        // Half of the interval, as sd_watchdog_enabled(3) recommends.
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

/// The status line.
fn status(addresses: &Addresses, problems: &[String]) -> String {
    if !problems.is_empty() {
        // A line break would begin another notification.
        return format!("not ready: {}", problems.join("; ")).replace(char::is_control, " ");
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
        FAILED.call_once(|| warn!(%error, "service manager notification failed"));
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
        let problems = ["the release okd-4.20 is not here yet".to_owned(), "the disk\nis full".to_owned()];
        assert_eq!(status(&addresses, &problems), "not ready: the release okd-4.20 is not here yet; the disk is full");
    }
}
