//! A file that is read, and whether it changed meanwhile.

pub(in crate::storage) mod holes;

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use rustix::fs::{Advice, OFlags};
use rustix::io::Errno;

use crate::protocol::message::{Failure, Kind, Mtime, Status};

use super::dir::Dir;
use super::error::{Op, StorageError, failed};
use super::file_system::FileSystem;
use super::meta::{Meta, kept_mode, nanos_since_1970};
pub(crate) use holes::DataMap;

/// Within this time of a change another one may get the same time stamp: two ticks of the slowest clock that Linux
/// stamps files with (`CONFIG_HZ=100`).
const CLOCK_TICK: Duration = Duration::from_millis(20);

/// The same for a file system that keeps whole seconds, or pairs of them as FAT does.
const COARSE_TICK: Duration = Duration::from_secs(2);

/// A regular file, open to be read from any offset by any thread.
#[derive(Debug)]
pub struct Source {
    file: File,
    path: PathBuf,
    meta: Meta,
    /// When that was asked for.
    opened: SystemTime,
    file_system: OnceLock<FileSystem>,
}

/// The change of a file since it was opened, as the file system tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// Size, time of modification and attributes are the same, and so is the content.
    Same,
    /// Something is not, but the content may be: its mode or name changed, or it grew. Only reading it again tells.
    ReadAgain,
    /// It is shorter: what was read is not there any more.
    Shorter,
}

impl Since {
    /// The change of a file that was `then` and is `now`.
    pub(crate) fn between(then: &Meta, now: &Meta) -> Self {
        match now.size == then.size && now.mtime == then.mtime && now.identity == then.identity {
            true => Self::Same,
            false if now.size < then.size => Self::Shorter,
            false => Self::ReadAgain,
        }
    }
}

/// How long until what was learnt of a file can be relied on that was last `changed` then and looked at when it was
/// `opened`; `None` when it can be.
///
/// Right after a change the next one may get the same time stamp: it would go unseen, now and in every later run
/// that compares times. Whoever needs to see it waits, and opens the file again.
pub(crate) fn settles_in(changed: Mtime, opened: SystemTime) -> Option<Duration> {
    let tick = if changed.nanos == 0 { COARSE_TICK } else { CLOCK_TICK };
    let opened = opened.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    let age = i128::try_from(opened.as_nanos()).ok()? - nanos_since_1970(changed);
    let age = Duration::from_nanos(u64::try_from(age).ok()?);
    tick.checked_sub(age).filter(|wait| !wait.is_zero())
}

impl Source {
    /// Opens a regular file in a directory; anything else is refused. A link is not followed.
    pub(super) fn open(dir: &Dir, name: &[u8], path: &Path) -> io::Result<Self> {
        let source = Self::new(dir.open_file(name, OFlags::RDONLY)?, path)?;
        if source.meta.identity.dev == dir.id().dev {
            let _ = source.file_system.set(dir.file_system());
        }
        Ok(source)
    }

    /// Takes an open file.
    fn new(file: File, path: &Path) -> io::Result<Self> {
        // Before the look: a change in between must not seem to be older than it is.
        let opened = SystemTime::now();
        let meta = meta_of(&file)?;
        match meta.kind {
            Kind::File => Ok(Self { file, path: path.to_owned(), meta, opened, file_system: OnceLock::new() }),
            Kind::Dir | Kind::Link(_) => Err(Errno::ISDIR.into()),
        }
    }

