//! Telling whoever watches.

use super::source::Work;
use super::{Sender, Tools};
use crate::progress::{Event, Phase};
use crate::transfer::job::offers::Report;

impl Sender {
    pub(super) fn report(&self, report: Report<Work>) {
        let Tools { observer, record, own_tree, .. } = &self.0.tools;
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
            Report::Failed { name, failure } if *own_tree => record.failed(observer, &name, failure),
            Report::Failed { name, failure } => record.failed_there(observer, &name, failure),
            Report::Note(text) => observer.event(Event::Note(text)),
        }
    }
}
