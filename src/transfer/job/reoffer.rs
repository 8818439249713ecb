//! Files that their sender gave up because they changed: each is offered again, or said to be a problem.
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
use crate::protocol::{EARLY_FILES_MAX, OFFERS_MAX};
use crate::transfer::job::JobError;

/// Most files whose new offer is awaited before the end. A sender offers them again at once, so few are ever waiting.
const AWAITED_MAX: usize = 1024;

/// Most offers after the end: only a file whose tail went ahead can still be found changed.
const OFFERS_AFTER_END_MAX: usize = EARLY_FILES_MAX * (OFFERS_MAX as usize - 1);

/// Files that their sender gave up because they changed and will offer again, and how many offers may follow the end.
#[derive(Debug)]
pub(crate) struct Reoffers<R> {
    /// Files whose new offer is awaited. Those left at the end have failed; those added after the end are waited for.
    /// Each keeps the room of its first offer, which is enough for its name and its failure.
    awaited: HashMap<WirePath, (Failure, R)>,
    crossing: Crossing,
    /// `None` before the end.
    offers_after_end: Option<usize>,
}

/// Whether a new offer may have crossed a failure of ours.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Crossing {
    /// No file has failed here before its sender had closed it.
    #[default]
    Impossible,
    /// One has.
    Possible,
    /// The next offer or problem goes with a cancel that crossed such a failure.
    Next,
}

/// How an offer is to be treated.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reoffer {
    /// It is to be answered.
    Taken,
    /// It crossed our failure of the same file and gets no answer.
    Dropped,
}

impl<R> Default for Reoffers<R> {
    fn default() -> Self {
        Self { awaited: HashMap::new(), crossing: Crossing::default(), offers_after_end: None }
    }
}

impl<R> Reoffers<R> {
    /// A file that its sender had not closed has failed here.
    pub(crate) fn on_failed(&mut self) {
        if self.crossing == Crossing::Impossible {
            self.crossing = Crossing::Possible;
        }
    }

    /// A file was given up because it changed; `room` is what its offer took. What is returned is awaited in vain: too many
    /// are.
    pub(crate) fn on_changed(&mut self, path: WirePath, failure: Failure, room: R) -> Option<(WirePath, Failure)> {
        // After the end nothing is offered but what is awaited, so that cannot become more.
        if self.offers_after_end.is_none() && self.awaited.len() >= AWAITED_MAX {
            return Some((path, failure));
        }
        self.awaited.insert(path, (failure, room));
        None
    }

    /// A file that is settled here was given up because it changed.
    pub(crate) fn on_changed_settled(&mut self) {
        if self.offers_after_end.is_some() && self.crossing == Crossing::Possible {
            self.crossing = Crossing::Next;
        }
    }

    /// A file is offered.
    ///
    /// # Errors
    /// After the end: that it is not offered again, or that too many were.
    pub(crate) fn on_offer(&mut self, path: &WirePath) -> Result<Reoffer, JobError> {
        // Mostly none is awaited, and then no name need be hashed.
        let awaited = !self.awaited.is_empty() && self.awaited.remove(path).is_some();
        let crossed = self.has_crossed();
        let Some(offers) = &mut self.offers_after_end else { return Ok(Reoffer::Taken) };
        if !awaited && !crossed {
            return Err(JobError::Order("a file offered after the end"));
        }
        *offers += 1;
        if *offers > OFFERS_AFTER_END_MAX {
            return Err(JobError::Order("files offered anew without end"));
        }
        Ok(if awaited { Reoffer::Taken } else { Reoffer::Dropped })
    }

    /// A name failed: whether that is news. What crossed our failure is not.
    pub(crate) fn on_problem(&mut self, name: &[u8]) -> bool {
        let awaited = WirePath::parse(name).is_ok_and(|path| self.awaited.remove(&path).is_some());
        let crossed = self.has_crossed();
        awaited || !crossed
    }

    /// The end was said. What is returned was awaited in vain.
    pub(crate) fn on_end(&mut self) -> HashMap<WirePath, (Failure, R)> {
        self.offers_after_end = Some(0);
        std::mem::take(&mut self.awaited)
    }

    /// Whether what comes now goes with a cancel that crossed a failure; nothing more does then.
    fn has_crossed(&mut self) -> bool {
        let has_crossed = self.crossing == Crossing::Next;
        if has_crossed {
            self.crossing = Crossing::Possible;
        }
        has_crossed
    }

    /// Whether something is awaited.
    pub(crate) fn is_awaited(&self) -> bool {
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

    fn ended() -> Reoffers<()> {
        let mut reoffers = Reoffers::default();
        assert!(reoffers.on_end().is_empty());
        reoffers
    }

    #[test]
    fn before_the_end_anything_may_be_offered_and_what_is_awaited_has_failed_at_the_end() {
        let mut reoffers = Reoffers::default();
        for name in ["a", "b"] {
            assert_eq!(reoffers.on_changed(path(name), changed(), ()), None);
        }
        for name in ["a", "a", "c"] {
            assert_eq!(reoffers.on_offer(&path(name)).unwrap(), Reoffer::Taken);
        }
        assert_eq!(reoffers.on_end(), HashMap::from([(path("b"), (changed(), ()))]));
        assert!(!reoffers.is_awaited());
    }

    #[test]
    fn few_are_awaited_before_the_end() {
        let mut reoffers = Reoffers::default();
        for n in 0..AWAITED_MAX {
            assert_eq!(reoffers.on_changed(path(&n.to_string()), changed(), ()), None);
        }
        assert_eq!(reoffers.on_changed(path("one more"), changed(), ()), Some((path("one more"), changed())));
    }

    #[test]
    fn what_is_awaited_keeps_its_room_until_it_is_offered_or_said_to_be_a_problem_or_the_end_is_said() {
        let (mut reoffers, room) = (Reoffers::default(), std::sync::Arc::new(()));
        for name in ["a", "b", "c"] {
            assert_eq!(reoffers.on_changed(path(name), changed(), room.clone()), None);
        }
        let held = || std::sync::Arc::strong_count(&room) - 1;
        assert_eq!(held(), 3);
        assert_eq!(reoffers.on_offer(&path("a")).unwrap(), Reoffer::Taken);
        assert_eq!(held(), 2);
        assert!(reoffers.on_problem(b"b"));
        assert_eq!(held(), 1);
        drop(reoffers.on_end());
        assert_eq!(held(), 0);
    }

    #[test]
    fn after_the_end_each_is_awaited_once() {
        let mut reoffers = ended();
        assert_eq!(reoffers.on_changed(path("a"), changed(), ()), None);
        assert!(reoffers.is_awaited());
        assert_eq!(reoffers.on_offer(&path("a")).unwrap(), Reoffer::Taken);
        assert!(!reoffers.is_awaited());
        assert!(reoffers.on_offer(&path("a")).is_err());
    }

    #[test]
    fn what_crosses_a_failure_after_the_end_is_dropped_with_it() {
        let mut reoffers = ended();
        reoffers.on_changed_settled();
        assert!(reoffers.on_offer(&path("a")).is_err(), "nothing has failed here");
        reoffers.on_failed();
        assert!(reoffers.on_offer(&path("a")).is_err(), "nothing has changed there");
        reoffers.on_changed_settled();
        assert_eq!(reoffers.on_offer(&path("a")).unwrap(), Reoffer::Dropped);
        assert!(reoffers.on_offer(&path("b")).is_err(), "one for each");
        reoffers.on_changed_settled();
        assert!(!reoffers.on_problem(b"a"));
        assert!(reoffers.on_problem(b"b"), "one for each");
    }
}
