//! One job of a client's: its counters, and the files that are moving.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::{Instant, SystemTime};

use super::history::{HistoryEntry, JobOutcome};
use super::live_connection::LiveConnection;
use super::meter::ConnectionEnd;
use super::rate_window::{RateWindow, per_second, share_lost};
use super::status::{self, Direction, millis};
use crate::calendar;
use crate::progress::{Counters, Event, FilePhase, FileProgress};
use crate::protocol::close::CloseCode;
use crate::protocol::message::SkipReason;
use crate::session::receiver::Receiver;
use crate::session::sender::Sender;
use crate::transport::canonical;

/// Files that a copy of a job names.
const FILES_NAMED_MAX: usize = 4;
/// Characters of a name that a copy holds.
const NAME_CHARS_MAX: usize = 256;

/// The role of this end in a job.
pub(super) enum JobRole {
    /// It takes files.
    Receiver(Receiver),
    /// It gives files.
    Sender(Sender),
}

/// One job, the last one of its direction.
pub(super) struct ServerJob {
    role: JobRole,
    counters: Arc<Counters>,
    moving: Arc<Moving>,
    /// Nothing is done: the client wants to know what would be.
    is_rehearsal: bool,
    since: Instant,
    /// When it was seen to be over.
    ended: OnceLock<Instant>,
    /// It is in the history.
    is_told: AtomicBool,
    recent: Mutex<RateWindow<RateTotals>>,
}

/// The totals that a job's rates are computed from.
#[derive(Debug, Default, Clone, Copy)]
struct RateTotals {
    written: u64,
    /// Packets sent by its sender, and those of them that were lost.
    packets: (u64, u64),
}

impl RateTotals {
    fn of(counters: &Counters) -> Self {
        let packets = (Counters::read(&counters.packets_sent), Counters::read(&counters.packets_lost));
        Self { written: Counters::read(&counters.bytes_written), packets }
    }
}

impl std::fmt::Debug for ServerJob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job").field("direction", &self.direction()).field("counters", &self.counters).finish()
    }
}

impl ServerJob {
    /// A job that begins now; `moving` hears of its events.
    pub(super) fn new(role: JobRole, counters: Arc<Counters>, moving: Arc<Moving>, is_rehearsal: bool) -> Self {
        let since = Instant::now();
        let recent = Mutex::new(RateWindow::new(since, RateTotals::default()));
        let (ended, is_told) = (OnceLock::new(), AtomicBool::new(false));
        Self { role, counters, moving, is_rehearsal, since, ended, is_told, recent }
    }

    pub(super) fn direction(&self) -> Direction {
        match self.role {
            JobRole::Receiver(_) => Direction::In,
            JobRole::Sender(_) => Direction::Out,
        }
    }

    pub(super) fn counters(&self) -> &Counters {
        &self.counters
    }

    pub(super) fn is_rehearsal(&self) -> bool {
        self.is_rehearsal
    }

    /// Files that need nothing more. What a client got it may have acknowledged in a packet that its CONNECTION_CLOSE
    /// overtook, so that what was found counts there.
    pub(super) fn settled(&self) -> u64 {
        let counters = &self.counters;
        match self.role {
            JobRole::Receiver(_) => Counters::read(&counters.files_done) + Counters::read(&counters.files_skipped),
            JobRole::Sender(_) => Counters::read(&counters.files_found),
        }
    }

    /// Whether something of it is left to do.
    pub(super) fn is_running(&self) -> bool {
        match &self.role {
            JobRole::Receiver(receiver) => !receiver.is_finished(),
            JobRole::Sender(sender) => !sender.is_finished(),
        }
    }

    /// Notes that it is over, the first time that it is seen to be so.
    pub(super) fn note_end(&self, now: Instant) {
        self.ended.get_or_init(|| now);
    }

