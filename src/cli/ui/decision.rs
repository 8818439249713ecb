//! The findings of a dry run, a line for each name.

use super::text::{cause, shown};
use crate::cli::text::size::{self, percent};
use crate::progress::Event;
use crate::protocol::message::{SkipReason, Why};

/// The finding of a dry run for a file whose content would be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DryRunFinding {
    /// Nothing of that name is there.
    New,
    /// It gets another name, since its own is taken.
    Rename,
    /// It replaces what is there.
    Replace,
    /// An unfinished file would be continued.
    Resume,
    /// Its content would be compared with the old version's, and what differs replaced.
    Update,
    /// Its content would be compared, and may be the same.
    Compare,
}

impl DryRunFinding {
    /// `from`: how many of its bytes are there. `steps_aside`: what exists is to stay, under its name.
    pub(crate) fn of(why: Why, from: u64, size: u64, steps_aside: bool) -> Self {
        match why {
            Why::Replace | Why::Update if steps_aside => Self::Rename,
            Why::New => Self::New,
            Why::Replace => Self::Replace,
            Why::Resume => Self::Resume,
            Why::Update if from == size => Self::Compare,
            Why::Update => Self::Update,
        }
    }
}

/// The line of what an event decides; `None` where it decides nothing that is news.
pub(super) fn line(event: &Event, steps_aside: bool) -> Option<String> {
    let (mark, size, path) = match event {
        Event::Planned { path, size, from, why, named } => {
            let mark = mark(DryRunFinding::of(*why, *from, *size, steps_aside), *from, *size);
            let size = size::bytes(*size);
            let named = named.as_ref().map(|name| format!(" -> {}", shown(name))).unwrap_or_default();
            return Some(format!("{mark:<16} {size:>9}  {}{named}", shown(path)));
        }
        Event::Skipped { path, size, reason: SkipReason::Same } => ("= same", Some(*size), path),
        Event::Skipped { path, size, reason: SkipReason::Mode } => ("~ permissions", Some(*size), path),
        // Directories that were made on the way are not reported.
        Event::Skipped { reason: SkipReason::Made, .. } => return None,
        Event::Skipped { path, size, reason: SkipReason::Exists } => ("! exists", Some(*size), path),
        Event::Failed { path, failure, .. } => {
            let (mark, blank) = ("! fails", "");
            return Some(format!("{mark:<16} {blank:>9}  {}: {}", shown(path), cause(failure)));
        }
        _ => return None,
    };
    let size = size.map(size::bytes).unwrap_or_default();
    Some(format!("{mark:<16} {size:>9}  {}", shown(path)))
}

/// The mark of a decision.
fn mark(prospect: DryRunFinding, from: u64, size: u64) -> String {
    let mark = match prospect {
        DryRunFinding::New => "+ new",
        DryRunFinding::Rename => "+ rename",
        DryRunFinding::Replace => "~ replace",
        DryRunFinding::Update => "~ update",
        DryRunFinding::Compare => "? compare",
        DryRunFinding::Resume => return format!("» resume at {}%", percent(from, size)),
    };
    mark.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dry_run_says_what_is_certain() {
        for (why, from, steps_aside, prospect) in [
            (Why::New, 0, false, DryRunFinding::New),
            (Why::New, 0, true, DryRunFinding::New),
            (Why::Replace, 0, false, DryRunFinding::Replace),
            (Why::Replace, 0, true, DryRunFinding::Rename),
            (Why::Resume, 4, false, DryRunFinding::Resume),
            (Why::Update, 4, false, DryRunFinding::Update),
            (Why::Update, 8, false, DryRunFinding::Compare),
        ] {
            assert_eq!(DryRunFinding::of(why, from, 8, steps_aside), prospect, "{why:?} {from}");
        }
    }
}
