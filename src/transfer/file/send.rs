//! The sending side of one file: which ranges to send, which chunks differ, when to close it.

use std::collections::VecDeque;
use std::ops::Range;

use crate::broken::BreakableRule;
use crate::digest::{CHUNK_BYTES, ChunkDigests, ChunkHasher, Digest, RootSum, chunk_len};
use crate::protocol::message::{FileId, Tail};
use crate::transfer::Violation;

/// A file of which the receiver asked for the content from an offset on.
#[derive(Debug)]
pub(crate) struct SendFile {
    id: FileId,
    size: u64,
    from: u64,
    /// Digests of our own chunks, as far as known; the others are holes or still to come. `None` until it is open.
    own: Option<ChunkDigests>,
    /// Chunks before `from` whose digests are known, counted from the start.
    hashed: u64,
    /// The receiver's digests of the chunks from `compared` on.
    theirs: VecDeque<Digest>,
    /// Chunks before `from` that have been compared.
    compared: u64,
    to_send: VecDeque<Range<u64>>,
    ranges_opened: u64,
    ranges_sent: u64,
}

/// Whether content of a file of `size` bytes may be asked for from `offset` on.
pub(crate) fn is_start(offset: u64, size: u64) -> bool {
    offset == size || (offset < size && offset.is_multiple_of(CHUNK_BYTES))
}

impl SendFile {
    /// Starts from the receiver's answer. Digests of the receiver's may come from now on, and wait.
    ///
    /// # Errors
    /// [`Violation::BadStart`] when the answer does not fit the file.
    pub(crate) fn wanted(id: FileId, size: u64, from: u64) -> Result<Self, Violation> {
        if !is_start(from, size) {
            return Err(Violation::BadStart { offset: from });
        }
        Ok(Self {
            id,
            size,
            from,
            own: None,
            hashed: 0,
            theirs: VecDeque::new(),
            compared: 0,
            to_send: VecDeque::new(),
            ranges_opened: 0,
            ranges_sent: 0,
        })
    }

    /// The file is open: `content` are the parts of it at or after the start that hold data, chunk-aligned and in order;
    /// what lies between them is holes. `own` are the digests of a file of that size, none of which is known.
    pub(crate) fn open(&mut self, content: Vec<Range<u64>>, own: ChunkDigests) {
        self.to_send = content.into();
        self.own = Some(own);
    }

    /// Both at once.
    ///
    /// # Errors
    /// [`Violation::BadStart`] when the answer does not fit the file.
    pub(crate) fn new(
        id: FileId,
        size: u64,
        from: u64,
        content: Vec<Range<u64>>,
        hasher: &ChunkHasher,
    ) -> Result<Self, Violation> {
        let mut file = Self::wanted(id, size, from)?;
        file.open(content, ChunkDigests::new(size, hasher));
        Ok(file)
    }

    /// Chunks before the start, to be compared.
    pub(crate) fn prefix_chunks(&self) -> u64 {
        self.from.div_ceil(CHUNK_BYTES)
    }

    /// Whether ranges wait for a stream.
    pub(crate) fn has_ranges(&self) -> bool {
        !self.to_send.is_empty()
    }

    /// Whether every chunk before the start has been compared.
    pub(crate) fn is_compared(&self) -> bool {
        self.compared >= self.prefix_chunks()
    }

    /// Whether digests of the receiver's wait for our own of the same chunks, which are being hashed.
    pub(crate) fn is_behind(&self) -> bool {
        self.own.is_some() && !self.theirs.is_empty()
    }

    /// How many of them wait.
    pub(crate) fn uncompared(&self) -> usize {
        self.theirs.len()
    }

    /// The next range that needs a stream. The caller opens one for it and reports [`SendFile::on_sent`].
    pub(crate) fn next_range(&mut self) -> Option<Range<u64>> {
        let range = self.to_send.pop_front()?;
        self.ranges_opened += 1;
        Some(range)
    }

    /// The first chunk, or all of a smaller file, is sent before any other range is taken, perhaps ahead of the answer: it
    /// is the first range.
    ///
    /// # Panics
    /// When the file was not asked for from its start, or has no content.
    pub(crate) fn on_start(&mut self, digest: Digest) {
        assert!(self.from == 0 && self.ranges_opened == 0, "the answer was another");
        let len = chunk_len(self.size, 0);
        // Where the file starts with a hole, its zeros are sent for once.
        match self.to_send.front_mut() {
            Some(first) if first.start == 0 && first.end > len => first.start = len,
            Some(first) if first.start == 0 => drop(self.to_send.pop_front()),
            _ => {}
        }
        self.ranges_opened = 1;
        self.ranges_sent = 1;
        self.note_own(0, digest);
    }

