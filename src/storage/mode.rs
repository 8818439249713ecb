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
/// What marks a directory that is open to its owner only until all is in it: the sticky bit, which means nothing where
/// nobody but the owner is to write. A job that is interrupted leaves it so, and a later one that changes no directory
/// otherwise knows by it that this one is to be shut.
const OPENED_BIT: u32 = 0o1000;
/// The bits that a directory's owner needs to find its content.
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
    let special = if was_opened(source, there) { there & SPECIAL_BITS & !OPENED_BIT } else { there & SPECIAL_BITS };
    of_new(source, umask) & there | special
}

/// Mode of a directory that is filled before it gets `mode`: open to its owner, and marked if it will not be.
pub(crate) fn of_open_directory(mode: u32) -> u32 {
    if is_shut(mode) { mode | OWNER_BITS | OPENED_BIT } else { mode }
}

/// Whether a directory that is to be a copy of one of mode `source` was opened by a job that has not come to its end.
pub(crate) fn was_opened(source: u32, there: u32) -> bool {
    is_shut(source) && !is_shut(there) && there & OPENED_BIT != 0
}

/// Its mode when it is shut as its source is. What others may do there was never changed.
pub(crate) fn of_shut_again(source: u32, there: u32) -> u32 {
    there & !(OWNER_BITS | OPENED_BIT) | source & OWNER_BITS
}

/// The bits that a directory may be made with.
pub(crate) fn of_made_directory(mode: u32) -> u32 {
    mode & (PERMISSION_BITS | OPENED_BIT)
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
    fn a_directory_that_will_be_shut_is_marked_until_it_is() {
        for (source, open, shut) in [
            (0o500, 0o1700, 0o500),
            (0o555, 0o1755, 0o555),
            (0o070, 0o1770, 0o070),
            (0o755, 0o755, 0o755),
            (0o700, 0o700, 0o700),
        ] {
            assert_eq!(of_open_directory(source), open, "{source:o}");
            assert_eq!(was_opened(source, open), open != shut, "{source:o}");
            assert_eq!(of_directory(source, open, 0), shut, "{source:o}");
            assert!(!was_opened(source, shut) && !was_opened(0o755, open), "{source:o}");
            if open != shut {
                assert_eq!(of_shut_again(source, open), shut, "{source:o}");
            }
        }
        // It was another one's before it was opened, and only its owner's bits were touched.
        assert_eq!(of_shut_again(0o500, 0o3750), 0o2550);
        assert!(!was_opened(0o500, 0o755), "its owner has opened it");
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
