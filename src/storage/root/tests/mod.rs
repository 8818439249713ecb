mod property;
mod unopened;

use super::destination::UNSYNCED_MAX;
use super::*;
use crate::protocol::message::{Kind, Mtime, Status};
use crate::protocol::path::WirePath;
use crate::storage::part::Part;
use crate::storage::testing::{SOME_TIME, TestRoot, bound_by_permissions, wire};
use crate::storage::{Filters, Fresh, Links, Owner, Replace, WalkEntry, WalkRequest, walk};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt as _, symlink};

/// Links of all kinds in `parent`, and where each leads to.
fn links(place: &TestRoot) -> Vec<&'static str> {
    place.write("real/secret", b"inside");
    place.write("deep/below", b"x");
    let outside = place.temp.path().join("outside");
    symlink("../outside", place.path("relative")).unwrap();
    symlink(outside, place.path("absolute")).unwrap();
    symlink("/proc/self/cwd", place.path("magic")).unwrap();
    symlink("real", place.path("inside")).unwrap();
    symlink(".", place.path("self")).unwrap();
    symlink("../real", place.path("deep/up")).unwrap();
    vec!["relative", "absolute", "magic", "inside", "self", "self/real", "deep/up"]
}

#[test]
fn no_access_passes_through_a_link_wherever_it_leads() {
    let place = TestRoot::new();
    let parents = links(&place);
    let bad = |failed: StorageError| assert_eq!(failed.status(), Status::BadName, "{failed}");
    for root in place.roots() {
        let (tree, here) = (root.tree(), root.destination());
        for parent in &parents {
            let path = wire(&format!("{parent}/secret"));
            let new = wire(&format!("{parent}/new/deep"));
            bad(tree.stat(&path).unwrap_err());
            bad(tree.open_source(&path).unwrap_err());
            bad(tree.open_dir(Some(&new)).unwrap_err());
            bad(here.stat(&path).unwrap_err());
            bad(here.open_source(&path).unwrap_err());
            bad(here.make_dir(&new).unwrap_err());
            bad(here.make_link(&path, b"x", Replace::Yes).unwrap_err());
            bad(here.set_dir_meta(&new, SOME_TIME, 0).unwrap_err());
            bad(here.sync_dir(Some(&new)).unwrap_err());
            bad(Part::open(&here, &path, Owner::Anyone, Fresh::No).unwrap_err());
            bad(Part::peek(&here, &path, Owner::Anyone).unwrap_err());
            bad(root.client_root(&new, true).unwrap_err());
        }
        for link in ["relative", "absolute", "magic", "inside", "self", "deep/up"].map(wire) {
            bad(tree.open_dir(Some(&link)).unwrap_err());
            bad(tree.narrowed(&link).unwrap_err());
            bad(here.make_dir(&link).unwrap_err());
            bad(here.set_dir_meta(&link, SOME_TIME, 0).unwrap_err());
            bad(here.sync_dir(Some(&link)).unwrap_err());
            bad(root.client_root(&link, true).unwrap_err());
            assert!(matches!(here.stat_dir(&link).unwrap().unwrap().kind, Kind::Link(_)));
        }
    }
    assert_eq!(fs::read(place.path("real/secret")).unwrap(), b"inside");
    assert_eq!(fs::read_dir(place.path("real")).unwrap().count(), 1);
    place.assert_outside_untouched();
}

#[test]
fn a_link_swapped_in_as_last_component_is_not_followed() {
    let place = TestRoot::new();
    symlink("../outside/secret", place.path("file")).unwrap();
    symlink("../outside", place.path("dir")).unwrap();
    let before = fs::metadata(place.temp.path().join("outside")).unwrap().mode();
    for root in place.destinations() {
        assert_eq!(root.open_source(&wire("file")).unwrap_err().status(), Status::BadName);
        assert_eq!(root.set_dir_meta(&wire("dir"), SOME_TIME, 0o700).unwrap_err().status(), Status::BadName);
        assert_eq!(root.make_dir(&wire("dir")).unwrap_err().status(), Status::BadName);
        let meta = root.stat(&wire("file")).unwrap().unwrap();
        assert_eq!(meta.kind, Kind::Link(b"../outside/secret".to_vec()));
    }
    assert_eq!(fs::metadata(place.temp.path().join("outside")).unwrap().mode(), before);
    place.assert_outside_untouched();
}

