//! What a job has counted already, by name.

use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::FileProgress;

/// Names of a job by hash, so that a new connection counts none of them twice.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) found: HashSet<u64>,
    pub(super) settled: HashSet<u64>,
    /// What has started and is not settled: what it wrote is counted.
    pub(super) moving: HashMap<u64, Arc<FileProgress>>,
}

/// Names remembered at most; what is beyond may count twice after a lost connection. A hostile server could
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
