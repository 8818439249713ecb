//! Whether content is worth sending before the other end has asked for it.

use std::sync::atomic::{AtomicBool, Ordering};

use super::TransferOptions;
use crate::protocol::message::IfExists;

/// Whether the content of a job may go ahead of the answers.
pub(super) struct EarlyContent(AtomicBool);

impl EarlyContent {
    /// Content that may be there already, or that is not to be written, is never sent early.
    pub(super) fn of(options: &TransferOptions) -> Self {
        let TransferOptions { if_exists, checksum, dry_run, .. } = *options;
        let replaces = matches!(if_exists, IfExists::Replace | IfExists::Rename);
        Self(AtomicBool::new(replaces && !checksum && !dry_run))
    }

    /// The same for one connection of the job: later ones find there what the first has brought.
    pub(super) fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_goes_ahead_once_and_only_where_it_will_be_wanted() {
        for (if_exists, checksum, dry_run, early) in [
            (IfExists::Replace, false, false, true),
            (IfExists::Rename, false, false, true),
            (IfExists::Skip, false, false, false),
            (IfExists::Fail, false, false, false),
            (IfExists::Replace, true, false, false),
            (IfExists::Replace, false, true, false),
        ] {
            let job = EarlyContent::of(&TransferOptions { if_exists, checksum, dry_run, ..TransferOptions::default() });
            assert_eq!((job.take(), job.take()), (early, false), "{if_exists:?} {checksum} {dry_run}");
        }
    }
}
