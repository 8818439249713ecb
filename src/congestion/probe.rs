//! Now and then more is sent than the queue allows, to see whether it is delivered.
//!
//! Under jitter, a path that is not full can look as if a queue stood, and nothing else would ever find out.

use std::time::Duration;

/// How much more is sent.
pub(super) const GAIN: f64 = 1.15;

/// When to probe, for how long, and what a probe must show.
#[derive(Debug, Clone, Copy)]
struct ProbeParams {
    /// Rounds between two probes...
    rounds: u32,
    /// ... doubling with each that found nothing, up to this many times.
    backoff_max: u32,
    /// Rounds of a probe: one until more is delivered, the others to measure it.
    length: u32,
    /// Rate in a probe over rate before, for a probe that found something.
    found: f64,
    /// Share of the jitter by which the queue may seem longer.
    leeway: f64,
}

/// On a clean path the queue tells, and what a probe takes from others for two rounds they need many more to get back.
const CLEAN: ProbeParams = ProbeParams { rounds: 200, backoff_max: 8, length: 2, found: 1.07, leeway: 0.0 };
/// Under jitter only probes tell, and one of them may fail by chance; where they keep failing, the path is full, and they
/// would push the queue of others beyond its target. Single rounds are too uneven there, and of what a flow gains that
/// has half of a full path, a half is taken from the other: less than this counts.
const JITTERY: ProbeParams = ProbeParams { rounds: 8, backoff_max: 64, length: 3, found: 1.08, leeway: 0.25 };

/// The sample of a round.
#[derive(Debug, Clone, Copy)]
pub(super) struct RoundSample {
    /// Bytes per second delivered in the round.
    pub(super) rate: f64,
    pub(super) queue: Duration,
    pub(super) target: Duration,
    /// What jitter may add to round trips; zero on a clean path.
    pub(super) jitter: Duration,
}

/// The decision after a round.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum ProbeStep {
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
struct BandwidthProbe {
    rate: f64,
    /// The standing queue before it.
    queue: Duration,
    rounds: u32,
    /// Sum of the rates of the rounds that measure.
    rates: f64,
}

/// Decides when to probe and what came of it.
#[derive(Debug, Clone)]
pub(super) struct Prober {
    probe: Option<BandwidthProbe>,
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
    pub(super) fn on_round(&mut self, shown: &RoundSample, bandwidth: f64, calm: bool) -> ProbeStep {
        self.waited += 1;
        let manner = if shown.jitter.is_zero() { CLEAN } else { JITTERY };
        let Some(probe) = &mut self.probe else {
            if !calm || self.waited <= manner.rounds * self.backoff {
                return ProbeStep::Idle;
            }
            self.probe = Some(BandwidthProbe::new(bandwidth, shown.queue));
            return ProbeStep::Running;
        };
        if probe.rounds > 1 {
            probe.rates += shown.rate;
        }
        if probe.rounds < manner.length {
            probe.rounds += 1;
            return ProbeStep::Running;
        }
        let rate = probe.rates / f64::from(probe.rounds - 1);
        // Bandwidth that comes with a longer queue was only taken from others.
        let queue_max = probe.queue + shown.target / 2 + shown.jitter.mul_f64(manner.leeway);
        if rate > probe.rate * manner.found && shown.queue < queue_max {
            self.probe = Some(BandwidthProbe::new(rate, probe.queue));
            self.backoff = 1;
            return ProbeStep::Found(rate);
        }
        self.probe = None;
        self.waited = 0;
        self.backoff = (self.backoff * 2).min(manner.backoff_max);
        ProbeStep::Over
    }
}

impl BandwidthProbe {
    fn new(rate: f64, queue: Duration) -> Self {
        Self { rate, queue, rounds: 1, rates: 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: RoundSample = RoundSample {
        rate: 100.0,
        queue: Duration::from_millis(4),
        target: Duration::from_millis(5),
        jitter: Duration::ZERO,
    };

    fn started() -> Prober {
        let mut prober = Prober::new();
        (0..CLEAN.rounds).for_each(|_| assert_eq!(prober.on_round(&QUIET, 100.0, true), ProbeStep::Idle));
        assert_eq!(prober.on_round(&QUIET, 100.0, true), ProbeStep::Running);
        assert_eq!(prober.on_round(&QUIET, 100.0, true), ProbeStep::Running);
        prober
    }

    #[test]
    fn what_is_delivered_is_kept_and_the_probe_goes_on() {
        let mut prober = started();
        assert_eq!(prober.on_round(&RoundSample { rate: 115.0, ..QUIET }, 100.0, true), ProbeStep::Found(115.0));
        assert!(prober.is_running());
    }

    #[test]
    fn what_comes_with_a_longer_queue_is_given_back() {
        let mut prober = started();
        let queued = RoundSample { rate: 115.0, queue: Duration::from_millis(12), ..QUIET };
        assert_eq!(prober.on_round(&queued, 100.0, true), ProbeStep::Over);
        assert!(!prober.is_running());
    }

    #[test]
    fn the_next_probe_waits_twice_as_long() {
        let mut prober = started();
        assert_eq!(prober.on_round(&QUIET, 100.0, true), ProbeStep::Over);
        (0..2 * CLEAN.rounds).for_each(|_| assert_eq!(prober.on_round(&QUIET, 100.0, true), ProbeStep::Idle));
        assert_eq!(prober.on_round(&QUIET, 100.0, true), ProbeStep::Running);
    }

    #[test]
    fn under_jitter_it_probes_soon_and_takes_the_mean_of_two_rounds() {
        let mut prober = Prober::new();
        let shown = |rate| RoundSample { rate, jitter: Duration::from_millis(8), ..QUIET };
        (0..JITTERY.rounds).for_each(|_| assert_eq!(prober.on_round(&shown(100.0), 100.0, true), ProbeStep::Idle));
        let steps = [100.0, 100.0, 100.0, 124.0].map(|rate| prober.on_round(&shown(rate), 100.0, true));
        assert_eq!(steps, [ProbeStep::Running, ProbeStep::Running, ProbeStep::Running, ProbeStep::Found(112.0)]);
        let steps = [124.0, 118.0, 112.0].map(|rate| prober.on_round(&shown(rate), 112.0, true));
        assert_eq!(steps, [ProbeStep::Running, ProbeStep::Running, ProbeStep::Over]);
    }
}
