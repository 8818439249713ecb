use super::*;
use crate::protocol::message::FileId;
use crate::protocol::path::WirePath;

const MIB: u64 = CHUNK_BYTES;
const REPLACE: Policy =
    Policy { if_exists: IfExists::Replace, checksum: false, resume: true, blind: false, links: true };

fn offer(size: u64) -> Header {
    Header {
        id: FileId(0),
        path: WirePath::parse(b"a").expect("a plain name"),
        kind: Kind::File,
        size,
        mtime: Mtime { secs: 100, nanos: 5 },
        mode: 0o644,
    }
}

fn file(size: u64, secs: i64) -> Option<Existing> {
    Some(Existing { kind: Kind::File, size, mtime: Mtime { secs, nanos: 5 }, mode: 0o644 })
}

fn local(target: Option<Existing>, part: Option<u64>) -> Local {
    Local { target, part, is_own: false, is_another: false, keeps: Keeps { mode: 0o644, time_step: 1 } }
}

fn receive(from: u64, basis: Basis, why: Why) -> Plan {
    Plan::Receive(Start { from, basis, why })
}

#[test]
fn content_starts_at_what_is_there_rounded_down_to_a_chunk() {
    let part = |len| local(None, Some(len));
    let old = |len| local(file(len, 1), None);
    for (size, local, expected) in [
        (10, Local::default(), receive(0, Basis::None, Why::New)),
        (0, Local::default(), receive(0, Basis::None, Why::New)),
        (4 * MIB, part(0), receive(0, Basis::None, Why::New)),
        (4 * MIB, part(MIB - 1), receive(0, Basis::None, Why::New)),
        (4 * MIB, part(MIB), receive(MIB, Basis::Part, Why::Resume)),
        (4 * MIB, part(2 * MIB + 7), receive(2 * MIB, Basis::Part, Why::Resume)),
        (10, part(10), receive(10, Basis::Part, Why::Resume)),
        (4 * MIB, part(4 * MIB), receive(4 * MIB, Basis::Part, Why::Resume)),
        (2 * MIB + 1, part(9 * MIB), receive(2 * MIB + 1, Basis::Part, Why::Resume)),
        (10, old(9), receive(0, Basis::None, Why::Replace)),
        (10, old(10), receive(0, Basis::None, Why::Replace)),
        (4 * MIB, old(3 * MIB + 5), receive(3 * MIB, Basis::Target, Why::Update)),
        (4 * MIB, old(4 * MIB), receive(4 * MIB, Basis::Target, Why::Update)),
        (MIB + 3, old(9 * MIB), receive(MIB, Basis::Target, Why::Update)),
        (2 * MIB, old(9 * MIB), receive(MIB, Basis::Target, Why::Update)),
        (MIB, old(9 * MIB), receive(0, Basis::None, Why::Replace)),
    ] {
        assert_eq!(decide(&offer(size), &local, &REPLACE), expected, "{size} {local:?}");
    }
}

#[test]
fn a_partial_file_is_preferred_to_an_older_version() {
    let local = local(file(9 * MIB, 1), Some(2 * MIB));
    assert_eq!(decide(&offer(9 * MIB), &local, &REPLACE), receive(2 * MIB, Basis::Part, Why::Resume));
}

#[test]
fn without_resume_everything_is_sent() {
    let policy = Policy { resume: false, ..REPLACE };
    let local = local(file(8 * MIB, 1), Some(2 * MIB));
    assert_eq!(decide(&offer(9 * MIB), &local, &policy), receive(0, Basis::None, Why::Replace));
}

#[test]
fn same_size_and_time_is_skipped_unless_content_is_compared() {
    let local = local(file(10, 100), None);
    assert_eq!(decide(&offer(10), &local, &REPLACE), Plan::Skip(SkipReason::Same));
    let checksum = Policy { checksum: true, ..REPLACE };
    assert_eq!(decide(&offer(10), &local, &checksum), receive(10, Basis::Target, Why::Update));
}

#[test]
fn another_file_of_the_job_is_not_the_same_whatever_its_size_and_time_are() {
    let local = Local { is_another: true, ..local(file(10, 100), None) };
    for (if_exists, expected) in
        [(IfExists::Skip, Plan::Skip(SkipReason::Exists)), (IfExists::Rename, receive(0, Basis::None, Why::Replace))]
    {
        assert_eq!(decide(&offer(10), &local, &Policy { if_exists, ..REPLACE }), expected);
    }
    assert!(matches!(decide(&offer(10), &local, &Policy { if_exists: IfExists::Fail, ..REPLACE }), Plan::Refuse(_)));
}

