//! The messages of the sender.

use super::super::JobError;
use super::super::reoffer::Reoffer;
use super::{
    AnswerState, Answers, AnswersAction, AnswersAttached, AnswersStage, Complete, Offered, OpenFile, WaitsFor, stopping,
};
use crate::broken::BreakableRule;
use crate::protocol::HEADERS_AHEAD_MAX;
use crate::protocol::message::{Done, Failure, Header, Kind, Message, Pos, Problem, Status, Tail, Verdict};
use crate::transfer::Violation;
use crate::transfer::job::report::LedgerReport;

/// Offers that were not looked at, those that were given up meanwhile among them: an honest sender gives up few.
const UNPLANNED_MAX: usize = 2 * HEADERS_AHEAD_MAX;

impl<A: AnswersAttached> Answers<A> {
    /// A file is offered. `room` is asked for what keeping it takes, if it is to be kept.
    ///
    /// # Errors
    /// The rule that the offer breaks, or that there is no room.
    pub(crate) fn on_header(&mut self, header: Header, room: impl FnOnce() -> Option<A::Room>) -> Result<(), JobError> {
        if header.id.0 != self.next_id {
            return Err(JobError::Order("file ids do not count up"));
        }
        if self.files.len() >= HEADERS_AHEAD_MAX {
            return Err(JobError::Order("too many files offered at once"));
        }
        // A sender that offers files and cancels them at once could make any number without ever having many on offer.
        if self.unplanned.len() >= UNPLANNED_MAX {
            return Err(JobError::Order("offers given up before they could be looked at"));
        }
        let reoffer = self.reoffers.on_offer(&header.path)?;
        self.next_id += 1;
        if reoffer == Reoffer::Dropped && !BreakableRule::CrossedOfferIsDropped.is_broken() {
            return Ok(());
        }
        if self.is_draining {
            // Nothing is kept of it: the end may be near because there is no room.
            self.unoffered.remove(&header.id);
            self.say(Message::Pos(Pos { id: header.id, verdict: Verdict::Refuse(stopping()) }));
            self.settle();
            return Ok(());
        }
        if header.kind != Kind::Dir {
            self.report(LedgerReport::Found { path: header.path.clone(), size: header.size });
        }
        let room = room().ok_or(JobError::Overloaded)?;
        self.early.check(&header)?;
        let (id, stream) = (header.id, self.unoffered.remove(&header.id));
        let offered = Offered { header, room, waits_for: WaitsFor::Disk, stream, tail: None };
        self.files.insert(id, AnswerState::Offered(Box::new(offered)));
        self.unplanned.push_back(id);
        self.start_planning();
        Ok(())
    }

    /// The sender closes a file. What is returned is complete with that.
    ///
    /// # Errors
    /// The rule that the tail breaks.
    pub(crate) fn on_tail(&mut self, tail: Tail) -> Result<Option<Complete<A>>, JobError> {
        let (id, is_offered) = (tail.id, self.is_offered(tail.id));
        match self.files.get_mut(&id) {
            Some(AnswerState::Open(open)) => open.rules.on_tail(tail)?,
            Some(AnswerState::Offered(offered)) if tail.early && offered.header.kind == Kind::File => {
                if offered.tail.replace(tail).is_some() {
                    return Err(Violation::SecondTail.into());
                }
            }
            // It failed here while the tail was on its way.
            None if is_offered => {}
            Some(AnswerState::Offered(_) | AnswerState::Committing(_)) | None => {
                return Err(JobError::Order("a tail for a file that is not open"));
            }
        }
        Ok(self.take_complete(id))
    }

    /// A source never got a header, or changed and is not offered again.
    pub(crate) fn on_problem(&mut self, problem: Problem) {
        if self.reoffers.on_problem(&problem.name) {
            self.report(LedgerReport::Failed { name: problem.name, failure: problem.failure, by_peer: true });
            self.settle();
        }
    }

    /// The sender gives up a file.
    ///
    /// # Errors
    /// That it was never offered.
    pub(crate) fn on_cancel(&mut self, cancel: Done) -> Result<(), JobError> {
        let id = cancel.id;
        if !self.is_offered(id) {
            return Err(JobError::Order("a cancel for a file that was never offered"));
        }
        let failure = cancel.failure.unwrap_or_else(|| Failure::new(Status::Cancelled, "its sender gave it up"));
        let is_changed = failure.status == Status::Changed;
        if let Some(AnswerState::Committing(_)) = self.files.get(&id) {
            // It is complete and right: its `Done` is as good as said.
            return Ok(());
        }
        let (path, room) = match self.forget(id) {
            Some(AnswerState::Open(open)) => {
                let OpenFile { path, room, io, .. } = *open;
                self.actions.push_back(AnswersAction::GiveUp(io));
                (path, room)
            }
            Some(AnswerState::Offered(offered)) => {
                let Offered { header, room, .. } = *offered;
                (header.path, room)
            }
            Some(AnswerState::Committing(committing)) => (committing.path, committing.room),
            None => {
                if is_changed {
                    self.reoffers.on_changed_settled();
                }
                return Ok(());
            }
        };
        let failed = if is_changed { self.reoffers.on_changed(path, failure, room) } else { Some((path, failure)) };
        if let Some((path, failure)) = failed {
            self.report_failed(&path, failure, true);
        }
        self.settle();
        Ok(())
    }

    /// The sender has found all that there is.
    ///
    /// # Errors
    /// That this was known.
    pub(crate) fn on_offered(&mut self) -> Result<(), JobError> {
        if self.stage != AnswersStage::Searching {
            return Err(JobError::Order("all is on offer, which was known"));
        }
        self.stage = AnswersStage::AllOffered;
        self.report(LedgerReport::SearchEnded);
        Ok(())
    }

    /// No new name follows.
    ///
    /// # Errors
    /// That this was said before, or that a stream waits for a file that never came.
    pub(crate) fn on_end(&mut self) -> Result<(), JobError> {
        if self.stage >= AnswersStage::Ended {
            return Err(JobError::Order("a second end"));
        }
        if !self.unoffered.is_empty() {
            return Err(JobError::Order("content for a file that was never offered"));
        }
        self.stage = AnswersStage::Ended;
        for (path, (failure, _room)) in self.reoffers.on_end() {
            self.report_failed(&path, failure, true);
        }
        self.report(LedgerReport::SearchEnded);
        self.settle();
        Ok(())
    }
}
