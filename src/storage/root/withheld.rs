//! A directory that a root keeps from whoever uses it: the home of a server that serves what lies around it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::io::Errno;

use super::super::cause::ThereOrNot as _;
use super::super::dir::Dir;
use super::super::meta::{FileIdentity, ObjectId};
use super::{Inner, Root};
use crate::absent::is_absent;

impl Root {
    /// The same tree without the directory `withheld` and all in it, if that lies below. It may be made or moved at any
    /// time: what is looked up is compared with what has that path then, as an object, whatever names lead to it. Only a
    /// directory that is in use at that moment may stay so for a second more.
    #[must_use]
    pub fn withholding(&self, withheld: &Path) -> Self {
        Self(Arc::new(Inner { withheld: Some(withheld.into()), ..self.again() }))
    }

    /// Whether a directory below this root is the one that is withheld, or lies in it.
    ///
    /// # Errors
    /// When it cannot be told: then nothing of it may be shown.
    pub(crate) fn withholds(&self, dir: &Dir) -> Result<bool, Errno> {
        let Some(withheld) = self.withheld_now()? else { return Ok(false) };
        let is_in = |(withheld, at): (PathBuf, PathBuf)| at.starts_with(withheld);
        Ok(dir.lies_in(withheld, self.0.top.id())? || self.paths(dir)?.is_some_and(is_in))
    }

    /// Whether the object of that name in a directory is the one that is withheld.
    ///
    /// # Errors
    /// As [`Root::withholds`].
    pub(crate) fn withholds_name(&self, dir: &Dir, name: &[u8], found: &FileIdentity) -> Result<bool, Errno> {
        let Some(withheld) = self.withheld_now()? else { return Ok(false) };
        let is_it = |(withheld, at): (PathBuf, PathBuf)| at.join(OsStr::from_bytes(name)) == withheld;
        Ok(withheld == ObjectId { dev: found.dev, ino: found.ino } || self.paths(dir)?.is_some_and(is_it))
    }

    /// Where the withheld directory lies, and where that one does, on a file system whose numbers do not tell them apart.
    fn paths(&self, dir: &Dir) -> Result<Option<(PathBuf, PathBuf)>, Errno> {
        let Some(withheld) = self.0.withheld.as_ref().filter(|_| !dir.file_system().keeps_numbers()) else {
            return Ok(None);
        };
        let there = canonical(withheld).if_there()?;
        Ok(there.zip(dir.path_now()))
    }

    /// What has the path of the withheld directory now; `None` for nothing.
    fn withheld_now(&self) -> Result<Option<ObjectId>, Errno> {
        let Some(path) = self.0.withheld.as_deref() else { return Ok(None) };
        match rustix::fs::stat(path) {
            Err(error) if is_absent(&error.into()) => Ok(None),
            found => Ok(Some(ObjectId::of(&found?))),
        }
    }
}

fn canonical(path: &Path) -> Result<PathBuf, Errno> {
    path.canonicalize().map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
}
