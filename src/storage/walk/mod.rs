//! Finds files: lazily, in order, and never outside their root.
//!
//! | file | holds |
//! |---|---|
//! | `entry` | something that a walk came across, and what is said of it |
//! | `frame` | a directory on the way down |
//! | `follow`, `special` | links that stand for their targets; files without content that could be sent |
//! | `excluded`, `left_out` | names that filters leave out; the directory that the files go to |

mod entry;
mod excluded;
mod follow;
mod frame;
mod left_out;
mod special;

use std::collections::VecDeque;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::thread;

use rustix::io::Errno;

use crate::protocol::message::{Failure, Kind, Status};

pub(crate) use self::entry::WalkEntry;
use self::entry::problem;
use self::excluded::Excluded;
use self::frame::{DirListing, Frame, below, joined};
use self::left_out::destination_left_out;
pub(crate) use self::left_out::{LeftOut, Recognise};
use self::special::{kind_of, special, special_kind, special_left_out};
use super::cause::Refusal;
use super::dir::Dir;
use super::error::{FILES_WAIT, Op, StorageError, Tries, patiently};
use super::filter::Filters;
use super::names::{NameRoom, NamesRead};
use super::request::{Trees, WalkRequest};

/// The rule for symbolic links inside a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// They are left out, with a note.
    Skip,
    /// They go as links where they point into the tree that is walked; the others are left out, with a note.
    Copy,
    /// They are found as links, wherever they point: for whoever only looks.
    List,
    /// What they lead to goes in their place, also from outside the tree: only where the user of this machine says so.
    Follow,
}

/// Walks requests one after the other: names in byte order, a directory before what is in it. Part files are left out; of a
/// walk that is to be read a note says how many. Memory is that of the names of the directories on the way down; see
/// [`Walk::in_room`].
pub(crate) fn walk(requests: Vec<WalkRequest>, filters: Filters, links: Links) -> Walk {
    Walk {
        requests: requests.into(),
        filters: Excluded::by(filters),
        links,
        frames: Vec::new(),
        names: NamesRead::Others,
        shallow: false,
        reads: false,
        one_file_system: false,
        left_out: LeftOut::default(),
        followed: None,
        room: NameRoom::unbounded(),
        tries: Tries::default(),
        is_over: IsOver(Arc::new(|| false)),
    }
}

/// The iterator of [`walk`].
#[derive(Debug)]
pub(crate) struct Walk {
    requests: VecDeque<WalkRequest>,
    filters: Excluded,
    links: Links,
    frames: Vec<Frame>,
    /// The names that are looked at.
    names: NamesRead,
    /// Directories below the top of a tree are listed, not entered.
    shallow: bool,
    /// The files that are found will be read.
    reads: bool,
    /// Directories of another file system are not entered.
    one_file_system: bool,
    /// A directory that is not entered, wherever it is by now.
    left_out: LeftOut,
    /// Where links have led to.
    followed: Option<Trees>,
    /// For the names of the directories on the way down.
    room: NameRoom,
    /// How often it has waited for a descriptor for the next directory.
    tries: Tries,
    is_over: IsOver,
}

/// Whether nobody wants what a walk finds any more.
struct IsOver(Arc<dyn Fn() -> bool + Send + Sync>);

impl fmt::Debug for IsOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IsOver({})", (self.0)())
    }
}

impl Iterator for Walk {
    type Item = WalkEntry;

    fn next(&mut self) -> Option<WalkEntry> {
        loop {
            match self.step() {
                ControlFlow::Continue(None) => {}
                ControlFlow::Continue(found) => return found,
                ControlFlow::Break(()) => return self.conclusion(),
            }
        }
    }
}

impl Walk {
    /// One more request, walked after those before it.
    pub(crate) fn add(&mut self, request: WalkRequest) {
        self.requests.push_back(request);
    }

    /// Goes on by one name, which may be one that is left out; `Break` at the end. For whoever has to look whether the
    /// walk is still wanted, which a walk that finds nothing would not ask.
    pub(crate) fn step(&mut self) -> ControlFlow<(), Option<WalkEntry>> {
        if !self.frames.is_empty() {
            return ControlFlow::Continue(self.advance());
        }
        match self.requests.pop_front() {
            Some(request) => ControlFlow::Continue(self.start(request)),
            None => ControlFlow::Break(()),
        }
    }

    /// At the end of everything: that the filters have left nothing, and which of them. Once.
    pub(crate) fn conclusion(&mut self) -> Option<WalkEntry> {
        self.filters.conclusion()
    }

    /// The same walk, without going into the directories that it finds.
    pub(crate) fn shallow(mut self) -> Self {
        self.shallow = true;
        self
    }

    /// The same walk, which looks at nothing that the directory above says is no directory.
    pub(crate) fn of_directories(mut self) -> Self {
        self.names = NamesRead::Directories;
        self
    }

    /// The same walk with no more memory for names than there is in `room`: a directory that has more of them is read more
    /// than once.
    pub(crate) fn in_room(mut self, room: NameRoom) -> Self {
        self.room = room;
        self
    }

    /// The same walk of files that will be read: a file that is called empty and is not becomes a problem.
    pub(crate) fn of_files_to_read(mut self) -> Self {
        self.reads = true;
        self
    }

    /// The same walk, in which each request stays on the file system that it begins on: a directory on which another one
    /// is mounted is found, and what is in it is not.
    pub(crate) fn on_one_file_system(mut self, stays: bool) -> Self {
        self.one_file_system = stays;
        self
    }

    /// The same walk, which waits for nothing once `is_over` says that nobody wants what it finds.
    pub(crate) fn until(mut self, is_over: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        self.is_over = IsOver(Arc::new(is_over));
        self
    }