#[test]
fn a_time_is_the_same_when_the_disk_makes_it_of_the_one_on_offer() {
    let at = |secs, nanos, step| {
        let there = Existing { kind: Kind::File, size: 10, mtime: Mtime { secs, nanos }, mode: 0o644 };
        let keeps = Keeps { mode: 0o644, time_step: step };
        let offer = Header { mtime: Mtime { secs: 100, nanos: 987_654_321 }, ..offer(10) };
        let is_same = decide(&offer, &Local { target: Some(there.clone()), keeps, ..Local::default() }, &REPLACE)
            == Plan::Skip(SkipReason::Same);
        (is_same, may_be_rounded(&offer, &there))
    };
    for (secs, nanos, step, expected) in [
        (100, 987_654_321, 1, (true, false)),
        (100, 987_654_300, 100, (true, true)),
        (100, 987_654_400, 100, (true, true)),
        (100, 987_654_300, 1, (false, true)),
        (100, 987_654_200, 100, (false, true)),
        (100, 980_000_000, 10_000_000, (true, true)),
        (100, 0, 1_000_000_000, (true, true)),
        (101, 0, 1_000_000_000, (true, true)),
        (100, 0, 1, (false, true)),
        (100, 0, COARSEST_STEP, (true, true)),
        (102, 0, COARSEST_STEP, (true, true)),
        (101, 0, COARSEST_STEP, (false, true)),
        (98, 0, COARSEST_STEP, (false, false)),
        (100, 987_654_322, 1, (false, false)),
    ] {
        assert_eq!(at(secs, nanos, step), expected, "{secs}.{nanos:09} in steps of {step}");
    }
}

#[test]
fn a_file_that_differs_in_its_mode_alone_gets_it_where_files_are_replaced() {
    for (there, keeps, if_exists, expected) in [
        (0o644, 0o600, IfExists::Replace, Plan::SetMode),
        (0o600, 0o600, IfExists::Replace, Plan::Skip(SkipReason::Same)),
        // Set-id and sticky bits are never carried over, so they make no difference.
        (0o2644, 0o1644, IfExists::Replace, Plan::Skip(SkipReason::Same)),
        (0o644, 0o600, IfExists::Skip, Plan::Skip(SkipReason::Same)),
        (0o644, 0o600, IfExists::Fail, Plan::Skip(SkipReason::Same)),
        (0o644, 0o600, IfExists::Rename, Plan::Skip(SkipReason::Same)),
    ] {
        let target = Some(Existing { mode: there, ..file(10, 100).expect("a file") });
        let local =
            Local { target, part: None, is_own: false, is_another: false, keeps: Keeps { mode: keeps, time_step: 1 } };
        let policy = Policy { if_exists, ..REPLACE };
        assert_eq!(decide(&offer(10), &local, &policy), expected, "{there:o} {keeps:o} {if_exists:?}");
        let blind = Policy { blind: true, ..policy };
        assert_ne!(decide(&offer(10), &local, &blind), Plan::SetMode, "a drop box");
    }
}

#[test]
fn a_drop_box_answers_as_if_nothing_were_there() {
    let link = Existing { kind: Kind::Link(b"to".to_vec()), size: 0, mtime: Mtime { secs: 1, nanos: 0 }, mode: 0o777 };
    for checksum in [false, true] {
        let policy = Policy { blind: true, checksum, ..REPLACE };
        for there in [None, file(10, 100), file(9 * MIB, 1), Some(link.clone())] {
            let local = local(there, None);
            for size in [10, 9 * MIB] {
                assert_eq!(decide(&offer(size), &local, &policy), receive(0, Basis::None, Why::New), "{local:?}");
            }
            let offered = Header { kind: Kind::Link(b"to".to_vec()), ..offer(0) };
            assert!(matches!(decide(&offered, &local, &policy), Plan::Refuse(_)));
        }
        let own = local(file(9 * MIB, 100), Some(2 * MIB));
        assert_eq!(decide(&offer(9 * MIB), &own, &policy), receive(2 * MIB, Basis::Part, Why::Resume));
    }
}

#[test]
fn a_drop_box_tells_that_a_name_is_taken_and_no_more() {
    let policy = |if_exists| Policy { blind: true, if_exists, ..REPLACE };
    for there in [file(10, 100), file(11, 1)] {
        let local = local(there, None);
        assert_eq!(decide(&offer(10), &local, &policy(IfExists::Skip)), Plan::Skip(SkipReason::Exists));
        let refused = decide(&offer(10), &local, &policy(IfExists::Fail));
        assert!(matches!(refused, Plan::Refuse(Failure { status: Status::Exists, .. })), "{refused:?}");
    }
}

