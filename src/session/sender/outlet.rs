//! The stream of one range, and why it may stop before its end.

use std::time::Duration;

use bytes::Bytes;
use quinn::SendStream;

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
    /// The source has just changed: whether it changes again can be seen only after this time.
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

impl From<quinn::WriteError> for PumpStop {
    fn from(error: quinn::WriteError) -> Self {
        match error {
            quinn::WriteError::ConnectionLost(error) => error.into(),
            _ => Self::Unwanted,
        }
    }
}

/// A stream that tells the peer when it is abandoned: dropping quinn's own would *finish* it, and half
/// a file would look whole.
pub(super) struct Outlet {
    pub(super) stream: SendStream,
    finished: bool,
    /// Why, when it is abandoned.
    abandoned: CloseCode,
}

impl Outlet {
    pub(super) fn new(stream: SendStream) -> Self {
        Self { stream, finished: false, abandoned: CloseCode::SourceFailed }
    }

    /// Of a range that goes ahead, and may not be wanted.
    pub(super) fn early(stream: SendStream) -> Self {
        Self { stream, finished: false, abandoned: CloseCode::Cancelled }
    }

    /// Writes all that there is to write. It can be abandoned all the same until [`Outlet::finish`] is called.
    pub(super) async fn write_whole(&mut self, bytes: Bytes) {
        // It fails for a stream that the peer has stopped, which its answer explains.
        if self.stream.write_chunk(bytes).await.is_ok() {
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
