//! The stream of one range, and why it may stop before its end.

use std::pin::pin;
use std::slice;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use quinn::{SendStream, WriteError};

use super::turns::WriteTurns;
use crate::protocol::close::CloseCode;
use crate::session::SessionError;
use crate::storage::{Lost, StorageError};

/// Why a pump stopped.
pub(crate) enum PumpStop {
    /// This file is over; the job goes on.
    File(StorageError),
    /// The receiver does not want the rest; it says why on the control stream.
    Unwanted,
    /// The source is not what its header said.
    Changed,
    /// The source is to be tried again after this time: it has just changed, and whether it changes again can be seen only
    /// then, or too many files are open.
    Unsettled(Duration),
    /// The source has not as many bytes to read as the file system says.
    UnknownSize,
    /// The connection is over.
    Session(SessionError),
}

impl From<StorageError> for PumpStop {
    fn from(error: StorageError) -> Self {
        Self::File(error)
    }
}

impl From<SessionError> for PumpStop {
    fn from(error: SessionError) -> Self {
        Self::Session(error)
    }
}

impl From<Lost> for PumpStop {
    fn from(lost: Lost) -> Self {
        Self::Session(lost.into())
    }
}

impl From<quinn::ConnectionError> for PumpStop {
    fn from(error: quinn::ConnectionError) -> Self {
        Self::Session(error.into())
    }
}

impl From<WriteError> for PumpStop {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::ConnectionLost(error) => error.into(),
            _ => Self::Unwanted,
        }
    }
}

/// A stream that tells the peer when it is abandoned: dropping quinn's own would *finish* it, and half
/// a file would look whole.
pub(super) struct Outlet {
    stream: SendStream,
    turns: WriteTurns,
    finished: bool,
    /// Why, when it is abandoned.
    abandoned: CloseCode,
}

impl Outlet {
    pub(super) fn new(stream: SendStream, turns: WriteTurns) -> Self {
        Self { stream, turns, finished: false, abandoned: CloseCode::SourceFailed }
    }

    /// Of a range that goes ahead, and may not be wanted.
    pub(super) fn early(stream: SendStream, turns: WriteTurns) -> Self {
        Self { stream, turns, finished: false, abandoned: CloseCode::Cancelled }
    }

    /// Writes all of it, in its turn.
    pub(super) async fn write(&mut self, mut bytes: Bytes) -> Result<(), WriteError> {
        let Self { stream, turns, .. } = self;
        let write = |cx: &mut Context<'_>| {
            while !bytes.is_empty() {
                ready!(pin!(stream.write_chunks(slice::from_mut(&mut bytes))).poll(cx))?;
            }
            Poll::Ready(Ok(()))
        };
        turns.take(write).await
    }

    /// Writes all that there is to write. It can be abandoned all the same until [`Outlet::finish`] is called.
    pub(super) async fn write_whole(&mut self, bytes: Bytes) {
        // It fails for a stream that the peer has stopped, which its answer explains.
        if self.write(bytes).await.is_ok() {
            let _ = self.stream.finish();
        }
    }

    pub(super) fn finish(mut self) {
        // It fails only for a stream that the peer has stopped, which its `Done` explains.
        let _ = self.stream.finish();
        self.finished = true;
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        if !self.finished {
            let _ = self.stream.reset(self.abandoned.code().into());
        }
    }
}
