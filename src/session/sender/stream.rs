//! Pumping: the content of one file from disk to its streams, and the end of it.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use quinn::RecvStream;

use super::Sender;
use super::outlet::{Outlet, PumpStop};
use super::source::{AtEnd, EarlyStart, look_at_end, open_offered};
use crate::digest::{CHUNK_BYTES, ChunkDigests, Digest};
use crate::protocol::message::{FileId, Tail};
use crate::protocol::range::{REPORT_BYTES, RangeHeader, RangeTiming};
use crate::session::SessionError;
use crate::session::budget::Hold;
use crate::session::memory::{SendPermit, in_flight};
use crate::session::streams::STREAM_BYTES;
use crate::storage::{ByteFiles, DataMap, Lost, ReadFile, unknown_size};
use crate::transfer::file::SendFile;
use crate::transfer::file::send::Closing;
use crate::transfer::{SUM_CHUNKS_A_STEP, SUM_CHUNKS_AT_ONCE};

/// Chunks that are read and hashed ahead of the stream, so that disk and network overlap.
const READ_AHEAD: usize = 4;

/// One chunk, ready for its stream.
type ReadChunk = Result<(Bytes, Digest), PumpStop>;

impl<F: ByteFiles> Sender<F> {
    /// Sends what is to be sent of one file now, and its tail when nothing is left.
    ///
    /// # Errors
    /// Only what ends the connection; a file that fails is reported and leaves the others alone.
    pub(super) async fn pump(&self, id: FileId) -> Result<(), SessionError> {
        let pumped = self.pump_ranges(id).await;
        self.settle(id, pumped).await
    }

    /// Acts on how the sending of a file ended, for now or for good.
    pub(super) async fn settle(&self, id: FileId, pumped: Result<(), PumpStop>) -> Result<(), SessionError> {
        match pumped {
            Ok(()) | Err(PumpStop::Unwanted) => Ok(()),
            Err(PumpStop::File(error)) => {
                self.give_up(id, (&error).into());
                Ok(())
            }
            Err(PumpStop::Changed) => Ok(self.offer_again(id).await?),
            Err(PumpStop::UnknownSize) => {
                self.give_up(id, unknown_size());
                Ok(())
            }
            Err(PumpStop::Unsettled(wait)) => {
                tokio::time::sleep(wait).await;
                self.feed(|ledger| ledger.want_again(id));
                Ok(())
            }
            Err(PumpStop::Session(error)) => Err(error),
        }
    }

    async fn pump_ranges(&self, id: FileId) -> Result<(), PumpStop> {
        if self.ledger().is_unopened(id) {
            self.open(id).await?;
        }
        while let Some((source, range)) = self.next_range(id) {
            self.send_range(id, &source, range).await?;
        }
        self.close_file(id).await
    }

    /// Opens a large file, plans its content and starts the comparison of what the receiver has.
    async fn open(&self, id: FileId) -> Result<(), PumpStop> {
        let Some(place) = self.ledger().place(id) else { return Ok(()) };
        let (size, from) = (place.header.size, place.from);
        let (start, early) = self.feed(|ledger| ledger.take_start(id)).map(EarlyStart::claim).unzip();
        let hasher = self.0.tools.hasher.clone();
        let opened = self.0.tools.disk.run(move || {
            // The start that was sent early and the rest must come from the same file.
            let source = match early.flatten() {
                Some(source) => source,
                None => Arc::new(open_offered(&place)?),
            };
            source.advise_sequential();
            let map = source.data_map(from, CHUNK_BYTES)?;
            Ok::<_, PumpStop>((source, map))
        });
        let (source, map) = opened.await??;
        let content = self.search(id, &source, map).await?;
        // The digest of a hole is one of them, and the first time it has to be made.
        let own = self.0.tools.disk.run(move || ChunkDigests::new(size, &hasher)).await?;
        let opened = self.feed(|ledger| ledger.on_opened(id, source.clone(), content, own, start));
        if opened.ok_or(PumpStop::Unwanted)? {
            let sender = self.clone();
            self.0.tools.disk.spawn(move || sender.hash_prefix(id, &source, 0, from));
        }
        Ok(())
    }

    /// Reads what may not be holes, a piece at a time.
    pub(super) async fn search(
        &self,
        id: FileId,
        source: &Arc<F::Source>,
        mut map: DataMap,
    ) -> Result<Vec<Range<u64>>, PumpStop> {
        while let Some(piece) = map.next_doubtful() {
            let _work = self.work_on(id);
            let source = source.clone();
            map.add(self.0.tools.disk.run(move || source.data_in(piece, CHUNK_BYTES)).await??);
        }
        Ok(map.into_ranges())
    }

    fn next_range(&self, id: FileId) -> Option<(Arc<F::Source>, Range<u64>)> {
        self.ledger().next_range(id)
    }

