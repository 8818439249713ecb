//! The streams that a peer opens, and how they begin.
//!
//! What is left unread QUIC keeps as it came: each byte of a hostile peer's with the packets that it came in, and a note of
//! each gap. So a stream is read from its first byte on, in whatever order it comes, and content that comes before the header
//! is whole is kept here.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use bytes::{Buf, Bytes};
use quinn::{Chunk, Connection, ConnectionError, ReadError, RecvStream, SendStream};
use tokio::task::coop::consume_budget;
use tokio::time::timeout;

use super::budget::{Account, Hold};
use super::unread::Unread;
use super::{ATTENTION_DEADLINE, SessionError};
use crate::protocol::close::CloseCode;
use crate::protocol::range::{RANGE_HEADER_BYTES, RangeHeader};

/// What a piece takes beside its bytes, here and in QUIC, which keeps a note of each gap.
const PIECE_OVERHEAD: usize = 256;

/// The streams that a peer opens, the first of which may come before anybody knows what for.
pub(crate) struct PeerStreams {
    connection: Connection,
    unread: Arc<Unread>,
    early: VecDeque<(SendStream, RecvStream)>,
    early_since: Option<Instant>,
}

impl PeerStreams {
    pub(crate) fn new(connection: Connection, unread: Arc<Unread>) -> Self {
        Self { connection, unread, early: VecDeque::new(), early_since: None }
    }

    /// The next one. Safe to cancel.
    pub(crate) async fn next(&mut self) -> Result<(SendStream, RecvStream), ConnectionError> {
        match self.early.pop_front() {
            Some(stream) => Ok(stream),
            None => self.accept().await,
        }
    }

    async fn accept(&self) -> Result<(SendStream, RecvStream), ConnectionError> {
        let stream = self.connection.accept_bi().await?;
        self.unread.on_stream();
        Ok(stream)
    }

    /// Lets one more wait until it is known what they are for. Safe to cancel.
    pub(crate) async fn await_early(&mut self) -> Result<(), ConnectionError> {
        let stream = self.accept().await?;
        self.early.push_back(stream);
        self.early_since.get_or_insert_with(Instant::now);
        Ok(())
    }

    /// Since when some have waited so.
    pub(crate) fn early_since(&self) -> Option<Instant> {
        self.early_since
    }
}

/// A data stream whose header has come, and the content that came with it or before it.
pub(crate) struct RangeStream {
    pub(crate) header: RangeHeader,
    pieces: Pieces,
    stream: RecvStream,
    /// Some was read as it came, so that QUIC reads this stream in no other way any more.
    is_unordered: bool,
}

impl RangeStream {
    /// Reads until the header is whole. `None`: the sender took the range back before it was announced, or before that was
    /// heard.
    ///
    /// # Errors
    /// A stream without a header, or the end of the connection.
    pub(crate) async fn begin(stream: RecvStream, account: &Account) -> Result<Option<Self>, SessionError> {
        match timeout(ATTENTION_DEADLINE, Self::read_header(stream, account)).await {
            Ok(Ok(begun)) => Ok(Some(begun)),
            Ok(Err(BeginningError::Read(ReadError::Reset(_)))) => Ok(None),
            Ok(Err(BeginningError::Read(ReadError::ConnectionLost(error)))) => Err(error.into()),
            Ok(Err(BeginningError::Full)) => Err(SessionError::Overloaded),
            Ok(Err(_)) => Err(SessionError::Order("a stream ended within its header")),
            Err(_) => Err(SessionError::Timeout("announce the range of a stream")),
        }
    }

    async fn read_header(mut stream: RecvStream, account: &Account) -> Result<Self, BeginningError> {
        let (mut partial, mut is_unordered) = (Partial::default(), false);
        let mut next = read_first(&mut stream).await?;
        loop {
            consume_budget().await;
            let chunk = match next.take() {
                Some(chunk) => chunk,
                None => {
                    is_unordered = true;
                    stream.read_chunk(usize::MAX, false).await?.ok_or(BeginningError::Ended)?
                }
            };
            if partial.add(chunk, account)? {
                let Partial { header, pieces, .. } = partial;
                return Ok(Self { header: RangeHeader::from_bytes(header), pieces, stream, is_unordered });
            }
        }
    }

    /// Keeps what came with the header without the packet that it came in, and all that came with that packet.
    pub(crate) fn let_packet_go(&mut self) {
        self.pieces.rest.iter_mut().for_each(|chunk| chunk.bytes = Bytes::copy_from_slice(&chunk.bytes));
    }

    /// The next content in whatever order it comes, each with its place in the range; `None` at the end of the stream. Leaves
    /// others on its thread their turn, as reading from quinn's streams alone does not.
    pub(crate) async fn next(&mut self) -> Result<Option<Chunk>, ReadError> {
        consume_budget().await;
        let next = match self.pieces.next() {
            Some(chunk) => Some(chunk),
            None => {
                self.is_unordered = true;
                self.stream.read_chunk(usize::MAX, false).await?
            }
        };
        Ok(next.map(|Chunk { offset, bytes }| Chunk { offset: offset - RANGE_HEADER_BYTES as u64, bytes }))
    }

    /// Whether more follows what was read.
    pub(crate) async fn has_more(&mut self) -> bool {
        matches!(self.stream.read_chunk(1, !self.is_unordered).await, Ok(Some(_)))
    }

    /// Nobody wants the content any more.
    pub(crate) fn stop(&mut self, code: CloseCode) {
        // It may have ended meanwhile.
        let _ = self.stream.stop(code.code().into());
    }
}

