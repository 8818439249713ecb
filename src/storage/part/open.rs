//! The file behind a part's name: made, or found there and judged.

use std::ffi::OsStr;
use std::fs::{File, TryLockError};
use std::os::unix::ffi::OsStrExt as _;

use rustix::fs::{Access, AtFlags, FileType, MemfdFlags, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::{PART_MODE, Part};
use crate::storage::cause::{ThereOrNot as _, telling};
use crate::storage::dir::Dir;
use crate::storage::file_system::NameObjection;
use crate::storage::meta::{ObjectId, StatFacts};
use crate::storage::own_names::scratch_name;
use crate::storage::part_name::without_dot;
use crate::storage::system;

/// The result of opening a part's name.
pub(super) enum PartOpening {
    /// A file of ours, new or found.
    Part(File, ObjectId),
    /// The obstacle is gone, or has just changed: it is to be tried again.
    Changed,
    /// A file of another user has the name, or a directory.
    Foreign,
}

/// Opens the file of the name, or makes it. Where the disk refuses the dot at its start, that of the spare name without it.
pub(super) fn open_either(
    dir: &Dir,
    name: Box<[u8]>,
    spare: impl FnOnce() -> Box<[u8]>,
) -> Result<(PartOpening, Box<[u8]>), Errno> {
    match open_file(dir, &name) {
        Err(error) if dir.may_object_to(NameObjection::Dot, error) => {
            // If that is not why, it fails as well, and the first error says why.
            let dotless: Box<[u8]> = without_dot(&spare()).into();
            open_file(dir, &dotless).map(|opened| (opened, dotless)).map_err(|second| telling(error, second))
        }
        opened => opened.map(|opened| (opened, name)),
    }
}

fn open_file(dir: &Dir, name: &[u8]) -> Result<PartOpening, Errno> {
    // Most parts are new. And an existing file is never opened by a call that would make one: in a shared directory the
    // kernel forbids that for another's (fs.protected_regular), and what is there is to be judged first.
    match dir.open_file(name, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL) {
        Ok(file) => {
            let id = ObjectId::of(&rustix::fs::fstat(&file)?);
            return Ok(PartOpening::Part(file, id));
        }
        Err(Errno::EXIST) => {}
        Err(error) => return Err(error),
    }
    let there = match dir.stat(name) {
        Err(Errno::NOENT) => return Ok(PartOpening::Changed),
        found => found?,
    };
    match FileType::from_raw_mode(there.st_mode) {
        FileType::Directory => return Ok(PartOpening::Foreign),
        FileType::RegularFile if there.st_nlink <= 1 => {}
        // A link, socket or device; or a file with a second name, which is someone else's too: writing to it would change
        // that one.
        _ => return step_aside(dir.remove(name)),
    }
    if !is_ours(dir, &there)? {
        return Ok(PartOpening::Foreign);
    }
    let file = match dir.open_file(name, OFlags::RDWR) {
        Err(Errno::ACCESS) => return open_up(dir, name).map(|()| PartOpening::Changed),
        // It was replaced since we looked.
        Err(Errno::NOENT | Errno::LOOP | Errno::NXIO | Errno::NODEV | Errno::ISDIR) => return Ok(PartOpening::Changed),
        opened => opened?,
    };
    // It may be another one by now. So what is open is judged; the number of what we looked at says nothing where a file has
    // another one at every look.
    let found = rustix::fs::fstat(&file)?;
    let is_usable = is_regular(&found) && found.st_nlink <= 1 && found.st_uid == there.st_uid;
    Ok(if is_usable { PartOpening::Part(file, ObjectId::of(&found)) } else { PartOpening::Changed })
}

/// Where names may not be removed (a shared directory like `/tmp`), what is in the way stays there.
fn step_aside(removed: Result<(), Errno>) -> Result<PartOpening, Errno> {
    match removed {
        Ok(()) | Err(Errno::NOENT) => Ok(PartOpening::Changed),
        Err(Errno::ACCESS | Errno::PERM) => Ok(PartOpening::Foreign),
        Err(error) => Err(error),
    }
}

/// Whether a file belongs to whom files belong that we make beside it.
///
/// That is the user of this process, but where the file system maps users (network file systems whose server trusts no
/// root, file systems that know no owners): there it is whoever owns what is made for a look.
pub(super) fn is_ours(dir: &Dir, found: &Stat) -> Result<bool, Errno> {
    let is_users = found.st_uid == rustix::process::geteuid().as_raw();
    Ok(is_users || owner_of_new_files(dir).if_had()? == Some(found.st_uid))
}

fn owner_of_new_files(dir: &Dir) -> Result<u32, Errno> {
    Ok(dir.with_scratch_file(&scratch_name("owner"), |file, _| rustix::fs::fstat(file))??.st_uid)
}

/// As [`length_of`], for a name that begins with a dot, `spare` another one, also without it where the disk may refuse dots.
pub(super) fn length(dir: &Dir, name: &[u8], spare: impl Fn() -> Box<[u8]>) -> Result<Option<u64>, Errno> {
    let usual = match length_of(dir, name, &spare) {
        Err(error) if dir.may_object_to(NameObjection::Dot, error) => None,
        found => found?,
    };
    if usual.is_some() || !dir.file_system().is_particular_about_names() {
        return Ok(usual);
    }
    let spare = spare();
    length_of(dir, without_dot(&spare), || without_dot(&spare).into())
}

/// How much is there to be continued; only looks. It may be wrong where users are mapped: what is said to be there and is
/// not proves different, and is sent.
fn length_of(dir: &Dir, name: &[u8], spare: impl FnOnce() -> Box<[u8]>) -> Result<Option<u64>, Errno> {
    let size = |found: &Stat| StatFacts::of(found).size;
    let usual = match dir.stat(name) {
        Ok(found) if FileType::from_raw_mode(found.st_mode) == FileType::Directory => {
            return Ok(regular(dir, &spare())?.as_ref().map(size));
        }
        Ok(found) if is_regular(&found) => found,
        Ok(_) | Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(error),
    };
    if usual.st_uid == rustix::process::geteuid().as_raw() {
        return Ok(Some(size(&usual)));
    }
    if let Some(found) = regular(dir, &spare())? {
        return Ok(Some(size(&found)));
    }
    let access = rustix::fs::accessat(dir, name, Access::READ_OK | Access::WRITE_OK, AtFlags::EACCESS);
    Ok(access.if_had()?.map(|()| size(&usual)))
}

fn regular(dir: &Dir, name: &[u8]) -> Result<Option<Stat>, Errno> {
    match dir.stat(name) {
        Err(Errno::NOENT) => Ok(None),
        found => Ok(found.map(|found| Some(found).filter(is_regular))?),
    }
}

fn is_regular(found: &Stat) -> bool {
    FileType::from_raw_mode(found.st_mode) == FileType::RegularFile
}

/// Makes a part of ours writable again that had got the mode of its file, read-only, when its process died.
fn open_up(dir: &Dir, name: &[u8]) -> Result<(), Errno> {
    let file = dir.open_file(name, OFlags::RDONLY).if_had()?.ok_or(Errno::ACCESS)?;
    let found = rustix::fs::fstat(&file)?;
    let is_ours = is_regular(&found) && found.st_nlink <= 1 && found.st_uid == rustix::process::geteuid().as_raw();
    // With that mode the cause is another one.
    if !is_ours || found.st_mode & PART_MODE == PART_MODE {
        return Err(Errno::ACCESS);
    }
    // Under the lock only: a living writer has just given it the mode that the file is to have.
    file.try_lock().map_err(|error| telling(Errno::WOULDBLOCK, why(error)))?;
    rustix::fs::fchmod(&file, Mode::from_raw_mode(PART_MODE))
}

fn why(unlocked: TryLockError) -> Errno {
    Errno::from_io_error(&unlocked.into()).unwrap_or(Errno::WOULDBLOCK)
}

/// What `name` stands for, if that is (still) the open file, which had this number when it was opened.
pub(super) fn named(dir: &Dir, name: &[u8], file: &File, id: ObjectId) -> Result<Option<Stat>, Errno> {
    let found = match dir.stat(name) {
        Err(Errno::NOENT) => return Ok(None),
        found => found?,
    };
    let is_it = id == ObjectId::of(&found) || !keeps_number(file, id)? && has_open(dir, name, file);
    Ok(is_it.then_some(found))
}

impl Part {
    /// Closes the content, for a disk that gives no other name to what is open; the lock goes with it. Whether it is closed.
    pub(crate) fn close(&mut self) -> bool {
        let Ok(in_its_place) = rustix::fs::memfd_create("closed part", MemfdFlags::CLOEXEC) else { return false };
        self.file = in_its_place.into();
        true
    }
}

/// Whether an open file has the same number at every look. Some file systems make one up each time that they are asked.
fn keeps_number(file: &File, id: ObjectId) -> Result<bool, Errno> {
    Ok(id == ObjectId::of(&rustix::fs::fstat(file)?) && id == ObjectId::of(&rustix::fs::fstat(file)?))
}

/// Whether an open file has this name, as far as the kernel knows. The name has been looked up just before, which tells the
/// kernel what others have made of it.
fn has_open(dir: &Dir, name: &[u8], file: &File) -> bool {
    match (dir.path_now(), system::path_of(file)) {
        (Some(dir), Some(file)) => file == dir.join(OsStr::from_bytes(name)),
        _ => false,
    }
}
