//! Content that comes before its file was answered: held, unread, until it is.

use std::convert::Infallible;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::{Online, Place, Receiver};
use crate::protocol::range::RangeHeader;
use crate::session::{ATTENTION_DEADLINE, SessionError};
use crate::transfer::job::answers::EarlyRange;

/// Kept with a file while a stream waits for its answer: dropped when the file is answered, which ends the wait.
pub(super) type EarlyWait = oneshot::Sender<Infallible>;

impl Receiver {
    /// Waits until the file of a range that came early is answered. `None`: its start is not wanted.
    ///
    /// Nothing of the content is read meanwhile but what came with its header, so QUIC's window bounds it.
    pub(super) async fn place_early(&self, range: RangeHeader) -> Result<Option<Place<Online>>, SessionError> {
        let (wait, mut answered) = oneshot::channel();
        if self.feed(|ledger| ledger.on_early_range(range, wait))? == EarlyRange::Waits
            && timeout(ATTENTION_DEADLINE, &mut answered).await.is_err()
        {
            if !self.ledger().has_offer(range.id) {
                return Err(SessionError::Timeout("offer the file that it sends"));
            }
            // The wait is for our own disk.
            let _ = answered.await;
        }
        Ok(self.feed(|ledger| ledger.on_answered(range))?)
    }
}
