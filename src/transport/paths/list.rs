//! A bounded list of paths, and the lines that it is kept in.

use std::cmp::Reverse;
use std::time::{Duration, SystemTime};

use crate::calendar;
use crate::congestion::{AGE_MAX, PastPath};

/// Paths that are remembered; the oldest make room. More than anyone meets in a day, but for servers in great demand.
const PATHS_MAX: usize = 1024;

/// The paths that are known, newest first, each address once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PathList(Vec<PathEntry>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct PathEntry {
    address: String,
    bandwidth: u64,
    min_rtt: Duration,
    at: SystemTime,
}

impl PathList {
    /// The figures that were learnt just now.
    pub fn of(address: &str, past: &PastPath, now: SystemTime) -> Self {
        let Self(mut entries) = Self::default();
        // An address with a space in it could not be read back.
        if !address.contains(char::is_whitespace) {
            entries.push(PathEntry {
                address: address.to_owned(),
                bandwidth: past.bandwidth,
                min_rtt: past.min_rtt,
                at: now,
            });
        }
        Self(entries)
    }

    /// The path to `address` as it was, unless that is too old to be used.
    pub fn lookup(&self, address: &str, now: SystemTime) -> Option<PastPath> {
        let entry = self.0.iter().find(|entry| entry.address == address)?;
        Some(PastPath { bandwidth: entry.bandwidth, min_rtt: entry.min_rtt, age: entry.age(now)? })
    }

    /// Adds what another list knows, which takes the place of what is older. What nobody would use any more goes.
    pub fn take_in(&mut self, update: Self, now: SystemTime) {
        let Self(entries) = self;
        // The sort is stable: of two that are equally old, the news come first.
        entries.splice(0..0, update.0);
        entries.retain(|entry| entry.age(now).is_some());
        entries.sort_by_key(|entry| Reverse(entry.at));
        let mut seen = std::collections::HashSet::new();
        entries.retain(|entry| seen.insert(entry.address.clone()));
        entries.truncate(PATHS_MAX);
    }

    /// Reads the lines of a file. Gives the numbers of lines that say anything else, which are skipped.
    pub(super) fn parse(text: &str) -> (Self, Vec<usize>) {
        let mut broken = Vec::new();
        let mut entries = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match PathEntry::parse(line) {
                Some(entry) => entries.push(entry),
                None => broken.push(number),
            }
        }
        (Self(entries), broken)
    }

    /// The lines of a file.
    pub(super) fn lines(&self) -> String {
        self.0.iter().map(PathEntry::line).collect()
    }
}

impl PathEntry {
    /// `None` when it is too old, or of a moment that is still to come: another clock wrote that.
    fn age(&self, now: SystemTime) -> Option<Duration> {
        now.duration_since(self.at).ok().filter(|age| *age <= AGE_MAX)
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let address = words.next()?.to_owned();
        let bandwidth = words.next()?.parse().ok()?;
        let min_rtt = Duration::from_micros(words.next()?.parse().ok()?);
        let at = calendar::parse_end(words.next()?)?;
        words.next().is_none().then_some(Self { address, bandwidth, min_rtt, at })
    }

    fn line(&self) -> String {
        let Self { address, bandwidth, min_rtt, at } = self;
        format!("{address} {bandwidth} {} {}\n", min_rtt.as_micros(), calendar::moment(*at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAST: PastPath =
        PastPath { bandwidth: 12_200_000, min_rtt: Duration::from_micros(100_250), age: Duration::ZERO };
    const SECOND: Duration = Duration::from_secs(1);

    fn moment() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_772_460_309)
    }

    fn known(address: &str, at: SystemTime) -> PathList {
        PathList::of(address, &PAST, at)
    }

    #[test]
    fn what_is_too_old_or_still_to_come_is_not_recalled_and_goes() {
        let list = known("box:1", moment());
        assert_eq!(list.lookup("box:1", moment() + AGE_MAX), Some(PastPath { age: AGE_MAX, ..PAST }));
        for now in [moment() + AGE_MAX + SECOND, moment() - SECOND] {
            assert_eq!(list.lookup("box:1", now), None);
            let mut kept = list.clone();
            kept.take_in(known("other:1", now), now);
            assert_eq!(kept, known("other:1", now));
        }
    }

    #[test]
    fn the_newest_of_an_address_stays_whichever_list_it_is_in() {
        let newer = PathList::of("box:1", &PastPath { bandwidth: 1, ..PAST }, moment() + SECOND);
        for (mut list, update) in [(known("box:1", moment()), newer.clone()), (newer.clone(), known("box:1", moment()))]
        {
            list.take_in(update, moment() + SECOND);
            assert_eq!(list, newer);
        }
        let mut list = known("box:1", moment() + SECOND);
        list.take_in(newer.clone(), moment() + SECOND);
        assert_eq!(list, newer, "of the same moment it is the news");
    }

    #[test]
    fn the_oldest_paths_make_room() {
        let name = |number: usize| format!("box{number}:1");
        let mut list = PathList::default();
        for number in 0..PATHS_MAX + 2 {
            let at = moment() + SECOND * number as u32;
            list.take_in(known(&name(number), at), at);
        }
        let now = moment() + SECOND * PATHS_MAX as u32 * 2;
        assert_eq!(list.0.len(), PATHS_MAX);
        assert_eq!(list.lookup(&name(1), now), None);
        assert!(list.lookup(&name(2), now).is_some() && list.lookup(&name(PATHS_MAX + 1), now).is_some());
    }

    #[test]
    fn lines_are_read_as_they_were_written_and_broken_ones_are_named() {
        let mut list = known("box:1", moment());
        list.take_in(known("2001:db8::/64", moment() + SECOND), moment() + SECOND);
        assert_eq!(PathList::parse(&list.lines()), (list.clone(), vec![]));
        let good = "box:1 12200000 100250 2026-03-02T14:05:09Z";
        let text = format!(
            "# heading\n\nbox:1\n{good} more\nbox:1 fast 1 2026-03-02T14:05:09Z\n{good}\nbox:1 -1 1 2026\nhalf"
        );
        assert_eq!(PathList::parse(&text), (known("box:1", moment()), vec![3, 4, 5, 7, 8]));
        assert_eq!(known("a box", moment()), PathList::default());
    }
}
