//! The file of a list of paths.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::list::PathList;
use crate::keys::home::{self, HomeError, Privacy};

/// One file of one home directory. Cheap to clone; every call reads the file again, and several processes may use it.
#[derive(Debug, Clone)]
pub struct PathMemory {
    home: PathBuf,
    file: &'static str,
    heading: &'static str,
}

impl PathMemory {
    /// The memory of the paths to servers in `home`, which need not exist yet.
    pub fn of_servers(home: &Path) -> Self {
        let heading =
            "# Rate and round trip of the paths to servers. qft writes this file; it may be deleted at any time.\n";
        Self { home: home.to_owned(), file: "paths", heading }
    }

    /// The memory of the paths to clients in `home`, which need not exist yet.
    pub fn of_clients(home: &Path) -> Self {
        let heading =
            "# Rate and round trip of the paths to clients. qft writes this file; it may be deleted at any time.\n";
        Self { home: home.to_owned(), file: "client_paths", heading }
    }

    /// All that is remembered. A line that says anything else is reported and skipped.
    ///
    /// # Errors
    /// [`HomeError`] when there is a file that cannot be read.
    pub fn load(&self) -> Result<PathList, HomeError> {
        let path = self.home.join(self.file);
        let Some((text, _)) = home::read(&path, Privacy::List)? else { return Ok(PathList::default()) };
        let (list, broken) = PathList::parse(&text);
        for number in broken {
            tracing::warn!("{}, line {number}: no path; the line is skipped", path.display());
        }
        Ok(list)
    }

    /// Remembers `update`, in the place of what was known of the same paths, and gives all that is remembered now.
    /// Waits (without a runtime) for the directory's lock and for the disk.
    ///
    /// # Errors
    /// [`HomeError`]; the file is as it was then.
    pub fn keep(&self, update: PathList, now: SystemTime) -> Result<PathList, HomeError> {
        home::prepare(&self.home)?;
        let lock = home::lock(&self.home)?;
        let mut list = self.load()?;
        list.take_in(update, now);
        lock.replace(self.file, &format!("{}{}", self.heading, list.lines()))?;
        Ok(list)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;
    use std::time::Duration;

    use super::*;
    use crate::congestion::PastPath;

    const PAST: PastPath =
        PastPath { bandwidth: 12_200_000, min_rtt: Duration::from_micros(100_250), age: Duration::ZERO };
    const HOUR: Duration = Duration::from_secs(3600);

    fn moment() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_772_460_309)
    }

    #[test]
    fn what_is_kept_is_recalled_with_its_age_and_only_for_its_address_and_kind() {
        let outer = tempfile::tempdir().unwrap();
        let home = outer.path().join("home");
        let memory = PathMemory::of_servers(&home);
        assert_eq!(memory.load().unwrap(), PathList::default());
        let keep = |address, past| memory.keep(PathList::of(address, past, moment()), moment()).unwrap();
        keep("box:4433", &PastPath { bandwidth: 1, ..PAST });
        keep("[fe80::1]:4433", &PAST);
        assert_eq!(keep("box:4433", &PAST), memory.load().unwrap());
        let aged = |address| memory.load().unwrap().lookup(address, moment() + HOUR);
        assert_eq!(aged("box:4433"), Some(PastPath { age: HOUR, ..PAST }));
        assert_eq!(aged("[fe80::1]:4433"), Some(PastPath { age: HOUR, ..PAST }));
        assert_eq!(aged("other:4433"), None);
        assert_eq!(PathMemory::of_clients(&home).load().unwrap(), PathList::default());
        assert_eq!(fs::metadata(home.join("paths")).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn two_processes_that_keep_in_turn_lose_nothing_of_each_other() {
        let home = tempfile::tempdir().unwrap();
        let processes = [(); 2].map(|()| PathMemory::of_clients(home.path()));
        let addresses = ["192.0.2.1", "192.0.2.2", "192.0.2.3"];
        for (address, memory) in addresses.iter().zip(processes.iter().cycle()) {
            memory.keep(PathList::of(address, &PAST, moment()), moment()).unwrap();
        }
        let list = processes[0].load().unwrap();
        assert!(addresses.iter().all(|address| list.lookup(address, moment()).is_some()), "{list:?}");
    }

    #[test]
    fn a_file_that_was_cut_short_gives_what_is_whole_and_is_whole_again_after_the_next() {
        let home = tempfile::tempdir().unwrap();
        let memory = PathMemory::of_clients(home.path());
        let text = "192.0.2.1 12200000 100250 2026-03-02T14:05:09Z\n192.0.2.2 122000";
        fs::write(home.path().join("client_paths"), text).unwrap();
        assert_eq!(memory.load().unwrap().lookup("192.0.2.1", moment()), Some(PAST));
        let list = memory.keep(PathList::of("192.0.2.3", &PAST, moment()), moment()).unwrap();
        let text = fs::read_to_string(home.path().join("client_paths")).unwrap();
        assert_eq!(text.lines().count(), 3, "{text}");
        assert_eq!(memory.load().unwrap(), list);
    }
}
