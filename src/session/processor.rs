//! How busy the processor is with this end's work.

use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use rustix::time::ClockId;

/// Processor time against the clock.
#[derive(Debug)]
pub(crate) struct Busy {
    clock: ClockId,
    used: Duration,
    since: Instant,
}

impl Busy {
    /// Counts the thread's time from now on.
    pub(crate) fn of_this_thread() -> Self {
        Self::new(ClockId::ThreadCPUTime)
    }

    /// Counts the time of all threads of the process.
    pub(crate) fn of_this_process() -> Self {
        Self::new(ClockId::ProcessCPUTime)
    }

    fn new(clock: ClockId) -> Self {
        Self { clock, used: used(clock), since: Instant::now() }
    }

    /// The share of one core that was used since.
    pub(crate) fn share(&self) -> f64 {
        let elapsed = self.since.elapsed().as_secs_f64();
        let used = used(self.clock).saturating_sub(self.used).as_secs_f64();
        if elapsed > 0.0 { used / elapsed } else { 0.0 }
    }
}

/// How busy the processor of a job is, whose work one thread does and others help with.
#[derive(Debug)]
pub(crate) struct ProcessorShare {
    own: Busy,
    all: Busy,
}

impl ProcessorShare {
    /// Counts from now on, for a job of this thread.
    pub(crate) fn from_now() -> Self {
        Self { own: Busy::of_this_thread(), all: Busy::of_this_process() }
    }

    /// Of one processor, the part that this thread has used since, or of all of them the process.
    pub(crate) fn share(&self) -> f64 {
        let processors = available_parallelism().map_or(1.0, |count| count.get() as f64);
        self.own.share().max(self.all.share() / processors)
    }
}

fn used(clock: ClockId) -> Duration {
    Duration::try_from(rustix::time::clock_gettime(clock)).unwrap_or_default()
}
