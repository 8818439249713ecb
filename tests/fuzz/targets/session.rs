//! A real server with a hand-made client, over QUIC on loopback: what both targets of sessions share.

use std::cell::OnceCell;
use std::fs;
use std::io::ErrorKind;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use qft::digest::CHUNK_BYTES;
use qft::protocol::FILE_BYTES_MAX;
use qft::protocol::close::CloseCode;
use qft::protocol::message::{
    Done, Failure, FileId, Get, Have, IfExists, LinkReport, List, Message, Pos, Probe, ProbeKind, Push, SkipReason,
    Status, Target, Verdict, Why,
};
use qft::protocol::range::RangeHeader;
use qft::transport;
use quinn::{RecvStream, SendStream};
use tokio::runtime::Runtime;

use super::cursor::Cursor;
use crate::support::field::{Field, write};
use crate::support::peer::{Raw, path};
use crate::support::until;

/// Steps of one conversation: more take longer and find no more.
const STEPS_MAX: usize = 48;
/// How long an answer is waited for that may not come.
const ANSWER_WAIT: Duration = Duration::from_millis(10);

/// Sizes and offsets on both sides of where chunks begin.
pub(super) const SIZES: [u64; 8] =
    [0, 1, 10, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES, 3 * CHUNK_BYTES + 5];

/// Names that meet each other: files, and directories of the same names.
pub(super) const NAMES: [&str; 10] =
    ["a", "b", "d", "d/a", "d/d/a", "link", "link/a", ".hidden", "a~1", "served/large"];

/// What is served. The targets that write get it anew for each input.
pub(super) const SERVED: [(&str, u64); 5] =
    [("served/empty", 0), ("served/small", 10), ("served/large", 2 * CHUNK_BYTES + 7), ("served/d/x", 1), ("a", 10)];

struct Place {
    field: Field,
    runtime: Runtime,
}

impl Place {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let field = Field::with(|builder| builder.workers(NonZeroUsize::MIN));
        Self { field, runtime: runtime.expect("a runtime") }
    }

    fn root(&self) -> PathBuf {
        self.field.path("")
    }

    /// As if nobody had been here.
    fn clear(&self) {
        for entry in fs::read_dir(self.root()).expect("the root").map(|entry| entry.expect("an entry").path()) {
            let removed = match entry.is_dir() && !entry.is_symlink() {
                true => fs::remove_dir_all(entry),
                false => fs::remove_file(entry),
            };
            // The server removes a part that nobody wants any more after the connection's end.
            removed
                .or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) })
                .expect("ours");
        }
        for (name, len) in SERVED {
            write(&self.root().join(name), &content(len));
        }
    }
}

/// What the served files hold; it repeats, which costs less than what does not.
pub(super) fn content(len: u64) -> Vec<u8> {
    (0..len).map(|at| (at >> 4) as u8).collect()
}

