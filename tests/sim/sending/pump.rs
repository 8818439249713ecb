//! What a sender's pumps do with one file after the other: open, read and close it, a step at a time.

use std::cell::Cell;
use std::collections::VecDeque;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::super::Fault;
use super::super::network::{EarlyFate, Stream, Streams};
use super::super::receiving::chunk;
use super::start::Start;
use super::{Sending, located};
use crate::digest::{CHUNK_BYTES, ChunkDigests};
use crate::protocol::message::{Failure, FileId};
use crate::protocol::range::{RangeHeader, RangeTiming};
use crate::session::sender::outlet::PumpStop;
use crate::session::sender::source::{AtEnd, Located, look_at_end, open_offered, stat};
use crate::session::sender::start::{read_start_of, small_tail};
use crate::storage::testing::memory::MemorySource;
use crate::storage::{Files, ReadFile, unknown_size};
use crate::transfer::file::SendFile;
use crate::transfer::job::early::start_len;

/// Longest wait for a file that has just changed, before it goes ahead.
const EARLY_WAIT_MAX: Duration = Duration::from_millis(20);

/// A step that could be taken now.
pub(super) enum Step {
    /// The start of a file is read, for the so-manieth time.
    Early { id: FileId, waits: u8 },
    /// A file is taken up that is wanted.
    Begin(FileId),
    /// A chunk of a range is read.
    Read { id: FileId, source: Arc<MemorySource>, stream: usize, next: u64, end: u64 },
    /// The next range of a large file is taken, or it is looked at for its close.
    GoOn(FileId),
    /// All that was sent is read once more: the ranges that are left, up to where it is compared, and whether it grew.
    ReadAgain { id: FileId, source: Arc<MemorySource>, ranges: VecDeque<Range<u64>>, next: u64, grew: bool },
    /// The digest is summed up.
    Close(FileId),
    /// Chunks before the start are hashed.
    Hash { id: FileId, source: Arc<MemorySource>, first: u64, from: u64 },
    /// It has been given time to come to rest.
    WantAgain(FileId),
}

impl Sending {
    pub(super) fn take(&mut self, step: Step, streams: &mut Streams, fault: Option<Fault>) {
        match step {
            Step::Early { id, waits } => self.send_early(id, waits, streams),
            Step::Begin(id) => match self.ledger.small_size(id) {
                Some(size) => self.send_small(id, size, streams),
                None => self.open(id),
            },
            Step::Read { id, source, stream, next, end } => self.read(id, &source, stream, next, end, streams),
            Step::GoOn(id) => self.go_on(id, streams, fault),
            Step::ReadAgain { id, source, ranges, next, grew } => self.read_again(id, source, ranges, next, grew),
            Step::Close(id) => {
                let tail = self.ledger.close(id).and_then(|mut closing| closing.step(&self.tools.hasher, u64::MAX));
                tail.into_iter().for_each(|tail| self.ledger.on_closed(tail));
            }
            Step::Hash { id, source, first, from } => self.hash(id, source, first, from),
            Step::WantAgain(id) => self.ledger.want_again(id),
        }
    }

    fn send_early(&mut self, id: FileId, waits: u8, streams: &mut Streams) {
        let Some(mut place) = self.ledger.place(id) else { return };
        place.waits = waits;
        let (len, size, hasher) = (start_len(&place.header), place.header.size, self.tools.hasher.clone());
        let source = match open_offered(&place) {
            Ok(source) => source,
            Err(PumpStop::Unsettled(wait)) if wait <= EARLY_WAIT_MAX => {
                return self.wait(wait, Step::Early { id, waits: waits + 1 });
            }
            // Whatever is in the way is said when the file is asked for.
            Err(_) => return,
        };
        let mut content = chunk(len);
        let Ok((digest, false)) = read_start_of(&source, &mut content, len, size, &hasher) else { return };
        let is_hole = size > len && digest == Some(hasher.zero_chunk(CHUNK_BYTES));
        if is_hole || !self.ledger.is_unanswered(id) {
            return;
        }
        let Some(digest) = digest else { return self.ledger.close_early(small_tail(id, size, None, &hasher)) };
        let fate = Rc::new(Cell::new(EarlyFate::Unknown));
        let header = RangeHeader { id, offset: 0, len, timing: RangeTiming::Early };
        streams.open(Stream::early(header, content, fate.clone()));
        let source = (size > len).then(|| Arc::new(source));
        self.ledger.on_start_sent(id, Start { digest, source, fate });
        if size == len {
            self.ledger.close_early(small_tail(id, size, Some(digest), &hasher));
        }
    }

