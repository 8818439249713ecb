//! How the sender's time goes: for its counters, and for the receiver.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use crate::congestion::PathState;
use crate::progress::Counters;
use crate::protocol::message::SenderStats;
use crate::session::link::add_sender_stats;
use crate::session::processor::ProcessorShare;

/// Waits of the files of a sender, in microseconds, all together.
#[derive(Debug, Default)]
pub(super) struct Waits {
    pub(super) read: AtomicU64,
    /// Until the connection took more.
    pub(super) write: AtomicU64,
}

/// Tells how the time goes, from one look to the next.
pub(super) struct SenderMeter {
    path: Arc<PathState>,
    /// As at the last look.
    acked: (u64, u64),
    waits: (u64, u64),
    looked: Instant,
    processor: ProcessorShare,
}

impl SenderMeter {
    pub(super) fn new(path: Arc<PathState>) -> Self {
        let (acked, looked, processor) = (path.acked(), Instant::now(), ProcessorShare::from_now());
        Self { path, acked, waits: (0, 0), looked, processor }
    }

    /// The figures since the last look, which are added to the counters, too.
    pub(super) fn look(&mut self, waits: &Waits, counters: &Counters) -> SenderStats {
        let [acked, waits] = [self.path.acked(), (Counters::read(&waits.read), Counters::read(&waits.write))];
        let elapsed = self.looked.elapsed();
        let stats = SenderStats {
            acked: acked.0 - self.acked.0,
            acked_idle: acked.1 - self.acked.1,
            read_wait_us: waits.0 - self.waits.0,
            write_wait_us: waits.1 - self.waits.1,
            elapsed_us: micros(elapsed),
            processor_us: micros(elapsed.mul_f64(self.processor.share())),
        };
        (self.acked, self.waits) = (acked, waits);
        (self.looked, self.processor) = (Instant::now(), ProcessorShare::from_now());
        add_sender_stats(counters, &stats);
        stats
    }
}

/// Whole microseconds.
pub(super) fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}
