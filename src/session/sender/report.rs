//! Telling whoever watches.

use super::Sender;
use super::source::Work;
use crate::progress::{Event, Phase};
use crate::protocol::path::escape;
use crate::transfer::job::offers::Report;

impl Sender {
    pub(super) fn report(&self, report: Report<Work>) {
        let observer = &self.0.tools.observer;
        match report {
            Report::SearchEnded => observer.scan_ended(),
            Report::Started { progress, is_checked } => {
                if is_checked {
                    progress.set_phase(Phase::Checking);
                }
                observer.started(&progress);
            }
            Report::Begun(progress) => progress.begin(),
            Report::Compared(progress) => progress.set_phase(Phase::Moving),
            Report::Closed(progress) => progress.set_phase(Phase::Committing),
            Report::Written(progress, bytes) => observer.written(&progress, bytes),
            Report::Named(progress, name) => progress.set_name(name),
            Report::Finished(progress) => observer.finished(&progress),
            Report::Skipped { path, size, reason } => observer.skipped(path.to_string(), size, reason),
            Report::Planned { path, size, from, why, named } => {
                observer.planned(path.to_string(), size, from, why, named);
            }
            Report::Failed { name, failure } => observer.failed(escape(&name).to_string(), failure),
            Report::Note(text) => observer.event(Event::Note(text)),
        }
    }
}
