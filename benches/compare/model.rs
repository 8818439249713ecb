//! The link's model is the simulator's: what it predicts and what is measured differ by the programs alone.

#[path = "../../tests/support/sim/link.rs"]
#[allow(dead_code, unreachable_pub, reason = "the simulator uses more of it")]
pub(crate) mod link;
#[path = "../../tests/support/sim/policer.rs"]
#[allow(unreachable_pub, reason = "the simulator uses more of it")]
pub(crate) mod policer;
#[path = "../../tests/support/sim/rng.rs"]
#[allow(dead_code, unreachable_pub, reason = "the simulator uses more of it")]
pub(crate) mod rng;
