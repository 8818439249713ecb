//! Names that this disk may take for one, although they differ: `README` and `readme`.
//!
//! Only where the file system is not known to tell all names apart. A name that is like an earlier one of the job waits
//! until that one is settled; then the disk is asked whether it is another spelling of what is there.

use std::collections::HashMap;

use unicode_normalization::UnicodeNormalization;

use crate::protocol::message::FileId;
use crate::protocol::path::WirePath;

/// Most names of one directory that are remembered; a peer could offer any number. What is beyond is found out when it
/// gets its name, if the disk takes it for one that has appeared since it was offered.
const NAMES_MAX: usize = 1 << 20;

/// Most directories that are remembered as refused.
const REFUSED_MAX: usize = 1024;

/// What was offered, in the directories on the way down to the last offer: a walk names all of a directory before it
/// goes on beside it.
#[derive(Debug, Default)]
pub(crate) struct Twins {
    dirs: Vec<Level>,
    /// Directories that are another spelling of one before, and that one.
    refused: Vec<(WirePath, WirePath)>,
    /// Directories of which that is not known yet, each with its own offer: it is when that is settled.
    waiting: Vec<(WirePath, FileId)>,
}

#[derive(Debug)]
struct Level {
    dir: Option<WirePath>,
    /// The first offer of each name, without case.
    names: HashMap<String, (Box<[u8]>, FileId)>,
}

/// An earlier offer of a name that is like this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Twin {
    pub(crate) path: WirePath,
    pub(crate) id: FileId,
}

impl Twins {
    /// Notes an offer. Says which one before has a name that is like it, and is not it.
    pub(crate) fn note(&mut self, path: &WirePath, id: FileId) -> Option<Twin> {
        let dir = path.parent();
        while self.dirs.last().is_some_and(|level| !level.is_above(dir.as_ref())) {
            self.dirs.pop();
        }
        if self.dirs.last().is_none_or(|level| level.dir != dir) {
            self.dirs.push(Level { dir: dir.clone(), names: HashMap::new() });
        }
        let level = self.dirs.last_mut()?;
        let key = without_case(path.name());
        let is_full = level.names.len() >= NAMES_MAX;
        match level.names.get_mut(&key) {
            // A file that changed is offered anew, by another number.
            Some((name, first)) if **name == *path.name() => *first = id,
            Some((name, first)) => return twin(dir.as_ref(), name, *first),
            None if is_full => {}
            None => drop(level.names.insert(key, (path.name().into(), id))),
        }
        None
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

    /// A directory is another spelling of one before it.
    pub(crate) fn refuse(&mut self, dir: &WirePath, first: &WirePath) {
        if self.refused.len() < REFUSED_MAX {
            self.refused.push((dir.clone(), first.clone()));
        }
    }

    /// The directory before, if `path` lies in one that was refused for it.
    pub(crate) fn refused_above(&self, path: &WirePath) -> Option<&WirePath> {
        let found = self.refused.iter().find(|(dir, _)| path.strip_prefix(dir).is_some());
        found.map(|(_, first)| first)
    }
}

impl Level {
    fn is_above(&self, dir: Option<&WirePath>) -> bool {
        match (&self.dir, dir) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(above), Some(dir)) => above == dir || dir.strip_prefix(above).is_some(),
        }
    }
}

fn twin(dir: Option<&WirePath>, name: &[u8], id: FileId) -> Option<Twin> {
    let name = WirePath::parse(name).ok()?;
    let path = dir.map_or_else(|| Ok(name.clone()), |dir| dir.join(&name)).ok()?;
    Some(Twin { path, id })
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

    fn path(raw: &str) -> WirePath {
        WirePath::parse(raw.as_bytes()).unwrap()
    }

    fn found(names: &[&str]) -> Vec<Option<String>> {
        let mut twins = Twins::default();
        let note = |(id, name): (usize, &&str)| twins.note(&path(name), FileId(id as u64));
        names.iter().enumerate().map(note).map(|twin| twin.map(|twin| twin.path.to_string())).collect()
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
    fn a_file_that_is_offered_anew_keeps_its_name() {
        let mut twins = Twins::default();
        twins.note(&path("B"), FileId(0));
        twins.note(&path("B"), FileId(5));
        assert_eq!(twins.note(&path("b"), FileId(6)), Some(Twin { path: path("B"), id: FileId(5) }));
        assert_eq!(twins.note(&path("B"), FileId(7)), None);
    }

    #[test]
    fn what_lies_in_a_refused_directory_is_refused_with_it() {
        let mut twins = Twins::default();
        twins.refuse(&path("d"), &path("D"));
        assert_eq!(twins.refused_above(&path("d/x/y")), Some(&path("D")));
        assert_eq!(twins.refused_above(&path("D/x")), None);
        assert_eq!(twins.refused_above(&path("dd")), None);
    }

    #[test]
    fn what_lies_in_a_directory_that_waits_waits_with_it() {
        let mut twins = Twins::default();
        twins.wait(&path("d"), FileId(3));
        assert_eq!([twins.waits_above(&path("d/x")), twins.waits_above(&path("D/x"))], [Some(FileId(3)), None]);
        twins.settle(FileId(3));
        assert_eq!(twins.waits_above(&path("d/x")), None);
    }
}
