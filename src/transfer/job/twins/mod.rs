//! Names that this disk may take for one, although they differ: `README` and `readme`.
//!
//! Only where the file system is not known to tell all names apart. A name that is like an earlier one of the job waits
//! until that one is settled; then the disk is asked whether it is another spelling of what is there.

mod above;

use std::collections::HashMap;

use unicode_normalization::UnicodeNormalization;

use self::above::TwinDirs;
use crate::protocol::message::FileId;
use crate::protocol::path::WirePath;
use crate::transfer::Room;

/// Most that is remembered of the names of one job, in bytes: some hundred thousand names. A peer could offer any number.
pub const TWIN_BYTES_MAX: usize = 64 << 20;
/// The memory that a name is charged for beside its bytes, with its place in a map. A directory counts as much again.
const NAME_BYTES: usize = 128;

/// The offered names by directory, and what became of the directories above them. Nothing is forgotten before the end of the job,
/// since names of one directory need not come one after the other. Names that there is no room for are left out, and
/// that this happened is remembered.
pub(crate) struct Twins<R> {
    room: R,
    dirs: HashMap<Option<WirePath>, InDirectory>,
    above: TwinDirs,
    /// The memory that the names take.
    bytes: usize,
    /// An earlier connection of the job has given names.
    is_continued: bool,
    /// There was no room for a name.
    lacks_room: bool,
}

/// The first offer of each name in a directory, by the name without case.
type InDirectory = HashMap<String, FirstOffer>;

/// The first offer of a name.
struct FirstOffer {
    name: Box<[u8]>,
    id: FileId,
    /// It may be like one that an earlier connection has given: the disk has not said yet that it is not.
    is_unsure: bool,
}

/// An earlier offer of a name that is like this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Twin {
    pub(crate) path: WirePath,
    pub(crate) id: FileId,
}

/// The meaning of the job's earlier names for one that is offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TwinCheck {
    /// None of them is like it.
    Alone,
    /// This one is like it, and is not it.
    Like(Twin),
    /// It may be like one that is not remembered.
    Unsure,
}

impl<R: Room> Twins<R> {
    /// The names of a job that begins. `room` grows with what is remembered.
    pub(crate) fn new(room: R) -> Self {
        let (dirs, above, bytes, is_continued, lacks_room) = Default::default();
        Self { room, dirs, above, bytes, is_continued, lacks_room }
    }

    /// Notes an offer.
    pub(crate) fn note(&mut self, path: &WirePath, id: FileId) -> TwinCheck {
        self.note_as(path, id, self.is_continued)
    }

    fn note_as(&mut self, path: &WirePath, id: FileId, is_unsure: bool) -> TwinCheck {
        let (dir, key) = (path.parent(), without_case(path.name()));
        let known = self.dirs.get_mut(&dir);
        let of_dir = if known.is_some() { 0 } else { NAME_BYTES + dir.as_ref().map_or(0, |dir| dir.as_bytes().len()) };
        match known.and_then(|names| names.get_mut(&key)) {
            // It waited for something; or its file changed, and it is offered again, by another number.
            Some(first) if *first.name == *path.name() => {
                first.id = id;
                return if first.is_unsure { TwinCheck::Unsure } else { TwinCheck::Alone };
            }
            Some(first) => return first.twin_in(dir.as_ref()).map_or(TwinCheck::Unsure, TwinCheck::Like),
            None => {}
        }
        // One name that is missing is enough for all that come later.
        if self.lacks_room || !self.take(of_dir + NAME_BYTES + key.len() + path.name().len()) {
            self.lacks_room = true;
            return TwinCheck::Unsure;
        }
        self.dirs.entry(dir).or_default().insert(key, FirstOffer { name: path.name().into(), id, is_unsure });
        if is_unsure { TwinCheck::Unsure } else { TwinCheck::Alone }
    }

    /// Notes the directories above an offer, which need not be offered themselves: the list of one may have been out of reach
    /// for a moment. Tells the outermost that is like an earlier one, and is not it.
    pub(crate) fn note_above(&mut self, path: &WirePath, id: FileId) -> Option<(WirePath, Twin)> {
        let above = std::iter::successors(path.parent(), WirePath::parent);
        let unknown: Vec<_> = above.take_while(|dir| !self.has(dir)).collect();
        // The disk is asked for these apart.
        unknown.into_iter().rev().find_map(|dir| match self.note_as(&dir, id, false) {
            TwinCheck::Like(twin) => Some((dir, twin)),
            TwinCheck::Alone | TwinCheck::Unsure => None,
        })
    }

    /// Whether a name was noted in this very spelling. Then those above it were, too.
    fn has(&self, path: &WirePath) -> bool {
        let known = self.dirs.get(&path.parent()).and_then(|names| names.get(&without_case(path.name())));
        known.is_some_and(|first| *first.name == *path.name())
    }

    fn take(&mut self, bytes: usize) -> bool {
        let takes = self.bytes + bytes <= TWIN_BYTES_MAX && self.room.grow(bytes);
        self.bytes += if takes { bytes } else { 0 };
        takes
    }

    /// An offer is none with the first of that name, after all: that is not there, or the disk tells the two apart; or it is the
    /// first itself, and none with any before. It is what later ones are held against, for the first may come again.
    pub(crate) fn take_over(&mut self, path: &WirePath, id: FileId) {
        let known = self.dirs.get_mut(&path.parent()).and_then(|names| names.get_mut(&without_case(path.name())));
        if let Some(first) = known {
            *first = FirstOffer { name: path.name().into(), id, is_unsure: false };
        }
    }

    /// A name that was noted is not given, after all.
    pub(crate) fn forget(&mut self, path: &WirePath) {
        let key = without_case(path.name());
        if let Some(names) = self.dirs.get_mut(&path.parent())
            && names.get(&key).is_some_and(|first| *first.name == *path.name())
        {
            names.remove(&key);
        }
    }

    /// Names have been given already that nobody remembers here.
    pub(crate) fn begin_unsure(&mut self) {
        self.is_continued = true;
        self.above.lacks_refused = true;
    }

    /// Whether there may be a name that is not remembered.
    pub(crate) fn lacks_names(&self) -> bool {
        self.is_continued || self.lacks_room
    }
}

impl FirstOffer {
    fn twin_in(&self, dir: Option<&WirePath>) -> Option<Twin> {
        let name = WirePath::parse(&self.name).ok()?;
        let path = dir.map_or_else(|| Ok(name.clone()), |dir| dir.join(&name)).ok()?;
        Some(Twin { path, id: self.id })
    }
}

/// The same name with all its accents in one character with their letters, and with all apart from them, where that is
/// another spelling.
pub(crate) fn with_other_accents(path: &WirePath) -> impl Iterator<Item = WirePath> {
    // Most names have none.
    let name = str::from_utf8(path.as_bytes()).ok().filter(|name| !name.is_ascii());
    let spellings = name
        .into_iter()
        .flat_map(|name| [name.nfc().collect(), name.nfd().collect()].map(|other: String| (name, other)));
    let others = spellings.filter(|(name, other)| name != other);
    others.filter_map(|(_, other)| WirePath::parse(other.as_bytes()).ok())
}

/// Only says what is worth asking the disk about, so it need not be what any disk does.
fn without_case(name: &[u8]) -> String {
    // Some disks also take letters with and without a combining accent for one, or drop dots and spaces at the end.
    let composed: String = String::from_utf8_lossy(name).nfkc().collect();
    composed.to_lowercase().trim_end_matches(['.', ' ']).to_owned()
}

#[cfg(test)]
mod tests;
