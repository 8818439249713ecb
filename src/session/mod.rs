//! One connection: the only place where rules, streams and files meet.
//!
//! * [`control`] — the control stream: framed messages, coalesced writes ([`unwritten`]).
//! * [`sender`] — the role that owns content; [`receiver`] — the role that wants it. Both serve client
//!   and server alike.
//! * [`conversation`] — the one loop of both ends; [`roles`] — the roles that an end plays, and their tasks.
//! * [`record`] — what a job has come to over all its connections.
//! * [`walk`] — a walk on a thread of its own.
//! * [`link`] — the path as the sending side sees it; [`window`] — how much a peer may send before it was read;
//!   [`streams`] — on how many streams; [`peer_streams`] — those that it opens; [`unread`] — what has come and is not
//!   read; [`backlog`] — what was read and is not on the disk;
//!   [`gaps`] — content out of its order.
//! * [`location`] — where the files go, for a sender on the same machine.
//! * [`probe`] — bytes without a meaning, to measure the path; [`processor`] — how busy this machine is meanwhile.
//! * [`budget`] — what all connections of a server, or the one of a client, may hold together; [`memory`] — buffers, reused and bounded.
//! * [`watch`] — a path that carries nothing, a peer that is there and says nothing; `silence` — the rules of both;
//!   `pause` — a machine that was asleep.
//!
//! Nothing here blocks: files are read, hashed and written on the [`Disk`](crate::storage::pool::Disk)'s
//! threads. State is behind short mutexes, so that a disk thread can report a stored chunk directly
//! instead of waking the runtime for every one of ten thousand small files.

pub(crate) mod backlog;
pub(crate) mod budget;
pub(crate) mod control;
pub(crate) mod conversation;
pub(crate) mod gaps;
pub(crate) mod link;
pub(crate) mod location;
pub(crate) mod memory;
mod pause;
pub(crate) mod peer_streams;
pub(crate) mod probe;
pub(crate) mod processor;
pub(crate) mod receiver;
pub(crate) mod record;
pub(crate) mod roles;
pub(crate) mod sender;
mod silence;
pub(crate) mod streams;
pub(crate) mod unread;
pub(crate) mod unwritten;
pub(crate) mod walk;
pub(crate) mod watch;
pub(crate) mod window;

use std::sync::MutexGuard;
use std::time::Duration;

use quinn::Connection;

use self::budget::Account;
use self::control::Control;
use self::memory::Buffers;
use self::record::Record;
use crate::digest::ChunkHasher;
use crate::progress::Observer;
use crate::protocol::close::CloseCode;
use crate::protocol::codec::CodecError;
use crate::storage::{DiskQueue, Lost};
use crate::transfer::Violation;
use crate::transfer::job::JobError;

/// How long a peer may take for a step that needs nothing but its attention: its greeting, the header
/// of a stream that it opened.
pub(crate) const ATTENTION_DEADLINE: Duration = Duration::from_secs(10);

/// This machine's name, as either end introduces itself.
pub(crate) fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The tools of either role of a job, on one connection.
pub(crate) struct JobTools {
    pub(crate) connection: Connection,
    pub(crate) control: Control,
    pub(crate) disk: DiskQueue,
    pub(crate) hasher: ChunkHasher,
    pub(crate) buffers: Buffers,
    /// The connection's share of the budget.
    pub(crate) account: Account,
    pub(crate) observer: Observer,
    /// The results of the job so far, over all its connections.
    pub(crate) record: Record,
}

/// Feeds a ledger, and has what it says carried out. Words, to the peer or to whoever watches, are said before another
/// thread feeds it; all else happens when it is free again.
fn feed_ledger<L, A, T>(
    mut ledger: MutexGuard<'_, L>,
    feed: impl FnOnce(&mut L) -> T,
    next_action: impl Fn(&mut L) -> Option<A>,
    is_word: impl Fn(&A) -> bool,
    carry_out: impl Fn(A),
) -> T {
    let result = feed(&mut ledger);
    let mut later = Vec::new();
    while let Some(action) = next_action(&mut ledger) {
        if is_word(&action) {
            carry_out(action);
        } else {
            later.push(action);
        }
    }
    drop(ledger);
    later.into_iter().for_each(carry_out);
    result
}

/// Why a session ended before its work was done.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The peer broke the rules of a file.
    #[error("protocol violation: {0}")]
    Violation(#[from] Violation),
    /// The peer sent something that has no place there.
    #[error("protocol violation: {0}")]
    Order(&'static str),
    /// The peer sent a frame that cannot be read.
    #[error("protocol violation: {0}")]
    Codec(#[from] CodecError),
    /// The peer owed something and stayed silent.
    #[error("the other side did not {0} in time")]
    Timeout(&'static str),
    /// A newer connection of the same job takes the place of this one, over which nothing has come for long.
    #[error("nothing came over the connection any more; a new one takes its place")]
    Superseded,
    /// The connection ended, or was lost.
    #[error(transparent)]
    Connection(#[from] quinn::ConnectionError),
    /// The peer makes this end hold more than there is room for beside all others.
    #[error("it makes us hold more than there is room for at the moment")]
    Overloaded,
    /// A thread or task of this end failed.
    #[error("{0} failed internally")]
    Internal(&'static str),
}

impl From<Lost> for SessionError {
    fn from(_: Lost) -> Self {
        Self::Internal("a disk thread")
    }
}

impl From<JobError> for SessionError {
    fn from(error: JobError) -> Self {
        match error {
            JobError::File(violation) => violation.into(),
            JobError::Order(what) => Self::Order(what),
            JobError::Overloaded => Self::Overloaded,
        }
    }
}

/// A task is never cancelled where somebody waits for it, so it panicked.
impl From<tokio::task::JoinError> for SessionError {
    fn from(_: tokio::task::JoinError) -> Self {
        Self::Internal("a task of this connection")
    }
}

impl SessionError {
    /// The code that the peer is told when this error ends the connection.
    pub fn close_code(&self) -> CloseCode {
        match self {
            Self::Violation(_) | Self::Order(_) | Self::Codec(_) => CloseCode::Violation,
            // A server that serves one job is to wait for the rest of it.
            Self::Timeout(_) | Self::Superseded => CloseCode::Timeout,
            Self::Overloaded => CloseCode::Busy,
            // The code is not sent any more over a connection that has ended.
            Self::Connection(_) | Self::Internal(_) => CloseCode::Internal,
        }
    }
}
