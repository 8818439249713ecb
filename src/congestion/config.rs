//! What a controller is given and what it shows: the configuration of a connection's controller, with the mechanisms that a bench
//! may switch off to see what they are for, and its estimates of the path, readable from any thread without a lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};

/// The configuration of a connection's controller.
#[derive(Debug, Clone, Default)]
pub struct ControllerConfig {
    /// Where the controller writes its live figures.
    pub state: Arc<PathState>,
    /// The path that an earlier connection to the same peer has remembered, to begin near it.
    pub past: Option<PastPath>,
    /// The time of day at some moment, counted from any beginning that others count from too. Without one, it looks at
    /// the path when it will.
    pub clock: Option<(Instant, Duration)>,
    /// What is switched off to see what it is for; nothing outside of benches.
    #[doc(hidden)]
    pub without: Without,
}

impl ControllerConfig {
    /// A controller that reports into `state`.
    pub fn new(state: Arc<PathState>) -> Self {
        Self { state, past: None, clock: None, without: Without::default() }
    }

    /// Looks at the path at the same moments as all others whose clocks show `wall` at `now`.
    pub fn in_step(mut self, now: Instant, wall: SystemTime) -> Self {
        self.clock = Some((now, wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()));
        self
    }

    /// Begins near what an earlier connection has learnt, if the path shows to be the same.
    pub fn resuming(mut self, past: Option<PastPath>) -> Self {
        self.past = past;
        self
    }
}

/// The path as an earlier connection has remembered it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PastPath {
    /// Delivery rate in bytes per second of UDP payload.
    pub bandwidth: u64,
    /// Bare round trip.
    pub min_rtt: Duration,
    /// How long ago that was.
    pub age: Duration,
}

/// The phase of the controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Phase {
    /// Doubling each round trip until the path is full.
    Startup = 0,
    /// Emptying the queue: after start-up, or to see the bare round-trip time again.
    Drain = 1,
    /// Full, with a small standing queue.
    Cruise = 2,
    /// Someone else keeps the queue full: holding a share of the path.
    Contested = 3,
}

impl Phase {
    fn from_u8(value: u8) -> Self {
        match value {
            0 => Self::Startup,
            1 => Self::Drain,
            2 => Self::Cruise,
            _ => Self::Contested,
        }
    }
}

/// Live figures of one connection's path, written by its controller and read by the progress display.
///
/// Each value is exact by itself; values read together may be from two neighbouring ACKs.
#[derive(Debug, Default)]
pub struct PathState {
    bandwidth: AtomicU64,
    min_rtt_ns: AtomicU64,
    rtt_ns: AtomicU64,
    loss_bits: AtomicU64,
    window: AtomicU64,
    phase: AtomicU8,
    pace: AtomicU64,
    acked: AtomicU64,
    acked_idle: AtomicU64,
}

/// A copy of [`PathState`] at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PathSnapshot {
    /// Estimated delivery rate of the path in bytes per second of UDP payload; 0 = not known yet.
    pub bandwidth: u64,
    /// Shortest round trip seen lately; zero = not known yet.
    pub min_rtt: Duration,
    /// Shortest round trip of the last round: above `min_rtt` by the standing queue.
    pub rtt: Duration,
    /// Share of packets that the path loses, `0.0..=1.0`.
    pub loss: f64,
    /// Congestion window in bytes.
    pub window: u64,
    /// The phase of the controller.
    pub phase: Phase,
}

impl PathSnapshot {
    /// The path, to be remembered; `None` while start-up has not found its limit.
    pub fn past(&self) -> Option<PastPath> {
        let Self { bandwidth, min_rtt, .. } = *self;
        let is_known = self.phase != Phase::Startup && bandwidth > 0 && !min_rtt.is_zero();
        is_known.then_some(PastPath { bandwidth, min_rtt, age: Duration::ZERO })
    }
}

impl PathState {
    /// Counts bytes that were acknowledged. `is_idle`: they were sent while there was nothing more to send.
    pub(super) fn count(&self, bytes: u64, is_idle: bool) {
        self.acked.fetch_add(bytes, Relaxed);
        self.acked_idle.fetch_add(if is_idle { bytes } else { 0 }, Relaxed);
    }

    /// Bytes that were acknowledged, and those of them that were sent while there was nothing more to send.
    pub fn acked(&self) -> (u64, u64) {
        (self.acked.load(Relaxed), self.acked_idle.load(Relaxed))
    }

    /// Bytes of UDP payload per second at which packets should leave one by one; `None`: the bursts of quinn's pacer do no harm.
    pub fn pace(&self) -> Option<f64> {
        Some(self.pace.load(Relaxed) as f64).filter(|&pace| pace > 0.0)
    }

    pub(crate) fn set_pace(&self, pace: Option<f64>) {
        self.pace.store(pace.map_or(0, |pace| pace as u64), Relaxed);
    }

    /// Reads all figures.
    pub fn snapshot(&self) -> PathSnapshot {
        PathSnapshot {
            bandwidth: self.bandwidth.load(Relaxed),
            min_rtt: Duration::from_nanos(self.min_rtt_ns.load(Relaxed)),
            rtt: Duration::from_nanos(self.rtt_ns.load(Relaxed)),
            loss: f64::from_bits(self.loss_bits.load(Relaxed)),
            window: self.window.load(Relaxed),
            phase: Phase::from_u8(self.phase.load(Relaxed)),
        }
    }

