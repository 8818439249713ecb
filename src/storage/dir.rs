//! A directory held open. Only here are names handed to the kernel, one plain component at a time.

use std::ffi::OsStr;
use std::fs::File;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustix::fs::{Access, AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::cause::ThereOrNot as _;
use super::file_system::{FileSystem, NameObjection};
use super::meta::{Meta, ObjectId};
use super::mode;
use super::system::{self, open_or_pass};
use crate::broken::BreakableRule;

/// Permission bits that a new directory gets where nobody says otherwise, but for those that the umask takes.
pub(crate) const DIR_MODE: u32 = 0o777;

/// How paths of several components are opened below a root. Neither way follows a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolver {
    /// By the kernel in one call (`openat2`).
    Kernel,
    /// Component by component: for kernels and sandboxes without that call.
    Walk,
}

/// A directory held open.
#[derive(Debug)]
pub(crate) struct Dir {
    fd: OwnedFd,
    id: ObjectId,
    lasting_id: OnceLock<ObjectId>,
    file_system: OnceLock<FileSystem>,
    tells_names_apart: OnceLock<bool>,
}

impl Dir {
    /// Opens a directory of the local user's choosing, following links.
    pub(crate) fn open(path: &Path) -> Result<Self, Errno> {
        Self::held(open_or_pass(|how| rustix::fs::open(path, how, Mode::empty()))?)
    }

    fn held(fd: OwnedFd) -> Result<Self, Errno> {
        #[cfg(test)]
        super::testing::faults::opening()?;
        let id = ObjectId::of(&rustix::fs::fstat(&fd)?);
        let (lasting_id, file_system, tells_names_apart) = Default::default();
        Ok(Self { fd, id, lasting_id, file_system, tells_names_apart })
    }

    /// Whether it is open to be passed through, for it may not be read.
    pub(crate) fn is_passed_only(&self) -> bool {
        rustix::fs::fcntl_getfl(self).is_ok_and(|how| how.contains(OFlags::PATH))
    }

    pub(crate) fn id(&self) -> ObjectId {
        self.id
    }

    /// What it is known by at another look: its number, or its path where the file system makes up another number each time.
    /// Whatever gets that path later is taken for it there.
    pub(crate) fn lasting_id(&self) -> ObjectId {
        *self.lasting_id.get_or_init(|| {
            let path = if self.keeps_its_number() { None } else { self.path_now() };
            path.map_or(self.id, |path| ObjectId { dev: self.id.dev, ino: hash_of(&path) })
        })
    }

    fn keeps_its_number(&self) -> bool {
        let looks = || (0..2).all(|_| rustix::fs::fstat(self).is_ok_and(|found| ObjectId::of(&found) == self.id));
        self.file_system().keeps_numbers() || looks()
    }

    /// Opens a directory below this one. `path` consists of plain components; a link on the way, or in its place, is an
    /// error (`ELOOP`). There is no call that follows one: whoever may follow a link reads it and names where it leads.
    pub(crate) fn open_below(&self, path: &[u8], resolver: Resolver) -> Result<Self, Errno> {
        // The kernel would refuse a way out as well; the walk below relies on this check alone.
        for component in path.split(|b| *b == b'/') {
            plain_component(component)?;
        }
        match resolver {
            Resolver::Kernel => Self::held(system::open_dir_beneath(&self.fd, path)?),
            Resolver::Walk => self.walk_to(path),
        }
    }

    fn walk_to(&self, path: &[u8]) -> Result<Self, Errno> {
        let mut reached: Option<Self> = None;
        for component in path.split(|b| *b == b'/') {
            reached = Some(reached.as_ref().unwrap_or(self).child(component)?);
        }
        reached.ok_or(Errno::NOENT)
    }

    /// Opens the directory of that name, which must not be a link (`ELOOP`).
    pub(crate) fn child(&self, name: &[u8]) -> Result<Self, Errno> {
        let name = plain_component(name)?;
        match open_or_pass(|how| rustix::fs::openat(self, name, how | OFlags::NOFOLLOW, Mode::empty())) {
            // So the kernel says of a link, too, when only a directory will do.
            Err(Errno::NOTDIR) if self.is_link(name) => Err(Errno::LOOP),
            opened => Self::held(opened?),
        }
    }

    fn is_link(&self, name: &[u8]) -> bool {
        self.stat(name).is_ok_and(|found| FileType::from_raw_mode(found.st_mode) == FileType::Symlink)
    }

    /// The facts of this directory itself.
    pub(crate) fn own_meta(&self) -> io::Result<Meta> {
        Meta::new(&rustix::fs::fstat(self)?, || Err(Errno::INVAL.into()))
    }

