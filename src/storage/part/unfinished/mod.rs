//! Unfinished files: which there are in a tree, how old they are, and their removal.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fs::File;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustix::fs::{FileType, OFlags, Stat};
use rustix::io::Errno;

use super::lock::lock;
use super::open::{is_ours, named};
use crate::protocol::message::{Failure, Kind, Status};
use crate::protocol::path::WirePath;
use crate::storage::cause::{Cause as _, ThereOrNot as _};
use crate::storage::dir::Dir;
use crate::storage::error::{Op, failed, patiently};
use crate::storage::filter::Filters;
use crate::storage::meta::{ObjectId, StatFacts};
use crate::storage::names::{DirNames, NameRoom, NamesRead};
use crate::storage::part_name::{NamedOwner, PartName, REPLACED, ends_like_a_part, part_name};
use crate::storage::request::WalkRequest;
use crate::storage::root::Tree;
use crate::storage::walk::{Links, Walk, WalkEntry, walk};

/// A partial file that an earlier transfer has left, or that one is writing now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unfinished {
    /// The file that it is to become; a name that is nearly as long as names can be is cut.
    pub path: WirePath,
    /// Bytes that are there.
    pub size: u64,
    /// How long ago it was last written to.
    pub age: Duration,
    /// Whether it is kept, is removed, or could not be.
    pub fate: Fate,
}

/// The fate of an unfinished file in a search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    Kept,
    Removed,
    /// It was to be removed and is there still.
    Left(Failure),
}

/// An unfinished file, or a directory that cannot be searched.
pub(crate) type Looked = Result<Unfinished, (Vec<u8>, Failure)>;

/// Whether what is found is removed, and for whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Removal {
    /// It is only looked at.
    None,
    /// For a client: what anyone may continue, or it alone.
    ByClient,
    /// For the server that made them: whoever may continue them.
    ByServer,
    /// For the user of this machine, to whom the system says what he may.
    ByUser,
}

/// Where the file system knows no locks, nobody can tell whether another process writes to a part that is younger.
const STILL_AFTER: Duration = Duration::from_secs(60 * 60);

/// Looks for unfinished files, lazily: below a directory, or those of one file.
#[derive(Debug)]
pub(crate) struct PartSearch {
    tree: Tree,
    /// The directory where it begins; `None` is the top.
    top: Option<WirePath>,
    is_begun: bool,
    /// Goes into all directories below that.
    walk: Walk,
    /// Only those of the file of this name.
    target: Option<Vec<u8>>,
    owner: Option<String>,
    older: Duration,
    removal: Removal,
    /// In the directory that is searched now.
    parts: Option<ListedDir>,
    room: NameRoom,
    complaints: VecDeque<Looked>,
}

/// A directory and the part files in it. Anybody may have left any number of them, so they are looked at one by one.
#[derive(Debug)]
struct ListedDir {
    dir: Arc<Dir>,
    at: Option<WirePath>,
    names: DirNames,
}

impl PartSearch {
    /// Looks below `below`, which need not be a directory: then it is the name of the file that is not finished. Links lead
    /// nowhere, and what the tree does not show is not there.
    pub(crate) fn new(tree: Tree, below: Option<WirePath>) -> Self {
        let mut complaints = VecDeque::new();
        let is_dir = below.as_ref().is_none_or(|at| match patiently(|| tree.stat(at), || false) {
            Ok(found) => found.is_some_and(|meta| meta.kind == Kind::Dir),
            Err(error) => {
                // What cannot be looked at for good is told of by whoever asks for it by name.
                let is_told = !error.kind_of_failure().is_answer();
                complaints.extend(is_told.then(|| Err((at.as_bytes().to_vec(), error.into()))));
                false
            }
        });
        let (top, target) = match below {
            Some(file) if !is_dir => (file.parent(), Some(file.name().to_vec())),
            dir => (dir, None),
        };
        let everything =
            WalkRequest { root: tree.clone(), at: top.clone(), name: top.clone(), whole: true, named: true };
        let requests = if target.is_none() { vec![everything] } else { Vec::new() };
        Self {
            tree,
            top,
            is_begun: false,
            walk: walk(requests, Filters::none(), Links::Skip).of_directories(),
            target,
            owner: None,
            older: Duration::ZERO,
            removal: Removal::None,
            parts: None,
            room: NameRoom::unbounded(),
            complaints,
        }
    }

