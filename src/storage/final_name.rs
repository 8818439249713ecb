//! A final name: for what has been made complete under a temporary one. Some file systems have renames that do less than
//! they should.
//!
//! **None that spare what is there**, nor hard links: an empty file takes the name, which fails where it is taken, and the
//! part is renamed over it. Whoever dies in between leaves the empty file, and the next run must not take it for a file of
//! the user's. So a mark is made before it and removed after it: an empty file with a mark beside it that is as old is one
//! that was reserved.
//!
//! **None that replace what is there**: that gets another name first, and is removed when the new file is in its place.
//! Whoever dies in between leaves both, complete, and the next run finds the name free. What was put aside is removed by
//! nobody while its name is free.

use rustix::fs::{FileType, OFlags, Stat};
use rustix::io::Errno;

use super::cause::{ThereOrNot as _, telling};
use super::dir::Dir;
use super::file_system::NameObjection;
use super::meta::{self, StatFacts};
use super::part_name::{mark_name, replaced_name, without_dot};
use crate::protocol::path::WirePath;
use crate::transfer::commit::{self, Durability, Naming, NoName, Replace};

/// Most time between mark and file, in nanoseconds: a slow disk makes the mark durable in between. A mark that was left is
/// soon none of an empty file that somebody makes later.
const APART_MAX: u128 = 10 * 60 * 1_000_000_000;

/// Something under a temporary name, and the directory that it is in.
struct Unnamed<'a> {
    dir: &'a Dir,
    temporary: &'a [u8],
    sync: Durability,
}

impl Naming for Unnamed<'_> {
    type Error = Errno;

    fn replace(&self, name: &[u8]) -> Result<(), Errno> {
        self.dir.rename_replacing(self.temporary, name)
    }

    fn take(&self, name: &[u8]) -> Result<bool, Errno> {
        match self.dir.rename_to_free(self.temporary, name, self.sync) {
            Err(Errno::EXIST) => Ok(false),
            renamed => renamed.map(|()| true),
        }
    }

    fn is_taken(&self, name: &[u8]) -> Result<bool, Errno> {
        match self.dir.stat(name) {
            Err(Errno::NOENT) => Ok(false),
            found => found.map(|_| true),
        }
    }
}

/// Renames within `dir`, the directory of `target`, in one step. Says which name it became. `sync` says whether a name that
/// is not replaced is told apart after a power cut, too.
pub(super) fn give_final_name(
    dir: &Dir,
    temporary: &[u8],
    target: &WirePath,
    replace: Replace,
    sync: Durability,
) -> Result<WirePath, Errno> {
    commit::give_final_name(&Unnamed { dir, temporary, sync }, target, replace).map_err(errno_of)
}

/// Why there is no name, as the system says it.
pub(super) fn errno_of(none: NoName<Errno>) -> Errno {
    match none {
        NoName::Taken => Errno::EXIST,
        NoName::TooLong => Errno::NAMETOOLONG,
        NoName::Failed(errno) => errno,
    }
}

