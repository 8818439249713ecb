//! Conversations with a receiver, as tables: what it is fed with, and what it then says, does and reports.

mod script;

use super::*;
use crate::digest::{CHUNK_BYTES, ChunkHasher, Digest, SALT_BYTES, Salt};
use crate::protocol::message::{Done, Kind, Mtime, Pos, Problem, SkipReason, Verdict, Why};
use crate::protocol::range::{RangeHeader, RangeTiming};
use crate::protocol::{EARLY_FILES_MAX, HEADERS_AHEAD_MAX, OFFERS_MAX};
use crate::transfer::file::resume::{Basis, Start};
use crate::transfer::job::JobError;

use self::script::*;

/// The worked conversations of the specification, by their names there.
#[test]
fn the_worked_conversations() {
    // Send of two files.
    play(&[
        (Offer(0, "a", 3 * M), "found a, plan"),
        (Offer(1, "b", 10), "found b"),
        (Look, "look at a"),
        (From(0, 0), "started 0, Pos 0 from 0"),
        (Look, "look at b"),
        (From(1, 0), "started 1, Pos 1 from 0"),
        (Look, "idle"),
        (AllOffered, "search ended"),
        (Range(0, 0, 3 * M), "to disk"),
        (Range(1, 0, 10), "to disk"),
        (Chunk(0, 2, false), ""),
        (Close(0, 1), ""),
        (Close(1, 1), ""),
        (End, "search ended"),
        (Chunk(1, 0, true), "complete 1, judge 1"),
        (Committed(1), "finished 1, Done 1"),
        (Chunk(0, 0, false), ""),
        (Chunk(0, 1, true), "complete 0, judge 0"),
        (Committed(0), "finished 0, Done 0, wind up"),
        (WoundUp, "Settled, finish"),
    ]);
    // The same, ahead.
    play(&[
        (EarlyRange(0, M), "Waits"),
        (EarlyRange(1, 10), "error: 2 files and 1048586 bytes are too much ahead of the answers"),
        (Offer(0, "a", 3 * M), "found a, plan"),
        (Offer(1, "b", 10), "found b"),
        (Look, "look at a"),
        (From(0, 0), "started 0, Pos 0 from 0"),
        (Answered(0, M), "to disk"),
        (Look, "look at b"),
        (Skip(1, SkipReason::Same), "skipped b Same, Pos 1 Same"),
        (Range(0, M, 2 * M), "to disk"),
        (Chunk(0, 0, true), ""),
        (Chunk(0, 1, false), ""),
        (Chunk(0, 2, true), ""),
        (Close(0, 2), "complete 0, judge 0"),
        (End, "search ended"),
        (Committed(0), "finished 0, Done 0, wind up"),
    ]);
    // Ahead in vain.
    play(&[
        (Offer(0, "a", 20), "found a, plan"),
        (EarlyRange(1, 10), "Waits"),
        (Offer(1, "b", 10), "found b"),
        (EarlyRange(0, 20), "Waits"),
        (CloseAhead(0, 1), ""),
        (CloseAhead(1, 1), ""),
        (End, "search ended"),
        (Look, "look at a"),
        (From(0, 0), "started 0, Pos 0 from 0"),
        (Look, "look at b"),
        (Skip(1, SkipReason::Same), "skipped b Same, Pos 1 Same"),
        (Answered(1, 10), "unwanted"),
        (Answered(0, 20), "to disk"),
        (Chunk(0, 0, true), "complete 0, judge 0"),
        (Committed(0), "finished 0, Done 0, wind up"),
    ]);
    // Resume with a repair.
    play(&[
        (Offer(0, "a", 5 * M), "found a, plan"),
        (Look, "look at a"),
        (From(0, 3 * M), "started 0, Pos 0 from 3, hash 0"),
        (Range(0, 3 * M, 2 * M), "to disk"),
        (Range(0, M, M), "error: repair at 1048576 before its digest was offered"),
        (Hashed(0, 0, 2), "Have 0 0+2, go on"),
        (Range(0, M, M), "to disk"),
        (Chunk(0, 1, true), ""),
        (Chunk(0, 3, false), ""),
        (Chunk(0, 4, true), ""),
        (Close(0, 2), ""),
        (Hashed(0, 2, 1), "Have 0 2+1, compared 0, complete 0, judge 0"),
        (Committed(0), "finished 0, Done 0"),
    ]);
    // Update, or a comparison by content.
    play(&[
        (Offer(0, "a", 2 * M), "found a, plan"),
        (Look, "look at a"),
        (From(0, 2 * M), "started 0, Pos 0 from 2, hash 0"),
        (Hashed(0, 0, 2), "Have 0 0+2, compared 0"),
        (Close(0, 0), "complete 0, judge 0"),
        (Renamed(0, "a~1"), "named 0 a~1, Named 0 a~1"),
        (Committed(0), "finished 0, Done 0"),
    ]);
    // Skip, refusal, directory.
    play(&[
        (Directory(0, "d"), "plan"),
        (Offer(1, "d/same", 1), "found d/same"),
        (Offer(2, "d/taken", 1), "found d/taken"),
        (Skip(0, SkipReason::Made), "Pos 0 Made"),
        (Skip(1, SkipReason::Same), "skipped d/same Same, Pos 1 Same"),
        (Refuse(2), "failed d/taken Exists, Pos 2 Exists"),
        (Look, "idle"),
        (End, "search ended, wind up"),
        (WoundUp, "Settled, finish"),
    ]);
    // Drain.
    let drained = play(&[
        (Offer(0, "a", 1), "found a, plan"),
        (Offer(1, "b", 1), "found b"),
        (Look, "look at a"),
        (From(0, 0), "started 0, Pos 0 from 0"),
        (Drain, ""),
        (Look, "Pos 1 Cancelled"),
        (Offer(2, "c", 1), "Pos 2 Cancelled"),
        (Close(0, 1), ""),
        (Range(0, 0, 1), "to disk"),
        (End, "search ended"),
        (Chunk(0, 0, true), "complete 0, judge 0"),
        (Committed(0), "finished 0, Done 0, wind up"),
        (WoundUp, "Settled, finish"),
    ]);
    assert!(drained.ledger.is_finished());
}

