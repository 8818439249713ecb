//! Where a receiver writes, for a sender on the same machine.

use serde::{Deserialize, Serialize};

/// The directory that the files of a job go to, so that its sender, if it is on the same machine, does not send it into
/// itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Location {
    /// What the directory signs as: whoever is on the same machine and comes across it recognises it, and to everybody else
    /// these are random bytes. `None` when it cannot be told.
    pub proof: Option<[u8; 32]>,
}
