use super::*;
use crate::protocol::message::Status;
use crate::protocol::path::{COMPONENT_BYTES_MAX, PART_SUFFIX};
use crate::storage::testing::{Place, wire};
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};

const PIECE: u64 = HOLE_BYTES as u64;

fn open(place: &Place, name: &str) -> Part {
    Part::open(&place.root, &wire(name), Owner::Anyone, Fresh::No).unwrap()
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n % 251) as u8 + 1).collect()
}

fn allocated(place: &Place, name: &str) -> u64 {
    fs::metadata(place.path(name)).unwrap().blocks() * 512
}

#[test]
fn a_part_lies_beside_its_target_and_belongs_to_its_owner() {
    let place = Place::new();
    let part = open(&place, "a/b/c");
    part.write_at(b"hello", 0).unwrap();
    let found = fs::metadata(place.path("a/b/.c.qft-part")).unwrap();
    assert_eq!((found.len(), found.mode() & 0o7777), (5, 0o600));
    assert!(!place.path("a/b/c").exists());
}

#[test]
fn a_part_is_kept_and_continued_or_emptied() {
    let place = Place::new();
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
    let place = Place::new();
    drop(open(&place, "a"));
    assert!(!place.path(".a.qft-part").exists());
    let part = open(&place, "a");
    part.write_at(b"x", 0).unwrap();
    part.discard().unwrap();
    assert!(!place.path(".a.qft-part").exists());
}

#[test]
fn a_second_writer_is_busy_until_the_first_is_gone() {
    let place = Place::new();
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
    let place = Place::new();
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
    let place = Place::new();
    let outside = place.temp.path().join("outside");
    symlink("../outside/secret", place.path(".link.qft-part")).unwrap();
    symlink("../outside/new", place.path(".dangling.qft-part")).unwrap();
    fs::hard_link(outside.join("secret"), place.path(".hard.qft-part")).unwrap();
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
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
    fs::create_dir(place.path(".dir.qft-part")).unwrap();
    let error = Part::open(&place.root, &wire("dir"), Owner::Anyone, Fresh::Yes).unwrap_err();
    assert_eq!(error.status(), Status::BadName);
}

#[test]
fn a_part_below_a_link_out_of_the_root_is_refused() {
    let place = Place::new();
    symlink("../outside", place.path("out")).unwrap();
    for root in place.roots() {
        assert_eq!(Part::open(&root, &wire("out/a"), Owner::Anyone, Fresh::No).unwrap_err().status(), Status::BadName);
        assert_eq!(Part::peek(&root, &wire("out/a"), Owner::Anyone).unwrap_err().status(), Status::BadName);
    }
    place.assert_outside_untouched();
}

#[test]
fn long_names_have_parts_of_their_own() {
    let name = |len: usize, last: &str| "n".repeat(len - last.len()) + last;
    for len in [1, 243, 244, 245, 246, 255] {
        let part = part_name(name(len, "a").as_bytes());
        assert!(part.len() <= COMPONENT_BYTES_MAX && is_part_name(&part), "{len}");
        assert_ne!(part, part_name(name(len, "b").as_bytes()), "{len}");
    }
    // A name that looks like a shortened one is not mistaken for it.
    let long = part_name(name(255, "a").as_bytes());
    let looks_like_it = &long[1..long.len() - PART_SUFFIX.len()];
    assert_ne!(part_name(looks_like_it), long);
    let umlauts = "ü".repeat(127);
    assert!(std::str::from_utf8(&part_name(umlauts.as_bytes())).is_ok());

    let place = Place::new();
    let [a, b] = ["a", "b"].map(|last| open(&place, &name(255, last)));
    a.write_at(b"a", 0).unwrap();
    b.write_at(b"bb", 0).unwrap();
    assert_eq!((a.len(), b.len()), (1, 2));
}

