//! Content that comes before its file was answered: held, unread, until it is.

use std::convert::Infallible;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::{File, Place, Planned, Receiver, State};
use crate::protocol::message::{FileId, Header};
use crate::protocol::range::RangeHeader;
use crate::session::{ATTENTION_DEADLINE, SessionError};

/// Kept with a file while a stream waits for its answer: dropped when the file is answered, which ends the wait.
pub(super) type Waker = oneshot::Sender<Infallible>;

impl Receiver {
    /// Waits until the file of a range that came ahead is answered. `None`: its start is not wanted.
    ///
    /// Nothing of the content is read meanwhile, so QUIC's window bounds it.
    pub(super) async fn place_ahead(&self, range: RangeHeader) -> Result<Option<Place>, SessionError> {
        if let Some(mut answered) = self.hold(range)?
            && timeout(ATTENTION_DEADLINE, &mut answered).await.is_err()
        {
            if !self.is_offered(range.id) {
                return Err(SessionError::Timeout("offer the file that it sends"));
            }
            // The wait is for our own disk.
            let _ = answered.await;
        }
        self.open_ahead(range)
    }

    /// Counts a range that came ahead. What it returns ends with the file's answer, if that has not been given.
    fn hold(&self, range: RangeHeader) -> Result<Option<oneshot::Receiver<Infallible>>, SessionError> {
        let mut guard = self.state();
        let state = &mut *guard;
        state.ahead.on_range(range.id, range.offset, range.len)?;
        if state.is_offered(range.id) {
            let Some(File::Planning(planned)) = state.files.get_mut(&range.id) else { return Ok(None) };
            state.ahead.check(&planned.header)?;
            let (waker, answered) = oneshot::channel();
            planned.stream = Some(waker);
            return Ok(Some(answered));
        }
        if state.end.is_some() {
            return Err(SessionError::Order("content for a file that was never offered"));
        }
        let (waker, answered) = oneshot::channel();
        state.unoffered.insert(range.id, waker);
        Ok(Some(answered))
    }

    fn is_offered(&self, id: FileId) -> bool {
        self.state().is_offered(id)
    }

    fn open_ahead(&self, range: RangeHeader) -> Result<Option<Place>, SessionError> {
        match self.state().files.get_mut(&range.id) {
            Some(File::Open(open)) => Ok(open.rules.on_ahead(range.len)?.then(|| open.place())),
            // It is settled, or complete without this.
            _ => Ok(None),
        }
    }
}

impl State {
    fn is_offered(&self, id: FileId) -> bool {
        id.0 < self.next_id
    }

    /// What is to be kept of a new offer, whose content may be here already.
    pub(super) fn planned(&mut self, header: Header) -> Result<Planned, SessionError> {
        self.ahead.check(&header)?;
        let stream = self.unoffered.remove(&header.id);
        Ok(Planned { header, is_held: false, stream, tail: None })
    }
}
