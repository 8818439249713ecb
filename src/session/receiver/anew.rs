//! Files that their sender gave up because they changed: each is offered anew, or said to be a problem.
//!
//! After the end nothing else may be offered. What two honest ends say then may cross:
//!
//! | we say | the sender has said | what holds |
//! |---|---|---|
//! | `Done(failure)` | `Tail`, `Cancel` | the file is settled, what comes for it is dropped |
//! | `Done(failure)` | `Cancel(Changed)` and a header or a problem | the same, and that goes with it: see below |
//! | `Done(failure)` and `Settled` | any of these | the same: nothing that we dropped is left to settle |
//! | `Done` without a failure | only a `Tail`, before it | a sender that has closed a file does not give it up |
//! | `Pos`, `Have` | `Cancel` and all that follows it | the sender drops them; the new offer has its own |
//! | `GoAway` | a header | it is refused like any that has not begun |
//!
//! The new offer that crosses our failure cannot be taken: with the last failure we may have said `Settled`, which is final.
//! So we drop it without an answer, and the sender, which hears the failure of the first offer, takes it for that of both.
//! Neither needs to know which word was first. Before the end a failed file may be offered again like any other.

use std::collections::HashMap;

use crate::protocol::message::Failure;
use crate::protocol::path::WirePath;
use crate::protocol::{AHEAD_FILES_MAX, OFFERS_MAX};
use crate::session::SessionError;

/// Most files whose new offer is awaited before the end. A sender offers them anew at once, so few are ever waiting.
const AWAITED_MAX: usize = 1024;

/// Most offers after the end: only a file whose tail went ahead can still be found changed.
const OFFERS_AFTER_END_MAX: usize = AHEAD_FILES_MAX * (OFFERS_MAX as usize - 1);

/// What is to be offered anew, and what may be after the end.
#[derive(Debug, Default)]
pub(super) struct Anew {
    /// What is left of them at the end has failed; what comes here after the end is waited for.
    awaited: HashMap<WirePath, Failure>,
    /// A file has failed here before its sender had closed it.
    failed: bool,
    /// The next offer or problem goes with a cancel that crossed such a failure.
    crossed: bool,
    ended: bool,
    offers_after_end: usize,
}

/// What becomes of an offer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Offer {
    /// It is to be answered.
    Taken,
    /// It crossed our failure of the same file and gets no answer.
    Dropped,
}

impl Anew {
    /// A file that its sender had not closed has failed here.
    pub(super) fn on_failed(&mut self) {
        self.failed = true;
    }

    /// A file was given up because it changed. What is returned is awaited in vain, for want of room.
    pub(super) fn on_changed(&mut self, path: WirePath, failure: Failure) -> Option<(WirePath, Failure)> {
        // After the end nothing is offered but what is awaited, so that cannot become more.
        if !self.ended && self.awaited.len() >= AWAITED_MAX {
            return Some((path, failure));
        }
        self.awaited.insert(path, failure);
        None
    }

    /// A file that is settled here was given up because it changed.
    pub(super) fn on_changed_settled(&mut self) {
        self.crossed = self.ended && self.failed;
    }

    /// A file is offered.
    ///
    /// # Errors
    /// After the end: that it is not offered anew, or that too many were.
    pub(super) fn on_offer(&mut self, path: &WirePath) -> Result<Offer, SessionError> {
        let awaited = self.awaited.remove(path).is_some();
        if !self.ended {
            return Ok(Offer::Taken);
        }
        let crossed = std::mem::take(&mut self.crossed);
        if !awaited && !crossed {
            return Err(SessionError::Order("a file offered after the end"));
        }
        self.offers_after_end += 1;
        if self.offers_after_end > OFFERS_AFTER_END_MAX {
            return Err(SessionError::Order("files offered anew without end"));
        }
        Ok(if awaited { Offer::Taken } else { Offer::Dropped })
    }

    /// A name failed: whether that is news. What crossed our failure is not.
    pub(super) fn on_problem(&mut self, name: &[u8]) -> bool {
        let awaited = WirePath::parse(name).is_ok_and(|path| self.awaited.remove(&path).is_some());
        let crossed = std::mem::take(&mut self.crossed);
        awaited || !crossed
    }

    /// The end was said. What is returned was awaited in vain.
    pub(super) fn on_end(&mut self) -> HashMap<WirePath, Failure> {
        self.ended = true;
        std::mem::take(&mut self.awaited)
    }

    /// Whether something is awaited.
    pub(super) fn is_awaited(&self) -> bool {
        !self.awaited.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::message::Status;

    fn path(name: &str) -> WirePath {
        WirePath::parse(name.as_bytes()).unwrap()
    }

    fn changed() -> Failure {
        Failure::new(Status::Changed, "it changed")
    }

    fn ended() -> Anew {
        let mut anew = Anew::default();
        assert!(anew.on_end().is_empty());
        anew
    }

    #[test]
    fn before_the_end_anything_may_be_offered_and_what_is_awaited_has_failed_at_the_end() {
        let mut anew = Anew::default();
        for name in ["a", "b"] {
            assert_eq!(anew.on_changed(path(name), changed()), None);
        }
        for name in ["a", "a", "c"] {
            assert_eq!(anew.on_offer(&path(name)).unwrap(), Offer::Taken);
        }
        assert_eq!(anew.on_end(), HashMap::from([(path("b"), changed())]));
        assert!(!anew.is_awaited());
    }

    #[test]
    fn few_are_awaited_before_the_end() {
        let mut anew = Anew::default();
        for n in 0..AWAITED_MAX {
            assert_eq!(anew.on_changed(path(&n.to_string()), changed()), None);
        }
        assert_eq!(anew.on_changed(path("one more"), changed()), Some((path("one more"), changed())));
    }

    #[test]
    fn after_the_end_each_is_awaited_once() {
        let mut anew = ended();
        assert_eq!(anew.on_changed(path("a"), changed()), None);
        assert!(anew.is_awaited());
        assert_eq!(anew.on_offer(&path("a")).unwrap(), Offer::Taken);
        assert!(!anew.is_awaited());
        assert!(anew.on_offer(&path("a")).is_err());
    }

    #[test]
    fn what_crosses_a_failure_after_the_end_is_dropped_with_it() {
        let mut anew = ended();
        anew.on_changed_settled();
        assert!(anew.on_offer(&path("a")).is_err(), "nothing has failed here");
        anew.on_failed();
        assert!(anew.on_offer(&path("a")).is_err(), "nothing has changed there");
        anew.on_changed_settled();
        assert_eq!(anew.on_offer(&path("a")).unwrap(), Offer::Dropped);
        assert!(anew.on_offer(&path("b")).is_err(), "one for each");
        anew.on_changed_settled();
        assert!(!anew.on_problem(b"a"));
        assert!(anew.on_problem(b"b"), "one for each");
    }
}