    /// The client has left and says that it is done. What it got it may have acknowledged in a packet that its
    /// CONNECTION_CLOSE overtook: that counts, in `all` jobs of its direction, too.
    pub(super) fn hear_close(&self, all: &Counters) {
        let counters = &self.counters;
        if !self.is_running() || self.direction() == Direction::In || Counters::read(&counters.files_failed) > 0 {
            return;
        }
        let sum = |parts: &[&AtomicU64]| parts.iter().map(|part| Counters::read(part)).sum::<u64>();
        let settled = sum(&[&counters.files_done, &counters.files_skipped]);
        let there = sum(&[&counters.bytes_written, &counters.bytes_resumed, &counters.bytes_skipped]);
        let files = Counters::read(&counters.files_found).saturating_sub(settled);
        let bytes = Counters::read(&counters.bytes_found).saturating_sub(there);
        for counters in [counters, all] {
            Counters::add(&counters.files_done, files);
            Counters::add(&counters.bytes_written, bytes);
        }
    }

    /// The job's entry in the history, once: when the job is over. `parting` is how its connection ended, if it has.
    pub(super) fn account(&self, live: &LiveConnection, parting: Option<ConnectionEnd>) -> Option<HistoryEntry> {
        if self.is_rehearsal || self.is_told.swap(true, Ordering::Relaxed) {
            return None;
        }
        let [files, skipped, failed, bytes, sent, lost] = [
            &self.counters.files_done,
            &self.counters.files_skipped,
            &self.counters.files_failed,
            &self.counters.bytes_written,
            &self.counters.packets_sent,
            &self.counters.packets_lost,
        ]
        .map(Counters::read);
        let ended = self.ended.get().copied().unwrap_or_else(Instant::now);
        let outcome = match parting {
            Some(ConnectionEnd::Closed(CloseCode::Cancelled)) if self.is_running() => JobOutcome::Stopped,
            Some(ConnectionEnd::Lost) if self.is_running() => JobOutcome::Lost,
            Some(ConnectionEnd::Closed(code)) if code != CloseCode::Done && self.is_running() => JobOutcome::Lost,
            _ => JobOutcome::of_counts(files + skipped, failed),
        };
        // A dry run, and a job that was stopped before anything happened, leave no entry.
        if outcome == JobOutcome::Stopped && files + skipped + failed + bytes == 0 {
            return None;
        }
        Some(HistoryEntry {
            time: calendar::moment(SystemTime::now()),
            peer: live.name().to_owned(),
            fingerprint: live.peer.to_string(),
            address: canonical(live.connection.remote_address()).ip(),
            direction: self.direction(),
            file: self.moving.first().map(str::to_owned),
            files,
            skipped,
            failed,
            bytes,
            seconds: ended.saturating_duration_since(self.since).as_secs_f64(),
            outcome,
            loss: share_lost((0, 0), (sent, lost)),
        })
    }

    /// A number that grows whenever something of it moves.
    pub(super) fn moved(&self) -> u64 {
        let counters = &self.counters;
        let moved = [&counters.bytes_written, &counters.files_found, &counters.files_done, &counters.files_skipped];
        moved.into_iter().chain([&counters.files_failed]).map(Counters::read).sum()
    }

    /// Leaves a mark by which rates are told.
    pub(super) fn mark(&self, now: Instant) {
        self.recent.lock().expect("no holder panics").mark(now, RateTotals::of(&self.counters));
    }

