//! A range of a file, on its stream: to the disk as it comes, its progress back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use quinn::{RecvStream, SendStream};
use tokio::sync::{Notify, oneshot};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::chunk::Blocks;
use super::file::IncomingFile;
use super::{Driver, Online, Place, Receiver};
use crate::digest::{CHUNK_BYTES, Digest};
use crate::progress::FileProgress;
use crate::protocol::close::CloseCode;
use crate::protocol::range::{RangeHeader, RangeTiming};
use crate::session::peer_streams::RangeStream;
use crate::session::{ATTENTION_DEADLINE, SessionError};
use crate::storage::{Destination, StorageError, Store};
use crate::transfer::job::answers::EarlyRange;

/// How often a range's progress is reported to the sender.
const REPORT_INTERVAL: Duration = Duration::from_millis(250);

/// Ranges that may be announced of a file after one of them was taken back. Which ranges there were is remembered until the
/// file is over, and only those that are carried cost a sender something.
pub const LATE_RANGES_MAX: usize = 64;

/// One range on its way to the store.
pub(super) struct IncomingRange<S: Store = Destination> {
    header: RangeHeader,
    file: Arc<IncomingFile<S>>,
    progress: Arc<FileProgress>,
    written: AtomicU64,
    all_written: Notify,
}

impl<S: Store> IncomingRange<S> {
    /// A range, of which it is known where it goes.
    pub(super) fn begin<D: Driver<Store = S>>(header: RangeHeader, place: Place<D>) -> Arc<Self> {
        let Place { io: file, progress } = place;
        progress.begin();
        Arc::new(Self { header, file, progress, written: AtomicU64::new(0), all_written: Notify::new() })
    }

    fn is_written(&self) -> bool {
        self.written.load(Ordering::Acquire) == self.header.len
    }

    /// Where its content goes.
    pub(super) fn file(&self) -> &IncomingFile<S> {
        &self.file
    }

    /// The place in the file of so many bytes that come at `at` of the range.
    ///
    /// # Errors
    /// That it has not so many.
    pub(super) fn place(&self, at: u64, bytes: usize) -> Result<u64, SessionError> {
        match at + bytes as u64 > self.header.len {
            true => Err(SessionError::Order("content beyond its range")),
            false => Ok(self.header.offset + at),
        }
    }

    /// The part of this range that lies in the chunk at `index`.
    pub(super) fn block_len(&self, index: u64) -> usize {
        let start = (index * CHUNK_BYTES).max(self.header.offset);
        let end = ((index + 1) * CHUNK_BYTES).min(self.header.offset + self.header.len);
        (end - start) as usize
    }
}

impl Receiver {
    /// Serves one stream that the peer opened.
    ///
    /// # Errors
    /// A broken rule or the end of the connection; a file that fails is no error.
    pub(crate) async fn serve_stream(&self, mut reports: SendStream, content: RecvStream) -> Result<(), SessionError> {
        let Some(mut content) = RangeStream::begin(content, &self.0.tools.account).await? else { return Ok(()) };
        let header = content.header;
        let place = match header.timing {
            RangeTiming::Asked => self.feed(|ledger| ledger.on_range(header))?,
            RangeTiming::Early => {
                content.let_packet_go();
                self.place_early(header).await?
            }
        };
        let Some(place) = place else {
            content.stop(CloseCode::Cancelled);
            let _ = reports.reset(CloseCode::Cancelled.code().into());
            return Ok(());
        };
        if place.io.is_given_up() && place.io.count_late_range() > LATE_RANGES_MAX {
            return Err(SessionError::Order("content without end for a file that was given up"));
        }
        let range = <IncomingRange>::begin::<Online>(header, place);
        if header.len <= CHUNK_BYTES {
            // `Done` will say it all; a report would only cost a packet.
            let _ = reports.finish();
            return self.read_content(&range, &mut content).await;
        }
        let reading = self.read_content(&range, &mut content);
        // A broken rule ends the reports too: they would wait for content that nobody reads any more.
        let reporting = async {
            report(&range, &mut reports).await;
            Ok(())
        };
        tokio::try_join!(reading, reporting).map(|_| ())
    }

