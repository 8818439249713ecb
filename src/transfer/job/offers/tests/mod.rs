//! Conversations with a sender, as tables: what it is fed with, and what it then says, does and reports.

mod script;

use super::*;
use crate::digest::{CHUNK_BYTES, ChunkDigests, ChunkHasher, Digest, SALT_BYTES, Salt};
use crate::protocol::message::{Have, Mtime, Named, Pos, SkipReason, Status, Tail, Verdict, Why};
use crate::protocol::{EARLY_FILES_MAX, OFFERS_MAX};
use crate::transfer::job::JobError;
use crate::transfer::job::report::LedgerReport;

use self::script::*;

/// The worked conversations of the specification, by their names there.
#[test]
fn the_worked_conversations() {
    // Send of two files.
    let job = play(&[
        (Find("a", 3 * M), "Header 0 a"),
        (Find("b", 10), "Header 1 b"),
        (From(0, 0), "started a, want 0"),
        (WalkEnded, "search ended"),
        (Features(features::ALL), "Offered"),
        (Features(features::ALL), ""),
        (Open(0), "opened"),
        (NextRange(0), "0..3"),
        (From(1, 0), "started b, want 1"),
        (Sent(0), ""),
        (NextRange(0), "none"),
        (ToClose(0), "sum up"),
        (Closed(0), "let go, complete a, Tail 0"),
        (Closed(1), "complete b, Tail 1, End 2 3145738"),
        (Written(0, M), "written a 1048576"),
        (Written(0, 9 * M), "written a 2097152"),
        (Done(1), "written b 0, finished b"),
        (Done(0), "written a 0, finished a"),
        (Settled, "finish"),
    ]);
    assert!(job.ledger.is_finished());
    // The same, ahead.
    play_early(&[
        (Find("a", 3 * M), "Header 0 a, send 0 early"),
        (Find("b", 10), "Header 1 b"),
        (StartSent(0), ""),
        (WalkEnded, "search ended"),
        (From(0, 0), "started a, want 0"),
        (Skip(1), "skipped b Same"),
        (TakeStart(0), "begun a, taken"),
        (TakeStart(0), ""),
        (Closed(0), "complete a, Tail 0, End 2 3145738"),
        (Done(0), "written a 1048576, finished a"),
        (Settled, "finish"),
    ]);
    // Ahead in vain.
    play_early(&[
        (Find("a", 20), "Header 0 a, send 0 early"),
        (Find("b", 10), "Header 1 b, send 1 early"),
        (WalkEnded, "search ended"),
        (StartSent(0), ""),
        (CloseEarly(0), "Tail 0 ahead"),
        (StartSent(1), ""),
        (CloseEarly(1), "Tail 1 ahead, End 2 30"),
        (From(0, 0), "started a, begun a, complete a, claim"),
        (Skip(1), "skipped b Same"),
        (Done(0), "written a 20, finished a"),
        (Settled, "finish"),
    ]);
    // Resume with a repair. The first digests come before the file is open.
    play(&[
        (Find("a", 5 * M), "Header 0 a"),
        (WalkEnded, "search ended"),
        (From(0, 3 * M), "checking a, want 0"),
        (Has(0, 0, 2), ""),
        (Open(0), "hash"),
        (NextRange(0), "3..5"),
        (Sent(0), ""),
        (NextRange(0), "none"),
        (ToClose(0), "not yet"),
        (Hashed(0, 0, 3, 1), "want 0"),
        (NextRange(0), "1..2"),
        (Has(0, 2, 1), "compared a"),
        (Sent(0), ""),
        (ToClose(0), "sum up"),
        (Closed(0), "let go, complete a, Tail 0, End 1 5242880"),
        (Done(0), "written a 3145728, finished a"),
    ]);
    // Update, or a comparison by content.
    play(&[
        (Find("a", 2 * M), "Header 0 a"),
        (From(0, 2 * M), "checking a, want 0"),
        (Open(0), "hash"),
        (Hashed(0, 0, 2, 99), ""),
        (ToClose(0), "not yet"),
        (Has(0, 0, 2), "compared a, want 0"),
        (ToClose(0), "sum up"),
        (Closed(0), "let go, complete a, Tail 0"),
        (Name(0, "a~1"), "named a a~1"),
        (Name(0, "a~2"), ""),
        (Done(0), "written a 0, finished a"),
        (WalkEnded, "search ended, End 1 2097152"),
    ]);
    // Skip, refusal, directory. A client without files to send still says its end.
    play(&[
        (FindDirectory("d"), "Header 0 d"),
        (Find("d/same", 1), "Header 1 d/same"),
        (Find("d/taken", 1), "Header 2 d/taken"),
        (Trouble("x"), "Problem x, failed x NotFound"),
        (WalkEnded, "search ended"),
        (Skip(0), ""),
        (Skip(1), "skipped d/same Same"),
        (Refuse(2, Status::Exists), "failed d/taken Exists, End 3 2"),
        (Settled, "finish"),
    ]);
    play(&[(WalkEnded, "search ended, End 0 0"), (Settled, "finish")]);
    // Dry run.
    OffersJob::new(OffersOptions { is_dry_run: true, is_own_tree: true, sends_early: false }).play(&[
        (Find("a", 3 * M), "Header 0 a"),
        (WalkEnded, "search ended"),
        (Name(0, "b"), ""),
        (From(0, 0), "planned a Some(\"b\"), End 1 3145728"),
        (Settled, "finish"),
    ]);
    // Drain.
    let job = play(&[
        (Find("a", 1), "Header 0 a"),
        (Find("b", 1), "Header 1 b"),
        (Features(features::ALL), ""),
        (From(0, 0), "started a, want 0"),
        (Drain, ""),
        (WalkCutShort, "search ended"),
        (Refuse(1, Status::Cancelled), ""),
        (Closed(0), "complete a, Tail 0, End 2 2"),
        (Done(0), "written a 0, finished a"),
        (Settled, "finish"),
    ]);
    assert!(job.ledger.has_left_out() && !job.ledger.has_offered_all());
}

