//! Names that this disk may take for one, although they differ: `README` and `readme`.
//!
//! Only where the file system is not known to tell all names apart. A name that is like an earlier one of the job waits
//! until that one is settled; then the disk is asked whether it is another spelling of what is there.

use std::collections::HashMap;

use unicode_normalization::UnicodeNormalization;

use crate::protocol::message::FileId;
use crate::protocol::path::WirePath;
use crate::transfer::Room;

/// Most that is remembered of the names of one job, in bytes: some hundred thousand names. A peer could offer any number.
pub const TWIN_BYTES_MAX: usize = 64 << 20;
/// The memory that a name is charged for beside its bytes, with its place in a map. A directory counts as much again.
const NAME_BYTES: usize = 128;

/// The offered names by directory, and what became of directories. Nothing is forgotten before the end of the job,
/// since names of one directory need not come one after the other. Names that there is no room for are left out, and
/// that this happened is remembered.
pub(crate) struct Twins<R> {
    room: R,
    dirs: HashMap<Option<WirePath>, InDirectory>,
    /// Directories that are another spelling of one before, and that one.
    refused: HashMap<WirePath, WirePath>,
    /// Directories of which that is not known yet, each with its own offer: it is when that is settled.
    waiting: Vec<(WirePath, FileId)>,
    /// The memory that the names take.
    bytes: usize,
    /// An earlier connection of the job has given names.
    is_continued: bool,
    /// There was no room for a name.
    lacks_room: bool,
    lacks_refused: bool,
}

