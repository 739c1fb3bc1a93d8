//! The memory budget: bytes of response bodies that are copied into the memory of this process, over all connections.
//!
//! A reader takes a [`Lease`] before it reads, and the lease lives as long as the bytes. Each connection has an [`Account`].
//! The share of an account depends on how much is free, as in switches with dynamic thresholds (Choudhury and Hahne, 1998): the
//! more readers do not read, the smaller the pieces are, and some memory is always left for the next client. It knows no
//! protocols.

mod limit;
mod trim;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_core::future::BoxFuture;
use metrics::{Gauge, gauge};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tracing::warn;

use self::trim::{HighWater, trim_soon};

pub use limit::default_total;

/// The most bytes of one lease. Four TLS records: larger pieces leave the processor's caches before they are encrypted.
pub const PIECE: usize = 64 << 10;

/// The piece that an account without any lease always gets, in bytes: one page. A connection that reads cannot starve, and
/// the budget is exceeded by at most this for each connection.
pub const SMALL_PIECE: usize = 4 << 10;

/// One account may hold this part of what is free for its address.
const ACCOUNT_SHARE: usize = 16;

/// The shortest time between two log lines about waiting streams.
const LOG_INTERVAL: Duration = Duration::from_mins(1);

/// The budget, shared by all listeners.
pub struct MemoryBudget {
    total: usize,
    usage: Mutex<Usage>,
    used: Gauge,
    waiting: Gauge,
    last_logged: Mutex<Option<Instant>>,
}

#[derive(Default)]
struct Usage {
    bytes: usize,
    accounts: usize,
    addresses: HashMap<IpAddr, AddressUsage>,
    high_water: HighWater,
}

impl Usage {
    /// Returns memory to the system if much less is in use than before.
    fn trim_if_less(&mut self) {
        if self.high_water.falls(self.accounts, self.bytes) {
            trim_soon();
        }
    }
}

/// The leases of all accounts of one address.
#[derive(Default)]
struct AddressUsage {
    bytes: usize,
    accounts: usize,
}

/// The leases of one connection.
pub struct Account {
    budget: Arc<MemoryBudget>,
    address: IpAddr,
    held: AtomicUsize,
    released: Notify,
}

/// The account of a connection, as one of its streams sees it.
#[derive(Clone)]
pub struct StreamMemory {
    account: Arc<Account>,
    window: Arc<AtomicUsize>,
}

/// Some bytes of the budget. The drop returns them.
pub struct Lease {
    account: Arc<Account>,
    bytes: usize,
}

