//! In virtual time: the congestion controller, the links and their rivals, without a clock and without a socket.
#![allow(unreachable_pub, reason = "a test program has no outside")]

#[path = "../support/alone.rs"]
mod alone;
mod congestion;
mod recall;
mod simulator;
mod stall;

use qft_sim as sim;