    fn send_small(&mut self, id: FileId, size: u64, streams: &mut Streams) {
        let hasher = self.tools.hasher.clone();
        if let Some(start) = self.ledger.take_start(id) {
            return self.ledger.on_closed(small_tail(id, size, Some(start.claim().0), &hasher));
        }
        let Some(place) = self.ledger.place(id) else { return };
        let mut content = chunk(size);
        let read = open_offered(&place).and_then(|source| read_start_of(&source, &mut content, size, size, &hasher));
        let (digest, grew) = match read {
            Ok(read) => read,
            Err(stop) => return self.stop_file(id, stop),
        };
        if grew {
            self.ledger.remark(format!("{id:?} grew"));
        }
        if digest.is_some() {
            self.ledger.count_sent(id, size);
            let stream =
                streams.open(Stream::asked(RangeHeader { id, offset: 0, len: size, timing: RangeTiming::Asked }));
            streams.hand_over(stream, 0, content);
        }
        self.ledger.on_closed(small_tail(id, size, digest, &hasher));
    }

    fn open(&mut self, id: FileId) {
        if self.ledger.is_unopened(id) {
            let Some(place) = self.ledger.place(id) else { return };
            let (start, early) = self.ledger.take_start(id).map(Start::claim).unzip();
            let opened = early.flatten().map_or_else(|| open_offered(&place).map(Arc::new), Ok);
            let mapped = opened.and_then(|source| {
                let map = source.data_map(place.from, CHUNK_BYTES)?;
                Ok((source, map))
            });
            let (source, map) = match mapped {
                Ok(mapped) => mapped,
                Err(stop) => return self.stop_file(id, stop),
            };
            let own = ChunkDigests::new(place.header.size, &self.tools.hasher);
            match self.ledger.on_opened(id, source.clone(), map.into_ranges(), own, start) {
                None => return,
                Some(true) => self.steps.push(Step::Hash { id, source, first: 0, from: place.from }),
                Some(false) => {}
            }
        }
        self.steps.push(Step::GoOn(id));
    }

    fn go_on(&mut self, id: FileId, streams: &mut Streams, fault: Option<Fault>) {
        if let Some((source, range)) = self.ledger.next_range(id) {
            let header =
                RangeHeader { id, offset: range.start, len: range.end - range.start, timing: RangeTiming::Asked };
            self.ledger.on_stream(id);
            let stream = streams.open(Stream::asked(header));
            return self.steps.push(Step::Read { id, source, stream, next: range.start, end: range.end });
        }
        let Some(source) = self.ledger.begin_close(id) else { return };
        match look_at_end(&*source) {
            Ok(AtEnd::ReadAgain) if fault != Some(Fault::NotReadAgain) => self.begin_to_read_again(id, source),
            Ok(_) => self.steps.push(Step::Close(id)),
            Err(stop) => self.stop_file(id, stop),
        }
    }

    fn read(
        &mut self,
        id: FileId,
        source: &Arc<MemorySource>,
        stream: usize,
        next: u64,
        end: u64,
        streams: &mut Streams,
    ) {
        let mut content = chunk(end - next);
        let len = content.len();
        let stop = match source.read_at(&mut content, next) {
            Ok(read) if read as u64 == len => None,
            Ok(_) => Some(PumpStop::Changed),
            Err(error) => Some(error.into()),
        };
        if let Some(stop) = stop {
            streams.reset(stream);
            return self.stop_file(id, stop);
        }
        let digest = content.digest(&self.tools.hasher);
        self.ledger.rules(id).into_iter().for_each(|rules| rules.on_own(next / CHUNK_BYTES, &[digest]));
        if !streams.hand_over(stream, next / CHUNK_BYTES, content) {
            // The receiver does not want the rest; it says why.
            return;
        }
        let next = next + len;
        if next < end {
            return self.steps.push(Step::Read { id, source: source.clone(), stream, next, end });
        }
        self.ledger.rules(id).into_iter().for_each(SendFile::on_sent);
        self.steps.push(Step::GoOn(id));
    }

