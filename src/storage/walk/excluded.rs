//! The names that filters leave out of a walk, and whether anything was left.

use super::super::filter::Filters;
use super::WalkEntry;
use crate::protocol::path::{WirePath, escape};

/// The remedy where a directory is left out in which a pattern would keep something.
const KEEP_DIRECTORIES: &str = ", and nothing below it is looked at (--include '*/' keeps directories)";

/// The filters of a walk, and what they have done.
#[derive(Debug)]
pub(super) struct Excluded {
    filters: Filters,
    so_far: SoFar,
}

#[derive(Debug)]
enum SoFar {
    Nothing,
    /// All there was; this is what was left out first, and why.
    Everything(String),
    Some,
}

impl Excluded {
    pub(super) fn by(filters: Filters) -> Self {
        Self { filters, so_far: SoFar::Nothing }
    }

    /// Whether a name is left out.
    pub(super) fn leaves_out(&mut self, name: &WirePath, is_dir: bool) -> bool {
        let Some(why) = self.filters.why_left_out(name, is_dir) else { return false };
        if matches!(self.so_far, SoFar::Nothing) {
            let hint = if is_dir && self.filters.keep_some() { KEEP_DIRECTORIES } else { "" };
            self.so_far = SoFar::Everything(format!("{name} by '{}'{hint}", escape(why.as_bytes())));
        }
        true
    }

    /// Something is found that is no directory.
    pub(super) fn let_pass(&mut self) {
        self.so_far = SoFar::Some;
    }

    /// At the end: that nothing was left. Once.
    pub(super) fn conclusion(&mut self) -> Option<WalkEntry> {
        match std::mem::replace(&mut self.so_far, SoFar::Some) {
            SoFar::Everything(what) => Some(WalkEntry::Note(format!("everything was excluded: {what}"))),
            SoFar::Nothing | SoFar::Some => None,
        }
    }
}
