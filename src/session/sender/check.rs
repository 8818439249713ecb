//! Checking what the receiver holds: our digests of the part before the start, compared with its own.

use std::sync::Arc;

use super::Sender;
use super::file::Outgoing;
use super::settle::UNKNOWN_FILE;
use crate::digest::{CHUNK_BYTES, Digest};
use crate::progress::Phase;
use crate::protocol::HAVE_DIGESTS_MAX;
use crate::protocol::message::{FileId, Have};
use crate::session::SessionError;
use crate::session::prefix::hash_turn;
use crate::storage::Source;
use crate::transfer::Violation;

/// What digests take that wait to be compared.
fn room_for(digests: usize) -> usize {
    if digests == 0 { 0 } else { size_of::<Have>() + digests * size_of::<Digest>() }
}

impl Sender {
    /// Whether there is room for as many more digests as a message may hold. A receiver that is not heard meanwhile has its
    /// windows; room is made by our own disk, which has to read what they are compared with.
    pub(crate) fn has_room_for_digests(&self) -> bool {
        self.0.tools.account.take_for_digests(room_for(HAVE_DIGESTS_MAX)).is_some()
    }

    pub(super) fn on_have(&self, have: Have) -> Result<(), SessionError> {
        let mut guard = self.state();
        let state = &mut *guard;
        let file = match state.files.get_mut(&have.id) {
            Some(file) => file,
            // We gave it up while the digests were on their way.
            None if have.id.0 < state.next_id => return Ok(()),
            None => return Err(UNKNOWN_FILE),
        };
        let Some(moving) = &mut file.moving else {
            return Err(SessionError::Order("digests before an answer"));
        };
        // Held against the file at once: before it is open the digests wait in memory.
        let digests = moving.digests + have.digests.len() as u64;
        if have.digests.is_empty() || have.first != moving.digests || digests > moving.from.div_ceil(CHUNK_BYTES) {
            return Err(Violation::BadHave { first: have.first }.into());
        }
        if !moving.room.grow(room_for(have.digests.len())) {
            return Err(SessionError::Overloaded);
        }
        moving.digests = digests;
        let id = have.id;
        match &mut moving.open {
            Some(open) => open.rules.on_have(have.first, &have.digests)?,
            None => file.early.push(have),
        }
        self.compared(id, file);
        Ok(())
    }

    /// After a comparison: differing chunks need a pump, and a file without any may be complete.
    fn compared(&self, id: FileId, file: &mut Outgoing) {
        let Some(moving) = &mut file.moving else { return };
        let Some(open) = &moving.open else { return };
        moving.room.shrink_to(room_for(open.rules.uncompared()));
        if open.rules.is_compared() {
            moving.progress.set_phase(Phase::Moving);
        }
        let idle = !std::mem::replace(&mut moving.pumping, true);
        if idle && (open.rules.has_ranges() || open.rules.is_compared()) {
            self.want(id);
        } else if idle {
            moving.pumping = false;
        }
    }

    /// On a disk thread: hashes some of our own chunks before the start and queues the next turn.
    pub(super) fn hash_prefix(&self, id: FileId, source: &Arc<Source>, first: u64, from: u64) {
        if self.0.tools.connection.close_reason().is_some() {
            return;
        }
        let read = |buffer: &mut [u8], offset| {
            let count = source.read_at(buffer, offset)?;
            // A source that became shorter is found out before its tail.
            buffer[count..].fill(0);
            Ok(())
        };
        let digests = match hash_turn(&self.0.tools.hasher, first, from, read) {
            Ok(digests) => digests,
            Err(error) => return self.give_up(id, (&error).into()),
        };
        let last = first + digests.len() as u64;
        let mut state = self.state();
        let Some(file) = state.files.get_mut(&id) else { return };
        if let Some(open) = file.moving.as_mut().and_then(|moving| moving.open.as_mut()) {
            open.rules.on_own(first, &digests);
        }
        self.compared(id, file);
        drop(state);
        if last < from.div_ceil(CHUNK_BYTES) {
            let (sender, source) = (self.clone(), source.clone());
            self.0.tools.disk.spawn(move || sender.hash_prefix(id, &source, last, from));
        }
    }
}
