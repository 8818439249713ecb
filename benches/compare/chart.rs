//! The charts: seconds against loss and against the round trip, side by side, as SVG that follows the reader's choice
//! of a light or a dark page. Written out by hand: a drawing library has no notion of that, and is larger than this.

use std::fmt::Write as _;

use super::links::LinkSpec;
use super::load::{Kind, Load};
use super::results::{Cell, Outcome, Results};
use super::table;

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 376.0;
/// Where the two panels begin, and how large the area of their points is.
const PANELS_X: [f64; 2] = [58.0, 486.0];
const PANEL_Y: f64 = 106.0;
const PANEL_WIDTH: f64 = 350.0;
const PANEL_HEIGHT: f64 = 212.0;
/// Above each panel, room for those that were not done.
const BAND_HEIGHT: f64 = 26.0;
/// Between those that were not done at the same place, so that all are seen.
const BAND_STEP: f64 = 8.0;
const LEGEND_Y: f64 = 48.0;
/// Width of a letter of the legend, generously, and of what stands between two names.
const LETTER: f64 = 7.2;
const LEGEND_GAP: f64 = 34.0;
/// Seconds that may have a line of their own.
const GRID: [f64; 12] = [0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0];

/// Colours that the colour-blind can tell apart (Okabe and Ito 2008), on white and on black. The first is ours.
const COLOURS: [(&str, &str); 8] = [
    ("#d55e00", "#ff8a3d"),
    ("#0072b2", "#56b4e9"),
    ("#009e73", "#2fd6a5"),
    ("#8a6d00", "#f0e442"),
    ("#b0508e", "#e69fc8"),
    ("#56606e", "#b9c2cf"),
    ("#5b3fb5", "#b39dff"),
    ("#7a4a2b", "#d9a679"),
];

const STYLE: &str = "\
text{font:13px system-ui,sans-serif;fill:#24292f}.title{font-size:15px;font-weight:600}.small{font-size:11px;fill:#57606a}\
.page{fill:#fff;stroke:#d0d7de}.grid{stroke:#d8dee4}.band{fill:#f3f4f6}.line{fill:none;stroke-width:1.8}\
.ours .line{stroke-width:3.4}.unsure{stroke-dasharray:3 4}";
const STYLE_DARK: &str = "\
text{fill:#e6edf3}.small{fill:#9198a1}.page{fill:#0d1117;stroke:#3d444d}.grid{stroke:#2b323b}.band{fill:#1b222b}";

/// A measured place: which tick of the axis, and what was measured there.
struct Point {
    tick: usize,
    seconds: f64,
    done: bool,
}

/// One of the two charts.
struct Panel<'a> {
    title: String,
    /// What those have in common that are in the band.
    band: String,
    ticks: Vec<String>,
    /// For each tool the points, from left to right.
    lines: Vec<(&'a str, Vec<Point>)>,
}

/// Draws what was measured with one kind of load; `None` where that is too little for a chart.
pub(crate) fn draw(results: &Results, kind: Kind) -> Option<String> {
    let of_kind = || results.cells.iter().filter(|cell| cell.load.kind == kind);
    let on_chart = |cell: &&Cell| cell.link.is_of_losses() || cell.link.is_of_round_trips();
    // A quick run may have left smaller loads beside the others.
    let load = of_kind().filter(on_chart).map(|cell| cell.load).max_by_key(Load::bytes)?;
    let cells: Vec<_> = of_kind().filter(|cell| cell.load == load).collect();
    let losses = panel(&cells, LinkSpec::is_of_losses, |link| link.loss_percent, "%");
    let round_trips = panel(&cells, LinkSpec::is_of_round_trips, |link| link.rtt_ms, "ms");
    let panels: Vec<_> = [losses, round_trips].into_iter().filter(|panel| panel.ticks.len() > 1).collect();
    if panels.is_empty() {
        return None;
    }
    let mut tools: Vec<&str> = Vec::new();
    panels.iter().flat_map(|panel| &panel.lines).for_each(|(tool, _)| {
        if !tools.contains(tool) {
            tools.push(tool);
        }
    });
    let origin = format!("{}; cargo bench --bench compare", table::machine_and_dates(results));
    Some(page(&load, &panels, &tools, &origin))
}