#[test]
fn nothing_is_sent_early_once_somebody_has_answered_or_of_too_many_files() {
    play_early(&[
        (Find("a", 1), "Header 0 a, send 0 early"),
        (Find("empty", 0), "Header 1 empty, send 1 early"),
        (FindDirectory("d"), "Header 2 d"),
        (Skip(0), "skipped a Same"),
        (Find("b", 1), "Header 3 b"),
        // It was answered while it was read.
        (From(1, 0), "started empty, want 1"),
        (CloseEarly(1), ""),
    ]);
    let mut job = play_early(&[]);
    let early = (0..2 * EARLY_FILES_MAX).filter(|_| job.feed(Find("a", 1)).ends_with("early")).count();
    assert_eq!(early, EARLY_FILES_MAX);
}

#[test]
fn a_file_that_was_closed_early_and_is_compared_after_all_gets_another_tail() {
    play_early(&[
        (Find("a", M), "Header 0 a, send 0 early"),
        (WalkEnded, "search ended"),
        (StartSent(0), ""),
        (CloseEarly(0), "Tail 0 ahead, End 1 1048576"),
        (From(0, M), "checking a, want 0"),
        (Done(0), "error: a file was called done before it was sent"),
    ]);
    // Only such a file can still be found changed after the end, and then it is offered again.
    play_early(&[
        (Find("a", M), "Header 0 a, send 0 early"),
        (WalkEnded, "search ended"),
        (StartSent(0), ""),
        (CloseEarly(0), "Tail 0 ahead, End 1 1048576"),
        (From(0, M), "checking a, want 0"),
        (Changed(0), "Cancel 0 Changed, Header 1 a"),
        (Settled, "error: settled before every file was"),
        (From(1, 0), "started a, want 1"),
        (Closed(1), "complete a, Tail 1"),
        (Done(1), "written a 0, finished a"),
        (Settled, "finish"),
    ]);
}

