//! Where a file on offer lies, and what is kept with it.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use super::early::EarlyStart;
use super::outlet::Stop;
use crate::progress::FileProgress;
use crate::protocol::message::{Header, Why};
use crate::protocol::path::WirePath;
use crate::session::budget::Hold;
use crate::storage::{FileIdentity, Meta, Source, Tree};
use crate::transfer::job::offers::{self, Attached, Room, Stat};

/// How often a source that has just changed is given time: one that is written all the time is sent as it is.
const SETTLE_WAITS_MAX: u8 = 4;

/// What the ledger keeps with each file for us.
pub(super) struct Work;

impl Attached for Work {
    type Permit = OfferPermit;
    type Digests = Hold;
    type Source = Located;
    type Open = Arc<Source>;
    type Start = EarlyStart;
    type Progress = Arc<FileProgress>;

    fn progress(header: &Header, source: &Located, from: u64, why: Why) -> Arc<FileProgress> {
        let progress = FileProgress::new(header.path.to_string(), header.size, from, why);
        Arc::new(progress.with_source(source.at.to_string()))
    }
}

/// That a file may be on offer.
pub(super) struct OfferPermit {
    pub(super) _turn: OwnedSemaphorePermit,
    pub(super) room: Hold,
}

impl Room for OfferPermit {
    fn grow(&mut self, bytes: usize) -> bool {
        self.room.grow(bytes)
    }

    fn shrink_to(&mut self, bytes: usize) {
        self.room.shrink_to(bytes);
    }
}

impl Room for Hold {
    fn grow(&mut self, bytes: usize) -> bool {
        Self::grow(self, bytes)
    }

    fn shrink_to(&mut self, bytes: usize) {
        Self::shrink_to(self, bytes);
    }
}

/// Where a file lies, and what it was when it was offered.
#[derive(Clone)]
pub(super) struct Located {
    pub(super) root: Tree,
    pub(super) at: WirePath,
    pub(super) identity: FileIdentity,
}

/// What a header says of a file.
pub(super) fn stat(meta: &Meta) -> Stat {
    Stat { kind: meta.kind.clone(), size: meta.size, mtime: meta.mtime, mode: meta.mode }
}

pub(super) type Place = offers::Place<Work>;

impl Place {
    /// On a disk thread: opens the source, if it is what was offered and has been at rest for long enough to see the next
    /// change of it.
    pub(super) fn open(&self) -> Result<Source, Stop> {
        let source = self.source.root.open_source(&self.source.at)?;
        if !self.is(&source) {
            return Err(Stop::Changed);
        }
        match source.settles_in() {
            Some(wait) if self.waits < SETTLE_WAITS_MAX => Err(Stop::Unsettled(wait)),
            // It never rests; most likely it is found changed in the end.
            _ => Ok(source.up_to(self.header.size)),
        }
    }

    /// Whether an opened source is what was offered. One that was offered again, because it changed, may have grown since.
    fn is(&self, source: &Source) -> bool {
        let Meta { size, mtime, identity, .. } = source.meta();
        let same = *size == self.header.size && *mtime == self.header.mtime;
        let offered = &self.source.identity;
        let grows =
            self.attempt > 1 && *size >= self.header.size && (identity.dev, identity.ino) == (offered.dev, offered.ino);
        same || grows
    }
}
