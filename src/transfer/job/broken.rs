//! Rules of a job that a simulation breaks on purpose, to see that it finds out. No build but that of the unit tests can.

/// A rule of the ledgers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// A new offer that crosses our failure of the old one is dropped.
    CrossedOfferIsDropped,
    /// The sender takes the failure of an offer for that of the new one that crossed it.
    FailureIsOfBothOffers,
    /// The job is not settled while a file is to be offered again.
    ReofferIsAwaited,
    /// The job is not settled while a file is not.
    FilesAreAwaited,
    /// A tail that went ahead counts only for a file that is wanted whole.
    EarlyTailIsOfWholeFile,
    /// Digests of what is there are said.
    DigestsAreSaid,
}

#[cfg(test)]
thread_local! {
    static BROKEN: std::cell::Cell<Option<Rule>> = const { std::cell::Cell::new(None) };
}

#[cfg(test)]
impl Rule {
    /// Breaks a rule on this thread, or none any more.
    pub(super) fn set_broken(rule: Option<Self>) {
        BROKEN.set(rule);
    }

    /// Whether it is broken on this thread.
    pub(super) fn is_broken(self) -> bool {
        BROKEN.get() == Some(self)
    }
}

#[cfg(not(test))]
impl Rule {
    /// None is.
    pub(super) const fn is_broken(self) -> bool {
        false
    }
}