    /// Only what this owner alone may continue, and no word of anything else.
    #[must_use]
    pub(crate) fn of(mut self, owner: Option<String>) -> Self {
        self.owner = owner;
        self
    }

    /// Only what was not written to for so long.
    #[must_use]
    pub(crate) fn older(mut self, age: Duration) -> Self {
        self.older = age;
        self
    }

    /// With no more memory for names than there is in `room`.
    #[must_use]
    pub(crate) fn in_room(mut self, room: NameRoom) -> Self {
        self.walk = self.walk.in_room(room.clone());
        self.room = room;
        self
    }

    /// Removes what is found.
    #[must_use]
    pub(crate) fn removing(mut self, removal: Removal) -> Self {
        self.removal = removal;
        self
    }

    /// Goes on by one name, which may be none of a part; `Break` at the end. For whoever has to look whether the search is
    /// still wanted. An error comes with the directory that cannot be searched.
    pub(crate) fn step(&mut self) -> ControlFlow<(), Option<Looked>> {
        if let Some(complaint) = self.complaints.pop_front() {
            return ControlFlow::Continue(Some(complaint));
        }
        if let Some(mut parts) = self.parts.take() {
            // One that may not be listed is told of by the walk, which wants to.
            let Some(Ok(name)) = parts.names.next() else { return ControlFlow::Continue(None) };
            let found = self.judge(&parts.dir, parts.at.as_ref(), &name);
            self.parts = Some(parts);
            return ControlFlow::Continue(found);
        }
        if !self.is_begun {
            self.is_begun = true;
            self.search(self.top.clone().as_ref());
            return ControlFlow::Continue(None);
        }
        match self.walk.step()? {
            Some(WalkEntry::File { at, meta, .. }) if meta.kind == Kind::Dir && Some(&at) != self.top.as_ref() => {
                self.search(Some(&at));
            }
            // What only ends like a part is its user's, and a directory of that name holds no file of ours.
            Some(WalkEntry::Problem { name, .. }) if ends_like_a_part(&name) => {}
            Some(WalkEntry::Problem { name, failure }) => self.complain(&name, failure),
            Some(WalkEntry::File { .. } | WalkEntry::Note(_)) | None => {}
        }
        ControlFlow::Continue(None)
    }

    fn complain(&mut self, name: &[u8], failure: Failure) {
        if self.owner.is_none() {
            self.complaints.push_back(Err((name.to_vec(), failure)));
        }
    }

    fn search(&mut self, at: Option<&WirePath>) {
        let shown = at.map_or_else(|| Path::new("."), WirePath::as_path);
        let look = || {
            let dir = self.tree.open_dir(at)?;
            let names = DirNames::of(&dir, NamesRead::Parts, &self.room).map_err(failed(Op::List, shown));
            Ok((dir, names))
        };
        match patiently(look, || false) {
            Ok((dir, Ok(names))) => self.parts = Some(ListedDir { dir, at: at.cloned(), names }),
            // The walk tells of one that may not be listed, for it wants to.
            Ok((_, Err(error))) if error.kind_of_failure().is_answer() && self.target.is_none() => {}
            Ok((_, Err(error))) | Err(error) => self.complain(shown.as_os_str().as_encoded_bytes(), error.into()),
        }
    }