    pub(super) fn publish(&self, now: &PathSnapshot) {
        self.bandwidth.store(now.bandwidth, Relaxed);
        self.min_rtt_ns.store(now.min_rtt.as_nanos() as u64, Relaxed);
        self.rtt_ns.store(now.rtt.as_nanos() as u64, Relaxed);
        self.loss_bits.store(now.loss.to_bits(), Relaxed);
        self.window.store(now.window, Relaxed);
        self.phase.store(now.phase as u8, Relaxed);
    }
}

/// Makes the enum and the list of all of it out of one list.
macro_rules! mechanisms {
    ($($(#[$doc:meta])+ $name:ident,)+) => {
        /// A mechanism that can be switched off.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Mechanism {
            $($(#[$doc])+ $name,)+
        }

        impl Mechanism {
            /// All of them, in the order of the module's page.
            pub const ALL: [Self; [$(stringify!($name)),+].len()] = [$(Self::$name),+];
        }
    };
}

mechanisms! {
    /// The queue budget follows the queue; without it, the target's worth stands in the queue for ever.
    QueueBudget,
    /// Slow flows aim at a longer queue.
    ScaledTarget,
    /// The mean of the last rounds is the bandwidth of a full path; without it, always the best of eight.
    Share,
    /// What a flight took to arrive opens the window in start-up.
    Dispersion,
    /// Start-up grows several times as fast while the spacing of ACKs says that there is room.
    Leap,
    /// The spacing of ACKs is known at all: capacity, sharing, jitter and leaps follow from it.
    Trains,
    /// The first flight leaves in a fifth of the round trip.
    FirstPace,
    /// A queue ends start-up; without it, only bandwidth that stops growing does.
    StartupQueue,
    /// A part of what the flight that found the queue showed is the bandwidth after start-up.
    FlightShare,
    /// What an earlier connection, or this one before an outage, has learnt.
    CarefulResume,
    /// Pauses of the path are no queue.
    AckAggregation,
    /// Jitter is no queue.
    Jitter,
    /// Sends more for two rounds to find room, under jitter.
    Probe,
    /// Sends less for a moment to see whether a loss is our own doing.
    Trial,
    /// Holds at what a policer lets through.
    Policer,
    /// Room for what the path always loses.
    Headroom,
    /// More room for it in small windows.
    Unmissed,
    /// Congestion marks shorten the queue.
    Marks,
    /// More than a quarter lost is never the path's doing.
    Flood,
    /// Whole rounds tell the bare round trip; without it, the shortest sample of all does.
    WholeRounds,
    /// The time that acknowledgements are held back is no queue.
    AckDelay,
    /// A drain that has withdrawn much and shortened nothing makes the bare round trip longer.
    LongerPath,
    /// Looks for the bare round trip while cruising.
    Drains,
    /// Deeper drains where a queue may have been taken for path.
    DeepDrains,
    /// Drains by the clock on the wall.
    ProbeRttSchedule,
    /// Drains when others do.
    FollowedDrains,
    /// Looks who holds the queue when it does not obey.
    Pressure,
    /// Holds a share of the path while others hold the queue.
    CompetitiveMode,
    /// Packets leave one by one in competitive mode.
    Pace,
    /// What the queue does when we withdraw a part of it says whose it is; without it, only what is left of it does.
    QueueResponse,
    /// Where no queue stands for longer than a drain of others, they are gone.
    Vacancy,
}

impl Mechanism {
    /// Its name on a command line: `scaled-target`.
    pub fn name(self) -> String {
        let mut name = String::new();
        for letter in format!("{self:?}").chars() {
            if letter.is_uppercase() && !name.is_empty() {
                name.push('-');
            }
            name.extend(letter.to_lowercase());
        }
        name
    }
}

/// The mechanisms that are switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Without(u64);

impl Without {
    /// All but this one.
    pub fn only(mechanism: Mechanism) -> Self {
        Self::default().and(mechanism)
    }

    /// Switches off one more.
    pub fn and(self, mechanism: Mechanism) -> Self {
        Self(self.0 | 1_u64 << mechanism as u32)
    }

    pub(super) fn has(self, mechanism: Mechanism) -> bool {
        self.0 & (1_u64 << mechanism as u32) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_published_is_what_is_read() {
        let state = PathState::default();
        let wanted = PathSnapshot {
            bandwidth: 12_500_000,
            min_rtt: Duration::from_millis(100),
            rtt: Duration::from_millis(104),
            loss: 0.05,
            window: 1_300_000,
            phase: Phase::Contested,
        };
        state.publish(&wanted);
        assert_eq!(state.snapshot(), wanted);
    }

    #[test]
    fn nothing_is_switched_off_unless_told() {
        assert!(Mechanism::ALL.iter().all(|&mechanism| !Without::default().has(mechanism)));
    }

    #[test]
    fn each_mechanism_has_its_own_switch_and_name() {
        for mechanism in Mechanism::ALL {
            let off = Mechanism::ALL.into_iter().filter(|&other| Without::only(mechanism).has(other));
            assert_eq!(off.collect::<Vec<_>>(), [mechanism]);
        }
        let mut names = Mechanism::ALL.map(Mechanism::name).to_vec();
        assert!(names.contains(&"scaled-target".to_owned()));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Mechanism::ALL.len());
    }
}
