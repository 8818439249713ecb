use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;

use super::*;
use crate::protocol::message::Status;
use crate::storage::part::Fresh;
use crate::storage::part_name::Owner;
use crate::storage::root::Root;
use crate::storage::testing::{SOME_TIME, TestRoot, wire};

const PIECE: u64 = HOLE_BYTES as u64;

fn open(place: &TestRoot, name: &str) -> Part {
    Part::open(&place.root, &wire(name), Owner::Anyone, Fresh::No).unwrap()
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n % 251) as u8 + 1).collect()
}

fn allocated(place: &TestRoot, name: &str) -> u64 {
    fs::metadata(place.path(name)).unwrap().blocks() * 512
}

#[test]
fn zeros_become_holes_and_read_as_zeros() {
    let place = TestRoot::new();
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
    part.finish(32 * PIECE, SOME_TIME, 0o600).unwrap();
    assert!(fs::read(place.path(".a.qft-part")).unwrap() == content);
}

#[test]
fn zeros_over_data_are_written() {
    let place = TestRoot::new();
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
    let place = TestRoot::new();
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
    let place = TestRoot::new();
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
    let place = TestRoot::new();
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
    let place = TestRoot::new();
    let part = open(&place, "a");
    part.reserve(RESERVE_MIN_BYTES - 1).unwrap();
    assert_eq!(allocated(&place, ".a.qft-part"), 0);
    part.reserve(4 << 20).unwrap();
    assert_eq!(fs::metadata(place.path(".a.qft-part")).unwrap().len(), 0);
    part.write_at(b"x", 0).unwrap();
    part.finish(1, SOME_TIME, 0o600).unwrap();
    assert!(allocated(&place, ".a.qft-part") <= PIECE, "what was reserved in vain is given back");
}

#[test]
fn an_adopted_basis_keeps_its_content_and_its_holes() {
    let place = TestRoot::new();
    let basis = File::create(place.path("old")).unwrap();
    basis.write_all_at(&pattern(3 * HOLE_BYTES + 5), 20 * PIECE).unwrap();
    basis.set_len(100 * PIECE).unwrap();
    let source = place.root.open_source(&wire("old")).unwrap();
    let content = fs::read(place.path("old")).unwrap();
    // Less than there is, so that it takes turns.
    const STEP: u64 = 2 * PIECE + 7;
    for len in [100 * PIECE, 21 * PIECE, 5, u64::MAX] {
        let part = open(&place, "new");
        part.write_at(b"rubbish from before", 0).unwrap();
        let mut adoption = part.adopt(&source, len).unwrap();
        while !part.adopt_more(&source, &mut adoption, STEP).unwrap() {}
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
    let root = Root::open(disk.0.path()).unwrap().destination();
    let part = Part::open(&root, &wire("a"), Owner::Anyone, Fresh::No).unwrap();
    assert_eq!(part.reserve(64 << 20).unwrap_err().status(), Status::NoSpace);
    part.write_at(&pattern(512 << 10), 0).unwrap();
    assert_eq!(part.write_at(&pattern(1 << 20), 512 << 10).unwrap_err().status(), Status::NoSpace);
    drop(part);
    assert!(Part::peek(&root, &wire("a"), Owner::Anyone).unwrap() >= Some(512 << 10));
    let full = (0..20).find_map(|n| Part::open(&root, &wire(&format!("d{n}/a")), Owner::Anyone, Fresh::No).err());
    assert_eq!(full.map(|error| error.status()), Some(Status::NoSpace));
}