    /// Sends one range on a stream of its own: the next chunks are read and hashed while one is sent.
    async fn send_range(&self, id: FileId, source: &Arc<F::Source>, range: Range<u64>) -> Result<(), PumpStop> {
        let mut outlet = self.open_stream(id).await?;
        let header = RangeHeader { id, offset: range.start, len: range.end - range.start, timing: RangeTiming::Asked };
        outlet.write(Bytes::copy_from_slice(&header.to_bytes())).await?;
        let mut reads = VecDeque::with_capacity(READ_AHEAD);
        let mut next = range.start;
        loop {
            while next < range.end && reads.len() < READ_AHEAD {
                let len = CHUNK_BYTES.min(range.end - next) as usize;
                let permit = match self.0.budget.try_reserve(len) {
                    Some(permit) => permit,
                    // Content that was sent and is not acknowledged yet fills the budget.
                    None if reads.is_empty() => self.timed(|waits| &waits.write, self.0.budget.reserve(len)).await,
                    None => break,
                };
                reads.push_back((next, self.read(source, next, len, permit)));
                next += len as u64;
            }
            let Some((offset, read)) = reads.pop_front() else { break };
            let (bytes, digest) = self.timed(|waits| &waits.read, read).await??;
            self.on_own(id, offset / CHUNK_BYTES, digest);
            self.timed(|waits| &waits.write, outlet.write(bytes)).await?;
        }
        outlet.finish();
        self.on_sent(id);
        Ok(())
    }

    /// Starts reading and hashing one chunk on a disk thread.
    fn read(
        &self,
        source: &Arc<F::Source>,
        offset: u64,
        len: usize,
        permit: SendPermit,
    ) -> impl Future<Output = Result<ReadChunk, Lost>> + use<F> {
        let (source, hasher) = (source.clone(), self.0.tools.hasher.clone());
        let mut buffer = self.0.tools.buffers.take(len);
        self.0.tools.disk.run(move || {
            if source.read_at(&mut buffer, offset)? < len {
                return Err(if source.has_honest_size()? { PumpStop::Changed } else { PumpStop::UnknownSize });
            }
            let digest = hasher.chunk(&buffer);
            Ok((in_flight(buffer, permit), digest))
        })
    }

    fn on_own(&self, id: FileId, index: u64, digest: Digest) {
        self.with_rules(id, |rules| rules.on_own(index, &[digest]));
    }

    fn on_sent(&self, id: FileId) {
        self.with_rules(id, SendFile::on_sent);
    }

    /// `None` when the file is over.
    pub(super) fn with_rules<T>(&self, id: FileId, act: impl FnOnce(&mut SendFile) -> T) -> Option<T> {
        self.ledger().rules(id).map(act)
    }

    pub(super) async fn open_stream(&self, id: FileId) -> Result<Outlet, PumpStop> {
        let room = self.0.tools.account.for_stream(STREAM_BYTES).await;
        let (stream, reports) = self.0.tools.connection.open_bi().await?;
        self.feed(|ledger| ledger.on_stream(id));
        tokio::spawn(self.clone().read_reports(id, reports, room));
        Ok(Outlet::new(stream, self.0.turns.clone()))
    }

    /// Counts what the receiver reports as written, until it has nothing more to say: so long QUIC keeps the stream, whether
    /// anybody reads it or not.
    pub(super) async fn read_reports(self, id: FileId, mut reports: RecvStream, _room: Hold) {
        let mut raw = [0; REPORT_BYTES];
        let (mut known, mut is_open) = (0, true);
        while reports.read_exact(&mut raw).await.is_ok() {
            let written = u64::from_le_bytes(raw);
            is_open = is_open && self.feed(|ledger| ledger.on_written(id, written.saturating_sub(known)));
            known = written;
        }
    }

    /// Sends the tail if everything is sent and compared and the source still begins with it.
    async fn close_file(&self, id: FileId) -> Result<(), PumpStop> {
        let Some(source) = self.feed(|ledger| ledger.begin_close(id)) else { return Ok(()) };
        let looking = source.clone();
        match self.0.tools.disk.run(move || look_at_end(&*looking)).await?? {
            AtEnd::Close => {}
            AtEnd::ReadAgain => self.read_again(id, &source).await?,
        }
        let Some(mut closing) = self.ledger().close(id) else { return Ok(()) };
        let hasher = self.0.tools.hasher.clone();
        let first = self.0.tools.disk.run(move || (closing.step(&hasher, SUM_CHUNKS_AT_ONCE), closing));
        let tail = match first.await? {
            (Some(tail), _) => tail,
            (None, closing) => self.sum_up(closing).await?,
        };
        self.feed(|ledger| ledger.on_closed(tail));
        Ok(())
    }

    /// Sums up the rest of a huge file behind all other work; nothing more of it is done when the connection is over.
    async fn sum_up(&self, mut closing: Closing) -> Result<Tail, Lost> {
        loop {
            let hasher = self.0.tools.hasher.clone();
            let step = move || (closing.step(&hasher, SUM_CHUNKS_A_STEP), closing);
            match self.0.tools.disk.run_long(step).await? {
                (Some(tail), _) => return Ok(tail),
                (None, rest) => closing = rest,
            }
        }
    }
}
