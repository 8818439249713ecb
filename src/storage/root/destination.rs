//! The tree that is written to: names that a peer sends.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use rustix::io::Errno;

use super::super::cause::ThereOrNot as _;
use super::super::dir::{DIR_MODE, Dir};
use super::super::error::{Op, StorageError, failed};
use super::super::meta::{DirMeta, DirMode, Meta};
use super::super::mode;
use super::super::source::Source;
use super::super::unsynced::Unsynced;
use super::dirlinks::Dirlinks;
use super::parents::Parents;
use super::{Root, split};
use crate::protocol::message::{Kind, Mtime};
use crate::protocol::path::WirePath;

/// Most directories with names that are not durable yet, each held open; at more they are synced at once.
pub(super) const UNSYNCED_MAX: usize = 256;

/// The place that names from a peer are received in. No such name passes through a link, whoever made it, but for those
/// of [`Destination::keeping_dirlinks`].
///
/// Cheap to clone.
#[derive(Debug, Clone)]
pub struct Destination(Arc<DestinationInner>);

#[derive(Debug)]
struct DestinationInner {
    root: Root,
    dirlinks: Option<Dirlinks>,
    parents: Parents,
}

impl Destination {
    pub(super) fn of(root: Root) -> Self {
        Self(Arc::new(DestinationInner { root, dirlinks: None, parents: Parents::default() }))
    }

    /// The same place, where a link to a directory stands for that directory, as with rsync's `--keep-dirlinks`: if it
    /// belongs to the user of this process, was there when the job began at `since`, and leads to a directory further
    /// down that has no dotted name. For whoever receives into a directory of their own.
    #[must_use]
    pub fn keeping_dirlinks(&self, since: SystemTime) -> Self {
        let (root, dirlinks) = (self.0.root.clone(), Some(Dirlinks::new(since)));
        Self(Arc::new(DestinationInner { root, dirlinks, parents: Parents::default() }))
    }

    /// Where its root was opened, for messages; never used for access.
    pub fn path(&self) -> &Path {
        self.0.root.path()
    }

    /// The facts of a name; `None` when nothing is there. A link as the last component is not followed.
    ///
    /// # Errors
    /// When it cannot be told, or it is a device, FIFO or socket (status `Unsupported`).
    pub fn stat(&self, path: &WirePath) -> Result<Option<Meta>, StorageError> {
        // No second look on a missing name as in `in_parent`: it is the usual answer for a new file.
        let found = self.parent_of(path).and_then(|dir| match self.0.root.shows(&dir, path.name()) {
            true => dir.meta(path.name()),
            false => Err(Errno::NOENT.into()),
        });
        found.if_there().map_err(failed(Op::Stat, path.as_path()))
    }

    /// The same for a name that a directory is to have: a link that stands for one is that directory.
    ///
    /// # Errors
    /// As [`Destination::stat`].
    pub fn stat_dir(&self, path: &WirePath) -> Result<Option<Meta>, StorageError> {
        let found = self.stat(path)?;
        if !found.as_ref().is_some_and(|meta| matches!(meta.kind, Kind::Link(_))) {
            return Ok(found);
        }
        let meta = match self.look_up(path.as_bytes()).if_had() {
            Ok(Some(dir)) => dir.own_meta().map(Some),
            // It stands for nothing but itself.
            Ok(None) => return Ok(found),
            Err(error) => Err(error),
        };
        meta.map_err(failed(Op::Stat, path.as_path()))
    }

    /// The innermost directory of `to` that is there, by what it is known by at another look, and what of `to` lies below it.
    /// The root itself is always there.
    ///
    /// # Errors
    /// When it cannot be told whether one is there.
    pub(crate) fn nearest(&self, to: Option<&WirePath>) -> Result<(u64, u64, Vec<u8>), StorageError> {
        let mut at = to.cloned();
        while let Some(path) = at {
            if let Some(dir) = self.look_up(path.as_bytes()).if_had().map_err(failed(Op::Open, path.as_path()))? {
                let (id, below) = (dir.lasting_id(), to.map_or(&b""[..], |to| &to.as_bytes()[path.as_bytes().len()..]));
                return Ok((id.dev, id.ino, below.strip_prefix(b"/").unwrap_or(below).to_vec()));
            }
            at = path.parent();
        }
        let top = self.0.root.0.top.lasting_id();
        Ok((top.dev, top.ino, to.map_or(&b""[..], WirePath::as_bytes).to_vec()))
    }

