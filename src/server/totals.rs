//! The totals of one connection.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::job::ServerJob;
use super::status::Direction;
use super::{Notice, Peer};
use crate::progress::Counters;

/// The totals of one connection.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct ConnectionTotals {
    files_in: u64,
    files_out: u64,
    bytes_in: u64,
    bytes_out: u64,
    /// Files that were moved, or were there already, in jobs that were no rehearsals.
    settled: u64,
    failed: u64,
}

impl fmt::Display for ConnectionTotals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { files_in, files_out, bytes_in, bytes_out, settled, failed } = self;
        write!(
            f,
            "{files_in} files ({bytes_in} B) in, {files_out} ({bytes_out} B) out, {settled} settled, {failed} failed"
        )
    }
}

impl ConnectionTotals {
    /// The news of the end of a connection.
    pub(super) fn notice(self, worker: usize, peer: Arc<Peer>, elapsed: Duration, why: String) -> Notice {
        let Self { files_in, files_out, bytes_in, bytes_out, .. } = self;
        Notice::Disconnected { worker, peer, why, elapsed, files_in, files_out, bytes_in, bytes_out }
    }

    /// Adds what one job amounted to.
    pub(super) fn add(&mut self, job: &ServerJob) {
        let files = Counters::read(&job.counters().files_done);
        let bytes = Counters::read(&job.counters().bytes_written);
        let (all_files, all_bytes) = match job.direction() {
            Direction::In => (&mut self.files_in, &mut self.bytes_in),
            Direction::Out => (&mut self.files_out, &mut self.bytes_out),
        };
        *all_files += files;
        *all_bytes += bytes;
        if !job.is_rehearsal() {
            self.settled += job.settled();
            self.failed += Counters::read(&job.counters().files_failed);
        }
    }

    /// Whether files were moved, and all of them well.
    pub(super) fn went_well(&self) -> bool {
        self.settled > 0 && self.failed == 0
    }
}
