//! `without=NAME`: what each mechanism of the controller is worth, by switching it off.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Instant;

use qft::congestion::{Mechanism, Without};

use crate::cells::{Cell, Figure, Ours, all};
use crate::sheet::Sheet;
use crate::sim::Tls;

const NOTES: [&str; 5] = [
    "cargo bench --bench congestion -- without=all out=benches/congestion/ablation.txt; simulated, the same on every machine",
    "first the cells as they are; then, for each mechanism, what changes without it by more than chance makes",
    "+ what the mechanism wins in a cell (figure with it -> without it), - what it costs",
    "done %: what the limit alone would take over what the body took; ours, theirs, after: as in beside.txt",
    "the last table counts cells by kind: won/lost",
];
const KINDS: [&str; 9] = ["links", "short", "jitter", "pauses", "changes", "crowds", "beside", "marks", "policer"];
/// A relative change below this is none, whatever the unit.
const RELATIVE: f64 = 0.02;

/// Switches off what `names` says, each on its own: names with commas between, or `all`. `only`: cells whose name or kind
/// has this in it.
pub fn without(names: &str, out: Option<&Path>, only: Option<&str>) {
    let chosen: Vec<Mechanism> = Mechanism::ALL
        .into_iter()
        .filter(|mechanism| names == "all" || names.split(',').any(|name| name == mechanism.name()))
        .collect();
    let known = || Mechanism::ALL.map(Mechanism::name).join(", ");
    assert!(!chosen.is_empty() || names == "nothing", "without={names}: not all, nothing, or some of {}", known());
    let cells: Vec<Cell> = all()
        .into_iter()
        .filter(|cell| only.is_none_or(|only| cell.kind.contains(only) || cell.name.contains(only)))
        .collect();
    let mut sheet = Sheet::new(&NOTES);
    let tls = Tls::generate();
    let began = Instant::now();
    let base = figures(&cells, Without::default(), &tls);
    for (cell, figures) in cells.iter().zip(&base) {
        let shown: Vec<_> = figures.iter().map(Figure::shown).collect();
        sheet.line(&format!("{:<8} {:<48}| {}", cell.kind, cell.name, shown.join(" | ")));
    }
    let mut summary = Vec::new();
    for mechanism in chosen {
        let found = figures(&cells, Without::only(mechanism), &tls);
        summary.push(compared(&mut sheet, mechanism, &cells, &base, &found));
    }
    sheet.line(&format!("# {:<18}{}", "without", KINDS.map(|kind| format!("{kind:>9}")).concat()));
    summary.iter().for_each(|line| sheet.line(line));
    sheet.save(out);
    eprintln!("{} s", began.elapsed().as_secs());
}

fn figures(cells: &[Cell], without: Without, tls: &Tls) -> Vec<Vec<Figure>> {
    let ours = Ours { without, tls: tls.clone() };
    cells.iter().map(|cell| (cell.run)(&ours)).collect()
}

/// Writes what a mechanism wins and costs; gives its line of the last table.
fn compared(
    sheet: &mut Sheet,
    mechanism: Mechanism,
    cells: &[Cell],
    base: &[Vec<Figure>],
    found: &[Vec<Figure>],
) -> String {
    sheet.line(&format!("# without {}", mechanism.name()));
    let mut counts = [(0, 0); KINDS.len()];
    for ((cell, with), without) in cells.iter().zip(base).zip(found) {
        let changed: Vec<_> = with.iter().zip(without).filter_map(|(with, without)| change(with, without)).collect();
        if changed.is_empty() {
            continue;
        }
        let kind = KINDS.iter().position(|&kind| kind == cell.kind).expect("a known kind");
        counts[kind].0 += u32::from(changed.iter().any(|(won, _)| *won));
        counts[kind].1 += u32::from(changed.iter().any(|(won, _)| !*won));
        let words: Vec<_> = changed.into_iter().map(|(_, words)| words).collect();
        sheet.line(&format!("{:<8} {:<48}| {}", cell.kind, cell.name, words.join(" | ")));
    }
    let mut line = format!("  {:<18}", mechanism.name());
    for (won, lost) in counts {
        let cell = if won + lost == 0 { ".".to_owned() } else { format!("{won}/{lost}") };
        write!(line, "{cell:>9}").expect("writing to a string");
    }
    line
}

/// Whether a figure is better with the mechanism, and in words; `None` when it makes no difference.
fn change(with: &Figure, without: &Figure) -> Option<(bool, String)> {
    let difference = with.value - without.value;
    let least = with.tolerance.max(RELATIVE * with.value.abs());
    if difference.abs() < least {
        return None;
    }
    let won = (difference > 0.0) == with.more_is_better;
    let sign = if won { '+' } else { '-' };
    Some((won, format!("{sign} {} {:.1} -> {:.1}", with.name, with.percent(), without.percent())))
}
