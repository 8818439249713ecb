//! Why a disk operation fails: what the operating system says, and what we refuse ourselves.

use std::io;

use rustix::io::Errno;

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