    /// The file's facts when it was opened.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// Reads at `offset` until `buf` is full or the file ends, and returns how much that was.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize, StorageError> {
        read_full_at(&self.file, buf, offset).map_err(failed(Op::Read, &self.path))
    }

    /// The same from the start, where `buf` is as long as the file is said to be, and one byte more: what is returned is
    /// greater than the length of `buf` where the file goes on.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn read_to_end(&self, buf: &mut [u8]) -> Result<usize, StorageError> {
        let mut beyond = [0];
        let mut read = read_with_more(&self.file, buf, &mut beyond).map_err(failed(Op::Read, &self.path))?;
        // One of which nothing is known may give less than it has.
        if read <= buf.len() && !self.file_system().has_honest_sizes() {
            read += self.read_at(&mut buf[read..], read as u64)?;
            if read == buf.len() {
                read += self.read_at(&mut beyond, read as u64)?;
            }
        }
        Ok(read)
    }

    pub(super) fn file_system(&self) -> FileSystem {
        *self.file_system.get_or_init(|| FileSystem::of(&self.file))
    }

    /// How long until what was learnt when it was opened can be relied on; `None` when it can be.
    pub fn settles_in(&self) -> Option<Duration> {
        settles_in(self.meta.identity.ctime, self.opened)
    }

    /// The change of the file since it was opened.
    ///
    /// # Errors
    /// When that cannot be told.
    pub fn since_opened(&self) -> Result<Since, StorageError> {
        let now = meta_of(&self.file).map_err(failed(Op::Stat, &self.path))?;
        Ok(Since::between(&self.meta, &now))
    }

    /// Whether the file is still what it was when it was opened: size, content and attributes.
    ///
    /// # Errors
    /// When that cannot be told.
    pub fn unchanged(&self) -> Result<bool, StorageError> {
        Ok(self.since_opened()? == Since::Same)
    }

    /// Whether the file ends where the file system says that it does. What `/proc`, `/sys` and some network file
    /// systems call the size is not the length of what can be read.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn has_honest_size(&self) -> Result<bool, StorageError> {
        if self.file_system().has_honest_sizes() {
            return Ok(true);
        }
        let size = || meta_of(&self.file).map(|meta| meta.size).map_err(failed(Op::Stat, &self.path));
        let mut byte = [0];
        let said = size()?;
        let is_short = said > 0 && self.read_at(&mut byte, said - 1)? == 0;
        let is_honest = !is_short && self.read_at(&mut byte, said)? == 0;
        // Otherwise it may have become longer or shorter between the two questions.
        Ok(is_honest || size()? != said)
    }

    /// Whether its permission bits are those that a file that is sent with `mode` gets.
    ///
    /// # Errors
    /// When that cannot be told.
    pub(crate) fn has_mode(&self, mode: u32) -> Result<bool, StorageError> {
        let now = meta_of(&self.file).map_err(failed(Op::Stat, &self.path))?;
        Ok(now.mode & 0o777 == kept_mode(mode))
    }

    /// The first `size` bytes alone, of a file that has grown.
    pub(crate) fn up_to(mut self, size: u64) -> Self {
        self.meta.size = self.meta.size.min(size);
        self
    }

    /// Whether it holds more than `size` bytes by now.
    ///
    /// # Errors
    /// When that cannot be told.
    pub fn is_longer_than(&self, size: u64) -> Result<bool, StorageError> {
        Ok(meta_of(&self.file).map_err(failed(Op::Stat, &self.path))?.size > size)
    }

    /// Tells the kernel that the file will be read from front to back.
    pub fn advise_sequential(&self) {
        let _ = rustix::fs::fadvise(&self.file, 0, None, Advice::Sequential);
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }
}

/// The failure of a file whose content is not as long as its size.
pub(crate) fn unknown_size() -> Failure {
    let text = "the file system does not say how long it is; what a command reads of it can be sent: \
                cat FILE | qft send - REMOTE:NAME";
    Failure::new(Status::ReadFailed, text)
}

fn meta_of(file: &File) -> io::Result<Meta> {
    Meta::new(&rustix::fs::fstat(file)?, || Err(Errno::INVAL.into()))
}

/// Reads the start of a file and what lies behind it in one call.
fn read_with_more(file: &File, start: &mut [u8], more: &mut [u8]) -> io::Result<usize> {
    let mut parts = [IoSliceMut::new(start), IoSliceMut::new(more)];
    Ok(rustix::io::retry_on_intr(|| rustix::io::preadv(file, &mut parts, 0))?)
}

/// Reads until the buffer is full or the file ends.
pub(crate) fn read_full_at(file: &File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buf.len() {
        match file.read_at(&mut buf[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests;
