//! Telling whoever watches.

use tracing::debug;

use super::{Driver, Receiver, ReceiverCommon, ReceiverFiles};
use crate::progress::{Event, FilePhase};
use crate::protocol::path::escape;
use crate::storage::StorageError;
use crate::transfer::job::answers::AnswersReport;

impl<D: Driver> Receiver<D> {
    pub(super) fn report(&self, report: AnswersReport<ReceiverFiles<D>>) {
        let ReceiverCommon { observer, record, .. } = &self.0.tools;
        match report {
            AnswersReport::Found { path, size } => record.found(observer, &path, size),
            AnswersReport::SearchEnded => observer.scan_ended(),
            AnswersReport::Skipped { path, size, reason } => record.skipped(observer, &path, size, reason),
            AnswersReport::Planned { path, size, from, why, named } => {
                record.planned(observer, &path, size, from, why, named.map(|name| name.to_string()));
            }
            AnswersReport::Started(progress) => record.started(observer, &progress),
            AnswersReport::Hashed(progress) => progress.set_phase(FilePhase::Moving),
            AnswersReport::Complete(progress) => progress.set_phase(FilePhase::Committing),
            AnswersReport::Named(progress, name) => progress.set_name(name.to_string()),
            AnswersReport::Finished { path, progress } => record.finished(observer, &path, &progress),
            AnswersReport::Failed { name, failure } => {
                debug!(name = %escape(&name), %failure, "file failed");
                record.failed_there(observer, &name, failure);
            }
            AnswersReport::Note(text) => observer.event(Event::Note(text)),
        }
    }

    /// Says, once a job, that a time or a mode could not be set.
    pub(super) fn remark_unset(&self, error: &StorageError) {
        debug!(%error, "not carried over");
        if !std::mem::replace(&mut self.notes().unset_said, true) {
            // Of a directory nothing is known here of what is in it.
            let text = format!("{error}; no content is lost by that, and this is said once");
            self.feed(|ledger| ledger.remark(text));
        }
    }
}
