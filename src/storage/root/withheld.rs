//! A directory that a root keeps from whoever uses it: the home of a server that serves what lies around it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::dir::Dir;
use super::super::meta::{FileIdentity, ObjectId, StatFacts};
use super::{Inner, Root};

impl Root {
    /// The same tree without the directory `withheld` and all in it, if that lies below. It may be made or moved at any
    /// time: what is looked up is compared with what has that path then, as an object, whatever names lead to it. Only a
    /// directory that is in use at that moment may stay so for a second more.
    #[must_use]
    pub fn withholding(&self, withheld: &Path) -> Self {
        Self(Arc::new(Inner { withheld: Some(withheld.into()), ..self.again() }))
    }

    /// Whether a directory below this root is the one that is withheld, or lies in it.
    pub(crate) fn withholds(&self, dir: &Dir) -> bool {
        self.withheld_now().is_some_and(|withheld| dir.lies_in(withheld, self.0.top.id()))
            || self.paths(dir).is_some_and(|(withheld, at)| at.starts_with(withheld))
    }

    /// Whether the object of that name in a directory is the one that is withheld.
    pub(crate) fn withholds_name(&self, dir: &Dir, name: &[u8], found: &FileIdentity) -> bool {
        self.withheld_now() == Some(ObjectId { dev: found.dev, ino: found.ino })
            || self.paths(dir).is_some_and(|(withheld, at)| at.join(OsStr::from_bytes(name)) == withheld)
    }

    /// Where the withheld directory lies, and where that one does, on a file system whose numbers do not tell them apart.
    fn paths(&self, dir: &Dir) -> Option<(PathBuf, PathBuf)> {
        let withheld = self.0.withheld.as_ref().filter(|_| !dir.file_system().keeps_numbers())?;
        Some((withheld.canonicalize().ok()?, dir.path_now()?))
    }

    fn withheld_now(&self) -> Option<ObjectId> {
        let found = rustix::fs::stat(&**self.0.withheld.as_ref()?).ok()?;
        let StatFacts { dev, ino, .. } = StatFacts::of(&found);
        Some(ObjectId { dev, ino })
    }
}