#[test]
fn stat_tells_files_directories_and_nothing() {
    let place = TestRoot::new();
    place.write("d/a", b"12345");
    for root in place.destinations() {
        let file = root.stat(&wire("d/a")).unwrap().unwrap();
        let on_disk = fs::metadata(place.path("d/a")).unwrap();
        assert_eq!((file.kind, file.size), (Kind::File, 5));
        assert_eq!(file.mode, on_disk.mode() & 0o7777);
        assert_eq!((file.mtime.secs, i64::from(file.mtime.nanos)), (on_disk.mtime(), on_disk.mtime_nsec()));
        assert_eq!((file.identity.dev, file.identity.ino), (on_disk.dev(), on_disk.ino()));
        assert_eq!(root.stat(&wire("d")).unwrap().unwrap().kind, Kind::Dir);
        assert_eq!(root.stat(&wire("missing")).unwrap(), None);
        assert_eq!(root.stat(&wire("missing/a")).unwrap(), None);
        assert_eq!(root.stat(&wire("d/a/b")).unwrap_err().status(), Status::BadName);
    }
}

#[test]
fn directories_are_made_with_their_parents_and_only_once() {
    let place = TestRoot::new();
    for (n, root) in place.destinations().into_iter().enumerate() {
        let path = wire(&format!("{n}/b/c/d"));
        assert!(root.make_dir(&path).unwrap());
        assert!(!root.make_dir(&path).unwrap());
        assert!(place.path(format!("{n}/b/c/d")).is_dir());
        // The root, and three directories below it, have new names.
        assert_eq!(root.unsynced().len(), 4);
        place.write(&format!("{n}/file"), b"");
        assert_eq!(root.make_dir(&wire(&format!("{n}/file"))).unwrap_err().status(), Status::BadName);
        assert_eq!(root.make_dir(&wire(&format!("{n}/file/x"))).unwrap_err().status(), Status::BadName);
    }
}

#[test]
fn a_directory_that_is_to_be_private_is_never_open_to_others() {
    let place = TestRoot::new();
    let mode_of = |name: &str| place.path(name).metadata().unwrap().permissions().mode() & 0o777;
    assert!(place.root.make_dir_for(&wire("private"), 0o700).unwrap());
    assert_eq!(mode_of("private"), 0o700);
    assert!(place.root.make_dir_for(&wire("shut/below"), 0o050).unwrap(), "its owner has to fill it");
    assert_eq!(mode_of("shut/below") & 0o707, 0o700);
    assert!(!place.root.make_dir_for(&wire("private"), 0o755).unwrap());
    assert_eq!(mode_of("private"), 0o700, "what was there stays as it is");
}

#[test]
fn new_names_beyond_the_limit_are_synced_at_once() {
    let place = TestRoot::new();
    for n in 0..UNSYNCED_MAX + 10 {
        place.root.make_dir(&wire(&format!("d{n}/e"))).unwrap();
    }
    assert!(place.root.unsynced().len() <= UNSYNCED_MAX);
}

#[test]
fn a_directory_that_was_removed_and_made_again_is_found_again() {
    let place = TestRoot::new();
    place.write("d/a", b"old");
    assert!(place.root.open_source(&wire("d/a")).is_ok());
    fs::remove_dir_all(place.path("d")).unwrap();
    place.write("d/a", b"newer");
    assert_eq!(place.root.open_source(&wire("d/a")).unwrap().meta().size, 5);
    fs::remove_dir_all(place.path("d")).unwrap();
    assert!(place.root.make_link(&wire("d/link"), b"x", Replace::Yes).unwrap().is_some());
}

#[test]
fn links_are_made_replaced_and_left_alone() {
    let place = TestRoot::new();
    let make = |name: &str, target| place.root.make_link(&wire(name), target, Replace::Yes);
    assert_eq!(make("d/link", b"../a").unwrap(), Some(wire("d/link")));
    assert_eq!(make("d/link", b"../a").unwrap(), None);
    assert_eq!(make("d/link", b"b").unwrap(), Some(wire("d/link")));
    assert_eq!(fs::read_link(place.path("d/link")).unwrap(), Path::new("b"));
    place.write("d/file", b"x");
    assert_eq!(make("d/file", b"b").unwrap(), Some(wire("d/file")));
    fs::create_dir_all(place.path("d/dir/x")).unwrap();
    assert_eq!(make("d/dir", b"b").unwrap_err().status(), Status::BadName);
    assert_eq!(fs::read_dir(place.path("d")).unwrap().count(), 3, "no temporary name is left");
}

