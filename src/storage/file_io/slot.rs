//! The partial file of one file: opened at its first use, and filled from an older version a turn at a time.

use std::sync::Arc;

use rustix::io::Errno;

use super::{EARLY_BYTES_MIN, FileIo, OldVersion};
use crate::broken::BreakableRule;
use crate::storage::cause::Refusal;
use crate::storage::error::{Op, StorageError};
use crate::storage::part::Fresh;
use crate::storage::part_name::Owner;
use crate::storage::store::{PartFile, Store};
use crate::transfer::Room;
use crate::transfer::file::resume::Basis;

/// Bytes of an older version that are copied before the disk thread takes other work: some tens of milliseconds.
const COPY_TURN_BYTES: u64 = 32 << 20;

pub(super) struct PartSlot<S: Store, R> {
    pub(super) part: PartState<S>,
    /// Of the part that is open, among all open files.
    pub(super) room: R,
    pub(super) basis: OldVersion<S::Source>,
}

impl<S: Store, R: Room> PartSlot<S, R> {
    pub(super) fn new(room: R) -> Self {
        Self { part: PartState::default(), room, basis: OldVersion::default() }
    }

    fn opened(&mut self, part: S::Part) -> Arc<S::Part> {
        let part = Arc::new(part);
        self.part = PartState::Open(part.clone());
        part
    }

    /// The next thread that wants it opens it again.
    fn give_up(&mut self) {
        self.part = PartState::Unopened;
        self.room.shrink_to(0);
    }
}

/// The partial file, which is opened at its first use: thousands of files may be on offer, few are open.
#[derive(Default)]
pub(super) enum PartState<S: Store> {
    #[default]
    Unopened,
    /// It takes over an older version that has to be copied, a turn at a time.
    Filling(Box<Filling<S>>),
    /// A thread has it for a turn.
    Away,
    Open(Arc<S::Part>),
}

pub(super) struct Filling<S: Store> {
    part: S::Part,
    from: Arc<S::Source>,
    left: S::Adoption,
}

/// A part that was just opened.
enum OpenedPart<S: Store> {
    Whole(S::Part),
    Filling(Box<Filling<S>>),
}

impl<S: Store, R: Room> FileIo<S, R> {
    /// The partial file.
    ///
    /// An older version that it takes over may be as large as the disk, so that is copied in turns, between which the disk
    /// thread takes other work; until then this fails with [`StorageError::copying`].
    pub(super) fn part(&self) -> Result<Arc<S::Part>, StorageError> {
        let mut slot = self.slot();
        let filling = match std::mem::replace(&mut slot.part, PartState::Away) {
            PartState::Away => return Err(self.refused(Refusal::CopiedElsewhere)),
            PartState::Open(part) => {
                slot.part = PartState::Open(part.clone());
                return Ok(part);
            }
            // To open it is short, so whoever else wants it waits.
            PartState::Unopened => self.open_part(&mut slot).inspect_err(|_| slot.give_up())?,
            PartState::Filling(filling) => OpenedPart::Filling(filling),
        };
        let mut filling = match filling {
            OpenedPart::Whole(part) => return Ok(slot.opened(part)),
            OpenedPart::Filling(filling) => filling,
        };
        drop(slot);
        let is_full = S::adopt_more(&filling.part, &filling.from, &mut filling.left, COPY_TURN_BYTES);
        let mut slot = self.slot();
        if is_full.inspect_err(|_| slot.give_up())? {
            return Ok(slot.opened(filling.part));
        }
        slot.part = PartState::Filling(filling);
        Err(self.refused(Refusal::CopiedSome))
    }

    fn refused(&self, refusal: Refusal) -> StorageError {
        StorageError::new(Op::Create, self.path.as_path(), refusal)
    }

    fn open_part(&self, slot: &mut PartSlot<S, R>) -> Result<OpenedPart<S>, StorageError> {
        // Each connection has its own share of open files, so that others cannot keep this file from ever being opened.
        if !slot.room.grow(1) {
            let cause = std::io::Error::from_raw_os_error(Errno::MFILE.raw_os_error());
            return Err(StorageError::new(Op::Create, self.path.as_path(), cause));
        }
        let fresh = if self.start.is_fresh() { Fresh::Yes } else { Fresh::No };
        let part = self.root.open_part(&self.path, Owner::of(self.owner.as_deref()), fresh)?;
        if part.len() > self.start.from && !BreakableRule::PartIsCutToStart.is_broken() {
            // Bytes beyond the start are covered by no digest: they are sent again, or belong to a hole and must be
            // one.
            part.truncate(self.start.from)?;
        }
        let basis = if self.start.basis == Basis::Target { self.basis_in(slot)? } else { None };
        if self.is_synced && self.size >= EARLY_BYTES_MIN {
            part.write_back_early();
        }
        // A part may have become the file since it was seen: the client's previous connection was about to commit it. All
        // of it is there still, and is compared like any other start. Who may not read the file is not told its digests.
        let is_committed = self.start.basis == Basis::Part && part.len() == 0 && self.owner.is_none();
        let committed = if is_committed { self.readable()? } else { None };
        match basis.or(committed) {
            None => Ok(OpenedPart::Whole(part)),
            Some(from) => {
                let left = S::adopt(&part, &from, self.start.from)?;
                Ok(OpenedPart::Filling(Box::new(Filling { part, from, left })))
            }
        }
    }
}