#[test]
fn a_dry_run_settles_each_file_by_its_answer() {
    let steps = |verdict: &'static str| {
        [(Offer(0, "a", 3 * M), "found a, plan"), (Look, "look at a"), (PlanOnly(0, None), verdict), (Look, "idle")]
    };
    let mut pushed = AnswersJob::new(AnswersOptions { tells_plans: true, is_blind: false }, features::ALL);
    pushed.play(&steps("planned a None, Pos 0 from 0"));
    pushed.play(&[(End, "search ended, wind up"), (WoundUp, "Settled, finish")]);
    // A server that does not know that a client only looks would send what it is asked for.
    AnswersJob::new(AnswersOptions::default(), features::ALL).play(&steps("planned a None, Pos 0 Same"));
}

#[test]
fn a_sender_hears_only_what_it_understands_and_may_know() {
    for (features, is_blind, answers) in [
        (features::ALL, false, ["Named 0 b, planned a Some(\"b\"), Pos 0 Same", "skipped a Mode, Pos 1 Mode"]),
        (features::ALL, true, ["planned a Some(\"b\"), Pos 0 Same", "skipped a Mode, Pos 1 Mode"]),
        (features::NONE, false, ["planned a Some(\"b\"), Pos 0 Same", "skipped a Mode, Pos 1 Same"]),
    ] {
        let mut job = AnswersJob::new(AnswersOptions { tells_plans: false, is_blind }, features);
        job.play(&[
            (Offer(0, "a", 1), "found a, plan"),
            (Offer(1, "a", 1), "found a"),
            (PlanOnly(0, Some("b")), answers[0]),
            (Skip(1, SkipReason::Mode), answers[1]),
        ]);
        job.ledger.remark("x".to_owned());
        let remark = std::iter::from_fn(|| job.ledger.next_action()).count();
        assert_eq!(remark, if features == features::NONE { 1 } else { 2 }, "at this end, and perhaps at the other");
    }
}

#[test]
fn what_an_earlier_connection_has_brought_is_not_asked_for_again() {
    play(&[
        (Offer(0, "a", 1), "found a, plan"),
        (Directory(1, "d"), ""),
        (LookAtKnown, "skipped a Same, Pos 0 Same"),
        (LookAtKnown, "look at d"),
    ]);
}