fn panel<'a>(
    cells: &[&'a Cell],
    belongs: impl Fn(&LinkSpec) -> bool,
    place: impl Fn(&LinkSpec) -> f64,
    unit: &str,
) -> Panel<'a> {
    let cells: Vec<_> = cells.iter().filter(|cell| belongs(&cell.link)).collect();
    let mut places: Vec<f64> = cells.iter().map(|cell| place(&cell.link)).collect();
    places.sort_by(f64::total_cmp);
    places.dedup();
    let mut lines: Vec<(&str, Vec<Point>)> = Vec::new();
    for cell in &cells {
        let tick = places.iter().position(|at| *at == place(&cell.link)).expect("it was collected above");
        let point = Point { tick, seconds: cell.seconds, done: cell.outcome == Outcome::Done };
        match lines.iter_mut().find(|(tool, _)| *tool == cell.tool) {
            Some((_, points)) => points.push(point),
            None => lines.push((&cell.tool, vec![point])),
        }
    }
    lines.iter_mut().for_each(|(_, points)| points.sort_by_key(|point| point.tick));
    let title = match (cells.first(), unit) {
        (Some(cell), "%") => format!("against loss, RTT {} ms", cell.link.rtt_ms),
        (Some(cell), _) => format!("against the round trip, {} % loss", cell.link.loss_percent),
        (None, _) => String::new(),
    };
    let ticks = places.iter().map(|place| format!("{place} {unit}")).collect();
    Panel { title, band: band(&cells), ticks, lines }
}

/// When those were stopped that did not get done.
fn band(cells: &[&&Cell]) -> String {
    let stopped = || cells.iter().filter(|cell| cell.outcome == Outcome::Stopped).map(|cell| cell.seconds);
    let is_any_failed = cells.iter().any(|cell| matches!(cell.outcome, Outcome::Failed(_)));
    let failed = if is_any_failed { ", or failed" } else { "" };
    match (stopped().reduce(f64::min), stopped().reduce(f64::max)) {
        (Some(least), Some(most)) if format!("{least:.0}") == format!("{most:.0}") => {
            format!("not done within {most:.0} s{failed}")
        }
        (Some(least), Some(most)) => format!("not done within {least:.0} to {most:.0} s{failed}"),
        _ if is_any_failed => "failed".to_owned(),
        _ => String::new(),
    }
}

