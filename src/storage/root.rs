//! The confined tree: a directory held open, beneath which every access stays.

mod link;

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::protocol::message::Mtime;
use crate::protocol::path::WirePath;

pub(crate) use self::link::link_stays_inside;
use super::dir::{DIR_MODE, Dir, OWNER_MODE, Resolver, Unsynced};
use super::error::{Op, StorageError, failed};
use super::hidden::{self, Dots};
use super::meta::{self, Meta};
use super::source::Source;
use super::system;

/// How long the last parent directory serves without being looked up again. Files arrive directory by
/// directory, thousands a second; but a directory that was moved away must not be written to for long.
const RECENT_FOR: Duration = Duration::from_secs(1);
/// Most directories with names that are not durable yet, each held open; at more they are synced at once.
const UNSYNCED_MAX: usize = 256;

/// A directory held open; every access through it stays beneath it, whatever links it holds.
///
/// Cheap to clone. Names of peers get here as [`WirePath`]; parents are resolved by the kernel with
/// `RESOLVE_BENEATH` (or by a walk that follows no link), and only then one plain component is used.
#[derive(Debug, Clone)]
pub struct Root(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    top: Arc<Dir>,
    path: PathBuf,
    resolver: Resolver,
    recent: Mutex<Option<Recent>>,
    unsynced: Arc<Unsynced>,
    dots: Dots,
}

#[derive(Debug)]
struct Recent {
    path: Box<[u8]>,
    dir: Arc<Dir>,
    since: Instant,
}

impl Root {
    /// Opens an existing directory of the local user's choosing; links in `path` are followed.
    ///
    /// # Errors
    /// When it does not exist, is no directory or may not be read.
    pub fn open(path: &Path) -> Result<Self, StorageError> {
        let top = Dir::open(path).map_err(failed(Op::Open, path))?;
        let resolver = if system::can_open_beneath(&top) { Resolver::Kernel } else { Resolver::Walk };
        Ok(Self::new(top, path.to_owned(), resolver, Arc::default()))
    }

    /// Opens an existing directory with a given way of resolving paths.
    ///
    /// # Errors
    /// As [`Root::open`]; with [`Resolver::Kernel`] on a kernel without `openat2`, every later access fails.
    pub fn open_with(path: &Path, resolver: Resolver) -> Result<Self, StorageError> {
        let top = Dir::open(path).map_err(failed(Op::Open, path))?;
        Ok(Self::new(top, path.to_owned(), resolver, Arc::default()))
    }

    /// Opens a directory and makes it, durably and with its parents, where it is missing.
    ///
    /// # Errors
    /// When it cannot be made or opened.
    pub fn create(path: &Path) -> Result<Self, StorageError> {
        let missing: Vec<&Path> = path.ancestors().take_while(|p| !p.as_os_str().is_empty() && !p.exists()).collect();
        std::fs::create_dir_all(path).map_err(|error| match error.kind() {
            // Of a directory it would be no error.
            io::ErrorKind::AlreadyExists => StorageError::new(Op::MakeDir, path, Errno::NOTDIR),
            _ => StorageError::new(Op::MakeDir, path, error),
        })?;
        for made in missing {
            let parent = made.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
            if let Err(error) = Dir::open(parent).and_then(|dir| dir.sync()) {
                // A parent that may be entered but not read cannot be synced; the directory itself is good.
                tracing::warn!(?parent, %error, "the new directory may not survive a power cut");
            }
        }
        Self::open(path)
    }

    fn new(top: Dir, path: PathBuf, resolver: Resolver, unsynced: Arc<Unsynced>) -> Self {
        let (recent, dots) = (Mutex::new(None), Dots::Shown);
        Self(Arc::new(Inner { top: Arc::new(top), path, resolver, recent, unsynced, dots }))
    }

    /// The same tree without the names at its top that begin with a dot: they are not there to be read, and cannot be
    /// made or written to. Further down such names are like any others.
    #[must_use]
    pub fn hiding_dots(&self) -> Self {
        let Inner { top, path, resolver, recent: _, unsynced, dots: _ } = &*self.0;
        Self(Arc::new(Inner {
            top: Arc::clone(top),
            path: path.clone(),
            resolver: *resolver,
            recent: Mutex::new(None),
            unsynced: Arc::clone(unsynced),
            dots: Dots::Hidden,
        }))
    }

    /// Whether a name in a directory of this tree is there for whoever uses this root.
    pub(crate) fn shows(&self, dir: &Dir, name: &[u8]) -> bool {
        self.0.dots == Dots::Shown || dir.id() != self.0.top.id() || !hidden::is_dotted(name)
    }