/// The first offer of each name in a directory, by the name without case.
type InDirectory = HashMap<String, (Box<[u8]>, FileId)>;

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
        let (dirs, refused, waiting, bytes, is_continued, lacks_room, lacks_refused) = Default::default();
        Self { room, dirs, refused, waiting, bytes, is_continued, lacks_room, lacks_refused }
    }

    /// Notes an offer.
    pub(crate) fn note(&mut self, path: &WirePath, id: FileId) -> TwinCheck {
        let (dir, key) = (path.parent(), without_case(path.name()));
        let known = self.dirs.get_mut(&dir);
        let of_dir = if known.is_some() { 0 } else { NAME_BYTES + dir.as_ref().map_or(0, |dir| dir.as_bytes().len()) };
        match known.and_then(|names| names.get_mut(&key)) {
            // A file that changed is offered again, by another number.
            Some((name, first)) if **name == *path.name() => {
                *first = id;
                return TwinCheck::Alone;
            }
            Some((name, first)) => return twin(dir.as_ref(), name, *first).map_or(TwinCheck::Unsure, TwinCheck::Like),
            None => {}
        }
        // One name that is missing is enough for all that come later.
        if self.lacks_room || !self.take(of_dir + NAME_BYTES + key.len() + path.name().len()) {
            self.lacks_room = true;
            return TwinCheck::Unsure;
        }
        self.dirs.entry(dir).or_default().insert(key, (path.name().into(), id));
        if self.is_continued { TwinCheck::Unsure } else { TwinCheck::Alone }
    }

    /// Notes the directories above an offer, which need not be offered themselves: the list of one may have been out of reach
    /// for a moment. Tells the outermost that is like an earlier one, and is not it.
    pub(crate) fn note_above(&mut self, path: &WirePath, id: FileId) -> Option<(WirePath, Twin)> {
        let above = std::iter::successors(path.parent(), WirePath::parent);
        let unknown: Vec<_> = above.take_while(|dir| !self.has(dir)).collect();
        unknown.into_iter().rev().find_map(|dir| match self.note(&dir, id) {
            TwinCheck::Like(twin) => Some((dir, twin)),
            TwinCheck::Alone | TwinCheck::Unsure => None,
        })
    }

    /// Whether a name was noted in this very spelling. Then those above it were, too.
    fn has(&self, path: &WirePath) -> bool {
        let known = self.dirs.get(&path.parent()).and_then(|names| names.get(&without_case(path.name())));
        known.is_some_and(|(name, _)| **name == *path.name())
    }

    fn take(&mut self, bytes: usize) -> bool {
        let takes = self.bytes + bytes <= TWIN_BYTES_MAX && self.room.grow(bytes);
        self.bytes += if takes { bytes } else { 0 };
        takes
    }

    /// An offer is none with the first of that name, after all: that is not there, or the disk tells the two apart. It is what
    /// later ones are held against, for the first may come again.
    pub(crate) fn take_over(&mut self, path: &WirePath, id: FileId) {
        let known = self.dirs.get_mut(&path.parent()).and_then(|names| names.get_mut(&without_case(path.name())));
        if let Some(first) = known {
            *first = (path.name().into(), id);
        }
    }

    /// A name that was noted is not given, after all.
    pub(crate) fn forget(&mut self, path: &WirePath) {
        let key = without_case(path.name());
        if let Some(names) = self.dirs.get_mut(&path.parent())
            && names.get(&key).is_some_and(|(name, _)| **name == *path.name())
        {
            names.remove(&key);
        }
    }

    /// Names have been given already that nobody remembers here.
    pub(crate) fn begin_unsure(&mut self) {
        (self.is_continued, self.lacks_refused) = (true, true);
    }

    /// Whether there may be a name that is not remembered.
    pub(crate) fn lacks_names(&self) -> bool {
        self.is_continued || self.lacks_room
    }

    /// Whether there was a directory that was refused and that there was no room to remember.
    pub(crate) fn lacks_refused(&self) -> bool {
        self.lacks_refused
    }

    /// A directory waits for an earlier one of a name that is like its own, and what lies in it waits for that directory.
    pub(crate) fn wait(&mut self, dir: &WirePath, own: FileId) {
        self.waiting.push((dir.clone(), own));
    }

    /// The directory that `path` lies in, if that waits.
    pub(crate) fn waits_above(&self, path: &WirePath) -> Option<FileId> {
        let found = self.waiting.iter().find(|(dir, _)| path.strip_prefix(dir).is_some());
        found.map(|(_, own)| *own)
    }

    /// A directory waits no longer.
    pub(crate) fn settle(&mut self, own: FileId) {
        self.waiting.retain(|(_, id)| *id != own);
    }

    /// A directory is another spelling of one that is there.
    pub(crate) fn refuse(&mut self, dir: &WirePath, first: &WirePath) {
        if self.refused.contains_key(dir) {
            return;
        }
        match self.take(NAME_BYTES + dir.as_bytes().len() + first.as_bytes().len()) {
            true => drop(self.refused.insert(dir.clone(), first.clone())),
            false => self.lacks_refused = true,
        }
    }

    /// The directory before, if `path` lies in one that was refused for it.
    pub(crate) fn refused_above(&self, path: &WirePath) -> Option<&WirePath> {
        if self.refused.is_empty() {
            return None;
        }
        std::iter::successors(path.parent(), WirePath::parent).find_map(|dir| self.refused.get(&dir))
    }
}

fn twin(dir: Option<&WirePath>, name: &[u8], id: FileId) -> Option<Twin> {
    let name = WirePath::parse(name).ok()?;
    let path = dir.map_or_else(|| Ok(name.clone()), |dir| dir.join(&name)).ok()?;
    Some(Twin { path, id })
}

/// The same name with all its accents in one character with their letters, and with all apart from them, where that is
/// another spelling.
pub(crate) fn with_other_accents(path: &WirePath) -> impl Iterator<Item = WirePath> {
    let name = String::from_utf8(path.as_bytes().to_vec()).unwrap_or_default();
    let spellings = if name.is_ascii() { Vec::new() } else { vec![name.nfc().collect(), name.nfd().collect()] };
    let others = spellings.into_iter().filter(move |other: &String| *other != name);
    others.filter_map(|other| WirePath::parse(other.as_bytes()).ok())
}

