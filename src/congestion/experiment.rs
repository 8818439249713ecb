//! What an experiment is, and what it goes by.

use std::time::Instant;

use super::config::Phase;
use super::model::PathModel;
use super::model::loss::LossBlock;
use super::model::rtt::DrainFinding;

/// Rounds after a drain or a probe until a round's queue and rate are those of cruising again.
pub(super) const SETTLE_ROUNDS: u32 = 2;
/// Rounds after a drain or a probe until the next probe: flows drain together, and shares move for some rounds.
pub(super) const CALM_ROUNDS: u32 = 12;

/// An experiment with the window: what is sent while it runs shows what the path does not show by itself.
pub(super) trait Experiment {
    type Finding;

    /// Whether it is to begin.
    fn is_due(&mut self, model: &PathModel, at: &Moment) -> bool;

    /// Bytes in flight while it runs.
    fn window(&self, model: &PathModel, at: &Moment) -> f64;

    /// What it has found at the end of a round; nothing while it goes on.
    fn on_round(&mut self, model: &PathModel, at: &Moment) -> Option<Self::Finding>;
}

/// What an experiment goes by, besides the model.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) now: Instant,
    pub(super) phase: Phase,
    /// Rounds since the present phase, probe or trial began.
    pub(super) phase_rounds: u32,
    pub(super) window: u64,
    /// The queue budget in it.
    pub(super) budget: f64,
    /// Competitive mode is on, also while a drain tests whether it still need be.
    pub(super) is_contested: bool,
    /// The block of packets that ended with the round.
    pub(super) block: Option<LossBlock>,
    /// What the drain that ended with the round has found.
    pub(super) drained: Option<DrainFinding>,
}