    /// Reads the link of that name, and says which one was read: it may be another one by the next call.
    pub(crate) fn open_link(&self, name: &[u8]) -> Result<(Stat, Vec<u8>), Errno> {
        let how = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let link = rustix::fs::openat(self, plain_component(name)?, how, Mode::empty())?;
        let found = rustix::fs::fstat(&link)?;
        // Without a name it is the link that is open; of anything else the kernel says that there is none.
        Ok((found, rustix::fs::readlinkat(&link, "", Vec::new())?.into_bytes()))
    }

    /// Where a name in this directory leads, all links followed. For who may go anywhere.
    pub(crate) fn real_path(&self, name: &[u8]) -> io::Result<PathBuf> {
        let own = PathBuf::from(format!("/proc/self/fd/{}", self.fd.as_raw_fd()));
        own.join(OsStr::from_bytes(plain_component(name)?)).canonicalize()
    }

    /// Whether this is the directory `other`, or lies below it, as far up as `top`.
    ///
    /// # Errors
    /// When it cannot be told.
    pub(crate) fn lies_in(&self, other: ObjectId, top: ObjectId) -> Result<bool, Errno> {
        let (mut above, mut id) = (None::<Self>, self.id);
        // Nothing above the top is of this tree; and the root of all is above itself.
        while id != other && id != top {
            let next = above.as_ref().unwrap_or(self).above()?;
            if next.id == id {
                break;
            }
            id = next.id;
            above = Some(next);
        }
        Ok(id == other)
    }

    /// The directory above. Only to compare it: no name leads there.
    fn above(&self) -> Result<Self, Errno> {
        let how = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Self::held(rustix::fs::openat(self, "..", how, Mode::empty())?)
    }

    /// Opens a file; never through a link, never waiting for a FIFO's other end, never as our terminal. Who has leased it is
    /// waited for.
    pub(crate) fn open_file(&self, name: &[u8], how: OFlags) -> Result<File, Errno> {
        let how = how | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let name = plain_component(name)?;
        #[cfg(test)]
        super::testing::faults::opening()?;
        let fd = system::open_leased(|| rustix::fs::openat(self, name, how, Mode::RUSR | Mode::WUSR))?;
        Ok(File::from(fd))
    }

    /// The facts of a name; a link is not followed.
    pub(crate) fn stat(&self, name: &[u8]) -> Result<Stat, Errno> {
        rustix::fs::statat(self, plain_component(name)?, AtFlags::SYMLINK_NOFOLLOW)
    }

    /// Whether something has that name.
    pub(crate) fn has(&self, name: &[u8]) -> Result<bool, Errno> {
        Ok(self.stat(name).if_had()?.is_some())
    }

    /// Where it is now, as far as the kernel knows. Never used for access.
    pub(crate) fn path_now(&self) -> Option<PathBuf> {
        system::path_of(self)
    }

    pub(crate) fn meta(&self, name: &[u8]) -> io::Result<Meta> {
        Meta::new(&self.stat(name)?, || Ok(self.read_link(name)?))
    }

    pub(crate) fn is_dir(&self, name: &[u8]) -> Result<bool, Errno> {
        Ok(FileType::from_raw_mode(self.stat(name)?.st_mode) == FileType::Directory)
    }

    pub(crate) fn read_link(&self, name: &[u8]) -> Result<Vec<u8>, Errno> {
        Ok(rustix::fs::readlinkat(self, plain_component(name)?, Vec::new())?.into_bytes())
    }

    /// `mode`: permission bits, from which the process's umask takes some.
    pub(crate) fn make_dir(&self, name: &[u8], mode: u32) -> Result<(), Errno> {
        rustix::fs::mkdirat(self, plain_component(name)?, Mode::from_raw_mode(mode::of_made_directory(mode)))
    }

    /// Gives its owner the way into the directory of that name, where its mode keeps even him out. Without effect on one
    /// of another user.
    pub(crate) fn open_up(&self, name: &[u8]) -> Result<(), Errno> {
        // Not opened to be read: that may be among what its mode forbids.
        let how = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let dir = rustix::fs::openat(self, plain_component(name)?, how, Mode::empty())?;
        let found = rustix::fs::fstat(&dir)?;
        let present = mode::of_stat(found.st_mode);
        let is_ours = found.st_uid == rustix::process::geteuid().as_raw();
        if !is_ours || !mode::is_shut(present) {
            return Ok(());
        }
        let path = format!("/proc/self/fd/{}", dir.as_raw_fd());
        let all = Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK;
        // The administrator needs no permission.
        if rustix::fs::accessat(rustix::fs::CWD, &path, all, AtFlags::EACCESS).is_ok() {
            return Ok(());
        }
        rustix::fs::chmod(&path, Mode::from_raw_mode(mode::of_open_directory(present)))
    }

