//! What the sender says on the control stream.

use super::anew::Offer;
use super::{File, Receiver};
use crate::protocol::HEADERS_AHEAD_MAX;
use crate::protocol::message::{Done, End, Failure, Header, Kind, Message, Pos, Problem, Status, Tail, Verdict};
use crate::protocol::path::escape;
use crate::session::SessionError;
use crate::session::budget::OFFER_BYTES;
use crate::transfer::Violation;

/// Offers that were not looked at, those that were given up meanwhile among them: an honest sender gives up few.
const UNPLANNED_MAX: usize = 2 * HEADERS_AHEAD_MAX;

impl Receiver {
    /// Feeds a message of the sender's.
    ///
    /// # Errors
    /// The rule that the message breaks; the connection is to be closed.
    pub(crate) fn on_message(&self, message: Message) -> Result<(), SessionError> {
        match message {
            Message::Header(header) => self.on_header(header),
            Message::Tail(tail) => self.on_tail(tail),
            Message::Problem(problem) => {
                self.on_problem(problem);
                Ok(())
            }
            Message::Cancel(cancel) => self.on_cancel(cancel),
            Message::Offered => self.on_offered(),
            Message::End(end) => self.on_end(end),
            _ => Err(SessionError::Order("a message that only a receiver sends")),
        }
    }

    fn on_header(&self, header: Header) -> Result<(), SessionError> {
        let mut state = self.state();
        if header.id.0 != state.next_id {
            return Err(SessionError::Order("file ids do not count up"));
        }
        if state.files.len() >= HEADERS_AHEAD_MAX {
            return Err(SessionError::Order("too many files offered at once"));
        }
        // Who offers and gives up at once makes as many as it likes without ever having many on offer.
        if state.unplanned.len() >= UNPLANNED_MAX {
            return Err(SessionError::Order("offers given up before they could be looked at"));
        }
        let offer = state.anew.on_offer(&header.path)?;
        state.next_id += 1;
        if offer == Offer::Dropped {
            return Ok(());
        }
        if state.ending {
            // Nothing is kept of it: the end may be near because there is no room.
            state.unoffered.remove(&header.id);
            drop(state);
            let failure = Failure::new(Status::Cancelled, "this end is about to stop");
            self.0.tools.control.send(Message::Pos(Pos { id: header.id, verdict: Verdict::Refuse(failure) }));
            self.settle();
            return Ok(());
        }
        if header.kind != Kind::Dir {
            self.0.tools.observer.found(&header.path.to_string(), header.size);
        }
        let bytes = OFFER_BYTES + 2 * header.path.as_bytes().len();
        let room = self.0.tools.account.take_for_offer(bytes).ok_or(SessionError::Overloaded)?;
        let planned = state.planned(header.clone())?;
        state.rooms.insert(header.id, room);
        state.files.insert(header.id, File::Planning(planned));
        state.unplanned.push_back(header);
        if !std::mem::replace(&mut state.planning, true) {
            let receiver = self.clone();
            self.0.tools.disk.spawn(move || receiver.plan_some());
        }
        Ok(())
    }

    fn on_tail(&self, tail: Tail) -> Result<(), SessionError> {
        let id = tail.id;
        let mut guard = self.state();
        let state = &mut *guard;
        match state.files.get_mut(&id) {
            Some(File::Open(open)) => open.rules.on_tail(tail)?,
            Some(File::Planning(planned)) if tail.ahead && planned.header.kind == Kind::File => {
                if planned.tail.replace(tail).is_some() {
                    return Err(Violation::SecondTail.into());
                }
                return Ok(());
            }
            // It failed here while the tail was on its way.
            None if id.0 < state.next_id => return Ok(()),
            _ => return Err(SessionError::Order("a tail for a file that is not open")),
        }
        drop(guard);
        self.judge(id);
        Ok(())
    }

    fn on_problem(&self, problem: Problem) {
        if !self.state().anew.on_problem(&problem.name) {
            return;
        }
        let name = escape(&problem.name).to_string();
        self.0.tools.observer.failed(name, problem.failure);
        self.settle();
    }

    fn on_cancel(&self, cancel: Done) -> Result<(), SessionError> {
        let mut state = self.state();
        if cancel.id.0 >= state.next_id {
            return Err(SessionError::Order("a cancel for a file that was never offered"));
        }
        let failure = cancel.failure.unwrap_or_else(|| Failure::new(Status::Cancelled, "its sender gave it up"));
        let is_changed = failure.status == Status::Changed;
        if !matches!(state.files.get(&cancel.id), Some(File::Committing(_))) {
            state.rooms.remove(&cancel.id);
        }
        let path = match state.files.remove(&cancel.id) {
            Some(File::Open(open)) => {
                open.io.give_up();
                let path = open.path.clone();
                // Its part is closed, which is nothing for a network thread.
                self.0.tools.disk.spawn(move || drop(open));
                path
            }
            Some(File::Planning(planned)) => planned.header.path,
            // It is complete and right: its `Done` is as good as said.
            Some(committing @ File::Committing(_)) => {
                state.files.insert(cancel.id, committing);
                return Ok(());
            }
            None => {
                if is_changed {
                    state.anew.on_changed_settled();
                }
                return Ok(());
            }
        };
        let failed = if is_changed { state.anew.on_changed(path, failure) } else { Some((path, failure)) };
        drop(state);
        if let Some((path, failure)) = failed {
            self.0.tools.observer.failed(path.to_string(), failure);
        }
        self.release(cancel.id);
        self.settle();
        Ok(())
    }

    fn on_offered(&self) -> Result<(), SessionError> {
        let mut state = self.state();
        if state.end.is_some() || std::mem::replace(&mut state.offered, true) {
            return Err(SessionError::Order("all is on offer, which was known"));
        }
        drop(state);
        self.0.tools.observer.scan_ended();
        Ok(())
    }

    fn on_end(&self, end: End) -> Result<(), SessionError> {
        let mut state = self.state();
        if state.end.replace(end).is_some() {
            return Err(SessionError::Order("a second end"));
        }
        if !state.unoffered.is_empty() {
            return Err(SessionError::Order("content for a file that was never offered"));
        }
        let failed = state.anew.on_end();
        drop(state);
        for (path, failure) in failed {
            self.0.tools.observer.failed(path.to_string(), failure);
        }
        self.0.tools.observer.scan_ended();
        self.settle();
        Ok(())
    }
}
