//! The files of a job that have started and are not settled, and what each is seen to do.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::rate::Estimator;
use crate::progress::{FILES_MOVING_MAX, FilePhase, FileProgress};

/// Memory of one file's rate.
const FILE_MEMORY: Duration = Duration::from_secs(5);

/// Without progress of one file for this long its rate is not shown, although others move: on a slow link many files take
/// turns, and each is reported a chunk at a time.
const FILE_STILL_MAX: Duration = Duration::from_secs(15);

/// Receivers report what they have written of a range only when it is longer than this.
pub(super) const UNREPORTED_MAX: u64 = crate::digest::CHUNK_BYTES;

/// The activity of a file, as it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Doing {
    /// Its content is in flight.
    Moving,
    /// It would be, but nothing moves.
    Stalled,
    /// Digests of what was there are compared.
    Checking,
    /// All of it is there and is being made durable.
    Saving,
}

/// One look at a file.
#[derive(Debug, Clone)]
pub(crate) struct FileView {
    pub(crate) file: Arc<FileProgress>,
    /// Bytes that are there.
    pub(crate) there: u64,
    pub(crate) doing: Doing,
    /// Since its content began to move, or to be compared.
    pub(crate) age: Duration,
    /// Bytes per second that crossed the wire; `None` while none do.
    pub(crate) rate: Option<f64>,
}

impl FileView {
    /// Whether it is of those whose content is in flight, or compared.
    pub(crate) fn is_active(&self) -> bool {
        self.doing != Doing::Saving
    }
}

/// All that are not settled.
#[derive(Debug, Default)]
pub(crate) struct ActiveFiles {
    /// By the order in which they started, and where each stands: with thousands of small files a search for each would
    /// cost more than sending it.
    started: BTreeMap<u64, Started>,
    places: HashMap<String, u64>,
}

#[derive(Debug)]
struct Started {
    file: Arc<FileProgress>,
    /// When it was first seen to be active.
    since: Option<Instant>,
    rate: Estimator,
}

impl ActiveFiles {
    /// A file that starts again, on a new connection, keeps its place. Without room for more it is not shown.
    pub(crate) fn start(&mut self, file: &Arc<FileProgress>) {
        if self.places.len() >= FILES_MOVING_MAX && !self.places.contains_key(&file.path) {
            return;
        }
        let next = self.started.last_key_value().map_or(0, |(last, _)| last + 1);
        let place = *self.places.entry(file.path.clone()).or_insert(next);
        let since = self.started.get(&place).and_then(|started| started.since);
        self.started.insert(place, Started { file: Arc::clone(file), since, rate: Estimator::new(FILE_MEMORY) });
    }

    pub(crate) fn forget(&mut self, path: &str) {
        if let Some(place) = self.places.remove(path) {
            self.started.remove(&place);
        }
    }

    /// Bytes of these files that were there before the job.
    pub(crate) fn reused(&self) -> u64 {
        self.started.values().map(|started| started.file.reused()).sum()
    }

    /// Whether content of any of them should be crossing the wire.
    pub(crate) fn is_moving(&self) -> bool {
        self.started.values().any(|Started { file, .. }| file.has_begun() && phase(file) == FilePhase::Moving)
    }

    /// Whether any of them is compared or saved, for which nothing need cross the wire.
    pub(crate) fn are_busy(&self) -> bool {
        self.started.values().any(|Started { file, .. }| phase(file) != FilePhase::Moving)
    }

    /// Lets all rates begin again.
    pub(crate) fn restart(&mut self) {
        self.started.values_mut().for_each(|started| started.rate = Estimator::new(FILE_MEMORY));
    }

    /// Looks at all of them: views of those that are active or large, and how many are only announced. `window` is the
    /// congestion window in bytes, which bounds what is in flight; 0 where it is not known.
    pub(crate) fn look(&mut self, now: Instant, is_still: bool, window: u64) -> (Vec<FileView>, u64) {
        let mut flight = FlightRoom::new(window);
        let (mut views, mut announced) = (Vec::new(), 0);
        for started in self.started.values_mut() {
            let file = &started.file;
            let (has_begun, missing, phase) = (file.has_begun(), file.missing(), phase(file));
            let is_in_flight = has_begun && flight.takes(missing);
            // A large file has its row until it is settled.
            let is_seen = is_in_flight || phase == FilePhase::Checking || (has_begun && file.size > UNREPORTED_MAX);
            if is_seen {
                views.push(started.look(now, phase, is_still));
            } else if missing > 0 {
                announced += 1;
            }
        }
        (views, announced)
    }
}

impl Started {
    fn look(&mut self, now: Instant, phase: FilePhase, is_still: bool) -> FileView {
        let was_still = self.rate.still(now) >= FILE_STILL_MAX;
        self.rate.sample(now, self.file.written());
        if was_still && self.rate.still(now).is_zero() {
            self.rate.restart(now, self.file.written());
        }
        let there = self.file.size - self.file.missing();
        let (there, doing) = match phase {
            _ if is_still => (there, Doing::Stalled),
            FilePhase::Moving => (there, Doing::Moving),
            FilePhase::Checking => (there, Doing::Checking),
            FilePhase::Committing => (self.file.size, Doing::Saving),
        };
        let is_reported = self.file.size > UNREPORTED_MAX;
        let rate = self.rate.rate().filter(|_| is_reported && self.rate.still(now) < FILE_STILL_MAX);
        let since = *self.since.get_or_insert(now);
        FileView { file: Arc::clone(&self.file), there, doing, age: now.saturating_duration_since(since), rate }
    }
}