    /// A range has been handed to its stream in full.
    pub(crate) fn on_sent(&mut self) {
        self.ranges_sent += 1;
    }

    /// Digests of our own chunks from `first` on. Those before the start come in order first; any may come again.
    pub(crate) fn on_own(&mut self, first: u64, digests: &[Digest]) {
        for (index, digest) in (first..).zip(digests) {
            self.note_own(index, *digest);
        }
        if first == self.hashed {
            self.hashed = (first + digests.len() as u64).min(self.prefix_chunks());
        }
        self.compare();
    }

    fn note_own(&mut self, index: u64, digest: Digest) {
        if let Some(own) = &mut self.own {
            own.insert(index, digest);
        }
    }

    /// The receiver's digests of its chunks from `first` on.
    ///
    /// # Errors
    /// [`Violation::BadHave`] when they are none, out of order, or reach beyond the start.
    pub(crate) fn on_have(&mut self, first: u64, digests: &[Digest]) -> Result<(), Violation> {
        let known = self.compared + self.theirs.len() as u64;
        if digests.is_empty() || first != known || known + digests.len() as u64 > self.prefix_chunks() {
            return Err(Violation::BadHave { first });
        }
        self.theirs.extend(digests);
        self.compare();
        Ok(())
    }

    /// Compares what both sides have hashed; runs of differing chunks become repair ranges.
    fn compare(&mut self) {
        while self.compared < self.hashed
            && let Some(theirs) = self.theirs.pop_front()
        {
            let index = self.compared;
            if self.own_digest(index) != Some(theirs) && !BreakableRule::CompareDigests.is_broken() {
                self.repair(index);
            }
            self.compared += 1;
        }
    }

    fn own_digest(&self, index: u64) -> Option<Digest> {
        self.own.as_ref()?.get(index)
    }

    fn repair(&mut self, index: u64) {
        let start = index * CHUNK_BYTES;
        let end = start + chunk_len(self.size, index);
        match self.to_send.back_mut() {
            // Only a run that starts before `from` is a repair: content never grows backwards into it.
            Some(last) if last.end == start && last.start < self.from => last.end = end,
            _ => self.to_send.push_back(start..end),
        }
    }

    /// Whether these are the digests of our own chunks from `first` on, as they were sent or compared.
    pub(crate) fn agrees(&self, hasher: &ChunkHasher, first: u64, digests: &[Digest]) -> bool {
        let zeros = |index| hasher.zero_chunk(chunk_len(self.size, index));
        let whole = hasher.zero_chunk(CHUNK_BYTES);
        // A last chunk that is short and was not sent is told by the digest of a whole chunk of zeros.
        let own = |index| self.own_digest(index).filter(|own| *own != whole).unwrap_or_else(|| zeros(index));
        (first..).zip(digests).all(|(index, digest)| own(index) == *digest)
    }

    /// Whether all these chunks of our own were zeros.
    pub(crate) fn are_zeros(&self, hasher: &ChunkHasher, chunks: Range<u64>) -> bool {
        let mut known = self.own.iter().flat_map(|own| own.known(chunks.clone()));
        known.all(|(index, own)| own == hasher.zero_chunk(chunk_len(self.size, index)))
    }

    /// Whether everything has been sent and compared.
    pub(crate) fn is_sent(&self) -> bool {
        self.own.is_some() && self.to_send.is_empty() && self.ranges_sent == self.ranges_opened && self.is_compared()
    }

    /// The work that is left once everything has been sent and compared, told once; `None` before.
    pub(crate) fn close(&mut self) -> Option<Closing> {
        let is_sent = self.is_sent();
        let own = self.own.as_mut().filter(|_| is_sent)?.take();
        Some(Closing { id: self.id, sum: RootSum::new(own), ranges: self.ranges_opened })
    }
}

/// A file of which all has been sent, and whose digest is being summed up.
#[derive(Debug)]
pub(crate) struct Closing {
    id: FileId,
    sum: RootSum,
    ranges: u64,
}

impl Closing {
    /// Sums up at most `chunks` more chunks; the closing message after the last of them.
    pub(crate) fn step(&mut self, hasher: &ChunkHasher, chunks: u64) -> Option<Tail> {
        let root = self.sum.step(hasher, chunks)?;
        Some(Tail { id: self.id, root, ranges: self.ranges, early: false })
    }
}
