//! The names in a directory, in byte order, in as much memory as there is for them.

use std::any::Any;
use std::collections::BinaryHeap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::vec;

use rustix::fs::FileType;
use rustix::io::Errno;

use super::dir::Dir;
use super::part_name::is_part_name;

/// What a name takes beside its own bytes: its place in a vector, also while that moves to a larger one, and what the
/// allocator adds.
const NAME_BYTES: usize = 64;

/// Memory that is there for the names of any directory.
const PIECE_BYTES_MIN: usize = 4 << 10;

/// The least that is asked for beyond that at a time.
const STEP_BYTES_MIN: usize = 16 << 10;

/// The memory that was taken; it is given back when this is dropped.
type Taken = Box<dyn Any + Send>;

/// Memory for the names of directories. Whoever may make files decides how many there are, and how long they are.
#[derive(Clone, Default)]
pub(crate) struct NameRoom(Option<Arc<dyn Fn(usize) -> Option<Taken> + Send + Sync>>);

impl NameRoom {
    /// As much as is needed: for whoever reads directories of their own.
    pub(crate) fn unbounded() -> Self {
        Self::default()
    }

    /// `take` takes so many bytes, if they are there, until what it returns is dropped.
    pub(crate) fn new<T: Send + 'static>(take: impl Fn(usize) -> Option<T> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(move |bytes| take(bytes).map(|taken| Box::new(taken) as Taken))))
    }

    /// So many bytes, for whoever walks for nobody.
    pub(crate) fn at_most(bytes: usize) -> Self {
        let left = Arc::new(Mutex::new(bytes));
        Self::new(move |bytes| {
            let mut now = left.lock().unwrap_or_else(PoisonError::into_inner);
            *now = now.checked_sub(bytes)?;
            Some(RoomPart { left: Arc::clone(&left), bytes })
        })
    }

    fn take(&self, bytes: usize, taken: &mut Vec<Taken>) -> bool {
        let Some(take) = &self.0 else { return true };
        let more = take(bytes);
        let is_there = more.is_some();
        taken.extend(more);
        is_there
    }
}

impl fmt::Debug for NameRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "NameRoom(bounded)" } else { "NameRoom(unbounded)" })
    }
}

/// A part of what there is; given back when dropped.
struct RoomPart {
    left: Arc<Mutex<usize>>,
    bytes: usize,
}

impl Drop for RoomPart {
    fn drop(&mut self) {
        *self.left.lock().unwrap_or_else(PoisonError::into_inner) += self.bytes;
    }
}

/// The names of a directory that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NamesRead {
    /// Those of part files.
    Parts,
    /// All others.
    Others,
    /// Those of the others that may be directories: not every file system says it with the name.
    Directories,
}

impl NamesRead {
    /// Part files are ours and nobody else's; a directory is its user's, whatever it is called.
    fn has(self, name: &[u8], kind: FileType) -> bool {
        let is_part = is_part_name(name) && kind != FileType::Directory;
        match self {
            Self::Parts => is_part,
            Self::Others => !is_part,
            Self::Directories => !is_part && matches!(kind, FileType::Directory | FileType::Unknown),
        }
    }
}

/// Some of the names in one directory. Where there is no room for all, the first are read, and the
/// directory once more for those that follow them: that takes time instead of memory, and needs nobody's patience but that
/// of who asked for it.
pub(crate) struct DirNames {
    dir: Arc<Dir>,
    room: NameRoom,
    read: NamesRead,
    /// How many others there were.
    others: usize,
    piece: vec::IntoIter<Box<[u8]>>,
    /// Where the piece ended, if it did not hold all.
    last: Option<Box<[u8]>>,
    taken: Vec<Taken>,
}

impl DirNames {
    pub(crate) fn of(dir: &Arc<Dir>, read: NamesRead, room: &NameRoom) -> Result<Self, Errno> {
        let (dir, room) = (Arc::clone(dir), room.clone());
        let mut names =
            Self { dir, room, read, others: 0, piece: Vec::new().into_iter(), last: None, taken: Vec::new() };
        names.read(None)?;
        Ok(names)
    }

    /// How many other names there were when the directory was read last.
    pub(crate) fn others(&self) -> usize {
        self.others
    }

    /// Reads the names behind `after`, as many as there is room for.
    fn read(&mut self, after: Option<&[u8]>) -> Result<(), Errno> {
        self.piece = Vec::new().into_iter();
        self.taken.clear();
        let mut piece = Piece { names: KeptNames::All(Vec::new()), bytes: 0, limit: PIECE_BYTES_MIN };
        self.others = self.dir.each_name(self.read, |name| {
            if after.is_none_or(|after| name > after) {
                piece.add(name, |bytes| self.room.take(bytes, &mut self.taken));
            }
        })?;
        let is_all = matches!(piece.names, KeptNames::All(_));
        let mut names = piece.names.into_vec();
        names.sort_unstable();
        self.last = names.last().filter(|_| !is_all).cloned();
        self.piece = names.into_iter();
        Ok(())
    }
}

impl Iterator for DirNames {
    type Item = Result<Box<[u8]>, Errno>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(name) = self.piece.next() {
            return Some(Ok(name));
        }
        let last = self.last.take()?;
        match self.read(Some(&last)) {
            Ok(()) => self.piece.next().map(Ok),
            Err(error) => Some(Err(error)),
        }
    }
}

impl fmt::Debug for DirNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Names").field("dir", &self.dir).field("ready", &self.piece.len()).finish_non_exhaustive()
    }
}

