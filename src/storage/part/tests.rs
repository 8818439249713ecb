use super::*;
use crate::protocol::message::Status;
use crate::protocol::path::{COMPONENT_BYTES_MAX, PART_SUFFIX};
use crate::storage::part_name::{is_part_name, owned_part_name, part_name};
use crate::storage::testing::{TestRoot, bound_by_permissions, wire};
use rustix::fs::{FileType, Mode};
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

fn open(place: &TestRoot, name: &str) -> Part {
    Part::open(&place.root, &wire(name), Owner::Anyone, Fresh::No).unwrap()
}

#[test]
fn a_part_lies_beside_its_target_and_belongs_to_its_owner() {
    let place = TestRoot::new();
    let part = open(&place, "a/b/c");
    part.write_at(b"hello", 0).unwrap();
    let found = fs::metadata(place.path("a/b/.c.qft-part")).unwrap();
    assert_eq!((found.len(), found.mode() & 0o7777), (5, 0o600));
    assert!(!place.path("a/b/c").exists());
}

#[test]
fn a_part_is_kept_and_continued_or_emptied() {
    let place = TestRoot::new();
    assert_eq!(Part::peek(&place.root, &wire("d/a"), Owner::Anyone).unwrap(), None);
    open(&place, "d/a").write_at(b"hello", 0).unwrap();
    assert_eq!(Part::peek(&place.root, &wire("d/a"), Owner::Anyone).unwrap(), Some(5));
    let part = open(&place, "d/a");
    assert_eq!(part.len(), 5);
    part.write_at(b" you", 5).unwrap();
    let mut buf = [0; 20];
    assert_eq!(part.read_at(&mut buf, 0).unwrap(), 9);
    assert_eq!(&buf[..9], b"hello you");
    drop(part);
    assert_eq!(Part::open(&place.root, &wire("d/a"), Owner::Anyone, Fresh::Yes).unwrap().len(), 0);
}

#[test]
fn a_part_that_never_held_anything_leaves_nothing_behind() {
    let place = TestRoot::new();
    drop(open(&place, "a"));
    assert!(!place.path(".a.qft-part").exists());
    let part = open(&place, "a");
    part.write_at(b"x", 0).unwrap();
    part.discard().unwrap();
    assert!(!place.path(".a.qft-part").exists());
}

#[test]
fn a_second_writer_is_busy_until_the_first_is_gone() {
    let place = TestRoot::new();
    let first = open(&place, "a");
    first.write_at(b"mine", 0).unwrap();
    for fresh in [Fresh::Yes, Fresh::No] {
        let second = Part::open(&place.root, &wire("a"), Owner::Anyone, fresh).unwrap_err();
        assert_eq!(second.status(), Status::Busy);
    }
    assert_eq!(first.len(), 4);
    drop(first);
    assert_eq!(open(&place, "a").len(), 4);
}

#[test]
fn many_openers_at_once_never_share_a_part() {
    let place = TestRoot::new();
    std::thread::scope(|scope| {
        for byte in 1..=4_u8 {
            let place = &place;
            scope.spawn(move || {
                for _ in 0..200 {
                    match Part::open(&place.root, &wire("a"), Owner::Anyone, Fresh::Yes) {
                        Ok(part) => {
                            part.write_at(&[byte; 100], 0).unwrap();
                            let mut buf = [0; 200];
                            assert_eq!(part.read_at(&mut buf, 0).unwrap(), 100);
                            assert_eq!(buf[..100], [byte; 100]);
                            part.discard().unwrap();
                        }
                        Err(error) => assert_eq!(error.status(), Status::Busy, "{error}"),
                    }
                }
            });
        }
    });
}

#[test]
fn whatever_was_planted_at_the_parts_name_is_not_followed() {
    let place = TestRoot::new();
    let outside = place.temp.path().join("outside");
    symlink("../outside/secret", place.path(".link.qft-part")).unwrap();
    symlink("../outside/new", place.path(".dangling.qft-part")).unwrap();
    fs::hard_link(outside.join("secret"), place.path(".hard.qft-part")).unwrap();
    let mode = Mode::RUSR | Mode::WUSR;
    let fifo = place.path(".fifo.qft-part");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, FileType::Fifo, mode, 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(place.path(".socket.qft-part")).unwrap();
    for name in ["link", "dangling", "hard", "fifo", "socket"] {
        assert!(matches!(Part::peek(&place.root, &wire(name), Owner::Anyone), Ok(None | Some(6)) | Err(_)), "{name}");
        let part = open(&place, name);
        assert_eq!(part.len(), 0, "{name}");
        part.write_at(b"written", 0).unwrap();
        assert!(fs::symlink_metadata(place.path(format!(".{name}.qft-part"))).unwrap().is_file());
    }
    place.assert_outside_untouched();
}

