//! The rules of a file system for names and times: asked, not assumed.

use rustix::io::Errno;

use super::super::cause::ThereOrNot as _;
use super::super::dir::Dir;
use super::super::error::{Op, StorageError, failed};
use super::super::meta;
use super::super::own_names::scratch_name;
use super::super::unsynced::NewNames;
use super::destination::{Destination, UNSYNCED_MAX};
use crate::protocol::message::Mtime;
use crate::protocol::path::WirePath;

/// The steps of time stamps, in nanoseconds, that file systems have: most; NTFS and SMB; some FUSE and network file systems; exFAT;
/// HFS+ and old ext3; FAT.
const TIME_STEPS: [u64; 7] = [1, 100, 1_000, 1_000_000, 10_000_000, 1_000_000_000, 2_000_000_000];

/// Times that are no multiples of any of them but the first: in an even and in an odd second, for a file system that keeps
/// every other second may round up or down.
const ODD_TIMES: [Mtime; 2] =
    [Mtime { secs: 1_234_567_890, nanos: 987_654_321 }, Mtime { secs: 1_234_567_891, nanos: 987_654_321 }];

impl Destination {
    /// Whether two names beside `path` that differ in a byte are two names there; false where nobody can be sure.
    pub(crate) fn tells_names_apart(&self, path: &WirePath) -> bool {
        let mut above: Option<WirePath> = None;
        loop {
            let at = above.as_ref().unwrap_or(path);
            match self.parent_of(at).if_had() {
                Ok(Some(dir)) => return dir.tells_names_apart(),
                // It will be made, and be like the one that it is made in.
                Ok(None) => match at.parent() {
                    Some(parent) => above = Some(parent),
                    None => return false,
                },
                Err(_) => return false,
            }
        }
    }

    /// Whether `path` leads to what `first`, a name in the same directory, leads to, and both are not entries of their
    /// own: the file system takes the two names for one.
    ///
    /// # Errors
    /// When the directory cannot be listed.
    pub(crate) fn is_one_name(&self, first: &WirePath, path: &WirePath) -> Result<bool, StorageError> {
        let found = self.in_parent(path, |dir, name| {
            let are_there = dir.has(first.name())? && dir.has(name)?;
            // Not by inode: hard links have one, and FUSE makes some up for each name. Nor is it enough that one of the two
            // is an entry: some file systems keep another spelling than the one that they were given.
            Ok(are_there && !(dir.lists(first.name())? && dir.lists(name)?))
        });
        Ok(found.if_there().map_err(failed(Op::List, path.as_path()))?.unwrap_or(false))
    }

    /// Whether `path` leads to something that is there under another name than this disk gives it: the file system takes the
    /// two for one.
    ///
    /// # Errors
    /// When the directory cannot be listed.
    pub(crate) fn is_other_spelling(&self, path: &WirePath) -> Result<bool, StorageError> {
        let found = self.in_parent(path, |dir, name| Ok(dir.has(name)? && !dir.lists_in_its_spelling(name)?));
        Ok(found.if_there().map_err(failed(Op::List, path.as_path()))?.unwrap_or(false))
    }

    /// Whether something is there under exactly this name, as this disk spells it.
    ///
    /// # Errors
    /// When the directory cannot be listed.
    pub(crate) fn has_entry(&self, path: &WirePath) -> Result<bool, StorageError> {
        let found = self.in_parent(path, |dir, name| Ok(dir.has(name)? && dir.lists_in_its_spelling(name)?));
        Ok(found.if_there().map_err(failed(Op::List, path.as_path()))?.unwrap_or(false))
    }

    /// The step of time stamps beside `path`, in nanoseconds: found out with a file that is removed again.
    ///
    /// # Errors
    /// When no file can be made there, or times are not kept.
    pub(crate) fn time_step(&self, path: &WirePath) -> Result<u64, StorageError> {
        self.in_parent(path, |dir, _| Ok(time_step(dir)?)).map_err(failed(Op::SetMeta, path.as_path()))
    }