/// A wait for a lease, for code that polls.
#[derive(Default)]
pub struct PendingLease(Option<BoxFuture<'static, Lease>>);

impl MemoryBudget {
    /// A budget of `total` bytes.
    pub fn new(total: usize) -> Arc<Self> {
        Self::with_gauges(total, Gauge::noop(), Gauge::noop())
    }

    /// A budget of `total` bytes that the metrics show.
    #[expect(clippy::cast_precision_loss, reason = "a gauge needs no exact bytes")]
    pub fn observed(total: usize) -> Arc<Self> {
        gauge!("bootdepot_http_memory_limit_bytes").set(total as f64);
        Self::with_gauges(total, gauge!("bootdepot_http_memory_bytes"), gauge!("bootdepot_http_memory_waiting"))
    }

    fn with_gauges(total: usize, used: Gauge, waiting: Gauge) -> Arc<Self> {
        Arc::new(Self { total, usage: Mutex::default(), used, waiting, last_logged: Mutex::default() })
    }

    /// The account of a new connection from `peer`. Addresses of one IPv6 network (64 bits) count as one.
    pub fn account(self: &Arc<Self>, peer: IpAddr) -> Arc<Account> {
        let address = match peer.to_canonical() {
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
            address @ IpAddr::V4(_) => address,
        };
        let mut usage = self.usage.lock();
        usage.accounts += 1;
        usage.addresses.entry(address).or_default().accounts += 1;
        drop(usage);
        Arc::new(Account { budget: Arc::clone(self), address, held: AtomicUsize::new(0), released: Notify::new() })
    }

    /// The bytes that are leased now.
    pub fn used(&self) -> usize {
        self.usage.lock().bytes
    }

    /// An equal share of the budget for each account there is, in bytes.
    pub fn equal_share(&self) -> usize {
        self.total / self.usage.lock().accounts.max(1)
    }

    fn log_wait(&self, address: IpAddr) {
        let now = Instant::now();
        let mut last = self.last_logged.lock();
        if last.is_none_or(|at| now.duration_since(at) >= LOG_INTERVAL) {
            *last = Some(now);
            warn!(client = %address, limit = self.total, used = self.used(), "stream waits for memory");
        }
    }
}

impl Account {
    /// The bytes that the connection holds.
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// The view of one stream of the connection, whose peer accepts up to `window` bytes now.
    pub fn stream(self: &Arc<Self>, window: usize) -> StreamMemory {
        StreamMemory { account: Arc::clone(self), window: Arc::new(AtomicUsize::new(window)) }
    }

    /// The most bytes that the connection may hold now, except for the small piece that it always gets.
    pub fn allowance(&self) -> usize {
        self.allowed(&self.budget.usage.lock())
    }

    fn allowed(&self, usage: &Usage) -> usize {
        let own = usage.addresses.get(&self.address).map_or(0, |address| address.bytes);
        let free = self.budget.total.saturating_sub(usage.bytes);
        free.saturating_sub(own) / ACCOUNT_SHARE
    }

    /// Leases between one byte and `want`; `None` if the connection has to return some first.
    fn try_lease(self: &Arc<Self>, want: usize) -> Option<Lease> {
        let mut usage = self.budget.usage.lock();
        let held = self.held();
        let allowed = self.allowed(&usage).saturating_sub(held);
        let small = want.min(SMALL_PIECE);
        let bytes = match want.min(allowed) {
            enough if enough >= small => enough,
            _ if held == 0 => small,
            _ => return None,
        };
        Some(self.take(&mut usage, bytes))
    }

    fn take(self: &Arc<Self>, usage: &mut Usage, bytes: usize) -> Lease {
        usage.bytes += bytes;
        usage.addresses.entry(self.address).or_default().bytes += bytes;
        self.held.fetch_add(bytes, Ordering::Relaxed);
        self.budget.show(usage);
        usage.high_water.falls(usage.accounts, usage.bytes);
        Lease { account: Arc::clone(self), bytes }
    }

    fn give_back(&self, bytes: usize) {
        let mut usage = self.budget.usage.lock();
        usage.bytes -= bytes;
        if let Some(address) = usage.addresses.get_mut(&self.address) {
            address.bytes -= bytes;
        }
        self.held.fetch_sub(bytes, Ordering::Relaxed);
        self.budget.show(&usage);
        usage.trim_if_less();
        drop(usage);
        // Only streams of this connection wait for it: without leases, it gets the small piece.
        self.released.notify_waiters();
    }

    async fn lease(self: Arc<Self>, want: usize) -> Lease {
        self.budget.waiting.increment(1.0);
        let waiting = self.budget.waiting.clone();
        let _waiting = scopeguard(move || waiting.decrement(1.0));
        self.budget.log_wait(self.address);
        loop {
            let mut released = std::pin::pin!(self.released.notified());
            // Before the attempt, so that no release is missed.
            released.as_mut().enable();
            if let Some(lease) = self.try_lease(want) {
                return lease;
            }
            released.await;
        }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let mut usage = self.budget.usage.lock();
        usage.accounts -= 1;
        if let Some(address) = usage.addresses.get_mut(&self.address) {
            address.accounts -= 1;
            if address.accounts == 0 {
                usage.addresses.remove(&self.address);
            }
        }
        usage.trim_if_less();
    }
}

impl MemoryBudget {
    #[expect(clippy::cast_precision_loss, reason = "a gauge needs no exact bytes")]
    fn show(&self, usage: &Usage) {
        self.used.set(usage.bytes as f64);
    }
}

impl StreamMemory {
    /// Sets how many bytes the peer accepts now.
    pub fn set_window(&self, bytes: usize) {
        self.window.store(bytes, Ordering::Relaxed);
    }

    /// How many bytes the peer accepts now.
    pub fn window(&self) -> usize {
        self.window.load(Ordering::Relaxed)
    }

    /// How many bytes to read at a time: no more than the peer accepts. While it accepts none, a small piece is read, which
    /// shows that there are bytes.
    fn piece(&self) -> usize {
        match self.window() {
            0 => SMALL_PIECE,
            window => window.min(PIECE),
        }
    }

    /// Leases memory for the next piece: at least one byte, at most the window and `most`. Waits until the connection
    /// may hold more.
    pub async fn lease(&self, most: usize) -> Lease {
        let mut pending = PendingLease::default();
        std::future::poll_fn(|cx| pending.poll(self, most, cx)).await
    }

    /// The account of the connection.
    pub fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// Charges `bytes` that are in memory already, even if they exceed the budget.
    pub fn charge(&self, bytes: usize) -> Lease {
        let mut usage = self.account.budget.usage.lock();
        self.account.take(&mut usage, bytes)
    }
}

impl PendingLease {
    /// The same as [`StreamMemory::lease`].
    pub fn poll(
        &mut self,
        memory: &StreamMemory,
        most: usize,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Lease> {
        let want = memory.piece().min(most).max(1);
        let mut waiting = match self.0.take() {
            Some(waiting) => waiting,
            None => match memory.account.try_lease(want) {
                Some(lease) => return std::task::Poll::Ready(lease),
                None => Box::pin(Arc::clone(&memory.account).lease(want)),
            },
        };
        let polled = waiting.as_mut().poll(cx);
        if polled.is_pending() {
            self.0 = Some(waiting);
        }
        polled
    }
}

impl Lease {
    /// How many bytes may be read.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Binds the lease to `bytes`: it ends when the last reference to them does.
    pub fn attach(mut self, bytes: Bytes) -> Bytes {
        if bytes.is_empty() {
            return bytes;
        }
        if let Some(unused) = self.bytes.checked_sub(bytes.len()).filter(|unused| *unused > 0) {
            self.bytes = bytes.len();
            self.account.give_back(unused);
        }
        Bytes::from_owner(Leased { bytes, _lease: self })
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.account.give_back(self.bytes);
    }
}

struct Leased {
    bytes: Bytes,
    _lease: Lease,
}

impl AsRef<[u8]> for Leased {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Runs `work` when it is dropped.
fn scopeguard(work: impl FnMut()) -> impl Drop {
    struct Guard<F: FnMut()>(F);
    impl<F: FnMut()> Drop for Guard<F> {
        fn drop(&mut self) {
            (self.0)();
        }
    }
    Guard(work)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = "192.0.2.1";

    fn account(budget: &Arc<MemoryBudget>, address: &str) -> StreamMemory {
        budget.account(address.parse().unwrap()).stream(PIECE)
    }

    fn leased(memory: &StreamMemory, want: usize) -> Option<Lease> {
        memory.account.try_lease(want)
    }

    #[test]
    fn dropped_bytes_return_their_lease() {
        let budget = MemoryBudget::new(1 << 20);
        let memory = account(&budget, FIRST);
        let mut bytes = leased(&memory, PIECE).unwrap().attach(vec![7; 1000].into());
        assert_eq!((budget.used(), memory.account.held()), (1000, 1000));
        let rest = bytes.split_off(10);
        drop(bytes);
        assert_eq!(budget.used(), 1000);
        drop(rest);
        assert_eq!(budget.used(), 0);
        drop(memory);
        assert!(budget.usage.lock().addresses.is_empty());
    }

    #[test]
    fn scarce_memory_makes_pieces_small() {
        let budget = MemoryBudget::new(1 << 20);
        let holders: Vec<_> = (0..200).map(|_| account(&budget, FIRST)).collect();
        let pieces: Vec<_> = holders.iter().filter_map(|memory| leased(memory, PIECE)).collect();
        assert_eq!(pieces.len(), 200, "each connection gets a piece");
        assert_eq!(pieces[0].bytes(), PIECE);
        assert_eq!(pieces[199].bytes(), SMALL_PIECE);
        assert!(holders.iter().all(|memory| leased(memory, PIECE).is_none()), "a second one has to wait");
        assert!(budget.used() <= (1 << 20) + 200 * SMALL_PIECE);
    }

    #[test]
    fn one_address_leaves_half_to_others() {
        let budget = MemoryBudget::new(64 << 20);
        let holders: Vec<_> = (0..1000).map(|_| account(&budget, "2001:db8::1")).collect();
        let pieces: Vec<_> = (0..100).flat_map(|_| holders.iter().filter_map(|memory| leased(memory, PIECE))).collect();
        assert!(budget.used() <= (32 << 20) + 1000 * SMALL_PIECE, "{}", budget.used());
        assert!(leased(&account(&budget, "2001:db8::2"), PIECE).unwrap().bytes() < PIECE, "the same network");
        assert_eq!(leased(&account(&budget, "2001:db8:0:1::1"), PIECE).unwrap().bytes(), PIECE);
        drop(pieces);
        assert_eq!(budget.used(), 0);
    }

    #[tokio::test]
    async fn waiting_stream_resumes_on_release() {
        let budget = MemoryBudget::new(SMALL_PIECE);
        let memory = account(&budget, FIRST);
        let first = memory.lease(PIECE).await;
        assert_eq!(first.bytes(), SMALL_PIECE);
        let mut second = std::pin::pin!(memory.lease(PIECE));
        assert!(futures_util::poll!(second.as_mut()).is_pending());
        // Another connection is not held up.
        assert_eq!(account(&budget, FIRST).lease(PIECE).await.bytes(), SMALL_PIECE);
        drop(first);
        assert_eq!(second.await.bytes(), SMALL_PIECE);
    }

    #[test]
    fn lease_is_within_the_window() {
        let budget = MemoryBudget::new(1 << 20);
        let memory = account(&budget, FIRST);
        memory.set_window(1);
        let lease = futures_util::FutureExt::now_or_never(memory.lease(PIECE)).unwrap();
        assert_eq!(lease.bytes(), 1);
    }
}
