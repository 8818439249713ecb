//! The messages of the sender on the control stream.

use super::{Driver, Receiver};
use crate::protocol::message::{Header, SenderMessage};
use crate::session::SessionError;
use crate::session::budget::OFFER_BYTES;

impl<D: Driver> Receiver<D> {
    /// Feeds a message of the sender's.
    ///
    /// # Errors
    /// The rule that the message breaks; the connection is to be closed.
    pub(crate) fn on_message(&self, message: SenderMessage) -> Result<(), SessionError> {
        match message {
            SenderMessage::Header(header) => self.on_header(header)?,
            SenderMessage::Tail(tail) => {
                self.feed(|ledger| ledger.on_tail(tail))?.into_iter().for_each(|file| self.judge(file))
            }
            SenderMessage::Problem(problem) => self.feed(|ledger| ledger.on_problem(problem)),
            SenderMessage::Cancel(cancel) => self.feed(|ledger| ledger.on_cancel(cancel))?,
            SenderMessage::Offered => self.feed(|ledger| ledger.on_offered())?,
            SenderMessage::End(_) => self.feed(|ledger| ledger.on_end())?,
        }
        Ok(())
    }

    fn on_header(&self, header: Header) -> Result<(), SessionError> {
        let bytes = OFFER_BYTES + 2 * header.path.as_bytes().len();
        let room = || self.0.tools.account.take_for_offer(bytes);
        Ok(self.feed(|ledger| ledger.on_header(header, room))?)
    }
}