#[test]
fn a_directory_in_the_parts_place_keeps_its_name_and_no_file_from_coming() {
    let place = TestRoot::new();
    place.write(".a.qft-part/inside", b"theirs");
    open(&place, "a").write_at(b"hello", 0).unwrap();
    assert_eq!(Part::peek(&place.root, &wire("a"), Owner::Anyone).unwrap(), Some(5));
    assert_eq!(open(&place, "a").len(), 5, "it is continued under its other name");
    assert_eq!(fs::read(place.path(".a.qft-part/inside")).unwrap(), b"theirs");
}

#[test]
fn a_part_below_a_link_out_of_the_root_is_refused() {
    let place = TestRoot::new();
    symlink("../outside", place.path("out")).unwrap();
    for root in place.destinations() {
        assert_eq!(Part::open(&root, &wire("out/a"), Owner::Anyone, Fresh::No).unwrap_err().status(), Status::BadName);
        assert_eq!(Part::peek(&root, &wire("out/a"), Owner::Anyone).unwrap_err().status(), Status::BadName);
    }
    place.assert_outside_untouched();
}

#[test]
fn long_names_have_parts_of_their_own() {
    let name = |len: usize, last: &str| "n".repeat(len - last.len()) + last;
    for longest in [COMPONENT_BYTES_MAX, 143] {
        for len in [1, 131, 132, 133, 134, 143, 243, 244, 245, 246, 255] {
            let part = part_name(name(len, "a").as_bytes(), longest);
            assert!(part.len() <= longest && is_part_name(&part), "{len} of {longest}");
            assert_ne!(part, part_name(name(len, "b").as_bytes(), longest), "{len} of {longest}");
        }
    }
    // A name that looks like a shortened one is not mistaken for it.
    let long = part_name(name(255, "a").as_bytes(), COMPONENT_BYTES_MAX);
    let looks_like_it = &long[1..long.len() - PART_SUFFIX.len()];
    assert_ne!(part_name(looks_like_it, COMPONENT_BYTES_MAX), long);
    let umlauts = "ü".repeat(127);
    assert!(std::str::from_utf8(&part_name(umlauts.as_bytes(), COMPONENT_BYTES_MAX)).is_ok());

    let place = TestRoot::new();
    let [a, b] = ["a", "b"].map(|last| open(&place, &name(255, last)));
    a.write_at(b"a", 0).unwrap();
    b.write_at(b"bb", 0).unwrap();
    assert_eq!((a.len(), b.len()), (1, 2));
}

#[test]
fn an_owned_part_is_nobody_elses() {
    let place = TestRoot::new();
    let (mine, yours) = (Owner::Only("mine"), Owner::Only("yours"));
    let part = Part::open(&place.root, &wire("a"), mine, Fresh::No).unwrap();
    part.write_at(b"secret", 0).unwrap();
    // No lock of one keeps another out.
    Part::open(&place.root, &wire("a"), yours, Fresh::No).unwrap().write_at(b"own", 0).unwrap();
    drop(part);
    for (owner, expected) in [(mine, Some(6)), (yours, Some(3)), (Owner::Anyone, None)] {
        assert_eq!(Part::peek(&place.root, &wire("a"), owner).unwrap(), expected);
    }
    assert!(
        fs::read_dir(place.path("")).unwrap().all(|entry| is_part_name(entry.unwrap().file_name().as_encoded_bytes()))
    );
}

#[test]
fn an_owned_part_has_a_name_that_no_other_part_can_have() {
    let owned = owned_part_name(b"a", b"me", COMPONENT_BYTES_MAX);
    // It would be the part of a file with a reserved name.
    assert_eq!(&*owned, &*part_name(b"a~me.qft-part", COMPONENT_BYTES_MAX));
    assert!(WirePath::parse(b"a~me.qft-part").is_err());
    for name in [&b"a"[..], b"a~me", b"a~me.qft"] {
        assert_ne!(part_name(name, COMPONENT_BYTES_MAX), owned);
    }
    let long = owned_part_name(&[b'n'; 255], b"me", COMPONENT_BYTES_MAX);
    assert!(
        long.len() <= 255 && is_part_name(&long) && long != owned_part_name(&[b'n'; 255], b"you", COMPONENT_BYTES_MAX)
    );
}

