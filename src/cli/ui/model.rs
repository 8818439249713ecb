//! What is known about a running job, gathered from events and counters, and one look at all of it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::super::size::percent;
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
    /// Directories and links, which count as done but are no files to the user.
    pub(crate) made: u64,
    /// Files that were compared, and whose content was there already.
    pub(crate) equal: u64,
    /// Files that a dry run would transfer.
    pub(crate) planned: u64,
    /// Their bytes.
    pub(crate) planned_bytes: u64,
    /// Bytes of them that are there already.
    pub(crate) planned_there: u64,
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
            Event::Started(file) => self.on_started(file, now),
            Event::Finished { file } => {
                self.forget(&file.path);
                if file.why == Why::Update && file.written() == 0 {
                    self.tally.equal += 1;
                }
            }
            Event::Skipped { path, reason, .. } => {
                self.forget(path);
                match reason {
                    SkipReason::Same => self.tally.same += 1,
                    SkipReason::Exists => self.tally.kept += 1,
                    SkipReason::Made => self.tally.made += 1,
                }
            }
            Event::Planned { size, from, .. } => {
                self.tally.planned += 1;
                self.tally.planned_bytes += size;
                self.tally.planned_there += from;
            }
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
            eta: if scan_ended && !matches!(self.link, Link::Lost { .. }) {
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
pub(crate) fn decision(why: Why, from: u64, size: u64) -> String {
    match why {
        Why::New => "+ new".to_owned(),
        Why::Replace | Why::Update => "~ replace".to_owned(),
        Why::Resume => format!("» resume at {}%", percent(from, size)),
    }
}

/// Whether a name is shown at all: what was made on the way is no news.
pub(crate) fn is_news(reason: SkipReason) -> bool {
    reason != SkipReason::Made
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::message::{Failure, Status};

    const TICK: Duration = Duration::from_millis(100);

    fn file(path: &str, size: u64, resumed: u64) -> Arc<FileProgress> {
        Arc::new(FileProgress::new(path.to_owned(), size, resumed, Why::New))
    }

    fn model() -> (Model, Arc<Counters>, Instant) {
        let now = Instant::now();
        let mut model = Model::new(now);
        let counters = Arc::new(Counters::default());
        model.set_counters(Arc::clone(&counters));
        (model, counters, now)
    }

    #[test]
    fn resumed_bytes_are_there_but_are_no_rate() {
        let (mut model, counters, mut now) = model();
        Counters::add(&counters.bytes_found, 1000 << 20);
        counters.scan_ended.store(true, Ordering::Relaxed);
        let big = file("big", 1000 << 20, 900 << 20);
        model.on_event(&Event::Started(Arc::clone(&big)), now);
        model.sample(now);
        for _ in 0..10 {
            now += TICK;
            big.add_written(1 << 20);
            Counters::add(&counters.bytes_written, 1 << 20);
            model.sample(now);
        }
        let look = model.sample(now);
        assert_eq!(look.bytes_there, 910 << 20);
        let Speed::Moving(rate) = look.speed else { panic!("{:?}", look.speed) };
        assert!((rate / f64::from(10 << 20) - 1.0).abs() < 1e-6, "{rate}");
        assert_eq!(look.eta.map(|eta| eta.as_secs()), Some(9), "of the 90 MiB that are missing");
        assert_eq!(look.files[0].there, 910 << 20);
    }

    #[test]
    fn a_total_that_is_not_known_gives_no_time_left() {
        let (mut model, counters, now) = model();
        Counters::add(&counters.bytes_found, 100);
        model.sample(now);
        Counters::add(&counters.bytes_written, 50);
        assert_eq!(model.sample(now + TICK).eta, None);
    }

    #[test]
    fn nothing_found_yet_is_nothing_done() {
        let (mut model, counters, now) = model();
        assert_eq!(model.sample(now).percent(), 0);
        counters.scan_ended.store(true, Ordering::Relaxed);
        assert_eq!(model.sample(now).percent(), 100, "empty files only");
    }

    #[test]
    fn a_stall_is_excused_while_digests_are_compared() {
        let (mut model, _, now) = model();
        let file = file("a", 100, 50);
        model.on_event(&Event::Started(Arc::clone(&file)), now);
        file.set_phase(Phase::Checking);
        model.sample(now);
        assert!(matches!(model.sample(now + TICK * 90).speed, Speed::Moving(_)));
        file.set_phase(Phase::Moving);
        assert_eq!(model.sample(now + TICK * 160).speed, Speed::Stalled(TICK * 70));
    }

    #[test]
    fn a_file_is_saved_when_all_of_it_can_be_there() {
        let (mut model, _, now) = model();
        let (big, small) = (file("big", 100 << 20, 0), file("small", 5, 0));
        for file in [&big, &small] {
            model.on_event(&Event::Started(Arc::clone(file)), now);
            file.set_phase(Phase::Committing);
        }
        let look = model.sample(now);
        assert_eq!((look.files[0].phase, look.files[0].there), (Phase::Moving, 0), "on its way");
        assert_eq!((look.files[1].phase, look.files[1].there), (Phase::Committing, 5), "nothing is reported of it");
        big.add_written(100 << 20);
        assert_eq!(model.sample(now + TICK).files[0].phase, Phase::Committing);
    }

    #[test]
    fn a_lost_connection_counts_down_to_the_next_attempt() {
        let (mut model, _, now) = model();
        let lost = Event::Reconnecting { attempt: 2, after: Duration::from_secs(3), cause: "gone".into() };
        model.on_event(&lost, now);
        assert_eq!(model.sample(now + TICK * 10).speed, Speed::Reconnecting(2, Duration::from_secs(2)));
        let addr = "192.0.2.1:1".parse().expect("an address");
        model.on_event(&Event::Connected { addr, peer: "box".into(), enrolled: false }, now);
        assert!(!matches!(model.sample(now + TICK * 11).speed, Speed::Reconnecting(..)));
    }

    #[test]
    fn a_file_leaves_when_it_is_settled_in_any_way() {
        let (mut model, _, now) = model();
        let failure = Failure { status: Status::NoSpace, detail: String::new() };
        for name in ["a", "b", "c", "d"] {
            model.on_event(&Event::Started(file(name, 1, 0)), now);
        }
        model.on_event(&Event::Finished { file: file("a", 1, 0) }, now);
        model.on_event(&Event::Failed { path: "b".into(), failure }, now);
        model.on_event(&Event::Skipped { path: "c".into(), size: 1, reason: SkipReason::Same }, now);
        let left: Vec<_> = model.sample(now).files.iter().map(|view| view.file.path.clone()).collect();
        assert_eq!(left, ["d"]);
    }

    #[test]
    fn a_file_that_starts_again_keeps_its_age() {
        let (mut model, _, now) = model();
        model.on_event(&Event::Started(file("a", 100, 0)), now);
        model.on_event(&Event::Started(file("a", 100, 64)), now + TICK * 20);
        let look = model.sample(now + TICK * 30);
        assert_eq!((look.files.len(), look.files[0].age, look.files[0].there), (1, TICK * 30, 64));
    }

    #[test]
    fn directories_are_no_files_to_the_user() {
        let (mut model, counters, now) = model();
        Counters::add(&counters.files_found, 5);
        Counters::add(&counters.files_skipped, 1);
        Counters::add(&counters.files_done, 1);
        for reason in [SkipReason::Made, SkipReason::Same] {
            model.on_event(&Event::Skipped { path: "x".into(), size: 0, reason }, now);
        }
        let look = model.sample(now);
        assert_eq!((look.files_settled, look.files_found, look.tally.same), (1, 4, 1));
    }
}
