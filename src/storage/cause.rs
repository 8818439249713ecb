//! Why a disk operation fails: what the operating system says, and what we refuse ourselves.

use std::io;

use rustix::io::Errno;

/// What a failure says of the object that was asked for.
///
/// Whoever takes one failure for "there is none" or "it is not ours" names its kind: what fails for want of a descriptor says
/// nothing of the object, and a name that is taken for free then loses what has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FailureKind {
    /// Nothing has the name.
    Absent,
    /// Nothing of what was asked for can have it: something else does, or the disk takes no such name.
    Unlike,
    /// It is there, perhaps, and not for us to use.
    Denied,
    /// This machine is short of something now. It may work soon.
    Passing,
    /// The disk has failed, or it is not known why.
    Unknown,
}

impl FailureKind {
    fn of(errno: Errno) -> Self {
        match errno {
            Errno::NOENT => Self::Absent,
            Errno::NOTDIR | Errno::ISDIR | Errno::LOOP | Errno::XDEV => Self::Unlike,
            Errno::NAMETOOLONG | Errno::INVAL | Errno::ILSEQ => Self::Unlike,
            Errno::ACCESS | Errno::PERM | Errno::ROFS => Self::Denied,
            Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOBUFS | Errno::INTR => Self::Passing,
            _ => Self::Unknown,
        }
    }

    /// Whether it says that what was asked for cannot be had under that name, now or later.
    pub(crate) fn is_answer(self) -> bool {
        match self {
            Self::Absent | Self::Unlike | Self::Denied => true,
            Self::Passing | Self::Unknown => false,
        }
    }
}

/// A failure of a call to the disk.
pub(crate) trait Cause {
    fn kind_of_failure(&self) -> FailureKind;
}

impl Cause for Errno {
    fn kind_of_failure(&self) -> FailureKind {
        FailureKind::of(*self)
    }
}

impl Cause for io::Error {
    fn kind_of_failure(&self) -> FailureKind {
        match Refusal::of(self) {
            Some(Refusal::NotTransferable | Refusal::LinkLeaves | Refusal::TreeReplaced) => FailureKind::Unlike,
            Some(Refusal::PartForeign) => FailureKind::Denied,
            Some(_) => FailureKind::Unknown,
            None => Errno::from_io_error(self).map_or(FailureKind::Unknown, FailureKind::of),
        }
    }
}

/// The result of a look at something that need not be there.
pub(crate) trait ThereOrNot<T, E> {
    /// `None` where nothing has the name.
    fn if_there(self) -> Result<Option<T>, E>;

    /// `None` where what was asked for cannot be had under that name, for whatever reason that lasts.
    fn if_had(self) -> Result<Option<T>, E>;
}

impl<T, E: Cause> ThereOrNot<T, E> for Result<T, E> {
    fn if_there(self) -> Result<Option<T>, E> {
        match self {
            Err(error) if error.kind_of_failure() == FailureKind::Absent => Ok(None),
            looked => looked.map(Some),
        }
    }

    fn if_had(self) -> Result<Option<T>, E> {
        match self {
            Err(error) if error.kind_of_failure().is_answer() => Ok(None),
            looked => looked.map(Some),
        }
    }
}

/// Of two ways that failed the failure that says why: that of the first, unless the second might have worked.
pub(crate) fn telling(first: Errno, second: Errno) -> Errno {
    if second.kind_of_failure() == FailureKind::Passing { second } else { first }
}

/// The refusals of our own, for which the operating system is not asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// A device, FIFO or socket.
    #[error("not a regular file, directory or link")]
    NotTransferable,
    /// A link that points out of the tree.
    #[error("its target lies outside the tree")]
    LinkLeaves,
    /// Something else has the name of the directory that is walked.
    #[error("the directory that was named is not there any more")]
    TreeReplaced,
    /// Something of ours was replaced while we worked on it.
    #[error("its part file was removed or replaced by someone else")]
    PartReplaced,
    /// The written content is not there.
    #[error("the disk has taken more than it has kept; is there room?")]
    NotKept,
    /// Others have all the names that a part can have.
    #[error("files of other users, or directories, have the names of its part file (.NAME*.qft-part); remove them")]
    PartForeign,
    /// A part that takes over an old version of its file: some more of it has been copied now.
    #[error("its old version is being copied")]
    CopiedSome,
    /// The same, and another thread is at it.
    #[error("its old version is being copied")]
    CopiedElsewhere,
    /// A commit that was not brought to its end, by a fault of this program.
    #[error("its commit failed internally")]
    CommitLost,
}

impl Refusal {
    pub(crate) fn of(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref().copied()
    }
}

impl From<Refusal> for io::Error {
    fn from(refusal: Refusal) -> Self {
        Self::other(refusal)
    }
}

/// The thread that copies the old version of a file to its part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CopiedBy {
    Here,
    Elsewhere,
}

/// The operating system's words without the `(os error 28)` that the standard library appends.
pub(crate) fn plain(error: &io::Error) -> String {
    match Errno::from_io_error(error) {
        // The system's words for these ("Invalid cross-device link", "Not a directory") help nobody.
        Some(Errno::XDEV) => return "a symbolic link leads out of the root".to_owned(),
        Some(Errno::LOOP) => return "a symbolic link is in the way".to_owned(),
        Some(Errno::NOTDIR) => return "a file is in the way of the directory".to_owned(),
        // Of a file that a container has from outside, say.
        Some(Errno::BUSY) => return "it is in use, or something is mounted on it".to_owned(),
        // "File too large" leaves open for what.
        Some(Errno::FBIG) => return "it is larger than files can be there (file system, or ulimit -f)".to_owned(),
        _ => {}
    }
    let text = error.to_string();
    let Some(code) = error.raw_os_error() else { return text };
    match text.strip_suffix(&format!(" (os error {code})")) {
        Some(words) => words.to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_for_want_of_something_says_nothing_of_the_object() {
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::INTR, Errno::AGAIN, Errno::IO, Errno::STALE] {
            assert_eq!(Err::<(), _>(errno).if_there(), Err(errno));
            assert_eq!(Err::<(), _>(errno).if_had(), Err(errno));
        }
        for errno in [Errno::ACCESS, Errno::ROFS, Errno::NOTDIR, Errno::LOOP, Errno::NAMETOOLONG] {
            assert_eq!((Err::<(), _>(errno).if_there(), Err::<(), _>(errno).if_had()), (Err(errno), Ok(None)));
        }
        assert_eq!(Err::<(), _>(Errno::NOENT).if_there(), Ok(None));
        assert_eq!(Ok::<_, Errno>(1).if_there(), Ok(Some(1)));
    }

    #[test]
    fn the_second_of_two_ways_says_why_where_it_might_have_worked() {
        assert_eq!(telling(Errno::INVAL, Errno::MFILE), Errno::MFILE);
        assert_eq!(telling(Errno::INVAL, Errno::IO), Errno::INVAL);
    }
}
