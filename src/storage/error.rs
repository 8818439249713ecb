//! The errors of a disk, and the words that a peer is told of them.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::io::Errno;

use super::cause::{Cause, CopiedBy, FailureKind, Refusal, plain};
use crate::protocol::message::{Failure, Status};
use crate::protocol::path::escape_path;

/// How long, and how many times, is waited for what this machine is short of now. Mostly that is a descriptor, when this process
/// has too many files open: it closes hundreds a second.
pub(crate) const FILES_WAIT: Duration = Duration::from_millis(200);
pub(crate) const FILES_WAITS_MAX: u32 = 150;

/// A disk operation that failed.
///
/// The operating system's message is part of the text (so it is not also offered as `source()`, which
/// would print it twice), and the path is escaped: the text may go to a terminal as it is.
#[derive(Debug, thiserror::Error)]
#[error("cannot {op} {}: {}", escape_path(path), self.words())]
pub struct StorageError {
    /// The operation that the system refused.
    pub op: Op,
    /// On what: relative to its root where there is one.
    pub path: PathBuf,
    /// The answer of the operating system.
    pub cause: io::Error,
}

/// The operations that can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Op {
    /// Opening something to read it.
    Open,
    /// Reading size, time or kind.
    Stat,
    /// Reading the content of a file.
    Read,
    /// Reading the names in a directory.
    List,
    /// Creating a file, or opening it to write.
    Create,
    /// Taking the lock of a part file.
    Lock,
    /// Writing the content of a file.
    Write,
    /// Making sure that there is room.
    Reserve,
    /// Making a new directory.
    MakeDir,
    /// Making a symbolic link.
    MakeLink,
    /// Setting time or permission bits.
    SetMeta,
    /// Making content or names durable.
    Sync,
    /// Giving a file its final name.
    Rename,
    /// Removing a name, or a directory.
    Remove,
}

impl Op {
    fn reads(self) -> bool {
        matches!(self, Self::Open | Self::Stat | Self::Read | Self::List)
    }

    /// Whether something new gets a name.
    fn makes_name(self) -> bool {
        matches!(self, Self::Create | Self::MakeDir | Self::MakeLink)
    }

    /// Whether the file system has to take a name for it, and not only a file that is open.
    fn takes_name(self) -> bool {
        matches!(self, Self::Stat | Self::Create | Self::MakeDir | Self::MakeLink | Self::Rename)
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Stat => "examine",
            Self::Read => "read",
            Self::List => "list",
            Self::Create => "create",
            Self::Lock => "lock",
            Self::Write => "write",
            Self::Reserve => "reserve space for",
            Self::MakeDir => "make directory",
            Self::MakeLink => "make link",
            Self::SetMeta => "set time and mode of",
            Self::Sync => "sync",
            Self::Rename => "rename to",
            Self::Remove => "remove",
        })
    }
}

impl StorageError {
    pub(crate) fn new(op: Op, path: &Path, cause: impl Into<io::Error>) -> Self {
        Self { op, path: path.to_owned(), cause: cause.into() }
    }

    /// Whether there is nothing to read, or nothing that we may.
    pub(crate) fn is_nothing_to_read(&self) -> bool {
        matches!(self.kind_of_failure(), FailureKind::Absent | FailureKind::Denied)
    }

    /// Whether it failed because this process (or the system) is short of something, such as descriptors: it may work soon.
    pub fn is_passing(&self) -> bool {
        self.kind_of_failure() == FailureKind::Passing
    }

    /// Whether it is only that the part's old version is being copied: some of it was just now, or is by another thread.
    pub(crate) fn copying(&self) -> Option<CopiedBy> {
        match Refusal::of(&self.cause) {
            Some(Refusal::CopiedSome) => Some(CopiedBy::Here),
            Some(Refusal::CopiedElsewhere) => Some(CopiedBy::Elsewhere),
            _ => None,
        }
    }

