//! Now and then more is sent than the queue allows, to see whether it is delivered.
//!
//! Under jitter, a path that is not full can look as if a queue stood, and nothing else would ever find out.

use std::time::Duration;

/// Rounds between two probes...
const ROUNDS: u32 = 50;
/// ... doubling with each that found nothing, up to this many times.
const BACKOFF_MAX: u32 = 8;
/// How much more is sent, for two rounds: one until it is delivered, one to measure it.
pub(super) const GAIN: f64 = 1.15;
const LENGTH: u32 = 2;
/// Rate after a probe over rate before, for a probe that found something.
const FOUND: f64 = 1.07;

/// What a round showed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shown {
    /// Bytes per second delivered in the round.
    pub(super) rate: f64,
    pub(super) queue: Duration,
    pub(super) target: Duration,
}

/// What to make of the round.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Step {
    /// No probe.
    Idle,
    /// A probe is under way: nothing else is to be decided.
    Running,
    /// It found this much, in bytes per second, and goes on from there.
    Found(f64),
    /// It found nothing and is over.
    Over,
}

#[derive(Debug, Clone, Copy)]
struct Probe {
    rate: f64,
    /// The standing queue before it.
    queue: Duration,
    rounds: u32,
}

/// Decides when to probe and what came of it.
#[derive(Debug, Clone)]
pub(super) struct Prober {
    probe: Option<Probe>,
    backoff: u32,
    waited: u32,
}

impl Prober {
    pub(super) fn new() -> Self {
        Self { probe: None, backoff: 1, waited: 0 }
    }

    pub(super) fn is_running(&self) -> bool {
        self.probe.is_some()
    }

    pub(super) fn stop(&mut self) {
        self.probe = None;
    }

    /// Ends a round. `bandwidth` is what a probe would be compared with; it begins only when all is `calm`.
    pub(super) fn on_round(&mut self, shown: &Shown, bandwidth: f64, calm: bool) -> Step {
        self.waited += 1;
        let Some(probe) = &mut self.probe else {
            if !calm || self.waited <= ROUNDS * self.backoff {
                return Step::Idle;
            }
            self.probe = Some(Probe { rate: bandwidth, queue: shown.queue, rounds: 1 });
            return Step::Running;
        };
        if probe.rounds < LENGTH {
            probe.rounds += 1;
            return Step::Running;
        }
        // What comes with a longer queue was only taken from others.
        if shown.rate > probe.rate * FOUND && shown.queue < probe.queue + shown.target / 2 {
            (probe.rate, probe.rounds) = (shown.rate, 1);
            self.backoff = 1;
            return Step::Found(shown.rate);
        }
        self.probe = None;
        self.waited = 0;
        self.backoff = (self.backoff * 2).min(BACKOFF_MAX);
        Step::Over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: Shown = Shown { rate: 100.0, queue: Duration::from_millis(4), target: Duration::from_millis(5) };

    fn started() -> Prober {
        let mut prober = Prober::new();
        (0..ROUNDS).for_each(|_| assert_eq!(prober.on_round(&QUIET, 100.0, true), Step::Idle));
        assert_eq!(prober.on_round(&QUIET, 100.0, true), Step::Running);
        assert_eq!(prober.on_round(&QUIET, 100.0, true), Step::Running);
        prober
    }

    #[test]
    fn what_is_delivered_is_kept_and_the_probe_goes_on() {
        let mut prober = started();
        assert_eq!(prober.on_round(&Shown { rate: 115.0, ..QUIET }, 100.0, true), Step::Found(115.0));
        assert!(prober.is_running());
    }

    #[test]
    fn what_comes_with_a_longer_queue_is_given_back() {
        let mut prober = started();
        let queued = Shown { rate: 115.0, queue: Duration::from_millis(12), ..QUIET };
        assert_eq!(prober.on_round(&queued, 100.0, true), Step::Over);
        assert!(!prober.is_running());
    }

    #[test]
    fn the_next_probe_waits_twice_as_long() {
        let mut prober = started();
        assert_eq!(prober.on_round(&QUIET, 100.0, true), Step::Over);
        (0..2 * ROUNDS).for_each(|_| assert_eq!(prober.on_round(&QUIET, 100.0, true), Step::Idle));
        assert_eq!(prober.on_round(&QUIET, 100.0, true), Step::Running);
    }
}
