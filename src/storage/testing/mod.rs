//! Small things that the tests of this room share, and a store in memory.
//!
//! | file | holds |
//! |---|---|
//! | `memory` | a store in memory, which loses, fails, fills up and folds |
//! | `faults` | failures that a test asks for |
//! | `random` | numbers that are the same for the same seed |

pub(crate) mod faults;
pub(crate) mod memory;
pub(crate) mod random;

use std::fs;
use std::path::Path;

use crate::protocol::message::Mtime;
use crate::protocol::path::WirePath;

use super::dir::Resolver;
use super::{Destination, Root, Tree};

pub(crate) use faults::{fail_sync, fail_sync_with, heal, opening_after, opening_only, panic_at};

pub(crate) const SOME_TIME: Mtime = Mtime { secs: 1_234_567_890, nanos: 987_654_321 };

pub(crate) fn wire(path: &str) -> WirePath {
    WirePath::parse(path.as_bytes()).expect("tests use good paths")
}

/// Runs `f` as an owner whom permissions bind: the administrator's thread gives up its way around them.
pub(crate) fn bound_by_permissions<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
    std::thread::scope(|scope| {
        let bound = scope.spawn(|| {
            let mut sets = capabilities(None).expect("a thread may give up what it has");
            sets.effective -= CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH;
            set_capabilities(None, sets).expect("a thread may give up what it has");
            f()
        });
        bound.join().expect("a thread may give up what it has")
    })
}

/// A root in a temporary directory, with a second directory beside it that nobody may touch.
pub(crate) struct TestRoot {
    pub(crate) temp: tempfile::TempDir,
    pub(crate) root: Destination,
}

impl TestRoot {
    pub(crate) fn new() -> Self {
        let temp = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir(temp.path().join("root")).expect("an empty directory takes a name");
        fs::create_dir(temp.path().join("outside")).expect("an empty directory takes a name");
        fs::write(temp.path().join("outside/secret"), b"canary").expect("an empty directory takes a file");
        let root = Root::open(&temp.path().join("root")).expect("it was just made").destination();
        Self { temp, root }
    }

    /// The same place through each way of resolving paths that this kernel has.
    pub(crate) fn roots(&self) -> [Root; 2] {
        let walking = Root::open_with(&self.path(""), Resolver::Walk).expect("the root exists");
        let usual = Root::open(&self.path("")).expect("the root exists");
        [usual, walking]
    }

    /// The same to be written.
    pub(crate) fn destinations(&self) -> [Destination; 2] {
        self.roots().map(|root| root.destination())
    }

    /// The same place to be read.
    pub(crate) fn tree(&self) -> Tree {
        Tree::open(&self.path("")).expect("the root exists")
    }

    pub(crate) fn path(&self, below: impl AsRef<Path>) -> std::path::PathBuf {
        self.temp.path().join("root").join(below)
    }

    pub(crate) fn write(&self, below: &str, content: &[u8]) {
        let path = self.path(below);
        fs::create_dir_all(path.parent().expect("below the root")).expect("the temporary directory is writable");
        fs::write(path, content).expect("the temporary directory is writable");
    }

    /// Fails when anything beside the root was touched.
    pub(crate) fn assert_outside_untouched(&self) {
        let names: Vec<_> = fs::read_dir(self.temp.path().join("outside"))
            .expect("still there")
            .map(|entry| entry.expect("readable").file_name())
            .collect();
        assert_eq!(names, ["secret"]);
        assert_eq!(fs::read(self.temp.path().join("outside/secret")).expect("still there"), b"canary");
    }
}
