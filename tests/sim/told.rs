//! What is said of a name.

use crate::progress::Event;
use crate::protocol::message::SkipReason;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    Done,
    Skipped(SkipReason),
    Planned,
    Failed,
}

impl Told {
    /// What an event tells of a name, if it does.
    pub(super) fn of(event: &Event) -> Option<(&str, Self)> {
        Some(match event {
            Event::Finished { file } => (&file.path, Self::Done),
            Event::Skipped { path, reason, .. } => (path, Self::Skipped(*reason)),
            Event::Planned { path, .. } => (path, Self::Planned),
            Event::Failed { path, .. } => (path, Self::Failed),
            _ => return None,
        })
    }
}
