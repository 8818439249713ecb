//! Early content: the starts of the first files leave before anybody has asked for them.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use quinn::RecvStream;
use tokio::sync::oneshot;

use super::Sender;
use super::outlet::{Outlet, PumpStop};
use super::source::{EarlyStart, Place};
use super::start::{ReadStart, read_start, small_tail};
use crate::digest::{CHUNK_BYTES, Digest};
use crate::protocol::message::FileId;
use crate::protocol::range::{RANGE_HEADER_BYTES, RangeTiming};
use crate::session::memory::in_flight;
use crate::session::streams::STREAM_BYTES;
use crate::storage::ByteFiles;
use crate::transfer::job::early::start_len;

/// Longest wait for a file that has just changed, before it goes ahead: a tick of the clock of most file systems.
const EARLY_WAIT_MAX: Duration = Duration::from_millis(20);

impl<F: ByteFiles> Sender<F> {
    /// Sends the start of a file. Whatever is in the way is found out, and said, when the file is asked for.
    pub(super) async fn send_early(self, id: FileId) {
        let Some(place) = self.ledger().place(id) else { return };
        let (len, size) = (start_len(&place.header), place.header.size);
        let more = size > len;
        let permit = self.0.budget.reserve(RANGE_HEADER_BYTES + len as usize).await;
        let Some(ReadStart { buffer, digest, source, grew: false }) = self.read_early(place, len as usize, more).await
        else {
            return;
        };
        let hasher = &self.0.tools.hasher;
        let Some(digest) = digest else {
            return self.feed(|ledger| ledger.close_early(small_tail(id, size, None, hasher)));
        };
        let source = more.then(|| Arc::new(source));
        let room = self.0.tools.account.for_stream(STREAM_BYTES).await;
        let Some((outlet, reports, wanted)) = self.open_early(id, digest, source) else { return };
        if !more {
            self.feed(|ledger| ledger.close_early(small_tail(id, size, Some(digest), hasher)));
        }
        let connection = self.0.tools.connection.clone();
        let asked = tokio::select! {
            asked = hand_over(outlet, in_flight(buffer, permit), wanted) => asked,
            _ = connection.closed() => false,
        };
        if asked {
            self.read_reports(id, reports, room).await;
        }
    }

    /// The start of a file; one that has just changed is given time, but not so much that an answer would be there sooner.
    /// `None` also for a start of zeros of a file that has more: it may be a hole, which needs no content.
    async fn read_early(&self, mut place: Place<F>, len: usize, more: bool) -> Option<ReadStart<F::Source>> {
        loop {
            let buffer = self.0.tools.buffers.take_behind(RANGE_HEADER_BYTES, len);
            let hasher = self.0.tools.hasher.clone();
            let read = move || {
                let start = read_start(&place, RangeTiming::Early, buffer, &hasher);
                let is_hole =
                    |start: &ReadStart<F::Source>| more && start.digest == Some(hasher.zero_chunk(CHUNK_BYTES));
                (place, start.map(|start| Some(start).filter(|start| !is_hole(start))))
            };
            let (there, start) = self.0.tools.disk.run(read).await.ok()?;
            place = there;
            match start {
                Ok(start) => return start,
                Err(PumpStop::Unsettled(wait)) if wait <= EARLY_WAIT_MAX => {
                    tokio::time::sleep(wait).await;
                    place.waits += 1;
                }
                Err(_) => return None,
            }
        }
    }

    /// Opens a stream for the start of a file, if the peer grants one now and has not answered meanwhile.
    fn open_early(
        &self,
        id: FileId,
        digest: Digest,
        source: Option<Arc<F::Source>>,
    ) -> Option<(Outlet, RecvStream, oneshot::Receiver<()>)> {
        // Both in one step: an answer that comes meanwhile would find nothing to take back.
        self.feed(|ledger| {
            if !ledger.is_unanswered(id) {
                return None;
            }
            let opening = pin!(self.0.tools.connection.open_bi());
            let Poll::Ready(Ok((stream, reports))) = opening.poll(&mut Context::from_waker(Waker::noop())) else {
                return None;
            };
            let (wanted, answer) = oneshot::channel();
            ledger.on_start_sent(id, EarlyStart { digest, source, wanted });
            Some((Outlet::early(stream, self.0.turns.clone()), reports, answer))
        })
    }
}

/// Writes the start of a file, and whatever has not left of it is taken back if it is not wanted. Whether it was.
async fn hand_over(mut outlet: Outlet, bytes: Bytes, mut wanted: oneshot::Receiver<()>) -> bool {
    let asked = {
        let mut writing = pin!(outlet.write_whole(bytes));
        tokio::select! {
            asked = &mut wanted => {
                if asked.is_ok() {
                    writing.await;
                }
                asked
            }
            () = &mut writing => wanted.await,
        }
    };
    if asked.is_ok() {
        outlet.finish();
    }
    asked.is_ok()
}