#[test]
fn zeros_become_holes_and_read_as_zeros() {
    let place = Place::new();
    let part = open(&place, "a");
    let mut content = pattern(HOLE_BYTES);
    content.extend(vec![0; 15 * HOLE_BYTES]);
    content.extend(pattern(100));
    content.resize(32 * HOLE_BYTES, 0);
    part.write_at(&content, 0).unwrap();
    assert_eq!(part.len(), 32 * PIECE);
    assert!(allocated(&place, ".a.qft-part") < 4 * PIECE);
    let mut read = vec![1; content.len() + 10];
    assert_eq!(part.read_at(&mut read, 0).unwrap(), content.len());
    assert!(read[..content.len()] == content);
    assert_eq!(part.read_at(&mut read, 32 * PIECE - 5).unwrap(), 5);
    part.finish(32 * PIECE, crate::storage::testing::SOME_TIME, 0o600).unwrap();
    assert!(fs::read(place.path(".a.qft-part")).unwrap() == content);
}

#[test]
fn zeros_over_data_are_written() {
    let place = Place::new();
    let part = open(&place, "a");
    part.write_at(&pattern(3 * HOLE_BYTES), 0).unwrap();
    part.write_at(&vec![0; HOLE_BYTES], PIECE).unwrap();
    drop(part);
    // Also over data that an earlier transfer left.
    let part = open(&place, "a");
    part.write_at(&vec![0; HOLE_BYTES], 0).unwrap();
    let found = fs::read(place.path(".a.qft-part")).unwrap();
    assert!(found[..2 * HOLE_BYTES].iter().all(|byte| *byte == 0));
    assert!(found[2 * HOLE_BYTES..] == pattern(3 * HOLE_BYTES)[2 * HOLE_BYTES..]);
}

#[test]
fn unaligned_and_unordered_writes_give_the_same_content() {
    let place = Place::new();
    let mut content = pattern(5 * HOLE_BYTES + 77);
    content[HOLE_BYTES - 3..4 * HOLE_BYTES + 9].fill(0);
    for size in [1000, HOLE_BYTES - 1, HOLE_BYTES, HOLE_BYTES + 1, 3 * HOLE_BYTES] {
        let part = Part::open(&place.root, &wire("a"), Owner::Anyone, Fresh::Yes).unwrap();
        let pieces: Vec<_> = content.chunks(size).enumerate().collect();
        for (n, piece) in pieces.iter().step_by(2).chain(pieces.iter().skip(1).step_by(2)) {
            part.write_at(piece, (n * size) as u64).unwrap();
        }
        let mut read = vec![1; content.len()];
        assert_eq!(part.read_at(&mut read, 0).unwrap(), content.len());
        assert!(read == content, "{size}");
        part.discard().unwrap();
    }
}

#[test]
fn several_threads_write_one_part() {
    let place = Place::new();
    let part = open(&place, "a");
    part.write_back_early();
    let content = pattern(20 << 20);
    std::thread::scope(|scope| {
        for (n, quarter) in content.chunks(5 << 20).enumerate() {
            let part = &part;
            scope.spawn(move || part.write_at(quarter, (n * (5 << 20)) as u64).unwrap());
        }
    });
    let mut read = vec![0; content.len()];
    part.read_at(&mut read, 0).unwrap();
    assert!(read == content);
}

#[test]
fn a_cut_part_has_no_data_behind_its_end() {
    let place = Place::new();
    let part = open(&place, "a");
    part.write_at(&pattern(3 * HOLE_BYTES), 0).unwrap();
    part.truncate(PIECE).unwrap();
    assert_eq!(part.len(), PIECE);
    part.write_at(&vec![0; HOLE_BYTES], 2 * PIECE).unwrap();
    let mut read = vec![1; 2 * HOLE_BYTES];
    assert_eq!(part.read_at(&mut read, PIECE).unwrap(), 2 * HOLE_BYTES);
    assert!(read.iter().all(|byte| *byte == 0));
}

