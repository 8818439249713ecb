//! The names that a job has settled over all its connections: a file that is done is neither offered nor asked for
//! again, and nothing counts twice.

use super::names::Names;

/// The names of a job, as their sources have them, and what became of each.
#[derive(Debug, Default)]
pub(crate) struct Settled(Names<Known>);

/// The state of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// It is part of the job.
    Found,
    /// It is settled over the present connection, and so; it may be offered again over this one, changed.
    Now(Outcome),
    /// It was settled over an earlier connection.
    Before(Outcome),
}

/// How a name was settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is there, or need not be.
    Done,
    /// It failed.
    Failed,
}

impl Settled {
    /// A file is part of the job: whether that is news. What there is no room to remember is news each time.
    pub(crate) fn find(&mut self, name: &[u8]) -> bool {
        let Some(known) = self.0.entry(name) else { return true };
        let is_news = known.is_none();
        known.get_or_insert(Known::Found);
        is_news
    }

    /// A name is settled: whether that is news.
    pub(crate) fn settle(&mut self, name: &[u8], outcome: Outcome) -> bool {
        let Some(known) = self.0.entry(name) else { return true };
        let is_news = matches!(known, None | Some(Known::Found));
        *known = Some(match *known {
            Some(Known::Before(before)) => Known::Before(before),
            Some(Known::Now(_) | Known::Found) | None => Known::Now(outcome),
        });
        is_news
    }

    /// Whether a name is settled, so that it need not be offered over another connection.
    pub(crate) fn is_settled(&self, name: &[u8]) -> bool {
        matches!(self.0.get(name), Some(Known::Now(_) | Known::Before(_)))
    }

    /// Whether an earlier connection has brought a name, or found that it need not be: what is offered is not asked for.
    pub(crate) fn was_done_before(&self, name: &[u8]) -> bool {
        self.0.get(name) == Some(&Known::Before(Outcome::Done))
    }

    /// The present connection is lost.
    pub(crate) fn on_connection_lost(&mut self) {
        for known in self.0.values_mut() {
            if let Known::Now(outcome) = *known {
                *known = Known::Before(outcome);
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
        assert!(settled.find(b"a") && !settled.find(b"a"));
        assert!(settled.settle(b"a", Outcome::Done) && settled.settle(b"b", Outcome::Failed));
        assert!(!settled.was_done_before(b"a"), "it may be offered again, changed");
        assert!(settled.is_settled(b"a") && settled.is_settled(b"b") && !settled.is_settled(b"c"));
        settled.on_connection_lost();
        assert_eq!([b"a", b"b", b"c"].map(|name| settled.was_done_before(name)), [true, false, false]);
        assert!(settled.is_settled(b"b"));
    }

    #[test]
    fn nothing_is_settled_twice_and_what_came_last_over_a_connection_holds() {
        let mut settled = Settled::default();
        assert!(settled.settle(b"a", Outcome::Failed));
        assert!(!settled.settle(b"a", Outcome::Done), "it was offered again before the end");
        settled.on_connection_lost();
        assert!(settled.was_done_before(b"a"));
        assert!(!settled.settle(b"a", Outcome::Failed), "said late, by a thread of the connection that is lost");
        assert!(settled.was_done_before(b"a"));
        assert!(!settled.find(b"a"));
    }

    #[test]
    fn two_names_are_never_taken_for_one() {
        let mut settled = Settled::default();
        for name in ["a", "b/a", "a/b", "ab", "a/", "/a"] {
            assert!(settled.find(name.as_bytes()) && settled.settle(name.as_bytes(), Outcome::Done), "{name}");
        }
    }
}
