//! The sending end: what `session/sender` carries out, one step at a time.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;

use super::content::{Sources, hasher};
use super::network::{EarlyFate, Stream, Streams};
use super::random::Random;
use super::{Fault, Hazard};
use crate::digest::{CHUNK_BYTES, ChunkDigests};
use crate::protocol::message::{Failure, FileId, Header, Kind, Message, Mtime, Status, Tail, Why};
use crate::protocol::path::WirePath;
use crate::protocol::range::{RangeHeader, RangeTiming};
use crate::transfer::file::SendFile;
use crate::transfer::job::JobError;
use crate::transfer::job::early::start_len;
use crate::transfer::job::offers::{
    Offer, Offers, OffersAction, OffersAttached, OffersOptions, OffersReport, Room, Stat,
};
use crate::transfer::job::settled::Settled;

/// What the ledger keeps with each file.
pub(super) struct Side;

impl OffersAttached for Side {
    type Permit = ();
    type Digests = ();
    type Source = String;
    type Open = usize;
    type Start = Start;
    type Progress = String;

    fn progress(header: &Header, _: &String, _: u64, _: Why) -> String {
        header.path.to_string()
    }
}

impl Room for () {
    fn grow(&mut self, _: usize) -> bool {
        true
    }

    fn shrink_to(&mut self, _: usize) {}
}

/// The start of a file that was sent early.
pub(super) struct Start {
    digest: crate::digest::Digest,
    fate: Rc<Cell<EarlyFate>>,
}

impl Start {
    fn claim(self) -> crate::digest::Digest {
        self.fate.set(EarlyFate::Wanted);
        self.digest
    }
}

impl Drop for Start {
    fn drop(&mut self) {
        if self.fate.get() == EarlyFate::Unknown {
            self.fate.set(EarlyFate::InVain);
        }
    }
}

/// What a pump does next.
enum Step {
    /// It takes up a file.
    Begin(FileId),
    /// It reads a chunk of a range, from the file as it was opened.
    Read { id: FileId, name: String, stream: usize, next: u64, end: u64, version: usize },
    /// It takes the next range of a large file, or closes it.
    GoOn(FileId),
}

/// What came of a step, for whoever watches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Told {
    Done(String),
    Skipped(String),
    Failed(String, Status),
}

pub(super) struct Sending {
    pub(super) ledger: Offers<Side>,
    pub(super) says: VecDeque<Message>,
    pub(super) told: Vec<Told>,
    pub(super) is_over: bool,
    walk: VecDeque<String>,
    walks: bool,
    early: Vec<FileId>,
    pumps: Vec<Step>,
    hashing: Vec<(FileId, String, u64, u64)>,
}

impl Sending {
    pub(super) fn new(sources: &Sources, sends_early: bool, features: u64) -> Self {
        let mut ledger = Offers::new(OffersOptions { is_dry_run: false, is_own_tree: true, sends_early });
        ledger.use_features(features);
        let walk = sources.keys().cloned().collect();
        let (says, told, early, pumps, hashing) = Default::default();
        Self { ledger, says, told, is_over: false, walk, walks: true, early, pumps, hashing }
    }

    /// Carries out what the ledger says.
    pub(super) fn carry_out(&mut self) {
        while let Some(action) = self.ledger.next_action() {
            match action {
                OffersAction::Say(message) => self.says.push_back(message),
                OffersAction::Report(OffersReport::Finished { path, .. }) => {
                    self.told.push(Told::Done(path.to_string()))
                }
                OffersAction::Report(OffersReport::Skipped { path, .. }) => {
                    self.told.push(Told::Skipped(path.to_string()))
                }
                OffersAction::Report(OffersReport::Failed { name, failure }) => {
                    self.told.push(Told::Failed(String::from_utf8_lossy(&name).into_owned(), failure.status));
                }
                OffersAction::Report(_) | OffersAction::LetGo(_) => {}
                OffersAction::SendEarly(id) => self.early.push(id),
                OffersAction::Claim(start) => drop(start.claim()),
                OffersAction::Want(id) => self.pumps.push(Step::Begin(id)),
                OffersAction::Finish => self.is_over = true,
            }
        }
    }

