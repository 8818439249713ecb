//! The last word on a file, and on the whole.

use super::file::Outgoing;
use super::{Sender, TotalOffered};
use crate::protocol::message::{Done, End, Failure, FileId, Message, Problem, Status};
use crate::protocol::path::escape;
use crate::session::SessionError;

pub(super) const UNKNOWN_FILE: SessionError = SessionError::Order("an answer for a file that is not on offer");

impl Sender {
    /// Takes a file off the offers.
    pub(super) fn take(&self, id: FileId) -> Result<Outgoing, SessionError> {
        self.state().files.remove(&id).ok_or(UNKNOWN_FILE)
    }

    /// Gives one file up for good and tells the receiver.
    pub(super) fn give_up(&self, id: FileId, failure: Failure) {
        let Ok(file) = self.take(id) else { return };
        self.0.tools.control.send(Message::Cancel(Done { id, failure: Some(failure.clone()) }));
        self.0.tools.observer.failed(file.header.path.to_string(), failure);
        self.maybe_end();
    }

    /// Tells the receiver of a source that never got a header.
    pub(super) fn problem(&self, name: Vec<u8>, failure: Failure) {
        let shown = escape(&name).to_string();
        self.0.tools.control.send(Message::Problem(Problem::new(name, failure.clone())));
        self.0.tools.observer.failed(shown, failure);
    }

    /// Sends `End` once no header can follow: the walk is over and every file is past the point where a
    /// change of its source would offer it again. Before that, `Offered` once the walk is over.
    pub(super) fn maybe_end(&self) {
        let mut state = self.state();
        if !state.walk_ended || state.end_sent {
            return;
        }
        if state.files.values().all(Outgoing::is_last) {
            state.end_sent = true;
            let TotalOffered { files, bytes } = state.total;
            self.0.tools.control.send(Message::End(End { files, bytes }));
        } else if state.hears_offered && !state.offered_sent && !state.left_out {
            state.offered_sent = true;
            self.0.tools.control.send(Message::Offered);
        }
    }

    /// Resolves when the receiver has settled every file.
    pub(super) async fn until_peer_ended(&self) {
        loop {
            let notified = self.0.ended.notified();
            if self.state().peer_ended {
                return;
            }
            notified.await;
        }
    }
}

/// The failure of a source that never stood still.
pub(super) fn changed() -> Failure {
    Failure::new(Status::Changed, "")
}