#[test]
fn a_link_spares_what_has_its_name_where_nothing_may_be_replaced() {
    let place = TestRoot::new();
    let make = |name: &str, target, replace| place.root.make_link(&wire(name), target, replace);
    for name in ["file", "link"] {
        match name {
            "file" => place.write(name, b"the only copy"),
            _ => symlink("elsewhere", place.path(name)).unwrap(),
        }
        assert_eq!(make(name, b"b", Replace::No).unwrap_err().status(), Status::Exists, "{name}");
        let aside = wire(&format!("{name}~1"));
        assert_eq!(make(name, b"b", Replace::RenameFree).unwrap(), Some(aside.clone()));
        assert_eq!(fs::read_link(place.path(aside.to_string())).unwrap(), Path::new("b"));
    }
    assert_eq!(fs::read(place.path("file")).unwrap(), b"the only copy");
    assert_eq!(fs::read_link(place.path("link")).unwrap(), Path::new("elsewhere"));
    assert_eq!(fs::read_dir(place.path("")).unwrap().count(), 4, "no temporary name is left");
}

#[test]
fn a_link_that_leaves_the_root_is_refused() {
    let place = TestRoot::new();
    for (path, target) in [
        ("link", &b"/etc/passwd"[..]),
        ("link", b".."),
        ("link", b"a/../.."),
        ("a/link", b"../../outside"),
        ("link", b""),
        ("link", b"a\0b"),
    ] {
        assert_eq!(place.root.make_link(&wire(path), target, Replace::Yes).unwrap_err().status(), Status::BadName);
    }
    for (depth, target) in [(0, &b"a"[..]), (1, b".."), (1, b"../b/../../root/../x"), (2, b"../../a//./b")] {
        let stays = depth != 1 || target != b"../b/../../root/../x";
        assert_eq!(link_stays_inside(depth, target), stays, "{depth} {target:?}");
    }
}

#[test]
fn a_directory_gets_time_and_permission_but_no_set_id_bits() {
    let place = TestRoot::new();
    place.root.make_dir(&wire("a/b")).unwrap();
    place.root.set_dir_meta(&wire("a/b"), SOME_TIME, 0o7750).unwrap();
    let meta = place.root.stat(&wire("a/b")).unwrap().unwrap();
    assert_eq!((meta.mtime, meta.mode), (SOME_TIME, 0o750));
    fs::set_permissions(place.path("a/b"), fs::Permissions::from_mode(0o3710)).unwrap();
    place.root.set_dir_meta(&wire("a/b"), SOME_TIME, 0o777).unwrap();
    let meta = place.root.stat(&wire("a/b")).unwrap().unwrap();
    assert_eq!(meta.mode, 0o3710, "what its owner has given it stays, and it does not become wider");
    let hostile = Mtime { secs: 5, nanos: u32::MAX };
    place.root.set_dir_meta(&wire("a/b"), hostile, 0o750).unwrap();
    assert_eq!(place.root.stat(&wire("a/b")).unwrap().unwrap().mtime.secs, 5);
}

#[test]
fn a_root_further_down_is_confined_to_itself() {
    let place = TestRoot::new();
    place.write("d/a", b"x");
    place.write("b", b"x");
    symlink("../b", place.path("d/up")).unwrap();
    symlink("..", place.path("d/top")).unwrap();
    for root in place.roots() {
        let below = root.client_root(&wire("d"), false).unwrap();
        assert_eq!(below.path(), place.path("d"));
        assert!(below.tree().stat(&wire("a")).unwrap().is_some());
        assert_eq!(below.tree().stat(&wire("top/b")).unwrap_err().status(), Status::BadName);
        below.destination().sync_dir(None).unwrap();
        root.destination().sync_dir(Some(&wire("d"))).unwrap();
        assert_eq!(root.client_root(&wire("new/root"), false).unwrap_err().status(), Status::NotFound);
        let new = root.client_root(&wire("new/root"), true).unwrap();
        new.destination().make_dir(&wire("x")).unwrap();
        assert!(place.path("new/root/x").is_dir());
        fs::remove_dir_all(place.path("new")).unwrap();
    }
}