    fn start(&mut self, request: WalkRequest) -> Option<WalkEntry> {
        let WalkRequest { root, at, name, whole, named } = request;
        let (Some(at), Some(name)) = (&at, &name) else {
            self.frames.push(Frame { root, at, name, depth: 0, device: None, listing: DirListing::Top });
            return None;
        };
        let meta = match patiently(|| root.stat(at), || self.is_over()) {
            Ok(Some(meta)) => meta,
            Ok(None) => return problem(name.as_bytes(), StorageError::new(Op::Open, at.as_path(), Errno::NOENT)),
            Err(error) if error.status() == Status::Unsupported && named => return special(&root, at, name),
            Err(error) if error.status() == Status::Unsupported => return special_left_out(name, kind_of(&root, at)),
            Err(error) => return problem(name.as_bytes(), error),
        };
        if self.filters.leaves_out(name, meta.kind == Kind::Dir) {
            return None;
        }
        let is_left_out = match self.is_left_out(&root, at, &meta) {
            Ok(is_left_out) => is_left_out,
            Err(error) => return problem(name.as_bytes(), error),
        };
        if is_left_out && !named {
            return destination_left_out(name);
        }
        if is_left_out {
            let failure =
                Failure::new(Status::BadName, "it is where the files go; name what is in it, or another place");
            return Some(WalkEntry::Problem { name: name.as_bytes().to_vec(), failure });
        }
        if meta.kind == Kind::Dir && whole {
            let (at, name) = (Some(at.clone()), Some(name.clone()));
            self.frames.push(Frame { root: root.clone(), at, name, depth: 0, device: None, listing: DirListing::Top });
        }
        self.judge(&root, at.clone(), name.clone(), meta, 0)
    }

    /// One step in the innermost directory.
    fn advance(&mut self) -> Option<WalkEntry> {
        let frame = self.frames.last_mut()?;
        let (dir, names) = match &mut frame.listing {
            DirListing::Open(dir, names) => (dir, names),
            DirListing::Top | DirListing::In(_) => {
                let Err(error) = frame.open(self.names, &self.room) else {
                    self.tries = Tries::default();
                    return None;
                };
                if !self.is_over() && self.tries.go_on(&error) {
                    thread::sleep(FILES_WAIT);
                    return None;
                }
                let frame = self.frames.pop()?;
                return problem(&frame.shown_name(), error);
            }
        };
        let last = match names.next() {
            Some(Ok(last)) => last,
            None => {
                let unfinished = names.others();
                let frame = self.frames.pop()?;
                return (self.reads && unfinished > 0).then(|| frame.unfinished(unfinished));
            }
            Some(Err(errno)) => {
                let error = frame.failed(errno);
                return problem(&self.frames.pop()?.shown_name(), error);
            }
        };
        let dir = Arc::clone(dir);
        if !frame.root.shows(&dir, &last) {
            return None;
        }
        self.visit(&dir, &last)
    }

    fn visit(&mut self, dir: &Arc<Dir>, last: &[u8]) -> Option<WalkEntry> {
        let frame = self.frames.last()?;
        let at = below(frame.at.as_ref(), last);
        // Where what is in a tree is sent, and not the tree itself, it has the same name there.
        let name = if frame.at == frame.name { at.clone() } else { below(frame.name.as_ref(), last) };
        let (at, name) = match (at, name) {
            (Ok(at), Ok(name)) => (at, name),
            (Err(failure), _) | (_, Err(failure)) => {
                return Some(WalkEntry::Problem { name: joined(frame.name.as_ref(), last), failure });
            }
        };
        let meta = match dir.meta(last) {
            Ok(meta) => meta,
            // Filters are for everything, and what is left out is no problem.
            Err(_) if self.filters.leaves_out(&name, false) => return None,
            Err(error) if Refusal::of(&error) == Some(Refusal::NotTransferable) => {
                let what = dir.stat(last).map_or("special file", |found| special_kind(&found));
                return special_left_out(&name, what);
            }
            Err(error) => return problem(name.as_bytes(), StorageError::new(Op::Stat, at.as_path(), error)),
        };
        if let (Kind::Link(target), Links::Follow) = (&meta.kind, self.links) {
            return self.follow(dir, last, target, name);
        }
        if self.filters.leaves_out(&name, meta.kind == Kind::Dir) {
            return None;
        }
        let frame = self.frames.last()?;
        match frame.root.withholds(dir, last, &meta) {
            Ok(false) => {}
            Ok(true) => return None,
            Err(errno) => return problem(name.as_bytes(), StorageError::new(Op::Stat, at.as_path(), errno)),
        }
        match self.is_left_out_below(&frame.root, &at, &meta) {
            Ok(false) => {}
            Ok(true) => return destination_left_out(&name),
            Err(error) => return problem(name.as_bytes(), error),
        }
        let (root, depth, device) = (frame.root.clone(), frame.depth, frame.device);
        let is_mounted = device.is_some_and(|device| device != meta.identity.dev);
        if meta.kind == Kind::Dir && !self.shallow && !(self.one_file_system && is_mounted) {
            let (root, listing) = (root.clone(), DirListing::In(Arc::clone(dir)));
            let (at, name) = (Some(at.clone()), Some(name.clone()));
            self.frames.push(Frame { root, at, name, depth: depth + 1, device, listing });
        }
        self.judge(&root, at, name, meta, depth)
    }

    /// Whether nobody wants what is found any more: then nothing is waited for.
    fn is_over(&self) -> bool {
        (self.is_over.0)()
    }
}

#[cfg(test)]
mod tests;