fn page(load: &Load, panels: &[Panel<'_>], tools: &[&str], origin: &str) -> String {
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" \
         height=\"{HEIGHT}\" role=\"img\">\n<title>Seconds for {}</title>\n<style>{STYLE}",
        load.title()
    );
    let dark: String = (0..COLOURS.len()).map(|colour| colour_style(colour, COLOURS[colour].1)).collect();
    (0..COLOURS.len()).for_each(|colour| svg.push_str(&colour_style(colour, COLOURS[colour].0)));
    let _ = writeln!(svg, "@media(prefers-color-scheme:dark){{{STYLE_DARK}{dark}}}</style>");
    let (width, height) = (WIDTH - 1.0, HEIGHT - 1.0);
    let _ = writeln!(svg, r#"<rect class="page" x=".5" y=".5" width="{width}" height="{height}" rx="6"/>"#);
    text(&mut svg, 18.0, 26.0, "title", &format!("{} over 100 Mbit/s: seconds, fewer are better", sentence(load)));
    legend(&mut svg, tools);
    let scale = Scale::over(panels);
    for (panel, x) in panels.iter().zip(PANELS_X) {
        axes(&mut svg, panel, x, &scale);
        for (tool, points) in &panel.lines {
            let number = tools.iter().position(|one| one == tool).expect("it was collected before");
            line(&mut svg, number, points, &Place { x, ticks: panel.ticks.len(), scale: &scale });
        }
    }
    text(&mut svg, 18.0, HEIGHT - 14.0, "small", origin);
    svg.push_str("</svg>\n");
    svg
}

/// For a title: `One file of 64 MiB`.
pub(crate) fn sentence(load: &Load) -> String {
    let title = load.title();
    title.strip_prefix("one").map_or_else(|| title.clone(), |rest| format!("One{rest}"))
}

fn colour_style(number: usize, colour: &str) -> String {
    format!(".c{number} .line{{stroke:{colour}}}.c{number} .mark{{fill:{colour};stroke:{colour}}}")
}

fn legend(svg: &mut String, tools: &[&str]) {
    let mut x = 18.0;
    for (number, tool) in tools.iter().enumerate() {
        let y = LEGEND_Y;
        let _ = writeln!(svg, r#"<g class="{}">"#, class(number));
        let _ = writeln!(svg, r#"<path class="line" d="M{x} {y}h20"/>"#);
        mark(svg, number, x + 10.0, y, true);
        svg.push_str("</g>\n");
        text(svg, x + 25.0, y + 4.5, "", tool);
        x += LEGEND_GAP + tool.chars().count() as f64 * LETTER;
    }
}

fn class(number: usize) -> String {
    let colour = number % COLOURS.len();
    if number == 0 { format!("c{colour} ours") } else { format!("c{colour}") }
}

/// Seconds on a logarithmic axis.
struct Scale {
    least: f64,
    most: f64,
}

impl Scale {
    fn over(panels: &[Panel<'_>]) -> Self {
        let points = || panels.iter().flat_map(|panel| &panel.lines).flat_map(|(_, points)| points);
        let done = || points().filter(|point| point.done).map(|point| point.seconds);
        let least = done().fold(f64::INFINITY, f64::min).min(10.0);
        let most = done().fold(0.0, f64::max);
        let below = GRID.iter().rev().find(|line| **line <= least).unwrap_or(&GRID[0]);
        let above = GRID.iter().find(|line| **line >= most && *line > below).unwrap_or(&GRID[GRID.len() - 1]);
        Self { least: *below, most: *above }
    }

    fn y(&self, seconds: f64) -> f64 {
        let share = (seconds / self.least).ln() / (self.most / self.least).ln();
        PANEL_Y + PANEL_HEIGHT * (1.0 - share)
    }

    fn lines(&self) -> impl Iterator<Item = f64> {
        GRID.into_iter().filter(|line| (self.least..=self.most).contains(line))
    }
}

/// Where the points of one panel go.
struct Place<'a> {
    x: f64,
    ticks: usize,
    scale: &'a Scale,
}

impl Place<'_> {
    fn tick_x(&self, tick: usize) -> f64 {
        self.x + PANEL_WIDTH * (tick as f64 + 0.5) / self.ticks as f64
    }

    /// Those that were not done are side by side in the band, each tool at a place of its own.
    fn of(&self, number: usize, point: &Point) -> (f64, f64) {
        let x = self.tick_x(point.tick);
        if point.done {
            return (x, self.scale.y(point.seconds));
        }
        (x + (number as f64 - 3.5) * BAND_STEP, PANEL_Y - BAND_HEIGHT / 2.0 - 4.0)
    }
}

fn axes(svg: &mut String, panel: &Panel<'_>, x: f64, scale: &Scale) {
    text(svg, x, PANEL_Y - BAND_HEIGHT - 10.0, "small", &panel.title);
    let band_y = PANEL_Y - BAND_HEIGHT - 4.0;
    if !panel.band.is_empty() {
        let _ = writeln!(
            svg,
            r#"<rect class="band" x="{x}" y="{band_y}" width="{PANEL_WIDTH}" height="{BAND_HEIGHT}" rx="4"/>"#
        );
    }
    let _ = writeln!(svg, r#"<g text-anchor="end">"#);
    text(svg, x + PANEL_WIDTH, PANEL_Y - BAND_HEIGHT - 10.0, "small", &panel.band);
    for line in scale.lines() {
        let y = scale.y(line);
        text(svg, x - 6.0, y + 4.0, "small", &format!("{line} s"));
        let _ = writeln!(svg, r#"<path class="grid" d="M{x} {y:.1}h{PANEL_WIDTH}"/>"#);
    }
    let _ = writeln!(svg, r#"</g><g text-anchor="middle">"#);
    let place = Place { x, ticks: panel.ticks.len(), scale };
    for (tick, label) in panel.ticks.iter().enumerate() {
        text(svg, place.tick_x(tick), PANEL_Y + PANEL_HEIGHT + 20.0, "", label);
    }
    svg.push_str("</g>\n");
}

fn line(svg: &mut String, number: usize, points: &[Point], place: &Place<'_>) {
    let _ = writeln!(svg, r#"<g class="{}">"#, class(number));
    for pair in points.windows(2) {
        let [from, to] = pair else { continue };
        // Between two that were not done there is nothing to show.
        if !from.done && !to.done {
            continue;
        }
        let ((ax, ay), (bx, by)) = (place.of(number, from), place.of(number, to));
        let style = if from.done && to.done { "line" } else { "line unsure" };
        let _ = writeln!(svg, r#"<path class="{style}" d="M{ax:.1} {ay:.1}L{bx:.1} {by:.1}"/>"#);
    }
    for point in points {
        let (x, y) = place.of(number, point);
        mark(svg, number, x, y, point.done);
    }
    svg.push_str("</g>\n");
}

/// Each tool has a shape of its own; hollow where it was not done.
fn mark(svg: &mut String, number: usize, x: f64, y: f64, done: bool) {
    let fill = if done { "" } else { r#" fill-opacity="0""# };
    let shape = match number % 4 {
        0 => format!("M{:.1} {y:.1}a4 4 0 1 0 8 0a4 4 0 1 0-8 0z", x - 4.0),
        1 => format!("M{:.1} {:.1}h7v7h-7z", x - 3.5, y - 3.5),
        2 => format!("M{x:.1} {:.1}l4.5 8h-9z", y - 5.0),
        _ => format!("M{x:.1} {:.1}l4.8 4.8l-4.8 4.8l-4.8-4.8z", y - 4.8),
    };
    let _ = writeln!(svg, r#"<path class="mark"{fill} d="{shape}"/>"#);
}

fn text(svg: &mut String, x: f64, y: f64, class: &str, content: &str) {
    let class = if class.is_empty() { String::new() } else { format!(r#" class="{class}""#) };
    let content = content.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let _ = writeln!(svg, r#"<text{class} x="{x:.1}" y="{y:.1}">{content}</text>"#);
}