    /// A copy of what goes on.
    pub(super) fn look(&self, now: Instant) -> status::JobStatus {
        let (counters, totals) = (&*self.counters, RateTotals::of(&self.counters));
        let recent = self.recent.lock().expect("no holder panics").since(now);
        let MovingSample { made, reused, count, largest } = self.moving.look();
        let [done, skipped, failed] =
            [&counters.files_done, &counters.files_skipped, &counters.files_failed].map(Counters::read);
        let [found, resumed, same] =
            [&counters.bytes_found, &counters.bytes_resumed, &counters.bytes_skipped].map(Counters::read);
        let files_found = Counters::read(&counters.files_found).saturating_sub(made);
        status::JobStatus {
            direction: self.direction(),
            elapsed_ms: millis(now.saturating_duration_since(self.since)),
            // A name that was never found can fail, too.
            files_settled: (done + skipped + failed).saturating_sub(made).min(files_found),
            files_found,
            files_failed: failed,
            scan_ended: counters.scan_ended.load(Ordering::Relaxed),
            bytes_there: (totals.written + resumed + reused + same).min(found),
            bytes_found: found,
            bytes_written: totals.written,
            rate: recent.map(|(before, span)| per_second(before.written, totals.written, span)),
            loss: recent.and_then(|(before, _)| share_lost(before.packets, totals.packets)),
            files_active: count,
            active: largest.iter().map(|file| named(file)).collect(),
        }
    }
}

fn named(file: &FileProgress) -> status::FileStatus {
    let path = end_of(&file.path);
    let bytes_there = (file.resumed + file.written()).min(file.size);
    status::FileStatus { path, size: file.size, bytes_there, phase: file.phase() }
}

/// Of a very long name the end.
fn end_of(path: &str) -> String {
    let characters = path.chars().count();
    path.chars().skip(characters.saturating_sub(NAME_CHARS_MAX)).collect()
}

/// The files of a job whose content moves, as its events tell.
#[derive(Debug, Default)]
pub(super) struct Moving {
    files: Mutex<MovingSet>,
    /// The first one of all, where the operator has it.
    first: OnceLock<String>,
}

#[derive(Debug, Default)]
struct MovingSet {
    moving: HashSet<ByPath>,
    /// Links, which count as files to the counters and are none to people.
    made: u64,
}

struct MovingSample {
    made: u64,
    /// Bytes of moving files that were there before; those of finished ones are counted.
    reused: u64,
    count: usize,
    largest: Vec<Arc<FileProgress>>,
}

impl Moving {
    /// Takes one event of the job.
    /// `place` tells where the operator has a file.
    pub(super) fn on_event(&self, event: &Event, place: impl Fn(&str) -> String) {
        let named = match event {
            Event::Started(file) => Some(file.source.as_deref().unwrap_or(&file.path)),
            Event::Skipped { reason: SkipReason::Made, .. } => None,
            Event::Skipped { path, .. } | Event::Failed { path, .. } => Some(path.as_str()),
            _ => None,
        };
        if let Some(path) = named {
            self.first.get_or_init(|| end_of(&place(path)));
        }
        match event {
            // One that is offered again, because it changed, takes the place of the old one.
            Event::Started(file) => drop(self.files().moving.replace(ByPath(file.clone()))),
            Event::Finished { file } => drop(self.files().moving.take(&*file.path)),
            Event::Failed { path, .. } => drop(self.files().moving.take(&**path)),
            Event::Skipped { reason: SkipReason::Made, .. } => self.files().made += 1,
            _ => {}
        }
    }

    /// The first file of the job, below the served directory.
    fn first(&self) -> Option<&str> {
        self.first.get().map(String::as_str)
    }

    fn look(&self) -> MovingSample {
        let files = self.files();
        let (made, mut moving) = (files.made, files.moving.iter().map(|file| file.0.clone()).collect::<Vec<_>>());
        drop(files);
        let reused = moving.iter().map(|file| file.reused()).sum();
        // The others are only announced.
        moving.retain(|file| file.has_begun() || file.phase() == FilePhase::Checking);
        let count = moving.len();
        moving.sort_unstable_by(|one, other| other.size.cmp(&one.size).then_with(|| one.path.cmp(&other.path)));
        moving.truncate(FILES_NAMED_MAX);
        MovingSample { made, reused, count, largest: moving }
    }

    fn files(&self) -> MutexGuard<'_, MovingSet> {
        self.files.lock().expect("no holder panics")
    }
}

