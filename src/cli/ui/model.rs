//! What is known about a running job, gathered from events and counters, and one look at all of it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::super::size::percent;
use super::fate::{self, Fate, Prospect};
use super::link::LinkView;
use super::rate::{Estimator, LossWindow, eta};
use crate::progress::{Counters, Event, FileProgress, Phase};
use crate::protocol::message::{SkipReason, Why};

/// Memory of the rate and the time left: long enough to be calm, short enough to follow the link.
const TOTAL_MEMORY: Duration = Duration::from_secs(15);
/// Memory of one file's rate.
const FILE_MEMORY: Duration = Duration::from_secs(5);

/// Receivers report what they have written of a range only when it is longer than this.
pub(super) const UNREPORTED_MAX: u64 = crate::digest::CHUNK_BYTES;

/// Everything about a job that is worth showing.
#[derive(Debug)]
pub(crate) struct Model {
    started: Instant,
    counters: Option<Arc<Counters>>,
    rate: Estimator,
    loss: LossWindow,
    /// Files that are moving, by the order in which they started, and where each stands: with thousands of small
    /// files in flight a search for each would cost more than sending it.
    active: BTreeMap<u64, Active>,
    places: HashMap<String, u64>,
    link: Link,
    tally: Tally,
}

#[derive(Debug)]
struct Active {
    file: Arc<FileProgress>,
    since: Instant,
    rate: Estimator,
}

/// Counts that only events tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
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
    /// Their bytes.
    pub(crate) planned_bytes: u64,
    /// Bytes of them that are there already.
    pub(crate) planned_there: u64,
}

impl Tally {
    fn finished(&mut self, file: &FileProgress) {
        self.hole_bytes += fate::holes(file);
        match Fate::of(file) {
            Fate::Sent => {}
            Fate::Resumed => self.resumed_bytes += file.reused(),
            Fate::Updated => {
                self.updated += 1;
                self.matched_bytes += file.reused();
            }
            Fate::Equal => self.equal += 1,
        }
    }

    fn planned(&mut self, why: Why, from: u64, size: u64) {
        match Prospect::of(why, from, size, false) {
            Prospect::Compare => self.planned_compares += 1,
            Prospect::Update => self.planned_updates += 1,
            Prospect::New | Prospect::Rename | Prospect::Replace | Prospect::Resume => self.planned += 1,
        }
        self.planned_bytes += size;
        self.planned_there += from;
    }
}

/// The state of the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Link {
    /// There has been none yet.
    Connecting,
    /// It stands.
    Up,
    /// It was lost.
    Lost {
        /// Counts from 1.
        attempt: u32,
        /// When the next attempt begins.
        next: Instant,
    },
    /// The server has no place for one more client; it is asked again then.
    Waiting(Instant),
}

/// The speed, or why there is none.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Speed {
    /// Nothing was measured yet.
    Unknown,
    /// Bytes per second that crossed the wire.
    Moving(f64),
    /// Nothing has moved for this long.
    Stalled(Duration),
    /// No connection: the attempt, and the time until it.
    Reconnecting(u32, Duration),
    /// No connection, for there is no place; the time until the server is asked again.
    Waiting(Duration),
}

/// One look at a job.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    /// Since the start.
    pub(crate) elapsed: Duration,
    /// Files that are settled in one way or another.
    pub(crate) files_settled: u64,
    /// Files found so far.
    pub(crate) files_found: u64,
    /// Whether those are all.
    pub(crate) scan_ended: bool,
    /// Bytes that are there, whoever brought them.
    pub(crate) bytes_there: u64,
    /// Bytes of all files found so far.
    pub(crate) bytes_found: u64,
    /// Bytes that crossed the wire.
    pub(crate) bytes_written: u64,
    /// Bytes that were there in files that were continued or updated, finished or not.
    pub(crate) bytes_resumed: u64,
    /// Files that failed.
    pub(crate) failed: u64,
    /// See [`Speed`].
    pub(crate) speed: Speed,
    /// Time left, once the total is known.
    pub(crate) eta: Option<Duration>,
    /// What the path is doing.
    pub(crate) link: LinkView,
    /// Counts of events.
    pub(crate) tally: Tally,
    /// The files that are moving, oldest first.
    pub(crate) files: Vec<FileView>,
}

impl Snapshot {
    /// Whole percent of the bytes found so far that are there; 0 while nothing is found.
    pub(crate) fn percent(&self) -> u64 {
        match self.bytes_found == 0 && !self.scan_ended {
            true => 0,
            false => percent(self.bytes_there, self.bytes_found),
        }
    }
}

/// One look at a moving file.
#[derive(Debug, Clone)]
pub(crate) struct FileView {
    /// The file itself.
    pub(crate) file: Arc<FileProgress>,
    /// Bytes that are there.
    pub(crate) there: u64,
    /// See [`Phase`].
    pub(crate) phase: Phase,
    /// Since it started.
    pub(crate) age: Duration,
    /// Bytes per second that crossed the wire.
    pub(crate) rate: Option<f64>,
}

