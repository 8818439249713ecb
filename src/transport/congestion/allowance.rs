//! How many bytes beyond the bandwidth-delay product may be in flight: the knob that holds the standing queue.
//!
//! The window is `bandwidth × min_rtt + allowance`. Once a round the standing queue is compared with its target and the
//! allowance moves by addition up and by multiplication down. Two flows see the same queue, so their allowances, and with
//! them their shares, converge as AIMD windows do (Chiu and Jain 1989), while the queue stays a few milliseconds.

use std::time::Duration;

/// Least target: below it, bursts of a pacer with a millisecond timer empty the queue.
const TARGET_MIN: Duration = Duration::from_millis(5);
/// Target as a part of the round trip on long paths.
const TARGET_SHARE: f64 = 0.05;
/// One fifth off, as Copa and DCTCP-like controllers do for small overshoots.
const DECREASE: f64 = 0.2;
/// The step up in packets is this times the square root of the window in packets: sublinear, or shares would not
/// converge, yet quick enough at large windows.
const STEP_GAIN: f64 = 0.25;
/// Rounds without any queue before the pipe counts as not full.
const EMPTY_ROUNDS: u32 = 3;
/// Growth per round while the pipe is not full.
const PROBE_GAIN: f64 = 0.25;
/// How far below the product the allowance may pull the window: bandwidth samples over-estimate by as much under jitter.
const FLOOR_SHARE: f64 = 0.15;

/// What a round showed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Round {
    /// Standing queue: shortest round trip of the round above the path's.
    pub(super) queue: Duration,
    pub(super) target: Duration,
    /// Bandwidth-delay product in bytes.
    pub(super) product: f64,
    /// Bytes per second.
    pub(super) bandwidth: f64,
    pub(super) mtu: f64,
    /// More was lost than the path always loses.
    pub(super) excess_loss: bool,
}

/// The standing queue that is worth its delay on a path of this round trip.
pub(super) fn queue_target(min_rtt: Duration) -> Duration {
    TARGET_MIN.max(min_rtt.mul_f64(TARGET_SHARE))
}

/// Signed bytes beyond the bandwidth-delay product.
#[derive(Debug, Clone, Default)]
pub(super) struct Allowance {
    bytes: f64,
    empty_rounds: u32,
    /// Upper bound learnt from excess loss: a queue shorter than the target overflowed there.
    ceiling: Option<f64>,
}

impl Allowance {
    pub(super) fn bytes(&self) -> f64 {
        self.bytes
    }

    /// Sets the allowance to the whole target: the state after start-up.
    pub(super) fn fill(&mut self, round: &Round) {
        self.bytes = round.bandwidth * round.target.as_secs_f64();
        self.empty_rounds = 0;
    }

    pub(super) fn on_round(&mut self, round: &Round) {
        let step = round.mtu * (STEP_GAIN * (round.product / round.mtu).sqrt()).max(1.0);
        let full = round.bandwidth * round.target.as_secs_f64();
        if round.excess_loss {
            self.decrease(step);
            self.ceiling = Some(self.bytes);
        } else if round.queue > round.target {
            self.bytes = self.bytes.min(full);
            self.decrease(step);
        } else {
            self.increase(round, step, full);
        }
        self.bytes = self.bytes.max(-FLOOR_SHARE * round.product);
    }

    fn decrease(&mut self, step: f64) {
        self.empty_rounds = 0;
        self.bytes -= DECREASE * self.bytes.abs() + step;
    }

    fn increase(&mut self, round: &Round, step: f64, full: f64) {
        self.empty_rounds = if round.queue < round.target / 4 { self.empty_rounds + 1 } else { 0 };
        self.bytes = (self.bytes + step).min(2.0 * full);
        if self.empty_rounds >= EMPTY_ROUNDS {
            self.bytes = self.bytes.max(PROBE_GAIN * round.product);
        }
        if let Some(ceiling) = &mut self.ceiling {
            self.bytes = self.bytes.min(*ceiling);
            // The path may have become better: try a little more each round, forget the bound when it no longer binds.
            *ceiling += step / 4.0;
            if *ceiling > full {
                self.ceiling = None;
            }
        }
    }
}
