//! What both ends ask of this machine: its name, and how many threads its disk gets.

use std::num::NonZeroUsize;

/// This machine's name, as it introduces itself.
pub(crate) fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Threads for files and digests: two more than cores, so that a slow disk does not idle the hashing.
pub(crate) fn disk_threads(cores: NonZeroUsize) -> NonZeroUsize {
    cores.saturating_add(2)
}
