use super::*;
use crate::transfer::CountedRoom;

fn unbounded() -> Twins<CountedRoom> {
    Twins::new(CountedRoom(usize::MAX))
}

fn path(raw: &str) -> WirePath {
    WirePath::parse(raw.as_bytes()).unwrap()
}

fn found(names: &[&str]) -> Vec<Option<String>> {
    let mut twins = unbounded();
    let note = |(id, name): (usize, &&str)| twins.note(&path(name), FileId(id as u64));
    let like = |noted| match noted {
        TwinCheck::Like(twin) => Some(twin.path.to_string()),
        TwinCheck::Alone => None,
        TwinCheck::Unsure => Some("?".to_owned()),
    };
    names.iter().enumerate().map(note).map(like).collect()
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
fn names_of_a_directory_are_remembered_when_it_is_left_and_entered_again() {
    assert_eq!(found(&["D", "D/x", "e", "D", "D/X"]), [None, None, None, None, some("D/x")]);
    assert_eq!(found(&["D/a/x", "E/a/x", "D/a/X", "E/a/x"]), [None, None, some("D/a/x"), None]);
}

#[test]
fn a_file_that_is_offered_again_keeps_its_name() {
    let mut twins = unbounded();
    let mut note = |name, id| twins.note(&path(name), FileId(id));
    assert_eq!([note("B", 0), note("B", 5)], [TwinCheck::Alone, TwinCheck::Alone]);
    assert_eq!(note("b", 6), TwinCheck::Like(Twin { path: path("B"), id: FileId(5) }));
    assert_eq!(note("B", 7), TwinCheck::Alone);
}

#[test]
fn a_name_that_takes_the_place_of_the_first_is_told_apart_from_that_when_it_comes_again() {
    let mut twins = unbounded();
    let mut noted = |name, id, takes: bool| {
        let noted = twins.note(&path(name), FileId(id));
        if takes {
            twins.take_over(&path(name), FileId(id));
        }
        noted
    };
    let like = |name, id| TwinCheck::Like(Twin { path: path(name), id: FileId(id) });
    assert_eq!([noted("B", 0, false), noted("b", 1, true)], [TwinCheck::Alone, like("B", 0)]);
    assert_eq!(noted("B", 2, false), like("b", 1), "its source has changed, and it is offered again");
}

#[test]
fn a_directory_that_was_not_offered_is_told_apart_from_another_before_it() {
    let mut twins = unbounded();
    let mut above = |name, id| {
        let found = twins.note_above(&path(name), FileId(id));
        twins.note(&path(name), FileId(id));
        found.map(|(dir, twin)| (dir.to_string(), twin.path.to_string(), twin.id.0))
    };
    let like = |dir: &str, first: &str, id| Some((dir.to_owned(), first.to_owned(), id));
    assert_eq!([above("x/D", 0), above("x/D/e", 1)], [None, None]);
    assert_eq!(above("x/d/e", 2), like("x/d", "x/D", 0));
    assert_eq!(above("x/d/f/g", 3), like("x/d", "x/D", 0), "the outermost comes first");
    assert_eq!(above("X/D/e", 4), like("X", "x", 0));
    assert_eq!([above("n/a", 5), above("n/b", 6)], [None, None]);
    assert_eq!(above("N/b", 7), like("N", "n", 5), "both lie in directories that were not offered");
    twins.take_over(&path("N"), FileId(7));
    assert_eq!(twins.note_above(&path("N/b"), FileId(8)), None, "the disk tells them apart");
}

#[test]
fn without_room_no_name_passes_for_one_that_is_alone_but_those_that_are_remembered() {
    let mut twins = unbounded();
    let mut note = |name, has_room| {
        twins.room = CountedRoom(if has_room { usize::MAX } else { 0 });
        twins.note(&path(name), FileId(0))
    };
    assert_eq!([note("B", true), note("c", false)], [TwinCheck::Alone, TwinCheck::Unsure]);
    assert!(matches!(note("b", true), TwinCheck::Like(_)));
    assert_eq!(note("B", true), TwinCheck::Alone);
    assert_eq!([note("C", true), note("d/x", true)], [TwinCheck::Unsure, TwinCheck::Unsure], "it may have had no room");
    assert!(twins.lacks_names() && !twins.lacks_refused());
}

#[test]
fn over_another_connection_of_a_job_no_name_passes_for_one_that_is_alone() {
    let mut twins = unbounded();
    twins.begin_unsure();
    assert_eq!(twins.note(&path("B"), FileId(0)), TwinCheck::Unsure);
    assert!(twins.lacks_names() && twins.lacks_refused());
    let like = TwinCheck::Like(Twin { path: path("B"), id: FileId(0) });
    assert_eq!(twins.note(&path("b"), FileId(1)), like, "names of this connection are remembered");
    twins.forget(&path("b"));
    assert_eq!(twins.note(&path("b"), FileId(1)), like, "it is another one that was noted");
    twins.forget(&path("B"));
    assert_eq!(twins.note(&path("b"), FileId(1)), TwinCheck::Unsure);
}

#[test]
fn a_name_that_waits_for_the_disks_word_is_held_against_others_and_asked_for_again() {
    let mut twins = unbounded();
    twins.begin_unsure();
    assert_eq!([0, 1].map(|id| twins.note(&path("B"), FileId(id))), [TwinCheck::Unsure, TwinCheck::Unsure]);
    assert_eq!(twins.note(&path("b"), FileId(2)), TwinCheck::Like(Twin { path: path("B"), id: FileId(1) }));
    twins.take_over(&path("B"), FileId(1));
    assert_eq!(twins.note(&path("B"), FileId(3)), TwinCheck::Alone, "the disk has said that it is no other one");
}

#[test]
fn a_name_with_accents_has_another_spelling() {
    let others = |name| with_other_accents(&path(name)).map(|other| other.to_string()).collect::<Vec<_>>();
    assert_eq!(others("d/\u{e9}"), ["d/e\u{301}"]);
    assert_eq!(others("d/e\u{301}"), ["d/\u{e9}"]);
    assert_eq!(others("\u{e9}/e\u{301}"), ["\u{e9}/\u{e9}", "e\u{301}/e\u{301}"]);
    assert_eq!([others("d/e"), others("\u{df}")], [const { Vec::<String>::new() }; 2]);
}

#[test]
fn what_is_remembered_of_one_job_is_bounded_in_bytes() {
    let mut twins = unbounded();
    let long = "n".repeat(200);
    let mut numbers = (0..).map(FileId);
    let mut note = |id: FileId| twins.note(&path(&format!("{0}/{long}/{long}/{0}", id.0)), id);
    assert!(numbers.any(|id| note(id) == TwinCheck::Unsure));
    let taken = usize::MAX - twins.room.0;
    assert!((TWIN_BYTES_MAX - 4096..=TWIN_BYTES_MAX).contains(&taken), "{taken}");
    assert_eq!(twins.bytes, taken);
}

#[test]
fn what_lies_in_a_refused_directory_is_refused_with_it() {
    let mut twins = unbounded();
    twins.refuse(&path("d"), &path("D"));
    assert_eq!(twins.refused_above(&path("d/x/y")), Some(&path("D")));
    assert_eq!(twins.refused_above(&path("D/x")), None);
    assert_eq!(twins.refused_above(&path("dd")), None);
    twins.room = CountedRoom(0);
    twins.refuse(&path("d"), &path("D"));
    assert!(!twins.lacks_refused(), "it was remembered before");
    twins.refuse(&path("e"), &path("E"));
    assert!(twins.lacks_refused());
}

#[test]
fn what_lies_in_a_directory_that_waits_waits_with_it() {
    let mut twins = unbounded();
    twins.wait(&path("d"), FileId(3));
    assert_eq!([twins.waits_above(&path("d/x")), twins.waits_above(&path("D/x"))], [Some(FileId(3)), None]);
    twins.settle(FileId(3));
    assert_eq!(twins.waits_above(&path("d/x")), None);
}