/// The phase of a file. It is moving while any of it is in flight, even if all of it has been handed over.
fn phase(file: &FileProgress) -> FilePhase {
    match file.phase() {
        FilePhase::Committing if file.missing() > 0 => FilePhase::Moving,
        phase => phase,
    }
}

/// How much more can be in flight: the oldest content leaves first, and all that has left and is not acknowledged is at
/// most a congestion window. What QUIC has been handed beyond that waits.
struct FlightRoom {
    room: u64,
}

impl FlightRoom {
    fn new(window: u64) -> Self {
        Self { room: if window == 0 { u64::MAX } else { window } }
    }

    /// Whether content of the next file, which is missing so much, is in flight.
    fn takes(&mut self, missing: u64) -> bool {
        let takes = missing > 0 && self.room > 0;
        self.room = self.room.saturating_sub(missing);
        takes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::message::Why;

    const MIB: u64 = 1 << 20;

    fn file(path: &str, size: u64) -> Arc<FileProgress> {
        Arc::new(FileProgress::new(path.to_owned(), size, 0, Why::New))
    }

    /// The activity of each file that is shown, and how many are only announced.
    fn seen(files: &mut ActiveFiles, is_still: bool, window: u64) -> (Vec<(String, Doing, u64)>, u64) {
        let (views, announced) = files.look(Instant::now(), is_still, window);
        (views.into_iter().map(|view| (view.file.path.clone(), view.doing, view.there)).collect(), announced)
    }

    #[test]
    fn what_was_asked_for_is_announced_until_content_of_it_leaves() {
        let (mut files, waits, moves) = (ActiveFiles::default(), file("waits", 5), file("moves", 7));
        [&waits, &moves, &file("empty", 0)].into_iter().for_each(|file| files.start(file));
        moves.begin();
        assert_eq!(seen(&mut files, false, 0), (vec![("moves".into(), Doing::Moving, 0)], 1));
    }

    #[test]
    fn files_that_begin_over_any_number_of_connections_and_do_not_end_are_not_all_kept() {
        let mut files = ActiveFiles::default();
        (0..2 * FILES_MOVING_MAX).for_each(|n| files.start(&file(&n.to_string(), 1)));
        assert_eq!((files.started.len(), files.places.len()), (FILES_MOVING_MAX, FILES_MOVING_MAX));
        files.start(&file("0", 1));
        files.forget("1");
        files.start(&file("one more", 1));
        assert_eq!((files.started.len(), files.places.len()), (FILES_MOVING_MAX, FILES_MOVING_MAX));
    }

    #[test]
    fn of_thousands_of_small_files_only_as_many_are_active_as_fit_the_window() {
        let mut files = ActiveFiles::default();
        for n in 0..1000 {
            let file = file(&format!("f{n}"), 800);
            file.begin();
            // All of them have been handed to QUIC, and their ends were said.
            file.set_phase(FilePhase::Committing);
            files.start(&file);
        }
        for (window, active) in [(16_000, 20), (16_001, 21), (1, 1), (0, 1000)] {
            let (views, announced) = files.look(Instant::now(), false, window);
            assert_eq!((views.len(), announced), (active, 1000 - active as u64), "{window}");
            assert!(views.iter().all(|view| view.doing == Doing::Moving && view.there == 0));
        }
    }

    #[test]
    fn a_file_is_saved_when_all_of_it_is_there_and_a_small_one_is_then_seen_no_more() {
        let mut files = ActiveFiles::default();
        let (big, small) = (file("big", 100 * MIB), file("small", 5));
        for file in [&big, &small] {
            file.begin();
            file.set_phase(FilePhase::Committing);
            files.start(file);
        }
        let moving = |path: &str| (path.to_owned(), Doing::Moving, 0);
        assert_eq!(seen(&mut files, false, 0), (vec![moving("big"), moving("small")], 0), "on its way");
        big.add_written(100 * MIB);
        small.add_written(5);
        assert_eq!(seen(&mut files, false, 0), (vec![("big".into(), Doing::Saving, 100 * MIB)], 0));
    }

    #[test]
    fn while_nothing_moves_every_file_is_stalled() {
        let mut files = ActiveFiles::default();
        for (n, phase) in [FilePhase::Moving, FilePhase::Checking, FilePhase::Committing].into_iter().enumerate() {
            let file = file(&n.to_string(), 100 * MIB);
            file.begin();
            file.set_phase(phase);
            files.start(&file);
        }
        let (views, _) = seen(&mut files, true, 0);
        assert!(views.len() == 3 && views.iter().all(|(_, doing, _)| *doing == Doing::Stalled), "{views:?}");
    }

    #[test]
    fn the_rate_of_a_file_that_nothing_is_added_to_is_not_shown_and_begins_again() {
        let (mut files, begin) = (ActiveFiles::default(), Instant::now());
        let big = file("big", 100 * MIB);
        big.begin();
        files.start(&big);
        let mut rate_at = |tenth: u64, written: u64| {
            big.add_written(written);
            let now = begin + Duration::from_millis(100 * tenth);
            files.look(now, false, 0).0[0].rate.map(|rate| (rate / MIB as f64).round())
        };
        rate_at(0, 0);
        for tenth in 1..=20 {
            rate_at(tenth, MIB);
        }
        assert_eq!(rate_at(21, MIB), Some(10.0));
        for tenth in 22..180 {
            rate_at(tenth, 0);
        }
        assert_eq!(rate_at(180, 0), None);
        assert_eq!(rate_at(181, MIB), None, "how long it took to come is not known");
        assert_eq!(rate_at(182, MIB), Some(10.0), "and not the mean over the time in which nothing came");
    }
}
