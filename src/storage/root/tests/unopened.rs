//! What is said of a tree in which nothing can be opened now.

use std::fmt::Debug;
use std::ops::ControlFlow;
use std::time::{Duration, SystemTime};

use rustix::io::Errno;

use super::*;
use crate::storage::testing::opening_only;
use crate::storage::{Expanded, Finds, expand};

/// What was looked for is said to be unknown.
fn unknown<T: Debug>(what: &str, look: impl FnOnce() -> Result<T, StorageError>) {
    let looked = opening_only(0, Errno::MFILE, look);
    assert!(looked.as_ref().is_err_and(StorageError::is_passing), "{what}: {looked:?}");
}

#[test]
fn without_a_descriptor_nothing_is_called_absent_free_or_another() {
    let place = TestRoot::new();
    place.write("d/a", b"x");
    place.write(".a.qft-part", b"x");
    symlink("d", place.path("link")).unwrap();
    let (name, other) = (wire("d/a"), wire("d/A"));
    // What was looked up once is remembered, so each look is at a root of its own.
    let root = || Root::open(&place.path("")).unwrap();
    let here = || root().destination();
    let at = here();
    unknown("stat", || at.stat(&name));
    unknown("is_reserved", || at.is_reserved(&name));
    unknown("is_one_name", || at.is_one_name(&name, &other));
    unknown("is_other_spelling", || at.is_other_spelling(&name));
    unknown("has_entry", || at.has_entry(&name));
    unknown("peek", || Part::peek(&at, &name, Owner::Anyone));
    unknown("check_free", || Part::check_free(&at, &wire("a"), Owner::Anyone));
    let with_links = at.keeping_dirlinks(SystemTime::now() + Duration::from_secs(60));
    unknown("stat_dir", || with_links.stat_dir(&wire("link")));
    let tree = root().tree();
    unknown("nearest", || at.nearest(Some(&wire("d"))));
    unknown("tree: stat", || tree.stat(&name));
    let mut dir = tree.stat(&wire("d")).unwrap().unwrap();
    // On another disk, of which nobody knows whether it keeps numbers.
    dir.identity.dev += 1;
    unknown("tree: lasting_id", || tree.lasting_id(&wire("d"), &dir));
    unknown("tree: is_reserved", || tree.is_reserved(&name));
    assert!(!opening_only(0, Errno::MFILE, || at.tells_names_apart(&name)), "nobody can be sure");
}

#[test]
fn what_is_withheld_stays_so_when_it_cannot_be_told_where_a_directory_lies() {
    let place = TestRoot::new();
    place.write("a/home/keys/secret", b"x");
    for root in place.roots() {
        let root = root.withholding(&place.path("a/home"));
        for others in 0..8 {
            let opened = opening_only(others, Errno::MFILE, || root.tree().open_dir(Some(&wire("a/home/keys"))));
            assert!(opened.is_err(), "{others}");
        }
    }
}

#[test]
fn a_pattern_leaves_out_no_directory_in_silence() {
    #[derive(Default)]
    struct All(Vec<Expanded>);
    impl Finds for All {
        fn take(&mut self, found: Expanded) -> ControlFlow<()> {
            self.0.push(found);
            ControlFlow::Continue(())
        }
        fn is_over(&self) -> bool {
            false
        }
    }
    let place = TestRoot::new();
    place.write("d/a", b"x");
    let (root, mut all) = (Root::open(&place.path("")).unwrap(), All::default());
    opening_only(0, Errno::IO, || expand(&root.tree(), &[b"*/a".to_vec()], &mut all));
    let [Err((name, failure))] = &all.0[..] else { panic!("{:?}", all.0) };
    assert_eq!((&name[..], failure.status), (&b"d"[..], Status::ReadFailed));
}
