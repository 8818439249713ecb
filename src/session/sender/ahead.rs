//! Going ahead: the starts of the first files leave before anybody has asked for them.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use quinn::RecvStream;
use tokio::sync::oneshot;

use super::outlet::{Outlet, Stop};
use super::start::{Start, read_start, small_tail};
use super::stream::Place;
use super::{Sender, State};
use crate::digest::{CHUNK_BYTES, Digest};
use crate::protocol::message::{FileId, Header, Message, Tail};
use crate::protocol::range::{RANGE_HEADER_BYTES, Turn};
use crate::session::memory::in_flight;
use crate::storage::Source;
use crate::transfer::job::early::{is_empty_file, start_len};

/// Longest wait for a file that has just changed, before it goes ahead: a tick of the clock of most file systems.
const AHEAD_WAIT_MAX: Duration = Duration::from_millis(20);

/// The start of a file that has gone ahead. Dropping it says that it was in vain.
pub(super) struct Gone {
    digest: Digest,
    /// Of a file that goes on behind its start.
    source: Option<Arc<Source>>,
    wanted: oneshot::Sender<()>,
}

impl Sender {
    /// Whether the start of a new offer goes ahead; it is then counted.
    pub(super) fn goes_ahead(&self, state: &mut State, header: &Header, attempt: u8) -> bool {
        // Who answers speaks for the files to come: what goes ahead then saves nothing any more.
        let early = self.0.tools.ahead && attempt == 1 && !state.answered;
        early && (is_empty_file(header) || state.ahead.take(header))
    }

    /// Sends the start of a file. Whatever is in the way is found out, and said, when the file is asked for.
    pub(super) async fn send_ahead(self, place: Place) {
        let (id, len) = (place.header.id, start_len(&place.header));
        let more = place.header.size > len;
        let permit = self.0.budget.reserve(RANGE_HEADER_BYTES + len as usize).await;
        let Some(Start { buffer, digest, source, grew: false }) = self.read_ahead(place, len as usize, more).await
        else {
            return;
        };
        let Some(digest) = digest else { return self.close_ahead(id, None) };
        let source = more.then(|| Arc::new(source));
        let Some((outlet, reports, wanted)) = self.open_ahead(id, digest, source) else { return };
        if !more {
            self.close_ahead(id, Some(digest));
        }
        let connection = self.0.tools.connection.clone();
        let asked = tokio::select! {
            asked = hand_over(outlet, in_flight(buffer, permit), wanted) => asked,
            _ = connection.closed() => false,
        };
        if asked {
            self.read_reports(id, reports).await;
        }
    }

    /// The start of a file; one that has just changed is given time, but not so much that an answer would be there sooner.
    /// `None` also for a start of zeros of a file that has more: it may be a hole, which needs no content.
    async fn read_ahead(&self, mut place: Place, len: usize, more: bool) -> Option<Start> {
        loop {
            let buffer = self.0.tools.buffers.take_behind(RANGE_HEADER_BYTES, len);
            let (here, hasher) = (place.clone(), self.0.tools.hasher.clone());
            let read = self.0.tools.disk.run(move || {
                let start = read_start(&here, Turn::Ahead, buffer, &hasher)?;
                let is_hole = more && start.digest == Some(hasher.zero_chunk(CHUNK_BYTES));
                Ok((!is_hole).then_some(start))
            });
            match read.await.ok()? {
                Ok(start) => return start,
                Err(Stop::Unsettled(wait)) if wait <= AHEAD_WAIT_MAX => {
                    tokio::time::sleep(wait).await;
                    place.offered.waits += 1;
                }
                Err(_) => return None,
            }
        }
    }

    /// Opens a stream for the start of a file, if the peer grants one now and has not answered meanwhile.
    fn open_ahead(
        &self,
        id: FileId,
        digest: Digest,
        source: Option<Arc<Source>>,
    ) -> Option<(Outlet, RecvStream, oneshot::Receiver<()>)> {
        let mut state = self.state();
        let file = state.files.get_mut(&id).filter(|file| file.moving.is_none())?;
        let opening = pin!(self.0.tools.connection.open_bi());
        let Poll::Ready(Ok((stream, reports))) = opening.poll(&mut Context::from_waker(Waker::noop())) else {
            return None;
        };
        let (wanted, answer) = oneshot::channel();
        file.ahead = Some(Gone { digest, source, wanted });
        Some((Outlet::ahead(stream), reports, answer))
    }

    /// Says that all of a small file has been sent, although nobody has asked for it; an empty file has no digest.
    fn close_ahead(&self, id: FileId, digest: Option<Digest>) {
        let mut state = self.state();
        let Some(file) = state.files.get_mut(&id).filter(|file| file.moving.is_none()) else { return };
        let tail = small_tail(id, file.header.size, digest, &self.0.tools.hasher);
        file.tail_sent = true;
        self.0.tools.control.send(Message::Tail(Tail { ahead: true, ..tail }));
        drop(state);
        self.maybe_end();
    }

    /// The start of a file that was asked for from there, if it has gone ahead: it is sent then, and counted. Its
    /// digest, and the source of a file that goes on behind it.
    pub(super) fn take_ahead(&self, id: FileId) -> Option<(Digest, Option<Arc<Source>>)> {
        let mut state = self.state();
        let file = state.files.get_mut(&id)?;
        let gone = file.ahead.take()?;
        let moving = file.moving.as_mut()?;
        moving.sent += start_len(&file.header);
        moving.progress.begin();
        Some(gone.claim())
    }
}

impl Gone {
    /// It was not in vain. Its digest, and the source of a file that goes on behind it.
    pub(super) fn claim(self) -> (Digest, Option<Arc<Source>>) {
        // Nobody hears it when the connection has ended.
        let _ = self.wanted.send(());
        (self.digest, self.source)
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
