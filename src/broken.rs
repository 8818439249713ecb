//! Rules that a test breaks on purpose, so that what looks for losses is seen to find some.
//!
//! Only with the feature `testing`, which no build but that of the tests has: without it nothing here looks at the
//! environment, and no rule can be broken.

/// Names the rules that are to be broken, separated by commas.
#[cfg(feature = "testing")]
const VARIABLE: &str = "QFT_TEST_BREAK";

/// A rule that losses come of when it is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// The names in a directory are synced before anybody relies on them.
    SyncDirectories,
    /// What is there is the same only when size and time are.
    SkipByStamp,
    /// What is there already is made as durable as what is sent.
    SkipDurably,
    /// Digests are compared.
    CompareDigests,
}

#[cfg(feature = "testing")]
impl Rule {
    /// Whether this process does not keep it.
    pub(crate) fn is_broken(self) -> bool {
        static BROKEN: std::sync::OnceLock<String> = std::sync::OnceLock::new();
        let broken = BROKEN.get_or_init(|| std::env::var(VARIABLE).unwrap_or_default());
        let name = match self {
            Self::SyncDirectories => "sync-directories",
            Self::SkipByStamp => "skip-by-stamp",
            Self::SkipDurably => "skip-durably",
            Self::CompareDigests => "compare-digests",
        };
        broken.split(',').any(|rule| rule == name)
    }
}

#[cfg(not(feature = "testing"))]
impl Rule {
    /// No process does.
    pub(crate) const fn is_broken(self) -> bool {
        false
    }
}
