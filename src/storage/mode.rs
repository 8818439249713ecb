//! Permission bits: which of a source's its copy gets.
//!
//! A copy gets the nine bits of its source, less the umask, as a file that is made here does. Set-user-id, set-group-id
//! and sticky bits of a source are never taken over: they give rights to a content that a peer chose. Those that the
//! destination has, or inherits from the directory above (a group's shared directory), are its owner's and stay.

use rustix::fs::RawMode;

/// Read, write and search or execute, for owner, group and others: the bits that are taken over from a peer.
const PERMISSION_BITS: u32 = 0o777;
/// Set-user-id, set-group-id and sticky.
const SPECIAL_BITS: u32 = 0o7000;
/// Without these nothing can be put into a directory, or found in it.
pub(crate) const OWNER_BITS: u32 = 0o700;
/// What a directory's owner needs to find what is in it.
const SEARCH_BITS: u32 = 0o500;

/// Permission bits of something new.
pub(crate) fn of_new(source: u32, umask: u32) -> u32 {
    source & PERMISSION_BITS & !umask
}

/// Mode of a file that keeps its content, where `there` is its mode now. The special bits stay unless more users could
/// read, change or run it than before.
pub(crate) fn of_kept_file(source: u32, there: u32, umask: u32) -> u32 {
    let bits = of_new(source, umask);
    if bits & !there == 0 { bits | there & SPECIAL_BITS } else { bits }
}

/// Mode of a directory that was there before, where `there` is its mode now: it becomes narrower or stays as it is. A
/// peer does not open what its owner has shut. A directory that was made for this job is wide enough already.
pub(crate) fn of_directory(source: u32, there: u32, umask: u32) -> u32 {
    of_new(source, umask) & there | there & SPECIAL_BITS
}

/// Whether a directory of that mode keeps its own owner from reading it or putting something into it.
pub(crate) fn is_shut(mode: u32) -> bool {
    mode & OWNER_BITS != OWNER_BITS
}

/// Whether it keeps its owner even from looking for what is in it.
pub(crate) fn is_blind(mode: u32) -> bool {
    mode & SEARCH_BITS != SEARCH_BITS
}

/// The lower twelve bits of `st_mode`, whose width depends on the architecture.
#[allow(clippy::unnecessary_cast)]
pub(crate) fn of_stat(mode: RawMode) -> u32 {
    mode as u32 & (PERMISSION_BITS | SPECIAL_BITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_things_get_the_sources_nine_bits_less_the_umask() {
        for (source, umask, expected) in [
            (0o666, 0o022, 0o644),
            (0o777, 0o077, 0o700),
            (0o6755, 0o022, 0o755),
            (0o1777, 0o002, 0o775),
            (0o640, 0, 0o640),
            (0o000, 0o022, 0o000),
        ] {
            assert_eq!(of_new(source, umask), expected, "{source:o} {umask:o}");
        }
    }

    #[test]
    fn a_directory_that_was_there_never_becomes_wider_and_keeps_its_special_bits() {
        for (source, there, expected) in [
            (0o777, 0o700, 0o700),
            (0o700, 0o755, 0o700),
            (0o777, 0o2770, 0o2750),
            (0o700, 0o1777, 0o1700),
            (0o6755, 0o755, 0o755),
            (0o555, 0o755, 0o555),
            (0o755, 0o555, 0o555),
        ] {
            assert_eq!(of_directory(source, there, 0o022), expected, "{source:o} {there:o}");
        }
    }

    #[test]
    fn a_file_that_keeps_its_content_keeps_its_special_bits_unless_more_may_use_it() {
        for (source, there, expected) in [
            (0o755, 0o2755, 0o2755),
            (0o700, 0o4755, 0o4700),
            (0o755, 0o4700, 0o755),
            (0o6755, 0o755, 0o755),
            (0o600, 0o644, 0o600),
        ] {
            assert_eq!(of_kept_file(source, there, 0o022), expected, "{source:o} {there:o}");
        }
    }
}