#[test]
fn a_part_that_was_made_read_only_before_its_process_died_is_continued() {
    let place = TestRoot::new();
    open(&place, "a").write_at(b"hello", 0).unwrap();
    let set_mode = |mode| fs::set_permissions(place.path(".a.qft-part"), fs::Permissions::from_mode(mode)).unwrap();
    set_mode(0o444);
    bound_by_permissions(|| {
        let part = open(&place, "a");
        part.write_at(b" you", 5).unwrap();
        assert_eq!(part.len(), 9);
        // A living writer has just given it its final mode: not ours to take.
        set_mode(0o444);
        let busy = Part::open(&place.root, &wire("a"), Owner::Anyone, Fresh::No).unwrap_err();
        assert_eq!(busy.status(), Status::Busy);
        assert_eq!(fs::metadata(place.path(".a.qft-part")).unwrap().mode() & 0o7777, 0o444);
    });
}

#[test]
fn a_read_only_file_with_a_second_name_is_no_part_to_open_up() {
    let place = TestRoot::new();
    place.write("theirs", b"x");
    fs::hard_link(place.path("theirs"), place.path(".a.qft-part")).unwrap();
    fs::set_permissions(place.path("theirs"), fs::Permissions::from_mode(0o444)).unwrap();
    bound_by_permissions(|| open(&place, "a").write_at(b"mine", 0).unwrap());
    assert_eq!(fs::metadata(place.path("theirs")).unwrap().mode() & 0o7777, 0o444);
    assert_eq!(fs::read(place.path("theirs")).unwrap(), b"x");
}

/// A user who is nobody else in a test.
const STRANGER: u32 = 65534;

/// Gives a file away; only the administrator can.
fn give_away(path: &Path) -> bool {
    let is_given = std::os::unix::fs::chown(path, Some(STRANGER), Some(STRANGER)).is_ok();
    if !is_given {
        println!("skipped: only root gives files away");
    }
    is_given
}

#[test]
fn what_another_user_has_put_in_the_parts_place_is_neither_used_nor_harmed() {
    for planted in [&b""[..], &[7; 3 << 20]] {
        let place = TestRoot::new();
        place.write(".a.qft-part", planted);
        if !give_away(&place.path(".a.qft-part")) {
            return;
        }
        let part = open(&place, "a");
        assert!(part.is_empty(), "nothing of his is continued");
        part.write_at(b"secret", 0).unwrap();
        assert_eq!(fs::metadata(place.path(".a.qft-part")).unwrap().uid(), STRANGER);
        assert_eq!(fs::read(place.path(".a.qft-part")).unwrap(), planted);
        drop(part);
        assert_eq!(Part::peek(&place.root, &wire("a"), Owner::Anyone).unwrap(), Some(6), "ours is continued");
        let part = open(&place, "a");
        assert_eq!(part.len(), 6);
        let second = Part::open(&place.root, &wire("a"), Owner::Anyone, Fresh::No).unwrap_err();
        assert_eq!(second.status(), Status::Busy);
        part.discard().unwrap();
        assert_eq!(fs::read_dir(place.path("")).unwrap().count(), 1, "nothing of ours is left");
    }
}

#[test]
fn without_a_free_name_for_a_part_that_is_said() {
    let place = TestRoot::new();
    let dir = Dir::open(&place.path("")).unwrap();
    let names = [Owner::Anyone.part_name(&dir, &wire("a")), Owner::Anyone.spare_part_name(&dir, &wire("a"))];
    for name in names.map(|name| String::from_utf8(name.to_vec()).unwrap()) {
        place.write(&name, b"x");
        if !give_away(&place.path(&name)) {
            return;
        }
    }
    let refused = Part::open(&place.root, &wire("a"), Owner::Anyone, Fresh::Yes).unwrap_err();
    assert_eq!(refused.status(), Status::NotAllowed);
    assert!(refused.to_string().contains("other users"), "{refused}");
}

#[test]
fn a_part_is_free_when_nobody_writes_it() {
    let place = TestRoot::new();
    let check = || Part::check_free(&place.root, &wire("d/a"), Owner::Anyone);
    check().unwrap();
    let part = Part::open(&place.root, &wire("d/a"), Owner::Anyone, Fresh::Yes).unwrap();
    part.write_at(b"x", 0).unwrap();
    assert_eq!(check().unwrap_err().status(), Status::Busy);
    drop(part);
    assert_eq!(Part::peek(&place.root, &wire("d/a"), Owner::Anyone).unwrap(), Some(1));
    check().unwrap();
}
