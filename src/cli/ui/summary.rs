//! The last lines of a job: what was done, and what was not.

use std::time::Duration;

use super::model::Snapshot;
use super::tally::EventTally;
use super::text::cause;
use crate::cli::text::size;
use crate::cli::text::verb::Verb;
use crate::progress::JobReport;

/// Failures that the final block names; the rest is a number.
const FAILURES_SHOWN: usize = 20;

/// The final block of a job that ran to its end.
pub(crate) fn block(verb: Verb, report: &JobReport, tally: EventTally, dry_run: bool) -> Vec<String> {
    let mut lines = vec![if dry_run { planned(verb, report, tally) } else { done(verb, report, tally) }];
    let named = report.failures.len().min(FAILURES_SHOWN);
    for (name, failure) in &report.failures[..named] {
        lines.push(format!("  failed: {name}: {}", cause(failure)));
    }
    let more = report.failed.saturating_sub(named as u64);
    if more > 0 {
        lines.push(format!("  ... {} more", size::count(more)));
    }
    lines
}

/// `sent 9,998 files, updated 2, 127.9 GiB in 22m14s (98 MiB/s), 7.9 GiB resumed, 2 unchanged, all verified`.
fn done(verb: Verb, report: &JobReport, tally: EventTally) -> String {
    let done = report.done.saturating_sub(tally.made + tally.equal);
    let unchanged = report.skipped.saturating_sub(tally.kept + tally.modes) + tally.equal;
    if done == 0 && report.failed == 0 {
        return nothing(verb, unchanged, tally);
    }
    let mut parts = vec![files(verb, done.saturating_sub(tally.updated), tally.updated, report.failed), moved(report)];
    for (bytes, what) in
        [(tally.resumed_bytes, "resumed"), (tally.matched_bytes, "were there"), (tally.hole_bytes, "of holes")]
    {
        if bytes > 0 {
            parts.push(format!("{} {what}", size::bytes(bytes)));
        }
    }
    parts.extend(skipped(unchanged, tally));
    match report.failed {
        0 => parts.push("all verified".to_owned()),
        failed => parts.push(format!("{} failed", size::count(failed))),
    }
    parts.join(", ")
}

/// `sent 9 files, updated 2`; of how many only where some failed.
fn files(verb: Verb, sent: u64, updated: u64, failed: u64) -> String {
    let whole = match failed {
        0 => size::files(sent),
        failed => format!("{} of {}", size::count(sent), size::files(sent + updated + failed)),
    };
    match (sent, updated) {
        (_, 0) => format!("{} {whole}", verb.past()),
        (0, updated) if failed == 0 => format!("updated {}", size::files(updated)),
        (_, updated) => format!("{} {whole}, updated {}", verb.past(), size::count(updated)),
    }
}

/// The bytes that crossed the wire, and their rate.
fn moved(report: &JobReport) -> String {
    if report.bytes_written == 0 {
        return "0 B".to_owned();
    }
    let (bytes, time) = (size::bytes(report.bytes_written), size::span(report.elapsed));
    let rate = size::rate(mean(report.bytes_written, report.elapsed));
    format!("{bytes} in {time} ({rate})")
}

fn nothing(verb: Verb, unchanged: u64, tally: EventTally) -> String {
    let mut parts = vec![format!("nothing to {}", verb.present())];
    parts.extend(skipped(unchanged, tally));
    if tally.made > 0 {
        let links = if tally.made == 1 { "link" } else { "links" };
        parts.push(format!("{} {links} in place", size::count(tally.made)));
    }
    parts.join(", ")
}

fn skipped(unchanged: u64, EventTally { kept, modes, .. }: EventTally) -> Vec<String> {
    let mut parts = Vec::new();
    if modes > 0 {
        parts.push(format!("permissions of {}", size::files(modes)));
    }
    if unchanged > 0 {
        parts.push(format!("{} unchanged", size::count(unchanged)));
    }
    if kept > 0 {
        let these = if kept == 1 { "it is" } else { "they are" };
        parts.push(format!("{} left as {these} there", size::count(kept)));
    }
    parts
}

fn planned(verb: Verb, report: &JobReport, tally: EventTally) -> String {
    let kinds =
        [(tally.planned, verb.present()), (tally.planned_updates, "update"), (tally.planned_compares, "compare")];
    let mut named: Vec<_> = kinds.into_iter().filter(|(count, _)| *count > 0).collect();
    if named.is_empty() {
        named.push((0, verb.present()));
    }
    let mut text = "would".to_owned();
    for (n, (count, what)) in named.iter().enumerate() {
        let (comma, files) = if n == 0 { ("", size::files(*count)) } else { (",", size::count(*count)) };
        text.push_str(&format!("{comma} {what} {files}"));
    }
    text.push_str(&format!(", {}", size::bytes(tally.planned_bytes.saturating_sub(tally.planned_there))));
    if tally.planned_there > 0 {
        text.push_str(&format!(" ({} are there)", size::bytes(tally.planned_there)));
    }
    let mut parts = vec![text];
    parts.extend(skipped(tally.same, tally));
    if report.failed > 0 {
        parts.push(format!("{} would fail", size::count(report.failed)));
    }
    parts.join(", ")
}

/// The line of a job that the user stopped.
pub(crate) fn stopped(verb: Verb, look: &Snapshot) -> String {
    let part = match look.scan_ended {
        true => format!("{}% {}", look.percent(), verb.past()),
        false => format!("{} {}", size::bytes(look.bytes_written), verb.past()),
    };
    format!("stopped: {part}; the same command continues")
}