    /// What a part is, and what becomes of it; `None` when it is none that is looked for.
    fn judge(&self, dir: &Dir, at: Option<&WirePath>, name: &[u8]) -> Option<Looked> {
        let read = PartName::parse(name).filter(|read| self.tree.shows(dir, read.target))?;
        if self
            .target
            .as_ref()
            .is_some_and(|target| read.target != target && *part_name(target, dir.longest_name()) != *name)
        {
            return None;
        }
        if let Some(owner) = &self.owner
            && read.owner != NamedOwner::Only(owner.as_bytes())
        {
            return None;
        }
        let path = match at {
            Some(at) => WirePath::parse(&[at.as_bytes(), b"/", read.target].concat()).ok()?,
            None => WirePath::parse(read.target).ok()?,
        };
        let there = match dir.stat(name).if_had() {
            Ok(there) => there.filter(is_plain)?,
            Err(errno) => return Some(Err((path.as_bytes().to_vec(), failed(Op::Stat, path.as_path())(errno).into()))),
        };
        let facts = StatFacts::of(&there);
        let age = age_of(&there);
        if age < self.older {
            return None;
        }
        let fate = match self.removal {
            Removal::None => Fate::Kept,
            removal => match self.remove(removal, dir, name, &there, &read).transpose()? {
                Ok(()) => Fate::Removed,
                Err(failure) => Fate::Left(failure),
            },
        };
        Some(Ok(Unfinished { path, size: facts.size, age, fate }))
    }

    /// Whether it may be removed, by what is known without opening it.
    fn check_removal(&self, removal: Removal, dir: &Dir, there: &Stat, read: &PartName<'_>) -> Result<(), Failure> {
        if removal == Removal::ByClient && self.owner.is_none() && matches!(read.owner, NamedOwner::Only(_)) {
            return Err(Failure::new(Status::NotAllowed, "only the client that began it may remove it"));
        }
        let failed = |errno| failed(Op::Remove, Path::new(OsStr::from_bytes(read.target)))(errno);
        if removal != Removal::ByUser && !is_ours(dir, there).map_err(failed)? {
            return Err(Failure::new(Status::NotAllowed, "it belongs to another user of that machine"));
        }
        // What a file was to replace; that has not got its name, so this is the only version that has been whole.
        if read.owner == NamedOwner::Only(REPLACED) && !dir.has(read.target).map_err(failed)? {
            let why = "it is what the file was before, and there is no newer one; rename it";
            return Err(Failure::new(Status::Busy, why));
        }
        Ok(())
    }

    /// Removes a part; `None` when it is not there any more, for it has become the file.
    fn remove(
        &self,
        removal: Removal,
        dir: &Dir,
        name: &[u8],
        there: &Stat,
        read: &PartName<'_>,
    ) -> Result<Option<()>, Failure> {
        self.check_removal(removal, dir, there, read)?;
        let shown = Path::new(OsStr::from_bytes(read.target));
        let file = match open(dir, name) {
            Err(Errno::NOENT) => return Ok(None),
            opened => opened.map_err(failed(Op::Remove, shown))?,
        };
        // A writer holds the lock, and looks at the name again once it has it.
        let held = lock(&file, dir, name, shown)?;
        if held.is_some() && age_of(there) < STILL_AFTER {
            return Err(Failure::new(Status::Busy, "nobody can tell whether it is being written; it is young"));
        }
        // It may be another one by now than the one that was looked at.
        let opened = rustix::fs::fstat(&file).map_err(failed(Op::Remove, shown))?;
        if !is_plain(&opened) || opened.st_uid != there.st_uid || age_of(&opened) < self.older {
            return Ok(None);
        }
        match named(dir, name, &file, ObjectId::of(&opened)).map_err(failed(Op::Remove, shown))? {
            Some(found) if is_plain(&found) => {
                dir.remove_open(name, || drop(file)).map(Some).map_err(|error| failed(Op::Remove, shown)(error).into())
            }
            Some(_) | None => Ok(None),
        }
    }
}

fn open(dir: &Dir, name: &[u8]) -> Result<File, Errno> {
    match dir.open_file(name, OFlags::RDWR) {
        // It had got the mode of its file, read-only, when its process died.
        Err(Errno::ACCESS) => dir.open_file(name, OFlags::RDONLY),
        opened => opened,
    }
}

/// Whether it is a file that has no other name.
fn is_plain(found: &Stat) -> bool {
    FileType::from_raw_mode(found.st_mode) == FileType::RegularFile && found.st_nlink <= 1
}

fn age_of(found: &Stat) -> Duration {
    let written = u64::try_from(StatFacts::of(found).mtime.secs).map_or(SystemTime::UNIX_EPOCH, |secs| {
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(secs)).unwrap_or_else(SystemTime::now)
    });
    SystemTime::now().duration_since(written).unwrap_or_default()
}

#[cfg(test)]
mod tests;
