//! Pinning by operators: the depot's methods for [`Pins`](super::pins::Pins).

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::facade::Depot;
use super::pins::{Pin, PinError};
use crate::task::blocking;

/// How often to check that the pin file exists: often enough to notice that somebody emptied the directory before the
/// server restarts. One check costs one lookup in the file system.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);

impl Depot {
    /// Operators' pins, by name.
    pub fn pins(&self) -> Vec<Pin> {
        self.shared.pins.list(&self.catalog())
    }

    /// Why operators' pins cannot be changed, as one sentence; `None` if they can.
    pub fn pin_problem(&self) -> Option<String> {
        self.shared.pins.problem()
    }

    /// Pins the asset with this name, cached or not, until [`Depot::unpin`]. The pin is on disk when this returns `Ok`.
    /// Returns whether the pin is new.
    pub async fn pin(&self, name: &str) -> Result<bool, PinError> {
        self.change_pin(name.to_owned(), true).await
    }

    /// Removes an operator's pin; the catalog need not have the name. The change is on disk when this returns `Ok`.
    /// Returns whether there was a pin.
    pub async fn unpin(&self, name: &str) -> Result<bool, PinError> {
        self.change_pin(name.to_owned(), false).await
    }

    /// Continues to its end even if the returned future is dropped.
    async fn change_pin(&self, name: String, pin: bool) -> Result<bool, PinError> {
        let depot = self.clone();
        blocking(move || depot.shared.pins.change(&name, pin, &|| depot.catalog())).await
    }

    /// Maintains the pin file until `stop` is cancelled: if the file is deleted together with the cache directory, writes
    /// it again as soon as the cache has created a new directory. All pins are in the file when this returns.
    pub async fn maintain_pins(&self, stop: CancellationToken) {
        self.maintain_pins_every(CHECK_INTERVAL, stop).await;
    }

    pub(super) async fn maintain_pins_every(&self, interval: Duration, stop: CancellationToken) {
        let mut stopping = false;
        while !stopping {
            stopping = stop.run_until_cancelled(tokio::time::sleep(interval)).await.is_none();
            let depot = self.clone();
            blocking(move || depot.save_pins()).await;
        }
    }
}

#[cfg(test)]
mod tests;
