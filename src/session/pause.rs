//! Whether this process, or the machine, has been asleep since the last look: what waits for a timer would then wait for
//! as long again as if no time had passed.

use std::time::{Duration, Instant};

use crate::transport::limits::IDLE_TIMEOUT;

/// How late a look may be on a busy machine.
const LATE_MAX: Duration = Duration::from_secs(2);

/// How the time between two looks has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pause {
    /// As long as it should be.
    None,
    /// The machine slept, or this process was stopped: the path may be another one now.
    Short,
    /// For so long that the peer has given this connection up.
    Long,
}

impl Pause {
    /// By how much later a look came than it should have, and how much of the time before it the machine slept.
    fn of(late: Duration, asleep: Duration) -> Self {
        match late + asleep {
            pause if pause >= IDLE_TIMEOUT => Self::Long,
            pause if pause >= LATE_MAX => Self::Short,
            _ => Self::None,
        }
    }
}

/// The time of the last look by two clocks: one stands still while the machine sleeps, the other goes on.
#[derive(Debug)]
pub(super) struct Clocks {
    awake: Instant,
    always: Duration,
}

impl Clocks {
    pub(super) fn new() -> Self {
        Self { awake: Instant::now(), always: since_boot() }
    }

    /// Takes the next look, which was to come `due` after the last one.
    pub(super) fn look(&mut self, due: Duration) -> Pause {
        let before = std::mem::replace(self, Self::new());
        let awake = self.awake.saturating_duration_since(before.awake);
        let always = self.always.saturating_sub(before.always);
        Pause::of(awake.saturating_sub(due), always.saturating_sub(awake))
    }
}

/// Time since the machine was started, sleep included.
#[cfg(target_os = "linux")]
fn since_boot() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(time.tv_sec.try_into().unwrap_or_default(), time.tv_nsec.try_into().unwrap_or_default())
}

/// Where it is not asked for, no sleep is seen.
#[cfg(not(target_os = "linux"))]
fn since_boot() -> Duration {
    Duration::ZERO
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_busy_machine_is_no_pause_and_what_the_peer_outlasts_is_short() {
        for (late, asleep, pause) in [
            (0, 0, Pause::None),
            (1, 0, Pause::None),
            (2, 0, Pause::Short),
            (0, 2, Pause::Short),
            (0, 29, Pause::Short),
            (15, 15, Pause::Long),
            (90, 0, Pause::Long),
            (0, 36_000, Pause::Long),
        ] {
            assert_eq!(Pause::of(late * SECOND, asleep * SECOND), pause, "{late} s late, {asleep} s asleep");
        }
    }

    #[test]
    fn the_two_clocks_of_a_machine_that_is_awake_agree() {
        let mut clocks = Clocks::new();
        assert_eq!(clocks.look(SECOND), Pause::None);
        clocks.always = clocks.always.saturating_sub(10 * SECOND);
        assert_eq!(clocks.look(SECOND), Pause::Short, "ten seconds that only one of them has counted");
    }
}