    fn begin_to_read_again(&mut self, id: FileId, source: Arc<MemorySource>) {
        let Some(size) = self.ledger.place(id).map(|place| place.header.size) else { return };
        let looked = source.data_map(0, CHUNK_BYTES).and_then(|map| Ok((map, source.is_longer_than(size)?)));
        match looked {
            Ok((map, grew)) => {
                let ranges = map.into_ranges().into();
                self.steps.push(Step::ReadAgain { id, source, ranges, next: 0, grew });
            }
            Err(error) => self.stop_file(id, error.into()),
        }
    }

    fn read_again(
        &mut self,
        id: FileId,
        source: Arc<MemorySource>,
        mut ranges: VecDeque<Range<u64>>,
        next: u64,
        grew: bool,
    ) {
        let Some(size) = self.ledger.place(id).map(|place| place.header.size) else { return };
        let hasher = self.tools.hasher.clone();
        let Some(rules) = self.ledger.rules(id) else { return };
        let Some(range) = ranges.pop_front() else {
            if !rules.are_zeros(&hasher, next..size.div_ceil(CHUNK_BYTES)) {
                return self.stop_file(id, PumpStop::Changed);
            }
            if grew {
                self.ledger.remark(format!("{id:?} grew"));
            }
            return self.steps.push(Step::Close(id));
        };
        let (first, end) = (range.start / CHUNK_BYTES, range.end.min(size));
        let digests = match source.hash(&hasher, first, end) {
            Ok(digests) => digests,
            Err(error) => return self.stop_file(id, error.into()),
        };
        if !rules.are_zeros(&hasher, next..first) || !rules.agrees(&hasher, first, &digests) {
            return self.stop_file(id, PumpStop::Changed);
        }
        let next = first + digests.len() as u64;
        if next * CHUNK_BYTES < end {
            ranges.push_front(next * CHUNK_BYTES..range.end);
        }
        self.steps.push(Step::ReadAgain { id, source, ranges, next, grew });
    }

    fn hash(&mut self, id: FileId, source: Arc<MemorySource>, first: u64, from: u64) {
        let digests = match source.hash(&self.tools.hasher, first, from) {
            Ok(digests) => digests,
            Err(error) => return self.ledger.give_up(id, (&error).into()),
        };
        let first_left = first + digests.len() as u64;
        if self.ledger.on_hashed(id, first, &digests) && first_left < from.div_ceil(CHUNK_BYTES) {
            self.steps.push(Step::Hash { id, source, first: first_left, from });
        }
    }

    /// Acts on how the sending of a file ended, for now or for good.
    fn stop_file(&mut self, id: FileId, stop: PumpStop) {
        match stop {
            PumpStop::Unwanted => {}
            PumpStop::File(error) => self.ledger.give_up(id, Failure::from(&error)),
            PumpStop::Changed => self.offer_again(id),
            PumpStop::UnknownSize => self.ledger.give_up(id, unknown_size()),
            PumpStop::Unsettled(wait) => self.wait(wait, Step::WantAgain(id)),
            PumpStop::Session(error) => unreachable!("there is no connection that could fail: {error}"),
        }
    }

    fn offer_again(&mut self, id: FileId) {
        let now = match self.ledger.to_look_again(id) {
            None => Ok(None),
            Some(Located { root, at, .. }) => {
                let found = root.stat(&at).map_err(Failure::from);
                found.map(|found| found.map(|meta| (located(&root, &at, &meta), stat(&meta))))
            }
        };
        self.ledger.offer_again(id, now);
    }
}
