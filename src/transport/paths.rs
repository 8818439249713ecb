//! What is remembered of the paths to servers: `paths` in the home directory.
//!
//! The program alone writes it: `HOST:PORT BYTES_PER_SECOND ROUND_TRIP_US WHEN`, one path a line. It goes by address and not
//! by key, since a server has other paths under its other addresses. Nothing in it is trusted: the congestion controller
//! tests what it is told.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::congestion::{AGE_MAX, PastPath};
use super::contact::Contact;
use super::home::{self, HomeError, Privacy};
use crate::calendar;

/// The file's name in the home directory.
const FILE: &str = "paths";
/// Paths that are remembered; the oldest make room. More than anyone sends to in a day.
const PATHS_MAX: usize = 256;
const HEADING: &str =
    "# Rate and round trip of the paths to servers. qft writes this file; it may be deleted at any time.\n";

/// The memory of one home directory. Cheap to clone; every call reads the file anew.
#[derive(Debug, Clone)]
pub struct PathMemory {
    home: PathBuf,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    address: String,
    bandwidth: u64,
    min_rtt: Duration,
    at: SystemTime,
}

impl PathMemory {
    /// The memory in `home`, which need not exist yet.
    pub fn new(home: &Path) -> Self {
        Self { home: home.to_owned() }
    }

    /// What is remembered of the path to a server, unless it is too old to be used.
    ///
    /// # Errors
    /// [`HomeError`] when there is a file that cannot be read.
    pub fn recall(&self, contact: &Contact, now: SystemTime) -> Result<Option<PastPath>, HomeError> {
        let address = contact.address();
        let found = self.entries()?.into_iter().find(|entry| entry.address == address);
        Ok(found.and_then(|entry| {
            // A moment that is still to come was written by another clock.
            let age = now.duration_since(entry.at).ok().filter(|age| *age <= AGE_MAX)?;
            Some(PastPath { bandwidth: entry.bandwidth, min_rtt: entry.min_rtt, age })
        }))
    }

    /// Remembers a path, in the place of what was known of it. Waits (without a runtime) for the directory's lock.
    ///
    /// # Errors
    /// [`HomeError`]; the file is as it was then.
    pub fn keep(&self, contact: &Contact, past: &PastPath, now: SystemTime) -> Result<(), HomeError> {
        let address = contact.address();
        if address.contains(char::is_whitespace) {
            return Ok(());
        }
        home::prepare(&self.home)?;
        let lock = home::lock(&self.home)?;
        let mut entries = self.entries()?;
        entries.retain(|entry| entry.address != address);
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.at));
        entries.insert(0, Entry { address, bandwidth: past.bandwidth, min_rtt: past.min_rtt, at: now });
        entries.truncate(PATHS_MAX);
        let lines: String = entries.iter().map(Entry::line).collect();
        lock.replace(FILE, &format!("{HEADING}{lines}"))
    }

    /// All that is remembered. A line that says anything else is reported and skipped.
    fn entries(&self) -> Result<Vec<Entry>, HomeError> {
        let path = self.home.join(FILE);
        let Some((text, _)) = home::read(&path, Privacy::List)? else { return Ok(Vec::new()) };
        let mut entries = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match Entry::parse(line) {
                Some(entry) => entries.push(entry),
                None => tracing::warn!("{}, line {number}: no path; the line is skipped", path.display()),
            }
        }
        Ok(entries)
    }
}

impl Entry {
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
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::transport::{Fingerprint, Ticket};

    const PAST: PastPath =
        PastPath { bandwidth: 12_200_000, min_rtt: Duration::from_micros(100_250), age: Duration::ZERO };
    const HOUR: Duration = Duration::from_secs(3600);

    fn contact(host: &str) -> Contact {
        Ticket { fingerprint: Fingerprint([7; 32]), invite: None, host: host.to_owned(), port: 4433 }.into()
    }

    fn moment() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_772_460_309)
    }

    #[test]
    fn what_is_kept_is_recalled_with_its_age_and_only_for_its_address() {
        let outer = tempfile::tempdir().unwrap();
        let memory = PathMemory::new(&outer.path().join("home"));
        assert_eq!(memory.recall(&contact("box"), moment()).unwrap(), None);
        memory.keep(&contact("box"), &PastPath { bandwidth: 1, ..PAST }, moment()).unwrap();
        memory.keep(&contact("fe80::1"), &PAST, moment()).unwrap();
        memory.keep(&contact("box"), &PAST, moment()).unwrap();
        let aged = |host, later| memory.recall(&contact(host), moment() + later).unwrap();
        assert_eq!(aged("box", HOUR), Some(PastPath { age: HOUR, ..PAST }));
        assert_eq!(aged("fe80::1", HOUR), Some(PastPath { age: HOUR, ..PAST }));
        assert_eq!(aged("other", HOUR), None);
        let mode = fs::metadata(memory.home.join(FILE)).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn what_is_too_old_or_still_to_come_is_not_recalled() {
        let home = tempfile::tempdir().unwrap();
        let memory = PathMemory::new(home.path());
        memory.keep(&contact("box"), &PAST, moment()).unwrap();
        let at = |now| memory.recall(&contact("box"), now).unwrap();
        assert!(at(moment() + AGE_MAX).is_some());
        assert_eq!(at(moment() + AGE_MAX + Duration::from_secs(1)), None);
        assert_eq!(at(moment() - HOUR), None);
    }

    #[test]
    fn the_oldest_paths_make_room() {
        let home = tempfile::tempdir().unwrap();
        let old = |number: u64| Entry {
            address: format!("box{number}:4433"),
            bandwidth: 1,
            min_rtt: Duration::from_millis(1),
            at: moment() - Duration::from_secs(number),
        };
        let lines: String = (1..=PATHS_MAX as u64).map(|number| old(number).line()).collect();
        fs::write(home.path().join(FILE), lines).unwrap();
        let memory = PathMemory::new(home.path());
        memory.keep(&contact("box"), &PAST, moment()).unwrap();
        let entries = memory.entries().unwrap();
        assert_eq!(entries.len(), PATHS_MAX);
        assert_eq!(entries[0].address, "box:4433");
        assert!(entries.contains(&old(PATHS_MAX as u64 - 1)) && !entries.contains(&old(PATHS_MAX as u64)));
    }

    #[test]
    fn broken_lines_are_skipped() {
        let home = tempfile::tempdir().unwrap();
        let good = "box:4433 12200000 100250 2026-03-02T14:05:09Z";
        let text =
            format!("# heading\n\nbox:4433\n{good} more\nbox:4433 fast 1 2026-03-02T14:05:09Z\n{good}\nhalf a li");
        fs::write(home.path().join(FILE), text).unwrap();
        assert_eq!(PathMemory::new(home.path()).recall(&contact("box"), moment()).unwrap(), Some(PAST));
    }
}
