//! Where a file on offer lies, and what is kept with it.

use std::marker::PhantomData;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::outlet::PumpStop;
use crate::broken::BreakableRule;
use crate::digest::Digest;
use crate::progress::FileProgress;
use crate::protocol::message::{Header, Why};
use crate::protocol::path::WirePath;
use crate::session::budget::Hold;
use crate::storage::{ByteFiles, FILES_WAIT, FILES_WAITS_MAX, FileIdentity, Files, Meta, ReadFile, Since};
use crate::transfer::Room;
use crate::transfer::job::offers::{self, OffersAttached, Stat};

/// How often a source that has just changed is given time: one that is written all the time is sent as it is.
const SETTLE_WAITS_MAX: u8 = 4;

/// The data that the ledger keeps with each file for the session.
pub(super) struct SenderFiles<F>(PhantomData<F>);

impl<F: ByteFiles> OffersAttached for SenderFiles<F> {
    type Permit = OfferPermit;
    type Digests = Hold;
    type Source = Located<F>;
    type Open = Arc<F::Source>;
    type Start = EarlyStart<F::Source>;
    type Progress = Arc<FileProgress>;

    fn progress(header: &Header, source: &Located<F>, from: u64, why: Why) -> Arc<FileProgress> {
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

/// The start of a file that was sent early. Dropping it says that it was in vain.
pub(super) struct EarlyStart<S> {
    pub(super) digest: Digest,
    /// Of a file that goes on behind its start.
    pub(super) source: Option<Arc<S>>,
    pub(super) wanted: oneshot::Sender<()>,
}

impl<S> EarlyStart<S> {
    /// It was not in vain. Its digest, and the source of a file that goes on behind it.
    pub(super) fn claim(self) -> (Digest, Option<Arc<S>>) {
        // Nobody hears it when the connection has ended.
        let _ = self.wanted.send(());
        (self.digest, self.source)
    }
}

/// Where a file lies, and what it was when it was offered.
#[derive(Clone)]
pub(crate) struct Located<F> {
    pub(crate) root: F,
    pub(crate) at: WirePath,
    pub(crate) identity: FileIdentity,
}

/// The facts of a file that its header carries.
pub(crate) fn stat(meta: &Meta) -> Stat {
    Stat { kind: meta.kind.clone(), size: meta.size, mtime: meta.mtime, mode: meta.mode }
}

pub(super) type Place<F> = offers::OfferedSource<SenderFiles<F>>;

/// On a disk thread: opens the source of an offer, if it is what was offered and has been at rest for long enough to see the
/// next change of it. Where there is no descriptor for it now, it is to be tried again.
pub(crate) fn open_offered<F, A>(place: &offers::OfferedSource<A>) -> Result<F::Source, PumpStop>
where
    F: Files,
    A: OffersAttached<Source = Located<F>>,
{
    let source = match place.source.root.open_source(&place.source.at) {
        Err(error) if error.is_passing() && u32::from(place.waits) < FILES_WAITS_MAX => {
            return Err(PumpStop::Unsettled(FILES_WAIT));
        }
        opened => opened?,
    };
    if !is_offered(place, source.meta()) {
        return Err(PumpStop::Changed);
    }
    match source.settles_in() {
        Some(wait) if place.waits < SETTLE_WAITS_MAX && !BreakableRule::SourceIsAtRest.is_broken() => {
            Err(PumpStop::Unsettled(wait))
        }
        // It never rests; most likely it is found changed in the end.
        _ => Ok(source.up_to(place.header.size)),
    }
}

/// Whether an opened source is what was offered. One that was offered again, because it changed, may have grown since.
fn is_offered<F, A: OffersAttached<Source = Located<F>>>(place: &offers::OfferedSource<A>, found: &Meta) -> bool {
    let Meta { size, mtime, identity, .. } = found;
    let same = *size == place.header.size && *mtime == place.header.mtime;
    let offered = &place.source.identity;
    let grows =
        place.attempt > 1 && *size >= place.header.size && (identity.dev, identity.ino) == (offered.dev, offered.ino);
    same || grows
}

/// The work on an open file after all of it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AtEnd {
    /// It is what it was when it was opened.
    Close,
    /// It may not be: what was sent is to be compared with what is there.
    ReadAgain,
}

/// On a disk thread: looks at an open file of which all was sent.
pub(crate) fn look_at_end(source: &impl ReadFile) -> Result<AtEnd, PumpStop> {
    if !source.has_honest_size()? {
        return Err(PumpStop::UnknownSize);
    }
    match source.since_opened()? {
        Since::Shorter => Err(PumpStop::Changed),
        Since::ReadAgain if !BreakableRule::SourceIsLookedAtAgain.is_broken() => Ok(AtEnd::ReadAgain),
        Since::Same | Since::ReadAgain => Ok(AtEnd::Close),
    }
}