    /// The kind of failure, as the peer is told.
    pub fn status(&self) -> Status {
        let by_op = if self.op.reads() { Status::ReadFailed } else { Status::WriteFailed };
        match Refusal::of(&self.cause) {
            Some(Refusal::NotTransferable) => return Status::Unsupported,
            Some(Refusal::LinkLeaves | Refusal::TreeReplaced) => return Status::BadName,
            Some(Refusal::PartForeign) => return Status::NotAllowed,
            Some(Refusal::CommitLost) => return Status::Internal,
            Some(Refusal::PartReplaced | Refusal::NotKept | Refusal::CopiedSome | Refusal::CopiedElsewhere) | None => {}
        }
        let Some(errno) = Errno::from_io_error(&self.cause) else {
            return by_op;
        };
        match errno {
            Errno::NOSPC | Errno::DQUOT => Status::NoSpace,
            // On the writing side a missing name says nothing about the source.
            Errno::NOENT if self.op.reads() => Status::NotFound,
            // A source that may not be read is no refusal of the side that would take it.
            Errno::ACCESS | Errno::PERM if self.op.reads() => Status::ReadFailed,
            Errno::ACCESS | Errno::PERM | Errno::ROFS => Status::NotAllowed,
            Errno::EXIST => Status::Exists,
            Errno::XDEV if self.op == Op::Rename => by_op,
            Errno::INVAL | Errno::ILSEQ if self.op.takes_name() => Status::BadName,
            Errno::LOOP | Errno::XDEV | Errno::NOTDIR | Errno::ISDIR | Errno::NAMETOOLONG | Errno::NOTEMPTY => {
                Status::BadName
            }
            // What opening a socket or a device without a driver gives.
            Errno::NXIO | Errno::NODEV if self.op.reads() => Status::Unsupported,
            Errno::WOULDBLOCK if self.op == Op::Lock => Status::Busy,
            _ => by_op,
        }
    }

    /// The failure as the end that receives tells it. What it cannot look at where a file is to go is nothing that could
    /// not be read where the file comes from.
    pub(crate) fn at_destination(&self) -> Failure {
        let failure = Failure::from(self);
        match failure.status {
            Status::ReadFailed | Status::NotFound => {
                let detail = format!("what is there cannot be read: {}", self.words());
                Failure::new(Status::WriteFailed, detail)
            }
            Status::Unsupported => {
                Failure::new(Status::WriteFailed, "a device, named pipe or socket has its name there")
            }
            _ => failure,
        }
    }

    /// The operating system's words, or ours where those help nobody.
    fn words(&self) -> String {
        let words = plain(&self.cause);
        match Errno::from_io_error(&self.cause) {
            // Of two names in one directory: no link leads anywhere.
            Some(Errno::XDEV) if self.op == Op::Rename => {
                "the file system takes its two names for two disks".to_owned()
            }
            Some(Errno::ISDIR) if self.op == Op::Rename => "a directory of that name is in the way".to_owned(),
            // Windows knows no '?', and a disk of UTF-8 alone no other bytes.
            Some(Errno::INVAL | Errno::ILSEQ) if self.op.takes_name() => {
                format!("the file system takes no such name: {words}")
            }
            _ => words,
        }
    }
}

impl Cause for StorageError {
    fn kind_of_failure(&self) -> FailureKind {
        self.cause.kind_of_failure()
    }
}

impl From<&StorageError> for Failure {
    fn from(error: &StorageError) -> Self {
        let status = error.status();
        let detail = match (status, Errno::from_io_error(&error.cause)) {
            // The status says the same already.
            (Status::NotFound, Some(Errno::NOENT)) => String::new(),
            // Where there is room for content, there may be none for another file.
            (Status::NoSpace, Some(Errno::NOSPC)) if error.op.makes_name() => {
                "or its file system can have no more files (df -i)".to_owned()
            }
            (Status::NoSpace, Some(Errno::NOSPC)) => String::new(),
            (Status::Busy, Some(Errno::WOULDBLOCK)) => String::new(),
            (Status::Unsupported, _) => String::new(),
            _ => error.words(),
        };
        Self { status, detail }
    }
}

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Self {
        Self::from(&error)
    }
}

/// How often work was tried that fails for want of what this machine is short of now.
#[derive(Debug, Default)]
pub(crate) struct Tries(u32);

impl Tries {
    /// Whether work that has failed so is to be tried once more, after [`FILES_WAIT`].
    pub(crate) fn may_go_on(&self, error: &StorageError) -> bool {
        error.is_passing() && self.0 < FILES_WAITS_MAX
    }

    /// The same, for one that is tried then.
    pub(crate) fn go_on(&mut self, error: &StorageError) -> bool {
        let goes_on = self.may_go_on(error);
        self.0 += 1;
        goes_on
    }
}

/// Looks again, on a thread that may sleep, where the machine is short of something now; until `is_over`.
///
/// # Errors
/// That of the last look.
pub(crate) fn patiently<T>(
    mut look: impl FnMut() -> Result<T, StorageError>,
    is_over: impl Fn() -> bool,
) -> Result<T, StorageError> {
    let mut tries = Tries::default();
    loop {
        match look() {
            Err(error) if !is_over() && tries.go_on(&error) => thread::sleep(FILES_WAIT),
            looked => return looked,
        }
    }
}

