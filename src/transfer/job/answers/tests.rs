//! Conversations with a receiver, as tables: what it is fed with, and what it then says, does and reports.

use super::*;
use crate::digest::{CHUNK_BYTES, ChunkHasher, Digest, SALT_BYTES, Salt};
use crate::protocol::message::{Done, Kind, Mtime, Pos, Problem, SkipReason, Verdict, Why};
use crate::protocol::range::{RangeHeader, RangeTiming};
use crate::protocol::{EARLY_FILES_MAX, HEADERS_AHEAD_MAX, OFFERS_MAX};
use crate::transfer::file::resume::{Basis, Start};
use crate::transfer::job::JobError;

const M: u64 = CHUNK_BYTES;

/// A job without files: what is kept with one is its number.
struct NumberedFiles;

impl AnswersAttached for NumberedFiles {
    type Room = ();
    type Wait = ();
    type Io = u64;
    type Progress = u64;
}

/// An input of the ledger.
#[derive(Debug, Clone, Copy)]
enum AnswersInput {
    /// A file, and its size.
    Offer(u64, &'static str, u64),
    /// A file for which there is no room.
    OfferWithoutRoom(u64),
    Directory(u64, &'static str),
    Close(u64, u64),
    CloseAhead(u64, u64),
    Cancel(u64),
    Changed(u64),
    Trouble(&'static str),
    AllOffered,
    End,
    /// The next offer is looked at, and nobody knows it from an earlier connection.
    Look,
    /// The same; an earlier connection has brought it.
    LookAtKnown,
    /// The name of an offer, on a disk that may take it for another.
    Apart(u64, &'static str),
    /// The same, when there is no room to remember it.
    ApartWithoutRoom(u64, &'static str),
    From(u64, u64),
    Skip(u64, SkipReason),
    Refuse(u64),
    PlanOnly(u64, Option<&'static str>),
    Range(u64, u64, u64),
    EarlyRange(u64, u64),
    Answered(u64, u64),
    /// A chunk, and whether it is the last of its range.
    Chunk(u64, u64, bool),
    Hashed(u64, u64, usize),
    Renamed(u64, &'static str),
    Committed(u64),
    Failed(u64),
    WoundUp,
    Drain,
}

use AnswersInput::*;

/// Inputs that keep the rules, one that breaks a rule, and the error.
type Row<'a> = (&'a [(AnswersInput, &'a str)], AnswersInput, &'a str);

fn path(name: &str) -> WirePath {
    WirePath::parse(name.as_bytes()).expect("a plain name")
}

fn header(id: u64, name: &str, kind: Kind, size: u64) -> Header {
    Header { id: FileId(id), path: path(name), kind, size, mtime: Mtime { secs: 0, nanos: 0 }, mode: 0 }
}

fn failure(status: Status) -> Failure {
    Failure::new(status, "")
}

fn range(id: u64, offset: u64, len: u64, timing: RangeTiming) -> RangeHeader {
    RangeHeader { id: FileId(id), offset, len, timing }
}

fn tail(id: u64, ranges: u64, early: bool) -> Tail {
    Tail { id: FileId(id), root: Digest([0; 16]), ranges, early }
}

/// A receiver, and the sizes of what was offered.
struct AnswersJob {
    ledger: Answers<NumberedFiles>,
    sizes: Vec<u64>,
}

impl AnswersJob {
    fn new(options: AnswersOptions, features: u64) -> Self {
        let mut ledger = Answers::new(options);
        ledger.use_features(features);
        Self { ledger, sizes: Vec::new() }
    }

    /// Feeds the ledger; what comes of it in words, joined by commas.
    fn feed(&mut self, feed: AnswersInput) -> String {
        let result = self.result(feed);
        let mut words: Vec<_> = std::iter::from_fn(|| self.ledger.next_action()).map(action).collect();
        match result {
            Ok(word) => words.extend(word),
            Err(error) => words.push(format!("error: {error}")),
        }
        words.join(", ")
    }

    fn result(&mut self, feed: AnswersInput) -> Result<Option<String>, JobError> {
        let ledger = &mut self.ledger;
        let judged =
            |complete: Option<Complete<NumberedFiles>>| complete.map(|complete| format!("judge {}", complete.id.0));
        let placed =
            |place: Option<RangeTarget<NumberedFiles>>| Some(place.map_or("unwanted", |_| "to disk").to_owned());
        match feed {
            Offer(id, name, size) => {
                self.sizes.push(size);
                ledger.on_header(header(id, name, Kind::File, size), || Some(()))?;
            }
            OfferWithoutRoom(id) => ledger.on_header(header(id, "x", Kind::File, 1), || None)?,
            Directory(id, name) => {
                self.sizes.push(0);
                ledger.on_header(header(id, name, Kind::Dir, 0), || Some(()))?;
            }
            Close(id, ranges) => return ledger.on_tail(tail(id, ranges, false)).map(judged),
            CloseAhead(id, ranges) => return ledger.on_tail(tail(id, ranges, true)).map(judged),
            Cancel(id) => ledger.on_cancel(Done { id: FileId(id), failure: Some(failure(Status::ReadFailed)) })?,
            Changed(id) => ledger.on_cancel(Done { id: FileId(id), failure: Some(failure(Status::Changed)) })?,
            Trouble(name) => ledger.on_problem(Problem::new(name, failure(Status::NotFound))),
            AllOffered => ledger.on_offered()?,
            End => ledger.on_end()?,
            Look | LookAtKnown => {
                let Some(next) = ledger.next_to_plan() else { return Ok(Some("idle".to_owned())) };
                let is_next = ledger.is_to_be_planned(next.id, matches!(feed, LookAtKnown));
                return Ok(is_next.then(|| format!("look at {}", next.path)));
            }
            Apart(id, name) | ApartWithoutRoom(id, name) => {
                let header = header(id, name, Kind::File, 1);
                let has_room = matches!(feed, Apart(..));
                return Ok(Some(format!("{:?}", ledger.tell_apart(&header, &path(name), |_| has_room))));
            }
            From(id, from) => {
                let start = Start { from, basis: Basis::Part, why: Why::New };
                let size = self.sizes[id as usize];
                let rules = ReceiveFile::new(size, from, &ChunkHasher::new(&Salt([0; SALT_BYTES])));
                return Ok(judged(ledger.open(FileId(id), &start, rules, id, id)));
            }
            Skip(id, reason) => ledger.skip(FileId(id), reason),
            Refuse(id) => ledger.refuse(FileId(id), failure(Status::Exists)),
            PlanOnly(id, named) => ledger.plan_only(FileId(id), 0, Why::New, named.map(path)),
            Range(id, offset, len) => return ledger.on_range(range(id, offset, len, RangeTiming::Asked)).map(placed),
            EarlyRange(id, len) => {
                let early = ledger.on_early_range(range(id, 0, len, RangeTiming::Early), ())?;
                return Ok(Some(format!("{early:?}")));
            }
            Answered(id, len) => return ledger.on_answered(range(id, 0, len, RangeTiming::Early)).map(placed),
            Chunk(id, index, ends_range) => {
                return Ok(judged(ledger.on_chunk(FileId(id), index, Digest([1; 16]), ends_range)));
            }
            Hashed(id, first, count) => {
                return Ok(match ledger.on_prefix(FileId(id), first, vec![Digest([1; 16]); count]) {
                    None => Some("unwanted".to_owned()),
                    Some(PrefixProgress::GoesOn) => Some("go on".to_owned()),
                    Some(PrefixProgress::Hashed(complete)) => judged(complete),
                });
            }
            Renamed(id, name) => ledger.on_renamed(FileId(id), &path(name)),
            Committed(id) => ledger.on_committed(FileId(id)),
            Failed(id) => ledger.fail(FileId(id), failure(Status::Busy)),
            WoundUp => ledger.on_wound_up(),
            Drain => ledger.drain(),
        }
        Ok(None)
    }

    /// Plays a conversation.
    fn play(&mut self, steps: &[(AnswersInput, &str)]) {
        for (number, (feed, expected)) in steps.iter().enumerate() {
            assert_eq!(self.feed(*feed), *expected, "step {number}: {feed:?}");
        }
    }
}

/// Plays a conversation with a sender that understands everything.
fn play(steps: &[(AnswersInput, &str)]) -> AnswersJob {
    let mut job = AnswersJob::new(AnswersOptions::default(), features::ALL);
    job.play(steps);
    job
}

fn action(action: AnswersAction<NumberedFiles>) -> String {
    match action {
        AnswersAction::Say(message) => said(message),
        AnswersAction::Report(report) => reported(report),
        AnswersAction::Plan => "plan".to_owned(),
        AnswersAction::HashPrefix(id, _) => format!("hash {}", id.0),
        AnswersAction::GiveUp(io) => format!("give up {io}"),
        AnswersAction::WindUp => "wind up".to_owned(),
        AnswersAction::Finish => "finish".to_owned(),
    }
}

fn said(message: Message) -> String {
    match message {
        Message::Pos(Pos { id, verdict }) => match verdict {
            Verdict::Skip(reason) => format!("Pos {} {reason:?}", id.0),
            Verdict::Refuse(failure) => format!("Pos {} {:?}", id.0, failure.status),
            Verdict::From { offset, .. } => format!("Pos {} from {}", id.0, offset / M),
        },
        Message::Done(Done { id, failure: None }) => format!("Done {}", id.0),
        Message::Done(Done { id, failure: Some(failure) }) => format!("Done {} {:?}", id.0, failure.status),
        Message::Have(have) => format!("Have {} {}+{}", have.id.0, have.first, have.digests.len()),
        Message::Named(named) => format!("Named {} {}", named.id.0, named.name),
        other => format!("{other:?}"),
    }
}

fn reported(report: AnswersReport<NumberedFiles>) -> String {
    match report {
        AnswersReport::Found { path, .. } => format!("found {path}"),
        AnswersReport::SearchEnded => "search ended".to_owned(),
        AnswersReport::Skipped { path, reason, .. } => format!("skipped {path} {reason:?}"),
        AnswersReport::Planned { path, named, .. } => format!("planned {path} {named:?}"),
        AnswersReport::Started(id) => format!("started {id}"),
        AnswersReport::Hashed(id) => format!("hashed {id}"),
        AnswersReport::Complete(id) => format!("complete {id}"),
        AnswersReport::Named(id, name) => format!("named {id} {name}"),
        AnswersReport::Finished { progress, .. } => format!("finished {progress}"),
        AnswersReport::Failed { name, failure } => {
            format!("failed {} {:?}", String::from_utf8_lossy(&name), failure.status)
        }
        AnswersReport::Note(text) => format!("note {text}"),
    }
}

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
        (Hashed(0, 2, 1), "Have 0 2+1, hashed 0, complete 0, judge 0"),
        (Committed(0), "finished 0, Done 0"),
    ]);
    // Update, or a comparison by content.
    play(&[
        (Offer(0, "a", 2 * M), "found a, plan"),
        (Look, "look at a"),
        (From(0, 2 * M), "started 0, Pos 0 from 2, hash 0"),
        (Hashed(0, 0, 2), "Have 0 0+2, hashed 0"),
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
    job.ledger.refuse_below(&path("C"), &path("c"), |_| false);
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
