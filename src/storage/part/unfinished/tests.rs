use std::fs::{self, File};

use super::*;
use crate::protocol::path::{PART_SUFFIX, escape};
use crate::storage::part::Part;
use crate::storage::testing::{TestRoot, wire};
use crate::storage::{Fresh, Owner};

/// What a transfer left so many days ago.
fn old(place: &TestRoot, file: &str, owner: Owner<'_>, days: u64) {
    let parent = place.path(file).parent().unwrap().to_owned();
    fs::create_dir_all(&parent).unwrap();
    let path = parent.join(OsStr::from_bytes(&owner.part_name(&Dir::open(&parent).unwrap(), &wire(file))));
    fs::write(&path, [0; 10]).unwrap();
    let time = SystemTime::now() - Duration::from_secs(days * 86_400);
    File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

fn lines(mut search: PartSearch) -> Vec<String> {
    let mut lines = Vec::new();
    while let ControlFlow::Continue(found) = search.step() {
        lines.extend(found.map(|found| match found {
            Ok(Unfinished { path, size, fate, .. }) => match fate {
                Fate::Kept => format!("{path} {size}"),
                Fate::Removed => format!("{path} removed"),
                Fate::Left(failure) => format!("{path} {:?}", failure.status),
            },
            Err((name, failure)) => format!("!{} {:?}", escape(&name), failure.status),
        }));
    }
    lines.sort();
    lines
}

fn count(place: &TestRoot, dir: &str) -> usize {
    let entries = fs::read_dir(place.path(dir)).unwrap();
    entries.filter(|entry| entry.as_ref().unwrap().file_name().as_encoded_bytes().ends_with(PART_SUFFIX)).count()
}

#[test]
fn they_are_found_below_a_directory_or_by_the_name_of_the_file() {
    let place = TestRoot::new();
    old(&place, "a", Owner::Anyone, 1);
    old(&place, "d/e/b", Owner::Anyone, 40);
    old(&place, "d/c", Owner::Only("kx42"), 40);
    fs::write(place.path("d/done"), b"x").unwrap();
    let all = || PartSearch::new(place.tree(), None);
    assert_eq!(lines(all()), ["a 10", "d/c 10", "d/e/b 10"]);
    assert_eq!(lines(all().older(Duration::from_secs(30 * 86_400))), ["d/c 10", "d/e/b 10"]);
    assert_eq!(lines(all().of(Some("kx42".to_owned()))), ["d/c 10"]);
    assert_eq!(lines(PartSearch::new(place.tree(), Some(wire("d")))), ["d/c 10", "d/e/b 10"]);
    assert_eq!(lines(PartSearch::new(place.tree(), Some(wire("d/e/b")))), ["d/e/b 10"]);
    assert_eq!(lines(PartSearch::new(place.tree(), Some(wire("d/e/none")))), [""; 0]);
    assert_eq!(lines(PartSearch::new(place.tree(), Some(wire("none/x")))), ["!none NotFound"]);
    assert_eq!(lines(PartSearch::new(place.tree(), Some(wire("none/x"))).of(Some("kx42".to_owned()))), [""; 0]);
}

#[test]
fn what_is_being_written_stays_and_so_does_what_is_no_part_of_ours() {
    let place = TestRoot::new();
    place.write(".other.qft-part", b"a file with two names");
    fs::hard_link(place.path(".other.qft-part"), place.path("second")).unwrap();
    std::os::unix::fs::symlink("second", place.path(".link.qft-part")).unwrap();
    place.write(".qft-part", b"no name");
    place.write("b.qft-part", b"no dot");
    fs::create_dir(place.path(".dir.qft-part")).unwrap();
    let busy = Part::open(&place.root, &wire("busy"), Owner::Anyone, Fresh::No).unwrap();
    busy.file().set_len(1).unwrap();
    let search = || PartSearch::new(place.tree(), None).removing(Removal::ByUser);
    assert_eq!(lines(search()), ["busy Busy"]);
    drop(busy);
    old(&place, "busy", Owner::Anyone, 0);
    assert_eq!(lines(search()), ["busy removed"]);
    assert_eq!(count(&place, "."), 5);
}

#[test]
fn a_client_removes_what_it_could_continue() {
    let place = TestRoot::new();
    for owner in [Owner::Anyone, Owner::Only("kx42"), Owner::Only("other")] {
        old(&place, "d/f", owner, 0);
    }
    let search = |owner: Option<&str>| {
        PartSearch::new(place.tree(), None).of(owner.map(str::to_owned)).removing(Removal::ByClient)
    };
    assert_eq!(lines(search(Some("kx42"))), ["d/f removed"]);
    assert_eq!(lines(search(None)), ["d/f NotAllowed", "d/f removed"]);
    assert_eq!(lines(PartSearch::new(place.tree(), None).removing(Removal::ByServer)), ["d/f removed"]);
}
