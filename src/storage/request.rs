//! The files that a command line asks to be sent.

use std::collections::HashMap;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::protocol::message::{Failure, Status};
use crate::protocol::path::{PathError, WirePath};

use super::error::{Op, StorageError};
use super::root::{Tree, shown};

/// Most directories that are held open for paths of the command line; files of any more are reached from `/`.
const ROOTS_MAX: usize = 64;

/// Something to walk: a file, or a directory with all in it.
#[derive(Debug, Clone)]
pub(crate) struct WalkRequest {
    /// The tree that it lies in.
    pub root: Tree,
    /// Where in that tree; `None` is everything in it.
    pub at: Option<WirePath>,
    /// Its name on the wire; `None` for a directory whose contents go without it.
    pub name: Option<WirePath>,
    /// Of a directory: what is in it too, and not itself alone.
    pub whole: bool,
    /// Somebody has written this very name, and no pattern that stands for it and others.
    pub named: bool,
}

/// A path that leads to nothing that could be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MissingPath {
    /// As it was given.
    pub path: PathBuf,
    /// The reason, as a status and in words.
    pub failure: Failure,
}

/// Reads paths of a command line by rsync's rule: `dir` is the directory itself, `dir/` (and `.`, `..`) its
/// contents. A link that is named is followed, here and now: whatever is put in its place, or in that of a directory,
/// afterwards is not what was named. The answers are in the order of the paths.
pub(crate) fn local_requests(paths: &[PathBuf]) -> Vec<Result<WalkRequest, MissingPath>> {
    let mut trees = Trees::default();
    let missing = |path: &PathBuf, failure| MissingPath { path: path.clone(), failure };
    paths.iter().map(|path| trees.request(path).map_err(|failure| missing(path, failure))).collect()
}

/// The directories opened so far: thousands of files named one by one share one of them.
#[derive(Debug, Default)]
pub(super) struct Trees(HashMap<PathBuf, Tree>);

impl Trees {
    fn request(&mut self, path: &Path) -> Result<WalkRequest, Failure> {
        let place = path.canonicalize().map_err(|error| cannot_follow(path, error))?;
        let Some(name) = last_component(path) else {
            return Ok(WalkRequest { root: Tree::open(&place)?, at: None, name: None, whole: true, named: true });
        };
        let name = WirePath::parse(name).map_err(|error| bad_name(&error))?;
        self.place(&place, name)
    }

    /// The file at `place`, a path without links, under another name.
    pub(super) fn place(&mut self, place: &Path, name: WirePath) -> Result<WalkRequest, Failure> {
        let (Some(parent), Some(last)) = (place.parent(), place.file_name()) else {
            // A link to `/`: its contents, below the link's name.
            return Ok(WalkRequest { root: Tree::open(place)?, at: None, name: Some(name), whole: true, named: true });
        };
        let (root, at) = if self.0.len() < ROOTS_MAX || self.0.contains_key(parent) {
            (self.open(parent)?, Path::new(last))
        } else {
            (self.open(Path::new("/"))?, place.strip_prefix("/").unwrap_or(place))
        };
        let at = WirePath::from_path(at).map_err(|error| bad_name(&error))?;
        // A directory is what it is now. One that cannot be opened is said to be so by the walk.
        let root = if place.is_dir() { root.narrowed(&at).unwrap_or(root) } else { root };
        Ok(WalkRequest { root, at: Some(at), name: Some(name), whole: true, named: true })
    }

    fn open(&mut self, path: &Path) -> Result<Tree, StorageError> {
        if let Some(tree) = self.0.get(path) {
            return Ok(tree.clone());
        }
        let tree = Tree::open(path)?;
        self.0.insert(path.to_owned(), tree.clone());
        Ok(tree)
    }
}

/// The name that a path gives to what it leads to; `None` when it asks for the contents of a directory.
fn last_component(path: &Path) -> Option<&[u8]> {
    // Not `Path::file_name`, which does not tell `dir/` and `dir/.` from `dir`.
    let raw = path.as_os_str().as_bytes();
    let last = raw.rsplit(|b| *b == b'/').next()?;
    (!matches!(last, b"" | b"." | b"..")).then_some(last)
}

/// The failure of a path whose links cannot be followed.
pub(super) fn cannot_follow(path: &Path, error: io::Error) -> Failure {
    let why = match Errno::from_io_error(&error) {
        Some(Errno::LOOP) => "its symbolic links lead round in a circle",
        Some(Errno::NOTDIR) => "it leads on from a file, which is no directory",
        _ => return StorageError::new(Op::Open, path, error).into(),
    };
    Failure::new(Status::BadName, why)
}

pub(crate) fn bad_name(error: &PathError) -> Failure {
    Failure { status: Status::BadName, detail: error.to_string() }
}

