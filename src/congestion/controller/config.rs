//! The configuration of a connection's controller.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use quinn_proto::congestion::{Controller, ControllerFactory};

use super::PathController;
use crate::congestion::careful_resume::PastPath;
use crate::congestion::state::PathState;
use crate::congestion::without::Without;

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

impl ControllerFactory for ControllerConfig {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        Box::new(PathController::new(self, now, current_mtu))
    }
}
