//! Sums over many jobs.

use serde::Serialize;

use super::super::status::Direction;
use super::entry::{HistoryEntry, JobOutcome};

/// Files and bytes moved in one direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Moved {
    /// Files that were moved whole.
    pub files: u64,
    /// Bytes of content that were written.
    pub bytes: u64,
}

/// The sum of the jobs of one client, or of one day.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Sums {
    /// Whose, or of which day.
    pub of: String,
    /// How many there were.
    pub jobs: u64,
    /// The sums of the content that clients have sent.
    pub received: Moved,
    /// The sums of the content that clients have got.
    pub sent: Moved,
    /// Time that all of them took together.
    pub seconds: f64,
    /// Jobs that did not go well altogether.
    pub unwell: u64,
}

impl Sums {
    /// The sums of each group of jobs, in the order in which the groups began. `of` names the group of a job.
    pub fn by(entries: &[HistoryEntry], of: impl Fn(&HistoryEntry) -> &str) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        let mut places = std::collections::HashMap::new();
        for entry in entries {
            let place = *places.entry(of(entry)).or_insert(all.len());
            if place == all.len() {
                all.push(Self { of: of(entry).to_owned(), ..Self::default() });
            }
            all[place].add(entry);
        }
        all
    }

    /// Of all jobs together.
    pub fn of_all(entries: &[HistoryEntry]) -> Self {
        let mut all = Self::default();
        entries.iter().for_each(|entry| all.add(entry));
        all
    }

    fn add(&mut self, entry: &HistoryEntry) {
        let moved = match entry.direction {
            Direction::In => &mut self.received,
            Direction::Out => &mut self.sent,
        };
        moved.files = moved.files.saturating_add(entry.files);
        moved.bytes = moved.bytes.saturating_add(entry.bytes);
        self.jobs += 1;
        self.seconds += entry.seconds;
        self.unwell += u64::from(entry.outcome != JobOutcome::Done);
    }
}

#[cfg(test)]
mod tests {
    use super::super::log::tests::entry;
    use super::*;

    #[test]
    fn jobs_are_summed_by_client_and_by_day() {
        let entries = [
            entry("2026-03-01T23:59:59Z", "a", Direction::In, JobOutcome::Done),
            entry("2026-03-02T00:00:00Z", "b", Direction::In, JobOutcome::Lost),
            entry("2026-03-02T00:00:01Z", "a", Direction::Out, JobOutcome::Done),
        ];
        let (one, none) = (Moved { files: 2, bytes: 1000 }, Moved::default());
        let sums = |of: &str, received, sent, jobs: u64, unwell| Sums {
            of: of.to_owned(),
            jobs,
            received,
            sent,
            seconds: 1.5 * jobs as f64,
            unwell,
        };
        let by_peer = Sums::by(&entries, |entry| &entry.peer);
        assert_eq!(by_peer, [sums("a", one, one, 2, 0), sums("b", one, none, 1, 1)]);
        let by_day = Sums::by(&entries, HistoryEntry::day);
        assert_eq!(by_day, [sums("2026-03-01", one, none, 1, 0), sums("2026-03-02", one, one, 2, 1)]);
        let two = Moved { files: 4, bytes: 2000 };
        assert_eq!(Sums::of_all(&entries), sums("", two, one, 3, 1));
    }
}
