//! What the receiver says on the control stream.

use std::sync::Arc;

use super::Sender;
use super::file::{Moving, Outgoing};
use super::settle::UNKNOWN_FILE;
use crate::progress::{FileProgress, Phase};
use crate::protocol::message::{Done, Failure, FileId, Kind, Message, Named, Pos, SkipReason, Status, Verdict, Why};
use crate::session::SessionError;
use crate::transfer::Violation;
use crate::transfer::file::send::is_start;

impl Sender {
    /// Feeds a message of the receiver's.
    ///
    /// # Errors
    /// The rule that the message breaks; the connection is to be closed.
    pub(crate) fn on_message(&self, message: Message) -> Result<(), SessionError> {
        match message {
            Message::Pos(pos) => self.on_pos(pos),
            Message::Have(have) => self.on_have(have),
            Message::Done(done) => self.on_done(done),
            Message::Named(named) => self.on_named(named),
            Message::Settled => self.on_settled(),
            _ => Err(SessionError::Order("a message that only a sender sends")),
        }
    }

    fn on_settled(&self) -> Result<(), SessionError> {
        let mut state = self.state();
        // Otherwise a job would look done whose files nobody has taken.
        if !state.end_sent || !state.files.is_empty() {
            return Err(SessionError::Order("settled before every file was"));
        }
        state.peer_ended = true;
        drop(state);
        self.0.ended.notify_waiters();
        Ok(())
    }

    fn on_pos(&self, pos: Pos) -> Result<(), SessionError> {
        self.check_pos(&pos)?;
        self.state().answered = true;
        match pos.verdict {
            Verdict::Skip(reason) => self.on_skipped(&self.take(pos.id)?, reason),
            Verdict::Refuse(failure) => self.on_refused(&self.take(pos.id)?, failure),
            Verdict::From { offset, why } if self.0.tools.dry_run => self.on_planned(&self.take(pos.id)?, offset, why),
            Verdict::From { offset, why } => self.on_wanted(pos.id, offset, why)?,
        }
        Ok(())
    }

    /// Whether an answer fits its offer.
    fn check_pos(&self, pos: &Pos) -> Result<(), SessionError> {
        let state = self.state();
        let Outgoing { header, moving, .. } = state.files.get(&pos.id).ok_or(UNKNOWN_FILE)?;
        if moving.is_some() {
            return Err(SessionError::Order("a second answer for the same file"));
        }
        match pos.verdict {
            Verdict::From { .. } if header.kind != Kind::File => {
                Err(SessionError::Order("content asked of something that is no file"))
            }
            Verdict::From { offset, .. } if !is_start(offset, header.size) => {
                Err(Violation::BadStart { offset }.into())
            }
            _ => Ok(()),
        }
    }

    fn on_skipped(&self, file: &Outgoing, reason: SkipReason) {
        if file.header.kind != Kind::Dir {
            self.0.tools.observer.skipped(file.header.path.to_string(), file.header.size, reason);
        }
        self.maybe_end();
    }

    fn on_refused(&self, file: &Outgoing, failure: Failure) {
        if failure.status == Status::Cancelled && self.0.stop.is_cancelled() {
            // A receiver that is about to stop leaves it to the next connection.
            self.state().left_out = true;
        } else {
            self.0.tools.observer.failed(file.header.path.to_string(), failure);
        }
        self.maybe_end();
    }

    /// In a dry run the answer settles the file.
    fn on_planned(&self, file: &Outgoing, from: u64, why: Why) {
        let (path, size) = (file.header.path.to_string(), file.header.size);
        self.0.tools.observer.planned(path, size, from, why, file.named.clone());
        self.maybe_end();
    }

    fn on_named(&self, named: Named) -> Result<(), SessionError> {
        let mut state = self.state();
        let next_id = state.next_id;
        if named.name.parent().is_some() {
            return Err(SessionError::Order("a new name that is a path"));
        }
        match state.files.get_mut(&named.id) {
            // The name is for display only: one that there is no room for is not kept, nor is a second one.
            Some(file) if file.named.is_none() => {
                let name = named.name.to_string();
                if !file.permit.grow(2 * name.len()) {
                    return Ok(());
                }
                if let Some(moving) = &file.moving {
                    moving.progress.set_name(name.clone());
                }
                file.named = Some(name);
                Ok(())
            }
            Some(_) => Ok(()),
            // Both sides may give a file up at the same time.
            None if named.id.0 < next_id => Ok(()),
            None => Err(UNKNOWN_FILE),
        }
    }

    fn on_wanted(&self, id: FileId, offset: u64, why: Why) -> Result<(), SessionError> {
        let mut state = self.state();
        let file = state.files.get_mut(&id).ok_or(UNKNOWN_FILE)?;
        let size = file.header.size;
        let progress = Arc::new(
            FileProgress::new(file.header.path.to_string(), size, offset, why).with_source(file.at.to_string()),
        );
        if offset > 0 {
            // What went ahead is there already, and the tail of that counts for nothing.
            file.ahead = None;
            file.tail_sent = false;
            progress.set_phase(Phase::Checking);
        }
        self.0.tools.observer.started(&progress);
        let (digests, reported, sent, pumping, closing) = (0, 0, 0, true, false);
        let room = self.0.tools.account.take_for_digests(0).expect("nothing is always there");
        let moving = Moving { from: offset, progress, open: None, digests, room, reported, sent, pumping, closing };
        if file.tail_sent {
            // All of it has gone ahead, and its tail: `Done` may come with the next message.
            moving.progress.begin();
            moving.progress.set_phase(Phase::Committing);
            file.moving = Some(Moving { sent: size, pumping: false, ..moving });
            if let Some(gone) = file.ahead.take() {
                gone.claim();
            }
            return Ok(());
        }
        file.moving = Some(moving);
        drop(state);
        self.want(id);
        Ok(())
    }

    fn on_done(&self, done: Done) -> Result<(), SessionError> {
        let file = match self.take(done.id) {
            Ok(file) => file,
            // Both sides may give a file up at the same time.
            Err(_) if done.id.0 < self.state().next_id => {
                self.on_crossing(done);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        match (done.failure, &file.moving) {
            (None, Some(moving)) if file.tail_sent => {
                let unreported = moving.sent.saturating_sub(moving.reported);
                self.0.tools.observer.written(&moving.progress, unreported);
                self.0.tools.observer.finished(&moving.progress);
            }
            (None, _) => return Err(SessionError::Order("a file was called done before it was sent")),
            (Some(failure), _) => self.0.tools.observer.failed(file.header.path.to_string(), failure),
        }
        self.maybe_end();
        Ok(())
    }

    /// A verdict on a file that is not on offer any more. After the end a failure is that of the new offer too, which the
    /// receiver has dropped: `Settled` may be its next word. That offer has no answer then; one that has is not dropped.
    fn on_crossing(&self, done: Done) {
        let mut state = self.state();
        let (Some(failure), Some(anew)) = (done.failure, state.anew.remove(&done.id)) else { return };
        if state.files.get(&anew).is_none_or(|file| file.moving.is_some()) {
            return;
        }
        let file = state.files.remove(&anew).expect("the lock was held since it was seen");
        drop(state);
        self.0.tools.observer.failed(file.header.path.to_string(), failure);
    }
}
