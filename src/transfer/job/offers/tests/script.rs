//! A sender's job that is played step by step, and what it says as text.

use super::*;
pub(super) use crate::transfer::job::script::*;
use crate::transfer::{CountedRoom, Room};

pub(super) const M: u64 = CHUNK_BYTES;

/// A job without files: what is kept with one is its name.
pub(super) struct NamedFiles;

impl OffersAttached for NamedFiles {
    type Permit = CountedRoom;
    type Digests = CountedRoom;
    type Source = &'static str;
    type Open = &'static str;
    type Start = ();
    type Progress = String;

    fn progress(header: &Header, _: &&'static str, _: u64, _: Why) -> String {
        header.path.to_string()
    }
}

/// An input of the ledger.
#[derive(Debug, Clone, Copy)]
pub(super) enum OffersInput {
    /// A file is found, and its size.
    Find(&'static str, u64),
    FindDirectory(&'static str),
    Trouble(&'static str),
    WalkEnded,
    WalkCutShort,
    Drain,
    Features(u64),
    /// The receiver wants a file from an offset on.
    From(u64, u64),
    Skip(u64),
    Refuse(u64, Status),
    /// Digests: first and how many.
    Has(u64, u64, usize),
    Done(u64),
    Failed(u64, Status),
    Name(u64, &'static str),
    Settled,
    /// The start was read and is on its way.
    StartSent(u64),
    CloseEarly(u64),
    TakeStart(u64),
    /// The whole of it after its start is data.
    Open(u64),
    NextRange(u64),
    Sent(u64),
    /// Our digests are the ones that [`OffersInput::Has`] says, but for this one.
    Hashed(u64, u64, usize, u64),
    ToClose(u64),
    Closed(u64),
    Written(u64, u64),
    /// The source changed; it is there still.
    Changed(u64),
    /// The source changed, and is gone.
    Gone(u64),
    /// The source changed, and cannot be looked at.
    Unseen(u64),
    GiveUp(u64),
}

pub(super) use OffersInput::*;

/// Inputs that keep the rules, one that breaks a rule, and the error.
pub(super) type Row<'a> = (&'a [(OffersInput, &'a str)], OffersInput, &'a str);

pub(super) fn hasher() -> ChunkHasher {
    ChunkHasher::new(&Salt([0; SALT_BYTES]))
}

pub(super) fn digest(index: u64) -> Digest {
    Digest([index as u8 + 1; 16])
}

/// A sender, and the sizes of what it has offered.
pub(super) struct OffersJob {
    pub(super) ledger: Offers<NamedFiles>,
    pub(super) sizes: Vec<u64>,
}

impl OffersJob {
    pub(super) fn new(options: OffersOptions) -> Self {
        Self { ledger: Offers::new(options), sizes: Vec::new() }
    }

    /// Feeds the ledger; what comes of it in words, joined by commas.
    pub(super) fn feed(&mut self, feed: OffersInput) -> String {
        let result = self.result(feed);
        in_words(std::iter::from_fn(|| self.ledger.next_action()).map(action), result)
    }

    pub(super) fn offer(&mut self, name: &'static str, kind: Kind, size: u64) -> Offer<NamedFiles> {
        self.sizes.push(size);
        let (path, permit) = (path(name), CountedRoom(100));
        Offer { source: name, path, stat: Stat { kind, size, mtime: Mtime { secs: 0, nanos: 0 }, mode: 0 }, permit }
    }

    pub(super) fn result(&mut self, feed: OffersInput) -> Result<Option<String>, JobError> {
        let tail = |id| Tail { id: FileId(id), root: Digest([0; 16]), ranges: 1, early: false };
        match feed {
            Find(name, size) => {
                let offer = self.offer(name, Kind::File, size);
                self.ledger.offer(offer);
            }
            FindDirectory(name) => {
                let offer = self.offer(name, Kind::Dir, 0);
                self.ledger.offer(offer);
            }
            Trouble(name) => self.ledger.problem(name.into(), failure(Status::NotFound)),
            WalkEnded => self.ledger.on_walk_ended(false),
            WalkCutShort => self.ledger.on_walk_ended(true),
            Drain => self.ledger.drain(),
            Features(features) => self.ledger.use_features(features),
            From(id, offset) => {
                let verdict = Verdict::From { offset, why: Why::New };
                self.ledger.on_pos(Pos { id: FileId(id), verdict })?;
            }
            Skip(id) => self.ledger.on_pos(Pos { id: FileId(id), verdict: Verdict::Skip(SkipReason::Same) })?,
            Refuse(id, status) => {
                self.ledger.on_pos(Pos { id: FileId(id), verdict: Verdict::Refuse(failure(status)) })?;
            }
            Has(id, first, count) => {
                let digests = (first..).take(count).map(digest).collect();
                self.ledger.on_have(&Have { id: FileId(id), first, digests }, |bytes| {
                    let mut room = CountedRoom(room_for(8));
                    room.grow(bytes).then_some(room)
                })?;
            }
            Done(id) => {
                self.ledger.on_done(crate::protocol::message::Done { id: FileId(id), failure: None })?;
            }
            Failed(id, status) => {
                let failure = Some(failure(status));
                self.ledger.on_done(crate::protocol::message::Done { id: FileId(id), failure })?;
            }
            Name(id, name) => {
                let name = path(name);
                self.ledger.on_named(Named { id: FileId(id), name })?;
            }
            Settled => self.ledger.on_settled()?,
            StartSent(id) => {
                if self.ledger.is_unanswered(FileId(id)) {
                    self.ledger.on_start_sent(FileId(id), ());
                }
            }
            CloseEarly(id) => self.ledger.close_early(tail(id)),
            TakeStart(id) => return Ok(self.ledger.take_start(FileId(id)).map(|()| "taken".to_owned())),
            Open(id) => {
                let (size, from) =
                    (self.sizes[id as usize], self.ledger.place(FileId(id)).map_or(0, |place| place.from));
                let content = if from < size { std::iter::once(from..size).collect() } else { Vec::new() };
                let own = ChunkDigests::new(size, &hasher());
                let opened = self.ledger.on_opened(FileId(id), "open", content, own, None);
                return Ok(opened.map(|has_prefix| if has_prefix { "hash" } else { "opened" }.to_owned()));
            }
            NextRange(id) => {
                let range = self.ledger.next_range(FileId(id)).map(|(_, range)| range);
                return Ok(Some(range.map_or_else(
                    || "none".to_owned(),
                    |range| format!("{}..{}", range.start / M, range.end.div_ceil(M)),
                )));
            }
            Sent(id) => {
                self.ledger.rules(FileId(id)).expect("it is open").on_sent();
            }
            Hashed(id, first, count, differs) => {
                let own = |index| if index == differs { digest(99) } else { digest(index) };
                let digests: Vec<_> = (first..).take(count).map(own).collect();
                self.ledger.on_hashed(FileId(id), first, &digests);
            }
            ToClose(id) => {
                return Ok(Some(self.ledger.begin_close(FileId(id)).map_or("not yet", |_| "sum up").to_owned()));
            }
            Closed(id) => self.ledger.on_closed(tail(id)),
            Written(id, bytes) => {
                self.ledger.on_written(FileId(id), bytes);
            }
            Changed(id) => {
                let Some(source) = self.ledger.to_look_again(FileId(id)) else {
                    self.ledger.offer_again(FileId(id), Ok(None));
                    return Ok(None);
                };
                let Offer { stat, .. } = self.offer(source, Kind::File, 7);
                self.ledger.offer_again(FileId(id), Ok(Some((source, stat))));
            }
            Gone(id) => self.ledger.offer_again(FileId(id), Ok(None)),
            Unseen(id) => self.ledger.offer_again(FileId(id), Err(failure(Status::ReadFailed))),
            GiveUp(id) => self.ledger.give_up(FileId(id), failure(Status::ReadFailed)),
        }
        Ok(None)
    }

    pub(super) fn play(&mut self, steps: &[(OffersInput, &str)]) {
        for (number, (feed, expected)) in steps.iter().enumerate() {
            assert_eq!(self.feed(*feed), *expected, "step {number}: {feed:?}");
        }
    }
}

/// Plays a conversation of a client with its own files.
pub(super) fn play(steps: &[(OffersInput, &str)]) -> OffersJob {
    let mut job = OffersJob::new(OffersOptions { is_dry_run: false, is_own_tree: true, sends_early: false });
    job.play(steps);
    job
}

/// The same; the starts of the first files are sent early.
pub(super) fn play_early(steps: &[(OffersInput, &str)]) -> OffersJob {
    let mut job = OffersJob::new(OffersOptions { is_dry_run: false, is_own_tree: true, sends_early: true });
    job.play(steps);
    job
}

pub(super) fn action(action: OffersAction<NamedFiles>) -> String {
    match action {
        OffersAction::Say(message) => said(message),
        OffersAction::Report(report) => report.in_words(),
        OffersAction::SendEarly(id) => format!("send {} early", id.0),
        OffersAction::Claim(()) => "claim".to_owned(),
        OffersAction::Want(id) => format!("want {}", id.0),
        OffersAction::LetGo(_) => "let go".to_owned(),
        OffersAction::Finish => "finish".to_owned(),
    }
}

pub(super) fn said(message: Message) -> String {
    match message {
        Message::Header(header) => format!("Header {} {}", header.id.0, header.path),
        Message::Tail(tail) => format!("Tail {}{}", tail.id.0, if tail.early { " ahead" } else { "" }),
        Message::Cancel(done) => format!("Cancel {} {:?}", done.id.0, done.failure.expect("a cause").status),
        Message::Problem(problem) => format!("Problem {}", String::from_utf8_lossy(&problem.name)),
        Message::End(end) => format!("End {} {}", end.files, end.bytes),
        other => format!("{other:?}"),
    }
}