/// Bytes per second over a whole job.
pub(crate) fn mean(bytes: u64, elapsed: Duration) -> f64 {
    match elapsed.is_zero() {
        true => 0.0,
        false => bytes as f64 / elapsed.as_secs_f64(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::message::{Failure, Status};

    fn failures(count: usize) -> Vec<(String, Failure)> {
        (0..count).map(|i| (format!("f{i}"), Failure { status: Status::NoSpace, detail: String::new() })).collect()
    }

    fn report() -> JobReport {
        JobReport {
            done: 9_998,
            skipped: 2,
            bytes_written: 137_331_580_000,
            bytes_resumed: 8_482_560_410,
            elapsed: Duration::from_secs(1334),
            ..JobReport::default()
        }
    }

    #[test]
    fn everything_is_in_one_line() {
        let tally = EventTally { same: 2, resumed_bytes: 8_482_560_410, ..EventTally::default() };
        let lines = block(Verb::Send, &report(), tally, false);
        assert_eq!(
            lines,
            ["sent 9,998 files, 127.9 GiB in 22m14s (98 MiB/s), 7.9 GiB resumed, 2 unchanged, all verified"]
        );
    }

    #[test]
    fn what_was_updated_is_told_from_what_was_sent_and_from_what_failed() {
        let report =
            JobReport { done: 5, bytes_written: 2048, elapsed: Duration::from_secs(1), ..JobReport::default() };
        let tally = EventTally { updated: 2, matched_bytes: 3 << 20, ..EventTally::default() };
        let line = |report: &JobReport, tally| block(Verb::Send, report, tally, false).remove(0);
        let rest = "2.0 KiB in 1.0s (2.0 KiB/s), 3.0 MiB were there, all verified";
        assert_eq!(line(&report, tally), format!("sent 3 files, updated 2, {rest}"));
        assert_eq!(line(&report, EventTally { updated: 5, ..tally }), format!("updated 5 files, {rest}"));
        let failed = JobReport { failed: 1, ..report };
        assert!(line(&failed, tally).starts_with("sent 3 of 6 files, updated 2, 2.0 KiB"), "{}", line(&failed, tally));
        let hollow = JobReport { done: 1, ..JobReport::default() };
        let tally = EventTally { hole_bytes: 2 << 30, ..EventTally::default() };
        assert_eq!(line(&hollow, tally), "sent 1 file, 0 B, 2.0 GiB of holes, all verified");
    }

    #[test]
    fn what_did_not_happen_is_not_mentioned() {
        let report =
            JobReport { done: 1, bytes_written: 2048, elapsed: Duration::from_millis(500), ..JobReport::default() };
        assert_eq!(
            block(Verb::Get, &report, EventTally::default(), false),
            ["got 1 file, 2.0 KiB in 0.5s (4.0 KiB/s), all verified"]
        );
    }

    #[test]
    fn directories_count_as_done_but_are_no_files() {
        let report = JobReport { done: 8, skipped: 1, bytes_written: 2048, ..report() };
        let lines = block(Verb::Send, &report, EventTally { made: 2, same: 1, ..EventTally::default() }, false);
        assert!(lines[0].starts_with("sent 6 files, 2.0 KiB"), "{}", lines[0]);
    }

    #[test]
    fn what_was_compared_and_found_equal_is_unchanged() {
        let report = JobReport { done: 5, skipped: 1, bytes_resumed: 99, ..JobReport::default() };
        let lines = block(Verb::Send, &report, EventTally { equal: 5, same: 1, ..EventTally::default() }, false);
        assert_eq!(lines, ["nothing to send, 6 unchanged"]);
    }

    #[test]
    fn nothing_to_do_is_said_so() {
        let report = JobReport { done: 3, skipped: 9, ..JobReport::default() };
        let tally = EventTally { same: 8, kept: 1, made: 3, ..EventTally::default() };
        assert_eq!(
            block(Verb::Send, &report, tally, false),
            ["nothing to send, 8 unchanged, 1 left as it is there, 3 links in place"]
        );
    }

    #[test]
    fn at_most_twenty_failures_are_named() {
        let report = JobReport { done: 1, failed: 1500, failures: failures(1000), ..report() };
        let lines = block(Verb::Send, &report, EventTally::default(), false);
        assert_eq!(lines.len(), 22);
        assert!(lines[0].ends_with("1,500 failed"), "{}", lines[0]);
        assert!(!lines[0].contains("verified"));
        assert!(lines[1].starts_with("  failed: f0: no space left"));
        assert_eq!(lines[21], "  ... 1,480 more");
    }

    #[test]
    fn a_dry_run_speaks_of_what_would_be() {
        let report = JobReport { failed: 1, failures: failures(1), ..JobReport::default() };
        let tally =
            EventTally { planned: 3, planned_bytes: 3 << 20, planned_there: 1 << 20, same: 4, ..EventTally::default() };
        let lines = block(Verb::Send, &report, tally, true);
        assert_eq!(lines[0], "would send 3 files, 2.0 MiB (1.0 MiB are there), 4 unchanged, 1 would fail");
        let tally = EventTally { planned_updates: 2, planned_compares: 1, ..tally };
        let lines = block(Verb::Send, &JobReport::default(), tally, true);
        assert_eq!(lines[0], "would send 3 files, update 2, compare 1, 2.0 MiB (1.0 MiB are there), 4 unchanged");
        let tally =
            EventTally { planned_compares: 1, planned_bytes: 2 << 20, planned_there: 2 << 20, ..EventTally::default() };
        assert_eq!(
            block(Verb::Get, &JobReport::default(), tally, true),
            ["would compare 1 file, 0 B (2.0 MiB are there)"]
        );
    }

    #[test]
    fn no_time_is_no_division_by_zero() {
        assert_eq!(mean(5, Duration::ZERO), 0.0);
    }
}
