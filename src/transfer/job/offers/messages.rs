//! The messages of the receiver.

use std::collections::hash_map::Entry;

use super::{ContentState, OfferState, Offers, OffersAction, OffersAttached, OffersStage, Outgoing, Pump, WantedFile};
use crate::broken::BreakableRule;
use crate::digest::Digest;
use crate::protocol::message::{Done, Failure, FileId, Have, Kind, Named, Pos, Status, Verdict, Why};
use crate::transfer::file::SendFile;
use crate::transfer::file::send::is_start;
use crate::transfer::job::JobError;
use crate::transfer::job::report::LedgerReport;
use crate::transfer::{Room, Violation};

const UNKNOWN_FILE: JobError = JobError::Order("an answer for a file that is not on offer");

/// The memory of so many digests that wait to be compared, in bytes.
pub(crate) fn room_for(digests: usize) -> usize {
    if digests == 0 { 0 } else { size_of::<Have>() + digests * size_of::<Digest>() }
}

impl<A: OffersAttached> Outgoing<A> {
    /// Whether an answer fits this offer.
    fn check_pos(&self, pos: &Pos) -> Result<(), JobError> {
        let Self { header, state, .. } = self;
        if let OfferState::Wanted(_) = state {
            return Err(JobError::Order("a second answer for the same file"));
        }
        match pos.verdict {
            Verdict::From { .. } if header.kind != Kind::File => {
                Err(JobError::Order("content asked of something that is no file"))
            }
            Verdict::From { offset, .. } if !is_start(offset, header.size) => {
                Err(Violation::BadStart { offset }.into())
            }
            Verdict::From { .. } | Verdict::Skip(_) | Verdict::Refuse(_) => Ok(()),
        }
    }
}

impl<A: OffersAttached> Offers<A> {
    /// Every file is settled.
    ///
    /// # Errors
    /// That they are not: a job would look done whose files nobody has taken.
    pub(crate) fn on_settled(&mut self) -> Result<(), JobError> {
        if self.stage < OffersStage::Ended || !self.files.is_empty() {
            return Err(JobError::Order("settled before every file was"));
        }
        self.stage = OffersStage::Settled;
        self.actions.push_back(OffersAction::Finish);
        Ok(())
    }

    /// An offer is answered.
    ///
    /// # Errors
    /// The rule that the answer breaks.
    pub(crate) fn on_pos(&mut self, pos: Pos) -> Result<(), JobError> {
        let Entry::Occupied(file) = self.files.entry(pos.id) else { return Err(UNKNOWN_FILE) };
        file.get().check_pos(&pos)?;
        self.early = None;
        if let Verdict::From { offset, why } = pos.verdict
            && !self.options.is_dry_run
        {
            return self.on_wanted(pos.id, offset, why);
        }
        let file = file.remove();
        self.on_removed(&file);
        match pos.verdict {
            Verdict::From { offset, why } => {
                let Outgoing { header, named, .. } = *file;
                self.report(LedgerReport::Planned { path: header.path, size: header.size, from: offset, why, named });
            }
            Verdict::Skip(reason) => {
                let Outgoing { header, .. } = *file;
                if header.kind != Kind::Dir {
                    self.report(LedgerReport::Skipped { path: header.path, size: header.size, reason });
                }
            }
            Verdict::Refuse(failure) => self.on_refused(&file, failure),
        }
        self.maybe_end();
        Ok(())
    }

    fn on_refused(&mut self, file: &Outgoing<A>, failure: Failure) {
        if failure.status == Status::Cancelled && self.is_draining {
            // A receiver that is about to stop leaves it to the next connection.
            self.has_left_out = true;
        } else {
            self.report_failed(file, failure, true);
        }
    }

    fn on_wanted(&mut self, id: FileId, from: u64, why: Why) -> Result<(), JobError> {
        let file = self.files.get_mut(&id).ok_or(UNKNOWN_FILE)?;
        let rules = SendFile::wanted(id, file.header.size, from)?;
        let progress = A::progress(&file.header, &file.source, from, why);
        let offered = OfferState::Offered { start: None, is_closed: false };
        let OfferState::Offered { start, is_closed } = std::mem::replace(&mut file.state, offered) else {
            return Err(JobError::Order("a second answer for the same file"));
        };
        // The receiver has the early content already, and the tail that followed it is ignored.
        let is_sent = is_closed && (from == 0 || BreakableRule::EarlyTailIsOfWholeFile.is_broken());
        let (content, start) = match is_sent {
            true => (ContentState::Closed, start),
            false => (ContentState::Unopened { rules, start: start.filter(|_| from == 0) }, None),
        };
        let sent = if is_sent { file.header.size } else { 0 };
        let named = file.named.clone();
        let wanted =
            WantedFile { from, progress: progress.clone(), sent, reported: 0, is_read: false, digests: None, content };
        file.state = OfferState::Wanted(Box::new(wanted));
        self.unclosed += usize::from(is_closed && !is_sent);
        self.report(LedgerReport::Started { progress: progress.clone(), is_checked: from > 0 });
        named.into_iter().for_each(|name| self.report(LedgerReport::Named(progress.clone(), name)));
        if is_sent {
            // `Done` may come with the next message.
            self.report(LedgerReport::Begun(progress.clone()));
            self.report(LedgerReport::Complete(progress));
        } else {
            self.actions.push_back(OffersAction::Want(id));
        }
        self.actions.extend(start.map(OffersAction::Claim));
        Ok(())
    }