/// Why there is no header.
#[derive(Debug, thiserror::Error)]
enum BeginningError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("the stream ended within its header")]
    Ended,
    #[error("no room for content before its header")]
    Full,
}

/// The first bytes, if they are there. Most often they are, and all of a small file with them; QUIC need then take no notes
/// of what may come in another order.
async fn read_first(content: &mut RecvStream) -> Result<Option<Chunk>, BeginningError> {
    let mut reading = pin!(content.read_chunk(usize::MAX, true));
    poll_fn(|context| match reading.as_mut().poll(context) {
        Poll::Ready(Ok(Some(chunk))) => Poll::Ready(Ok(Some(chunk))),
        Poll::Ready(Ok(None)) => Poll::Ready(Err(BeginningError::Ended)),
        Poll::Ready(Err(error)) => Poll::Ready(Err(error.into())),
        Poll::Pending => Poll::Ready(Ok(None)),
    })
    .await
}

/// The pieces that have come until the header is whole.
#[derive(Default)]
struct Partial {
    header: [u8; RANGE_HEADER_BYTES],
    filled: usize,
    pieces: Pieces,
}

impl Partial {
    /// Takes what has come. Whether the header is whole.
    fn add(&mut self, mut chunk: Chunk, account: &Account) -> Result<bool, BeginningError> {
        if let Some(header) = usize::try_from(chunk.offset).ok().and_then(|at| self.header.get_mut(at..)) {
            let count = header.len().min(chunk.bytes.len());
            header[..count].copy_from_slice(&chunk.bytes[..count]);
            self.filled += count;
            chunk.bytes.advance(count);
            chunk.offset += count as u64;
        }
        let is_whole = self.filled == RANGE_HEADER_BYTES;
        if chunk.bytes.is_empty() {
            return Ok(is_whole);
        }
        if is_whole {
            self.pieces.rest = Some(chunk);
        } else {
            self.pieces.keep(chunk, account)?;
        }
        Ok(is_whole)
    }
}

/// Content that came with the header, or before it.
#[derive(Default)]
struct Pieces {
    /// Behind what completed the header.
    rest: Option<Chunk>,
    kept: VecDeque<(Chunk, Hold)>,
}

impl Pieces {
    /// One of them; those that were kept in the order in which they came.
    fn next(&mut self) -> Option<Chunk> {
        self.rest.take().or_else(|| self.kept.pop_front().map(|(chunk, _)| chunk))
    }

    /// Keeps one without the packet that it came in.
    fn keep(&mut self, mut chunk: Chunk, account: &Account) -> Result<(), BeginningError> {
        let room = account.take_memory(chunk.bytes.len() + PIECE_OVERHEAD).ok_or(BeginningError::Full)?;
        chunk.bytes = Bytes::copy_from_slice(&chunk.bytes);
        self.kept.push_back((chunk, room));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Identity;
    use crate::protocol::message::FileId;
    use crate::protocol::range::RangeTiming;
    use crate::session::budget::{Budget, FLOOR_BYTES};

    const HEADER: RangeHeader = RangeHeader { id: FileId(7), offset: 300, len: 8, timing: RangeTiming::Asked };

    fn account(budget: &Budget) -> Account {
        budget.account(Identity::ephemeral().expect("a key").fingerprint())
    }

    /// The bytes of a stream between two of its offsets.
    fn chunk(from: usize, to: usize) -> Chunk {
        let stream = [&HEADER.to_bytes()[..], b"12345678"].concat();
        Chunk { offset: from as u64, bytes: Bytes::copy_from_slice(&stream[from..to]) }
    }

    fn in_order(mut pieces: Pieces) -> Vec<(u64, Bytes)> {
        let mut all: Vec<_> = std::iter::from_fn(|| pieces.next()).map(|chunk| (chunk.offset, chunk.bytes)).collect();
        all.sort();
        all
    }

    #[test]
    fn a_header_and_its_content_may_come_in_any_order() {
        let end = RANGE_HEADER_BYTES + 8;
        let cuts: [&[usize]; 4] = [&[0, end], &[0, 3, end], &[0, RANGE_HEADER_BYTES, end], &[0, 1, 2, 20, 27, 30, end]];
        for cut in cuts {
            for turned in [false, true] {
                let mut chunks: Vec<_> = cut.windows(2).map(|ends| chunk(ends[0], ends[1])).collect();
                if turned {
                    chunks.reverse();
                }
                let (budget, mut partial) = (Budget::new(0, 1), Partial::default());
                let account = account(&budget);
                let whole_after =
                    chunks.drain(..).map(|chunk| partial.add(chunk, &account).unwrap()).collect::<Vec<_>>();
                assert_eq!(whole_after.last(), Some(&true), "{cut:?} {turned}");
                assert_eq!(partial.header, HEADER.to_bytes());
                let content = in_order(partial.pieces).into_iter().flat_map(|(_, bytes)| bytes).collect::<Vec<_>>();
                assert_eq!(content, b"12345678"[8 - content.len()..], "{cut:?} {turned}");
            }
        }
    }

    #[test]
    fn content_before_its_header_takes_no_more_than_the_share_of_its_connection() {
        let budget = Budget::new(0, 1);
        let (account, mut partial) = (account(&budget), Partial::default());
        let piece = |n: u64| Chunk { offset: 1000 + 2 * n, bytes: Bytes::from_static(b"x") };
        let taken = (0..).take_while(|n| partial.add(piece(*n), &account).is_ok()).count();
        assert_eq!(taken, FLOOR_BYTES / (PIECE_OVERHEAD + 1));
        drop(partial);
        assert!(account.take_memory(FLOOR_BYTES).is_some(), "all of it is given back");
    }
}