#[test]
fn what_was_named_bounds_what_is_read() {
    let place = TestRoot::new();
    place.write("d/sub/a", b"named");
    place.write("private/sub/a", b"private");
    place.write("beside", b"z");
    let (d, file) = (wire("d"), wire("d/sub/a"));
    for root in place.roots() {
        let trees = || root.tree().narrowed_in_both_ways(&d);
        for tree in trees() {
            assert!(tree.stat(&d).unwrap().is_some());
            assert!(tree.open_source(&file).is_ok());
            for outside in ["beside", "private", "private/sub/a", "dd", "dd/x"].map(wire) {
                assert!(tree.stat(&outside).is_err(), "{outside}");
                assert!(tree.open_source(&outside).is_err(), "{outside}");
                assert!(tree.open_dir(Some(&outside)).is_err(), "{outside}");
            }
        }
        // Somebody who may write to the directory above gives its name to another one, as a link and as itself.
        for as_link in [true, false] {
            let [held, known] = trees();
            fs::rename(place.path("d"), place.path("away")).unwrap();
            match as_link {
                true => symlink("private", place.path("d")).unwrap(),
                false => fs::rename(place.path("private"), place.path("d")).unwrap(),
            }
            assert_eq!(held.open_source(&file).unwrap().meta().size, 5, "it is still the one that was named");
            assert!(held.stat(&d).unwrap().is_some());
            for status in [
                known.stat(&d).unwrap_err().status(),
                known.open_source(&file).unwrap_err().status(),
                known.narrowed(&d).unwrap_err().status(),
            ] {
                assert_eq!(status, Status::BadName);
            }
            match as_link {
                true => fs::remove_file(place.path("d")).unwrap(),
                false => fs::rename(place.path("d"), place.path("private")).unwrap(),
            }
            fs::rename(place.path("away"), place.path("d")).unwrap();
            assert!(known.open_source(&file).is_ok(), "it is back");
        }
    }
}

#[test]
fn very_many_named_directories_are_not_all_held_open() {
    let place = TestRoot::new();
    let tree = place.tree();
    let open = || fs::read_dir("/proc/self/fd").unwrap().count();
    let before = open();
    let names: Vec<WirePath> = (0..2000).map(|n| wire(&format!("{n}/a"))).collect();
    names.iter().for_each(|name| place.write(&name.to_string(), b"x"));
    let trees: Vec<Tree> = names.iter().map(|name| tree.narrowed(&name.parent().unwrap()).unwrap()).collect();
    // Other tests open files at the same time, but not thousands.
    assert!(open() < before + 1000);
    assert!(names.iter().zip(&trees).all(|(name, tree)| tree.open_source(name).is_ok()));
}

#[test]
fn a_root_is_made_with_its_parents() {
    let place = TestRoot::new();
    let root = Root::create(&place.path("x/y/z")).unwrap().destination();
    root.make_dir(&wire("a")).unwrap();
    assert!(place.path("x/y/z/a").is_dir());
    assert!(Root::create(&place.path("x/y")).is_ok());
    place.write("file", b"");
    assert_eq!(Root::create(&place.path("file")).unwrap_err().status(), Status::BadName);
    assert_eq!(Root::open(&place.path("missing")).unwrap_err().status(), Status::NotFound);
}

#[test]
fn names_are_bytes() {
    let place = TestRoot::new();
    let odd = WirePath::parse(b"new\nline\xff/\x1b[2J\xfe").unwrap();
    place.root.make_dir(&odd).unwrap();
    assert_eq!(place.root.stat(&odd).unwrap().unwrap().kind, Kind::Dir);
    let error = place.root.open_source(&odd).unwrap_err();
    assert_eq!(error.to_string(), "cannot open new\\nline\\377/\\033[2J\\376: Is a directory");
}

#[test]
fn links_that_a_dead_process_of_the_same_number_left_are_not_in_the_way() {
    let place = TestRoot::new();
    let used = String::from_utf8(crate::storage::own_names::scratch_name(link::TEMPORARY)).unwrap();
    let number: u64 = used.trim_end_matches(".qft-part").rsplit('-').next().unwrap().parse().unwrap();
    // Other tests count up meanwhile, but not so far.
    for number in number..number + 40 {
        place.write(&format!(".qft-link-{}-{number}.qft-part", std::process::id()), b"left");
    }
    for n in 0..8 {
        let name = wire(&format!("link{n}"));
        assert_eq!(place.root.make_link(&name, b"x", Replace::Yes).unwrap(), Some(name));
    }
}