/// Messages of two honest ends may cross: the receiver's side of it is the table of `reoffer`.
#[test]
fn what_crosses() {
    // A file that was closed early and is compared, and that changed after the end.
    let changed = [
        (Find("a", M), "Header 0 a, send 0 early"),
        (WalkEnded, "search ended"),
        (CloseEarly(0), "Tail 0 ahead, End 1 1048576"),
        (From(0, M), "checking a, want 0"),
        (Changed(0), "Cancel 0 Changed, Header 1 a"),
    ];
    let rows: &[&[(OffersInput, &str)]] = &[
        // A failure of the first offer is that of the new one too, which the receiver has dropped.
        &[(Failed(0, Status::Busy), "failed a Busy"), (Settled, "finish")],
        // One that has an answer is not dropped.
        &[
            (From(1, 0), "started a, want 1"),
            (Failed(0, Status::Busy), ""),
            (Settled, "error: settled before every file was"),
        ],
        // Digests, names and verdicts that were on their way count for nothing.
        &[(Has(0, 0, 1), ""), (Name(0, "b"), ""), (Done(0), ""), (Skip(1), "skipped a Same"), (Settled, "finish")],
    ];
    for row in rows {
        play_early(&changed).play(row);
    }
    // Before the end a failure is that of the one offer alone.
    play(&[
        (Find("a", 1), "Header 0 a"),
        (From(0, 0), "started a, want 0"),
        (Changed(0), "Cancel 0 Changed, Header 1 a"),
        (Failed(0, Status::Busy), ""),
        (Skip(1), "skipped a Same"),
    ]);
    // A file that is given up, and its verdict.
    play(&[
        (Find("a", 1), "Header 0 a"),
        (From(0, 0), "started a, want 0"),
        (GiveUp(0), "Cancel 0 ReadFailed, failed a ReadFailed"),
        (Failed(0, Status::Busy), ""),
        (GiveUp(0), ""),
        (Changed(0), ""),
        (Closed(0), ""),
        (WalkEnded, "search ended, End 1 1"),
    ]);
}

#[test]
fn a_source_that_never_rests_is_offered_a_few_times() {
    let mut job = play(&[(Find("a", 1), "Header 0 a"), (WalkEnded, "search ended")]);
    for id in 0..u64::from(OFFERS_MAX) - 1 {
        assert_eq!(job.feed(Changed(id)), format!("Cancel {id} Changed, Header {} a", id + 1));
    }
    let last = u64::from(OFFERS_MAX) - 1;
    assert_eq!(job.feed(Changed(last)), format!("Cancel {last} Changed, Problem a, failed a Changed, End 3 15"));
    // One that is gone is not offered again, and nothing else is awaited.
    play(&[
        (Find("a", 1), "Header 0 a"),
        (WalkEnded, "search ended"),
        (Gone(0), "Cancel 0 Changed, Problem a, failed a Changed, End 1 1"),
    ]);
    // Of one that could not be looked at again it is said why.
    play(&[
        (Find("a", 1), "Header 0 a"),
        (WalkEnded, "search ended"),
        (Unseen(0), "Cancel 0 Changed, Problem a, failed a ReadFailed, End 1 1"),
    ]);
}

