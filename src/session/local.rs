//! What both ends take from this machine: its name, threads for the disk, a thread for a walk.

use std::num::NonZeroUsize;

use tracing::warn;

/// Names that a walk may be ahead of their headers.
pub(crate) const FOUND_AHEAD: usize = 1024;

/// This machine's name, as it introduces itself.
pub(crate) fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Threads for files and digests: two more than cores, so that a slow disk does not idle the hashing.
pub(crate) fn disk_threads(cores: NonZeroUsize) -> NonZeroUsize {
    cores.saturating_add(2)
}

/// Walks trees on a thread of its own: a walk lasts as long as its job, and a job may last for days.
pub(crate) fn walk_on_a_thread(walk: impl FnOnce() + Send + 'static) {
    // Without a thread the channel closes and the job ends with what was found: nothing.
    if let Err(error) = std::thread::Builder::new().name("qft-walk".to_owned()).spawn(walk) {
        warn!(%error, "cannot start a thread for the walk");
    }
}