#[test]
fn a_withheld_directory_is_not_there_whenever_it_is_made_and_by_whatever_name() {
    let place = TestRoot::new();
    place.write("shown/f", b"x");
    let home = place.path("shown/home");
    for root in place.roots().map(|root| root.withholding(&home)) {
        let (read, written) = (root.tree(), root.destination());
        assert!(read.open_source(&wire("shown/f")).is_ok());
        // Made when the root has long been in use, and below another root of it.
        place.write("shown/home/key", b"secret");
        place.write("shown/home/deep/key", b"secret");
        let below = root.client_root(&wire("shown"), false).unwrap();
        for name in ["shown/home/key", "shown/home/deep/key", "shown/home/new"] {
            assert!(read.open_source(&wire(name)).is_err(), "{name}");
            assert!(!matches!(read.stat(&wire(name)), Ok(Some(_))), "{name}");
            assert!(!matches!(written.stat(&wire(name)), Ok(Some(_))), "{name}");
            let part = Part::open(&written, &wire(name), Owner::Anyone, Fresh::No);
            assert_eq!(part.unwrap_err().status(), Status::NotAllowed, "{name}");
            let name = name.strip_prefix("shown/").unwrap();
            assert!(below.tree().open_source(&wire(name)).is_err(), "{name}");
            let narrowed = read.narrowed(&wire("shown")).unwrap();
            assert!(narrowed.open_source(&wire(&format!("shown/{name}"))).is_err(), "{name}");
        }
        assert!(root.client_root(&wire("shown/home"), true).is_err());
        assert!(written.make_dir(&wire("shown/home/d")).is_err());
        assert!(written.make_link(&wire("shown/home/l"), b"x", Replace::Yes).is_err());
        assert!(written.set_dir_meta(&wire("shown/home"), SOME_TIME, 0).is_err());
        assert!(written.open_up_dir(&wire("shown/home")).is_err());
        // Moved, it is another path's: what is withheld is what has the path now.
        fs::rename(place.path("shown/home"), place.path("moved")).unwrap();
        assert!(read.open_source(&wire("moved/key")).is_ok());
        symlink("../moved", &home).unwrap();
        // A tree that has just been there holds the directory for a second.
        assert!(root.tree().open_source(&wire("moved/key")).is_err());
        assert!(root.tree().open_source(&wire("moved/deep/key")).is_err());
        fs::remove_file(&home).unwrap();
        fs::remove_dir_all(place.path("moved")).unwrap();
    }
}

#[test]
fn a_walk_leaves_a_withheld_directory_out() {
    let place = TestRoot::new();
    for name in ["a/f", "a/home/key", "home"] {
        place.write(name, b"x");
    }
    let [root, _] = place.roots().map(|root| root.withholding(&place.path("a/home")).tree());
    let everything = WalkRequest { root, at: None, name: None, whole: true, named: true };
    let found = walk(vec![everything], Filters::none(), Links::Skip);
    let names: Vec<_> =
        found.map(|found| if let WalkEntry::File { at, .. } = found { at.to_string() } else { panic!() }).collect();
    assert_eq!(names, ["a", "a/f", "home"], "{names:?}");
}

#[test]
fn a_directory_is_opened_for_its_owner_alone() {
    let place = TestRoot::new();
    place.root.make_dir(&wire("shut")).unwrap();
    // The sticky bit marks that it is to be shut again.
    for (before, after) in [(0o555, 0o1755), (0o2511, 0o3711), (0o000, 0o1700), (0o1755, 0o1755)] {
        fs::set_permissions(place.path("shut"), fs::Permissions::from_mode(before)).unwrap();
        let opened = bound_by_permissions(|| {
            place.root.open_up_dir(&wire("shut")).unwrap();
            place.root.stat(&wire("shut")).unwrap().unwrap().mode
        });
        assert_eq!(opened, after, "{before:o}");
    }
    symlink("shut", place.path("link")).unwrap();
    assert!(place.root.open_up_dir(&wire("link")).is_err());
}
