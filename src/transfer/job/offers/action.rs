//! The actions that a sender's ledger asks of its driver, and the data that it keeps for it.

use crate::protocol::message::{FileId, Header, Message, Why};
use crate::transfer::Room;
use crate::transfer::job::report::LedgerReport;

/// The data that the driver of the ledger keeps with a file. The ledger only holds it, and drops it in time.
pub(crate) trait OffersAttached {
    /// Room for an offer, until it is settled.
    type Permit: Room;
    /// Room for digests of the receiver's that wait for our own.
    type Digests: Room;
    /// Where a file lies.
    type Source: Clone;
    type Open: Clone;
    /// The start of a file that was sent early. Dropping it says that it was in vain.
    type Start;
    /// How far a file is, for whoever watches.
    type Progress: Clone;

    /// A file is asked for from `from` on.
    fn progress(header: &Header, source: &Self::Source, from: u64, why: Why) -> Self::Progress;
}

/// The options of a job, fixed at its start.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct OffersOptions {
    /// Decide and report only.
    pub(crate) is_dry_run: bool,
    /// The user is at this end, not at the other.
    pub(crate) is_own_tree: bool,
    /// The starts of the first files need not wait for the receiver's answers.
    pub(crate) sends_early: bool,
}

/// An action for the driver of the ledger.
pub(crate) enum OffersAction<A: OffersAttached> {
    /// This is to be said to the receiver.
    Say(Message),
    /// A report for the observer.
    Report(LedgerReport<A::Progress>),
    /// The start of a file is to be sent, although nobody has asked for it.
    SendEarly(FileId),
    /// The early content of a file was asked for.
    Claim(A::Start),
    /// A file is to be pumped when its turn comes.
    Want(FileId),
    /// Nobody reads this file any more, which is closed with it.
    LetGo(A::Open),
    /// The job is over.
    Finish,
}

impl<A: OffersAttached> OffersAction<A> {
    /// Whether it is a word to the receiver, or to whoever watches. Words come in their order: before the ledger is fed again.
    pub(crate) fn is_word(&self) -> bool {
        matches!(self, Self::Say(_) | Self::Report(_))
    }
}
