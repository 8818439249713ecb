//! The rules of one job: many files, over one connection.
//!
//! * [`answers`]: the receiver's ledger; [`offers`]: the sender's.
//! * [`early`]: content that leaves before its file was answered.
//! * [`report`]: what a ledger tells of to whoever watches.
//! * [`reoffer`]: files that changed and are offered again, and what crosses that.
//! * [`settled`]: what a job has settled over all its connections; [`names`]: names in little room.
//! * [`twins`]: names that the disk may take for one.
//!
//! A ledger is fed messages, names and what came of disk work, and says what is to be done. It holds no lock, waits for
//! nothing and touches no file; `session` carries out.

pub(crate) mod answers;
pub(crate) mod early;
pub(crate) mod names;
pub(crate) mod offers;
mod reoffer;
pub(crate) mod report;
#[cfg(test)]
mod script;
pub(crate) mod settled;
pub(crate) mod twins;

use super::Violation;

/// The peer did not keep to the rules of a job, or asks for too much: the connection is closed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum JobError {
    /// The peer broke the rules of a file.
    #[error(transparent)]
    File(#[from] Violation),
    /// The peer said something that has no place there.
    #[error("{0}")]
    Order(&'static str),
    /// The peer makes this end hold more than there is room for.
    #[error("no room")]
    Overloaded,
}