    /// Whether an empty file of that name is none of anybody's: it was to be replaced at once by a file that an interrupted
    /// run did not live to put there.
    ///
    /// # Errors
    /// When it cannot be told.
    pub(crate) fn is_reserved(&self, path: &WirePath) -> Result<bool, StorageError> {
        let found = self.in_parent(path, |dir, name| Ok(dir.is_reserved(name, &dir.stat(name)?)?));
        Ok(found.if_there().map_err(failed(Op::Stat, path.as_path()))?.unwrap_or(false))
    }

    /// Gives a name back that [`is_reserved`](Self::is_reserved).
    ///
    /// # Errors
    /// When the empty file cannot be removed.
    pub(crate) fn give_back(&self, path: &WirePath) -> Result<(), StorageError> {
        self.in_parent(path, |dir, name| Ok(dir.give_back(name)?)).map_err(failed(Op::Remove, path.as_path()))
    }

    /// Opens a regular file to read it, such as the old version of one that arrives; a link as the last component is not
    /// followed.
    ///
    /// # Errors
    /// When it is missing, not readable or no regular file (devices and FIFOs: status `Unsupported`).
    pub fn open_source(&self, path: &WirePath) -> Result<Source, StorageError> {
        self.in_parent(path, |dir, name| Source::open(dir, name, path.as_path()))
            .map_err(failed(Op::Open, path.as_path()))
    }

    /// Makes a directory and its parents; true when the last of them is new.
    ///
    /// # Errors
    /// When something else has one of the names, such as a link.
    pub fn make_dir(&self, path: &WirePath) -> Result<bool, StorageError> {
        self.make_dirs(path.as_bytes(), DIR_MODE).map_err(failed(Op::MakeDir, path.as_path()))
    }

    /// The same for a directory that is to have these permission bits when all is in it: until then it is open to its owner,
    /// whatever they say, and to nobody else than they do.
    ///
    /// # Errors
    /// As [`Destination::make_dir`].
    pub fn make_dir_for(&self, path: &WirePath, mode: u32) -> Result<bool, StorageError> {
        self.make_dirs(path.as_bytes(), mode::of_open_directory(mode)).map_err(failed(Op::MakeDir, path.as_path()))
    }

    /// Lets the owner into a directory whose mode keeps even him out, so that what is in it can be brought up to date;
    /// [`Destination::set_dir_meta`] shuts it again. Without effect on one of another user, and where nothing keeps us
    /// out.
    ///
    /// # Errors
    /// When it is no directory, or the file system does not let its mode be changed.
    pub fn open_up_dir(&self, path: &WirePath) -> Result<(), StorageError> {
        self.in_parent(path, |parent, name| {
            let found = parent.meta(name)?.identity;
            match self.0.root.withholds_name(parent, name, &found)? {
                true => Err(Errno::ACCESS.into()),
                false => Ok(parent.open_up(name)?),
            }
        })
        .map_err(failed(Op::SetMeta, path.as_path()))
    }

    /// Sets the time of a directory, and takes from its permission bits those that `mode` less the umask has not. It gets
    /// none that it has not.
    ///
    /// # Errors
    /// When it is no directory or not ours.
    pub fn set_dir_meta(&self, path: &WirePath, mtime: Mtime, mode: u32) -> Result<(), StorageError> {
        let dir = self.open_dir(path)?;
        DirMeta { mtime, mode: DirMode::Narrowed(mode) }.apply(&dir).map_err(failed(Op::SetMeta, path.as_path()))
    }

    pub(super) fn open_dir(&self, path: &WirePath) -> Result<Arc<Dir>, StorageError> {
        self.look_up(path.as_bytes()).map_err(failed(Op::SetMeta, path.as_path()))
    }

