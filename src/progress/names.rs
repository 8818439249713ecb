//! What a job has counted already, by name.

use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::FileProgress;

/// Names of a job by hash, so that a new connection counts none of them twice.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) found: HashSet<u64>,
    /// What is settled since the present connection began...
    settled: HashSet<u64>,
    /// ... and what was before.
    before: HashSet<u64>,
    /// What failed of all that.
    failed: HashSet<u64>,
    /// What has started and is not settled: what it wrote is counted.
    pub(super) moving: HashMap<u64, Arc<FileProgress>>,
}

impl Names {
    pub(super) fn is_settled(&self, path: &str) -> bool {
        let hash = name_hash(path);
        self.settled.contains(&hash) || self.before.contains(&hash)
    }

    /// Whether it is done, or need not be, since an earlier connection.
    pub(super) fn was_done_before(&self, path: &str) -> bool {
        let hash = name_hash(path);
        self.before.contains(&hash) && !self.failed.contains(&hash)
    }

    /// Remembers that a name is settled; false when it was known.
    pub(super) fn settle(&mut self, path: &str) -> bool {
        !self.before.contains(&name_hash(path)) && note(&mut self.settled, path)
    }

    pub(super) fn fail(&mut self, path: &str) {
        note(&mut self.failed, path);
    }

    /// The present connection is lost.
    pub(super) fn start_over(&mut self) {
        let room = NAMES_KEPT - self.before.len().min(NAMES_KEPT);
        self.before.extend(self.settled.drain().take(room));
    }
}

/// Names remembered at most of each kind; what is beyond may count twice after a lost connection. A hostile server could
/// otherwise fill our memory with names alone.
const NAMES_KEPT: usize = 8 << 20;

/// Remembers a name; false when it was known.
pub(super) fn note(names: &mut HashSet<u64>, path: &str) -> bool {
    let hash = name_hash(path);
    if names.len() < NAMES_KEPT { names.insert(hash) } else { !names.contains(&hash) }
}

/// Eight bytes a name instead of the name: 100,000 files cost less than a megabyte. A collision would
/// leave a file out only if the connection also broke in between; 64 bits make that one in 10^9 jobs.
pub(crate) fn name_hash(path: &str) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    path.hash(&mut hasher);
    hasher.finish()
}
