//! Answers and streams in any order against a sending session.

use std::time::Duration;

use qft::digest::CHUNK_BYTES;
use qft::protocol::close::CloseCode;
use qft::protocol::message::{Done, FileId, Have, Message, Pos, Verdict, Why};
use qft::protocol::range::{RANGE_HEADER_BYTES, RangeHeader};

use super::cursor::Cursor;
use super::session::{answer, aside, content, converse, for_a_while, get, listen};
use crate::support::peer::{Raw, hello_with};

/// How long a data stream is waited for that may not come.
const STREAM_WAIT: Duration = Duration::from_millis(10);

/// A client that gets.
pub(crate) fn sending(input: &[u8]) {
    converse(input, begin, step);
}

async fn begin(peer: &mut Raw, cursor: &mut Cursor<'_>) {
    match cursor.byte() % 16 {
        0 => {}
        features => peer.say(&hello_with(features.into())).await,
    }
    peer.say(&Message::Get(get(cursor))).await;
    if cursor.bool() {
        listen(peer).await;
    }
}

async fn step(peer: &mut Raw, cursor: &mut Cursor<'_>) {
    match cursor.byte() % 12 {
        0..=3 => peer.say(&answer(cursor)).await,
        4..=6 => answer_well(peer, cursor).await,
        7 | 8 => take_stream(peer, cursor).await,
        9 => {
            let message = if cursor.bool() { Message::Settled } else { aside(cursor) };
            peer.say(&message).await;
        }
        10 => peer.say_bytes(cursor.bytes()).await,
        _ => drop(listen(peer).await),
    }
}

/// Hears an offer and answers it as a receiver would that has nothing, or a part that may be damaged; hears a tail and
/// says that it is done.
async fn answer_well(peer: &mut Raw, cursor: &mut Cursor<'_>) {
    match listen(peer).await {
        Some(Message::Header(header)) => {
            let held = u64::from(cursor.byte() % 3) * CHUNK_BYTES;
            let offset = if held > header.size { 0 } else { held };
            let why = if offset == 0 { Why::New } else { Why::Resume };
            peer.say(&Message::Pos(Pos { id: header.id, verdict: Verdict::From { offset, why } })).await;
            if offset > 0 {
                have(peer, cursor, header.id, offset).await;
            }
        }
        Some(Message::Tail(tail)) => peer.say(&Message::Done(Done { id: tail.id, failure: None })).await,
        _ => {}
    }
}

/// Digests of what is held, some of it damaged.
async fn have(peer: &mut Raw, cursor: &mut Cursor<'_>, id: FileId, held: u64) {
    let damaged = cursor.byte();
    let mut bytes = content(held);
    if let Some(byte) = bytes.get_mut(usize::from(damaged) << 13) {
        *byte ^= damaged;
    }
    let digests = peer.hasher.chunks(&bytes);
    peer.say(&Message::Have(Have { id, first: 0, digests })).await;
}

/// Takes a stream that the server opens, and reads it, stops it, or reads what was not sent for it.
async fn take_stream(peer: &Raw, cursor: &mut Cursor<'_>) {
    let accepted = tokio::time::timeout(STREAM_WAIT, peer.connection.accept_bi()).await;
    let Ok(Ok((mut send, mut recv))) = accepted else { return };
    match cursor.byte() % 4 {
        0 => drop(recv.stop(CloseCode::Cancelled.code().into())),
        1 => drop(for_a_while(send.write_all(cursor.bytes())).await),
        _ => {
            let mut header = [0; RANGE_HEADER_BYTES];
            let reading = recv.read_exact(&mut header);
            if !matches!(tokio::time::timeout(STREAM_WAIT, reading).await, Ok(Ok(()))) {
                return;
            }
            let header = RangeHeader::from_bytes(header);
            assert!(header.len > 0 && header.offset.is_multiple_of(CHUNK_BYTES), "{header:?}");
            for_a_while(send.write_all(&header.len.to_le_bytes())).await;
        }
    }
}