/// For `map_err`: says what was tried on what.
pub(crate) fn failed<E: Into<io::Error>>(op: Op, path: &Path) -> impl FnOnce(E) -> StorageError {
    move |cause| StorageError::new(op, path, cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(op: Op, errno: Errno) -> StorageError {
        StorageError::new(op, Path::new("a/b\n"), errno)
    }

    #[test]
    fn the_text_names_verb_path_and_cause_and_is_safe_to_print() {
        assert_eq!(error(Op::Write, Errno::NOSPC).to_string(), "cannot write a/b\\n: No space left on device");
    }

    #[test]
    fn a_file_that_is_mounted_from_elsewhere_is_said_to_be_so() {
        let failure = Failure::from(&error(Op::Rename, Errno::BUSY));
        assert_eq!(failure.to_string(), "cannot be written: it is in use, or something is mounted on it");
    }

    #[test]
    fn each_cause_has_its_status() {
        for (op, errno, status) in [
            (Op::Write, Errno::NOSPC, Status::NoSpace),
            (Op::Sync, Errno::DQUOT, Status::NoSpace),
            (Op::Open, Errno::NOENT, Status::NotFound),
            (Op::Rename, Errno::NOENT, Status::WriteFailed),
            (Op::Create, Errno::ACCESS, Status::NotAllowed),
            (Op::Open, Errno::ACCESS, Status::ReadFailed),
            (Op::Create, Errno::ROFS, Status::NotAllowed),
            (Op::Rename, Errno::EXIST, Status::Exists),
            (Op::Rename, Errno::ISDIR, Status::BadName),
            (Op::Open, Errno::XDEV, Status::BadName),
            (Op::Rename, Errno::XDEV, Status::WriteFailed),
            (Op::Create, Errno::INVAL, Status::BadName),
            (Op::Write, Errno::INVAL, Status::WriteFailed),
            (Op::Lock, Errno::WOULDBLOCK, Status::Busy),
            (Op::Open, Errno::WOULDBLOCK, Status::ReadFailed),
            (Op::Read, Errno::IO, Status::ReadFailed),
            (Op::Write, Errno::IO, Status::WriteFailed),
            (Op::Open, Errno::NXIO, Status::Unsupported),
        ] {
            assert_eq!(error(op, errno).status(), status, "{op} {errno}");
        }
        let device = StorageError::new(Op::Open, Path::new("x"), Refusal::NotTransferable);
        assert_eq!(device.status(), Status::Unsupported);
    }

    #[test]
    fn what_cannot_be_looked_at_where_a_file_is_to_go_is_no_source_that_cannot_be_read() {
        for (op, errno, text) in [
            (Op::Stat, Errno::IO, "cannot be written: what is there cannot be read: Input/output error"),
            (Op::Open, Errno::NOENT, "cannot be written: what is there cannot be read: No such file or directory"),
            (Op::Stat, Errno::INVAL, "not possible: the file system takes no such name: Invalid argument"),
            (Op::Rename, Errno::XDEV, "cannot be written: the file system takes its two names for two disks"),
            (Op::Rename, Errno::ISDIR, "not possible: a directory of that name is in the way"),
            (Op::Write, Errno::NOSPC, "no space left"),
            (Op::Create, Errno::NOSPC, "no space left: or its file system can have no more files (df -i)"),
        ] {
            assert_eq!(error(op, errno).at_destination().to_string(), text);
        }
        let pipe = StorageError::new(Op::Stat, Path::new("x"), Refusal::NotTransferable).at_destination();
        assert_eq!(pipe.to_string(), "cannot be written: a device, named pipe or socket has its name there");
    }

    #[test]
    fn a_failure_carries_the_systems_words_unless_its_status_says_as_much() {
        let failure = Failure::from(&error(Op::Write, Errno::DQUOT));
        assert_eq!(failure.status, Status::NoSpace);
        assert!(failure.detail.to_lowercase().contains("quota"), "{failure}");
        let failure = Failure::from(&error(Op::Write, Errno::FBIG));
        assert_eq!(failure.status, Status::WriteFailed);
        assert!(failure.detail.contains("larger than files can be"), "{failure}");
        for (op, errno, status) in
            [(Op::Write, Errno::NOSPC, Status::NoSpace), (Op::Lock, Errno::WOULDBLOCK, Status::Busy)]
        {
            assert_eq!(Failure::from(&error(op, errno)), Failure { status, detail: String::new() });
        }
    }
}