#[test]
fn room_is_reserved_without_changing_the_length() {
    let place = Place::new();
    let part = open(&place, "a");
    part.reserve(RESERVE_MIN_BYTES - 1).unwrap();
    assert_eq!(allocated(&place, ".a.qft-part"), 0);
    part.reserve(4 << 20).unwrap();
    assert_eq!(fs::metadata(place.path(".a.qft-part")).unwrap().len(), 0);
    part.write_at(b"x", 0).unwrap();
    part.finish(1, crate::storage::testing::SOME_TIME, 0o600).unwrap();
    assert!(allocated(&place, ".a.qft-part") <= PIECE, "what was reserved in vain is given back");
}

#[test]
fn an_adopted_basis_keeps_its_content_and_its_holes() {
    let place = Place::new();
    let basis = File::create(place.path("old")).unwrap();
    basis.write_all_at(&pattern(3 * HOLE_BYTES + 5), 20 * PIECE).unwrap();
    basis.set_len(100 * PIECE).unwrap();
    let source = place.root.open_source(&wire("old")).unwrap();
    let content = fs::read(place.path("old")).unwrap();
    for len in [100 * PIECE, 21 * PIECE, 5, u64::MAX] {
        let part = open(&place, "new");
        part.write_at(b"rubbish from before", 0).unwrap();
        part.adopt(&source, len).unwrap();
        let len = len.min(100 * PIECE);
        assert_eq!(part.len(), len);
        assert!(allocated(&place, ".new.qft-part") <= 6 * PIECE);
        assert!(fs::read(place.path(".new.qft-part")).unwrap() == content[..len as usize]);
        // Zeros over what was adopted are written.
        part.write_at(&vec![0; HOLE_BYTES], 0).unwrap();
        part.discard().unwrap();
    }
    let part = open(&place, "new");
    part.copy_by_hand(&source, 20 * PIECE..23 * PIECE).unwrap();
    assert!(fs::read(place.path(".new.qft-part")).unwrap() == content[..23 * HOLE_BYTES]);
}

/// A file system of one mebibyte, unmounted when it is dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let temp = tempfile::tempdir().unwrap();
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m,nr_inodes=8", "tmpfs"])
            .arg(temp.path())
            .output()
            .is_ok_and(|done| done.status.success());
        if !mounted {
            println!("skipped: a small file system cannot be mounted here");
        }
        mounted.then_some(Self(temp))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_is_no_space_and_keeps_the_part() {
    let Some(disk) = SmallDisk::mount() else { return };
    let root = Root::open(disk.0.path()).unwrap();
    let part = Part::open(&root, &wire("a"), Owner::Anyone, Fresh::No).unwrap();
    assert_eq!(part.reserve(64 << 20).unwrap_err().status(), Status::NoSpace);
    part.write_at(&pattern(512 << 10), 0).unwrap();
    assert_eq!(part.write_at(&pattern(1 << 20), 512 << 10).unwrap_err().status(), Status::NoSpace);
    drop(part);
    assert!(Part::peek(&root, &wire("a"), Owner::Anyone).unwrap() >= Some(512 << 10));
    let full = (0..20).find_map(|n| Part::open(&root, &wire(&format!("d{n}/a")), Owner::Anyone, Fresh::No).err());
    assert_eq!(full.map(|error| error.status()), Some(Status::NoSpace));
}

#[test]
fn an_owned_part_is_nobody_elses() {
    let place = Place::new();
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
    let owned = owned_part_name(b"a", b"me");
    // It would be the part of a file with a reserved name.
    assert_eq!(&*owned, &*part_name(b"a~me.qft-part"));
    assert!(WirePath::parse(b"a~me.qft-part").is_err());
    for name in [&b"a"[..], b"a~me", b"a~me.qft"] {
        assert_ne!(part_name(name), owned);
    }
    let long = owned_part_name(&[b'n'; 255], b"me");
    assert!(long.len() <= 255 && is_part_name(&long) && long != owned_part_name(&[b'n'; 255], b"you"));
}
