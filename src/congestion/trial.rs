//! Is a loss our own doing? For a moment less is sent than any queue needs, and the loss tells.

use std::time::{Duration, Instant};

use super::loss::LossBlock;

/// Window over product in a trial, without head-room: too little to overflow anything.
pub(super) const GAIN: f64 = 0.9;
/// Blocks of a trial: the first still holds packets from before it.
const BLOCKS: u32 = 2;
/// A trial that leaves less than this of the loss has shown an overflow.
const EFFECT: f64 = 0.6;
/// What may be lost where no queue ever stands without a trial that shows it to be the path's own: head-room for more than
/// this, if it is our own doing, is what keeps it up.
const UNPROVEN_MAX: f64 = 0.02;
/// Loss over what a trial has shown that needs no other one.
const PROVEN: f64 = 1.5;
/// Pause after a trial.
const PAUSE: Duration = Duration::from_secs(10);

/// What a trial began from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Before {
    /// In bytes.
    pub(super) budget: f64,
    /// A queue has stood at some time.
    pub(super) has_queue: bool,
    /// It would have, if the path has one: start-up or a drain are some rounds ago.
    pub(super) is_settled: bool,
}

/// The decision after a block.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum TrialOutcome {
    Nothing,
    /// Send less from now on.
    Begin,
    /// The loss went away: a queue shorter than the queue budget before it overflowed, or there is none.
    Overflow(Before),
    /// The loss stayed: it is the path's, and the queue budget had nothing to do with it.
    Path(Before),
}

#[derive(Debug, Clone, Copy)]
struct Trial {
    loss: f64,
    before: Before,
    blocks: u32,
}

/// Runs one trial at a time.
#[derive(Debug, Clone)]
pub(super) struct LossTrials {
    trial: Option<Trial>,
    pause_until: Instant,
    /// What the path loses by itself, as a trial has shown.
    proven: f64,
}

impl LossTrials {
    pub(super) fn new(now: Instant) -> Self {
        Self { trial: None, pause_until: now, proven: UNPROVEN_MAX }
    }

    pub(super) fn is_running(&self) -> bool {
        self.trial.is_some()
    }

    /// Breaks a trial off. Gives the queue budget before it, which it has not spoken against.
    pub(super) fn stop(&mut self) -> Option<f64> {
        self.trial.take().map(|trial| trial.before.budget)
    }

    /// Takes a judged block; `present`: what a trial would begin from.
    pub(super) fn on_block(&mut self, now: Instant, block: &LossBlock, present: Before) -> TrialOutcome {
        let Some(trial) = &mut self.trial else {
            let is_doubtful = present.is_settled && !present.has_queue && block.share > self.proven * PROVEN;
            if !(block.excess || is_doubtful) || now < self.pause_until {
                return TrialOutcome::Nothing;
            }
            self.trial = Some(Trial { loss: block.share, before: present, blocks: 0 });
            return TrialOutcome::Begin;
        };
        trial.blocks += 1;
        if trial.blocks < BLOCKS {
            return TrialOutcome::Nothing;
        }
        let Trial { loss, before, .. } = *trial;
        self.trial = None;
        self.pause_until = now + PAUSE;
        self.proven = block.share.max(UNPROVEN_MAX);
        if block.share < loss * EFFECT { TrialOutcome::Overflow(before) } else { TrialOutcome::Path(before) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUEUED: Before = Before { budget: 7.0, has_queue: true, is_settled: true };

    fn outcome_of(loss_in_trial: f64) -> TrialOutcome {
        let now = Instant::now();
        let mut trials = LossTrials::new(now);
        assert_eq!(trials.on_block(now, &LossBlock { share: 0.1, excess: true }, QUEUED), TrialOutcome::Begin);
        let block = LossBlock { share: loss_in_trial, excess: false };
        assert_eq!(trials.on_block(now, &block, Before { budget: 0.0, ..QUEUED }), TrialOutcome::Nothing);
        trials.on_block(now, &block, Before { budget: 0.0, ..QUEUED })
    }

    #[test]
    fn a_loss_that_goes_away_was_our_own() {
        assert_eq!(outcome_of(0.01), TrialOutcome::Overflow(QUEUED));
    }

    #[test]
    fn a_loss_that_stays_is_the_path() {
        assert_eq!(outcome_of(0.09), TrialOutcome::Path(QUEUED));
    }

    #[test]
    fn a_steady_loss_is_tried_once_where_no_queue_stands() {
        let now = Instant::now();
        let mut trials = LossTrials::new(now);
        let steady = LossBlock { share: 0.1, excess: false };
        let empty = Before { has_queue: false, ..QUEUED };
        for known in [QUEUED, Before { is_settled: false, ..empty }] {
            assert_eq!(trials.on_block(now, &steady, known), TrialOutcome::Nothing);
        }
        assert_eq!(trials.on_block(now, &steady, empty), TrialOutcome::Begin);
        trials.on_block(now, &steady, empty);
        assert_eq!(trials.on_block(now, &steady, empty), TrialOutcome::Path(empty));
        assert_eq!(trials.on_block(now + 2 * PAUSE, &steady, empty), TrialOutcome::Nothing);
    }

    #[test]
    fn the_next_trial_waits() {
        let now = Instant::now();
        let mut trials = LossTrials::new(now);
        let excess = LossBlock { share: 0.1, excess: true };
        for _ in 0..3 {
            trials.on_block(now, &excess, QUEUED);
        }
        assert_eq!(trials.on_block(now + PAUSE / 2, &excess, QUEUED), TrialOutcome::Nothing);
        assert_eq!(trials.on_block(now + PAUSE, &excess, QUEUED), TrialOutcome::Begin);
    }
}
