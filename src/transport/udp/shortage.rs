//! Whether this process gets too little processor time: by a quota (`cpu.max` of a cgroup, a container's limit) or because
//! others run. The rule, without clocks and sockets.

use std::time::{Duration, Instant};

/// Time from one look to the next, while packets come.
pub(super) const LOOK: Duration = Duration::from_millis(10);
/// A thread that is let run so much after its time had to wait for a processor. Timers are two milliseconds late, and the
/// kernel's slices last three; a quota that is used up stops a process for tens of milliseconds, up to its period of 100.
const STANDSTILL_MIN: Duration = Duration::from_millis(15);
/// How long that is remembered. The next standstill after it costs a tenth of a second.
const MEMORY: Duration = Duration::from_secs(30);

/// The observations so far of a process that gets no processor.
#[derive(Debug, Default)]
pub(super) struct Shortage {
    until: Option<Instant>,
}

impl Shortage {
    /// A thread looked at `now`, `late` after it wanted to, and has not run for `idle` since the look before. Who was late
    /// because its own work took long is not short of processor time. Whether this is news.
    pub(super) fn on_look(&mut self, now: Instant, late: Duration, idle: Duration) -> bool {
        if late.min(idle) < STANDSTILL_MIN {
            return false;
        }
        let was_short = self.is_short(now);
        self.until = Some(now + MEMORY);
        !was_short
    }

    /// Whether there was too little of late.
    pub(super) fn is_short(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn who_waited_long_for_a_processor_is_short_of_it_for_a_while() {
        let start = Instant::now();
        for (late, idle, is_short) in [
            (Duration::ZERO, 10 * MS, false),
            (2 * MS, 12 * MS, false),
            (80 * MS, 88 * MS, true),
            (40 * MS, 45 * MS, true),
            // Its own work took the time.
            (80 * MS, 3 * MS, false),
        ] {
            let mut shortage = Shortage::default();
            assert!(!shortage.is_short(start));
            assert_eq!(shortage.on_look(start, late, idle), is_short, "{late:?} {idle:?}");
            assert_eq!(shortage.is_short(start), is_short, "{late:?} {idle:?}");
            assert!(!shortage.is_short(start + MEMORY));
        }
    }

    #[test]
    fn a_standstill_that_comes_again_is_remembered_longer_and_no_news() {
        let start = Instant::now();
        let mut shortage = Shortage::default();
        assert!(shortage.on_look(start, 80 * MS, 80 * MS));
        assert!(!shortage.on_look(start + MEMORY / 2, 80 * MS, 80 * MS));
        assert!(shortage.is_short(start + MEMORY));
        assert!(!shortage.is_short(start + 2 * MEMORY));
        assert!(shortage.on_look(start + 2 * MEMORY, 80 * MS, 80 * MS));
    }
}
