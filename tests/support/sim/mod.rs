//! A link simulator in virtual time: two `quinn_proto` endpoints per flow, or two ends of a TCP connection,
//! and one shared bottleneck each way.
//!
//! There is no clock and no socket in it. The same scenario and seed give the same figures on any machine, however busy.
//! Data flow from client to server. Time is counted from the start; `quinn_proto` sees `base + time`.
#![allow(dead_code, unused_imports, reason = "the tests and the bench use different parts of it")]

mod aqm;
mod crypto;
mod end;
mod event;
mod host;
mod link;
mod policer;
mod rng;
mod scenario;
mod tcp;
mod way;
mod world;

pub use crypto::Tls;
pub use link::{Discipline, LinkConfig, Loss, Stalls, bytes_in};
pub use policer::Policer;
pub use scenario::{Brake, Factory, FlowConfig, FlowReport, Lull, Report, Scenario, TracePoint};
pub use tcp::{Control, TcpConfig};
pub use world::run;