    /// Where it was opened, for messages; never used for access.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// How paths are resolved here.
    pub fn resolver(&self) -> Resolver {
        self.0.resolver
    }

    /// What a name is; `None` when nothing is there. A link as the last component is not followed.
    ///
    /// # Errors
    /// When it cannot be told, or it is a device, FIFO or socket (status `Unsupported`).
    pub fn stat(&self, path: &WirePath) -> Result<Option<Meta>, StorageError> {
        let (parent, name) = split(path.as_bytes());
        // No second look on a missing name as in `in_parent`: it is the usual answer for a new file.
        let found =
            self.recent_dir(parent).map_err(io::Error::from).and_then(|(dir, _)| match self.shows(&dir, name) {
                true => dir.meta(name),
                false => Err(Errno::NOENT.into()),
            });
        match found {
            Ok(meta) => Ok(Some(meta)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StorageError::new(Op::Stat, path.as_path(), error)),
        }
    }

    /// Opens a regular file to read it; a link as the last component is not followed.
    ///
    /// # Errors
    /// When it is missing, not readable or no regular file (devices and FIFOs: status `Unsupported`).
    pub fn open_source(&self, path: &WirePath) -> Result<Source, StorageError> {
        self.in_parent(path, |dir, name| Source::new(dir.open_file(name, OFlags::RDONLY)?, path.as_path()))
            .map_err(failed(Op::Open, path.as_path()))
    }

    /// Makes a directory and its parents; true when the last of them is new.
    ///
    /// # Errors
    /// When something else has one of the names, or a link leads out of the root.
    pub fn make_dir(&self, path: &WirePath) -> Result<bool, StorageError> {
        self.make_dirs(path.as_bytes(), DIR_MODE).map_err(failed(Op::MakeDir, path.as_path()))
    }

    /// The same for a directory that is to have these permission bits when all is in it: until then it is open to its owner,
    /// whatever they say, and to nobody else than they do.
    ///
    /// # Errors
    /// As [`Root::make_dir`].
    pub fn make_dir_for(&self, path: &WirePath, mode: u32) -> Result<bool, StorageError> {
        self.make_dirs(path.as_bytes(), mode | OWNER_MODE).map_err(failed(Op::MakeDir, path.as_path()))
    }

    /// Sets time and permission bits (never set-id or sticky) of a directory, not through a link.
    ///
    /// # Errors
    /// When it is no directory or not ours.
    pub fn set_dir_meta(&self, path: &WirePath, mtime: Mtime, mode: u32) -> Result<(), StorageError> {
        self.in_parent(path, |parent, name| Ok(meta::apply(parent.child(name)?, mtime, mode)?))
            .map_err(failed(Op::SetMeta, path.as_path()))
    }

    /// A root further down, confined to itself.
    ///
    /// # Errors
    /// When it is no directory below this root.
    pub fn subdir(&self, path: &WirePath) -> Result<Self, StorageError> {
        let top = self.open_dir(Some(path))?;
        let path = self.0.path.join(path.as_path());
        Ok(Self(Arc::new(Inner {
            top,
            path,
            resolver: self.0.resolver,
            recent: Mutex::new(None),
            unsynced: Arc::clone(&self.0.unsynced),
            dots: Dots::Shown,
        })))
    }

    /// Makes the names in a directory durable; `None` is the root itself.
    ///
    /// # Errors
    /// When the directory is missing or the disk fails.
    pub fn sync_dir(&self, path: Option<&WirePath>) -> Result<(), StorageError> {
        let shown = path.map_or_else(|| Path::new("."), WirePath::as_path);
        self.open_dir(path)?.sync().map_err(failed(Op::Sync, shown))
    }

    /// Opens a directory; links within the root are followed where the resolver can.
    pub(crate) fn open_dir(&self, path: Option<&WirePath>) -> Result<Arc<Dir>, StorageError> {
        match path {
            None => Ok(Arc::clone(&self.0.top)),
            Some(path) => self.look_up(path.as_bytes()).map_err(failed(Op::List, path.as_path())),
        }
    }

    /// Whether what has that name is there but may not survive a power cut: it was renamed, and its directory has
    /// not been synced, or could not be. A process that starts anew knows nothing of that.
    ///
    /// # Errors
    /// When its directory cannot be looked up.
    pub(crate) fn is_in_doubt(&self, path: &WirePath) -> Result<bool, StorageError> {
        if self.0.unsynced.len() == 0 {
            return Ok(false);
        }
        self.in_parent(path, |dir, _| Ok(self.0.unsynced.holds(dir.id()))).map_err(failed(Op::Stat, path.as_path()))
    }

    pub(crate) fn unsynced(&self) -> &Arc<Unsynced> {
        &self.0.unsynced
    }

