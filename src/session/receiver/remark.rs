//! Remarks: what was not carried over, although the content is there.

use super::Receiver;
use crate::progress::Event;
use crate::protocol::message::{Message, Remark};
use crate::storage::StorageError;

impl Receiver {
    /// Says, once a job, that a time or a mode could not be set.
    pub(super) fn remark_unset(&self, error: &StorageError) {
        tracing::debug!(%error, "not carried over");
        if std::mem::replace(&mut self.state().unset_said, true) {
            return;
        }
        self.remark(format!("{error}; the content is there, and this is said once"));
    }

    /// Says something of the job that is no failure, at both ends: the user is at one of them.
    fn remark(&self, text: String) {
        if self.state().hears_remarks {
            self.0.tools.control.send(Message::Remark(Remark::new(text.clone())));
        }
        self.0.tools.observer.event(Event::Note(text));
    }
}
