//! The answers of the operating system which say that nothing is at a path of this machine, for every room.
//!
//! `storage` tells more kinds of failure apart. Whoever asks for a home, or for what a user has named, needs one rule: it is
//! there, it is not, or that cannot be told.

use std::io;

/// Whether an answer says that nothing is there: no such name, or what stands before it is no directory.
pub(crate) fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// `None` for what is not there. What cannot be looked at is not taken for that: it may be somebody's.
pub(crate) fn unless_absent<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Err(error) if is_absent(&error) => Ok(None),
        found => found.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use rustix::io::Errno;

    use super::*;

    #[test]
    fn what_cannot_be_looked_at_is_not_absent() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = |name: &str| dir.path().join(name);
        fs::write(path("file"), b"x").expect("written");
        symlink("round", path("round")).expect("made");
        let look = |name: &str| unless_absent(fs::metadata(path(name))).ok().map(|found| found.is_some());
        let looks = ["file", "missing", "missing/below", "file/below", "round"].map(look);
        assert_eq!(looks, [Some(true), Some(false), Some(false), Some(false), None]);
        for errno in [Errno::MFILE, Errno::NOMEM, Errno::ACCESS, Errno::IO, Errno::INTR] {
            assert!(!is_absent(&errno.into()), "{errno}");
        }
    }
}
