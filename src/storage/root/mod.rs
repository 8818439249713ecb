//! The confined tree: a directory held open. What is in it is reached by one way for each kind of name, and no name that
//! a peer gave or a walk found passes through a link on any of them:
//!
//! | whose name | type | what it does |
//! |---|---|---|
//! | found by a walk, or asked for by a peer | [`Tree`] | reads |
//! | received from a peer | [`Destination`] | writes, and reads what it replaces |
//! | the root of a client, from the operator's list | [`Root::client_root`] | gives another root |
//!
//! | file | holds |
//! |---|---|
//! | `tree`, `destination`, `client` | the three ways above |
//! | `parents`, `link`, `dirlinks` | the directories that names lie in; symbolic links; those that stand for directories |
//! | `withheld` | a directory that a root keeps from whoever uses it |
//! | `ask` | the rules of a file system for names and times |
//! | `finish` | directories that are complete |

mod ask;
mod client;
mod destination;
mod dirlinks;
mod finish;
mod link;
mod parents;
mod tree;
mod withheld;

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::Access;
use rustix::io::Errno;

pub use self::destination::Destination;
pub(crate) use self::link::link_stays_inside;
pub(crate) use self::tree::Tree;
use super::dir::{Dir, Resolver};
use super::error::{Op, StorageError, failed};
use super::hidden::{self, Dots};
use super::meta::StatFacts;
use super::system;
use super::unsynced::Unsynced;
use crate::absent::is_absent;
use crate::broken::BreakableRule;
use crate::protocol::path::escape_path;

/// A directory held open. It opens nothing by itself: a [`Tree`] of it is read, a [`Destination`] of it is written.
///
/// Cheap to clone. A name that is looked up in the wrong one does not compile:
///
/// ```compile_fail,E0308
/// # use qft::protocol::path::WirePath;
/// # use qft::storage::{Fresh, Owner, Part, Root};
/// # let (root, name) = (Root::open("/tmp".as_ref()).unwrap(), WirePath::parse(b"name").unwrap());
/// Part::open(&root.tree(), &name, Owner::Anyone, Fresh::No);
/// ```
#[derive(Debug, Clone)]
pub struct Root(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    top: Arc<Dir>,
    path: PathBuf,
    resolver: Resolver,
    unsynced: Arc<Unsynced>,
    dots: Dots,
    /// A directory that is not there for whoever uses this root, wherever below it it lies.
    withheld: Option<Arc<Path>>,
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
        missing.into_iter().for_each(sync_parent);
        Self::open(path)
    }

    /// Makes the names durable by which this root was opened: whoever made these directories may not have lived to. What
    /// cannot be synced is said in the log.
    pub(crate) fn sync_names_above(&self) {
        sync_names_above(&self.0.path);
    }

    /// Bytes that are free where it lies, as far as this process may use them. It asks the disk, which may take long.
    ///
    /// # Errors
    /// The system's.
    pub fn free_bytes(&self) -> Result<u64, StorageError> {
        let found = rustix::fs::fstatvfs(&*self.0.top).map_err(failed(Op::Stat, &self.0.path))?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }

    /// Whether the path by which it was opened leads to something else by now, or to nothing: it was moved or removed, or
    /// another disk was mounted on it, and nobody looks for files where it is. It asks the disk, which may take long. False
    /// where that cannot be told.
    pub(crate) fn is_misplaced(&self) -> bool {
        let top = &self.0.top;
        // Not by `.`, which is what is mounted upon as well.
        let found = std::path::absolute(&self.0.path).and_then(|path| Ok(rustix::fs::stat(path)?));
        match found {
            Ok(found) => {
                let StatFacts { dev, ino, .. } = StatFacts::of(&found);
                dev != top.id().dev || (ino != top.id().ino && top.file_system().keeps_numbers())
            }
            Err(error) => is_absent(&error),
        }
    }

    fn new(top: Dir, path: PathBuf, resolver: Resolver, unsynced: Arc<Unsynced>) -> Self {
        Self(Arc::new(Inner { top: Arc::new(top), path, resolver, unsynced, dots: Dots::Shown, withheld: None }))
    }

    /// The same root, to be changed before it is used.
    fn again(&self) -> Inner {
        let Inner { top, path, resolver, unsynced, dots, withheld } = &*self.0;
        Inner {
            top: Arc::clone(top),
            path: path.clone(),
            resolver: *resolver,
            unsynced: Arc::clone(unsynced),
            dots: *dots,
            withheld: withheld.clone(),
        }
    }

    /// The same tree without the names at its top that begin with a dot: they are not there to be read, and cannot be
    /// made or written to. Further down such names are like any others.
    #[must_use]
    pub fn hiding_dots(&self) -> Self {
        Self(Arc::new(Inner { dots: Dots::Hidden, ..self.again() }))
    }

    /// All that is in it, to be read.
    pub fn tree(&self) -> Tree {
        Tree::of(self.clone())
    }

    /// The place for names that a peer sends. No link stands for a directory there, unless
    /// [`Destination::keeping_dirlinks`] says so.
    pub fn destination(&self) -> Destination {
        Destination::of(self.clone())
    }

    /// Where it was opened, for messages; never used for access.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// How paths are resolved here.
    pub fn resolver(&self) -> Resolver {
        self.0.resolver
    }

    /// Whether a name in a directory of this tree is there for whoever uses this root.
    fn shows(&self, dir: &Dir, name: &[u8]) -> bool {
        self.0.dots == Dots::Shown || !hidden::is_dotted(name) || dir.lasting_id() != self.0.top.lasting_id()
    }

    /// Opens the directory of that path, which no link is part of.
    fn look_up(&self, path: &[u8]) -> Result<Arc<Dir>, Errno> {
        if self.0.dots == Dots::Hidden && hidden::is_dotted(path) {
            return Err(Errno::NOENT);
        }
        self.open_below(&self.0.top, path)
    }

    /// The same below a directory of this root.
    fn open_below(&self, top: &Dir, path: &[u8]) -> Result<Arc<Dir>, Errno> {
        let dir = top.open_below(path, self.0.resolver)?;
        if self.withholds(&dir)? { Err(Errno::ACCESS) } else { Ok(Arc::new(dir)) }
    }
}

/// Makes the names durable by which a directory of the local user's choosing is reached. What cannot be synced is said in
/// the log.
///
/// A process that confines itself calls this before: later it may not open what lies above.
pub(crate) fn sync_names_above(dir: &Path) {
    if BreakableRule::SkipDurably.is_broken() {
        return;
    }
    for at in dir.ancestors().take_while(|at| !at.as_os_str().is_empty()) {
        sync_parent(at);
    }
}

/// Makes the name of a directory durable.
fn sync_parent(made: &Path) {
    let Some(parent) = made.parent() else { return };
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    // A process that may not write there cannot have made it.
    if rustix::fs::access(parent, Access::WRITE_OK).is_err() {
        return;
    }
    // Confined, we are refused what our rights allow.
    let may_read = rustix::fs::access(parent, Access::READ_OK).is_ok();
    match Dir::open(parent) {
        Ok(dir) if may_read && dir.is_passed_only() => {
            tracing::debug!(parent = %escape_path(parent), "not synced: this process is confined")
        }
        opened => {
            if let Err(error) = opened.and_then(|dir| dir.sync()) {
                tracing::warn!(parent = %escape_path(parent), %error, "the new directory may not survive a power cut");
            }
        }
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
