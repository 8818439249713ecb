//! Waiting for a partial file that cannot be opened now.

use std::time::Duration;

use super::{Driver, Receiver};
use crate::protocol::message::Status;
use crate::storage::{CopiedBy, StorageError};

/// How often, and how many times, a partial file that another transfer holds is tried again. Three seconds
/// outlast the ghost of this client's own lost connection; a living transfer of the same file does not end
/// that soon.
const BUSY_WAIT: Duration = Duration::from_millis(200);
const BUSY_WAITS_MAX: u32 = 15;

/// The same when this process has too many files open: the committer closes hundreds a second.
const FILES_WAITS_MAX: u32 = 150;

impl<D: Driver> Receiver<D> {
    pub(super) fn may_wait(&self, error: &StorageError, waits: u32) -> bool {
        let limit = match error.status() {
            // It ends with the copy, or with the connection.
            _ if error.copying().is_some() => u32::MAX,
            Status::Busy => BUSY_WAITS_MAX,
            _ if error.is_out_of_files() => FILES_WAITS_MAX,
            _ => 0,
        };
        waits < limit
    }

    /// Does `work` again on a disk thread when what was in its way may be out of it.
    pub(super) fn try_again(&self, error: &StorageError, work: impl FnOnce() + Send + 'static) {
        if error.copying() == Some(CopiedBy::Here) {
            self.0.driver.spawn(work);
        } else {
            // No disk thread sits that out.
            self.0.driver.spawn_later(BUSY_WAIT, work);
        }
    }
}