/// Names that are read together.
struct Piece {
    names: KeptNames,
    bytes: usize,
    /// How many they may take.
    limit: usize,
}

enum KeptNames {
    All(Vec<Box<[u8]>>),
    /// There was no room for all.
    Least(BinaryHeap<Box<[u8]>>),
}

impl KeptNames {
    fn into_vec(self) -> Vec<Box<[u8]>> {
        match self {
            Self::All(names) => names,
            Self::Least(names) => names.into_vec(),
        }
    }
}

impl Piece {
    /// Keeps a name, or the least of all names so far where `take` has no room for it.
    fn add(&mut self, name: &[u8], take: impl FnMut(usize) -> bool) {
        let bytes = NAME_BYTES + name.len();
        if let KeptNames::All(names) = &mut self.names {
            if self.limit - self.bytes >= bytes || widen(&mut self.limit, take) {
                names.push(name.into());
                self.bytes += bytes;
                return;
            }
            self.names = KeptNames::Least(std::mem::take(names).into());
        }
        let KeptNames::Least(least) = &mut self.names else { return };
        if least.peek().is_some_and(|largest| **largest <= *name) {
            return;
        }
        least.push(name.into());
        self.bytes += bytes;
        while self.bytes > self.limit
            && let Some(largest) = least.pop()
        {
            self.bytes -= NAME_BYTES + largest.len();
        }
    }
}

/// A step is never too small for a name.
fn widen(limit: &mut usize, mut take: impl FnMut(usize) -> bool) -> bool {
    let step = (*limit / 4).max(STEP_BYTES_MIN);
    let is_there = take(step);
    *limit += if is_there { step } else { 0 };
    is_there
}

impl Dir {
    /// Calls `each` with some of the names, in no order; gives how many it was not called with.
    fn each_name(&self, read: NamesRead, mut each: impl FnMut(&[u8])) -> Result<usize, Errno> {
        let mut others = 0;
        for entry in self.entries()? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            if read.has(name, entry.file_type()) {
                each(name);
            } else {
                others += 1;
            }
        }
        Ok(others)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::protocol::path::COMPONENT_BYTES_MAX;
    use crate::storage::testing::TestRoot;

    const COUNT: usize = 2000;

    fn place() -> (TestRoot, Vec<Box<[u8]>>) {
        let place = TestRoot::new();
        // Of all lengths, and not in the order of their numbers.
        let name = |number: usize| format!("{}{}", number * 7919 % COUNT, "x".repeat(number % 200));
        let mut names: Vec<Box<[u8]>> = (0..COUNT).map(|number| name(number).into_bytes().into()).collect();
        names.iter().for_each(|name| place.write(std::str::from_utf8(name).unwrap(), b""));
        names.sort_unstable();
        (place, names)
    }

    fn read(place: &TestRoot, room: &NameRoom) -> Vec<Box<[u8]>> {
        let dir = Arc::new(Dir::open(&place.path("")).unwrap());
        DirNames::of(&dir, NamesRead::Others, room).unwrap().map(Result::unwrap).collect()
    }

    #[test]
    fn a_directory_of_more_names_than_there_is_room_for_is_read_in_pieces() {
        let (place, names) = place();
        let all: usize = names.iter().map(|name| NAME_BYTES + name.len()).sum();
        for bytes in [0, STEP_BYTES_MIN, all / 3, 2 * all] {
            let room = NameRoom::at_most(bytes);
            assert!(read(&place, &room) == names, "{bytes} bytes");
            assert!(bytes == 0 || room.take(bytes, &mut Vec::new()), "all is given back");
        }
        let (asked, noted) = (Arc::new(AtomicUsize::new(0)), NameRoom::at_most(2 * all));
        let sum = asked.clone();
        let room = NameRoom::new(move |bytes| {
            sum.fetch_add(bytes, Ordering::Relaxed);
            let mut taken = Vec::new();
            noted.take(bytes, &mut taken).then_some(taken)
        });
        assert!(read(&place, &room) == names);
        let most = asked.load(Ordering::Relaxed);
        assert!((all - PIECE_BYTES_MIN..=all * 5 / 4 + STEP_BYTES_MIN).contains(&most), "{most} bytes for {all}");
        assert!(read(&place, &NameRoom::unbounded()) == names);
    }

    #[test]
    fn what_comes_and_goes_while_a_directory_is_read_hides_no_other_name() {
        let (place, names) = place();
        let dir = Arc::new(Dir::open(&place.path("")).unwrap());
        let mut read = Vec::new();
        for (number, name) in DirNames::of(&dir, NamesRead::Others, &NameRoom::at_most(0)).unwrap().enumerate() {
            let name = name.unwrap();
            if number % 50 == 0 {
                dir.remove(&name).unwrap();
                place.write(&format!("0 new {number}"), b"");
            }
            read.push(name);
        }
        read.retain(|name| !name.starts_with(b"0 new"));
        assert!(read == names);
    }

    #[test]
    fn the_longest_names_come_one_by_one_where_there_is_room_for_nothing_else() {
        const { assert!(PIECE_BYTES_MIN > 3 * (NAME_BYTES + COMPONENT_BYTES_MAX)) };
        let place = TestRoot::new();
        let mut names: Vec<_> = ('a'..='z').map(|letter| letter.to_string().repeat(COMPONENT_BYTES_MAX)).collect();
        names.reverse();
        names.iter().for_each(|name| place.write(name, b""));
        names.reverse();
        assert!(read(&place, &NameRoom::at_most(0)).iter().map(|name| &**name).eq(names.iter().map(String::as_bytes)));
    }
}