/// Lets the client `begin`, and then take `step`s as long as there is input. Whatever it did: nothing panics, the server
/// does not call it its own fault, nothing is outside of its root, and the connection is gone when the client is.
pub(super) fn converse(
    input: &[u8],
    begin: impl AsyncFn(&mut Raw, &mut Cursor<'_>),
    step: impl AsyncFn(&mut Raw, &mut Cursor<'_>),
) {
    thread_local! {
        static PLACE: OnceCell<Place> = const { OnceCell::new() };
    }
    PLACE.with(|place| {
        let place = place.get_or_init(Place::new);
        place.clear();
        place.runtime.block_on(async {
            let mut cursor = Cursor::new(input);
            let mut peer = Raw::connect(&place.field.server, &place.field.hostile).await;
            begin(&mut peer, &mut cursor).await;
            for _ in 0..STEPS_MAX {
                if cursor.is_empty() || peer.connection.close_reason().is_some() {
                    break;
                }
                step(&mut peer, &mut cursor).await;
            }
            let reason = peer.connection.close_reason();
            let code = reason.as_ref().and_then(transport::closed_by);
            assert_ne!(code, Some(CloseCode::Internal), "{reason:?}");
            transport::close(&peer.connection, CloseCode::Done, "");
            drop(peer);
            until("the connection's end", || place.field.server.active() == [0]).await;
            while tokio::time::timeout(Duration::ZERO, place.field.server.notice()).await.is_ok() {}
        });
        place.field.nothing_is_outside();
        are_unchanged(&place.root());
    });
}

/// What no client was asked to change is as it was: nothing that is sent has the name of a served file but one.
fn are_unchanged(root: &Path) {
    for (name, len) in SERVED.iter().filter(|(name, _)| !NAMES.contains(name)) {
        let found = fs::read(root.join(name)).ok();
        assert!(found.is_none_or(|found| found == content(*len)), "{name} was changed");
    }
}

/// Hears what the server says by itself, if anything.
pub(super) async fn listen(peer: &mut Raw) -> Option<Message> {
    tokio::time::timeout(ANSWER_WAIT, peer.hear()).await.ok().flatten()
}

/// Opens a data stream and begins it, as far as the server lets it: that may have closed the connection.
pub(super) async fn announce(peer: &Raw, header: RangeHeader, bytes: &[u8]) -> Option<(SendStream, RecvStream)> {
    let (mut send, recv) = for_a_while(peer.connection.open_bi()).await?.ok()?;
    for_a_while(send.write_all(&header.to_bytes())).await?.ok()?;
    for_a_while(send.write_all(bytes)).await?.ok()?;
    Some((send, recv))
}

/// Does what the server may hold up by not reading, for a while: what it is owed it does not always take.
pub(super) async fn for_a_while<T>(work: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(10 * ANSWER_WAIT, work).await.ok()
}

/// A file's number: a small one, or any.
pub(super) fn id(cursor: &mut Cursor<'_>) -> FileId {
    FileId(match cursor.byte() {
        255 => cursor.u64(),
        small => (small % 8).into(),
    })
}

pub(super) fn failure(cursor: &mut Cursor<'_>) -> Failure {
    let statuses = [
        Status::NotFound,
        Status::ReadFailed,
        Status::Changed,
        Status::WriteFailed,
        Status::Busy,
        Status::Cancelled,
        Status::Internal,
        Status::VerifyFailed,
    ];
    let status = cursor.pick(&statuses);
    Failure::new(status, String::from_utf8_lossy(cursor.bytes()))
}

/// An answer that a receiver may say.
pub(super) fn answer(cursor: &mut Cursor<'_>) -> Message {
    let id = id(cursor);
    match cursor.byte() % 8 {
        0..=2 => Message::Pos(Pos { id, verdict: Verdict::From { offset: cursor.pick(&SIZES), why: Why::New } }),
        3 => Message::Pos(Pos { id, verdict: Verdict::Skip(cursor.pick(&[SkipReason::Same, SkipReason::Made])) }),
        4 => Message::Pos(Pos { id, verdict: Verdict::Refuse(failure(cursor)) }),
        5 => {
            let digests = vec![qft::digest::Digest([cursor.byte(); 16]); usize::from(cursor.byte()) % 5];
            // What our own encoder refuses cannot be said in this way.
            Message::Have(Have { id, first: cursor.number().min(FILE_BYTES_MAX), digests })
        }
        6 => Message::Done(Done { id, failure: None }),
        _ => Message::Done(Done { id, failure: Some(failure(cursor)) }),
    }
}

/// A job that a client may begin.
pub(super) fn job(cursor: &mut Cursor<'_>) -> Message {
    match cursor.byte() % 4 {
        0 => Message::Push(push(cursor)),
        1 => Message::Get(get(cursor)),
        2 => Message::List(List { pattern: cursor.bytes().to_vec(), recursive: cursor.bool() }),
        _ => {
            let kind = cursor.pick(&[ProbeKind::Echo, ProbeKind::Up, ProbeKind::Down]);
            Message::Probe(Probe { kind, millis: cursor.byte().into() })
        }
    }
}

pub(super) fn push(cursor: &mut Cursor<'_>) -> Push {
    let names = [None, Some("d"), Some("new/deep"), Some("a"), Some("link")];
    Push {
        to: cursor.pick(&names).map(path),
        target: cursor.pick(&[Target::Directory, Target::FileOrDirectory]),
        if_exists: cursor.pick(&[IfExists::Replace, IfExists::Skip, IfExists::Rename, IfExists::Fail]),
        checksum: cursor.bool(),
        dry_run: cursor.byte().is_multiple_of(8),
        resume: cursor.bool(),
    }
}

pub(super) fn get(cursor: &mut Cursor<'_>) -> Get {
    let patterns = ["", "served", "served/", "served/*", "**", "a", "none", ".hidden", "served/{small,large}"];
    let count = usize::from(cursor.byte()) % 4;
    let patterns = (0..count).map(|_| cursor.pick(&patterns).as_bytes().to_vec()).collect();
    let filters = if cursor.byte().is_multiple_of(4) { vec!["*.o".to_owned(), "!a".to_owned()] } else { Vec::new() };
    Get { patterns, filters, links: cursor.bool(), early: cursor.bool() }
}

/// What either end may say at any time, or may not.
pub(super) fn aside(cursor: &mut Cursor<'_>) -> Message {
    match cursor.byte() % 4 {
        0 => Message::GoAway,
        1 => Message::Link(LinkReport { rtt_us: cursor.u64(), ..LinkReport::default() }),
        2 => Message::Entries(Vec::new()),
        _ => job(cursor),
    }
}
