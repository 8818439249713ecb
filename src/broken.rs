//! Rules that a test breaks on purpose, so that what looks for losses is seen to find some.
//!
//! A whole program breaks those that its environment names, only with the feature `testing`, which no build but that of the
//! tests has: without it nothing here looks at the environment, and no rule can be broken. The simulator, which is a unit
//! test, breaks one at a time on its own thread.

/// Names the rules that are to be broken, as in `compare-digests`, separated by commas.
#[cfg(all(feature = "testing", not(test)))]
const VARIABLE: &str = "QFT_TEST_BREAK";

/// A rule that losses come of, or jobs without an end, when it is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BreakableRule {
    /// The names in a directory are synced before anybody relies on them.
    SyncDirectories,
    /// What is there is the same only when size and time are.
    SkipByStamp,
    /// What is there already is made as durable as what is sent.
    SkipDurably,
    /// Digests are compared.
    CompareDigests,
    /// Content is on the disk before it gets its name.
    ContentBeforeName,
    /// What exists is replaced only by whoever may.
    ExistingIsKept,
    /// What a part holds beyond the start of the content is cut off.
    PartIsCutToStart,
    /// An old version that changed since it was compared is compared again.
    OldVersionIsLookedAtAgain,
    /// One whose next change might not show is compared again, whatever its times say.
    OldVersionIsAtRest,
    /// The names of directories that were there before are synced, too.
    DirectoriesAreNoted,
    /// Names that the disk takes for one are told apart.
    NamesAreToldApart,
    /// A source that has just changed is given time, so that its next change is seen.
    SourceIsAtRest,
    /// A source is looked at again when all of it was read.
    SourceIsLookedAtAgain,
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
    static BROKEN: std::cell::Cell<Option<BreakableRule>> = const { std::cell::Cell::new(None) };
}

#[cfg(test)]
impl BreakableRule {
    /// Breaks a rule on this thread, or none any more.
    pub(crate) fn set_broken(rule: Option<Self>) {
        BROKEN.set(rule);
    }

    /// Whether it is broken on this thread.
    pub(crate) fn is_broken(self) -> bool {
        BROKEN.get() == Some(self)
    }
}

#[cfg(all(feature = "testing", not(test)))]
impl BreakableRule {
    /// Whether this process does not keep it.
    pub(crate) fn is_broken(self) -> bool {
        static BROKEN: std::sync::OnceLock<String> = std::sync::OnceLock::new();
        let broken = BROKEN.get_or_init(|| std::env::var(VARIABLE).unwrap_or_default());
        !broken.is_empty() && broken.split(',').any(|rule| rule == self.name())
    }

    fn name(self) -> String {
        let mut name = String::new();
        for letter in format!("{self:?}").chars() {
            if letter.is_ascii_uppercase() && !name.is_empty() {
                name.push('-');
            }
            name.push(letter.to_ascii_lowercase());
        }
        name
    }
}

#[cfg(not(any(feature = "testing", test)))]
impl BreakableRule {
    pub(crate) const fn is_broken(self) -> bool {
        false
    }
}