    pub(super) fn hear(&mut self, message: Message) -> Result<(), JobError> {
        let result = match message {
            Message::Pos(pos) => self.ledger.on_pos(pos),
            Message::Have(have) => self.ledger.on_have(&have, |_| Some(())),
            Message::Done(done) => self.ledger.on_done(done),
            Message::Settled => self.ledger.on_settled(),
            Message::GoAway => {
                self.stop();
                Ok(())
            }
            other => unreachable!("no receiver says {other:?}"),
        };
        self.carry_out();
        result
    }

    /// One end is about to stop.
    pub(super) fn stop(&mut self) {
        self.ledger.drain();
        if std::mem::replace(&mut self.walks, false) {
            self.ledger.on_walk_ended(true);
        }
        self.carry_out();
    }

    /// How many steps it could take now.
    pub(super) fn steps(&self) -> usize {
        usize::from(self.walks) + self.early.len() + self.pumps.len() + self.hashing.len()
    }

    /// Takes any of them.
    pub(super) fn step(
        &mut self,
        random: &mut Random,
        sources: &Sources,
        streams: &mut Streams,
        settled: Option<&mut Settled>,
        hazard: Hazard,
    ) {
        let mut chosen = random.below(self.steps());
        if self.walks {
            if chosen == 0 {
                self.walk_on(sources, settled);
                return self.carry_out();
            }
            chosen -= 1;
        }
        if chosen < self.early.len() {
            let id = self.early.swap_remove(chosen);
            self.send_early(id, sources, streams);
        } else if chosen - self.early.len() < self.pumps.len() {
            let step = self.pumps.swap_remove(chosen - self.early.len());
            self.pump(step, random, sources, streams, hazard);
        } else {
            let (id, name, next, from) = random.take(&mut self.hashing);
            let digest = present(sources, &name).1.digest(next);
            let is_wanted = self.ledger.on_hashed(id, next, &[digest]);
            if is_wanted && (next + 1) * CHUNK_BYTES < from {
                self.hashing.push((id, name, next + 1, from));
            }
        }
        self.carry_out();
    }

    fn walk_on(&mut self, sources: &Sources, settled: Option<&mut Settled>) {
        let Some(name) = self.walk.pop_front() else {
            self.walks = false;
            return self.ledger.on_walk_ended(false);
        };
        if settled.is_some_and(|settled| settled.is_settled(name.as_bytes())) {
            return;
        }
        let path = WirePath::parse(name.as_bytes()).expect("a plain name");
        self.ledger.offer(Offer { stat: stat(sources, &name), source: name, path, permit: () });
    }

    fn send_early(&mut self, id: FileId, sources: &Sources, streams: &mut Streams) {
        let Some(place) = self.ledger.place(id) else { return };
        let (version, content) = present(sources, &place.source);
        let len = start_len(&place.header);
        let is_hole = content.chunks.first() == Some(&0) && content.size > len;
        if is_changed(&place.header, version) || is_hole || !self.ledger.is_unanswered(id) {
            return;
        }
        if len == 0 {
            return self.ledger.close_early(small_tail(id, 0, None));
        }
        let (digest, fate) = (content.digest(0), Rc::new(Cell::new(EarlyFate::Unknown)));
        let header = RangeHeader { id, offset: 0, len, timing: RangeTiming::Early };
        streams.open(Stream::early(header, content.chunks[0], fate.clone()));
        self.ledger.on_start_sent(id, Start { digest, fate });
        if content.size == len {
            self.ledger.close_early(small_tail(id, len, Some(digest)));
        }
    }

    fn pump(&mut self, step: Step, random: &mut Random, sources: &Sources, streams: &mut Streams, hazard: Hazard) {
        match step {
            Step::Begin(id) => match self.ledger.small_size(id) {
                Some(size) => self.send_small(id, size, sources, streams),
                None => self.open(id, sources),
            },
            Step::GoOn(id) => self.go_on(id, sources, streams, hazard),
            Step::Read { id, name, stream, next, end, version } => {
                let (_, content) = present(sources, &name);
                let index = next / CHUNK_BYTES;
                if index >= content.chunks.len() as u64 || random.percent(hazard.failing) {
                    streams.reset(stream);
                    return match random.percent(50) {
                        true => self.offer_again(id, sources),
                        false => self.ledger.give_up(id, Failure::new(Status::ReadFailed, "")),
                    };
                }
                self.ledger.rules(id).into_iter().for_each(|rules| rules.on_own(index, &[content.digest(index)]));
                streams.hand_over(stream, index, content.chunks[index as usize]);
                let next = (next + CHUNK_BYTES).min(end);
                if next < end {
                    return self.pumps.push(Step::Read { id, name, stream, next, end, version });
                }
                self.ledger.rules(id).into_iter().for_each(SendFile::on_sent);
                self.pumps.push(Step::GoOn(id));
            }
        }
    }