    pub(crate) fn make_link(&self, name: &[u8], target: &[u8]) -> Result<(), Errno> {
        rustix::fs::symlinkat(target, self, plain_component(name)?)
    }

    pub(crate) fn remove(&self, name: &[u8]) -> Result<(), Errno> {
        rustix::fs::unlinkat(self, plain_component(name)?, AtFlags::empty())
    }

    /// Renames within this directory, replacing a file or link of the new name.
    pub(crate) fn rename(&self, old: &[u8], new: &[u8]) -> Result<(), Errno> {
        rustix::fs::renameat(self, plain_component(old)?, self, plain_component(new)?)
    }

    /// The same by the kernel's promise that nothing is replaced; fails with `EEXIST` where the new name is taken.
    pub(super) fn rename_no_replace(&self, old: &[u8], new: &[u8]) -> Result<(), Errno> {
        system::rename_no_replace(self, plain_component(old)?, self, plain_component(new)?)
    }

    /// Gives a file of this directory a second name in it, which must be free.
    pub(super) fn add_name(&self, old: &[u8], new: &[u8]) -> Result<(), Errno> {
        rustix::fs::linkat(self, plain_component(old)?, self, plain_component(new)?, AtFlags::empty())
    }

    /// Whether two names that differ in a byte are two names here; false where nobody can be sure.
    pub(crate) fn tells_names_apart(&self) -> bool {
        *self.tells_names_apart.get_or_init(|| self.file_system().tells_names_apart(self))
    }

    /// The file system that it lies on.
    pub(crate) fn file_system(&self) -> FileSystem {
        *self.file_system.get_or_init(|| FileSystem::of(self))
    }

    /// Whether a call about a name in it may have failed with `error` for that.
    pub(crate) fn may_object_to(&self, what: NameObjection, error: Errno) -> bool {
        self.file_system().may_object_to(what, error)
    }

    /// Most bytes that a name can have here.
    pub(crate) fn longest_name(&self) -> usize {
        self.file_system().longest_name()
    }

    /// Its entries, in no order, `.` and `..` among them.
    pub(super) fn entries(&self) -> Result<impl Iterator<Item = Result<rustix::fs::DirEntry, Errno>>, Errno> {
        // It is open to be passed through when it may not be read.
        let denied = |error| if error == Errno::BADF { Errno::ACCESS } else { error };
        let entries = rustix::fs::Dir::read_from(self).map_err(denied)?;
        Ok(entries.map(move |entry| entry.map_err(denied)))
    }

    /// Makes the names in this directory durable.
    pub(crate) fn sync(&self) -> Result<(), Errno> {
        if BreakableRule::SyncDirectories.is_broken() {
            return Ok(());
        }
        match system::sync(self) {
            // Some network file systems have no such thing for directories; nothing more can be done there.
            Err(Errno::INVAL | Errno::NOTSUP) => Ok(()),
            // It may be written to and not be read, as a drop box is, so it is open to be passed through only.
            Err(Errno::BADF) => {
                system::sync_all();
                Ok(())
            }
            settled => settled,
        }
    }

    /// Makes all that is on its file system durable, names, times and contents.
    pub(crate) fn sync_file_system(&self) -> Result<(), Errno> {
        match system::sync_file_system(self) {
            // As above.
            Err(Errno::BADF) => {
                system::sync_all();
                Ok(())
            }
            settled => settled,
        }
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The same in every process.
fn hash_of(path: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    hasher.finish()
}

/// Lets only a plain component pass; whoever calls with anything else has a bug, which must not become an escape.
fn plain_component(name: &[u8]) -> Result<&[u8], Errno> {
    if name.is_empty() || name == b"." || name == b".." || name.contains(&b'/') || name.contains(&0) {
        return Err(Errno::INVAL);
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_plain_component_reaches_the_kernel() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open(temp.path()).unwrap();
        for name in [&b""[..], b".", b"..", b"a/b", b"/a", b"a\0b"] {
            assert_eq!(dir.make_dir(name, DIR_MODE), Err(Errno::INVAL), "{name:?}");
            assert_eq!(dir.stat(name).err(), Some(Errno::INVAL), "{name:?}");
            assert_eq!(dir.child(name).err(), Some(Errno::INVAL), "{name:?}");
        }
        for resolver in [Resolver::Kernel, Resolver::Walk] {
            assert_eq!(dir.open_below(b"..", resolver).err(), Some(Errno::INVAL));
            assert_eq!(dir.open_below(b"a/../..", resolver).err(), Some(Errno::INVAL));
        }
    }
}
