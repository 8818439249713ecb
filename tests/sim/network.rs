//! The data streams of one connection, which overtake each other and whose chunks come in any order.

use std::cell::Cell;
use std::rc::Rc;

use crate::digest::CHUNK_BYTES;
use crate::protocol::range::RangeHeader;
use crate::storage::testing::memory::ChunkContent;

/// What becomes of a range that was sent early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EarlyFate {
    /// Its file is not answered.
    Unknown,
    /// It is the first of the file's ranges.
    Wanted,
    /// It is taken back.
    InVain,
}

/// Where the receiver is with a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// It has not seen it.
    Unseen,
    /// It waits for the answer to its file.
    Waits,
    /// Its chunks go to the disk.
    ToDisk,
}

/// One data stream.
pub(super) struct Stream {
    pub(super) number: usize,
    pub(super) header: RangeHeader,
    pub(super) reading: Reading,
    /// Handed over by the sender, and not come: chunks by their index.
    pub(super) under_way: Vec<(u64, ChunkContent)>,
    /// Chunks that have come.
    pub(super) come: u64,
    /// The sender has given it up.
    pub(super) is_reset: bool,
    early: Option<Rc<Cell<EarlyFate>>>,
}

impl Stream {
    pub(super) fn asked(header: RangeHeader) -> Self {
        let (number, reading, under_way) = (0, Reading::Unseen, Vec::new());
        Self { number, header, reading, under_way, come: 0, is_reset: false, early: None }
    }

    pub(super) fn early(header: RangeHeader, content: ChunkContent, fate: Rc<Cell<EarlyFate>>) -> Self {
        Self { under_way: vec![(0, content)], early: Some(fate), ..Self::asked(header) }
    }

    pub(super) fn chunks(&self) -> u64 {
        self.header.len.div_ceil(CHUNK_BYTES)
    }
}

/// All that are open.
#[derive(Default)]
pub(super) struct Streams {
    pub(super) open: Vec<Stream>,
    opened: usize,
}

impl Streams {
    pub(super) fn open(&mut self, stream: Stream) -> usize {
        self.opened += 1;
        self.open.push(Stream { number: self.opened, ..stream });
        self.opened
    }

    pub(super) fn get_mut(&mut self, number: usize) -> Option<&mut Stream> {
        self.open.iter_mut().find(|stream| stream.number == number)
    }

    /// False when the receiver has stopped the stream.
    pub(super) fn hand_over(&mut self, number: usize, index: u64, content: ChunkContent) -> bool {
        let Some(stream) = self.get_mut(number) else { return false };
        stream.under_way.push((index, content));
        true
    }

    /// The sender gives a stream up: what is under way need not come.
    pub(super) fn reset(&mut self, number: usize) {
        if let Some(stream) = self.get_mut(number) {
            stream.is_reset = true;
            stream.under_way.clear();
        }
    }

    /// The receiver has all of a stream, or wants no more of it.
    pub(super) fn close(&mut self, number: usize) {
        self.open.retain(|stream| stream.number != number);
    }

    /// Streams that were sent early in vain are reset.
    pub(super) fn take_back(&mut self) {
        for stream in &mut self.open {
            if stream.early.as_ref().is_some_and(|fate| fate.get() == EarlyFate::InVain) {
                stream.is_reset = true;
                stream.under_way.clear();
            }
        }
    }
}