impl Model {
    /// A job that has just begun.
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            started: now,
            counters: None,
            rate: Estimator::new(TOTAL_MEMORY),
            loss: LossWindow::default(),
            active: BTreeMap::new(),
            places: HashMap::new(),
            link: Link::Connecting,
            tally: Tally::default(),
        }
    }

    /// The job begins only now.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.started = now;
    }

    /// Takes the counters, once the job has them.
    pub(crate) fn set_counters(&mut self, counters: Arc<Counters>) {
        self.counters = Some(counters);
    }

    /// Counts of events so far.
    pub(crate) fn tally(&self) -> Tally {
        self.tally
    }

    /// Takes one event.
    pub(crate) fn on_event(&mut self, event: &Event, now: Instant) {
        match event {
            Event::Connected { .. } => self.link = Link::Up,
            Event::Reconnecting { attempt, after, .. } => {
                self.link = Link::Lost { attempt: *attempt, next: now + *after };
            }
            Event::Waiting { after, .. } => self.link = Link::Waiting(now + *after),
            Event::Started(file) => self.on_started(file, now),
            Event::Finished { file } => {
                self.forget(&file.path);
                self.tally.finished(file);
            }
            Event::Skipped { path, reason, .. } => {
                self.forget(path);
                match reason {
                    SkipReason::Same => self.tally.same += 1,
                    SkipReason::Exists => self.tally.kept += 1,
                    SkipReason::Made => self.tally.made += 1,
                    SkipReason::Mode => self.tally.modes += 1,
                }
            }
            Event::Planned { size, from, why, .. } => self.tally.planned(*why, *from, *size),
            Event::Failed { path, .. } => self.forget(path),
            Event::Note(_) => {}
        }
    }

    /// A file that starts again, on a new connection, keeps its place.
    fn on_started(&mut self, file: &Arc<FileProgress>, now: Instant) {
        let rate = Estimator::new(FILE_MEMORY);
        let next = self.active.last_key_value().map_or(0, |(last, _)| last + 1);
        let place = *self.places.entry(file.path.clone()).or_insert(next);
        let since = self.active.get(&place).map_or(now, |active| active.since);
        self.active.insert(place, Active { file: Arc::clone(file), since, rate });
    }

    fn forget(&mut self, path: &str) {
        if let Some(place) = self.places.remove(path) {
            self.active.remove(&place);
        }
    }

    /// Looks at everything, and lets the estimators see it.
    pub(crate) fn sample(&mut self, now: Instant) -> Snapshot {
        let idle = Counters::default();
        let counters = self.counters.clone();
        let counters = counters.as_deref().unwrap_or(&idle);
        let written = Counters::read(&counters.bytes_written);
        // The counter has those of finished files.
        let moving: u64 = self.active.values().map(|active| active.file.reused()).sum();
        let resumed = Counters::read(&counters.bytes_resumed) + moving;
        let found = Counters::read(&counters.bytes_found);
        let there = (written + resumed + Counters::read(&counters.bytes_skipped)).min(found);
        self.rate.sample(now, written);
        if self.active.values().any(|active| active.file.phase() != Phase::Moving) || self.active.is_empty() {
            self.rate.excuse(now);
        }
        self.loss.sample(now, Counters::read(&counters.packets_sent), Counters::read(&counters.packets_lost));
        let made = self.tally.made;
        let done = Counters::read(&counters.files_done);
        let failed = Counters::read(&counters.files_failed);
        let skipped = Counters::read(&counters.files_skipped);
        let scan_ended = counters.scan_ended.load(Ordering::Relaxed);
        Snapshot {
            elapsed: now.saturating_duration_since(self.started),
            files_settled: (done + skipped + failed).saturating_sub(made),
            files_found: Counters::read(&counters.files_found).saturating_sub(made),
            scan_ended,
            bytes_there: there,
            bytes_found: found,
            bytes_written: written,
            bytes_resumed: resumed,
            failed,
            speed: self.speed(now),
            eta: if scan_ended && !matches!(self.link, Link::Lost { .. } | Link::Waiting(_)) {
                eta(found - there, self.rate.rate())
            } else {
                None
            },
            link: LinkView::of(counters, self.loss.loss()),
            tally: self.tally,
            files: self.active.values_mut().map(|active| active.look(now)).collect(),
        }
    }

    fn speed(&self, now: Instant) -> Speed {
        if let Link::Lost { attempt, next } = self.link {
            return Speed::Reconnecting(attempt, next.saturating_duration_since(now));
        }
        if let Link::Waiting(next) = self.link {
            return Speed::Waiting(next.saturating_duration_since(now));
        }
        match (self.rate.stalled(now), self.rate.rate()) {
            (Some(still), _) => Speed::Stalled(still),
            (None, Some(rate)) => Speed::Moving(rate),
            (None, None) => Speed::Unknown,
        }
    }
}

impl Active {
    fn look(&mut self, now: Instant) -> FileView {
        let written = self.file.written();
        self.rate.sample(now, written);
        let there = (self.file.resumed + written).min(self.file.size);
        let (there, phase) = match self.file.phase() {
            // All is handed over, but much of it is still on its way.
            Phase::Committing if self.file.size - there > UNREPORTED_MAX => (there, Phase::Moving),
            Phase::Committing => (self.file.size, Phase::Committing),
            phase => (there, phase),
        };
        FileView {
            there,
            phase,
            age: now.saturating_duration_since(self.since),
            rate: self.rate.rate(),
            file: Arc::clone(&self.file),
        }
    }
}

/// The mark of a decision, as in a dry run.
pub(crate) fn decision(prospect: Prospect, from: u64, size: u64) -> String {
    let mark = match prospect {
        Prospect::New => "+ new",
        Prospect::Rename => "+ rename",
        Prospect::Replace => "~ replace",
        Prospect::Update => "~ update",
        Prospect::Compare => "? compare",
        Prospect::Resume => return format!("» resume at {}%", percent(from, size)),
    };
    mark.to_owned()
}

/// Whether a name is shown at all: what was made on the way is no news.
pub(crate) fn is_news(reason: SkipReason) -> bool {
    reason != SkipReason::Made
}

#[cfg(test)]
mod tests;
