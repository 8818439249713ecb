//! The data streams of one connection, which overtake each other and whose chunks come in any order.

use std::cell::Cell;
use std::rc::Rc;

use crate::digest::CHUNK_BYTES;
use crate::protocol::range::RangeHeader;

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
    /// Handed over by the sender, and not come.
    pub(super) under_way: Vec<(u64, u8)>,
    /// Chunks that have come.
    pub(super) come: u64,
    early: Option<Rc<Cell<EarlyFate>>>,
}

impl Stream {
    pub(super) fn asked(header: RangeHeader) -> Self {
        let (number, reading, under_way) = (0, Reading::Unseen, Vec::new());
        Self { number, header, reading, under_way, come: 0, early: None }
    }

    pub(super) fn early(header: RangeHeader, byte: u8, fate: Rc<Cell<EarlyFate>>) -> Self {
        Self { under_way: vec![(0, byte)], early: Some(fate), ..Self::asked(header) }
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

    pub(super) fn hand_over(&mut self, number: usize, index: u64, byte: u8) {
        // The receiver may have stopped it.
        let stream = self.open.iter_mut().find(|stream| stream.number == number);
        stream.into_iter().for_each(|stream| stream.under_way.push((index, byte)));
    }

    pub(super) fn reset(&mut self, number: usize) {
        self.open.retain(|stream| stream.number != number);
    }

    /// Streams that were sent early in vain are reset.
    pub(super) fn take_back(&mut self) {
        self.open.retain(|stream| stream.early.as_ref().is_none_or(|fate| fate.get() != EarlyFate::InVain));
    }
}
