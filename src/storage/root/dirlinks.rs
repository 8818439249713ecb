//! Links that stand for directories where a user receives into a directory of their own.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{FileType, Stat};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::super::dir::Dir;
use super::super::meta::{ObjectId, StatFacts};

/// Most links on one way, as in the kernel.
const FOLLOWED_MAX: usize = 40;

/// Which links stand for directories, in one job.
#[derive(Debug)]
pub(super) struct Dirlinks {
    /// Seconds since 1970 and nanoseconds. A link that changed later is of this job, or of somebody who works beside it.
    since: (i64, u32),
    /// Links that this job has made and whose time does not tell it: the clock of a file system may be behind ours.
    made: Mutex<HashSet<ObjectId>>,
}

/// The rest of a path that is to be gone through.
enum PathStep {
    Component {
        name: Vec<u8>,
        of_link: bool,
    },
    /// All of a link's target is gone through; the link lies in this directory.
    EndOfLink(Vec<Vec<u8>>),
}

impl Dirlinks {
    pub(super) fn new(since: SystemTime) -> Self {
        let since = since.duration_since(UNIX_EPOCH).unwrap_or_default();
        let secs = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
        Self { since: (secs, since.subsec_nanos()), made: Mutex::default() }
    }

    /// Remembers a link that this job has made.
    pub(super) fn note_made(&self, link: &Stat) {
        if self.is_old(link) {
            self.made.lock().unwrap_or_else(PoisonError::into_inner).insert(ObjectId::of(link));
        }
    }

    /// The path below `top` that `path` stands for. It has no links, as far as that is settled now.
    ///
    /// # Errors
    /// `ELOOP` for a link that does not stand for a directory.
    pub(super) fn resolve(&self, top: &Arc<Dir>, path: &[u8]) -> Result<Vec<u8>, Errno> {
        let mut real: Vec<(Vec<u8>, Arc<Dir>)> = Vec::new();
        let mut todo = steps(path, false);
        let mut followed = 0;
        while let Some(step) = todo.pop() {
            let (name, of_link) = match step {
                // A link to where it lies, or above, would give each name there a second one below the link.
                PathStep::EndOfLink(place) if leads_up(&real, &place) => return Err(Errno::LOOP),
                PathStep::EndOfLink(_) => continue,
                PathStep::Component { name, of_link } => (name, of_link),
            };
            match &*name {
                b"" | b"." => continue,
                b".." => {
                    real.pop().ok_or(Errno::XDEV)?;
                    continue;
                }
                // A link leads to a dotted name no more than a pattern without a dot means one.
                [b'.', ..] if of_link => return Err(Errno::LOOP),
                _ => {}
            }
            let dir = real.last().map_or(top, |(_, dir)| dir);
            if kind(&dir.stat(&name)?) != FileType::Symlink {
                let child = Arc::new(dir.child(&name)?);
                real.push((name, child));
                continue;
            }
            followed += 1;
            let target = self.target_of(dir, &name, followed)?;
            todo.push(PathStep::EndOfLink(real.iter().map(|(name, _)| name.clone()).collect()));
            todo.extend(steps(&target, true));
        }
        let names: Vec<Vec<u8>> = real.into_iter().map(|(name, _)| name).collect();
        Ok(names.join(&b'/'))
    }

    /// Where a link leads, which is the one that is followed as `followed`th.
    fn target_of(&self, dir: &Dir, name: &[u8], followed: usize) -> Result<Vec<u8>, Errno> {
        let (link, target) = dir.open_link(name)?;
        if followed > FOLLOWED_MAX || !self.stands_for_directory(&link) {
            return Err(Errno::LOOP);
        }
        if target.first() == Some(&b'/') {
            return Err(Errno::XDEV);
        }
        Ok(target)
    }

    fn stands_for_directory(&self, link: &Stat) -> bool {
        kind(link) == FileType::Symlink
            && link.st_uid == geteuid().as_raw()
            && self.is_old(link)
            && !self.made.lock().unwrap_or_else(PoisonError::into_inner).contains(&ObjectId::of(link))
    }

    fn is_old(&self, link: &Stat) -> bool {
        let changed = StatFacts::of(link).ctime;
        (changed.secs, changed.nanos) <= self.since
    }
}

/// Whether `place` is the directory that was reached, or lies below it.
fn leads_up(reached: &[(Vec<u8>, Arc<Dir>)], place: &[Vec<u8>]) -> bool {
    reached.len() <= place.len() && reached.iter().zip(place).all(|((here, _), there)| here == there)
}

/// The components of a path, the last one first.
fn steps(path: &[u8], of_link: bool) -> Vec<PathStep> {
    path.split(|b| *b == b'/').rev().map(|name| PathStep::Component { name: name.to_vec(), of_link }).collect()
}

