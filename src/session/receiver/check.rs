//! Checking what is there: digests of the part before the start, offered to the sender.

use std::sync::Arc;

use super::file::FileIo;
use super::{File, Receiver};
use crate::digest::Digest;
use crate::progress::Phase;
use crate::protocol::message::{FileId, Have, Message};
use crate::session::prefix::hash_turn;

impl Receiver {
    /// On a disk thread: hashes some chunks before the start, offers them, and queues the next turn.
    pub(super) fn hash_prefix(&self, id: FileId, io: &Arc<FileIo>, first: u64, waits: u32) {
        if self.is_over() {
            return;
        }
        let read = |buffer: &mut [u8], offset| io.read_prefix(buffer, offset);
        match hash_turn(&self.0.tools.hasher, first, io.from(), read) {
            Ok(digests) => self.on_prefix(id, io, first, digests),
            Err(error) if self.may_wait(&error, waits) => {
                let (receiver, io) = (self.clone(), io.clone());
                self.try_again(&error, move || receiver.hash_prefix(id, &io, first, waits + 1));
            }
            Err(error) => self.fail(id, (&error).into()),
        }
    }

    fn on_prefix(&self, id: FileId, io: &Arc<FileIo>, first: u64, digests: Vec<Digest>) {
        let next = first + digests.len() as u64;
        let mut state = self.state();
        let Some(File::Open(open)) = state.files.get_mut(&id) else { return };
        open.rules.on_prefix(&digests);
        // Sent under the lock: a repair may only be accepted once its digest is on its way.
        self.0.tools.control.send(Message::Have(Have { id, first, digests }));
        if next < io.prefix_chunks() {
            let (receiver, io) = (self.clone(), io.clone());
            self.0.tools.disk.spawn(move || receiver.hash_prefix(id, &io, next, 0));
            return;
        }
        open.progress.set_phase(Phase::Moving);
        drop(state);
        self.judge_now(id);
    }
}
