//! Content and its end: ranges, chunks, digests of what is there already, the commit.

use super::super::JobError;
use super::{AnswerState, Answers, AnswersAttached, AnswersStage, Committing, OpenFile};
use crate::broken::BreakableRule;
use crate::digest::Digest;
use crate::protocol::message::{Done, FileId, Have, Message};
use crate::protocol::path::WirePath;
use crate::protocol::range::RangeHeader;
use crate::transfer::file::ReceiveFile;
use crate::transfer::job::report::LedgerReport;

/// Where the content of one range goes.
pub(crate) struct RangeTarget<A: AnswersAttached> {
    pub(crate) io: A::Io,
    /// How far the file is.
    pub(crate) progress: A::Progress,
}

/// A file of which all is there. It is to be judged, and then committed or failed.
pub(crate) struct Complete<A: AnswersAttached> {
    pub(crate) id: FileId,
    /// By which it is judged.
    pub(crate) rules: ReceiveFile,
    /// Where its content is.
    pub(crate) io: A::Io,
}

/// How a range is handled that came before its file was answered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum EarlyRange {
    /// Its stream is to wait, unread, until the wait that it came with is dropped.
    Waits,
    /// Its file is answered.
    Answered,
}

impl<A: AnswersAttached> Answers<A> {
    /// A data stream announces a range that was asked for. `None`: the file is settled already, nobody wants the bytes.
    ///
    /// # Errors
    /// The rule that the range breaks.
    pub(crate) fn on_range(&mut self, range: RangeHeader) -> Result<Option<RangeTarget<A>>, JobError> {
        let is_offered = self.is_offered(range.id);
        match self.files.get_mut(&range.id) {
            Some(AnswerState::Open(open)) => {
                open.rules.on_range(range.offset, range.len)?;
                Ok(Some(RangeTarget { io: open.io.clone(), progress: open.progress.clone() }))
            }
            None if is_offered => Ok(None),
            Some(AnswerState::Offered(_) | AnswerState::Committing(_)) | None => {
                Err(JobError::Order("content for a file that is not open"))
            }
        }
    }

    /// A data stream announces a range that nobody has asked for. It waits until its file is answered, for which `wait` is
    /// kept; then [`Answers::on_answered`] says where it goes.
    ///
    /// # Errors
    /// The rule that the range breaks.
    pub(crate) fn on_early_range(&mut self, range: RangeHeader, wait: A::Wait) -> Result<EarlyRange, JobError> {
        self.early.on_range(range.id, range.offset, range.len)?;
        if !self.is_offered(range.id) {
            if self.stage >= AnswersStage::Ended {
                return Err(JobError::Order("content for a file that was never offered"));
            }
            self.unoffered.insert(range.id, wait);
            return Ok(EarlyRange::Waits);
        }
        let Some(AnswerState::Offered(offered)) = self.files.get_mut(&range.id) else {
            return Ok(EarlyRange::Answered);
        };
        self.early.check(&offered.header)?;
        offered.stream = Some(wait);
        Ok(EarlyRange::Waits)
    }

    /// Whether the file of a range that waits has been offered: then the wait is for our own disk.
    pub(crate) fn has_offer(&self, id: FileId) -> bool {
        self.is_offered(id)
    }

    /// Where a range goes that came before its file was answered. `None`: it is not wanted.
    ///
    /// # Errors
    /// The rule that the range breaks.
    pub(crate) fn on_answered(&mut self, range: RangeHeader) -> Result<Option<RangeTarget<A>>, JobError> {
        // Otherwise it is settled, or complete without this.
        let Some(AnswerState::Open(open)) = self.files.get_mut(&range.id) else { return Ok(None) };
        let is_wanted = open.rules.on_early(range.len)?;
        Ok(is_wanted.then(|| RangeTarget { io: open.io.clone(), progress: open.progress.clone() }))
    }

    /// A chunk that a stream carried is on disk; with `ends_range` it was the last one of its range. What is returned is
    /// complete with it.
    pub(crate) fn on_chunk(&mut self, id: FileId, index: u64, digest: Digest, ends_range: bool) -> Option<Complete<A>> {
        let Some(AnswerState::Open(open)) = self.files.get_mut(&id) else { return None };
        open.rules.on_chunk(index, digest);
        if !ends_range {
            return None;
        }
        open.rules.on_range_stored();
        self.take_complete(id)
    }

    /// The next chunks before the start of a file, from `first` on, have been hashed. `None`: nobody wants to know;
    /// otherwise the file goes on as `Some` says.
    pub(crate) fn on_prefix(&mut self, id: FileId, first: u64, digests: Vec<Digest>) -> Option<PrefixProgress<A>> {
        let Some(AnswerState::Open(open)) = self.files.get_mut(&id) else { return None };
        open.rules.on_prefix(&digests);
        let is_hashing = open.rules.is_hashing();
        let progress = open.progress.clone();
        // A repair is only accepted once its digest is on its way.
        if !BreakableRule::DigestsAreSaid.is_broken() {
            self.say(Message::Have(Have { id, first, digests }));
        }
        if is_hashing {
            return Some(PrefixProgress::GoesOn);
        }
        self.report(LedgerReport::Compared(progress));
        Some(PrefixProgress::Hashed(self.take_complete(id)))
    }

    /// A file that is complete; from now on it is being committed.
    pub(super) fn take_complete(&mut self, id: FileId) -> Option<Complete<A>> {
        let is_complete =
            |file: &&mut AnswerState<A>| matches!(file, AnswerState::Open(open) if open.rules.is_complete());
        self.files.get_mut(&id).filter(is_complete)?;
        let Some(AnswerState::Open(open)) = self.files.remove(&id) else { return None };
        let OpenFile { path, room, rules, io, progress } = *open;
        self.report(LedgerReport::Complete(progress.clone()));
        self.files.insert(id, AnswerState::Committing(Committing { path, room, progress }));
        Some(Complete { id, rules, io })
    }

    /// A file is about to be committed under another name than the one that was asked for.
    pub(crate) fn on_renamed(&mut self, id: FileId, name: &WirePath) {
        let Some(AnswerState::Committing(committing)) = self.files.get(&id) else { return };
        let progress = committing.progress.clone();
        self.report(LedgerReport::Named(progress, name.to_string()));
        self.say_name(id, name);
    }

    /// A file has its name.
    pub(crate) fn on_committed(&mut self, id: FileId) {
        let Some(AnswerState::Committing(_)) = self.files.get(&id) else { return };
        if let Some(AnswerState::Committing(Committing { path, progress, .. })) = self.forget(id) {
            self.report(LedgerReport::Finished { path, progress });
        }
        self.say(Message::Done(Done { id, failure: None }));
        self.settle();
    }
}

/// How the hashing of what is there goes on.
pub(crate) enum PrefixProgress<A: AnswersAttached> {
    /// More chunks are to be hashed.
    GoesOn,
    /// All are hashed; the file may be complete with that.
    Hashed(Option<Complete<A>>),
}
