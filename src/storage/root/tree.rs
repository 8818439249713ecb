//! The tree that is read: names that a walk found, or that a peer asks for.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::io::Errno;

use super::super::cause::{Refusal, ThereOrNot as _};
use super::super::dir::Dir;
use super::super::error::{Op, StorageError, failed};
use super::super::meta::{Meta, ObjectId};
use super::super::source::Source;
use super::Root;
use super::parents::Parents;
use crate::protocol::message::Kind;
use crate::protocol::path::WirePath;

/// A tree that is read. No link is followed in it, so the text of a name says where it lies, also when somebody exchanges
/// a directory for a link between the walk that found a name and the moment when the file is opened.
///
/// Cheap to clone.
#[derive(Debug, Clone)]
pub struct Tree(Arc<TreeInner>);

#[derive(Debug)]
struct TreeInner {
    root: Root,
    named: Option<NamedTop>,
    parents: Parents,
}

/// Most named directories that are held open in this process. One pattern may stand for very many of them; of more than
/// these it is only known which they are.
const HELD_MAX: usize = 64;

/// The directory below the root that was asked for: what does not lie in it is not read.
#[derive(Debug)]
struct NamedTop {
    at: WirePath,
    dir: NamedDir,
}

#[derive(Debug)]
enum NamedDir {
    /// Where it is does not matter. A file system that numbers its objects again now and then, as some in user space
    /// do, does not while they are open.
    Held(HeldDir),
    /// It is looked up each time, and has to be this one.
    Known(ObjectId),
}

/// One of [`HELD_MAX`].
#[derive(Debug)]
struct HeldDir(Arc<Dir>);

/// How many there are.
static HELD: AtomicUsize = AtomicUsize::new(0);

impl HeldDir {
    fn new(dir: Arc<Dir>) -> Result<Self, Arc<Dir>> {
        let more = |held| (held < HELD_MAX).then_some(held + 1);
        match HELD.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more) {
            Ok(_) => Ok(Self(dir)),
            Err(_) => Err(dir),
        }
    }
}