fn kind(found: &Stat) -> FileType {
    FileType::from_raw_mode(found.st_mode)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{lchown, symlink};
    use std::time::Duration;

    use super::*;
    use crate::protocol::message::{Kind, Status};
    use crate::storage::part::Part;
    use crate::storage::testing::{SOME_TIME, TestRoot, wire};
    use crate::storage::{Destination, Fresh, Owner, Replace};

    /// Each way of resolving paths, at a time when all links of the test are there.
    fn keeping(place: &TestRoot) -> [Destination; 2] {
        place.destinations().map(|here| here.keeping_dirlinks(SystemTime::now()))
    }

    fn is_refused(here: &Destination, name: &str) {
        for failed in [
            here.stat(&wire(&format!("{name}/a"))).map(drop),
            here.make_dir(&wire(&format!("{name}/new"))).map(drop),
            here.make_dir(&wire(name)).map(drop),
            Part::open(here, &wire(&format!("{name}/a")), Owner::Anyone, Fresh::No).map(drop),
            here.set_dir_meta(&wire(name), SOME_TIME, 0o700),
        ] {
            assert_eq!(failed.unwrap_err().status(), Status::BadName, "{name}");
        }
    }

    #[test]
    fn a_link_of_the_users_stands_for_a_directory_further_down() {
        let place = TestRoot::new();
        place.write("disk/photos/a", b"old");
        place.write("d/x/y/z", b"z");
        symlink("disk/photos", place.path("photos")).unwrap();
        symlink("../photos", place.path("d/again")).unwrap();
        symlink("./x/../x/y", place.path("d/odd")).unwrap();
        for (n, here) in keeping(&place).into_iter().enumerate() {
            assert_eq!(here.stat(&wire("photos/a")).unwrap().unwrap().size, 3);
            assert!(here.open_source(&wire("d/again/a")).is_ok());
            assert_eq!(here.stat_dir(&wire("photos")).unwrap().unwrap().kind, Kind::Dir);
            assert!(matches!(here.stat(&wire("photos")).unwrap().unwrap().kind, Kind::Link(_)));
            assert!(!here.make_dir(&wire("photos")).unwrap());
            assert!(here.make_dir(&wire(&format!("photos/new{n}/deep"))).unwrap());
            here.set_dir_meta(&wire("d/odd"), SOME_TIME, 0o700).unwrap();
            here.sync_dir(Some(&wire("d/odd"))).unwrap();
            let part = Part::open(&here, &wire("d/odd/made/b"), Owner::Anyone, Fresh::No).unwrap();
            assert!(place.path("d/x/y/made").is_dir());
            drop(part);
            assert!(place.path(format!("disk/photos/new{n}/deep")).is_dir());
        }
    }

    #[test]
    fn a_link_that_leads_out_or_up_or_to_a_dotted_name_stands_for_nothing() {
        let place = TestRoot::new();
        place.write(".ssh/keys", b"secret");
        place.write("d/e/a", b"x");
        place.write("d/.git/hooks/a", b"x");
        let outside = place.temp.path().join("outside");
        for (target, link) in [
            ("../outside", "out"),
            ("d/../../outside", "round"),
            (".", "self"),
            ("..", "d/up"),
            ("../e/..", "d/e/up"),
            ("d/up", "twice"),
            (".ssh", "dotted"),
            ("d/.git/hooks", "hooks"),
            ("loop", "loop"),
            ("nowhere", "dangling"),
            ("d/e/a", "file"),
        ] {
            symlink(target, place.path(link)).unwrap();
        }
        symlink(&outside, place.path("absolute")).unwrap();
        symlink(place.path("d"), place.path("home")).unwrap();
        for here in keeping(&place) {
            for name in
                ["out", "round", "self", "d/up", "d/e/up", "twice", "dotted", "hooks", "loop", "absolute", "home"]
            {
                is_refused(&here, name);
            }
            assert!(here.make_dir(&wire("dangling/x")).is_err());
            assert!(here.make_dir(&wire("file/x")).is_err());
        }
        assert_eq!(fs::read_dir(place.path(".ssh")).unwrap().count(), 1);
        place.assert_outside_untouched();
    }

    #[test]
    fn a_link_of_another_user_or_of_the_job_itself_stands_for_nothing() {
        let place = TestRoot::new();
        place.write("real/a", b"x");
        let before = SystemTime::now() - Duration::from_secs(3600);
        symlink("real", place.path("late")).unwrap();
        let old = place.root.keeping_dirlinks(before);
        is_refused(&old, "late");
        // The job's own, whatever the clocks say.
        let ahead = place.root.keeping_dirlinks(SystemTime::now() + Duration::from_secs(3600));
        assert!(ahead.make_dir(&wire("late/below")).unwrap());
        for name in ["own", "late"] {
            ahead.make_link(&wire(name), b"./real", Replace::Yes).unwrap();
            is_refused(&ahead, name);
        }
        symlink("real", place.path("foreign")).unwrap();
        if lchown(place.path("foreign"), Some(65534), None).is_err() {
            return println!("skipped: only root can give a link to another user");
        }
        is_refused(&ahead, "foreign");
    }

    #[test]
    fn a_link_is_made_only_where_its_name_says_how_deep_it_lies() {
        let place = TestRoot::new();
        place.write("real/a", b"x");
        fs::create_dir_all(place.path("d/e")).unwrap();
        symlink("../../real", place.path("d/e/link")).unwrap();
        for here in keeping(&place) {
            let failed = here.make_link(&wire("d/e/link/new"), b"../../../outside", Replace::Yes).unwrap_err();
            assert_eq!(failed.status(), Status::BadName);
        }
        assert_eq!(fs::read_dir(place.path("real")).unwrap().count(), 1);
    }
}
