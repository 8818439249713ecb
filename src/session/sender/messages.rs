//! The messages of the receiver on the control stream.

use super::Sender;
use crate::protocol::HAVE_DIGESTS_MAX;
use crate::protocol::message::ReceiverMessage;
use crate::session::SessionError;
use crate::storage::ByteFiles;
use crate::transfer::job::offers::room_for;

impl<F: ByteFiles> Sender<F> {
    /// Feeds a message of the receiver's.
    ///
    /// # Errors
    /// The rule that the message breaks; the connection is to be closed.
    pub(crate) fn on_message(&self, message: ReceiverMessage) -> Result<(), SessionError> {
        let account = &self.0.tools.account;
        match message {
            ReceiverMessage::Pos(pos) => self.feed(|ledger| ledger.on_pos(pos))?,
            ReceiverMessage::Have(have) => {
                self.feed(|ledger| ledger.on_have(&have, |bytes| account.take_for_digests(bytes)))?;
            }
            ReceiverMessage::Done(done) => self.feed(|ledger| ledger.on_done(done))?,
            ReceiverMessage::Named(named) => self.feed(|ledger| ledger.on_named(named))?,
            ReceiverMessage::Settled => self.feed(|ledger| ledger.on_settled())?,
        }
        Ok(())
    }

    /// Whether there is room for as many more digests as a message may hold. A receiver that is not heard meanwhile has its
    /// windows; room is made by our own disk, which has to read what they are compared with.
    pub(crate) fn has_room_for_digests(&self) -> bool {
        self.0.tools.account.take_for_digests(room_for(HAVE_DIGESTS_MAX)).is_some()
    }
}