    /// A file gets another name than its own. For display only: one that there is no room for is not kept, nor is a second
    /// one.
    ///
    /// # Errors
    /// That there is no such file, or that the name is a path.
    pub(crate) fn on_named(&mut self, named: Named) -> Result<(), JobError> {
        if named.name.parent().is_some() {
            return Err(JobError::Order("a new name that is a path"));
        }
        let Some(file) = self.files.get_mut(&named.id) else { return self.gone(named.id) };
        let name = named.name.to_string();
        if file.named.is_some() || !file.permit.grow(2 * name.len()) {
            return Ok(());
        }
        file.named = Some(name.clone());
        let progress = file.wanted().map(|wanted| wanted.progress.clone());
        progress.into_iter().for_each(|progress| self.report(LedgerReport::Named(progress, name.clone())));
        Ok(())
    }

    /// Digests of what the receiver has of a file. `room` is taken for those that wait.
    ///
    /// # Errors
    /// The rule that they break, or that there is no room.
    pub(crate) fn on_have(
        &mut self,
        have: &Have,
        room: impl FnOnce(usize) -> Option<A::Digests>,
    ) -> Result<(), JobError> {
        // We may have given it up while the digests were on their way.
        let Some(file) = self.files.get_mut(&have.id) else { return self.gone(have.id) };
        let Some(wanted) = file.wanted() else { return Err(JobError::Order("digests before an answer")) };
        let (ContentState::Unopened { rules, .. } | ContentState::Open { rules, .. }) = &mut wanted.content else {
            return Err(JobError::Order("digests of a file that was compared"));
        };
        rules.on_have(have.first, &have.digests)?;
        let more = room_for(have.digests.len());
        let has_room = match &mut wanted.digests {
            Some(digests) => digests.grow(more),
            None => {
                wanted.digests = room(more);
                wanted.digests.is_some()
            }
        };
        if !has_room {
            return Err(JobError::Overloaded);
        }
        self.on_compared(have.id);
        Ok(())
    }

    /// After a comparison: differing chunks need a pump, and a file without any may be complete.
    pub(super) fn on_compared(&mut self, id: FileId) {
        let Some(wanted) = self.files.get_mut(&id).and_then(|file| file.wanted()) else { return };
        let ContentState::Open { rules, pump, .. } = &mut wanted.content else { return };
        if let Some(digests) = &mut wanted.digests {
            digests.shrink_to(room_for(rules.uncompared()));
        }
        let is_compared = rules.is_compared();
        let is_due = *pump == Pump::Idle && (rules.has_ranges() || is_compared);
        if is_due {
            *pump = Pump::Running;
        }
        let progress = is_compared.then(|| wanted.progress.clone());
        progress.into_iter().for_each(|progress| self.report(LedgerReport::Compared(progress)));
        if is_due {
            self.actions.push_back(OffersAction::Want(id));
        }
    }

    /// The verdict on a file.
    ///
    /// # Errors
    /// That it is none on what was sent.
    pub(crate) fn on_done(&mut self, done: Done) -> Result<(), JobError> {
        let Some(file) = self.remove(done.id) else {
            // Both sides may give a file up at the same time.
            self.gone(done.id)?;
            self.on_crossing(done);
            return Ok(());
        };
        match (done.failure, &file.state) {
            (None, OfferState::Wanted(wanted)) if matches!(wanted.content, ContentState::Closed) => {
                let WantedFile { progress, sent, reported, .. } = wanted.as_ref();
                self.report(LedgerReport::Written(progress.clone(), sent.saturating_sub(*reported)));
                self.report(LedgerReport::Finished { path: file.header.path.clone(), progress: progress.clone() });
            }
            (None, _) => return Err(JobError::Order("a file was called done before it was sent")),
            (Some(failure), _) => self.report_failed(&file, failure, true),
        }
        self.maybe_end();
        Ok(())
    }

    /// A verdict on a file that is not on offer any more. After the end a failure is that of the new offer too, which the
    /// receiver has dropped: `Settled` may be its next word. That offer has no answer then; one that has is not dropped.
    fn on_crossing(&mut self, done: Done) {
        let (Some(failure), Some(again)) = (done.failure, self.reoffered.remove(&done.id)) else { return };
        let is_unanswered = self.files.get(&again).is_some_and(|file| matches!(file.state, OfferState::Offered { .. }));
        let is_both = is_unanswered && !BreakableRule::FailureIsOfBothOffers.is_broken();
        if is_both && let Some(file) = self.remove(again) {
            self.report_failed(&file, failure, true);
        }
    }

    /// Whether a file that is not on offer was once.
    fn gone(&self, id: FileId) -> Result<(), JobError> {
        if self.is_offered(id) { Ok(()) } else { Err(UNKNOWN_FILE) }
    }
}