/// The table of [`reoffer`](super::super::reoffer): what two honest ends say after the end may cross.
#[test]
fn what_crosses_after_the_end() {
    // Two files whose tails went ahead, and the end.
    let begun = [
        (Offer(0, "a", 5), "found a, plan"),
        (CloseAhead(0, 1), ""),
        (Offer(1, "b", 5), "found b"),
        (CloseAhead(1, 1), ""),
        (End, "search ended"),
        (Look, "look at a"),
        (From(0, 0), "started 0, Pos 0 from 0"),
        (Look, "look at b"),
        (From(1, 0), "started 1, Pos 1 from 0"),
        (Look, "idle"),
    ];
    let rows: &[&[(AnswersInput, &str)]] = &[
        // `Done(failure)` crosses `Tail` and `Cancel`.
        &[(Failed(0), "failed a Busy, Done 0 Busy, give up 0"), (Close(0, 1), ""), (Cancel(0), "")],
        // It crosses `Cancel(Changed)` and the new offer, or the problem: that goes with it.
        &[
            (Failed(0), "failed a Busy, Done 0 Busy, give up 0"),
            (Changed(0), ""),
            (Offer(2, "a", 7), ""),
            (Offer(3, "a", 7), "error: a file offered after the end"),
        ],
        &[
            (Failed(0), "failed a Busy, Done 0 Busy, give up 0"),
            (Changed(0), ""),
            (Trouble("a"), ""),
            (Trouble("z"), "failed z NotFound"),
        ],
        // The same when `Settled` was said.
        &[
            (Failed(0), "failed a Busy, Done 0 Busy, give up 0"),
            (Failed(1), "failed b Busy, Done 1 Busy, give up 1, wind up"),
            (WoundUp, "Settled, finish"),
            (Changed(1), ""),
            (Offer(2, "b", 7), ""),
            (Cancel(0), ""),
        ],
        // No failure of ours: the new offer is awaited, and answered like any other.
        &[
            (Changed(0), "give up 0"),
            (Failed(1), "failed b Busy, Done 1 Busy, give up 1"),
            (Offer(2, "a", 7), "found a, plan"),
            (Look, "look at a"),
            (Refuse(2), "failed a Exists, Pos 2 Exists, wind up"),
        ],
        &[
            (Changed(0), "give up 0"),
            (Failed(1), "failed b Busy, Done 1 Busy, give up 1"),
            (Trouble("a"), "failed a NotFound, wind up"),
        ],
        // A file that is complete is as good as done.
        &[
            (Range(0, 0, 5), "to disk"),
            (Chunk(0, 0, true), "complete 0, judge 0"),
            (Changed(0), ""),
            (Committed(0), "finished 0, Done 0"),
        ],
        // `GoAway` crosses a header.
        &[(Drain, ""), (Changed(0), "give up 0"), (Offer(2, "a", 7), "Pos 2 Cancelled")],
    ];
    for row in rows {
        let mut job = play(&begun);
        job.play(row);
    }
}

#[test]
fn before_the_end_what_changed_is_offered_again_or_has_failed_at_the_end() {
    play(&[
        (Offer(0, "a", 5), "found a, plan"),
        (Offer(1, "b", 5), "found b"),
        (Changed(0), ""),
        (Changed(1), ""),
        (Offer(2, "a", 5), "found a"),
        (Look, "look at a"),
        (Skip(2, SkipReason::Same), "skipped a Same, Pos 2 Same"),
        (End, "failed b Changed, search ended, wind up"),
    ]);
}