    /// Runs `f` with the parent of `path` and its last component.
    pub(crate) fn in_parent<T>(&self, path: &WirePath, f: impl Fn(&Arc<Dir>, &[u8]) -> io::Result<T>) -> io::Result<T> {
        let (parent, name) = split(path.as_bytes());
        let (dir, remembered) = self.recent_dir(parent)?;
        if !self.shows(&dir, name) {
            return Err(Errno::ACCESS.into());
        }
        match f(&dir, name) {
            // The remembered directory may have been removed and made again.
            Err(error) if remembered && error.kind() == io::ErrorKind::NotFound => {
                self.forget_recent();
                f(&self.recent_dir(parent)?.0, name)
            }
            settled => settled,
        }
    }

    /// As [`in_parent`](Self::in_parent), and makes the parent where it is missing.
    pub(crate) fn in_made_parent<T>(
        &self,
        path: &WirePath,
        f: impl Fn(&Arc<Dir>, &[u8]) -> io::Result<T>,
    ) -> io::Result<T> {
        match (self.in_parent(path, &f), split(path.as_bytes()).0) {
            (Err(error), Some(parent)) if error.kind() == io::ErrorKind::NotFound => {
                self.make_dirs(parent, DIR_MODE)?;
                self.in_parent(path, f)
            }
            (settled, _) => settled,
        }
    }

    /// `mode` is that of the last one.
    fn make_dirs(&self, path: &[u8], mode: u32) -> io::Result<bool> {
        let (parent, name) = split(path);
        let dir = match (self.look_up_parent(parent), parent) {
            (Err(Errno::NOENT), Some(missing)) => {
                self.make_dirs(missing, DIR_MODE)?;
                self.look_up_parent(parent)?
            }
            (found, _) => found?,
        };
        if !self.shows(&dir, name) {
            return Err(Errno::ACCESS.into());
        }
        match self.0.unsynced.note(&dir, || dir.make_dir(name, mode)) {
            Ok(()) => {}
            // A link to a directory below the root is as good as a directory.
            Err(Errno::EXIST) => return Ok(self.look_up(path).map(|_| false)?),
            Err(error) => return Err(error.into()),
        }
        if self.0.unsynced.len() > UNSYNCED_MAX {
            self.sync_new_names()?;
        }
        Ok(true)
    }

    fn sync_new_names(&self) -> Result<(), Errno> {
        let mut failure = Ok(());
        let mut done = self.0.unsynced.waiting();
        done.retain(|change| match change.dir.sync() {
            Ok(()) => true,
            Err(error) => {
                failure = Err(error);
                false
            }
        });
        self.0.unsynced.settle(&done);
        // What failed stays noted, for the commits to say; but it must not become ever more.
        if self.0.unsynced.len() > UNSYNCED_MAX { failure } else { Ok(()) }
    }

    /// The parent directory, and whether it was remembered rather than looked up.
    fn recent_dir(&self, parent: Option<&[u8]>) -> Result<(Arc<Dir>, bool), Errno> {
        let Some(path) = parent else {
            return Ok((Arc::clone(&self.0.top), false));
        };
        if let Some(recent) = &*self.recent()
            && *recent.path == *path
            && recent.since.elapsed() < RECENT_FOR
        {
            return Ok((Arc::clone(&recent.dir), true));
        }
        let dir = self.look_up(path)?;
        *self.recent() = Some(Recent { path: path.into(), dir: Arc::clone(&dir), since: Instant::now() });
        Ok((dir, false))
    }

    fn forget_recent(&self) {
        *self.recent() = None;
    }

    fn recent(&self) -> std::sync::MutexGuard<'_, Option<Recent>> {
        self.0.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look_up_parent(&self, parent: Option<&[u8]>) -> Result<Arc<Dir>, Errno> {
        match parent {
            None => Ok(Arc::clone(&self.0.top)),
            Some(path) => self.look_up(path),
        }
    }

    fn look_up(&self, path: &[u8]) -> Result<Arc<Dir>, Errno> {
        let (top, resolver) = (&self.0.top, self.0.resolver);
        Ok(Arc::new(match self.0.dots {
            Dots::Shown => top.open_below(path, resolver)?,
            Dots::Hidden => hidden::open_below(top, path, resolver)?,
        }))
    }
}

/// Everything before the last component, and the last component.
fn split(path: &[u8]) -> (Option<&[u8]>, &[u8]) {
    match path.iter().rposition(|b| *b == b'/') {
        Some(slash) => (Some(&path[..slash]), &path[slash + 1..]),
        None => (None, path),
    }
}

/// A path for messages from bytes.
pub(crate) fn shown(raw: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(raw))
}

#[cfg(test)]
mod tests;
