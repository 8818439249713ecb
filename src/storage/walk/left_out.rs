//! The directory that the files of a walk go to: sent into itself it would grow with each run.

use std::fmt;
use std::path::{Path, PathBuf};

use super::{DirListing, Frame, Walk, WalkEntry};
use crate::protocol::message::Kind;
use crate::protocol::path::WirePath;
use crate::storage::cause::ThereOrNot as _;
use crate::storage::dir::Dir;
use crate::storage::error::{Op, StorageError, failed, patiently};
use crate::storage::meta::{Meta, ObjectId};
use crate::storage::root::Tree;

/// Whether the files go to the directory of that path below a directory, of which is given what it is known by: its device, and
/// usually its number. The path may be empty.
pub(crate) type Recognise = dyn Fn(u64, u64, &[u8]) -> bool + Send;

/// A directory that a walk leaves out, which need not exist when it begins.
#[derive(Default)]
pub(crate) struct LeftOut {
    path: Option<PathBuf>,
    recognise: Option<Box<Recognise>>,
}

impl LeftOut {
    /// The one that has this path, if any.
    pub(crate) fn at(path: Option<PathBuf>) -> Self {
        Self { path, recognise: None }
    }

    /// Also one that is recognised when the walk comes across it.
    #[must_use]
    pub(crate) fn or(self, recognise: Option<Box<Recognise>>) -> Self {
        Self { recognise, ..self }
    }
}

impl fmt::Debug for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeftOut").field("path", &self.path).finish_non_exhaustive()
    }
}

/// A note of it, which nobody has named.
pub(super) fn destination_left_out(name: &WirePath) -> Option<WalkEntry> {
    Some(WalkEntry::Note(format!("{name}: left out, for it is where the files go")))
}

/// Whether a directory is the one that has that path now.
///
/// # Errors
/// When it cannot be told.
fn has_path(path: &Path, id: ObjectId) -> Result<bool, StorageError> {
    let dir = Dir::open(path).if_had().map_err(failed(Op::Open, path))?;
    Ok(dir.is_some_and(|dir| dir.lasting_id() == id))
}

impl Walk {
    /// The same walk without the directory that the files go to.
    pub(crate) fn leaving_out(mut self, destination: LeftOut) -> Self {
        self.left_out = destination;
        self
    }

    /// Whether something that was named, or is found by a link, is where the files go.
    ///
    /// # Errors
    /// When it cannot be told.
    pub(super) fn is_left_out(&self, root: &Tree, at: &WirePath, meta: &Meta) -> Result<bool, StorageError> {
        let LeftOut { path, recognise } = &self.left_out;
        if meta.kind != Kind::Dir || (path.is_none() && recognise.is_none()) {
            return Ok(false);
        }
        let id = patiently(|| root.lasting_id(at, meta), || self.is_over())?;
        // Looked up each time: it may be made while the walk goes on.
        let is_there = |path: &PathBuf| patiently(|| has_path(path, id), || self.is_over());
        let is_at_path = path.as_ref().map_or(Ok(false), is_there)?;
        Ok(is_at_path || recognise.as_ref().is_some_and(|is_it| is_it(id.dev, id.ino, b"")))
    }

    /// The same for the name `at`, which was found in the innermost directory: what is to be made there is known by the
    /// directory above it that was there before.
    ///
    /// # Errors
    /// As [`Walk::is_left_out`].
    pub(super) fn is_left_out_below(&self, root: &Tree, at: &WirePath, meta: &Meta) -> Result<bool, StorageError> {
        let is_left_out = self.is_left_out(root, at, meta)?;
        let Some(is_it) = self.left_out.recognise.as_ref().filter(|_| meta.kind == Kind::Dir) else {
            return Ok(is_left_out);
        };
        // Names are relative to the top of one tree as far as that frame.
        let tops = self.frames.iter().rposition(|frame| frame.depth == 0).unwrap_or_default();
        let is_below = |frame: &Frame| match &frame.listing {
            DirListing::Open(dir, _) => {
                let (id, below) = (dir.lasting_id(), frame.at.as_ref().map_or(0, |above| above.as_bytes().len() + 1));
                at.as_bytes().get(below..).is_some_and(|below| is_it(id.dev, id.ino, below))
            }
            DirListing::Top | DirListing::In(_) => false,
        };
        Ok(is_left_out || self.frames[tops..].iter().any(is_below))
    }
}