#[test]
fn a_sender_that_breaks_the_order_is_found_out() {
    let rows: &[Row<'_>] = &[
        (&[], Offer(1, "a", 1), "file ids do not count up"),
        (&[], OfferWithoutRoom(0), "no room"),
        (&[], Close(0, 1), "a tail for a file that is not open"),
        (&[(Offer(0, "a", 1), "found a, plan")], Close(0, 1), "a tail for a file that is not open"),
        (
            &[(Offer(0, "a", 1), "found a, plan"), (CloseAhead(0, 1), "")],
            CloseAhead(0, 1),
            "a second tail for the same file",
        ),
        (&[(Directory(0, "a"), "plan")], CloseAhead(0, 1), "a tail for a file that is not open"),
        (&[], Range(0, 0, 1), "content for a file that is not open"),
        (&[(Offer(0, "a", 1), "found a, plan")], Range(0, 0, 1), "content for a file that is not open"),
        (&[(EarlyRange(0, 5), "Waits")], Offer(0, "a", 6), "range 0+5 does not fit its file"),
        (&[(Offer(0, "a", 6), "found a, plan")], EarlyRange(0, 5), "range 0+5 does not fit its file"),
        (&[(EarlyRange(0, 5), "Waits")], EarlyRange(0, 5), "range at 0 was sent before"),
        (&[(EarlyRange(0, 5), "Waits")], End, "content for a file that was never offered"),
        (&[(End, "search ended, wind up")], EarlyRange(0, 5), "content for a file that was never offered"),
        (&[], Cancel(0), "a cancel for a file that was never offered"),
        (&[(AllOffered, "search ended")], AllOffered, "all is on offer, which was known"),
        (&[(End, "search ended, wind up")], AllOffered, "all is on offer, which was known"),
        (&[(End, "search ended, wind up")], End, "a second end"),
        (&[(End, "search ended, wind up")], Offer(0, "a", 1), "a file offered after the end"),
    ];
    for (steps, feed, error) in rows {
        let found = play(steps).feed(*feed);
        assert!(found.ends_with(&format!("error: {error}")), "{feed:?}: {found}");
    }
}

#[test]
fn what_a_sender_may_have_on_offer_is_bounded() {
    let mut job = play(&[]);
    for id in 0..HEADERS_AHEAD_MAX as u64 {
        job.feed(Offer(id, "a", 1));
    }
    let next = HEADERS_AHEAD_MAX as u64;
    assert_eq!(job.feed(Offer(next, "a", 1)), "error: too many files offered at once");
    // One that is settled makes room for one.
    job.feed(Skip(0, SkipReason::Same));
    assert_eq!(job.feed(Offer(next, "a", 1)), "found a");

    // Offers that are given up at once are never many at a time, and nobody gets round to looking at them.
    let mut job = play(&[]);
    let refused = (0..).find(|id| {
        let offered = job.feed(Offer(*id, "a", 1));
        job.feed(Cancel(*id));
        offered.ends_with("offers given up before they could be looked at")
    });
    assert_eq!(refused, Some(2 * HEADERS_AHEAD_MAX as u64));
}

#[test]
fn a_file_that_changes_after_the_end_is_not_offered_for_ever() {
    let often = EARLY_FILES_MAX as u64 * u64::from(OFFERS_MAX - 1);
    let mut job = play(&[(Offer(0, "a", 1), "found a, plan"), (End, "search ended")]);
    for id in 0..often {
        job.feed(Changed(id));
        assert_eq!(job.feed(Offer(id + 1, "a", 1)), "found a", "{id}");
    }
    job.feed(Changed(often));
    assert_eq!(job.feed(Offer(often + 1, "a", 1)), "error: files offered anew without end");
}

#[test]
fn a_name_that_is_like_another_waits_until_that_is_settled() {
    let mut job = play(&[
        (Offer(0, "B", 1), "found B, plan"),
        (Offer(1, "b", 1), "found b"),
        (Look, "look at B"),
        (Apart(0, "B"), "Yes"),
        (From(0, 0), "started 0, Pos 0 from 0"),
        (Look, "look at b"),
        (Apart(1, "b"), "Waits"),
        (Look, "idle"),
    ]);
    assert!(!job.ledger.is_busy(), "the sender owes the content of the first");
    job.play(&[
        (Failed(0), "plan, failed B Busy, Done 0 Busy, give up 0"),
        (Look, "look at b"),
        (Apart(1, "b"), "Twin(\"B\")"),
        (Refuse(1), "failed b Exists, Pos 1 Exists"),
    ]);
    // An offer that is cancelled while it waits is not looked at again.
    play(&[
        (Offer(0, "B", 1), "found B, plan"),
        (Offer(1, "b", 1), "found b"),
        (Look, "look at B"),
        (Apart(0, "B"), "Yes"),
        (Look, "look at b"),
        (Apart(1, "b"), "Waits"),
        (Look, "idle"),
        (Cancel(1), "failed b ReadFailed"),
        (Skip(0, SkipReason::Same), "plan, skipped B Same, Pos 0 Same"),
        (Look, "idle"),
        (End, "search ended, wind up"),
    ]);
}

