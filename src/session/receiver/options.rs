//! How a receiver treats what it is offered: what it may write, and which files a sender may hear of that must not look.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex};

use crate::protocol::message::{Failure, Header, IfExists, Target};
use crate::protocol::path::WirePath;
use crate::storage::{Destination, Meta, Replace, Store};
use crate::transfer::file::resume::Policy;

/// Files that are remembered, over all clients; of more, the latest. Two megabytes.
const DELIVERED_MAX: usize = 64 * 1024;

/// Whether what is on offer may be written, and under that name; else why not.
type Allows = dyn Fn(&Header, &WirePath) -> Result<(), Failure> + Send + Sync;

/// How a receiver treats what it is offered.
pub(crate) struct ReceiveOptions<S: Store = Destination> {
    /// Where files go; nothing outside it is touched.
    pub(crate) root: S,
    /// Below the root; `None` is the root itself.
    pub(crate) to: Option<WirePath>,
    /// How `to` is to be read.
    pub(crate) target: Target,
    /// The policy for files that exist already.
    pub(crate) policy: Policy,
    /// Directories that are there keep their times and modes, whatever the sender wants: the operator lets nobody replace
    /// anything.
    pub(crate) leaves_directories: bool,
    /// Answer, but change nothing.
    pub(crate) dry_run: bool,
    /// The sender knows of a dry run and hears what would be. One that does not know would send what it is asked for.
    pub(crate) tells_plans: bool,
    /// The committer will sync what is written.
    pub(crate) durable: bool,
    /// Which names may be written at all; else why not.
    pub(crate) allows: Box<Allows>,
    /// The owner of the partial files of this job, whom alone they are continued for; `None` is anyone. A sender that
    /// the policy keeps blind must not learn what others left unfinished.
    pub(crate) owner: Option<String>,
    /// The files that such senders have delivered; each of them is told of its own only.
    pub(crate) delivered: Option<Arc<Delivered>>,
}

impl<S: Store> ReceiveOptions<S> {
    /// Whether that is a file which this sender has delivered before.
    pub(super) fn was_delivered(&self, there: &Meta) -> bool {
        let known = self.delivered.as_ref().zip(self.owner.as_ref());
        known.is_some_and(|(delivered, owner)| delivered.is_by(owner, there))
    }

    /// Remembers what this sender has delivered.
    pub(super) fn note_delivered(&self, path: &WirePath) {
        let Some((delivered, owner)) = self.delivered.as_ref().zip(self.owner.as_ref()) else { return };
        // One that is gone already is not there.
        if let Ok(Some(file)) = self.root.stat(path) {
            delivered.note(owner, &file);
        }
    }

    /// The rule for a name that was taken between the plan and the commit of content or a link.
    pub(super) fn replace(&self) -> Replace {
        match self.policy.if_exists {
            IfExists::Replace => Replace::Yes,
            IfExists::Rename => Replace::RenameFree,
            IfExists::Skip | IfExists::Fail => Replace::No,
        }
    }
}

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
    use crate::storage::FileIdentity;

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
