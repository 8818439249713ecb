//! Messages and streams in any order against a receiving session.

use qft::digest::{CHUNK_BYTES, Digest};
use qft::protocol::close::CloseCode;
use qft::protocol::message::{Done, End, Header, Kind, Message, Mtime, Problem, Tail};
use qft::protocol::range::{RangeHeader, RangeTiming};

use super::cursor::Cursor;
use super::session::{NAMES, SIZES, announce, answer, aside, content, converse, failure, id, listen, push};
use crate::support::peer::{Raw, hello_with, path};

/// A client that sends.
pub(crate) fn receiving(input: &[u8]) {
    converse(input, begin, step);
}

async fn begin(peer: &mut Raw, cursor: &mut Cursor<'_>) {
    // Once in a while it forgets its manners.
    match cursor.byte() % 16 {
        0 => {}
        1 => peer.say(&Message::Push(push(cursor))).await,
        features => {
            peer.say(&hello_with(features.into())).await;
            peer.say(&Message::Push(push(cursor))).await;
            if cursor.bool() {
                listen(peer).await;
            }
        }
    }
}

async fn step(peer: &mut Raw, cursor: &mut Cursor<'_>) {
    match cursor.byte() % 14 {
        0..=2 => peer.say(&header(cursor)).await,
        3 => send_well(peer, cursor).await,
        4 | 5 => stream(peer, cursor).await,
        6 => peer.say(&tail(peer, cursor)).await,
        7 => peer.say(&Message::Cancel(Done { id: id(cursor), failure: Some(failure(cursor)) })).await,
        8 => {
            let name = cursor.pick(&NAMES).as_bytes().to_vec();
            peer.say(&Message::Problem(Problem::new(name, failure(cursor)))).await;
        }
        9 => peer.say(&Message::Offered).await,
        10 => peer.say(&Message::End(End { files: cursor.number(), bytes: cursor.number() })).await,
        11 => {
            let message = if cursor.bool() { answer(cursor) } else { aside(cursor) };
            peer.say(&message).await;
        }
        12 => peer.say_bytes(cursor.bytes()).await,
        _ => drop(listen(peer).await),
    }
}

fn header(cursor: &mut Cursor<'_>) -> Message {
    let (id, path) = (id(cursor), path(cursor.pick(&NAMES)));
    let (kind, size) = match cursor.byte() % 8 {
        0 => (Kind::Dir, 0),
        1 => (Kind::Link(cursor.pick(&["a", ".", "..", "/etc", "d/a"]).into()), 0),
        _ => (Kind::File, cursor.pick(&SIZES)),
    };
    let mtime = Mtime { secs: cursor.pick(&[0, 1_000_000_000, i64::MIN, i64::MAX]), nanos: 0 };
    Message::Header(Header { id, path, kind, size, mtime, mode: cursor.pick(&[0o644, 0, 0o7777, u32::MAX]) })
}

/// A whole file as it should be, if its number is the right one.
async fn send_well(peer: &mut Raw, cursor: &mut Cursor<'_>) {
    let (id, name, size) = (id(cursor), cursor.pick(&NAMES), cursor.pick(&SIZES));
    let mtime = Mtime { secs: 5, nanos: 0 };
    let header = Header { id, path: path(name), kind: Kind::File, size, mtime, mode: 0o644 };
    peer.say(&Message::Header(header)).await;
    if cursor.bool() {
        listen(peer).await;
    }
    let bytes = content(size);
    if size > 0 {
        let header = RangeHeader { id, offset: 0, len: size, timing: RangeTiming::Asked };
        if let Some((mut send, _)) = announce(peer, header, &bytes).await {
            drop(send.finish());
        }
    }
    peer.say(&peer.tail(id.0, &bytes, u64::from(size > 0))).await;
}

/// A data stream that carries what it announces, or less, or more.
async fn stream(peer: &Raw, cursor: &mut Cursor<'_>) {
    let id = id(cursor);
    let offset = match cursor.byte() {
        255 => cursor.u64(),
        chunk => u64::from(chunk % 4) * CHUNK_BYTES,
    };
    let len = match cursor.byte() {
        255 => cursor.u64(),
        choice => SIZES[usize::from(choice) % SIZES.len()],
    };
    let carried = if cursor.byte().is_multiple_of(4) { cursor.pick(&SIZES) } else { len.min(3 * CHUNK_BYTES + 5) };
    let bytes = content(carried);
    let timing = if cursor.bool() { RangeTiming::Early } else { RangeTiming::Asked };
    let end = cursor.byte();
    // No length on the wire has the bit that marks what goes ahead.
    let header = RangeHeader { id, offset, len: len & (u64::MAX >> 1), timing };
    let Some((mut send, mut recv)) = announce(peer, header, &bytes).await else { return };
    match end % 4 {
        0 => drop(send.reset(CloseCode::SourceFailed.code().into())),
        1 => drop(recv.stop(CloseCode::DiskFailed.code().into())),
        _ => drop(send.finish()),
    }
}

fn tail(peer: &Raw, cursor: &mut Cursor<'_>) -> Message {
    let (id, ranges, early) = (id(cursor), cursor.number(), cursor.bool());
    let root = match cursor.bool() {
        true => peer.root(&content(cursor.pick(&SIZES))),
        false => Digest([0; 16]),
    };
    Message::Tail(Tail { id, root, ranges, early })
}
