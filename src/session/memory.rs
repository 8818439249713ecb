//! Buffers of one chunk, reused, and a bound on what a sender keeps in flight.

use std::ops::Range;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::budget::{Account, Hold};
use crate::digest::CHUNK_BYTES;
use crate::protocol::BEGUN_BYTES_MAX;

const CHUNK_LEN: usize = CHUNK_BYTES as usize;

/// Content starts at a page boundary. The kernel copies to a place that lies a few bytes behind a page's start (where
/// the allocator puts everything large) at a quarter of the speed on processors whose `rep movsb` is slow there (AMD
/// Zen 3: 0.70 instead of 0.16 s a GiB from the page cache).
const PAGE_BYTES: usize = 4096;

/// The size of a buffer: a page in front to align in, a page for what goes before the content.
const BUFFER_BYTES: usize = CHUNK_LEN + 2 * PAGE_BYTES;

/// Free buffers kept for reuse while none is in use.
const IDLE_BUFFERS_MAX: usize = 8;

/// A pool of chunk-sized buffers: a fresh megabyte costs 256 page faults, more than hashing it. As many are kept free
/// as are in use, so that a busy pool takes no fresh ones and an idle one holds little.
#[derive(Debug, Clone, Default)]
pub(crate) struct Buffers(Arc<Mutex<BufferPool>>);

#[derive(Debug, Default)]
struct BufferPool {
    free: Vec<Vec<u8>>,
    in_use: usize,
}

impl Buffers {
    /// A buffer of `len` bytes (at most a chunk) with arbitrary content.
    pub(crate) fn take(&self, len: usize) -> Buffer {
        self.take_behind(0, len)
    }

    /// The same with `front` more bytes (at most a page) before them.
    pub(crate) fn take_behind(&self, front: usize, len: usize) -> Buffer {
        assert!(front <= PAGE_BYTES && len <= CHUNK_LEN, "no buffer holds {front} + {len} bytes");
        // Small files get exact buffers: a megabyte for each of thousands would not be bounded memory.
        if len * 4 < CHUNK_LEN {
            return Buffer { bytes: vec![0; front + len], range: 0..front + len, home: None };
        }
        let pooled = {
            let mut pool = self.0.lock().expect("no holder panics");
            pool.in_use += 1;
            pool.free.pop()
        };
        let bytes = pooled.unwrap_or_else(|| vec![0; BUFFER_BYTES]);
        let content = bytes.as_ptr().align_offset(PAGE_BYTES) + PAGE_BYTES;
        Buffer { bytes, range: content - front..content + len, home: Some(self.clone()) }
    }
}

/// A buffer that returns to its pool, if it is of one, when dropped.
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    range: Range<usize>,
    home: Option<Buffers>,
}

impl std::ops::Deref for Buffer {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes[self.range.clone()]
    }
}

impl std::ops::DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.range.clone()]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let Some(home) = self.home.take() else { return };
        let mut pool = home.0.lock().expect("no holder panics");
        pool.in_use -= 1;
        pool.free.push(std::mem::take(&mut self.bytes));
        let kept = pool.in_use.max(IDLE_BUFFERS_MAX);
        pool.free.truncate(kept);
    }
}

/// Bytes that a sender may hold between reading them and their acknowledgement. At 10 % loss the
/// oldest bytes wait for several round trips, so this is about 4 times 1 Gbit/s x 300 ms; it, and not
/// quinn's send window, bounds the sender's memory.
const SEND_BYTES_MAX: usize = 160 << 20;
const _: () = assert!(SEND_BYTES_MAX < BEGUN_BYTES_MAX, "a receiver would close the connection");

/// What QUIC keeps with a piece until it is acknowledged, beside its bytes: for a small file the half of its stream.
const KEPT_BYTES: usize = 512;

/// Permits are counted in units of 1 KiB, so that they fit a `u32`.
const UNIT_BYTES: usize = 1024;

/// The bound on a sender's bytes in flight.
#[derive(Debug, Clone)]
pub(crate) struct SendBudget {
    own: Arc<Semaphore>,
    /// The share of the connection in the server's budget.
    account: Account,
}

/// Room for bytes in flight; given back when dropped.
#[derive(Debug)]
pub(crate) struct SendPermit {
    _own: OwnedSemaphorePermit,
    _shared: Hold,
}

impl SendBudget {
    pub(crate) fn new(account: Account) -> Self {
        Self { own: Arc::new(Semaphore::new(SEND_BYTES_MAX / UNIT_BYTES)), account }
    }

    /// Waits until `bytes` more (at most a chunk and a header) may be held.
    pub(crate) async fn reserve(&self, bytes: usize) -> SendPermit {
        let own = self.acquire(units(bytes)).await;
        SendPermit { _own: own, _shared: self.account.memory(bytes + KEPT_BYTES).await }
    }

