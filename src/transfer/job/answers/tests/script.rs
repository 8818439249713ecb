//! A receiver's job that is played step by step, and what it says as text.

use std::cell::Cell;
use std::rc::Rc;

use super::*;
use crate::transfer::Room;
pub(super) use crate::transfer::job::script::*;

pub(super) const M: u64 = CHUNK_BYTES;

/// A job without files: what is kept with one is its number.
pub(super) struct NumberedFiles;

/// Room that is there or not.
pub(super) struct SwitchedRoom(Rc<Cell<bool>>);

impl Room for SwitchedRoom {
    fn grow(&mut self, _: usize) -> bool {
        self.0.get()
    }

    fn shrink_to(&mut self, _: usize) {}
}

impl AnswersAttached for NumberedFiles {
    type Room = ();
    type Names = SwitchedRoom;
    type Wait = ();
    type Io = u64;
    type Progress = u64;
}

/// An input of the ledger.
#[derive(Debug, Clone, Copy)]
pub(super) enum AnswersInput {
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
    /// The directories above its name.
    ApartAbove(u64, &'static str),
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

pub(super) use AnswersInput::*;

/// Inputs that keep the rules, one that breaks a rule, and the error.
pub(super) type Row<'a> = (&'a [(AnswersInput, &'a str)], AnswersInput, &'a str);

pub(super) fn header(id: u64, name: &str, kind: Kind, size: u64) -> Header {
    Header { id: FileId(id), path: path(name), kind, size, mtime: Mtime { secs: 0, nanos: 0 }, mode: 0 }
}

pub(super) fn range(id: u64, offset: u64, len: u64, timing: RangeTiming) -> RangeHeader {
    RangeHeader { id: FileId(id), offset, len, timing }
}

pub(super) fn tail(id: u64, ranges: u64, early: bool) -> Tail {
    Tail { id: FileId(id), root: Digest([0; 16]), ranges, early }
}

/// A receiver, and the sizes of what was offered.
pub(super) struct AnswersJob {
    pub(super) ledger: Answers<NumberedFiles>,
    pub(super) sizes: Vec<u64>,
    /// Whether there is room for one more name.
    pub(super) has_room: Rc<Cell<bool>>,
}

impl AnswersJob {
    pub(super) fn new(options: AnswersOptions, features: u64) -> Self {
        let has_room = Rc::new(Cell::new(true));
        let mut ledger = Answers::new(options, SwitchedRoom(has_room.clone()));
        ledger.use_features(features);
        Self { ledger, sizes: Vec::new(), has_room }
    }

    /// Feeds the ledger; what comes of it in words, joined by commas.
    pub(super) fn feed(&mut self, feed: AnswersInput) -> String {
        let result = self.result(feed);
        in_words(std::iter::from_fn(|| self.ledger.next_action()).map(action), result)
    }

    pub(super) fn result(&mut self, feed: AnswersInput) -> Result<Option<String>, JobError> {
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
                let Some(next) = ledger.next_to_plan(1).pop() else { return Ok(Some("idle".to_owned())) };
                let is_next = ledger.is_to_be_planned(next.id, matches!(feed, LookAtKnown));
                return Ok(is_next.then(|| format!("look at {}", next.path)));
            }
            Apart(id, name) | ApartWithoutRoom(id, name) => {
                let header = header(id, name, Kind::File, 1);
                self.has_room.set(matches!(feed, Apart(..)));
                return Ok(Some(format!("{:?}", ledger.tell_apart(&header, &path(name)))));
            }
            ApartAbove(id, name) => {
                let header = header(id, name, Kind::File, 1);
                return Ok(Some(format!("{:?}", ledger.tell_above_apart(&header, &path(name)))));
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

    pub(super) fn play(&mut self, steps: &[(AnswersInput, &str)]) {
        for (number, (feed, expected)) in steps.iter().enumerate() {
            assert_eq!(self.feed(*feed), *expected, "step {number}: {feed:?}");
        }
    }
}

/// Plays a conversation with a sender that understands everything.
pub(super) fn play(steps: &[(AnswersInput, &str)]) -> AnswersJob {
    let mut job = AnswersJob::new(AnswersOptions::default(), features::ALL);
    job.play(steps);
    job
}

pub(super) fn action(action: AnswersAction<NumberedFiles>) -> String {
    match action {
        AnswersAction::Say(message) => said(message),
        AnswersAction::Report(report) => report.in_words(),
        AnswersAction::Plan => "plan".to_owned(),
        AnswersAction::HashPrefix(id, _) => format!("hash {}", id.0),
        AnswersAction::GiveUp(io) => format!("give up {io}"),
        AnswersAction::WindUp => "wind up".to_owned(),
        AnswersAction::Finish => "finish".to_owned(),
    }
}

pub(super) fn said(message: Message) -> String {
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
