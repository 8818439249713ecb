//! Telling whoever watches.

use std::sync::Arc;

use super::Sender;
use super::source::SenderFiles;
use crate::progress::{Event, FilePhase, FileProgress, Observer};
use crate::session::JobTools;
use crate::session::record::Record;
use crate::storage::ByteFiles;
use crate::transfer::job::offers::{OffersAttached, OffersReport};

impl<F: ByteFiles> Sender<F> {
    pub(super) fn report(&self, report: OffersReport<SenderFiles<F>>) {
        let JobTools { observer, record, .. } = &self.0.tools;
        tell(observer, record, self.0.options.own_tree, report);
    }
}

/// Tells whoever watches. `own_tree`: the files are those of the user at this end.
pub(crate) fn tell<A>(observer: &Observer, record: &Record, own_tree: bool, report: OffersReport<A>)
where
    A: OffersAttached<Progress = Arc<FileProgress>>,
{
    match report {
        OffersReport::SearchEnded => observer.scan_ended(),
        OffersReport::Started { progress, is_checked } => {
            if is_checked {
                progress.set_phase(FilePhase::Checking);
            }
            record.started(observer, &progress);
        }
        OffersReport::Begun(progress) => progress.begin(),
        OffersReport::Compared(progress) => progress.set_phase(FilePhase::Moving),
        OffersReport::Closed(progress) => progress.set_phase(FilePhase::Committing),
        OffersReport::Written(progress, bytes) => observer.written(&progress, bytes),
        OffersReport::Named(progress, name) => progress.set_name(name),
        OffersReport::Finished { path, progress } => record.finished(observer, &path, &progress),
        OffersReport::Skipped { path, size, reason } => record.skipped(observer, &path, size, reason),
        OffersReport::Planned { path, size, from, why, named } => {
            record.planned(observer, &path, size, from, why, named);
        }
        OffersReport::Failed { name, failure, by_peer } if own_tree => record.failed(observer, &name, failure, by_peer),
        OffersReport::Failed { name, failure, by_peer } => record.failed_there(observer, &name, failure, by_peer),
        OffersReport::Note(text) => observer.event(Event::Note(text)),
    }
}
