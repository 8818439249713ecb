//! Duplicates of what leaves while a lossy link stands nearly empty.
//!
//! The last flight of a transfer loses its share like every other. What was lost is sent again a round trip later, and of
//! that some is lost again: 1700 packets of which 5 % are lost take three round trips to be whole. In that time the link
//! carries next to nothing. So whatever leaves then leaves several times, as often as the loss asks for, and the second
//! round of repairs is the last one in nearly every case. Measured with 64 MiB at 100 Mbit/s, 200 ms and 5 %, eight seeds:
//! median 6.59 instead of 6.80 s, mean 6.72 instead of 7.11 s.
//!
//! It is done to whole UDP packets, below QUIC: QUIC ignores a packet that comes twice (RFC 9000, section 12.3), so the
//! peer need not know of it, and messages gain like content. Duplicates count for nothing above: no window, no figure
//! of sent or lost packets has them. They leave only while packets and duplicates together take less than half of what
//! the path carries, and never on a path that loses nothing or is [near](crate::transport::limits::NEAR).
//!
//! A duplicate follows some milliseconds behind, so that one burst of losses does not take both.

mod idle_budget;
mod watch;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use quinn::AsyncUdpSocket;
use quinn::congestion::ControllerFactory;
use quinn::udp::Transmit;

pub(crate) use self::watch::send_urgently;
use self::watch::{Ledger, WatchedFactory};
use super::by_peer::ByPeer;
use super::layer::{KeptTransmit, Layer, layered};
use crate::transport::limits::TIMER_GRAIN;

/// Part of a round trip between a packet and its duplicate, and between duplicates.
const GAP_SHARE: u32 = 32;
/// The gap is at most longer than the bursts in which a queue overflows.
const GAP_MAX: Duration = Duration::from_millis(10);

/// The duplicates that the sockets of one tuning make. Clones share it.
#[derive(Clone, Default)]
pub struct Duplicates(Arc<DuplicatesInner>);

#[derive(Default)]
struct DuplicatesInner {
    /// Something was lost on some path. Before, nobody is looked up.
    begun: AtomicBool,
    made: AtomicU64,
    ledgers: ByPeer<Ledger>,
}

impl fmt::Debug for Duplicates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Duplicates").field("made", &self.made()).finish_non_exhaustive()
    }
}

impl Duplicates {
    /// How many were made so far; several packets that leave in one call count as one.
    pub fn made(&self) -> u64 {
        self.0.made.load(Ordering::Relaxed)
    }

    /// Puts the duplication between a socket and its users.
    pub(super) fn wrap(&self, inner: Arc<dyn AsyncUdpSocket>) -> Arc<dyn AsyncUdpSocket> {
        layered(DuplicatingSocket { inner, duplicates: self.clone() })
    }

    /// Puts an eye on the connections to `peer` that will be made with these controllers.
    pub(in crate::transport) fn watch(
        &self,
        peer: SocketAddr,
        inner: Arc<dyn ControllerFactory + Send + Sync>,
    ) -> Arc<dyn ControllerFactory + Send + Sync> {
        Arc::new(WatchedFactory { inner, duplicates: self.clone(), peer })
    }

    fn begin(&self) {
        self.0.begun.store(true, Ordering::Relaxed);
    }

    /// How often a packet that has left is to leave again, and with what time between.
    fn of(&self, transmit: &Transmit<'_>) -> Option<(u32, Duration)> {
        if !self.0.begun.load(Ordering::Relaxed) {
            return None;
        }
        let ledger = self.0.ledgers.get(transmit.destination)?;
        let mut state = ledger.state();
        let rtt = state.far()?;
        let duplicates = state.idle.on_sent(Instant::now(), transmit.contents.len());
        (duplicates > 0).then(|| (duplicates, (rtt / GAP_SHARE).clamp(TIMER_GRAIN, GAP_MAX)))
    }
}

/// A socket that duplicates.
#[derive(Debug)]
struct DuplicatingSocket {
    inner: Arc<dyn AsyncUdpSocket>,
    duplicates: Duplicates,
}

impl DuplicatingSocket {
    /// Sends a packet again, a bounded number of times. One that finds the socket full is not missed.
    fn repeat(&self, packet: KeptTransmit, count: u32, gap: Duration) {
        // Only an endpoint that outlives its runtime sends outside of one.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (inner, duplicates) = (self.inner.clone(), self.duplicates.clone());
        runtime.spawn(async move {
            for _ in 0..count {
                tokio::time::sleep(gap).await;
                if inner.try_send(&packet.transmit()).is_ok() {
                    duplicates.0.made.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
}

impl Layer for DuplicatingSocket {
    fn below(&self) -> &Arc<dyn AsyncUdpSocket> {
        &self.inner
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.inner.try_send(transmit)?;
        if let Some((count, gap)) = self.duplicates.of(transmit) {
            self.repeat(KeptTransmit::new(transmit), count, gap);
        }
        Ok(())
    }
}
