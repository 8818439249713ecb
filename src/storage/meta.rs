//! The facts that a directory holds of a name.

use std::io;
use std::os::fd::AsFd;

use rustix::fs::{FileType, Mode, Stat, Timespec, Timestamps};
use rustix::io::Errno;

use crate::protocol::message::{Kind, Mtime};

use super::cause::Refusal;
use super::file_system::FileSystem;
use super::{mode, system};

/// Above this the kernel reads special meanings into a number of nanoseconds.
const NANOS_MAX: u32 = 999_999_999;
const NANOS_A_SECOND: i128 = 1_000_000_000;
/// No file system keeps times coarser than this: FAT keeps every other second.
const COARSEST_NANOS: u128 = 2_000_000_000;
/// The unit of `st_blocks`, whatever the block size of the file system.
const STAT_BLOCK_BYTES: u64 = 512;

/// The facts of a file, directory or link that are known without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// Its kind; a link with its target.
    pub kind: Kind,
    /// Bytes; 0 for anything but a file.
    pub size: u64,
    pub mtime: Mtime,
    /// The lower twelve bits of the mode.
    pub mode: u32,
    /// Bytes that it occupies on the disk; less than [`size`](Meta::size) where there are holes.
    pub allocated: u64,
    /// Which object of the file system it is, and in which state.
    pub identity: FileIdentity,
}

/// Two equal identities on one machine are the same object, not changed in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileIdentity {
    pub dev: u64,
    /// The object on it.
    pub ino: u64,
    /// When content or attributes last changed; cannot be set back by a user.
    pub ctime: Mtime,
}

impl Meta {
    /// Reads a stat buffer; `target` is asked for only when it describes a link.
    pub(crate) fn new(stat: &Stat, target: impl FnOnce() -> io::Result<Vec<u8>>) -> io::Result<Self> {
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Kind::File,
            FileType::Directory => Kind::Dir,
            FileType::Symlink => Kind::Link(target()?),
            _ => return Err(Refusal::NotTransferable.into()),
        };
        let facts = StatFacts::of(stat);
        let size = if kind == Kind::File { facts.size } else { 0 };
        Ok(Self {
            kind,
            size,
            mtime: facts.mtime,
            mode: mode::of_stat(stat.st_mode),
            allocated: facts.allocated,
            identity: FileIdentity { dev: facts.dev, ino: facts.ino, ctime: facts.ctime },
        })
    }
}

/// A stat buffer in types that do not depend on the architecture.
pub(crate) struct StatFacts {
    pub(crate) dev: u64,
    pub(crate) ino: u64,
    pub(crate) size: u64,
    pub(crate) allocated: u64,
    pub(crate) mtime: Mtime,
    pub(crate) ctime: Mtime,
}

impl StatFacts {
    // The fields have other widths and signs on other architectures; no value here can be out of range.
    #[allow(clippy::unnecessary_cast)]
    pub(crate) fn of(stat: &Stat) -> Self {
        Self {
            dev: stat.st_dev as u64,
            ino: stat.st_ino as u64,
            size: stat.st_size as u64,
            allocated: stat.st_blocks as u64 * STAT_BLOCK_BYTES,
            mtime: Mtime { secs: stat.st_mtime as i64, nanos: stat.st_mtime_nsec as u32 },
            ctime: Mtime { secs: stat.st_ctime as i64, nanos: stat.st_ctime_nsec as u32 },
        }
    }
}

/// Which object of which file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ObjectId {
    pub(crate) dev: u64,
    pub(crate) ino: u64,
}

impl ObjectId {
    pub(crate) fn of(stat: &Stat) -> Self {
        let StatFacts { dev, ino, .. } = StatFacts::of(stat);
        Self { dev, ino }
    }
}

/// The permission bits that what is sent with this mode gets here.
pub(crate) fn kept_mode(mode: u32) -> u32 {
    mode::of_new(mode, system::umask())
}

/// Sets the time of modification, and the mode that `decide` makes of the present one. Where one of them cannot be had
/// the other is set all the same.
///
/// # Errors
/// The first failure; also that the file system ignores the time that it was given. The content needs neither.
pub(crate) fn apply(fd: impl AsFd, mtime: Mtime, decide: impl FnOnce(u32) -> u32) -> Result<(), Errno> {
    let found = rustix::fs::fstat(&fd)?;
    apply_to(fd, &found, FileSystem::UNKNOWN, mtime, decide)
}

/// The same for a file of which is known what it is now, and where.
pub(crate) fn apply_to(
    fd: impl AsFd,
    found: &Stat,
    file_system: FileSystem,
    mtime: Mtime,
    decide: impl FnOnce(u32) -> u32,
) -> Result<(), Errno> {
    let there = mode::of_stat(found.st_mode);
    let mode = decide(there);
    // The kernel takes the set-group-id bit of a directory from whoever sets its mode and is not in its group, even
    // where the mode stays the same.
    let moded = if mode == there { Ok(()) } else { rustix::fs::fchmod(&fd, Mode::from_raw_mode(mode)) };
    let timed = set_times(&fd, accessed(found), mtime);
    moded.and(timed).and_then(|()| if file_system.keeps(mtime) { Ok(()) } else { check_time(fd, mtime) })
}

