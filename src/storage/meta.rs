//! What a directory says of a name.

use std::io;
use std::os::fd::AsFd;

use rustix::fs::{FileType, Mode, Stat, Timespec, Timestamps, UTIME_OMIT};
use rustix::io::Errno;

use crate::protocol::message::{Kind, Mtime};

use super::error::Refusal;
use super::mode;

/// Above this the kernel reads special meanings into a number of nanoseconds.
const NANOS_MAX: u32 = 999_999_999;
/// The unit of `st_blocks`, whatever the block size of the file system.
const STAT_BLOCK_BYTES: u64 = 512;

/// What is known of a file, directory or link without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// What it is; a link with its target.
    pub kind: Kind,
    /// Bytes; 0 for anything but a file.
    pub size: u64,
    /// Last modification.
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
    /// The file system.
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
        let facts = Facts::of(stat);
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
pub(crate) struct Facts {
    pub(crate) dev: u64,
    pub(crate) ino: u64,
    pub(crate) size: u64,
    pub(crate) allocated: u64,
    pub(crate) mtime: Mtime,
    pub(crate) ctime: Mtime,
}

impl Facts {
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

/// Sets the time of modification, and the mode that `decide` makes of the present one.
pub(crate) fn apply(fd: impl AsFd, mtime: Mtime, decide: impl FnOnce(u32) -> u32) -> Result<(), Errno> {
    let there = mode::of_stat(rustix::fs::fstat(&fd)?.st_mode);
    let mode = decide(there);
    // The kernel takes the set-group-id bit of a directory from whoever sets its mode and is not in its group, even
    // where the mode stays the same.
    if mode != there {
        rustix::fs::fchmod(&fd, Mode::from_raw_mode(mode))?;
    }
    let last_access = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
    let last_modification = Timespec { tv_sec: mtime.secs, tv_nsec: mtime.nanos.min(NANOS_MAX).into() };
    rustix::fs::futimens(&fd, &Timestamps { last_access, last_modification })
}