    /// Makes the names in a directory durable; `None` is the root itself.
    ///
    /// # Errors
    /// When the directory is missing or the disk fails.
    pub fn sync_dir(&self, path: Option<&WirePath>) -> Result<(), StorageError> {
        let shown = path.map_or_else(|| Path::new("."), WirePath::as_path);
        let dir = match path {
            None => Arc::clone(&self.0.root.0.top),
            Some(path) => self.look_up(path.as_bytes()).map_err(failed(Op::List, shown))?,
        };
        dir.sync().map_err(failed(Op::Sync, shown))
    }

    /// Whether what has that name is there but may not survive a power cut: it was renamed, and its directory has
    /// not been synced, or could not be. A process that starts again knows nothing of that.
    ///
    /// # Errors
    /// When its directory cannot be looked up.
    pub(crate) fn is_unsynced(&self, path: &WirePath) -> Result<bool, StorageError> {
        if self.unsynced().len() == 0 {
            return Ok(false);
        }
        self.in_parent(path, |dir, _| Ok(self.unsynced().holds(dir))).map_err(failed(Op::Stat, path.as_path()))
    }

    /// Whether nobody will find what was put here.
    pub(crate) fn is_misplaced(&self) -> bool {
        self.0.root.is_misplaced()
    }

    pub(crate) fn unsynced(&self) -> &Arc<Unsynced> {
        &self.0.root.0.unsynced
    }

    /// The same place, where no link stands for a directory.
    pub(super) fn without_dirlinks(&self) -> Self {
        Self::of(self.0.root.clone())
    }

    /// The links that stand for directories, if any do.
    pub(super) fn dirlinks(&self) -> Option<&Dirlinks> {
        self.0.dirlinks.as_ref()
    }

    /// The directory that `path` lies in.
    pub(super) fn parent_of(&self, path: &WirePath) -> io::Result<Arc<Dir>> {
        Ok(self.0.parents.of(&self.0.root, path, |parent| self.look_up(parent))?.0)
    }

    /// Runs `f` with the parent of `path` and its last component.
    pub(crate) fn in_parent<T>(&self, path: &WirePath, f: impl Fn(&Arc<Dir>, &[u8]) -> io::Result<T>) -> io::Result<T> {
        self.0.parents.with(&self.0.root, path, |parent| self.look_up(parent), f)
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
            (Err(error), Some(missing)) if error.kind() == io::ErrorKind::NotFound => {
                self.make_dirs(missing, DIR_MODE)?;
                self.look_up_parent(parent)?
            }
            (found, _) => found?,
        };
        if !self.0.root.shows(&dir, name) {
            return Err(Errno::ACCESS.into());
        }
        match self.unsynced().note(&dir, || dir.make_dir(name, mode)) {
            Ok(()) => {}
            // A link that stands for a directory is as good as one.
            Err(Errno::EXIST) => return self.look_up(path).map(|_| false),
            Err(error) => return Err(error.into()),
        }
        if self.unsynced().len() > UNSYNCED_MAX {
            self.sync_new_names()?;
        }
        Ok(true)
    }

    pub(super) fn sync_new_names(&self) -> Result<(), Errno> {
        let mut failure = Ok(());
        let mut done = self.unsynced().waiting();
        done.retain(|change| match change.dir.sync() {
            Ok(()) => true,
            Err(error) => {
                failure = Err(error);
                false
            }
        });
        self.unsynced().settle(&done);
        // What failed stays noted, for the commits to say; but it must not become ever more.
        if self.unsynced().len() > UNSYNCED_MAX { failure } else { Ok(()) }
    }

    pub(super) fn look_up_parent(&self, parent: Option<&[u8]>) -> io::Result<Arc<Dir>> {
        match parent {
            None => Ok(Arc::clone(&self.0.root.0.top)),
            Some(path) => self.look_up(path),
        }
    }

    /// Opens the directory of that path. Where a link is in the way that stands for a directory, the path is written
    /// anew as the one without links, and opened like any other: nobody can exchange anything in between.
    fn look_up(&self, path: &[u8]) -> io::Result<Arc<Dir>> {
        let root = &self.0.root;
        match (root.look_up(path), &self.0.dirlinks) {
            (Err(Errno::LOOP), Some(dirlinks)) => Ok(root.look_up(&dirlinks.resolve(&root.0.top, path)?)?),
            (found, _) => Ok(found?),
        }
    }
}