    /// Waits until all of these may be held (together at most a small part of all), and gives each a permit of its own.
    /// It is one wait: many that hold some and wait for more would wait for each other.
    pub(crate) async fn reserve_each(&self, sizes: &[usize]) -> Vec<SendPermit> {
        let mut all = self.acquire(sizes.iter().copied().map(units).sum()).await;
        let mut shared = self.account.memory(sizes.iter().map(|bytes| bytes + KEPT_BYTES).sum()).await;
        let each = sizes.iter().map(|&bytes| {
            let own = all.split(units(bytes) as usize).expect("it is their sum");
            SendPermit { _own: own, _shared: shared.split(bytes + KEPT_BYTES) }
        });
        each.collect()
    }

    async fn acquire(&self, units: u32) -> OwnedSemaphorePermit {
        self.own.clone().acquire_many_owned(units).await.expect("the semaphore is never closed")
    }

    /// As [`SendBudget::reserve`], but only if it need not wait.
    pub(crate) fn try_reserve(&self, bytes: usize) -> Option<SendPermit> {
        let own = self.own.clone().try_acquire_many_owned(units(bytes)).ok()?;
        Some(SendPermit { _own: own, _shared: self.account.take_memory(bytes + KEPT_BYTES)? })
    }
}

/// The units that `bytes` are charged as; even no bytes cost one.
fn units(bytes: usize) -> u32 {
    bytes.div_ceil(UNIT_BYTES).max(1) as u32
}

/// Content on its way: when QUIC drops it (acknowledged in full), buffer and permit are free again.
struct InFlight {
    buffer: Buffer,
    _permit: SendPermit,
}

impl AsRef<[u8]> for InFlight {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

/// Makes a buffer into bytes that QUIC can hold without a copy.
pub(crate) fn in_flight(buffer: Buffer, permit: SendPermit) -> Bytes {
    Bytes::from_owner(InFlight { buffer, _permit: permit })
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;
    use crate::session::budget::CLIENT_MEMORY_BYTES;

    #[test]
    fn a_large_buffer_is_used_again_and_a_small_one_is_exact() {
        let pool = Buffers::default();
        let mut large = pool.take(CHUNK_LEN);
        large[7] = 42;
        let address = large.as_ptr();
        drop(large);
        let again = pool.take(CHUNK_LEN - 1);
        assert_eq!((again.as_ptr(), again.len()), (address, CHUNK_LEN - 1));
        assert_eq!(pool.take(10).len(), 10);
    }

    #[test]
    fn content_starts_at_a_page_whatever_goes_before_it() {
        let pool = Buffers::default();
        for (front, len) in [(0, CHUNK_LEN), (24, CHUNK_LEN), (PAGE_BYTES, CHUNK_LEN / 4)] {
            let buffer = pool.take_behind(front, len);
            assert_eq!(buffer.len(), front + len);
            assert_eq!(buffer[front..].as_ptr().align_offset(PAGE_BYTES), 0);
        }
    }

    #[test]
    fn an_idle_pool_keeps_few_buffers() {
        let pool = Buffers::default();
        let busy: Vec<_> = (0..4 * IDLE_BUFFERS_MAX).map(|_| pool.take(CHUNK_LEN)).collect();
        drop(busy);
        assert_eq!(pool.0.lock().unwrap().free.len(), IDLE_BUFFERS_MAX);
    }

    #[tokio::test]
    async fn a_permit_returns_when_the_bytes_are_dropped() {
        let budget = SendBudget::new(Account::of_one(CLIENT_MEMORY_BYTES));
        let permit = budget.reserve(SEND_BYTES_MAX).await;
        assert!(budget.try_reserve(1).is_none());
        let bytes = in_flight(Buffers::default().take(5), permit);
        let copy = bytes.clone();
        drop(bytes);
        assert!(budget.try_reserve(1).is_none(), "a clone still holds it");
        drop(copy);
        assert!(budget.try_reserve(1).is_some());
    }

    #[tokio::test]
    async fn who_waits_for_several_permits_holds_none_meanwhile() {
        let budget = SendBudget::new(Account::of_one(CLIENT_MEMORY_BYTES));
        let held = budget.reserve(SEND_BYTES_MAX - UNIT_BYTES).await;
        let mut waiting = pin!(budget.reserve_each(&[UNIT_BYTES, 0, UNIT_BYTES + 1]));
        assert!(waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        drop(held);
        let permits = waiting.await;
        assert_eq!(permits.iter().map(|permit| permit._own.num_permits()).collect::<Vec<_>>(), [1, 1, 2]);
        drop(permits);
        assert!(budget.try_reserve(SEND_BYTES_MAX).is_some());
    }
}