/// The failure of something that is not there.
pub(crate) fn no_such_file(raw: &[u8]) -> Failure {
    let cause = io::Error::from_raw_os_error(Errno::NOENT.raw_os_error());
    StorageError::new(Op::Open, shown(raw), cause).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::testing::{TestRoot, wire};
    use std::fs;
    use std::os::unix::fs::symlink;

    fn one(path: PathBuf) -> Result<WalkRequest, MissingPath> {
        local_requests(&[path]).pop().expect("one answer for one path")
    }

    fn at_and_name(path: PathBuf) -> (Option<WirePath>, Option<WirePath>) {
        let request = one(path).unwrap();
        (request.at, request.name)
    }

    #[test]
    fn a_slash_or_dot_at_the_end_asks_for_the_contents() {
        let place = TestRoot::new();
        place.write("d/e/a", b"x");
        for path in ["d/e/", "d/e/.", "d/e/../e/", "d/e//"] {
            assert_eq!(at_and_name(place.path(path)), (None, None), "{path}");
            assert_eq!(one(place.path(path)).unwrap().root.path(), place.path("d/e").canonicalize().unwrap());
        }
        assert_eq!(one(place.path("d/e/..")).unwrap().root.path(), place.path("d").canonicalize().unwrap());
        for path in ["d/e", "d/../d/e", "d/./e"] {
            assert_eq!(at_and_name(place.path(path)), (Some(wire("e")), Some(wire("e"))), "{path}");
        }
        assert_eq!(at_and_name(place.path("d/e/a")), (Some(wire("a")), Some(wire("a"))));
        assert_eq!(at_and_name(PathBuf::from(".")), (None, None));
        assert_eq!(at_and_name(PathBuf::from("/")), (None, None));
    }

    #[test]
    fn a_link_that_is_named_is_followed_and_keeps_its_name() {
        let place = TestRoot::new();
        place.write("real/file", b"x");
        symlink("real/file", place.path("link")).unwrap();
        symlink("real", place.path("dir")).unwrap();
        symlink("/", place.path("top")).unwrap();
        assert_eq!(at_and_name(place.path("link")), (Some(wire("file")), Some(wire("link"))));
        assert_eq!(at_and_name(place.path("dir")), (Some(wire("real")), Some(wire("dir"))));
        assert_eq!(at_and_name(place.path("top")), (None, Some(wire("top"))));
        symlink("round", place.path("round")).unwrap();
        for (path, why) in [
            ("round", "its symbolic links lead round in a circle"),
            ("link/", "it leads on from a file, which is no directory"),
            ("real/file/x", "it leads on from a file, which is no directory"),
        ] {
            assert_eq!(one(place.path(path)).unwrap_err().failure.to_string(), format!("not possible: {why}"));
        }
    }

    #[test]
    fn what_is_missing_or_reserved_is_said_in_its_place() {
        let place = TestRoot::new();
        place.write("a", b"x");
        place.write("b.qft-part", b"x");
        symlink("nowhere", place.path("dangling")).unwrap();
        let paths = ["missing", "a", "dangling", "b.qft-part", "a/"].map(|name| place.path(name));
        let answers = local_requests(&paths);
        let status = |n: usize| answers[n].as_ref().map(|_| ()).map_err(|missing| missing.failure.status);
        assert_eq!(status(0), Err(Status::NotFound));
        assert_eq!(status(1), Ok(()));
        assert_eq!(status(2), Err(Status::NotFound));
        assert_eq!(status(3), Err(Status::BadName));
        assert_eq!(status(4), Err(Status::BadName));
        assert_eq!(answers[0].as_ref().unwrap_err().path, place.path("missing"));
        assert_eq!(one(PathBuf::new()).unwrap_err().failure.status, Status::NotFound);
    }

    #[test]
    fn files_of_one_directory_share_a_root_and_many_directories_do_not_hold_many_open() {
        let place = TestRoot::new();
        let mut paths = Vec::new();
        for n in 0..ROOTS_MAX + 20 {
            place.write(&format!("{n}/a"), b"x");
            paths.push(place.path(format!("{n}/a")));
        }
        let open = || fs::read_dir("/proc/self/fd").unwrap().count();
        let before = open();
        let requests: Vec<_> = local_requests(&paths).into_iter().map(Result::unwrap).collect();
        // Other tests open files at the same time, but not thousands.
        assert!(open() < before + paths.len() + 200);
        for request in &requests {
            let at = request.at.as_ref().unwrap();
            assert!(request.root.stat(at).unwrap().is_some());
            assert_eq!(request.name, Some(wire("a")));
        }
        assert_eq!(requests.last().unwrap().root.path(), Path::new("/"));
    }
}