    fn send_small(&mut self, id: FileId, size: u64, sources: &Sources, streams: &mut Streams) {
        if let Some(start) = self.ledger.take_start(id) {
            return self.ledger.on_closed(small_tail(id, size, Some(start.claim())));
        }
        let Some(place) = self.ledger.place(id) else { return };
        let (version, content) = present(sources, &place.source);
        if is_changed(&place.header, version) {
            return self.offer_again(id, sources);
        }
        if size == 0 {
            return self.ledger.on_closed(small_tail(id, 0, None));
        }
        self.ledger.count_sent(id, size);
        let stream = streams.open(Stream::asked(RangeHeader { id, offset: 0, len: size, timing: RangeTiming::Asked }));
        streams.hand_over(stream, 0, content.chunks[0]);
        self.ledger.on_closed(small_tail(id, size, Some(content.digest(0))));
    }

    fn open(&mut self, id: FileId, sources: &Sources) {
        if self.ledger.is_unopened(id) {
            let Some(place) = self.ledger.place(id) else { return };
            let (version, content) = present(sources, &place.source);
            if is_changed(&place.header, version) {
                return self.offer_again(id, sources);
            }
            let start = self.ledger.take_start(id).map(Start::claim);
            let own = ChunkDigests::new(content.size, hasher());
            match self.ledger.on_opened(id, version, content.data(place.from), own, start) {
                None => return,
                Some(true) => self.hashing.push((id, place.source, 0, place.from)),
                Some(false) => {}
            }
        }
        self.pumps.push(Step::GoOn(id));
    }

    fn go_on(&mut self, id: FileId, sources: &Sources, streams: &mut Streams, hazard: Hazard) {
        let Some(place) = self.ledger.place(id) else { return };
        if let Some((version, range)) = self.ledger.next_range(id) {
            let header =
                RangeHeader { id, offset: range.start, len: range.end - range.start, timing: RangeTiming::Asked };
            let stream = streams.open(Stream::asked(header));
            let (next, end, name) = (range.start, range.end, place.source);
            return self.pumps.push(Step::Read { id, name, stream, next, end, version });
        }
        let Some(version) = self.ledger.begin_close(id) else { return };
        let is_changed =
            present(sources, &place.source).0 != version && hazard.broken != Some(Fault::SourceNotLookedAtAgain);
        if is_changed {
            return self.offer_again(id, sources);
        }
        let tail = self.ledger.close(id).and_then(|mut closing| closing.step(hasher(), u64::MAX));
        tail.into_iter().for_each(|tail| self.ledger.on_closed(tail));
    }

    fn offer_again(&mut self, id: FileId, sources: &Sources) {
        let now = self.ledger.to_look_again(id).map(|name| (name.clone(), stat(sources, &name)));
        self.ledger.offer_again(id, now);
    }
}

/// The number of the present version of a source, and that.
fn present<'a>(sources: &'a Sources, name: &str) -> (usize, &'a super::content::Content) {
    let versions = &sources[name];
    (versions.len(), versions.last().expect("each has one"))
}

fn is_changed(header: &Header, version: usize) -> bool {
    header.mtime.secs != version as i64
}

fn stat(sources: &Sources, name: &str) -> Stat {
    let (version, content) = present(sources, name);
    let mtime = Mtime { secs: version as i64, nanos: 1 };
    Stat { kind: Kind::File, size: content.size, mtime, mode: 0 }
}

fn small_tail(id: FileId, size: u64, digest: Option<crate::digest::Digest>) -> Tail {
    let content = digest.iter().map(|_| 0..size).collect();
    let mut rules = SendFile::new(id, size, 0, content, hasher()).expect("any file may be sent from its start");
    digest.into_iter().for_each(|digest| rules.on_start(digest));
    let mut closing = rules.close().expect("the one range is sent");
    closing.step(hasher(), 1).expect("it has one chunk at most")
}
