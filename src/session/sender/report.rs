//! Telling whoever watches.

use std::sync::Arc;

use super::source::SenderFiles;
use super::{Sender, SenderTools};
use crate::progress::{Event, FileProgress, Observer, Phase};
use crate::session::record::Record;
use crate::storage::ByteFiles;
use crate::transfer::job::offers::{Attached, Report};

impl<F: ByteFiles> Sender<F> {
    pub(super) fn report(&self, report: Report<SenderFiles<F>>) {
        let SenderTools { observer, record, own_tree, .. } = &self.0.tools;
        tell(observer, record, *own_tree, report);
    }
}

/// Tells whoever watches. `own_tree`: the files are those of the user at this end.
pub(crate) fn tell<A>(observer: &Observer, record: &Record, own_tree: bool, report: Report<A>)
where
    A: Attached<Progress = Arc<FileProgress>>,
{
    match report {
        Report::SearchEnded => observer.scan_ended(),
        Report::Started { progress, is_checked } => {
            if is_checked {
                progress.set_phase(Phase::Checking);
            }
            record.started(observer, &progress);
        }
        Report::Begun(progress) => progress.begin(),
        Report::Compared(progress) => progress.set_phase(Phase::Moving),
        Report::Closed(progress) => progress.set_phase(Phase::Committing),
        Report::Written(progress, bytes) => observer.written(&progress, bytes),
        Report::Named(progress, name) => progress.set_name(name),
        Report::Finished { path, progress } => record.finished(observer, &path, &progress),
        Report::Skipped { path, size, reason } => record.skipped(observer, &path, size, reason),
        Report::Planned { path, size, from, why, named } => {
            record.planned(observer, &path, size, from, why, named);
        }
        Report::Failed { name, failure } if own_tree => record.failed(observer, &name, failure),
        Report::Failed { name, failure } => record.failed_there(observer, &name, failure),
        Report::Note(text) => observer.event(Event::Note(text)),
    }
}