    /// Waits until the file of a range that came early is answered. `None`: its start is not wanted.
    ///
    /// Nothing of the content is read meanwhile but what came with its header, so QUIC's window bounds it, and what is
    /// beside it is counted.
    async fn place_early(&self, range: RangeHeader) -> Result<Option<Place<Online>>, SessionError> {
        let (wait, mut answered) = oneshot::channel();
        let unread = self.0.driver.backlog.unread();
        if self.feed(|ledger| ledger.on_early_range(range, wait))? == EarlyRange::Waits
            && unread.during(timeout(ATTENTION_DEADLINE, &mut answered)).await?.is_err()
        {
            if !self.ledger().has_offer(range.id) {
                return Err(SessionError::Timeout("offer the file that it sends"));
            }
            // The wait is for our own disk.
            let _ = unread.during(answered).await?;
        }
        Ok(self.feed(|ledger| ledger.on_answered(range))?)
    }

    /// Reads the range as it comes, in any order, and hands whole chunks to the disk.
    async fn read_content(&self, range: &Arc<IncomingRange>, content: &mut RangeStream) -> Result<(), SessionError> {
        let mut blocks = Blocks::default();
        let mut arrived = 0;
        while arrived < range.header.len {
            self.0.driver.backlog.room().await?;
            let chunk = match content.next().await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => return Err(SessionError::Order("a stream ended before its range")),
                Err(error) => return self.on_read_error(range, error),
            };
            if range.file.is_given_up() {
                content.stop(CloseCode::DiskFailed);
                range.all_written.notify_one();
                return Ok(());
            }
            arrived += chunk.bytes.len() as u64;
            self.0.driver.backlog.count_piece(chunk.bytes.len());
            self.scatter(range, &mut blocks, chunk.offset, &chunk.bytes)?;
        }
        if content.has_more().await { Err(SessionError::Order("content beyond its range")) } else { Ok(()) }
    }

    fn on_read_error(&self, range: &IncomingRange, error: quinn::ReadError) -> Result<(), SessionError> {
        range.file.give_up();
        range.all_written.notify_one();
        match error {
            quinn::ReadError::ConnectionLost(error) => Err(error.into()),
            // The sender gave this file up; its `Cancel` says why.
            _ => Ok(()),
        }
    }
}

impl<D: Driver> Receiver<D> {
    /// A chunk is in its file, or cannot be.
    pub(super) fn on_stored(
        &self,
        range: &IncomingRange<D::Store>,
        index: u64,
        len: usize,
        digest: Result<Digest, StorageError>,
    ) {
        match digest {
            Ok(digest) => self.on_chunk(range, index, len as u64, digest),
            Err(error) => {
                range.file.give_up();
                range.all_written.notify_one();
                self.fail(range.header.id, error.at_destination());
            }
        }
    }

    /// On a disk thread.
    fn on_chunk(&self, range: &IncomingRange<D::Store>, index: u64, bytes: u64, digest: Digest) {
        self.0.tools.observer.written(&range.progress, bytes);
        let complete = self.feed(|ledger| {
            // Counted where it is noted: whoever ends the range finds all its other chunks noted.
            let ends_range = range.written.fetch_add(bytes, Ordering::AcqRel) + bytes == range.header.len;
            ledger.on_chunk(range.header.id, index, digest, ends_range)
        });
        if range.is_written() {
            range.all_written.notify_one();
        }
        complete.into_iter().for_each(|complete| self.sum_up(complete));
    }
}

/// Tells the sender how much is written, until all is or nobody wants it any more.
async fn report(range: &IncomingRange, reports: &mut SendStream) {
    let mut ticks = interval(REPORT_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut reported = 0;
    while !range.is_written() {
        tokio::select! {
            () = range.all_written.notified() => {}
            _ = ticks.tick() => {}
        }
        if range.file.is_given_up() {
            let _ = reports.reset(CloseCode::DiskFailed.code().into());
            return;
        }
        let written = range.written.load(Ordering::Acquire);
        if written != reported && reports.write_all(&written.to_le_bytes()).await.is_err() {
            return;
        }
        reported = written;
    }
    let _ = reports.finish();
}
