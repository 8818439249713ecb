//! The errors that a caller of this crate sees, and whose fault each is.

use std::net::SocketAddr;

use crate::keys::trust::InviteError;
use crate::keys::{HomeError, IdentityError};
use crate::protocol::close::CloseCode;
use crate::protocol::message::{Failure, Status};
use crate::protocol::path::escape;
use crate::session::SessionError;
pub use crate::storage::{Op, StorageError};
use crate::transport::TransportError;

/// Why a job or a server could not do its work. The fate of single files is in the
/// [`JobReport`](crate::progress::JobReport) instead: one bad file ends nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No connection, or none any more.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The session ended before its work was done.
    #[error(transparent)]
    Session(SessionError),
    /// A directory of ours cannot be used.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The directory with keys and remotes cannot be used.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// This installation's key cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// Those who watch a server cannot reach it; `source` says why.
    #[error("cannot open TCP port {addr}")]
    Http {
        /// The address of this machine that was to be bound.
        addr: SocketAddr,
        /// Why the system refused it.
        source: std::io::Error,
    },
    /// A thread could not be started.
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
    /// The command line makes no sense.
    #[error("{0}")]
    Usage(String),
    /// The remote has no answer to what was asked for as a whole.
    #[error("{}: {failure}", named(name))]
    Remote {
        /// The name that was asked for.
        name: Vec<u8>,
        /// The reason, as a status and in words.
        failure: Failure,
    },
    /// The caller stopped the job; what was begun can be resumed.
    #[error("interrupted; the same command continues")]
    Cancelled,
}

/// A name that was asked for, safe to print.
fn named(name: &[u8]) -> String {
    match name {
        b"" | b"." => "the served directory".to_owned(),
        name => escape(name).to_string(),
    }
}

/// Where the remedy lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// With this program, or with a machine that gives it no socket or thread.
    Ours,
    /// With the other end: it broke the rules or failed.
    Peer,
    /// With the other end's rules: it refused.
    Refused,
    /// On the way: no answer, no address, a broken link.
    Network,
    /// With this machine's disk or files.
    Disk,
    /// With what was asked for.
    Usage,
    /// With keys: a wrong one, or one that is not enrolled.
    Trust,
    /// With nobody: the user stopped it.
    Cancelled,
}

impl Error {
    /// Where the remedy lies.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Transport(error) => transport_fault(error),
            Self::Session(SessionError::Timeout(_) | SessionError::Superseded | SessionError::Connection(_)) => {
                Fault::Network
            }
            Self::Session(SessionError::Internal(_)) => Fault::Ours,
            Self::Session(_) => Fault::Peer,
            Self::Home(error) if error.is_distrust() => Fault::Trust,
            Self::Storage(_) | Self::Home(_) => Fault::Disk,
            Self::Identity(_) => Fault::Trust,
            Self::Thread(_) => Fault::Ours,
            // Another program has the port, or this machine has no such address.
            Self::Http { .. } => Fault::Usage,
            Self::Usage(_) => Fault::Usage,
            Self::Remote { failure, .. } if failure.status == Status::NotFound => Fault::Usage,
            Self::Remote { .. } => Fault::Refused,
            Self::Cancelled => Fault::Cancelled,
        }
    }

    /// Whether the same job may succeed on a new connection, without anybody doing anything.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Transport(error) => match error {
                TransportError::Refused { code } => {
                    use CloseCode::{Busy, GoingAway, RightsChanged, Timeout};
                    matches!(code, GoingAway | Busy | Timeout | RightsChanged)
                }
                _ => transport_fault(error) == Fault::Network,
            },
            Self::Session(SessionError::Timeout(_) | SessionError::Superseded) => true,
            _ => false,
        }
    }
}

impl Error {
    /// Whether another connection is at hand already.
    pub(crate) fn has_successor(&self) -> bool {
        matches!(self, Self::Session(SessionError::Superseded))
    }

    /// Whether the server lets no more clients in just now: one that asks again may get in when another leaves.
    pub fn is_busy(&self) -> bool {
        let Self::Transport(error) = self else { return false };
        matches!(error, TransportError::Refused { code: CloseCode::Busy } | TransportError::TurnedAway { .. })
    }

    /// Whether the server said that it is stopping: one that asks again may find its successor.
    pub(crate) fn is_going_away(&self) -> bool {
        matches!(self, Self::Transport(TransportError::Refused { code: CloseCode::GoingAway }))
    }
}

fn transport_fault(error: &TransportError) -> Fault {
    use crate::transport::TransportFault as Cause;
    match error.fault() {
        Cause::Local => Fault::Ours,
        Cause::Path => Fault::Network,
        Cause::Trust => Fault::Trust,
        Cause::Peer => Fault::Refused,
    }
}

impl Error {
    /// What became of a session with the peer at `addr`.
    pub(crate) fn from_session(addr: SocketAddr, error: SessionError) -> Self {
        match error {
            SessionError::Connection(error) => Self::Transport(TransportError::from_connection(addr, &error)),
            error => Self::Session(error),
        }
    }
}

/// The code for a client whose invite is not taken.
impl From<InviteError> for CloseCode {
    fn from(error: InviteError) -> Self {
        match error {
            InviteError::Unknown => Self::NotAuthorised,
            InviteError::Spent => Self::InviteSpent,
        }
    }
}