/// Only says what is worth asking the disk about, so it need not be what any disk does.
fn without_case(name: &[u8]) -> String {
    // Some disks also take letters with and without a combining accent for one, or drop dots and spaces at the end.
    let composed: String = String::from_utf8_lossy(name).nfkc().collect();
    composed.to_lowercase().trim_end_matches(['.', ' ']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::CountedRoom;

    fn unbounded() -> Twins<CountedRoom> {
        Twins::new(CountedRoom(usize::MAX))
    }

    fn path(raw: &str) -> WirePath {
        WirePath::parse(raw.as_bytes()).unwrap()
    }

    fn found(names: &[&str]) -> Vec<Option<String>> {
        let mut twins = unbounded();
        let note = |(id, name): (usize, &&str)| twins.note(&path(name), FileId(id as u64));
        let like = |noted| match noted {
            TwinCheck::Like(twin) => Some(twin.path.to_string()),
            TwinCheck::Alone => None,
            TwinCheck::Unsure => Some("?".to_owned()),
        };
        names.iter().enumerate().map(note).map(like).collect()
    }

    fn some(name: &str) -> Option<String> {
        Some(name.to_owned())
    }

    #[test]
    fn a_name_that_differs_in_case_alone_has_a_twin() {
        assert_eq!(found(&["B", "b", "c"]), [None, some("B"), None]);
        assert_eq!(found(&["d", "d/É", "d/é", "d/e"]), [None, None, some("d/É"), None]);
        assert_eq!(found(&["\u{e9}", "e\u{301}"]), [None, some("\u{e9}")]);
        assert_eq!(found(&["a.", "a", "a. "]), [None, some("a."), some("a.")]);
    }

    #[test]
    fn one_name_twice_and_equal_names_in_different_directories_have_none() {
        assert_eq!(found(&["a", "a"]), [None, None]);
        assert_eq!(found(&["a", "a/x", "b", "b/X", "X"]), [const { None }; 5]);
    }

    #[test]
    fn names_above_are_remembered_while_a_walk_is_below() {
        assert_eq!(found(&["D", "D/x/y", "D/X", "d"]), [None, None, None, some("D")]);
        assert_eq!(found(&["D", "D/x", "D/x/y", "D/X"]), [None, None, None, some("D/x")]);
    }

    #[test]
    fn names_of_a_directory_are_remembered_when_it_is_left_and_entered_again() {
        assert_eq!(found(&["D", "D/x", "e", "D", "D/X"]), [None, None, None, None, some("D/x")]);
        assert_eq!(found(&["D/a/x", "E/a/x", "D/a/X", "E/a/x"]), [None, None, some("D/a/x"), None]);
    }

    #[test]
    fn a_file_that_is_offered_again_keeps_its_name() {
        let mut twins = unbounded();
        let mut note = |name, id| twins.note(&path(name), FileId(id));
        assert_eq!([note("B", 0), note("B", 5)], [TwinCheck::Alone, TwinCheck::Alone]);
        assert_eq!(note("b", 6), TwinCheck::Like(Twin { path: path("B"), id: FileId(5) }));
        assert_eq!(note("B", 7), TwinCheck::Alone);
    }

    #[test]
    fn a_name_that_takes_the_place_of_the_first_is_told_apart_from_that_when_it_comes_again() {
        let mut twins = unbounded();
        let mut noted = |name, id, takes: bool| {
            let noted = twins.note(&path(name), FileId(id));
            if takes {
                twins.take_over(&path(name), FileId(id));
            }
            noted
        };
        let like = |name, id| TwinCheck::Like(Twin { path: path(name), id: FileId(id) });
        assert_eq!([noted("B", 0, false), noted("b", 1, true)], [TwinCheck::Alone, like("B", 0)]);
        assert_eq!(noted("B", 2, false), like("b", 1), "its source has changed, and it is offered again");
    }

    #[test]
    fn a_directory_that_was_not_offered_is_told_apart_from_another_before_it() {
        let mut twins = unbounded();
        let mut above = |name, id| {
            let found = twins.note_above(&path(name), FileId(id));
            twins.note(&path(name), FileId(id));
            found.map(|(dir, twin)| (dir.to_string(), twin.path.to_string(), twin.id.0))
        };
        let like = |dir: &str, first: &str, id| Some((dir.to_owned(), first.to_owned(), id));
        assert_eq!([above("x/D", 0), above("x/D/e", 1)], [None, None]);
        assert_eq!(above("x/d/e", 2), like("x/d", "x/D", 0));
        assert_eq!(above("x/d/f/g", 3), like("x/d", "x/D", 0), "the outermost comes first");
        assert_eq!(above("X/D/e", 4), like("X", "x", 0));
        assert_eq!([above("n/a", 5), above("n/b", 6)], [None, None]);
        assert_eq!(above("N/b", 7), like("N", "n", 5), "both lie in directories that were not offered");
        twins.take_over(&path("N"), FileId(7));
        assert_eq!(twins.note_above(&path("N/b"), FileId(8)), None, "the disk tells them apart");
    }

    #[test]
    fn without_room_no_name_passes_for_one_that_is_alone_but_those_that_are_remembered() {
        let mut twins = unbounded();
        let mut note = |name, has_room| {
            twins.room = CountedRoom(if has_room { usize::MAX } else { 0 });
            twins.note(&path(name), FileId(0))
        };
        assert_eq!([note("B", true), note("c", false)], [TwinCheck::Alone, TwinCheck::Unsure]);
        assert!(matches!(note("b", true), TwinCheck::Like(_)));
        assert_eq!(note("B", true), TwinCheck::Alone);
        assert_eq!(
            [note("C", true), note("d/x", true)],
            [TwinCheck::Unsure, TwinCheck::Unsure],
            "it may have had no room"
        );
        assert!(twins.lacks_names() && !twins.lacks_refused());
    }

    #[test]
    fn over_another_connection_of_a_job_no_name_passes_for_one_that_is_alone() {
        let mut twins = unbounded();
        twins.begin_unsure();
        assert_eq!(twins.note(&path("B"), FileId(0)), TwinCheck::Unsure);
        assert!(twins.lacks_names() && twins.lacks_refused());
        let like = TwinCheck::Like(Twin { path: path("B"), id: FileId(0) });
        assert_eq!(twins.note(&path("b"), FileId(1)), like, "names of this connection are remembered");
        twins.forget(&path("b"));
        assert_eq!(twins.note(&path("b"), FileId(1)), like, "it is another one that was noted");
        twins.forget(&path("B"));
        assert_eq!(twins.note(&path("b"), FileId(1)), TwinCheck::Unsure);
    }

    #[test]
    fn a_name_with_accents_has_another_spelling() {
        let others = |name| with_other_accents(&path(name)).map(|other| other.to_string()).collect::<Vec<_>>();
        assert_eq!(others("d/\u{e9}"), ["d/e\u{301}"]);
        assert_eq!(others("d/e\u{301}"), ["d/\u{e9}"]);
        assert_eq!(others("\u{e9}/e\u{301}"), ["\u{e9}/\u{e9}", "e\u{301}/e\u{301}"]);
        assert_eq!([others("d/e"), others("\u{df}")], [const { Vec::<String>::new() }; 2]);
    }

    #[test]
    fn what_is_remembered_of_one_job_is_bounded_in_bytes() {
        let mut twins = unbounded();
        let long = "n".repeat(200);
        let mut numbers = (0..).map(FileId);
        let mut note = |id: FileId| twins.note(&path(&format!("{0}/{long}/{long}/{0}", id.0)), id);
        assert!(numbers.any(|id| note(id) == TwinCheck::Unsure));
        let taken = usize::MAX - twins.room.0;
        assert!((TWIN_BYTES_MAX - 4096..=TWIN_BYTES_MAX).contains(&taken), "{taken}");
        assert_eq!(twins.bytes, taken);
    }

    #[test]
    fn what_lies_in_a_refused_directory_is_refused_with_it() {
        let mut twins = unbounded();
        twins.refuse(&path("d"), &path("D"));
        assert_eq!(twins.refused_above(&path("d/x/y")), Some(&path("D")));
        assert_eq!(twins.refused_above(&path("D/x")), None);
        assert_eq!(twins.refused_above(&path("dd")), None);
        twins.room = CountedRoom(0);
        twins.refuse(&path("d"), &path("D"));
        assert!(!twins.lacks_refused(), "it was remembered before");
        twins.refuse(&path("e"), &path("E"));
        assert!(twins.lacks_refused());
    }

    #[test]
    fn what_lies_in_a_directory_that_waits_waits_with_it() {
        let mut twins = unbounded();
        twins.wait(&path("d"), FileId(3));
        assert_eq!([twins.waits_above(&path("d/x")), twins.waits_above(&path("D/x"))], [Some(FileId(3)), None]);
        twins.settle(FileId(3));
        assert_eq!(twins.waits_above(&path("d/x")), None);
    }
}