impl Drop for HeldDir {
    fn drop(&mut self) {
        HELD.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Tree {
    pub(super) fn of(root: Root) -> Self {
        Self(Arc::new(TreeInner { root, named: None, parents: Parents::default() }))
    }

    /// Opens a directory of the local user's choosing, to read all that is in it; links in `path` are followed.
    ///
    /// # Errors
    /// As [`Root::open`].
    pub fn open(path: &Path) -> Result<Self, StorageError> {
        Ok(Root::open(path)?.tree())
    }

    /// Where its root was opened, for messages; never used for access.
    pub fn path(&self) -> &Path {
        self.0.root.path()
    }

    /// Holds the tree to the directory `at`, as it is now: nothing else is read from then on, whatever gets its name
    /// later. Names stay relative to the root.
    ///
    /// # Errors
    /// When it is no directory, or not the one any more that the tree is held to already.
    pub(crate) fn narrowed(&self, at: &WirePath) -> Result<Self, StorageError> {
        let dir = self.open_dir(Some(at))?;
        if self.0.named.as_ref().is_some_and(|named| named.at == *at) {
            return Ok(self.clone());
        }
        Ok(self.held_to(at, HeldDir::new(dir).map_or_else(|dir| NamedDir::Known(dir.lasting_id()), NamedDir::Held)))
    }

    fn held_to(&self, at: &WirePath, dir: NamedDir) -> Self {
        let named = Some(NamedTop { at: at.clone(), dir });
        Self(Arc::new(TreeInner { root: self.0.root.clone(), named, parents: Parents::default() }))
    }

    /// The facts of a name; `None` when nothing is there. A link as the last component is not followed.
    ///
    /// # Errors
    /// When it cannot be told, or it is a device, FIFO or socket (status `Unsupported`).
    pub fn stat(&self, path: &WirePath) -> Result<Option<Meta>, StorageError> {
        self.meta(path).if_there().map_err(failed(Op::Stat, path.as_path()))
    }

    /// As [`narrowed`](Self::narrowed) while few directories are held, and when too many are already.
    #[cfg(test)]
    pub(super) fn narrowed_in_both_ways(&self, at: &WirePath) -> [Self; 2] {
        let dir = self.open_dir(Some(at)).expect("tests name what is there");
        let known = NamedDir::Known(dir.lasting_id());
        HELD.fetch_add(1, Ordering::Relaxed);
        [NamedDir::Held(HeldDir(dir)), known].map(|dir| self.held_to(at, dir))
    }

    fn meta(&self, path: &WirePath) -> io::Result<Meta> {
        if self.0.named.as_ref().is_some_and(|named| named.at == *path) {
            return self.look_up(path.as_bytes())?.own_meta();
        }
        self.check(path)?;
        // No second look on a missing name: it is the usual answer to a pattern.
        let (dir, _) = self.0.parents.of(&self.0.root, path, |parent| self.look_up(parent))?;
        if self.shows(&dir, path.name()) { dir.meta(path.name()) } else { Err(Errno::NOENT.into()) }
    }

    /// Opens a regular file to read it; a link as the last component is not followed.
    ///
    /// # Errors
    /// When it is missing, not readable or no regular file (devices and FIFOs: status `Unsupported`).
    pub fn open_source(&self, path: &WirePath) -> Result<Source, StorageError> {
        let open = |dir: &Arc<Dir>, name: &[u8]| Source::open(dir, name, path.as_path());
        let opened = self
            .check(path)
            .and_then(|()| self.0.parents.with(&self.0.root, path, |parent| self.look_up(parent), open));
        opened.map_err(failed(Op::Open, path.as_path()))
    }

    /// Whether an empty file is none: it was to be replaced at once by a file that an interrupted run did not live to put
    /// there.
    ///
    /// # Errors
    /// When it cannot be told.
    pub(crate) fn is_reserved(&self, path: &WirePath) -> Result<bool, StorageError> {
        let is_reserved = |dir: &Arc<Dir>, name: &[u8]| Ok(dir.is_reserved(name, &dir.stat(name)?)?);
        let found = self.0.parents.with(&self.0.root, path, |parent| self.look_up(parent), is_reserved);
        Ok(found.if_had().map_err(failed(Op::Stat, path.as_path()))?.unwrap_or(false))
    }

    /// Opens a directory; `None` is the top.
    pub(crate) fn open_dir(&self, path: Option<&WirePath>) -> Result<Arc<Dir>, StorageError> {
        match (path, &self.0.named) {
            (None, None) => Ok(Arc::clone(&self.0.root.0.top)),
            (None, Some(named)) => self.open_dir(Some(&named.at)),
            (Some(path), _) => self.look_up(path.as_bytes()).map_err(failed(Op::List, path.as_path())),
        }
    }

    /// What the directory `at`, which was just found, is known by at another look.
    ///
    /// # Errors
    /// When it cannot be told.
    pub(crate) fn lasting_id(&self, at: &WirePath, found: &Meta) -> Result<ObjectId, StorageError> {
        let (top, id) = (&self.0.root.0.top, ObjectId { dev: found.identity.dev, ino: found.identity.ino });
        // Nearly always; then it need not be opened for that.
        if top.id().dev == id.dev && top.file_system().keeps_numbers() {
            return Ok(id);
        }
        // Nobody walks what is gone again, or may not be opened.
        Ok(self.open_dir(Some(at)).if_had()?.map_or(id, |dir| dir.lasting_id()))
    }

    /// Whether a name in a directory of this tree is there for whoever reads it.
    pub(crate) fn shows(&self, dir: &Dir, name: &[u8]) -> bool {
        self.0.root.shows(dir, name)
    }

    /// Whether what was found under a name in a directory is the one which is withheld from whoever reads this tree.
    ///
    /// # Errors
    /// When it cannot be told.
    pub(crate) fn withholds(&self, dir: &Dir, name: &[u8], found: &Meta) -> Result<bool, Errno> {
        Ok(found.kind == Kind::Dir && self.0.root.withholds_name(dir, name, &found.identity)?)
    }

    /// Lets only names pass that lie in what was named; whoever asks for others has a bug, which must not become an escape.
    fn check(&self, path: &WirePath) -> io::Result<()> {
        match &self.0.named {
            Some(named) if path.strip_prefix(&named.at).is_none() => Err(Errno::INVAL.into()),
            _ => Ok(()),
        }
    }

    fn look_up(&self, path: &[u8]) -> io::Result<Arc<Dir>> {
        let root = &self.0.root;
        let Some(named) = &self.0.named else { return Ok(root.look_up(path)?) };
        let below = path.strip_prefix(named.at.as_bytes()).ok_or(Errno::INVAL)?;
        let top = match &named.dir {
            NamedDir::Held(held) => Arc::clone(&held.0),
            NamedDir::Known(id) => {
                let found = root.look_up(named.at.as_bytes())?;
                if found.lasting_id() != *id {
                    return Err(Refusal::TreeReplaced.into());
                }
                found
            }
        };
        match below {
            [] => Ok(top),
            [b'/', below @ ..] => Ok(root.open_below(&top, below)?),
            _ => Err(Errno::INVAL.into()),
        }
    }
}