/// A file that is found by its name.
#[derive(Debug)]
struct ByPath(Arc<FileProgress>);

impl Borrow<str> for ByPath {
    fn borrow(&self) -> &str {
        &self.0.path
    }
}

impl PartialEq for ByPath {
    fn eq(&self, other: &Self) -> bool {
        self.0.path == other.0.path
    }
}

impl Eq for ByPath {}

impl Hash for ByPath {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.path.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::message::{Failure, Status, Why};

    fn file(path: &str, size: u64, resumed: u64) -> Arc<FileProgress> {
        let file = FileProgress::new(path.to_owned(), size, resumed, Why::New);
        file.begin();
        Arc::new(file)
    }

    fn names(look: &MovingSample) -> Vec<&str> {
        look.largest.iter().map(|file| &*file.path).collect()
    }

    #[test]
    fn files_are_moving_from_their_start_to_their_end() {
        let (moving, large) = (Moving::default(), file("large", 900, 600));
        for started in [&large, &file("small", 1, 0), &file("bad", 2, 0)] {
            moving.on_event(&Event::Started(started.clone()), str::to_owned);
        }
        let look = moving.look();
        assert_eq!((names(&look), look.count, look.reused), (vec!["large", "bad", "small"], 3, 600));
        moving.on_event(&Event::Finished { file: file("small", 1, 0) }, str::to_owned);
        let failure = Failure { status: Status::NoSpace, detail: String::new() };
        moving.on_event(&Event::Failed { path: "bad".into(), failure }, str::to_owned);
        moving.on_event(&Event::Skipped { path: "link".into(), size: 0, reason: SkipReason::Made }, str::to_owned);
        let look = moving.look();
        assert_eq!((names(&look), look.made), (vec!["large"], 1));
    }

    #[test]
    fn what_is_only_announced_is_not_active() {
        let moving = Moving::default();
        moving.on_event(&Event::Started(file("moves", 1, 0)), str::to_owned);
        moving.on_event(&Event::Started(Arc::new(FileProgress::new("waits".into(), 9, 5, Why::Resume))), str::to_owned);
        let look = moving.look();
        assert_eq!((names(&look), look.count, look.reused), (vec!["moves"], 1, 5));
    }

    #[test]
    fn a_file_that_starts_again_is_one_file() {
        let moving = Moving::default();
        moving.on_event(&Event::Started(file("f", 900, 600)), str::to_owned);
        moving.on_event(&Event::Started(file("f", 900, 0)), str::to_owned);
        let look = moving.look();
        assert_eq!((look.count, look.reused), (1, 0));
    }

    #[test]
    fn only_the_largest_are_named_and_of_a_long_name_its_end() {
        let moving = Moving::default();
        (0..1000).for_each(|n| moving.on_event(&Event::Started(file(&format!("f{n}"), n, 0)), str::to_owned));
        let look = moving.look();
        assert_eq!((look.count, names(&look)), (1000, vec!["f999", "f998", "f997", "f996"]));
        let long = named(&file(&format!("{}end", "ä".repeat(NAME_CHARS_MAX)), 5, 9));
        assert!(long.path.ends_with("ääend") && long.path.chars().count() == NAME_CHARS_MAX, "{}", long.path);
        assert_eq!(long.bytes_there, 5, "never more than there is");
    }

    #[test]
    fn the_first_file_of_a_job_is_remembered_where_the_operator_has_it() {
        let moving = Moving::default();
        moving.on_event(&Event::Skipped { path: "dir".into(), size: 0, reason: SkipReason::Made }, str::to_owned);
        assert_eq!(moving.first(), None, "a directory is no file");
        for path in ["a", "b"] {
            let event = Event::Skipped { path: path.into(), size: 1, reason: SkipReason::Same };
            moving.on_event(&event, |name| format!("inbox/{name}"));
        }
        assert_eq!(moving.first(), Some("inbox/a"));
    }
}
