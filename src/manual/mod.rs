//! Why qft is built this way. Prose only; the facts are with the code that they are about.
//!
//! | file | tells |
//! |---|---|
//! | [`design`] | the decisions, with what was measured |
//! | [`security`] | who is let in, and what an attacker met |
//! | [`limits`] | what a peer can make this end hold or do |
//! | [`tuning`] | advice on links and machines |
//! | [`extending`] | how to add a message, an option, a store |

pub mod design;
pub mod extending;
pub mod limits;
pub mod security;
pub mod tuning;
