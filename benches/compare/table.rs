//! The table, for a terminal of 80 columns.

use std::fmt::Write as _;

use super::counters::{Counters, LATE};
use super::links::LinkSpec;
use super::load::Load;
use super::results::{Cell, Outcome, Results};

/// The tool that the others are compared with.
pub(crate) const OURS: &str = "qft";
/// From here on the machine took part in the figures, and the table says so.
const LATE_PERCENT_MAX: f64 = 1.0;

/// What stands above the rows of one link and load.
pub(crate) fn heading(link: &LinkSpec, load: &Load) -> String {
    format!(
        "{link}: {}\n{:<15}{:>9}{:>9}{:>10}{:>9}{:>8}{:>9}",
        load.title(),
        "",
        "seconds",
        "Mbit/s",
        "of limit",
        "core-s",
        "wire",
        "x qft"
    )
}

/// One row; `ours` is what qft made of the same link and load.
pub(crate) fn row(cell: &Cell, ours: Option<&Cell>) -> String {
    let more = if cell.outcome == Outcome::Done { "" } else { ">" };
    let seconds = format!("{more}{:.2}", cell.seconds);
    let core = cell.core_seconds.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.2}"));
    let ratio = ratio(cell, ours).map_or_else(|| "-".to_owned(), |ratio| format!("{more}{ratio:.1}"));
    let wire = if cell.arrived == 0 { "-".to_owned() } else { format!("{:.3}", cell.wire()) };
    let (mbit, share) = (cell.mbit(), cell.share() * 100.0);
    let mut row = format!("  {:<13}{seconds:>9}{mbit:>9.1}{share:>8.1} %{core:>9}{wire:>8}{ratio:>9}", cell.tool);
    for note in notes(cell) {
        let _ = write!(row, "\n      {note}");
    }
    row
}

/// How many times qft's seconds it took, when qft got done, on the same link, in the same run.
pub(crate) fn ratio(cell: &Cell, ours: Option<&Cell>) -> Option<f64> {
    let ours = ours.filter(|ours| ours.outcome == Outcome::Done && ours.run == cell.run)?;
    Some(cell.seconds / ours.seconds)
}

/// Whether the machine was too busy to keep the link's times.
pub(crate) fn was_busy(cell: &Cell) -> bool {
    [cell.there, cell.back].iter().any(is_late)
}

fn is_late(counters: &Counters) -> bool {
    counters.late_percent > LATE_PERCENT_MAX
}

/// What a reader must know about a row.
fn notes(cell: &Cell) -> Vec<String> {
    let mut notes = Vec::new();
    let arrived = cell.arrived as f64 / f64::from(1 << 20);
    let all = cell.load.bytes() as f64 / f64::from(1 << 20);
    match &cell.outcome {
        Outcome::Done => {}
        Outcome::Stopped => notes.push(format!("stopped; {arrived:.1} of {all:.1} MiB had arrived")),
        Outcome::Failed(why) => notes.push(format!("failed with {arrived:.1} of {all:.1} MiB there: {why}")),
    }
    for (way, counters) in [("there", cell.there), ("back", cell.back)] {
        if is_late(&counters) {
            let (late, max) = (counters.late_percent, counters.late_max_ms);
            notes.push(format!(
                "busy machine: {late:.1} % of packets {way} over {} ms late, one {max:.0} ms",
                LATE.as_millis()
            ));
        }
    }
    if let [shortest, .., longest] = cell.all_seconds[..] {
        notes.push(format!("{} runs, {shortest:.2} to {longest:.2} s", cell.all_seconds.len()));
    }
    notes
}

/// The pairs of link and load that were measured, in their order.
pub(crate) fn pairs(results: &Results) -> Vec<(LinkSpec, Load)> {
    unique(results.cells.iter().map(|cell| (cell.link, cell.load)))
}

/// What qft made of a link and load.
pub(crate) fn ours<'a>(results: &'a Results, link: &LinkSpec, load: &Load) -> Option<&'a Cell> {
    results.of(link, load).into_iter().find(|cell| cell.tool == OURS)
}

/// Everything, for a terminal.
pub(crate) fn terminal(results: &Results) -> String {
    let mut text = String::new();
    for (link, load) in pairs(results) {
        let ours = ours(results, &link, &load);
        let _ = writeln!(text, "\n{}", heading(&link, &load));
        for cell in results.of(&link, &load) {
            let _ = writeln!(text, "{}", row(cell, ours));
        }
    }
    let _ = write!(text, "\n{}", origin(results));
    text
}

/// Where and when.
pub(crate) fn machine_and_dates(results: &Results) -> String {
    let machine = &results.machine;
    let place = format!("{} x {}, Linux {}", machine.cores, machine.processor, machine.kernel);
    let dates = || results.cells.iter().map(|cell| cell.date.as_str());
    match (dates().min(), dates().max()) {
        (Some(first), Some(last)) if first == last => format!("{place}, {first}"),
        (Some(first), Some(last)) => format!("{place}, {first} to {last}"),
        _ => place,
    }
}

/// Machine, dates and versions.
pub(crate) fn origin(results: &Results) -> String {
    let mut text = machine_and_dates(results);
    text.push('\n');
    for (tool, version) in versions(results) {
        let _ = writeln!(text, "{tool}: {version}");
    }
    text
}

/// Each tool's versions, in the order of the table.
pub(crate) fn versions(results: &Results) -> Vec<(&str, &str)> {
    unique(results.cells.iter().map(|cell| (cell.tool.as_str(), cell.version.as_str())))
}

/// Each of them once, in their order.
pub(crate) fn unique<T: PartialEq>(all: impl Iterator<Item = T>) -> Vec<T> {
    let mut found = Vec::new();
    for one in all {
        if !found.contains(&one) {
            found.push(one);
        }
    }
    found
}
