//! A link simulator in virtual time: two `quinn_proto` endpoints per flow, or two ends of a TCP connection,
//! and one shared bottleneck each way.
//!
//! There is no clock and no socket in it. The same scenario and seed give the same figures on any machine, however busy.
//! Data flow from client to server. Time is counted from the start; `quinn_proto` sees `base + time`.
#![allow(missing_docs, reason = "what the tests and benches of this repository alone use says by its name what it is")]
#![allow(unreachable_pub, reason = "the bench `compare` takes some of these files as modules of its own")]

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
