//! The actions that a receiver's ledger asks of its driver, and the data that it keeps for it.

#[cfg(doc)]
use super::Answers;
use crate::protocol::message::{FileId, Message};
use crate::transfer::Room;
use crate::transfer::job::report::LedgerReport;

/// The data that the driver of the ledger keeps with a file. The ledger only holds it, and drops it in time.
pub(crate) trait AnswersAttached {
    /// Room for an offer. It is given back before the file's last word is said: a sender that hears that offers the next
    /// file at once.
    type Room;
    /// Room for the names that are told apart, until the end of the job.
    type Names: Room;
    /// The wait of a stream whose content came early. Dropping it ends the wait.
    type Wait;
    /// Where the content of a file goes.
    type Io: Clone;
    /// How far a file is, for whoever watches.
    type Progress: Clone;
}

/// The options of a job, fixed by its first message.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct AnswersOptions {
    /// In a dry run: the sender knows of it and hears what would be. One that does not know would send what it is asked for.
    pub(crate) tells_plans: bool,
    /// The sender may not learn what is here.
    pub(crate) is_blind: bool,
}

/// An action for the driver of the ledger.
pub(crate) enum AnswersAction<A: AnswersAttached> {
    /// This is to be said to the sender.
    Say(Message),
    /// A report for the observer.
    Report(LedgerReport<A::Progress>),
    /// Offers wait to be planned, and nobody plans: call [`Answers::next_to_plan`] until there is none.
    Plan,
    /// The existing prefix of a file is to be hashed, from its first chunk on.
    HashPrefix(FileId, A::Io),
    /// Nobody wants the content of a file any more.
    GiveUp(A::Io),
    /// Every file is settled: what waited for that is to be done, and then [`Answers::on_wound_up`] is to be called.
    WindUp,
    /// The job is over.
    Finish,
}

impl<A: AnswersAttached> AnswersAction<A> {
    /// Whether it is a word to the sender, or to whoever watches. Words come in their order: before the ledger is fed again.
    pub(crate) fn is_word(&self) -> bool {
        matches!(self, Self::Say(_) | Self::Report(_))
    }
}
