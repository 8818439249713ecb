//! The results of a job over all its connections, in which nothing counts twice.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use tracing::debug;

use crate::progress::{Event, FILES_MOVING_MAX, FilePhase, FileProgress, Observer};
use crate::protocol::message::{Failure, SkipReason, Why};
use crate::protocol::path::{WirePath, escape};
use crate::transfer::job::report::LedgerReport;
use crate::transfer::job::settled::{NameFound, NameOutcome, Settled};

/// Stands before the place of a source in a served directory where it is no name that files go by. No wire path begins like
/// this, so the two are never taken for each other.
pub(crate) const SERVED: &[u8] = b"./";

/// The record of one job. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Record {
    job: Option<Arc<Mutex<JobRecord>>>,
    /// The connection that this one belongs to: what works over it has a clone.
    connection: Arc<ConnectionNumber>,
}

/// Connections of a job count up.
#[derive(Default)]
struct ConnectionNumber(u64);

#[derive(Default)]
struct JobRecord {
    settled: Settled,
    /// Connections that were lost.
    lost: u64,
    /// Those over which something may be at work still.
    at_work: Vec<Weak<ConnectionNumber>>,
    /// Files that have started and are not settled; the bytes that they wrote are counted.
    moving: HashMap<String, Arc<FileProgress>>,
}

impl JobRecord {
    /// Remembers a file that has started, and gives the one that it goes on with. A server may begin others over each
    /// connection: without room for more, what they brought before counts as found.
    fn move_file(&mut self, file: &Arc<FileProgress>) -> Option<Arc<FileProgress>> {
        if self.moving.len() >= FILES_MOVING_MAX && !self.moving.contains_key(&file.path) {
            return None;
        }
        self.moving.insert(file.path.clone(), file.clone())
    }
}

impl Record {
    /// Of a job that goes on over another connection when one is lost. The default is that of a job which ends with its
    /// connection, as a server's do: it remembers no names, of which a peer could send any number.
    pub(crate) fn of_job() -> Self {
        Self { job: Some(Arc::default()), connection: Arc::default() }
    }

    /// The record for what works over the present connection.
    pub(crate) fn of_connection(&self) -> Self {
        let Some(mut kept) = self.kept() else { return Self::default() };
        let connection = Arc::new(ConnectionNumber(kept.lost));
        kept.at_work.retain(|other| other.strong_count() > 0);
        kept.at_work.push(Arc::downgrade(&connection));
        Self { job: self.job.clone(), connection }
    }

