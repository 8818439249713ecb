//! Our congestion controller: a rate model for links that lose packets at random.

mod allowance;
mod contest;
mod controller;
pub(crate) mod farewell;
mod filter;
mod loss;
mod rate;
mod state;

pub use controller::{ControllerConfig, PathController};
pub use state::{PathSnapshot, PathState, Phase};
