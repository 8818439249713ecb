//! The files that senders have delivered which may not look at what is there.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Mutex;

use super::meta::Meta;

/// Files that are remembered, over all clients; of more, the latest. Two megabytes.
const DELIVERED_MAX: usize = 64 * 1024;

/// Files that were delivered by clients that may send and not read, while this process runs.
///
/// Such a client must not be told what others have put in the drop box, not even whether it is what the client has, too: it
/// could guess. That a file is there which it has delivered itself, and nobody has changed since, it may hear.
#[derive(Debug, Default)]
pub(crate) struct Delivered {
    hasher: RandomState,
    recent: Mutex<RecentlyDelivered>,
}

#[derive(Debug, Default)]
struct RecentlyDelivered {
    known: HashSet<u64>,
    /// The same, oldest first.
    order: VecDeque<u64>,
}

impl Delivered {
    /// `owner` has delivered this file.
    pub(crate) fn note(&self, owner: &str, file: &Meta) {
        let key = self.key(owner, file);
        let mut recent = self.recent.lock().expect("no holder panics");
        if !recent.known.insert(key) {
            return;
        }
        recent.order.push_back(key);
        if recent.order.len() > DELIVERED_MAX
            && let Some(oldest) = recent.order.pop_front()
        {
            recent.known.remove(&oldest);
        }
    }

    /// Whether this is a file that `owner` has delivered, as it was then.
    pub(crate) fn is_by(&self, owner: &str, file: &Meta) -> bool {
        self.recent.lock().expect("no holder panics").known.contains(&self.key(owner, file))
    }

    /// The keys of the hash are this process's own, so that nobody can look for two files with one.
    fn key(&self, owner: &str, file: &Meta) -> u64 {
        let (dev, ino) = (file.identity.dev, file.identity.ino);
        self.hasher.hash_one((owner, dev, ino, file.size, file.mtime.secs, file.mtime.nanos))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::message::{Kind, Mtime};
    use crate::storage::meta::FileIdentity;

    fn file(ino: u64, size: u64, secs: i64) -> Meta {
        let mtime = Mtime { secs, nanos: 0 };
        Meta {
            kind: Kind::File,
            size,
            mtime,
            mode: 0o644,
            allocated: 0,
            identity: FileIdentity { dev: 1, ino, ctime: mtime },
        }
    }

    #[test]
    fn only_who_delivered_a_file_is_told_and_only_while_it_is_that_file() {
        let delivered = Delivered::default();
        delivered.note("ann", &file(1, 10, 100));
        assert!(delivered.is_by("ann", &file(1, 10, 100)));
        assert!(!delivered.is_by("bob", &file(1, 10, 100)), "another client");
        for other in [file(2, 10, 100), file(1, 11, 100), file(1, 10, 101)] {
            assert!(!delivered.is_by("ann", &other), "replaced or changed: {other:?}");
        }
    }

    #[test]
    fn of_very_many_only_the_latest_are_remembered() {
        let delivered = Delivered::default();
        for ino in 0..=DELIVERED_MAX as u64 {
            delivered.note("ann", &file(ino, 1, 1));
        }
        assert!(!delivered.is_by("ann", &file(0, 1, 1)));
        assert!(delivered.is_by("ann", &file(DELIVERED_MAX as u64, 1, 1)));
        assert_eq!(delivered.recent.lock().expect("nobody panics").order.len(), DELIVERED_MAX);
    }
}
