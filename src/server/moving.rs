//! The files of a job that are moving.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use super::status;
use crate::progress::{Event, FilePhase, FileProgress};
use crate::protocol::message::SkipReason;

/// Files that a copy of a job names.
const FILES_NAMED_MAX: usize = 4;
/// Characters of a name that a copy holds.
const NAME_CHARS_MAX: usize = 256;

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

pub(super) struct MovingSample {
    pub(super) made: u64,
    /// Bytes of moving files that were there before; those of finished ones are counted.
    pub(super) reused: u64,
    pub(super) count: usize,
    pub(super) largest: Vec<Arc<FileProgress>>,
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
            self.note_name(path, place);
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

    /// Remembers the name of a file of the job, if it is the first.
    pub(super) fn note_name(&self, path: &str, place: impl Fn(&str) -> String) {
        self.first.get_or_init(|| end_of(&place(path)));
    }

    /// The first file of the job, below the served directory.
    pub(super) fn first(&self) -> Option<&str> {
        self.first.get().map(String::as_str)
    }

    pub(super) fn look(&self) -> MovingSample {
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

/// A moving file, as it is shown.
pub(super) fn named(file: &FileProgress) -> status::FileStatus {
    let path = end_of(&file.path);
    let bytes_there = (file.resumed + file.written()).min(file.size);
    status::FileStatus { path, size: file.size, bytes_there, phase: file.phase() }
}

/// Of a very long name the end.
fn end_of(path: &str) -> String {
    let characters = path.chars().count();
    path.chars().skip(characters.saturating_sub(NAME_CHARS_MAX)).collect()
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
        moving.on_event(&Event::Failed { path: "bad".into(), failure, by_peer: false }, str::to_owned);
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