    fn kept(&self) -> Option<MutexGuard<'_, JobRecord>> {
        Some(self.job.as_ref()?.lock().expect("no holder panics"))
    }

    /// The connection is lost, and there is to be another one.
    pub(crate) fn on_connection_lost(&self) {
        if let Some(mut kept) = self.kept() {
            kept.settled.on_connection_lost();
            kept.lost += 1;
        }
    }

    /// Whether the job has had a connection before this one, as far as this end knows.
    pub(crate) fn is_continued(&self) -> bool {
        self.kept().is_some_and(|kept| kept.lost > 0)
    }

    /// Whether something that was begun over an earlier connection may still be done, such as a commit: what it comes to is not
    /// on record yet.
    pub(crate) fn is_earlier_at_work(&self) -> bool {
        let is_at_work =
            |other: &Weak<ConnectionNumber>| other.upgrade().is_some_and(|other| other.0 < self.connection.0);
        self.kept().is_some_and(|kept| kept.at_work.iter().any(is_at_work))
    }

    /// Whether a name was settled over this connection or an earlier one, and need not be offered.
    pub(crate) fn is_settled(&self, name: &WirePath) -> bool {
        self.kept().is_some_and(|kept| kept.settled.is_settled(name.as_bytes()))
    }

    /// Whether a name was done, or needed nothing, over an earlier connection, and need not be asked for.
    pub(crate) fn was_done_before(&self, name: &WirePath) -> bool {
        self.kept().is_some_and(|kept| kept.settled.was_done_before(name.as_bytes()))
    }

    /// Tells whoever watches of what a ledger reports. `own_tree`: the files are those of the user at this end.
    pub(crate) fn tell(&self, observer: &Observer, own_tree: bool, report: LedgerReport<Arc<FileProgress>>) {
        match report {
            LedgerReport::Found { path, size } => drop(self.found(observer, &path, size)),
            LedgerReport::SearchEnded => observer.scan_ended(),
            LedgerReport::Started { progress, is_checked } => {
                if is_checked {
                    progress.set_phase(FilePhase::Checking);
                }
                self.started(observer, &progress);
            }
            LedgerReport::Begun(progress) => progress.begin(),
            LedgerReport::Compared(progress) => progress.set_phase(FilePhase::Moving),
            LedgerReport::Complete(progress) => progress.set_phase(FilePhase::Committing),
            LedgerReport::Written(progress, bytes) => observer.written(&progress, bytes),
            LedgerReport::Named(progress, name) => progress.set_name(name),
            LedgerReport::Finished { path, progress } => self.finished(observer, &path, &progress),
            LedgerReport::Skipped { path, size, reason } => self.skipped(observer, &path, size, reason),
            LedgerReport::Planned { path, size, from, why, named } => {
                self.planned(observer, &path, size, from, why, named);
            }
            LedgerReport::Failed { name, failure, by_peer } => {
                debug!(name = %escape(&name), %failure, by_peer, "file failed");
                // Nobody has typed what stands before a name below a served directory.
                let shown = if own_tree { &name[..] } else { name.strip_prefix(SERVED).unwrap_or(&name) };
                self.failed(observer, &name, shown, failure, by_peer);
            }
            LedgerReport::Note(text) => observer.event(Event::Note(text)),
        }
    }

    /// A file is part of the job. Tells whether it was settled over this connection or an earlier one, and need not be offered.
    pub(crate) fn found(&self, observer: &Observer, name: &WirePath, size: u64) -> bool {
        let found = self.kept().map_or(NameFound::New, |mut kept| kept.settled.find(name.as_bytes()));
        if found == NameFound::New {
            observer.found(size);
        }
        found == NameFound::Settled
    }

    /// A file's content begins to move.
    fn started(&self, observer: &Observer, file: &Arc<FileProgress>) {
        let before = self.kept().and_then(|mut kept| kept.move_file(file));
        observer.started(file, before.map_or(0, |before| file.follow(&before)));
    }

    /// A file is committed.
    fn finished(&self, observer: &Observer, name: &WirePath, file: &Arc<FileProgress>) {
        let is_news = self.settle(name.as_bytes(), &file.path, NameOutcome::Done).is_some();
        observer.finished(file, is_news);
    }

    /// A file needed no content.
    fn skipped(&self, observer: &Observer, name: &WirePath, size: u64, reason: SkipReason) {
        let shown = name.to_string();
        if let Some(written) = self.settle(name.as_bytes(), &shown, NameOutcome::Done) {
            observer.skipped(shown, size, reason, written);
        }
    }

    /// In a dry run: what would happen to a file.
    fn planned(&self, observer: &Observer, name: &WirePath, size: u64, from: u64, why: Why, named: Option<String>) {
        let shown = name.to_string();
        if self.settle(name.as_bytes(), &shown, NameOutcome::Done).is_some() {
            observer.planned(shown, size, from, why, named);
        }
    }

    /// A file, or a name, failed for good; `by_peer`: so the other end has said.
    fn failed(&self, observer: &Observer, name: &[u8], shown: &[u8], failure: Failure, by_peer: bool) {
        if self.settle(name, &escape(name).to_string(), NameOutcome::Failed).is_some() {
            observer.failed(escape(shown).to_string(), failure, by_peer);
        }
    }

    /// Notes that a name is settled, and says how much of it the job has written so far; `None` when it was before.
    fn settle(&self, name: &[u8], shown: &str, outcome: NameOutcome) -> Option<u64> {
        let Some(mut kept) = self.kept() else { return Some(0) };
        // Most files that need nothing are run through while none moves.
        let moved = if kept.moving.is_empty() { None } else { kept.moving.remove(shown) };
        let is_late = self.connection.0 < kept.lost;
        let is_news =
            if is_late { kept.settled.settle_late(name, outcome) } else { kept.settled.settle(name, outcome) };
        is_news.then(|| moved.map_or(0, |file| file.written_in_all()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Counters;
    use crate::protocol::message::Status;

    fn name() -> WirePath {
        WirePath::parse(b"a").expect("a plain name")
    }

    fn start(record: &Record, observer: &Observer, resumed: u64) -> Arc<FileProgress> {
        let file = Arc::new(FileProgress::new("a".into(), 100, resumed, Why::Resume));
        record.started(observer, &file);
        file
    }

    #[test]
    fn what_a_lost_connection_brought_is_not_resumed() {
        let (record, (observer, _events)) = (Record::of_job(), Observer::new());
        observer.written(&start(&record, &observer, 10), 20);
        observer.written(&start(&record, &observer, 30), 30);
        let last = start(&record, &observer, 60);
        assert_eq!(last.reused(), 10);
        observer.written(&last, 40);
        record.finished(&observer, &name(), &last);
        let counters = observer.counters();
        assert_eq!((Counters::read(&counters.bytes_written), Counters::read(&counters.bytes_resumed)), (90, 10));
    }

    #[test]
    fn what_a_lost_connection_did_not_live_to_tell_is_of_this_job_too() {
        for (first, why) in [(0, Why::New), (10, Why::Resume)] {
            let (record, (observer, _events)) = (Record::of_job(), Observer::new());
            let file = Arc::new(FileProgress::new("a".into(), 100, first, why));
            record.started(&observer, &file);
            observer.written(&file, 20);
            // The receiver had written 15 more.
            let last = start(&record, &observer, first + 35);
            assert_eq!((last.reused(), last.written_in_all(), last.first_why()), (first, 35, why));
            observer.written(&last, 65 - first);
            record.finished(&observer, &name(), &last);
            let counters = observer.counters();
            let totals = [&counters.bytes_written, &counters.bytes_resumed].map(Counters::read);
            assert_eq!(totals, [100 - first, first]);
        }
    }

    #[test]
    fn each_name_is_told_of_once_over_all_connections() {
        let (record, (observer, mut events)) = (Record::of_job(), Observer::new());
        for is_settled in [false, true] {
            assert_eq!(record.found(&observer, &name(), 7), is_settled);
            record.skipped(&observer, &name(), 1, SkipReason::Same);
            record.failed(&observer, b"b", b"b", Failure::new(Status::NotAllowed, ""), false);
            record.planned(&observer, &WirePath::parse(b"c").expect("a plain name"), 1, 0, Why::New, None);
            record.on_connection_lost();
        }
        assert_eq!(std::iter::from_fn(|| events.try_recv().ok()).count(), 3);
        assert_eq!(Counters::read(&observer.counters().files_found), 1);
        assert!(record.is_settled(&name()) && record.was_done_before(&name()) && record.is_continued());
    }

    #[test]
    fn what_an_earlier_connection_has_left_is_on_record_as_its_own_and_is_waited_for() {
        let (job, (observer, _events)) = (Record::of_job(), Observer::new());
        let first = job.of_connection();
        assert!(!first.is_earlier_at_work() && !first.is_continued());
        job.on_connection_lost();
        let second = job.of_connection();
        assert!(second.is_earlier_at_work() && !first.is_earlier_at_work() && second.is_continued());
        first.skipped(&observer, &name(), 1, SkipReason::Same);
        assert!(second.was_done_before(&name()), "it was done over the first");
        drop(first);
        assert!(!second.is_earlier_at_work());
        job.on_connection_lost();
        assert!(job.of_connection().is_earlier_at_work(), "the second is not at its end");
    }

    #[test]
    fn of_files_that_begin_and_do_not_end_over_any_number_of_connections_some_are_remembered() {
        let (record, (observer, _events)) = (Record::of_job(), Observer::new());
        for n in 0..2 * FILES_MOVING_MAX {
            record.started(&observer, &Arc::new(FileProgress::new(n.to_string(), 100, 0, Why::New)));
            if n % 1000 == 0 {
                record.on_connection_lost();
            }
        }
        assert_eq!(record.kept().expect("it is kept").moving.len(), FILES_MOVING_MAX);
    }

    #[test]
    fn a_job_of_one_connection_remembers_nothing() {
        let (record, (observer, mut events)) = (Record::default(), Observer::new());
        for _ in 0..2 {
            record.skipped(&observer, &name(), 1, SkipReason::Same);
            record.on_connection_lost();
        }
        assert_eq!(std::iter::from_fn(|| events.try_recv().ok()).count(), 2);
        assert!(!record.is_settled(&name()) && !record.was_done_before(&name()) && !record.is_continued());
    }

    #[test]
    fn a_file_whose_end_was_not_heard_counts_once() {
        let (record, (observer, _events)) = (Record::of_job(), Observer::new());
        observer.written(&start(&record, &observer, 0), 70);
        record.skipped(&observer, &name(), 100, SkipReason::Same);
        let counters = observer.counters();
        assert_eq!((Counters::read(&counters.bytes_written), Counters::read(&counters.bytes_skipped)), (70, 30));
    }
}