#[test]
fn a_receiver_that_breaks_the_order_is_found_out() {
    let offered = &[(Find("a", 2 * M), "Header 0 a"), (FindDirectory("d"), "Header 1 d")];
    let wanted = &[(Find("a", 2 * M), "Header 0 a"), (From(0, M), "checking a, want 0")];
    let closed = &[(Find("a", 1), "Header 0 a"), (From(0, 0), "started a, want 0"), (Closed(0), "complete a, Tail 0")];
    let rows: &[Row<'_>] = &[
        (&[], Skip(0), "an answer for a file that is not on offer"),
        (&[], Done(0), "an answer for a file that is not on offer"),
        (&[], Has(0, 0, 1), "an answer for a file that is not on offer"),
        (&[], Name(0, "b"), "an answer for a file that is not on offer"),
        (&[], Settled, "settled before every file was"),
        (offered, From(1, 0), "content asked of something that is no file"),
        (offered, From(0, 1), "start at 1 is neither a chunk boundary nor the end of the file"),
        (offered, Has(0, 0, 1), "digests before an answer"),
        (offered, Name(0, "b/c"), "a new name that is a path"),
        (offered, Done(0), "a file was called done before it was sent"),
        (wanted, From(0, 0), "a second answer for the same file"),
        (wanted, Has(0, 1, 1), "digests from chunk 1 are out of order"),
        (wanted, Has(0, 0, 2), "digests from chunk 0 are out of order"),
        (wanted, Has(0, 0, 0), "digests from chunk 0 are out of order"),
        (wanted, Done(0), "a file was called done before it was sent"),
        (closed, Has(0, 0, 1), "digests of a file that was compared"),
        (closed, Settled, "settled before every file was"),
    ];
    for (steps, feed, error) in rows {
        assert_eq!(play(steps).feed(*feed), format!("error: {error}"), "{feed:?}");
    }
}

#[test]
fn digests_that_wait_for_ours_are_bounded() {
    let mut job = play(&[(Find("a", 20 * M), "Header 0 a"), (From(0, 20 * M), "checking a, want 0")]);
    assert_eq!(job.feed(Has(0, 0, 8)), "");
    assert_eq!(job.feed(Has(0, 8, 8)), "error: no room");
}

#[test]
fn remarks_go_to_where_the_user_is() {
    for (is_own_tree, known, said, noted) in [
        (true, features::NONE, 0, 2 * REMARKS_MAX),
        (false, features::ALL, REMARKS_MAX, 0),
        (false, features::NONE, 0, 0),
    ] {
        let mut job = OffersJob::new(OffersOptions { is_own_tree, ..OffersOptions::default() });
        job.ledger.use_features(known);
        (0..2 * REMARKS_MAX).for_each(|_| job.ledger.remark("x".to_owned()));
        let actions: Vec<_> = std::iter::from_fn(|| job.ledger.next_action()).collect();
        let says = actions.iter().filter(|action| matches!(action, OffersAction::Say(Message::Remark(_)))).count();
        let notes =
            actions.iter().filter(|action| matches!(action, OffersAction::Report(LedgerReport::Note(_)))).count();
        assert_eq!((says, notes), (said, noted));
    }
}

#[test]
fn a_sender_is_busy_while_the_next_step_is_its_own() {
    let mut job = play(&[]);
    assert!(job.ledger.is_busy(), "it looks for files");
    job.play(&[(Find("a", 2 * M), "Header 0 a")]);
    assert!(!job.ledger.is_busy(), "the answer is to come");
    job.play(&[(From(0, M), "checking a, want 0"), (Open(0), "hash"), (Has(0, 0, 1), "")]);
    assert!(job.ledger.is_busy(), "digests wait for its own");
    job.play(&[(Hashed(0, 0, 1, 99), "compared a"), (NextRange(0), "1..2"), (Sent(0), "")]);
    assert!(!job.ledger.is_busy());
    job.ledger.mark_read(FileId(0), true);
    assert!(job.ledger.is_busy(), "it reads the source again");
    job.ledger.mark_read(FileId(0), false);
    job.play(&[(ToClose(0), "sum up")]);
    assert!(job.ledger.is_busy(), "it sums up");
    job.play(&[(Closed(0), "let go, complete a, Tail 0")]);
    assert!(!job.ledger.is_busy());
}

#[test]
fn a_file_that_waits_to_rest_is_wanted_again_unless_it_is_over() {
    let mut job = play(&[(Find("a", 1), "Header 0 a"), (From(0, 0), "started a, want 0")]);
    job.ledger.want_again(FileId(0));
    assert_eq!(job.ledger.place(FileId(0)).map(|place| place.waits), Some(1));
    assert!(matches!(job.ledger.next_action(), Some(OffersAction::Want(FileId(0)))));
    job.feed(Failed(0, Status::Busy));
    job.ledger.want_again(FileId(0));
    assert!(job.ledger.next_action().is_none());
}
