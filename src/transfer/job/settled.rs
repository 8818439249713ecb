//! The names that a job has settled over all its connections: a file that is done is neither offered nor asked for
//! again, and nothing counts twice.

use super::names::NameMap;

/// The names of a job, as their sources have them, and what became of each.
#[derive(Debug, Default)]
pub(crate) struct Settled(NameMap<NameState>);

/// The state of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NameState {
    /// It is part of the job.
    Found,
    /// It is settled over the present connection, and so; it may be offered again over this one, changed.
    Now(NameOutcome),
    /// It was settled over an earlier connection.
    Before(NameOutcome),
}

/// How a name was settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NameOutcome {
    /// It is there, or need not be.
    Done,
    Failed,
}

/// What is known of a name that is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NameFound {
    New,
    Known,
    /// It need not be offered over another connection.
    Settled,
}

impl Settled {
    /// A file is part of the job. What there is no room to remember is news each time.
    pub(crate) fn find(&mut self, name: &[u8]) -> NameFound {
        match self.0.update(name, |known| known.unwrap_or(NameState::Found)).flatten() {
            None => NameFound::New,
            Some(NameState::Found) => NameFound::Known,
            Some(NameState::Now(_) | NameState::Before(_)) => NameFound::Settled,
        }
    }

    /// A name is settled: whether that is news.
    pub(crate) fn settle(&mut self, name: &[u8], outcome: NameOutcome) -> bool {
        let before = self.0.update(name, |known| match known {
            Some(NameState::Before(before)) => NameState::Before(before),
            Some(NameState::Now(_) | NameState::Found) | None => NameState::Now(outcome),
        });
        matches!(before, None | Some(None | Some(NameState::Found)))
    }

    /// The same, said by what an earlier connection has left to be done. What was said since holds.
    pub(crate) fn settle_late(&mut self, name: &[u8], outcome: NameOutcome) -> bool {
        let before = self.0.update(name, |known| match known {
            Some(settled @ (NameState::Before(_) | NameState::Now(_))) => settled,
            Some(NameState::Found) | None => NameState::Before(outcome),
        });
        matches!(before, None | Some(None | Some(NameState::Found)))
    }

    /// Whether a name is settled, so that it need not be offered over another connection.
    pub(crate) fn is_settled(&self, name: &[u8]) -> bool {
        matches!(self.0.get(name), Some(NameState::Now(_) | NameState::Before(_)))
    }

    /// Whether an earlier connection has brought a name, or found that it need not be: what is offered is not asked for.
    pub(crate) fn was_done_before(&self, name: &[u8]) -> bool {
        self.0.get(name) == Some(NameState::Before(NameOutcome::Done))
    }

    /// The present connection is lost.
    pub(crate) fn on_connection_lost(&mut self) {
        for known in self.0.values_mut() {
            if let NameState::Now(outcome) = *known {
                *known = NameState::Before(outcome);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_is_known_to_be_only_when_the_connection_is_lost() {
        let mut settled = Settled::default();
        assert_eq!([settled.find(b"a"), settled.find(b"a")], [NameFound::New, NameFound::Known]);
        assert!(settled.settle(b"a", NameOutcome::Done) && settled.settle(b"b", NameOutcome::Failed));
        assert!(!settled.was_done_before(b"a"), "it may be offered again, changed");
        assert!(settled.is_settled(b"a") && settled.is_settled(b"b") && !settled.is_settled(b"c"));
        settled.on_connection_lost();
        assert_eq!([b"a", b"b", b"c"].map(|name| settled.was_done_before(name)), [true, false, false]);
        assert!(settled.is_settled(b"b"));
    }

    #[test]
    fn nothing_is_settled_twice_and_what_came_last_over_a_connection_holds() {
        let mut settled = Settled::default();
        assert!(settled.settle(b"a", NameOutcome::Failed));
        assert!(!settled.settle(b"a", NameOutcome::Done), "it was offered again before the end");
        settled.on_connection_lost();
        assert!(settled.was_done_before(b"a"));
        assert!(!settled.settle(b"a", NameOutcome::Failed), "said late, by a thread of the connection that is lost");
        assert!(settled.was_done_before(b"a"));
        assert_eq!(settled.find(b"a"), NameFound::Settled);
    }

    #[test]
    fn a_late_word_of_an_earlier_connection_counts_unless_the_present_one_has_said_something() {
        let mut settled = Settled::default();
        settled.find(b"a");
        settled.on_connection_lost();
        assert!(settled.settle(b"b", NameOutcome::Failed));
        assert!(settled.settle_late(b"a", NameOutcome::Done) && !settled.settle_late(b"b", NameOutcome::Done));
        assert_eq!([b"a", b"b"].map(|name| settled.was_done_before(name)), [true, false]);
        settled.on_connection_lost();
        assert!(!settled.was_done_before(b"b"), "it was said to have failed");
    }

    #[test]
    fn two_names_are_never_taken_for_one() {
        let mut settled = Settled::default();
        for name in ["a", "b/a", "a/b", "ab", "a/", "/a"] {
            assert_eq!(settled.find(name.as_bytes()), NameFound::New, "{name}");
            assert!(settled.settle(name.as_bytes(), NameOutcome::Done), "{name}");
        }
    }
}
