//! Counts of a job that only its events tell.

use super::decision::DryRunFinding;
use super::outcome::{self, FileOutcome};
use crate::progress::FileProgress;
use crate::protocol::message::Why;

/// Counts that only events tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct EventTally {
    /// Files with the same size and time there.
    pub(crate) same: u64,
    /// Files that exist there and stay.
    pub(crate) kept: u64,
    /// Files of which only the permission bits differed: they are set, or would be.
    pub(crate) modes: u64,
    /// Directories and links, which count as done but are no files to the user.
    pub(crate) made: u64,
    /// Files that were compared, and whose content was there already.
    pub(crate) equal: u64,
    /// Files of whose old versions a part was replaced.
    pub(crate) updated: u64,
    /// Bytes of those that stayed.
    pub(crate) matched_bytes: u64,
    /// Bytes of unfinished files that were continued.
    pub(crate) resumed_bytes: u64,
    /// Bytes that are zero and were not moved.
    pub(crate) hole_bytes: u64,
    /// Files that a dry run would transfer whole, or the rest of.
    pub(crate) planned: u64,
    /// Files that it would update.
    pub(crate) planned_updates: u64,
    /// Files that it would compare.
    pub(crate) planned_compares: u64,
    pub(crate) planned_bytes: u64,
    /// Bytes of them that are there already.
    pub(crate) planned_there: u64,
}

impl EventTally {
    pub(super) fn finished(&mut self, file: &FileProgress) {
        self.hole_bytes += outcome::holes(file);
        match FileOutcome::of(file) {
            FileOutcome::Sent => {}
            FileOutcome::Resumed => self.resumed_bytes += file.reused(),
            FileOutcome::Updated => {
                self.updated += 1;
                self.matched_bytes += file.reused();
            }
            FileOutcome::Equal => self.equal += 1,
        }
    }

    pub(super) fn planned(&mut self, why: Why, from: u64, size: u64) {
        match DryRunFinding::of(why, from, size, false) {
            DryRunFinding::Compare => self.planned_compares += 1,
            DryRunFinding::Update => self.planned_updates += 1,
            DryRunFinding::New | DryRunFinding::Rename | DryRunFinding::Replace | DryRunFinding::Resume => {
                self.planned += 1
            }
        }
        // A server may offer more than any disk has.
        self.planned_bytes = self.planned_bytes.saturating_add(size);
        self.planned_there = self.planned_there.saturating_add(from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_for_more_than_any_disk_has_are_counted_and_no_more() {
        let mut tally = EventTally::default();
        (0..3).for_each(|_| tally.planned(Why::New, 0, u64::MAX / 2));
        assert_eq!((tally.planned, tally.planned_bytes), (3, u64::MAX));
    }
}
