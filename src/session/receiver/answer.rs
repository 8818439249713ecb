//! The work that follows from an answer.

use std::sync::Arc;

use super::file::FileIo;
use super::{Driver, Receiver};
use crate::progress::{FilePhase, FileProgress};
use crate::protocol::message::{Header, SkipReason};
use crate::protocol::path::WirePath;
use crate::storage::{DirMeta, DirMode};
use crate::transfer::file::ReceiveFile;
use crate::transfer::file::resume::Start;

impl<D: Driver> Receiver<D> {
    /// A directory or a link is in place.
    pub(super) fn on_made(&self, header: &Header, path: &WirePath, directory: bool) {
        if directory {
            self.keep_for_the_end(path, DirMeta { mtime: header.mtime, mode: DirMode::Narrowed(header.mode) });
        }
        self.feed(|ledger| ledger.skip(header.id, SkipReason::Made));
    }

    /// On a disk thread: the content of an offer is wanted.
    pub(super) fn on_start(&self, header: &Header, path: WirePath, start: Start) {
        if self.0.options.dry_run {
            let named = self.destination(header).ok().filter(|asked| *asked != path).map(|_| path.last());
            return self.feed(|ledger| ledger.plan_only(header.id, start.from, start.why, named));
        }
        let progress = FileProgress::new(header.path.to_string(), header.size, start.from, start.why);
        if start.from > 0 {
            progress.set_phase(FilePhase::Checking);
        }
        let io = Arc::new(FileIo::new(&self.0.options, self.0.tools.account.clone(), path, header, start));
        let rules = ReceiveFile::new(header.size, start.from, &self.0.tools.hasher);
        // An empty file is complete.
        if let Some(complete) = self.feed(|ledger| ledger.open(header.id, &start, rules, io, Arc::new(progress))) {
            self.sum_up(complete);
        }
    }
}
