//! The table as a page in Markdown, with the charts: written beside the results, for readers of the repository.

use std::fmt::Write as _;

use super::links::LinkSpec;
use super::load::{Kind, Load};
use super::results::{Cell, Outcome, Results};
use super::{chart, table};

const HEAD: &str = "\
<!-- Written by `cargo bench --bench compare` from results.json; what is changed here is lost. -->

# qft beside other tools
";

const EXPLANATION: &str = "\
Two hosts in network namespaces of one machine, and a link between them that loses packets both ways; the namespaces,
the link and the caches of the tools are new for each copy, and every copy is compared byte by byte. A figure is the
time in seconds from the start of the command to its end (for sendme: of the receiving one; hashing beforehand is not
counted), with handshakes, ssh and syncing to disk as the tool has them by default. In brackets: how many times as long
as qft on the same link in the same run. `>`: not done by then, and stopped.
";

/// Said only where it is so.
const BUSY: &str =
    "`*`: the machine was busy with something else and carried packets late, so the figure may be too high.\n";

/// The page.
pub(crate) fn page(results: &Results) -> String {
    let mut text = HEAD.to_owned();
    for kind in Kind::ALL {
        if chart::draw(results, kind).is_some() {
            let _ = writeln!(text, "\n![{}]({}.svg)", alternative(kind), kind.word());
        }
    }
    let _ = write!(text, "\n{EXPLANATION}");
    if results.cells.iter().any(table::was_busy) {
        text.push_str(BUSY);
    }
    for kind in Kind::ALL {
        text.push_str(&section(results, kind));
    }
    let _ = write!(text, "\n## Machine, versions, commands\n\n{}.\n\n", table::machine_and_dates(results));
    for (tool, version) in table::versions(results) {
        let _ = writeln!(text, "* {tool}: {version}");
    }
    text.push_str("\nAs root, one after the other:\n\n");
    for command in table::unique(results.cells.iter().map(|cell| cell.command.as_str())) {
        let words = if command.is_empty() { String::new() } else { format!(" -- {command}") };
        let _ = writeln!(text, "    cargo bench --bench compare{words}");
    }
    text
}

/// What a reader hears who does not see the chart.
fn alternative(kind: Kind) -> &'static str {
    match kind {
        Kind::Large => "seconds for one large file, against loss and against the round trip",
        Kind::Small => "seconds for many small files, against loss and against the round trip",
        Kind::Tiny => "seconds for very many very small files, against loss and against the round trip",
    }
}

/// The rows of one kind of load; nothing when there are none.
fn section(results: &Results, kind: Kind) -> String {
    let rows: Vec<_> = table::pairs(results).into_iter().filter(|(_, load)| load.kind == kind).collect();
    let Some((_, usual)) = rows.first() else { return String::new() };
    let of_kind = results.cells.iter().filter(|cell| cell.load.kind == kind);
    let tools = table::unique(of_kind.map(|cell| cell.tool.as_str()));
    let title = chart::sentence(usual);
    let mut text =
        format!("\n## {title}\n\n| seconds | {} |\n|---|{}\n", tools.join(" | "), "--:|".repeat(tools.len()));
    for (link, load) in &rows {
        let more = if load == usual { String::new() } else { format!(" ({})", load.title()) };
        let _ = writeln!(text, "| {link}{more} |{}", row(results, link, load, &tools));
    }
    text
}

fn row(results: &Results, link: &LinkSpec, load: &Load, tools: &[&str]) -> String {
    let (cells, ours) = (results.of(link, load), table::ours(results, link, load));
    let of =
        |tool: &&str| cells.iter().find(|cell| cell.tool == **tool).map_or_else(String::new, |cell| brief(cell, ours));
    tools.iter().map(|tool| format!(" {} |", of(tool))).collect()
}

fn brief(cell: &Cell, ours: Option<&Cell>) -> String {
    let (more, seconds) = match cell.outcome {
        Outcome::Done => ("", format!("{:.1}", cell.seconds)),
        Outcome::Stopped => ("> ", format!("{:.0}", cell.seconds)),
        Outcome::Failed(_) => return "failed".to_owned(),
    };
    let busy = if table::was_busy(cell) { "\\*" } else { "" };
    match table::ratio(cell, ours).filter(|_| cell.tool != table::OURS) {
        Some(ratio) => format!("{more}{seconds}{busy} ({more}{ratio:.1}x)"),
        None => format!("{more}{seconds}{busy}"),
    }
}