#[test]
fn what_lies_in_a_directory_that_is_like_another_waits_for_that_whether_or_not_it_was_offered() {
    let mut job = play(&[
        (Directory(0, "D"), "plan"),
        (Offer(1, "D/e", 1), "found D/e"),
        (Offer(2, "d/e", 1), "found d/e"),
        (Offer(3, "d/f", 1), "found d/f"),
        (Look, "look at D"),
        (ApartAbove(0, "D"), "None"),
        (Apart(0, "D"), "Yes"),
        (Look, "look at D/e"),
        (ApartAbove(1, "D/e"), "None"),
        (Look, "look at d/e"),
        (ApartAbove(2, "d/e"), "Waits"),
        (Skip(0, SkipReason::Made), "Pos 0 Made"),
        (Look, "look at d/f"),
        (ApartAbove(3, "d/f"), "Twin { dir: \"d\", first: \"D\" }"),
    ]);
    job.ledger.refuse_below(&path("d"), &path("D"));
    job.play(&[(ApartAbove(2, "d/e"), "None"), (Apart(2, "d/e"), "Refused(\"D\")")]);
}

#[test]
fn what_an_earlier_connection_has_brought_is_told_apart_from_what_is_offered_after_it() {
    let mut job = play(&[
        (Offer(0, "D/B", 1), "found D/B, plan"),
        (Offer(1, "D/b", 1), "found D/b"),
        (Offer(2, "d/x", 1), "found d/x"),
    ]);
    job.ledger.begin_unsure_of_names();
    job.ledger.note_name(FileId(0), &path("D/B"));
    job.play(&[
        (LookAtKnown, "skipped D/B Same, Pos 0 Same"),
        (Look, "look at D/b"),
        (Apart(1, "D/b"), "Twin(\"D/B\")"),
        (Look, "look at d/x"),
        (ApartAbove(2, "d/x"), "Twin { dir: \"d\", first: \"D\" }"),
    ]);
}

#[test]
fn a_name_that_cannot_be_remembered_is_one_that_only_the_disk_knows() {
    let mut job = play(&[
        (Offer(0, "B", 1), "found B, plan"),
        (Offer(1, "c", 1), "found c"),
        (Apart(0, "B"), "Yes"),
        (ApartWithoutRoom(1, "c"), "Unsure"),
        (Offer(2, "C", 1), "found C"),
        (Apart(2, "C"), "Unsure"),
        (Offer(3, "b", 1), "found b"),
        (Apart(3, "b"), "Waits"),
    ]);
    assert!(job.ledger.lacks_names() && !job.ledger.lacks_refused());
    job.has_room.set(false);
    job.ledger.refuse_below(&path("C"), &path("c"));
    assert!(job.ledger.lacks_refused());
}

#[test]
fn whatever_was_settled_meanwhile_is_settled_once() {
    play(&[
        (Offer(0, "a", 1), "found a, plan"),
        (Look, "look at a"),
        (Cancel(0), "failed a ReadFailed"),
        (From(0, 0), ""),
        (Skip(0, SkipReason::Same), ""),
        (Refuse(0), ""),
        (Failed(0), ""),
        (Committed(0), ""),
        (Range(0, 0, 1), "unwanted"),
        (Chunk(0, 0, true), ""),
        (Hashed(0, 0, 1), "unwanted"),
        (End, "search ended, wind up"),
        (WoundUp, "Settled, finish"),
    ]);
}

#[test]
fn an_end_is_busy_while_the_next_step_is_its_own() {
    let mut job = play(&[(Offer(0, "a", 2 * M), "found a, plan")]);
    assert!(job.ledger.is_busy(), "it plans");
    job.play(&[(Look, "look at a"), (From(0, M), "started 0, Pos 0 from 1, hash 0"), (Look, "idle")]);
    assert!(job.ledger.is_busy(), "it hashes");
    job.feed(Hashed(0, 0, 1));
    assert!(!job.ledger.is_busy(), "the content is to come");
    job.play(&[(Range(0, M, M), "to disk"), (Chunk(0, 1, true), ""), (Close(0, 1), "complete 0, judge 0")]);
    assert!(job.ledger.is_busy(), "it commits");
    job.feed(Committed(0));
    assert!(!job.ledger.is_busy());
}

#[test]
fn an_empty_file_whose_tail_went_ahead_is_complete_with_its_answer() {
    play(&[
        (Offer(0, "a", 0), "found a, plan"),
        (CloseAhead(0, 0), ""),
        (Look, "look at a"),
        (From(0, 0), "started 0, Pos 0 from 0, complete 0, judge 0"),
    ]);
}
