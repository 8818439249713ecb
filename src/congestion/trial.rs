//! Is a loss our own doing? For a moment less is sent than any queue needs, and the loss tells.

use std::time::{Duration, Instant};

use super::loss::Block;

/// Window over product in a trial, without head-room: too little to overflow anything.
pub(super) const GAIN: f64 = 0.9;
/// Blocks of a trial: the first still holds packets from before it.
const BLOCKS: u32 = 2;
/// A trial that leaves less than this of the loss has shown an overflow.
const EFFECT: f64 = 0.6;
/// Pause after a trial.
const PAUSE: Duration = Duration::from_secs(10);

/// What to do after a block.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Outcome {
    Nothing,
    /// Send less from now on.
    Begin,
    /// The loss went away: a queue shorter than the allowance that is given here overflowed.
    Overflow {
        allowance: f64,
    },
    /// The loss stayed: it is the path's, and the allowance had nothing to do with it.
    Path {
        allowance: f64,
    },
}

#[derive(Debug, Clone, Copy)]
struct Trial {
    loss: f64,
    allowance: f64,
    blocks: u32,
}

/// Runs one trial at a time.
#[derive(Debug, Clone)]
pub(super) struct LossTrials {
    trial: Option<Trial>,
    pause_until: Instant,
}

impl LossTrials {
    pub(super) fn new(now: Instant) -> Self {
        Self { trial: None, pause_until: now }
    }

    pub(super) fn is_running(&self) -> bool {
        self.trial.is_some()
    }

    /// Breaks a trial off. Gives the allowance before it, which it has not spoken against.
    pub(super) fn stop(&mut self) -> Option<f64> {
        self.trial.take().map(|trial| trial.allowance)
    }

    /// Takes a judged block; `allowance` is the present one in bytes.
    pub(super) fn on_block(&mut self, now: Instant, block: &Block, allowance: f64) -> Outcome {
        let Some(trial) = &mut self.trial else {
            if !block.excess || now < self.pause_until {
                return Outcome::Nothing;
            }
            self.trial = Some(Trial { loss: block.share, allowance, blocks: 0 });
            return Outcome::Begin;
        };
        trial.blocks += 1;
        if trial.blocks < BLOCKS {
            return Outcome::Nothing;
        }
        let Trial { loss, allowance, .. } = *trial;
        self.trial = None;
        self.pause_until = now + PAUSE;
        if block.share < loss * EFFECT { Outcome::Overflow { allowance } } else { Outcome::Path { allowance } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome_of(loss_in_trial: f64) -> Outcome {
        let now = Instant::now();
        let mut trials = LossTrials::new(now);
        assert_eq!(trials.on_block(now, &Block { share: 0.1, excess: true }, 7.0), Outcome::Begin);
        let block = Block { share: loss_in_trial, excess: false };
        assert_eq!(trials.on_block(now, &block, 0.0), Outcome::Nothing);
        trials.on_block(now, &block, 0.0)
    }

    #[test]
    fn a_loss_that_goes_away_was_our_own() {
        assert_eq!(outcome_of(0.01), Outcome::Overflow { allowance: 7.0 });
    }

    #[test]
    fn a_loss_that_stays_is_the_path() {
        assert_eq!(outcome_of(0.09), Outcome::Path { allowance: 7.0 });
    }

    #[test]
    fn the_next_trial_waits() {
        let now = Instant::now();
        let mut trials = LossTrials::new(now);
        let excess = Block { share: 0.1, excess: true };
        for _ in 0..3 {
            trials.on_block(now, &excess, 0.0);
        }
        assert_eq!(trials.on_block(now + PAUSE / 2, &excess, 0.0), Outcome::Nothing);
        assert_eq!(trials.on_block(now + PAUSE, &excess, 0.0), Outcome::Begin);
    }
}