/// Looks whether a file has about the time that it was given.
fn check_time(fd: impl AsFd, given: Mtime) -> Result<(), Errno> {
    let kept = StatFacts::of(&rustix::fs::fstat(&fd)?).mtime;
    let wanted = Mtime { nanos: given.nanos.min(NANOS_MAX), ..given };
    let is_kept = (nanos_since_1970(kept) - nanos_since_1970(wanted)).unsigned_abs() < COARSEST_NANOS;
    if is_kept { Ok(()) } else { Err(Errno::OPNOTSUPP) }
}

/// Sets the time of modification once more where it is not this one any more: some file systems send what was written only
/// when a file is closed, and date it then. Whether that was so.
pub(crate) fn keep_time(fd: impl AsFd, mtime: Mtime) -> Result<bool, Errno> {
    if check_time(&fd, mtime).is_ok() {
        return Ok(false);
    }
    set_times(&fd, accessed(&rustix::fs::fstat(&fd)?), mtime)?;
    check_time(fd, mtime).map(|()| true)
}

/// Sets the time of modification and looks what has become of it: some file systems keep less of it, and some only say
/// that they have set it.
pub(crate) fn set_mtime(fd: impl AsFd, mtime: Mtime) -> Result<Mtime, Errno> {
    let last_access = accessed(&rustix::fs::fstat(&fd)?);
    set_times(&fd, last_access, mtime)?;
    Ok(StatFacts::of(&rustix::fs::fstat(fd)?).mtime)
}

fn set_times(fd: impl AsFd, last_access: Timespec, mtime: Mtime) -> Result<(), Errno> {
    // Not `UTIME_OMIT` for the other time: FUSE file systems with an old library ignore a change of one time alone, and
    // report success.
    let last_modification = Timespec { tv_sec: mtime.secs, tv_nsec: mtime.nanos.min(NANOS_MAX).into() };
    rustix::fs::futimens(fd, &Timestamps { last_access, last_modification })
}

// The fields have other widths and signs on other architectures.
#[allow(clippy::unnecessary_cast)]
fn accessed(found: &Stat) -> Timespec {
    Timespec { tv_sec: found.st_atime as i64, tv_nsec: found.st_atime_nsec as _ }
}

/// A time as one number.
pub(crate) fn nanos_since_1970(time: Mtime) -> i128 {
    i128::from(time.secs) * NANOS_A_SECOND + i128::from(time.nanos)
}

/// The time and mode that a directory gets when all is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DirMeta {
    /// Its time of modification.
    pub(crate) mtime: Mtime,
    pub(crate) mode: DirMode,
}

/// The rule for a directory's permission bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DirMode {
    /// They stay as they are.
    Kept,
    /// Those go that these, less the umask, have not.
    Narrowed(u32),
    /// It had these before it was opened for what was put into it.
    Restored(u32),
}

impl DirMeta {
    /// Whether it will keep its own owner out.
    pub(crate) fn is_shut(self) -> bool {
        match self.mode {
            DirMode::Kept => false,
            DirMode::Narrowed(mode) | DirMode::Restored(mode) => mode::is_shut(mode),
        }
    }

    pub(super) fn apply(self, dir: impl AsFd) -> Result<(), Errno> {
        apply(dir, self.mtime, |there| match self.mode {
            DirMode::Kept => there,
            DirMode::Narrowed(mode) => mode::of_directory(mode, there, system::umask()),
            DirMode::Restored(mode) => mode,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::testing::SOME_TIME;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn a_time_that_cannot_be_set_does_not_keep_the_mode_from_being_set() {
        let file = tempfile::tempfile().unwrap();
        apply(&file, SOME_TIME, |_| 0o640).unwrap();
        let found = file.metadata().unwrap();
        assert_eq!((found.mode() & 0o7777, found.mtime()), (0o640, SOME_TIME.secs));
        // Far beyond what any file system keeps: it is cut to the nearest that there is.
        let beyond = Mtime { secs: i64::MAX / 4, nanos: 0 };
        assert!(apply(&file, beyond, |_| 0o600).is_err());
        assert_eq!(file.metadata().unwrap().mode() & 0o7777, 0o600);
    }

    #[test]
    fn the_time_of_the_last_access_stays() {
        let file = tempfile::tempfile().unwrap();
        let accessed = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::new(1_000_000, 5);
        file.set_times(std::fs::FileTimes::new().set_accessed(accessed)).unwrap();
        apply(&file, SOME_TIME, |_| 0o600).unwrap();
        assert_eq!(file.metadata().unwrap().accessed().unwrap(), accessed);
    }
}
