//! The properties of a file system that its kind tells.

use std::os::fd::AsFd;

use rustix::io::Errno;

use super::cause::{Cause as _, FailureKind};
use crate::protocol::message::Mtime;
use crate::protocol::path::COMPONENT_BYTES_MAX;

/// The kinds whose answers are relied on, by `f_type` of `statfs(2)`; ext2 and ext3 have the same as ext4.
const EXT4: u32 = 0xEF53;
const XFS: u32 = 0x5846_5342;
const BTRFS: u32 = 0x9123_683E;
const TMPFS: u32 = 0x0102_1994;

/// `FS_CASEFOLD_FL` of `ioctl_iflags(2)`: names in this directory are compared without case.
const CASE_FOLDING: u32 = 0x4000_0000;

/// The objection of a file system to a name to which none of the kinds above objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NameObjection {
    /// It begins with a dot: servers of network file systems can be told to veto those.
    Dot,
    /// A rename would replace what has it.
    Taken,
    /// What has it, or would get it, is open: on the shared folders of some virtual machines.
    Open,
}

/// What a descriptor's file system is, asked once for all that lies in one directory: while the directory is held open
/// nothing else gets the number of its device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileSystem {
    kind: Option<u32>,
    longest_name: usize,
}

impl FileSystem {
    /// One of which nothing is known.
    pub(crate) const UNKNOWN: Self = Self { kind: None, longest_name: COMPONENT_BYTES_MAX };

    // The fields have other widths and signs on other architectures; the numbers of kinds themselves have 32 bits.
    #[allow(clippy::unnecessary_cast, clippy::cast_possible_truncation)]
    pub(crate) fn of(fd: impl AsFd) -> Self {
        let Ok(found) = rustix::fs::fstatfs(fd) else { return Self::UNKNOWN };
        let longest_name = usize::try_from(found.f_namelen).unwrap_or(COMPONENT_BYTES_MAX);
        Self { kind: Some(found.f_type as u32), longest_name }
    }

    /// Most bytes that a name can have: 255 nearly everywhere, and 143 on eCryptfs.
    pub(crate) fn longest_name(self) -> usize {
        self.longest_name
    }

    fn is_local(self) -> bool {
        matches!(self.kind, Some(EXT4 | XFS | BTRFS | TMPFS))
    }

    /// Whether what `SEEK_HOLE` calls a hole is one, also where data have been written and are not on the disk yet.
    ///
    /// That holds for these, which look into the page cache for it. Others have called such data a hole (OpenZFS issue
    /// 15526), and of a network or FUSE file system nobody here knows: what they call a hole is read.
    pub(crate) fn vouches_for_holes(self) -> bool {
        self.is_local()
    }

    /// Whether closing a file tells nothing: what can go wrong with what was written is told by the write or by a sync.
    /// Network and FUSE file systems may say only at a close that there was no room.
    pub(crate) fn closes_silently(self) -> bool {
        self.is_local()
    }

    /// Whether a file that is given this time has it, or one that differs by less than two seconds. Not known of times that
    /// an old inode of these has no bits for, nor of other file systems: some only say that they have set one.
    pub(crate) fn keeps(self, time: Mtime) -> bool {
        self.is_local() && (0..=i64::from(i32::MAX)).contains(&time.secs)
    }

    /// Whether a file ends where its size says, and a read that gives less than was asked for has come to that end.
    pub(crate) fn has_honest_sizes(self) -> bool {
        self.is_local()
    }

    /// Whether what is not held open has the same number at the next look. Some file systems in user space, and some network
    /// file systems, make numbers up.
    pub(crate) fn keeps_numbers(self) -> bool {
        self.is_local()
    }

    /// Whether a name may be refused for any [`NameObjection`].
    pub(crate) fn is_particular_about_names(self) -> bool {
        !self.is_local()
    }

    /// Whether a call that makes, gives or removes a name may have failed with `error` for that.
    pub(crate) fn may_object_to(self, what: NameObjection, error: Errno) -> bool {
        let is_refusal = match what {
            NameObjection::Dot => matches!(error, Errno::INVAL | Errno::ILSEQ | Errno::NOENT | Errno::OPNOTSUPP),
            NameObjection::Taken => matches!(error, Errno::EXIST | Errno::OPNOTSUPP),
            NameObjection::Open => matches!(error, Errno::BUSY | Errno::TXTBSY),
        };
        self.is_particular_about_names() && (is_refusal || matches!(error, Errno::ACCESS | Errno::PERM))
    }

    /// Whether two names that differ in a byte are two names in this directory of it.
    ///
    /// False where that is not known for sure: FAT, exFAT, NTFS and their like fold case, some network file systems do,
    /// and a directory of the others can be made to.
    pub(crate) fn tells_names_apart(self, dir: impl AsFd) -> bool {
        self.is_local()
            && match rustix::fs::ioctl_getflags(dir) {
                Ok(flags) => flags.bits() & CASE_FOLDING == 0,
                // Not every file system has flags; one that has none folds nothing.
                Err(error) => error.kind_of_failure() != FailureKind::Passing,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_relied_on_is_known_of_few_file_systems_and_of_times_that_their_smallest_inodes_hold() {
        let of_kind = |kind| FileSystem { kind: Some(kind), ..FileSystem::UNKNOWN };
        let at = |secs| Mtime { secs, nanos: 999_999_999 };
        for known in [EXT4, XFS, BTRFS, TMPFS].map(of_kind) {
            assert!(known.closes_silently() && known.keeps(at(0)) && known.keeps(at(i32::MAX.into())));
            assert!(!known.keeps(at(-1)) && !known.keeps(at(i64::from(i32::MAX) + 1)), "it may be cut");
        }
        let (nfs, fuse, vfat) = (of_kind(0x6969), of_kind(0x6573_5546), of_kind(0x4d44));
        for other in [nfs, fuse, vfat, FileSystem::UNKNOWN] {
            assert!(!other.closes_silently() && !other.keeps(at(1_000_000_000)));
        }
    }

    #[test]
    fn an_error_is_taken_for_an_objection_to_a_name_where_it_may_be_one() {
        use NameObjection::{Dot, Open, Taken};
        for (error, objections) in [
            (Errno::ACCESS, &[Dot, Taken, Open][..]),
            (Errno::PERM, &[Dot, Taken, Open]),
            (Errno::OPNOTSUPP, &[Dot, Taken]),
            (Errno::INVAL, &[Dot]),
            (Errno::ILSEQ, &[Dot]),
            (Errno::NOENT, &[Dot]),
            (Errno::EXIST, &[Taken]),
            (Errno::BUSY, &[Open]),
            (Errno::TXTBSY, &[Open]),
            (Errno::NOSPC, &[]),
            (Errno::IO, &[]),
            (Errno::ROFS, &[]),
        ] {
            for what in [Dot, Taken, Open] {
                let may = FileSystem::UNKNOWN.may_object_to(what, error);
                assert_eq!(may, objections.contains(&what), "{what:?}, {error:?}");
                let ext4 = FileSystem { kind: Some(EXT4), ..FileSystem::UNKNOWN };
                assert!(!ext4.may_object_to(what, error), "it minds none");
            }
        }
    }
}
