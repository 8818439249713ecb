//! A link simulator in virtual time: two `quinn_proto` endpoints per flow, one shared bottleneck each way.
//!
//! There is no clock and no socket in it. The same scenario and seed give the same figures on any machine, however busy.
//! Data flow from client to server. Time is counted from the start; `quinn_proto` sees `base + time`.
#![allow(dead_code, unused_imports, reason = "the tests and the bench use different parts of it")]

mod crypto;
mod host;
mod link;
mod rng;
mod scenario;
mod world;

pub use crypto::Tls;
pub use link::{LinkConfig, Loss, Stalls, bytes_in};
pub use scenario::{Brake, Factory, FlowConfig, Lull, Report, Scenario};
pub use world::run;