impl Dir {
    /// Renames within this directory; fails with `EEXIST` where the new name is taken. `sync` says whether that holds over
    /// a power cut.
    fn rename_to_free(&self, old: &[u8], new: &[u8], sync: Durability) -> Result<(), Errno> {
        match self.rename_no_replace(old, new) {
            Err(Errno::INVAL | Errno::NOSYS) => {}
            settled => return settled,
        }
        // This file system cannot promise it in one step; a second name, then one less, promises the same.
        match self.add_name(old, new) {
            // The new name is there. That the old one is, too, harms nobody.
            Ok(()) => {
                let _ = self.remove(old);
            }
            Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::MLINK) => {
                return self.rename_over_reserved(old, new, sync);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Renames within this directory without a promise of the file system that nothing is replaced; fails with `EEXIST`
    /// where the new name is taken. With [`Durability::Synced`] what a power cut leaves is told apart, too.
    fn rename_over_reserved(&self, old: &[u8], new: &[u8], sync: Durability) -> Result<(), Errno> {
        let mark = mark_name(new, self.longest_name());
        let ((), mark) = self.with_or_without_dot(&mark, |mark| self.make_mark(mark))?;
        let renamed = self.sync_mark(sync).and_then(|()| self.reserve(new)).and_then(|()| {
            // An empty file under a final name must not be what a failure leaves.
            self.rename(old, new).or_else(|error| {
                let _ = self.remove(new);
                // A disk that gives no name that is taken spares what is there by itself.
                if error == Errno::EXIST { self.rename(old, new) } else { Err(error) }
            })
        });
        // One that stays harms nobody: what is there by now is not empty, or not of its time.
        let _ = self.remove(mark);
        renamed
    }

    /// Whether what was `found` under this name was only reserved, by somebody who did not live to put a file there.
    pub(super) fn is_reserved(&self, name: &[u8], found: &Stat) -> Result<bool, Errno> {
        if !is_empty_file(found) {
            return Ok(false);
        }
        let is_mark = |mark: &Stat| is_empty_file(mark) && are_of_one_time(mark, found);
        for mark in self.marks(name) {
            if self.stat(&mark).if_had()?.as_ref().is_some_and(is_mark) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Gives a name back that was only reserved. The mark goes last.
    pub(super) fn give_back(&self, name: &[u8]) -> Result<(), Errno> {
        self.remove(name)?;
        let removed: Vec<_> = self.marks(name).iter().map(|mark| self.remove(mark)).collect();
        // There is one of them.
        if removed.iter().any(Result::is_ok) { Ok(()) } else { removed.into_iter().collect() }
    }

    /// The names that a mark may have.
    fn marks(&self, name: &[u8]) -> Vec<Box<[u8]>> {
        let mark = mark_name(name, self.longest_name());
        let dotless = self.file_system().is_particular_about_names().then(|| without_dot(&mark).into());
        [mark.clone()].into_iter().chain(dotless).collect()
    }

    /// Renames within this directory, replacing a file or link of the new name, also where the disk refuses to.
    fn rename_replacing(&self, old: &[u8], new: &[u8]) -> Result<(), Errno> {
        let Err(error) = self.rename(old, new) else { return Ok(()) };
        match self.is_dir(new) {
            // A sandbox says only that directories are not replaced.
            Ok(true) => Err(Errno::ISDIR),
            // If it fails for anything else, so does this, and the first error says why.
            Ok(false) if self.may_object_to(NameObjection::Taken, error) => {
                self.rename_after_putting_aside(old, new).map_err(|second| telling(error, second))
            }
            _ => Err(error),
        }
    }

    fn rename_after_putting_aside(&self, old: &[u8], new: &[u8]) -> Result<(), Errno> {
        let aside = replaced_name(new, self.longest_name()).ok_or(Errno::NAMETOOLONG)?;
        // What an earlier run left there is older than what has the name now.
        for left in [&aside, without_dot(&aside)] {
            let _ = self.remove(left);
        }
        let ((), aside) = self.with_or_without_dot(&aside, |aside| self.rename(new, aside))?;
        self.rename(old, new).inspect_err(|_| {
            // It stays where it is when this fails, too: nobody removes it.
            let _ = self.rename(aside, new);
        })?;
        // One that stays is found among what is left of transfers.
        let _ = self.remove(aside);
        Ok(())
    }

    /// One that is there already is of another time.
    fn make_mark(&self, mark: &[u8]) -> Result<(), Errno> {
        match self.remove(mark) {
            Err(error) if error != Errno::NOENT && !self.may_object_to(NameObjection::Dot, error) => Err(error),
            _ => self.reserve(mark),
        }
    }

    fn sync_mark(&self, sync: Durability) -> Result<(), Errno> {
        match sync {
            Durability::Synced => self.sync(),
            Durability::Unsynced => Ok(()),
        }
    }

    fn reserve(&self, name: &[u8]) -> Result<(), Errno> {
        self.open_file(name, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL).map(drop)
    }
}

fn is_empty_file(found: &Stat) -> bool {
    FileType::from_raw_mode(found.st_mode) == FileType::RegularFile && found.st_size == 0 && found.st_nlink <= 1
}

fn are_of_one_time(mark: &Stat, reserved: &Stat) -> bool {
    let [mark, reserved] = [mark, reserved].map(|found| meta::nanos_since_1970(StatFacts::of(found).mtime));
    (mark - reserved).unsigned_abs() <= APART_MAX
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::storage::testing::TestRoot;

    fn dir(place: &TestRoot) -> Dir {
        Dir::open(&place.path("")).unwrap()
    }

    fn entries(place: &TestRoot) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(place.path(""))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn is_reserved(place: &TestRoot) -> bool {
        let dir = dir(place);
        dir.is_reserved(b"new", &dir.stat(b"new").unwrap()).unwrap()
    }

    #[test]
    fn a_free_name_is_taken_and_a_taken_one_is_spared_and_nothing_else_is_left() {
        for sync in [Durability::Synced, Durability::Unsynced] {
            let place = TestRoot::new();
            place.write("old", b"content");
            assert_eq!(dir(&place).rename_over_reserved(b"old", b"new", sync), Ok(()));
            place.write("old", b"another");
            assert_eq!(dir(&place).rename_over_reserved(b"old", b"new", sync), Err(Errno::EXIST));
            assert_eq!(
                (fs::read(place.path("new")).unwrap(), entries(&place)),
                (b"content".into(), vec!["new".into(), "old".into()])
            );
            assert_eq!(dir(&place).rename_over_reserved(b"missing", b"other", sync), Err(Errno::NOENT));
            assert_eq!(entries(&place), ["new", "old"]);
        }
    }

    #[test]
    fn what_is_only_reserved_is_known_by_a_mark_of_its_time_and_given_back() {
        let place = TestRoot::new();
        let mark = String::from_utf8(mark_name(b"new", 255).into()).unwrap();
        place.write("new", b"");
        assert!(!is_reserved(&place), "an empty file of the user's");
        place.write(&mark, b"");
        assert!(is_reserved(&place));
        place.write("new", b"content");
        assert!(!is_reserved(&place), "content came after all");
        place.write("new", b"");
        let earlier = SystemTime::now() - Duration::from_secs(3600);
        fs::File::options().write(true).open(place.path(&mark)).unwrap().set_modified(earlier).unwrap();
        assert!(!is_reserved(&place), "a mark that was left, and an empty file of the user's");
        dir(&place).make_mark(mark.as_bytes()).unwrap();
        assert!(is_reserved(&place), "the mark is as new");
        dir(&place).give_back(b"new").unwrap();
        assert_eq!(entries(&place), [""; 0]);
    }
}