#[test]
fn a_drop_box_takes_what_its_sender_has_delivered_itself_for_done() {
    for if_exists in [IfExists::Replace, IfExists::Fail, IfExists::Skip] {
        let policy = Policy { blind: true, if_exists, ..REPLACE };
        let own = |there| Local { is_own: true, ..local(there, None) };
        assert_eq!(decide(&offer(10), &own(file(10, 100)), &policy), Plan::Skip(SkipReason::Same), "{if_exists:?}");
        let changed = decide(&offer(10), &own(file(9, 100)), &policy);
        assert_ne!(changed, Plan::Skip(SkipReason::Same), "another content than what is offered now");
        assert_eq!(changed, decide(&offer(10), &local(file(9, 100), None), &policy), "as if it were anybody's");
    }
}

#[test]
fn what_exists_is_kept_when_so_asked() {
    let local = local(file(9, 1), None);
    let with = |if_exists| decide(&offer(10), &local, &Policy { if_exists, ..REPLACE });
    assert_eq!(with(IfExists::Skip), Plan::Skip(SkipReason::Exists));
    assert!(matches!(with(IfExists::Fail), Plan::Refuse(Failure { status: Status::Exists, .. })));
    assert_eq!(with(IfExists::Rename), receive(0, Basis::None, Why::Replace));
}

#[test]
fn kinds_never_replace_each_other_unless_a_link_gives_way() {
    let dir = Existing { kind: Kind::Dir, size: 0, mtime: Mtime { secs: 0, nanos: 0 }, mode: 0o755 };
    let link = Existing { kind: Kind::Link(b"x".to_vec()), ..dir.clone() };
    let at = |there: &Existing| local(Some(there.clone()), None);
    let of = |kind: Kind| Header { kind, ..offer(0) };
    assert!(matches!(decide(&of(Kind::File), &at(&dir), &REPLACE), Plan::Refuse(_)));
    assert!(matches!(decide(&of(Kind::Dir), &at(&link), &REPLACE), Plan::Refuse(_)));
    assert!(matches!(decide(&of(Kind::Link(b"x".to_vec())), &at(&dir), &REPLACE), Plan::Refuse(_)));
    assert_eq!(decide(&of(Kind::File), &at(&link), &REPLACE), receive(0, Basis::None, Why::Replace));
    assert_eq!(decide(&of(Kind::Dir), &at(&dir), &REPLACE), Plan::MakeDir);
    assert_eq!(decide(&of(Kind::Link(b"x".to_vec())), &at(&link), &REPLACE), Plan::Skip(SkipReason::Same));
    assert_eq!(decide(&of(Kind::Link(b"y".to_vec())), &at(&link), &REPLACE), Plan::MakeLink);
}

#[test]
fn links_are_taken_where_they_were_asked_for_and_never_from_a_blind_sender() {
    let link = Header { kind: Kind::Link(b"to".to_vec()), ..offer(0) };
    for (links, blind, taken) in [(true, false, true), (false, false, false), (true, true, false)] {
        let policy = Policy { links, blind, ..REPLACE };
        let there = Existing { kind: link.kind.clone(), size: 0, mtime: link.mtime, mode: 0o777 };
        for (target, expected) in [(None, Plan::MakeLink), (Some(there), Plan::Skip(SkipReason::Same))] {
            let plan = decide(&link, &local(target, None), &policy);
            match taken {
                true => assert_eq!(plan, expected),
                false => assert!(matches!(plan, Plan::Refuse(Failure { status: Status::NotAllowed, .. }))),
            }
        }
    }
}

#[test]
fn a_file_beyond_the_limit_is_refused() {
    let plan = decide(&offer(ACCEPTED_FILE_BYTES_MAX + 1), &Local::default(), &REPLACE);
    assert!(matches!(plan, Plan::Refuse(Failure { status: Status::Unsupported, .. })));
}

proptest::proptest! {
    #[test]
    fn every_start_is_a_chunk_boundary_or_the_end(
        size in 0..20 * MIB, part in proptest::option::of(0..20 * MIB),
        old in proptest::option::of(0..20 * MIB), checksum: bool, resume: bool,
    ) {
        let local = local(old.and_then(|len| file(len, 1)), part);
        let policy = Policy { if_exists: IfExists::Replace, checksum, resume, ..REPLACE };
        if let Plan::Receive(start) = decide(&offer(size), &local, &policy) {
            proptest::prop_assert!(start.from == size || start.from % MIB == 0);
            proptest::prop_assert!(start.from <= size);
            let held = match start.basis {
                Basis::None => 0,
                Basis::Part => part.unwrap_or(0),
                Basis::Target => old.unwrap_or(0),
            };
            proptest::prop_assert!(start.from <= held, "nothing is claimed that is not held");
        }
    }
}