    /// From now on the name of `path`, and those of the directories above it, are taken for not durable, until the next
    /// commit has made them so. For names that another process may have made, and not lived to sync.
    ///
    /// # Errors
    /// When a directory on the way cannot be opened, or too many of those noted before could not be synced.
    ///
    /// `leads_on`: other names lie below it, which are not durable before it is.
    pub(crate) fn note_unsynced(&self, path: &WirePath, leads_on: bool) -> Result<(), StorageError> {
        let names = if leads_on { NewNames::Others } else { NewNames::Files };
        let noted = self.in_parent(path, |dir, _| {
            self.unsynced().note_names(dir, names, || Ok(()))?;
            if self.unsynced().len() > UNSYNCED_MAX {
                self.sync_new_names()?;
            }
            Ok(())
        });
        noted.map_err(failed(Op::Sync, path.as_path()))
    }
}

fn time_step(dir: &Dir) -> Result<u64, Errno> {
    let kept =
        dir.with_scratch_file(&scratch_name("clock"), |file, _| ODD_TIMES.map(|odd| meta::set_mtime(file, odd)))?;
    coarser_step([kept[0]?, kept[1]?]).ok_or(Errno::OPNOTSUPP)
}

/// The step that makes these of [`ODD_TIMES`]; `None` when they are kept in no step at all.
fn coarser_step(kept: [Mtime; 2]) -> Option<u64> {
    let step_of = |(kept, odd)| {
        let (kept, odd) = (meta::nanos_since_1970(kept), meta::nanos_since_1970(odd));
        let fits = |step: &u64| kept.rem_euclid(i128::from(*step)) == 0 && (kept - odd).abs() < i128::from(*step);
        TIME_STEPS.into_iter().find(fits)
    };
    kept.into_iter().zip(ODD_TIMES).map(step_of).max_by_key(|step| step.unwrap_or(u64::MAX))?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::testing::{TestRoot, wire};

    #[test]
    fn asking_for_the_step_of_times_leaves_nothing_behind() {
        let place = TestRoot::new();
        place.write("d/a", b"x");
        let step = place.root.time_step(&wire("d/a")).unwrap();
        assert!(TIME_STEPS.contains(&step));
        assert_eq!(std::fs::read_dir(place.path("d")).unwrap().count(), 1);
        assert!(place.root.time_step(&wire("missing/a")).is_err());
    }

    #[test]
    fn hard_links_are_two_names() {
        let place = TestRoot::new();
        place.write("d/a", b"x");
        std::fs::hard_link(place.path("d/a"), place.path("d/A")).unwrap();
        for (first, name) in [("d/a", "d/A"), ("d/a", "d/missing"), ("d/missing", "d/a"), ("nowhere/a", "nowhere/A")] {
            assert!(!place.root.is_one_name(&wire(first), &wire(name)).unwrap(), "{first} {name}");
        }
    }

    #[test]
    fn the_step_of_times_is_found_however_they_are_rounded() {
        let nanos = |time| meta::nanos_since_1970(time);
        let time = |nanos: i128| Mtime {
            secs: i64::try_from(nanos.div_euclid(1_000_000_000)).unwrap(),
            nanos: u32::try_from(nanos.rem_euclid(1_000_000_000)).unwrap(),
        };
        for step in TIME_STEPS {
            let width = i128::from(step);
            let down = ODD_TIMES.map(|odd| time(nanos(odd).div_euclid(width) * width));
            let up = ODD_TIMES.map(|odd| time((nanos(odd) + width - 1).div_euclid(width) * width));
            assert_eq!([coarser_step(down), coarser_step(up)], [Some(step); 2]);
        }
        let now = Mtime { secs: 1_700_000_000, nanos: 5 };
        assert_eq!(coarser_step([now, now]), None, "the time of the call instead of the one that was set");
    }

    #[test]
    fn names_in_doubt_are_so_until_the_next_commit() {
        let place = TestRoot::new();
        place.write("d/a", b"x");
        assert!(!place.root.is_unsynced(&wire("d/a")).unwrap());
        place.root.note_unsynced(&wire("d/a"), false).unwrap();
        assert!(place.root.is_unsynced(&wire("d/a")).unwrap());
        let committer = crate::storage::Committer::start(crate::storage::Durability::Synced).unwrap();
        let (sender, done) = std::sync::mpsc::channel();
        committer.submit_dir(place.root.clone(), wire("d/a"), Box::new(move |result| sender.send(result).unwrap()));
        done.recv().unwrap().unwrap();
        assert!(!place.root.is_unsynced(&wire("d/a")).unwrap());
    }
}
