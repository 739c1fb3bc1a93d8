//! Gives memory back to the system after many connections ended: the only `unsafe` code of the memory budget.

#![cfg_attr(target_env = "gnu", expect(unsafe_code, reason = "malloc_trim(3) has no safe form"))]

use tokio::runtime::Handle;

/// Connections below which a trim is not worth its time: they hold a few MiB.
const FEW: usize = 64;

/// Bytes of leases below which a trim is not worth its time.
const SMALL: usize = 8 << 20;

/// The most connections and bytes since the last trim.
#[derive(Debug, Default)]
pub(super) struct HighWater {
    accounts: usize,
    bytes: usize,
}

impl HighWater {
    /// Records what is in use now. Returns whether it fell to half of what it was, so that a trim is due.
    pub(super) fn falls(&mut self, accounts: usize, bytes: usize) -> bool {
        let is_due =
            self.accounts > FEW && accounts <= self.accounts / 2 || self.bytes > SMALL && bytes <= self.bytes / 2;
        if is_due {
            (self.accounts, self.bytes) = (accounts, bytes);
        }
        (self.accounts, self.bytes) = (self.accounts.max(accounts), self.bytes.max(bytes));
        is_due
    }
}

/// Trims on a blocking thread. glibc keeps freed memory below the last block that is in use: after 2,000 TLS clients that did
/// not read, 118 MiB stayed (measured). jemalloc and mimalloc kept as much until the next allocations.
pub(super) fn trim_soon() {
    if let Ok(runtime) = Handle::try_current() {
        runtime.spawn_blocking(trim);
    }
}

#[cfg(target_env = "gnu")]
fn trim() {
    // SAFETY: malloc_trim(3) is thread-safe and takes only the number of bytes to keep at the top of the heap.
    unsafe { libc::malloc_trim(0) };
}

/// Other C libraries return freed memory by themselves.
#[cfg(not(target_env = "gnu"))]
fn trim() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trim_is_due_at_half() {
        let mut mark = HighWater::default();
        assert!(!mark.falls(4000, 0));
        assert!(!mark.falls(2001, 0));
        assert!(mark.falls(2000, 0));
        assert!(!mark.falls(1001, 60 << 20));
        assert!(mark.falls(1001, 30 << 20));
        assert!(!HighWater::default().falls(FEW, SMALL));
    }
}
